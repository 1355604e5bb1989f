"""An update of a fine-tuned MiniLM with products in float32 and in bfloat16, in turns.

OMP_NUM_THREADS=1 python benchmarks/fine_tuning.py --output benchmarks/fine_tuning.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification

from hf_oversample.data.demo import demo_encoder_path
from hf_oversample.numeric.precision import has_fast_bfloat16
from hf_oversample.training.classifier import train_classifier

BATCH = 32


def seconds_an_update(length: int, steps: int, bfloat16: bool) -> float:
    """Mean seconds of the updates of one training on rows of random tokens."""
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(
        str(demo_encoder_path()), num_labels=2
    )
    rng = np.random.default_rng(0)
    rows = rng.integers(1000, 20_000, size=(BATCH * steps, length)).tolist()
    labels = rng.integers(0, 2, size=len(rows))
    start = time.perf_counter()
    train_classifier(
        model, rows, labels, steps=steps, batch_size=BATCH, learning_rate=5e-5, bfloat16=bfloat16
    )
    return (time.perf_counter() - start) / steps


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--length", type=int, default=40, help="tokens a text")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    found: dict[str, list[float]] = {"float32": [], "bfloat16": []}
    seconds_an_update(options.length, 1, True)  # what is loaded once
    for _ in range(options.rounds):
        for name, seconds in found.items():
            seconds.append(seconds_an_update(options.length, options.steps, name == "bfloat16"))
    ratios = [a / b for a, b in zip(found["float32"], found["bfloat16"], strict=True)]
    record = {
        "seconds_an_update": {name: statistics.median(one) for name, one in found.items()},
        "float32_over_bfloat16": statistics.median(ratios),
        "rounds": options.rounds,
        "texts": BATCH,
        "tokens": options.length,
        "seed": 0,
        "has_fast_bfloat16": has_fast_bfloat16(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
        "versions": {name: metadata.version(name) for name in ("torch", "transformers")},
    }
    text = json.dumps(record, indent=2)
    print(text)
    if options.output is not None:
        options.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
