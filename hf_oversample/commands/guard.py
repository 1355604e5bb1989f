"""How a command ends: its exit status, and one line for what went wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable

from hf_oversample.commands.errors import known_error
from hf_oversample.commands.messages import is_first_process

DONE, FAULT, USERS, STOPPED = 0, 1, 2, 130
"""Exit statuses: done; a fault of this package; what the user can put right; stopped by Ctrl-C."""


def guarded(work: Callable[[], None], *, debug: bool = False, go_on: str | None = None) -> int:
    """
    Do the work of a command, and tell in one line why it ended early.

    Args:
        work: what the command does.
        debug: let errors pass, with their traceback.
        go_on: how to go on after Ctrl-C.

    Returns:
        The exit status: 0, 2 for what the user can put right, 1 for a fault of this package, 130
        where it was stopped.
    """
    try:
        work()
    except KeyboardInterrupt:
        if is_first_process():
            print(f"stopped: nothing is half written. {go_on or ''}".rstrip(), file=sys.stderr)
        return STOPPED
    except Exception as error:
        if debug:
            raise
        line = known_error(error)
        if line is not None:
            print(f"error: {line}", file=sys.stderr)
            return USERS
        told = " ".join(str(error).split())
        print(
            f"error: a fault of hf_oversample, not of yours: {type(error).__name__}: {told}. "
            "--debug shows where; please report it with that.",
            file=sys.stderr,
        )
        return FAULT
    return DONE
