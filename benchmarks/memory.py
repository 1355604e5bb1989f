"""Balancing rows that are larger than memory: what is resident, under a limit that is enforced.

    python benchmarks/memory.py make --rows 10000000 --width 384 --rare 0.001 --data rows
    python benchmarks/memory.py run --data rows --limit_gib 4 --way children --record memory.jsonl
    python benchmarks/memory.py run --data rows --limit_gib 4 --way files --record memory.jsonl

`make` writes an Arrow data set as `Dataset.save_to_disk` does. `run --way children` loads it, fits
an oversampler and makes all children; `--way map` maps it with the fitted oversampler, which writes
a second file of the same size; `--way files` is `balance_files`. The rare class grows to `--grown`
rows.

The limit is on the memory of the process in two ways. RLIMIT_DATA: more private memory than that
cannot be had. And where this machine's control groups allow it (version 1, as root), a group of
its own: pages of files that were read count as well, and are given back when it is full. A process
that needs more is killed. The group's limit is less by what was resident before, which it does not
count; and the rows' files are dropped from the cache first, whose pages it would not count either.
Peaks are read from /proc every tenth of a second: private (RssAnon) and of files (RssFile), beside
the highest resident set of the process (VmHWM).
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash
from datasets import ClassLabel, Dataset, Features, List, Value, disable_progress_bars
from datasets.arrow_writer import ArrowWriter
from embeddings_measuring import Records, highest_resident, machine, timed

from hf_oversample import (
    AdasynOversampler,
    BorderlineSmoteOversampler,
    RandomOversampler,
    SmoteOversampler,
)
from hf_oversample.oversamplers.sharded import balance_files

FILE_ROWS = 250_000
BATCH_ROWS = 1000
METHODS = {
    "smote": SmoteOversampler,
    "adasyn": AdasynOversampler,
    "borderline": BorderlineSmoteOversampler,
    "random": RandomOversampler,
}
GROUPS = Path("/sys/fs/cgroup/memory")
GIB, MIB = 2**30, 2**20


def make(rows: int, width: int, rare: float, seed: int, folder: Path) -> None:
    """A saved data set of Gaussian rows, the rare ones a little off: each file by its own seed."""
    features = Features(
        {
            "label": ClassLabel(names=["common", "rare"]),
            "embedding": List(Value("float32"), length=width),
        }
    )
    folder.mkdir(parents=True)
    starts = range(0, rows, FILE_ROWS)
    names = [f"data-{n:05d}-of-{len(starts):05d}.arrow" for n in range(len(starts))]
    for number, start in enumerate(starts):
        rng = np.random.default_rng([seed, number])
        with ArrowWriter(features=features, path=str(folder / names[number])) as writer:
            for first in range(start, min(start + FILE_ROWS, rows), BATCH_ROWS):
                count = min(BATCH_ROWS, rows - first)
                labels = (rng.random(count) < rare).astype(np.int64)
                points = rng.standard_normal((count, width), dtype=np.float32)
                points += 0.1 * labels[:, None].astype(np.float32)
                flat = pa.FixedSizeListArray.from_arrays(pa.array(points.reshape(-1)), width)
                columns = {"label": labels, "embedding": flat}
                writer.write_table(pa.table(columns, schema=features.arrow_schema))
            writer.finalize()
    first = Dataset.from_file(str(folder / names[0])).select(range(1))
    with tempfile.TemporaryDirectory() as scratch:  # for what stands beside the rows' files
        first.save_to_disk(scratch)
        state = (Path(scratch) / "state.json").read_text(encoding="utf-8")
        files = ", ".join(f'{{"filename": "{name}"}}' for name in names)
        own = '{\n      "filename": "data-00000-of-00001.arrow"\n    }'
        assert own in state
        (folder / "state.json").write_text(state.replace(own, files), encoding="utf-8")
        shutil.copy(Path(scratch) / "dataset_info.json", folder)


class Peaks(threading.Thread):
    """The highest private and file-backed resident memory of this process, sampled."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.highest = dict.fromkeys(("RssAnon", "RssFile"), 0)
        self.ended = threading.Event()

    def run(self) -> None:
        """Sample until :attr:`ended` is set."""
        while not self.ended.wait(0.1):
            now = memory_of_this_process()
            self.highest = {name: max(now[name], most) for name, most in self.highest.items()}


def memory_of_this_process() -> dict[str, int]:
    """MiB by name, from /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    values = {name: rest.split()[0] for name, _, rest in (line.partition(":") for line in lines)
              if name in ("VmRSS", "RssAnon", "RssFile")}  # fmt: skip
    return {name: int(value) // 1024 for name, value in values.items()}


@contextmanager
def limited(gib: float) -> Iterator[Path | None]:
    """This process under a limit; the control group that enforces it, if there is one."""
    limit = int(gib * GIB)
    group_limit = limit - memory_of_this_process()["VmRSS"] * MIB
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    group = GROUPS / f"hf_oversample-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(group_limit))
    except OSError as error:
        print(f"no control group ({error}): the limit is RLIMIT_DATA alone")
        yield None
        return
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    before = next(line.split(":", 2)[2] for line in lines if line.split(":")[1] == "memory")
    try:
        (group / "cgroup.procs").write_text(str(os.getpid()))
        yield group
    finally:
        (GROUPS / before.lstrip("/") / "cgroup.procs").write_text(str(os.getpid()))
        group.rmdir()


def drop_from_cache(path: str) -> None:
    """Let the system forget a file's pages, so that they are read from the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def run(a: argparse.Namespace) -> dict[str, Any]:
    """One balancing, with its time, its memory and the digest of the children's embeddings."""
    method = METHODS[a.method](seed=a.seed, sampling_strategy={"rare": a.grown})
    for path in a.data.glob("*.arrow"):
        drop_from_cache(str(path))
    digest, children = xxhash.xxh3_128(), [0]

    def take(table: pa.Table) -> None:
        for column in table["embedding"].chunks:
            digest.update(column.flatten().to_numpy())
        children[0] += len(table)

    def work() -> None:
        if a.way == "children":
            take(method.fit(rows).children(rows).data.table)
        elif a.way == "map":
            rows.map(
                method.fit(rows),
                batched=True,
                with_indices=True,
                cache_file_name=str(a.scratch / "grown.arrow"),
            )
            grown = Dataset.from_file(str(a.scratch / "grown.arrow"))
            for batch in grown.with_format("arrow").iter(batch_size=BATCH_ROWS):
                take(batch.filter(pa.compute.equal(batch["origin"], 1)))
            (a.scratch / "grown.arrow").unlink()
        else:
            with tempfile.TemporaryDirectory(dir=a.scratch) as out:
                for path in balance_files(rows, method, out, block_rows=a.block_rows):
                    take(pa.parquet.read_table(path, columns=["embedding"]))

    peaks = Peaks()
    before = memory_of_this_process()
    with limited(a.limit_gib) as group:
        peaks.start()
        rows = Dataset.load_from_disk(str(a.data))  # Arrow has the system read ahead as it opens
        times = timed(work)
        peaks.ended.set()
        peaks.join()
        highest = int(highest_resident())
        found = {} if group is None else {
            "group_peak_mib": int((group / "memory.max_usage_in_bytes").read_text()) // MIB,
            "group_limit_hits": int((group / "memory.failcnt").read_text()),
        }  # fmt: skip
    return {
        "benchmark": "larger than memory",
        "way": a.way,
        "method": a.method,
        "rows": len(rows),
        "width": rows.features["embedding"].length,
        "file_bytes": sum(Path(file["filename"]).stat().st_size for file in rows.cache_files),
        "children": children[0],
        "limit_gib": a.limit_gib,
        **({"block_rows": a.block_rows} if a.way == "files" else {}),
        **{name: round(value, 2) for name, value in times.items()},
        "private_before_mib": before["RssAnon"],
        "private_peak_mib": peaks.highest["RssAnon"],
        "file_pages_peak_mib": peaks.highest["RssFile"],
        "resident_peak_mib": highest,
        **found,
        "digest": digest.hexdigest(),
    }


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=["make", "run"])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--rare", type=float, default=0.001)
    parser.add_argument("--data", type=Path, required=True, help="folder of the rows")
    parser.add_argument("--scratch", type=Path, help="folder for what is made")
    parser.add_argument("--way", choices=["children", "map", "files"], default="children")
    parser.add_argument("--method", choices=sorted(METHODS), default="smote")
    parser.add_argument("--grown", type=int, default=110_000, help="rare rows afterwards")
    parser.add_argument("--limit_gib", type=float, default=4.0)
    parser.add_argument("--block_rows", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", help="file that the JSON lines are appended to")
    a = parser.parse_args()
    disable_progress_bars()
    if a.what == "make":
        make(a.rows, a.width, a.rare, a.seed, a.data)
        return
    records = Records(a.record)
    records.write(machine=machine())
    records.write(**run(a))


if __name__ == "__main__":
    main()
