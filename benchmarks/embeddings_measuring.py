"""What the benchmarks of embeddings share: data, records, turns, medians, the common options."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from datasets import ClassLabel, Dataset, Features, List, Value

BLOCK_ROWS = 10_000


def mixture(rows: int, minority: int, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings and labels: ten majority Gaussians, and three of the minority that overlap them.

    Rows are in mixed order. Made block by block, so that memory's peak is the result.
    """
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(13, width)).astype(np.float32) * 0.5
    centers[10:] = 0.7 * centers[:3] + 0.3 * centers[10:]
    labels = np.zeros(rows + minority, dtype=np.int64)
    labels[rng.permutation(len(labels))[:minority]] = 1
    points = np.empty((len(labels), width), dtype=np.float32)
    for start in range(0, len(labels), BLOCK_ROWS):
        block = points[start : start + BLOCK_ROWS]
        rng.standard_normal(out=block, dtype=np.float32)
        own = labels[start : start + BLOCK_ROWS]
        block += centers[np.where(own == 1, rng.integers(10, 13, len(own)), own)]
        majority = np.flatnonzero(own == 0)
        block[majority] += centers[rng.integers(0, 10, len(majority))] - centers[0]
    return points, labels


def as_dataset(
    points: np.ndarray, labels: np.ndarray, names: Sequence[str] = ("majority", "minority")
) -> Dataset:
    """The two as a data set that shares the points' memory; ``names`` of the classes."""
    count, width = points.shape
    flat = pa.FixedSizeListArray.from_arrays(pa.array(points.reshape(-1)), width)
    features = Features(
        {
            "label": ClassLabel(names=list(names)),
            "embedding": List(Value("float32"), length=width),
        }
    )
    table = pa.table({"label": pa.array(labels), "embedding": flat}, schema=features.arrow_schema)
    return Dataset(table, fingerprint=f"benchmark-{count}-{width}")


def machine() -> dict[str, Any]:
    """What the figures depend on besides the code."""
    model = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    names = ("hf_oversample", "torch", "numpy", "pyarrow", "datasets", "imbalanced-learn")
    return {
        "processor": model[0] if model else platform.processor(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in (*names, "scikit-learn")},
    }


def version(name: str) -> str:
    """A package's version, or that it runs from its source."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "source"


def highest_resident() -> float:
    """MiB of the highest resident set of this process so far: not ru_maxrss, which a process has of
    the one that started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


class Records:
    """JSON lines, printed and appended to a file."""

    def __init__(self, path: str | None) -> None:
        self.path = path

    def write(self, **record: Any) -> None:
        line = json.dumps(record)
        print(line, flush=True)
        if self.path:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(line + "\n")


def alternating(names: tuple[str, ...], rounds: int) -> Iterator[tuple[int, str]]:
    """(round, name), the order turned about each round."""
    for number in range(rounds):
        for name in names if number % 2 == 0 else names[::-1]:
            yield number, name


def summary(found: dict[str, list[dict[str, Any]]], reference: str) -> dict[str, Any]:
    """Medians by contestant, and the reference's figures as multiples of theirs."""
    result: dict[str, Any] = {}
    for name, runs in found.items():
        medians = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        ratios = {
            f"{key}_ratio": statistics.median(
                other[key] / run[key]
                for run, other in zip(runs, found[reference], strict=True)
                if run[key]
            )
            for key in medians
        }
        result[name] = {key: round(value, 4) for key, value in {**medians, **ratios}.items()}
    return result


def timed(work: Callable[[], Any]) -> dict[str, float]:
    """Seconds of a work and of freeing its result, by the clock and of the processor."""
    seconds, processor = time.perf_counter(), time.process_time()
    work()
    seconds, processor = time.perf_counter() - seconds, time.process_time() - processor
    return {"seconds": seconds, "cpu_seconds": processor}


def add_options(parser: argparse.ArgumentParser, rows: list[int]) -> None:
    """The options of every benchmark of embeddings; `rows` is the default of `--rows`."""
    parser.add_argument("--rows", type=int, nargs="+", default=rows)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", help="file that the JSON lines are appended to")
    parser.add_argument("--scratch", help="folder for the data; default: the system's")
