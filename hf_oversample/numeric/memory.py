"""Batches that do not fit into memory: halved where that changes nothing, else told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

logger = logging.getLogger(__name__)

OUT_OF_MEMORY_TEXTS = (
    "DefaultCPUAllocator: can't allocate memory",  # torch
    "Cannot allocate memory",  # a file that is mapped; a thread
    "bad_alloc",
    "can't start new thread",  # whose stack has no room
    "could not create a primitive",  # oneDNN, of whatever keeps it from working
    "could not create a memory object",
)
"""What libraries say, in errors without a name of their own, of memory that is used up."""

# What worked is known for the rest of the process: what → rows × length of its largest batch. A
# `map` calls for each of its batches, and would fail, and warn, as often.
_WORKED: dict[str, int] = {}


class NotEnoughMemoryError(MemoryError):
    """Memory does not suffice, and a smaller batch is no way out; the message says what is."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory, of a GPU or of the machine, is used up."""
    from accelerate.utils.memory import should_reduce_batch_size  # torch

    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"  # torch's, of any device
        or (isinstance(error, Exception) and should_reduce_batch_size(error))
        or any(text in str(error) for text in OUT_OF_MEMORY_TEXTS)
    )


def work_in_batches(
    batches: Iterable[tuple[np.ndarray, int]],
    work: Callable[[np.ndarray, int], None],
    *,
    what: str,
    unit: str = "texts of {} tokens",
    exact: bool = True,
) -> None:
    """
    Work on batches; one that does not fit into memory is halved and tried again, and those after it
    are no larger.

    There is one warning, which names the size that worked.

    Args:
        batches: rows and the length that they have in common.
        work: writes down the result of rows of a length; it is called again for some of the rows
            where it failed.
        what: is done, for the warning.
        unit: of the rows, with a place for their length.
        exact: whether a row's result does not depend on its batch in the last bit.

    Raises:
        NotEnoughMemoryError: a single row does not fit.
    """
    limit, refused = _WORKED.get(what), None
    for rows, length in batches:
        waiting = [rows]
        while waiting:
            part = waiting.pop()
            if limit is not None and len(part) * length > limit and len(part) > 1:
                size = max(1, limit // length)
                pieces = [part[start : start + size] for start in range(0, len(part), size)]
                part, waiting = pieces[0], [*waiting, *reversed(pieces[1:])]
            said = _refusal(work, part, length)
            if said is None:
                continue
            name = unit.format(length)
            if len(part) == 1:
                raise NotEnoughMemoryError(
                    f"{what}: memory does not suffice for one at a time ({name}): lower the "
                    f"length, take a smaller model, or a machine with more memory ({said})"
                )
            refused = refused or f"{len(part)} {name}"
            limit = -(-len(part) // 2) * length
            waiting.append(part)
    if refused is not None and limit is not None:
        _WORKED[what] = limit
        logger.warning(
            "%s: memory did not suffice for %s at a time, and does for %d in all; the result %s, "
            "and takes longer",
            what,
            refused,
            limit,
            "is the same" if exact else "may differ in its last bits",
        )


def _refusal(work: Callable[[np.ndarray, int], None], rows: np.ndarray, length: int) -> str | None:
    """Why memory did not suffice; None where it did. Of the error only its text is kept: its
    traceback holds what was computed."""
    try:
        work(rows, length)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        said = " ".join(str(error).split())[:200] or type(error).__name__
    else:
        return None
    from accelerate.utils.memory import clear_device_cache

    clear_device_cache()
    return said


@contextmanager
def told_if_memory_is_short(remedy: str) -> Iterator[None]:
    """
    Of a training, whose batch is part of the result and is not changed silently.

    Args:
        remedy: what to lower, with its value.

    Raises:
        NotEnoughMemoryError: memory does not suffice.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, NotEnoughMemoryError) or not is_out_of_memory(error):
            raise
        raise NotEnoughMemoryError(
            f"memory does not suffice for a step of training: lower {remedy}, which changes what "
            "is learnt, or take a machine with more memory"
        ) from error


__all__ = [
    "NotEnoughMemoryError",
    "is_out_of_memory",
    "told_if_memory_is_short",
    "work_in_batches",
]
