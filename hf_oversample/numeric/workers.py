"""What a model needs in the processes of `datasets.map(num_proc=...)`: one thread, and its GPU."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_FORKED = False
_GPU_WAS_IN_USE = False


def _gpu_is_in_use() -> bool:
    """Whether this process has begun to use a GPU, which a process forked from it then cannot."""
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_initialized())


def _note_before_fork() -> None:
    global _GPU_WAS_IN_USE
    _GPU_WAS_IN_USE = _gpu_is_in_use()


def _note_fork() -> None:
    global _FORKED
    _FORKED = True


os.register_at_fork(before=_note_before_fork, after_in_child=_note_fork)


def one_thread_if_forked() -> None:
    """In a forked process, computes on one thread from here on; call it before a model is loaded.

    A fork inherits the state of torch's thread pool without its threads: where the parent has run a
    model, the child's first parallel operation would wait for them for ever.
    """
    if _FORKED:
        import torch

        torch.set_num_threads(1)


def device_of_process(rank: int | None = None) -> str:
    """
    Where this process computes: "cpu", or the GPU of its number among the processes, such as
    "cuda:1".

    Args:
        rank: the process's number, as `map(with_rank=True)` gives it. Default: its number in the
            pool that it is of, else that which a launcher gave it (`LOCAL_RANK`), else 0.

    Raises:
        RuntimeError: the process was forked from one that had a GPU in use, and can use none.
    """
    import torch

    if not torch.cuda.is_available():
        return "cpu"
    if _FORKED and _GPU_WAS_IN_USE:
        raise RuntimeError(
            "This process was forked from one that had used a GPU, and cannot use one itself: "
            "call balance(dataset, num_proc=...), decode or embed_dataset, which start processes "
            "that can, or, before your own map, multiprocess.set_start_method('spawn'); or leave "
            "num_proc out"
        )
    number = _number_in_pool() if rank is None else rank
    if number is None:
        number = int(os.environ.get("LOCAL_RANK", "0"))
    return f"cuda:{number % torch.cuda.device_count()}"


def _number_in_pool() -> int | None:
    """0, 1, … in a process of a pool; None in others."""
    for name in ("multiprocess", "multiprocessing"):  # the former is what datasets uses
        module = sys.modules.get(name)
        identity = module.current_process()._identity if module is not None else ()
        if identity:
            return int(identity[-1]) - 1
    return None


@contextmanager
def processes_that_can_use_gpus(num_proc: int | None) -> Iterator[None]:
    """
    Around a `map`: its processes are spawned instead of forked where this one has used a GPU.

    Spawned processes import the main script: its code must be under `if __name__ == "__main__":`.

    Args:
        num_proc: of the map.
    """
    if num_proc is None or num_proc < 2 or not _gpu_is_in_use():
        yield
        return
    import multiprocess

    before = multiprocess.get_start_method(allow_none=True)
    multiprocess.set_start_method("spawn", force=True)
    try:
        yield
    finally:
        multiprocess.set_start_method(before, force=True)
