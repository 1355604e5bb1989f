"""What bad input may lead to: a right result, or an error that names what is wrong with it."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import hf_oversample

T = TypeVar("T")

PACKAGE = str(Path(hf_oversample.__file__).parent)
# These very types: those derived from them (UnicodeDecodeError, JSONDecodeError, …) come from
# below, and tell neither the file nor what to do.
NAMED: tuple[type[Exception], ...] = (
    ValueError,
    TypeError,
    OSError,
    FileNotFoundError,
    NotADirectoryError,
    IsADirectoryError,
    FloatingPointError,
)


class Fault(Exception):
    """Input that got neither a right result nor a named error.

    Attributes:
        key: equal for faults of one cause, as far as can be told.
    """

    def __init__(self, what: str, key: str) -> None:
        super().__init__(what)
        self.key = key


def named(call: Callable[[], T], *, names: Iterable[str]) -> T | None:
    """What a call returns; None where it raised an error of the contract.

    Args:
        call: the package's.
        names: of which an error's text must hold one; a regular expression each.

    Raises:
        Fault: another error, or one that names nothing.
    """
    try:
        return call()
    except (Fault, KeyboardInterrupt):
        raise
    except BaseException as error:
        text = f"{error} {' '.join(getattr(error, '__notes__', ()))}"
        is_named = any(re.search(name, text) for name in names)
        if type(error) in NAMED and is_named:
            return None
        raise fault_of(error) from error


def fault_of(error: BaseException) -> Fault:
    """An error that should not have come, as a fault."""
    where, kind = _place(error), type(error).__name__
    why = " (it names nothing)" if type(error) in NAMED else ""
    shown = f"{error}"[:500]
    return Fault(f"{kind} at {where}{why}: {shown}", f"{kind} {where}")


def right(condition: bool, what: str) -> None:
    """
    Raises:
        Fault: the condition is false: a wrong result.
    """
    if not condition:
        raise Fault(f"wrong result: {what}", f"wrong {what[:40]}")


def _place(error: BaseException) -> str:
    """The innermost line of the package."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename.startswith(PACKAGE)]
    last = (own or frames)[-1]
    return f"{Path(last.filename).name}:{last.lineno} in {last.name}"
