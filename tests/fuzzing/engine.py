"""The loop: inputs that reached new lines of the package are kept, and changed further.

Coverage is that of lines, seen by `sys.settrace`; slower than what atheris compiles in, and there
wherever Python is. A fault is kept once for each place where it arises, in its shortest form found.
"""

from __future__ import annotations

import functools
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from fuzzing.contract import PACKAGE, Fault, fault_of

Run = Callable[[bytes, Path], None]
SECONDS_A_RUN = 20
_LONGEST = 65_536
_PIECES = (
    *(b'"', b'""', b"'", b",", b"\t", b"\n", b"\r\n", b"\r", b"\0", b"{", b"}", b"[", b"]", b":"),
    *(b"null", b"NaN", b"-Infinity", b"1e999", b"-0", b"true", b"9" * 30, b"\\u0000", b"\\ud800"),
    *(b"\xff", b"\xc3", b"\xef\xbb\xbf", b"\xff\xfe", b"\x1f\x8b", b"PK\x03\x04", b"PAR1"),
    *(b'"label"', b'"text"', b'"a":{}', b"[[[[", b"\xf0\x9f\x98\x80", b"\xe2\x80\xa8"),
)


@dataclass
class Found:
    """What a run of the fuzzer found.

    Attributes:
        executions: inputs tried, those of minimising left out.
        lines: lines of the package reached.
        corpus: inputs that reached lines which none before had.
        faults: the fault's key → its text and the shortest input that leads to it.
    """

    executions: int = 0
    lines: int = 0
    corpus: list[bytes] = field(default_factory=list)
    faults: dict[str, tuple[str, bytes]] = field(default_factory=dict)


def execute(run: Run, data: bytes) -> Fault | None:
    """One input in a folder of its own.

    Returns:
        the fault; None where the contract is kept.
    """
    place = _place()
    folder = place / "in"
    if folder.exists() and any(folder.iterdir()):
        shutil.rmtree(folder)
    folder.mkdir(exist_ok=True)
    try:
        with _in_time():
            run(data, folder)
    except Fault as fault:
        return fault
    except Exception as error:  # of what a target does beyond what may be refused
        return fault_of(error)
    beside = [path for path in place.iterdir() if path != folder]
    for path in beside:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    names = [path.name for path in beside]
    return Fault(f"wrote outside: {names}", "wrote outside") if names else None


@functools.cache
def _kept() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="hf_oversample_fuzz_")


def _place() -> Path:
    """The same place for all inputs of a process: a new one for each takes longer than most."""
    return Path(_kept().name)


@contextmanager
def _in_time() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise Fault(f"no end after {SECONDS_A_RUN} s", "no end")

    before = signal.signal(signal.SIGALRM, stop)
    left = signal.setitimer(signal.ITIMER_REAL, SECONDS_A_RUN)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *left)  # a test has one of its own


class Lines:
    """Which lines of the package are reached while it is entered."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, int]] = set()

    def __enter__(self) -> Lines:
        self.before = sys.gettrace()
        sys.settrace(self._call)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self.before)

    def _call(self, frame: FrameType, event: str, _: Any) -> Any:
        return self._line if frame.f_code.co_filename.startswith(PACKAGE) else None

    def _line(self, frame: FrameType, event: str, _: Any) -> Any:
        self.seen.add((frame.f_code.co_filename, frame.f_lineno))
        return self._line


def fuzz(
    run: Run,
    seeds: list[bytes],
    *,
    seed: int = 0,
    seconds: float | None = None,
    executions: int | None = None,
    current: Path | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Found:
    """
    Try inputs until time or number is used up; at least the seeds.

    Args:
        run: the target.
        seeds: inputs to begin with.
        seed: of what is tried.
        seconds, executions: what ends the run.
        current: file that holds the input being tried, for a crash of the process.
        tell: gets a line for each new fault.
    """
    draws, found, lines = random.Random(seed), Found(), Lines()
    end = None if seconds is None else time.monotonic() + seconds
    waiting = list(seeds)
    while waiting or not _is_over(found, end, executions):
        data = waiting.pop(0) if waiting else changed(draws, found.corpus or seeds)
        if current is not None:
            current.write_bytes(data)
        before = len(lines.seen)
        with lines:
            fault = execute(run, data)
        found.executions += 1
        if len(lines.seen) > before:
            found.corpus.append(data)
        if fault is not None and fault.key not in found.faults:
            found.faults[fault.key] = str(fault), data
            tell(f"{fault}\n  {data[:200]!r}")
    found.lines = len(lines.seen)
    for key, (text, data) in found.faults.items():
        found.faults[key] = text, shorter(run, data, key)
    return found


def _is_over(found: Found, end: float | None, executions: int | None) -> bool:
    if executions is not None and found.executions >= executions:
        return True
    return time.monotonic() >= end if end is not None else executions is None


def changed(draws: random.Random, corpus: list[bytes]) -> bytes:
    """An input of the corpus, later ones more often, with one to four changes."""
    place = max(draws.randrange(len(corpus)), draws.randrange(len(corpus)))
    data = bytearray(corpus[place])
    for _ in range(draws.choice((1, 1, 2, 4))):
        at = draws.randrange(len(data) + 1)
        what = draws.randrange(7)
        if what == 0 and data:
            data[at - 1] = draws.randrange(256)
        elif what == 1 and data:
            data[at - 1] ^= 1 << draws.randrange(8)
        elif what == 2:
            del data[at : at + draws.choice((1, 1, 4, 64))]
        elif what == 3:
            data[at:at] = draws.choice(_PIECES)
        elif what == 4:
            data[at:at] = data[at : at + draws.choice((2, 16, 256))] * draws.choice((1, 1, 3, 40))
        elif what == 5:
            other = draws.choice(corpus)
            data[at:] = other[draws.randrange(len(other) + 1) :]
        else:
            data[at:at] = draws.randbytes(draws.choice((1, 2, 8)))
    return bytes(data[:_LONGEST])


def shorter(run: Run, data: bytes, key: str, tries: int = 60) -> bytes:
    """An input as short as can be found that leads to the same fault."""
    size = max(1, len(data) // 2)
    while size and tries > 0:
        place, shrunk = 0, False
        while place < len(data) and tries > 0:
            fewer = data[:place] + data[place + size :]
            tries -= 1
            fault = execute(run, fewer)
            if fault is not None and fault.key == key:
                data, shrunk = fewer, True
            else:
                place += size
        if not shrunk or size > len(data):
            size //= 2
    return data
