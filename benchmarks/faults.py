"""Faults injected into small real jobs, which must end in the same bytes after each restart.

    python benchmarks/faults.py --faults 1000 --record benchmarks/faults.jsonl --page FILE

A job's process is killed, interrupted, or runs out of disk, rights or memory at a random point; one
to three faults in a row hit one folder, and then the job is run again to its end. After each fault
what lies in the folder under its name must be whole, and in the end all of it must be what an
undisturbed run left. Linux; as root the disk that is full or read-only is a real one (a tmpfs).
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import gc
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tqdm.std
from faults_injection import DONE, HUNG, UNNAMED, WENT_ON, Disk, at_operations, ended, in_child
from faults_page import ENDS, KILLED, Count, write

PROJECT = Path(__file__).resolve().parent.parent
TRAININGS = ("miso", "bayesian_gan", "reembed")
KILL, KILL_AT, STOP = "kill -9, any moment", "kill -9, at a file operation", "Ctrl-C"
NO_ROOM, READ_ONLY = "full disk", "read-only folder"
LARGE, FAILS, MEMORY = "file size limit", "I/O error", "out of memory"
DAMAGED, WORKER = "damaged checkpoint", "kill -9 of a worker"
KINDS = (KILL, KILL_AT, STOP, NO_ROOM, READ_ONLY, LARGE, FAILS, MEMORY, DAMAGED, WORKER)
WEIGHTS = (25, 25, 12, 10, 3, 8, 8, 6, 3, 25)


class Trials:
    """Faults of jobs, counted.

    Args:
        jobs: short name → job.
        scratch: folder for all that is written.
        seed: of kinds, moments and places.
        kinds: of faults.
    """

    def __init__(
        self, jobs: dict[str, Any], scratch: Path, seed: int, kinds: Sequence[str] = KINDS
    ) -> None:
        self.kinds = list(kinds)
        self.weights = [WEIGHTS[KINDS.index(kind)] for kind in kinds]
        self.jobs, self.random = jobs, random.Random(seed)
        (scratch / "disk").mkdir()
        self.disk, self.log = Disk(scratch / "disk"), scratch / "log"
        self.by_kind = {kind: Count() for kind in kinds}
        self.by_job = {name: Count() for name in jobs}
        self.notes: list[str] = []
        self.number = self.restarts = 0
        self.expected: dict[str, Any] = {}
        self.seconds: dict[str, float] = {}
        self.operations: dict[str, tuple[int, int]] = {}
        self.bytes: dict[str, int] = {}
        self.stopped: dict[str, Path] = {}

    def _folder(self) -> Path:
        self.number += 1
        folder = self.disk.folder / f"trial-{self.number}"
        folder.mkdir()
        return folder

    def undisturbed(self, name: str) -> None:
        """What a job leaves where nothing stops it, and how long it takes; it must do so twice."""
        job, before = self.jobs[name], self.disk.used()
        counted = self.disk.folder.parent / "operations"
        for reads in (False, True):
            folder, numbers = self._folder(), [0]

            def work(folder: Path = folder, numbers: list[int] = numbers) -> None:
                job.run(folder)
                counted.write_text(str(numbers[0]))

            def count(
                folder: Path = folder, numbers: list[int] = numbers, reads: bool = reads
            ) -> None:
                at_operations(folder, lambda n: numbers.__setitem__(0, n), reads=reads)

            begun = time.monotonic()
            if ended(in_child(work, count, self.log)) != DONE:
                raise RuntimeError(f"{name} fails undisturbed:\n{self.log.read_text()[-3000:]}")
            self.seconds[name] = time.monotonic() - begun
            found = job.found(folder)
            first = self.expected.setdefault(name, found)
            if first != found or not found:
                differ = [one for one in {*first, *found} if first.get(one) != found.get(one)]
                raise RuntimeError(f"{name}: two undisturbed runs differ in {differ}")
            done = int(counted.read_text())
            self.operations[name] = (self.operations.get(name, (done,))[0], done)
            self.bytes[name] = max(self.disk.used() - before, 65536)
            job.settle()
            shutil.rmtree(folder)
        if name in TRAININGS:
            folder = self._folder()
            ended(in_child(lambda: job.train(folder, None, 4) and None, lambda: None, self.log))
            self.stopped[name] = folder

    def trial(self, name: str, faults: int) -> int:
        """One folder, hit by faults and then brought to its end; how many hit."""
        job, folder, kinds = self.jobs[name], self._folder(), list[str]()
        while len(kinds) < faults:
            kind = self._kind(name, first=not kinds)
            if kind == DAMAGED:
                shutil.copytree(self.stopped[name], folder, dirs_exist_ok=True)
                self._damage(folder)
                kinds.append(kind)
                break
            code = self._with_fault(kind, job, name, folder)
            if code == DONE:  # it came too late
                break
            kinds.append(kind)
            end = ENDS.get(code, KILLED)
            for count in (self.by_kind[kind], self.by_job[name]):
                count.ends[end] += 1
            if code in (UNNAMED, HUNG):
                self._note(f"{name}, {kind}, {ENDS[code]}: {self.log.read_text()[-2500:]}")
            self._look(kind, job, name, folder)
        self.restarts += len(kinds)
        code = ended(in_child(lambda: job.run(folder), lambda: None, self.log))
        if code != DONE:
            self._note(f"{name} does not go on after {kinds}: {self.log.read_text()[-3000:]}")
        if DAMAGED in kinds and "is damaged" not in self.log.read_text():
            self.by_kind[DAMAGED].half += 1
            self._note(f"{name}: no warning of a damaged checkpoint")
        missing = self._wrong(self.expected[name], job.found(folder) if code == DONE else {})
        for kind in kinds:
            self.by_kind[kind].times += 1
        if kinds:
            self.by_kind[kinds[-1]].wrong += missing
            self.by_job[name].times += len(kinds)
            self.by_job[name].wrong += missing
        job.settle()
        shutil.rmtree(folder)
        return len(kinds)

    def _kind(self, name: str, first: bool) -> str:
        """A fault that a job can have, as the first in its folder or as a later one."""
        weights = dict(zip(self.kinds, self.weights, strict=True))
        if name not in TRAININGS or not first:
            weights.pop(DAMAGED, None)
        if name != "ray":
            weights.pop(WORKER, None)
        if not weights:
            raise ValueError(f"{name} has none of these faults: {', '.join(self.kinds)}")
        return self.random.choices(list(weights), list(weights.values()))[0]

    def _with_fault(self, kind: str, job: Any, name: str, folder: Path) -> int:
        writes, reads = self.operations[name]
        at = self.random.randint(1, writes)
        moment = self.random.uniform(0, self.seconds[name])

        def fail(code: int, forever: bool) -> Callable[[int], None]:
            def act(number: int) -> None:
                if number == at or (forever and number > at):
                    raise OSError(code, os.strerror(code))

            return act

        def kill(number: int) -> None:
            if number == at:
                os.kill(os.getpid(), signal.SIGKILL)

        prepare, options = (lambda: None), ""
        if kind == KILL_AT:
            prepare = lambda: at_operations(folder, kill)  # noqa: E731
        elif kind == FAILS:
            at = self.random.randint(1, reads)
            prepare = lambda: at_operations(folder, fail(errno.EIO, False), reads=True)  # noqa: E731
        elif kind == LARGE:
            most = int(self.bytes[name] * self.random.random() ** 3)

            def prepare() -> None:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))

        elif kind == MEMORY:
            room = int(2 ** self.random.uniform(17, 24))

            def prepare() -> None:
                pages = int(Path("/proc/self/statm").read_text().split()[0])
                size = pages * resource.getpagesize() + room
                resource.setrlimit(resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))

        elif self.disk.is_real and kind == NO_ROOM:
            room = int(self.bytes[name] * self.random.random())
            options = f"size={self.disk.used() + max(room, 4096)}"
        elif self.disk.is_real and kind == READ_ONLY:
            gc.collect()  # a file of a trial before that is still mapped keeps the disk writable
            options = "ro"
        elif kind in (NO_ROOM, READ_ONLY):
            at = at if kind == NO_ROOM else 1
            code = errno.ENOSPC if kind == NO_ROOM else errno.EROFS
            prepare = lambda: at_operations(folder, fail(code, True))  # noqa: E731
        with self.disk.hindered(options) if options else contextlib.nullcontext():
            process = in_child(lambda: job.run(folder), prepare, self.log)
            if kind in (KILL, STOP):
                return ended(process, moment, signal.SIGKILL if kind == KILL else signal.SIGINT)
            if kind == WORKER:
                from faults_ray import kill_a_worker

                time.sleep(moment)
                hit = kill_a_worker(process, self.random)
                code = ended(process)
                return WENT_ON if hit and code == DONE else code
            return ended(process)

    def _damage(self, folder: Path) -> None:
        from hf_oversample.training.checkpoints import checkpoints_of

        newest = checkpoints_of(folder)[-1]
        path = self.random.choice(sorted(p for p in newest.rglob("*") if p.is_file()))
        content, way = bytearray(path.read_bytes()), self.random.choice(("cut", "bit", "gone"))
        if way == "gone":
            path.unlink()
            return
        place = self.random.randrange(len(content))
        if way == "cut":
            path.write_bytes(content[:place])
        else:
            content[place] ^= 1 << self.random.randrange(8)
            path.write_bytes(content)

    def _look(self, kind: str, job: Any, name: str, folder: Path) -> None:
        """Nothing that is there under its name is half of itself."""
        found = job.found(folder)
        expected = self.expected[name]
        half = [
            output
            for output, rows in found.items()
            if not (
                Counter(rows) <= Counter(expected.get(output, []))
                if output in job.grows
                else rows == expected.get(output)
            )
        ]
        half += job.damages(folder)
        for count in (self.by_kind[kind], self.by_job[name]):
            count.half += len(half)
        if half:
            self._note(f"{name}, {kind}: half written {half[:3]}")

    def _wrong(self, expected: Any, found: Any) -> int:
        """Rows that are missing, other or too many."""
        wrong = 0
        for output in {*expected, *found}:
            one, two = Counter(expected.get(output, [])), Counter(found.get(output, []))
            wrong += max((one - two).total(), (two - one).total())
        if wrong:
            self._note(f"{wrong} rows or files are not those of the undisturbed run")
        return wrong

    def _note(self, text: str) -> None:
        self.notes.append(text)
        print(text, file=sys.stderr, flush=True)


def hub_process() -> Any:
    """A hub on the loopback address, in a process of its own; the environment names it."""
    ours, theirs = multiprocessing.Pipe()

    def serve() -> None:
        from hub_server import TOKEN, running_hub

        with running_hub() as hub:
            theirs.send((hub.url, TOKEN))
            signal.pause()

    process = multiprocessing.get_context("fork").Process(target=serve, daemon=True)
    process.start()
    url, token = ours.recv()
    os.environ |= {"HF_ENDPOINT": url, "HF_TOKEN": token, "HF_HUB_OFFLINE": "0"}
    return process


def main() -> int:
    """Inject faults; 1 if rows were lost, an output was half written, or a job hung or failed
    without a named error."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--faults", type=int, default=1000)
    parser.add_argument("--jobs", help="comma-separated; default: all but ray, which needs Ray")
    parser.add_argument("--kinds", help=f"comma-separated, of: {', '.join(KINDS)}; default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", type=Path, help="file of JSON lines")
    parser.add_argument("--page", type=Path, help="file of the tables")
    a = parser.parse_args()
    sys.path[:0] = [str(PROJECT), str(PROJECT / "tests")]
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    os.environ |= {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_DISABLE_XET": "1"}
    scratch = Path(tempfile.mkdtemp(prefix="hf-oversample-faults-"))
    os.environ["HF_HOME"] = str(scratch / "home")
    hub = hub_process()  # before torch is imported: a small process

    import torch
    from embeddings_measuring import machine
    from faults_jobs import JOBS

    torch.set_num_threads(1)
    tqdm.std.tqdm.monitor_interval = 0  # no thread of it, which would not be forked
    begun = time.monotonic()
    # two names have a comma
    kinds = [kind for kind in KINDS if kind in a.kinds] if a.kinds else KINDS
    names = a.jobs.split(",") if a.jobs else list(JOBS)
    if "ray" in names:
        from faults_ray import OnRay

        JOBS["ray"] = OnRay
    trials = Trials({name: JOBS[name]() for name in names}, scratch, a.seed, kinds)
    text, done = "", 0
    try:
        for name in names:
            trials.undisturbed(name)
        shares = [1 / trials.seconds[name] for name in names]  # quick ones more often
        while done < a.faults:
            name = trials.random.choices(names, shares)[0]
            done += trials.trial(name, min(trials.random.randint(1, 3), a.faults - done))
            if trials.number % 50 == 0 or done >= a.faults:
                minutes = round((time.monotonic() - begun) / 60, 1)
                told = {
                    "seed": a.seed,
                    "faults": a.faults,
                    "minutes": minutes,
                    "chosen_jobs": a.jobs,
                }
                text = write(trials, {**told, "machine": machine()}, a.record, a.page)
    finally:
        for job in trials.jobs.values():
            job.close()
        trials.disk.close()
        shutil.rmtree(scratch, ignore_errors=True)
        hub.terminate()
    print(text)
    unnamed = (ENDS[UNNAMED], ENDS[HUNG])
    return int(
        any(
            one.half or one.wrong or any(one.ends[end] for end in unnamed)
            for one in trials.by_kind.values()
        )
    )


if __name__ == "__main__":
    raise SystemExit(main())
