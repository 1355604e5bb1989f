"""A job in a process of its own, and what can hinder it: signals, disks, failing operations."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tqdm.std

TIMEOUT = 600.0
DONE, NAMED, UNNAMED, HUNG, WENT_ON, STOPPED = 0, 3, 4, 5, 6, 130
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Disk:
    """A folder for the jobs: a tmpfs of changing size and rights, where it may be mounted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        command = ["mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", str(folder)]
        self.is_real = subprocess.run(command, capture_output=True).returncode == 0

    def change(self, options: str) -> None:
        """Remount."""
        command = ["mount", "-o", f"remount,{options}", str(self.folder)]
        answer = subprocess.run(command, capture_output=True, text=True)
        if answer.returncode:
            raise RuntimeError(f"{' '.join(command)}: {answer.stderr}")

    @contextlib.contextmanager
    def hindered(self, options: str) -> Iterator[None]:
        """While this lasts."""
        self.change(options)
        try:
            yield
        finally:
            self.change("rw,size=256m")

    def used(self) -> int:
        """Bytes."""
        stat = os.statvfs(self.folder)
        return (stat.f_blocks - stat.f_bfree) * stat.f_frsize

    def close(self) -> None:
        """Unmount."""
        if self.is_real:
            subprocess.run(["umount", "-l", str(self.folder)], check=True)


def at_operations(folder: Path, act: Callable[[int], None], *, reads: bool = False) -> None:
    """In this process, from now on: `act(n)` before the n-th operation on files of a folder."""
    place, number = f"{folder}/", 0

    def hook(event: str, values: tuple[Any, ...]) -> None:
        nonlocal number
        if event == "open":
            mode, flags = values[1] or "", values[2]
            writes = set("wax+") & set(mode) or (isinstance(flags, int) and flags & WRITING)
            if not (writes or reads):
                return
        elif event not in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"):
            return
        names = [value for value in values if isinstance(value, (str, os.PathLike))]
        if any(os.fspath(name).startswith(place) for name in names):
            number += 1
            act(number)

    sys.addaudithook(hook)


def own_bar_locks(kind: type[tqdm.std.tqdm]) -> None:
    """Bars share their locks with all forked processes: one that is killed within would keep it."""
    kind.set_lock(threading.RLock())
    for one in kind.__subclasses__():
        own_bar_locks(one)


def in_child(work: Callable[[], None], prepare: Callable[[], None], log: Path) -> int:
    """Start a process that prepares its fault and works; its id."""
    # an interrupt before the child is ready would unwind what is the parent's
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    process = os.fork()
    if process:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        return process
    code = UNNAMED
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        faulthandler.dump_traceback_later(TIMEOUT - 10)
        own_bar_locks(tqdm.std.tqdm)
        prepare()
        work()
        code = DONE
    except KeyboardInterrupt:
        code = STOPPED
    except BaseException as error:
        from hf_oversample.commands.errors import known_error

        code = NAMED if known_error(error) else UNNAMED
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def ended(process: int, after: float | None = None, by: int = signal.SIGKILL) -> int:
    """Wait for a process, sending a signal after some seconds; its status, negative by a signal."""
    begun = time.monotonic()
    while True:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        passed = time.monotonic() - begun
        if after is not None and passed >= after:
            os.kill(process, by)
            after = None
        if passed > TIMEOUT:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return HUNG
        time.sleep(0.001)
