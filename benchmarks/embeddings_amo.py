"""How fast AMO translates embeddings: against one row at a time, and against the machine's peak.

    python benchmarks/embeddings_amo.py --rows 100000 --output benchmarks/embeddings_amo.json

Alternating in one run, with a two-layer g and f and ten steps:

- `translate` over all rows in float32 (and in bfloat16 where the processor has it),
- the same steps by autograd for one row at a time, over `--loop_rows` of the rows,
- products of square matrices, the machine's own peak (sgemm).

The share of peak counts the matrix products that the method needs: for each row and step both
classifiers forward and backward, for the last row forward, and g forward for the seed and the
result. Noise, softmax, norms and steps are in the time, not in the count. One line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from hf_oversample.models.classifiers.mlp import MlpForEmbeddingClassification
from hf_oversample.numeric.precision import has_fast_bfloat16
from hf_oversample.oversamplers.amo.translation import TranslationSettings, translate
from hf_oversample.training.heads import train_head

PEAK_SIZE = 2048


def make_data(rows: int, width: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors of long-tailed classes; class 0 is the largest."""
    generator = np.random.default_rng(0)
    labels = np.minimum(generator.geometric(0.6, rows) - 1, classes - 1)
    centers = generator.normal(size=(classes, width)).astype(np.float32)
    vectors = generator.standard_normal((rows, width), dtype=np.float32)
    vectors += 0.5 * centers[labels]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors, labels


def one_row_at_a_time(
    seeds: torch.Tensor,
    source: torch.Tensor,
    target: torch.Tensor,
    generating: MlpForEmbeddingClassification,
    receiving: MlpForEmbeddingClassification,
    settings: TranslationSettings,
) -> torch.Tensor:
    """The loop that the paper's algorithm reads like, by autograd with respect to the row."""
    results = torch.empty_like(seeds)
    for number in range(len(seeds)):
        seed, label = seeds[number : number + 1], target[number : number + 1]
        row = seed + torch.randn_like(seed) * settings.noise_length / seed.shape[1] ** 0.5
        for _ in range(settings.steps):
            row = (row / row.norm()).detach().requires_grad_(True)
            loss = F.cross_entropy(generating(row).logits, label)
            loss = loss + settings.penalty * receiving(row).logits[0, source[number]]
            (gradient,) = torch.autograd.grad(loss, row)
            row = row - settings.step_length * gradient / gradient.norm()
        row = (row / row.norm()).detach()
        with torch.no_grad():
            share = generating(row).logits.softmax(dim=1)[0, label]
            results[number] = row if share >= settings.acceptance else seed
    return results


def products_per_row(width: int, hidden: int, classes: int, steps: int) -> float:
    """Floating-point operations of the matrix products for one row."""
    layer, scores = 2 * width * hidden, 2 * hidden * classes
    generating_forward, receiving_forward = layer + scores, layer
    forward = (steps + 1) * (generating_forward + receiving_forward) + 2 * generating_forward
    return forward + steps * (layer + scores + layer)


def timed(work: Callable[[], Any]) -> float:
    """Seconds of a work."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def parse(given: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--hidden_size", type=int, default=256)
    parser.add_argument("--classes", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--loop_rows", type=int, default=300, help="rows of the per-row loop")
    parser.add_argument("--rounds", type=int, default=3, help="medians over so many rounds")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, help="the line goes to this file too")
    return parser.parse_args(given)


def main(given: list[str] | None = None) -> None:
    """Measure, and print the line."""
    arguments = parse(given)
    torch.set_num_threads(arguments.threads)
    vectors, labels = make_data(arguments.rows, arguments.width, arguments.classes)
    few = slice(0, 5000)
    generating, receiving = (
        train_head(
            vectors[few],
            labels[few],
            num_labels=arguments.classes,
            hidden_size=arguments.hidden_size,
            epochs=3,
            min_steps=200,
            seed=seed,
        )
        for seed in (0, 1)
    )
    seeds, source = torch.from_numpy(vectors), torch.from_numpy(labels)
    target = (source + 1) % arguments.classes
    numbers = np.arange(arguments.rows)
    share_accepted: dict[str, float] = {}

    def whole(precision: Any) -> None:
        settings = TranslationSettings(steps=arguments.steps, project=True, precision=precision)
        moved = translate(
            seeds, source, target, generating, receiving, settings, seed=0, counters=(numbers,)
        )
        share_accepted[precision] = float(moved.accepted.float().mean())

    part = slice(0, arguments.loop_rows)
    square = torch.randn(PEAK_SIZE, PEAK_SIZE)
    settings = TranslationSettings(steps=arguments.steps, project=True)
    works: dict[str, Callable[[], Any]] = {
        "peak": lambda: square @ square,
        "float32": lambda: whole("float32"),
        "loop": lambda: one_row_at_a_time(
            seeds[part], source[part], target[part], generating, receiving, settings
        ),
    }
    if has_fast_bfloat16():
        works["bfloat16"] = lambda: whole("bfloat16")
    works["peak"]()
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(arguments.rounds):
        for name in list(works)[:: 1 if number % 2 == 0 else -1]:
            # One product is too short a time to go by: the best of ten is the peak.
            repeats = 10 if name == "peak" else 1
            seconds[name].append(min(timed(works[name]) for _ in range(repeats)))
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    peak = 2 * PEAK_SIZE**3 / middle["peak"]
    per_row = products_per_row(
        arguments.width, arguments.hidden_size, arguments.classes, arguments.steps
    )
    loop_rate = min(arguments.loop_rows, arguments.rows) / middle["loop"]
    record: dict[str, Any] = {
        "benchmark": "amo translate",
        "rows": arguments.rows,
        "width": arguments.width,
        "hidden_size": arguments.hidden_size,
        "steps": arguments.steps,
        "threads": arguments.threads,
        "sgemm_gflops": round(peak / 1e9, 1),
        "loop_rows_per_second": round(loop_rate, 1),
    }
    for name in ("float32", "bfloat16"):
        if name in middle:
            rate = arguments.rows / middle[name]
            record[name] = {
                "seconds": round(middle[name], 3),
                "rows_per_second": round(rate),
                "times_the_loop": round(rate / loop_rate, 1),
                "share_of_sgemm_peak": round(rate * per_row / peak, 3),
                "accepted": round(share_accepted[name], 3),
            }
    record |= {"torch": torch.__version__, "cpus": os.cpu_count(), "machine": platform.machine()}
    line = json.dumps(record)
    print(line)
    if arguments.output is not None:
        arguments.output.write_text(line + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
