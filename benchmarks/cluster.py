"""Balancing in files: time and memory of whole runs, and rates that larger ones are reckoned by.

    python benchmarks/cluster.py make --rows 10000000 --width 16 --rare 0.001 --data rows
    python benchmarks/cluster.py run --data rows --scratch scratch --way files --record r.jsonl
    python benchmarks/cluster.py rates --scratch scratch --record r.jsonl

`run --way files` is `balance_files` in this process, `--way ray` on a Ray of this machine, and
`--way memory` the oversampler's `balance` of the same files, loaded by `datasets`. Memory is the
highest resident set of the process, and what of it was resident before the rows were opened. The
digest is of the children's embeddings: it is one for all ways.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import xxhash
from datasets import ClassLabel, Dataset, Features, List, Value
from embeddings_measuring import Records, highest_resident, machine, timed

from hf_oversample import AdasynOversampler, SmoteOversampler
from hf_oversample.neighbors.difficult import nearest_neighbors
from hf_oversample.oversamplers.sharded import balance_files

FILE_ROWS = 500_000
ROW_GROUP = 50_000
METHODS = {"smote": SmoteOversampler, "adasyn": AdasynOversampler}


def make(rows: int, width: int, rare: float, seed: int, folder: Path) -> None:
    """Files of Gaussian rows, the rare ones a little off: each file by its own seed."""
    features = Features(
        {
            "label": ClassLabel(names=["common", "rare"]),
            "embedding": List(Value("float32"), length=width),
        }
    )
    folder.mkdir(parents=True)
    for number, start in enumerate(range(0, rows, FILE_ROWS)):
        rng = np.random.default_rng([seed, number])
        count = min(FILE_ROWS, rows - start)
        labels = (rng.random(count) < rare).astype(np.int64)
        points = rng.standard_normal((count, width), dtype=np.float32)
        points += labels[:, None].astype(np.float32)
        flat = pa.FixedSizeListArray.from_arrays(pa.array(points.reshape(-1)), width)
        table = pa.table({"label": labels, "embedding": flat}, schema=features.arrow_schema)
        pq.write_table(table, folder / f"{number:06d}.parquet", row_group_size=ROW_GROUP)


def run(a: argparse.Namespace) -> dict[str, Any]:
    """One balancing, with its time, memory and the digest of what it made."""
    method, out = METHODS[a.method](seed=a.seed), a.scratch / f"{a.way}-{a.method}"
    shutil.rmtree(out, ignore_errors=True)
    nearest_neighbors(np.eye(4), np.eye(4), 1)  # what is loaded at its first use
    before, digest, made = int(highest_resident()), xxhash.xxh3_128(), 0
    if a.way == "memory":
        with tempfile.TemporaryDirectory(dir=a.scratch) as cache:
            names = [str(path) for path in sorted(a.data.glob("*.parquet"))]
            rows = Dataset.from_parquet(names, cache_dir=cache)
            assert isinstance(rows, Dataset)
            children: list[Dataset] = []
            times = timed(lambda: children.append(method.fit(rows).children(rows)))
        peak = int(highest_resident())
        for column in children[0].data.table["embedding"].chunks:
            digest.update(column.flatten().to_numpy())
            made += len(column)
    else:
        files: list[Path] = []
        if a.way == "ray":
            import hf_oversample.ray as on_ray

            executor: dict[str, Any] = {"executor": on_ray.RayTasks()}
        else:
            executor = {}
        times = timed(
            lambda: files.extend(
                balance_files(a.data, method, out, block_rows=a.block_rows, **executor)
            )
        )
        peak = int(highest_resident())
        for path in files:
            column = pq.read_table(path, columns=["embedding"])["embedding"].combine_chunks()
            digest.update(column.flatten().to_numpy())
            made += len(column)
    bytes_read = sum(path.stat().st_size for path in a.data.glob("*.parquet"))
    return {
        "way": a.way,
        "method": a.method,
        "block_rows": a.block_rows,
        "file_bytes": bytes_read,
        "children": made,
        **{name: round(value, 2) for name, value in times.items()},
        "resident_before_mib": before,
        "peak_mib": peak,
        "digest": digest.hexdigest(),
    }


def rates(a: argparse.Namespace) -> list[dict[str, Any]]:
    """Of the exact search, and of reading and writing embeddings as parquet."""
    found: list[dict[str, Any]] = []
    rng = np.random.default_rng(a.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    queries_of = 100_000 if device == "cuda" else 2_000
    for width in (16, 384):
        base = torch.from_numpy(rng.standard_normal((100_000, width), dtype=np.float32)).to(device)
        queries = base[:queries_of] + 0.1
        nearest_neighbors(queries[:2000], base, 6)
        begun, seconds, processor = time.process_time(), time.perf_counter(), 0.0
        nearest_neighbors(queries, base, 6)[0].cpu()
        seconds, processor = time.perf_counter() - seconds, time.process_time() - begun
        flop = 2 * len(queries) * len(base) * width
        found.append(
            {
                "rate": "search",
                "device": device,
                "width": width,
                "queries": len(queries),
                "base": len(base),
                "seconds": round(seconds, 3),
                "cpu_seconds": round(processor, 3),
                "gflops_per_cpu_second": round(flop / processor / 1e9, 1),
                "gflops": round(flop / seconds / 1e9, 1),
            }
        )
        path = a.scratch / f"rates-{width}.parquet"
        flat = pa.FixedSizeListArray.from_arrays(pa.array(base.cpu().numpy().reshape(-1)), width)
        table = pa.table({"embedding": flat})
        for name, work in (
            ("write", partial(pq.write_table, table, path, row_group_size=ROW_GROUP)),
            ("read", partial(pq.read_table, path, use_threads=False)),
        ):
            times = timed(work)
            megabytes = base.numel() * 4 / 1e6
            found.append(
                {
                    "rate": name,
                    "width": width,
                    "megabytes": megabytes,
                    "mb_per_cpu_second": round(megabytes / times["cpu_seconds"], 1),
                    "mb_per_second": round(megabytes / times["seconds"], 1),
                }
            )
        path.unlink()
    return found


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=["make", "run", "rates"])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--rare", type=float, default=0.001)
    parser.add_argument("--data", type=Path, help="folder of the rows")
    parser.add_argument("--scratch", type=Path, help="folder for what is made")
    parser.add_argument("--way", choices=["files", "ray", "memory"], default="files")
    parser.add_argument("--method", choices=sorted(METHODS), default="smote")
    parser.add_argument("--block_rows", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", help="file that the JSON lines are appended to")
    a = parser.parse_args()
    records = Records(a.record)
    if a.what == "make":
        make(a.rows, a.width, a.rare, a.seed, a.data)
        return
    a.scratch.mkdir(parents=True, exist_ok=True)
    records.write(machine=machine())
    for record in [run(a)] if a.what == "run" else rates(a):
        records.write(**record)


if __name__ == "__main__":
    main()
