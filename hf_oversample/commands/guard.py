"""How a command ends: its exit status, one line for what went wrong, and how to go on."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from hf_oversample.commands.errors import known_error
from hf_oversample.commands.messages import is_first_process, say

DONE, FAULT, USERS, STOPPED = 0, 1, 2, 130
"""Exit statuses: done; a fault of this package; what the user can put right; stopped by Ctrl-C."""


def guarded(
    work: Callable[[], object],
    *,
    debug: bool = False,
    go_on: Callable[[], str] = lambda: "",
    flags: Collection[str] | None = None,
    tell: Callable[[int, str], None] = lambda status, message: None,
) -> int:
    """
    Do the work of a command, and tell on stderr in one line why it ended early.

    Args:
        work: what the command does.
        debug: show the tracebacks of errors too.
        go_on: how to go on after Ctrl-C, asked for when it is needed.
        flags: the command's, which advice may name; None: any.
        tell: gets the status and the line of an early end, for a program that reads the result.

    Returns:
        The exit status: 0, 2 for what the user can put right, 1 for a fault of this package, 130
        where it was stopped.
    """
    try:
        with _interrupted_once():
            work()
        return DONE
    except KeyboardInterrupt:
        status, message = STOPPED, f"stopped: nothing is half written. {go_on()}".rstrip()
        if is_first_process():
            say(f"\n{message}")
    except BrokenPipeError:  # who read the output has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as error:
        status, message = _told(error, flags)
        if debug:
            traceback.print_exc()
        say(f"error: {message}")
    tell(status, message)
    return status


def _told(error: Exception, flags: Collection[str] | None) -> tuple[int, str]:
    line = known_error(error, flags)
    if line is not None:
        return USERS, line
    said = " ".join(str(error).split())
    return FAULT, (
        f"a fault of hf_oversample, not of yours: {type(error).__name__}: {said}. --debug shows "
        "where; please report it with that."
    )


@contextmanager
def _interrupted_once() -> Iterator[None]:
    """
    Ctrl-C unwinds what is being done, once: a second one ends the process at once. Under a launcher
    it is ignored, for the launcher hands on to its processes what the terminal has sent them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals come to the main thread alone
        return

    def stop(number: int, frame: FrameType | None) -> None:
        launched = "LOCAL_RANK" in os.environ
        signal.signal(signal.SIGINT, signal.SIG_IGN if launched else signal.SIG_DFL)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        # under a launcher the second one may still be on its way
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, before)


def same_command(words: Sequence[str], *more: str, without: Sequence[str] = ()) -> str:
    """
    A command line as a user types it again.

    Args:
        words: those after the program's name.
        *more: words to add.
        without: flags with a value that are left out, with it.
    """
    kept, rest = [], iter(words)
    for word in rest:
        if word in without:
            next(rest, None)
        elif word.partition("=")[0] not in without:
            kept.append(word)
    path = sys.argv[0]
    program = ["python", path] if path.endswith("recipes/" + Path(path).name) else ["hf-oversample"]
    return shlex.join([*program, *kept, *more])


def how_to_go_on(words: Sequence[str], output_dir: str | None, *, trains: bool = True) -> str:
    """
    How to go on with a training that was stopped: from its last checkpoint, if it left any.

    Args:
        words: the command line's.
        output_dir: where checkpoints went; None where no folder was named.
        trains: whether there is a training that could have left some.
    """
    if not trains:
        return f"Begin anew: {same_command(words)}"
    if output_dir is not None and any(Path(output_dir).glob("checkpoint-*")):
        flags = ("--resume", "--resume_from_checkpoint")
        again = same_command(words, "--resume", "last", without=flags)
        return f"Go on from the last checkpoint: {again}"
    return (
        f"Begin anew: {same_command(words)} (with --save_steps 50 a stopped training can go on "
        "from a checkpoint)"
    )


def goes_on_by_itself(words: Sequence[str]) -> str:
    """How to go on with a run that finds what it had done."""
    return f"What is done is kept; go on with the same command: {same_command(words)}"
