"""How fast SIMPOR climbs: all points of a block at once, against one row at a time, in one run.

    python benchmarks/embeddings_simpor.py --output benchmarks/embeddings_simpor.jsonl

A step of one point is one evaluation of the log density ratio and its gradient. Compared are the
seconds a step takes

- batched: `hf_oversample.oversamplers.simpor.spheres.ascend`, in float32 and bfloat16;
- row by row, NumPy: the paper's loop with the closed-form gradient, from the differences of a point
  and all rows, as its code computes distances;
- row by row, BLAS: the same by matrix–vector products;
- the paper's own gradient: 2 d + 4 kernel density estimates a step. One pair of estimates (fit and
  score) is timed and multiplied.

The share of peak counts the two products of an evaluation, 4 n d operations a point, against a
square float32 product in the same round. Only ratios are worth quoting: each is the median over
rounds of neighbouring timings. Appends one JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.neighbors import KernelDensity

from hf_oversample.numeric.precision import has_fast_bfloat16
from hf_oversample.oversamplers.simpor.densities import LogDensityRatio, bandwidth_from_neighbors
from hf_oversample.oversamplers.simpor.spheres import ascend, random_directions

BLOCK_ROWS = 1024


def make_rows(rows: int, minority: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit rows of 50 clusters in a space of 32 dimensions and a little noise; the minority in
    three of them."""
    rng = np.random.default_rng(0)
    cluster = np.concatenate(
        [rng.integers(50, size=rows - minority), rng.integers(3, size=minority)]
    )
    latent = rng.normal(size=(50, 32))[cluster] + 0.7 * rng.normal(size=(rows, 32))
    values = latent @ rng.normal(size=(32, width)) / 32 + 0.05 * rng.normal(size=(rows, width))
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    labels = np.repeat([0, 1], [rows - minority, minority])
    return values.astype(np.float32), labels


class PerRow:
    """One point at a time: the ratio's value and gradient, in NumPy."""

    def __init__(self, target: np.ndarray, other: np.ndarray, bandwidth: float) -> None:
        self.classes, self.bandwidth = (target, other), bandwidth
        self.squares = [np.einsum("ij,ij->i", rows, rows) for rows in self.classes]

    def _result(self, exponents: list[np.ndarray]) -> tuple[float, np.ndarray]:
        values, means = [], []
        for rows, logits in zip(self.classes, exponents, strict=True):
            largest = logits.max()
            weights = np.exp(logits - largest)
            values.append(largest + np.log(weights.sum()))
            means.append(weights @ rows / weights.sum())
        return values[0] - values[1], (means[0] - means[1]) / self.bandwidth**2

    def by_differences(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        scale = -2 * self.bandwidth**2
        return self._result([((point - rows) ** 2).sum(axis=1) / scale for rows in self.classes])

    def by_products(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        pairs = zip(self.classes, self.squares, strict=True)
        return self._result([(rows @ point - half / 2) / self.bandwidth**2 for rows, half in pairs])

    def densities(self, point: np.ndarray) -> float:
        """The paper's objective: an estimate of each class's density, fitted anew."""
        scores = [
            KernelDensity(bandwidth=self.bandwidth).fit(rows).score_samples(point[None])[0]
            for rows in self.classes
        ]
        return float(np.exp(scores[0] - scores[1]))


def climb_one(
    evaluate: Callable[[np.ndarray], tuple[float, np.ndarray]],
    center: np.ndarray,
    radius: float,
    direction: np.ndarray,
    steps: int,
) -> np.ndarray:
    """Algorithm 1 for one point, with the same angles as `ascend`; every step is evaluated."""
    value, gradient = evaluate(center + radius * direction)
    angle = 0.5
    for _ in range(steps):
        outward = gradient @ direction
        tangent = gradient - outward * direction
        length = np.linalg.norm(tangent)
        tried = min(angle, float(np.arctan2(length, outward)))
        candidate = direction * np.cos(tried) + tangent / max(length, 1e-30) * np.sin(tried)
        candidate /= np.linalg.norm(candidate)
        new_value, new_gradient = evaluate(center + radius * candidate)
        if new_value > value:
            direction, value, gradient = candidate, new_value, new_gradient
            angle = min(1.5 * angle, np.pi / 2)
        else:
            angle = tried / 2
    return direction


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that a work takes, and its result."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds a step by each way, round by round."""
    values, labels = make_rows(options.rows, options.minority, options.width)
    target, other = values[labels == 1], values[labels == 0]
    queries = np.arange(101) + options.rows - options.minority
    bandwidth_seconds, bandwidth = seconds(lambda: bandwidth_from_neighbors(values, queries))
    parents = np.arange(options.points) % options.minority
    centers = torch.from_numpy(target[parents])
    directions = random_directions(options.width, 0, parents, np.arange(options.points))
    radii = torch.from_numpy(np.random.default_rng(1).uniform(0.05, 0.5, options.points)).float()
    per_row = PerRow(target, other, bandwidth)
    classes = torch.from_numpy(target), torch.from_numpy(other)
    ratios = {"batched float32": LogDensityRatio(*classes, bandwidth)}
    if has_fast_bfloat16():
        ratios["batched bfloat16"] = LogDensityRatio(*classes, bandwidth, precision="bfloat16")
    square = torch.randn(options.peak_size, options.peak_size)
    product = torch.empty_like(square)

    # as the oversampler does: what bfloat16 found is judged in float32
    judges = {"batched bfloat16": ratios["batched float32"]}

    def batched(name: str) -> int:
        evaluations = 0
        for start in range(0, options.points, BLOCK_ROWS):
            part = slice(start, start + BLOCK_ROWS)
            found = ascend(
                ratios[name],
                centers[part],
                radii[part],
                directions[part],
                steps=options.steps,
                judge=judges.get(name),
            )
            evaluations += found.evaluations
        return evaluations

    def loop(evaluate: Callable[[np.ndarray], tuple[float, np.ndarray]]) -> int:
        for place in range(options.loop_points):
            climb_one(
                evaluate,
                centers[place].numpy(),
                float(radii[place]),
                directions[place].numpy(),
                options.loop_steps,
            )
        return options.loop_points * (options.loop_steps + 1)

    def peak() -> float:
        torch.mm(square, square, out=product)
        return 2.0 * options.peak_size**3

    works: dict[str, Callable[[], Any]] = {"peak": peak}
    for name in ratios:
        works[name] = partial(batched, name)
    works["row by row, BLAS"] = lambda: loop(per_row.by_products)
    works["row by row, NumPy"] = lambda: loop(per_row.by_differences)
    peak()
    per_step: dict[str, list[float]] = {name: [] for name in works}
    counts: dict[str, float] = {}
    for _ in range(options.rounds):
        for name, work in works.items():
            if name == "peak":  # the best of five, next to the others of the round
                per_step[name].append(min(seconds(work)[0] for _ in range(5)))
            else:
                taken, counts[name] = seconds(work)
                per_step[name].append(taken / counts[name])
    peaks = [2.0 * options.peak_size**3 / taken for taken in per_step.pop("peak")]
    density_seconds = seconds(lambda: per_row.densities(target[0]))[0]
    operations = 4.0 * options.rows * options.width
    record: dict[str, Any] = {
        "bandwidth": bandwidth,
        "bandwidth seconds": bandwidth_seconds,
        "peak GFLOP/s": statistics.median(peaks) / 1e9,
        "milliseconds a step": {n: 1e3 * statistics.median(v) for n, v in per_step.items()},
        "evaluations": counts,
        "the paper's gradient, milliseconds a step, estimated": 1e3
        * density_seconds
        * (2 * options.width + 4),
    }
    for name in ratios:
        shares = [operations / t / p for t, p in zip(per_step[name], peaks, strict=True)]
        record[f"{name}: share of sgemm peak"] = statistics.median(shares)
        for slow in ("row by row, NumPy", "row by row, BLAS"):
            gains = [a / b for a, b in zip(per_step[slow], per_step[name], strict=True)]
            record[f"{name}: times as fast as {slow}"] = statistics.median(gains)
    return record


def main(arguments: list[str] | None = None) -> None:
    """Measure and append the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=100_000, help="of both classes")
    parser.add_argument("--minority", type=int, default=1000)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--points", type=int, default=1024, help="made by the batched way")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--loop_points", type=int, default=2, help="made row by row")
    parser.add_argument("--loop_steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peak_size", type=int, default=4096)
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent / "embeddings_simpor.jsonl"
    )
    options = parser.parse_args(arguments)
    settings = {name: v for name, v in vars(options).items() if name != "output"}
    threads = torch.get_num_threads()
    record = {
        "benchmark": "simpor",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {threads} threads",
        "versions": {name: metadata.version(name) for name in ("torch", "numpy", "scikit-learn")},
        "settings": settings,
        **measure(options),
    }
    with options.output.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
    print(json.dumps(record))


if __name__ == "__main__":
    main()
