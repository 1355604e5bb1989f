"""An update of a fine-tuned MiniLM with products in float32 and in bfloat16, in turns.

    OMP_NUM_THREADS=1 python benchmarks/fine_tuning.py --output benchmarks/fine_tuning.json

The classifier of `compare`, and contrastive re-embedding; 32 texts of random tokens an update.
Seconds are the processor's.
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
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from hf_oversample.data.demo import demo_encoder_path
from hf_oversample.numeric.precision import has_fast_bfloat16
from hf_oversample.training.classifier import train_classifier
from hf_oversample.training.contrastive import rare_classes
from hf_oversample.training.reembedding import (
    ReembeddingTrainer,
    TrainingRows,
    new_pooled_encoder,
)
from hf_oversample.training.reembedding_arguments import ReembeddingArguments

BATCH = 32


def classifier(rows: list[list[int]], labels: np.ndarray, steps: int, bfloat16: bool) -> float:
    """Seconds of a training by cross-entropy."""
    model = AutoModelForSequenceClassification.from_pretrained(
        str(demo_encoder_path()), num_labels=2
    )
    start = time.process_time()
    train_classifier(
        model, rows, labels, steps=steps, batch_size=BATCH, learning_rate=5e-5, bfloat16=bfloat16
    )
    return time.process_time() - start


def reembedding(rows: list[list[int]], labels: np.ndarray, steps: int, bfloat16: bool) -> float:
    """Seconds of a contrastive training."""
    encoder = AutoModel.from_pretrained(demo_encoder_path())
    tokenizer = AutoTokenizer.from_pretrained(demo_encoder_path())
    places = np.random.default_rng(0).normal(size=(len(rows), 8)).astype(np.float32)
    classes = rare_classes(places, labels, [1], neighbors=5, hard_neighbors=10)
    arguments = ReembeddingArguments(
        objective="contrastive",
        steps=steps,
        rare_rows=BATCH // 2,
        majority_rows=BATCH // 2,
        save_steps=0,
        train_word_embeddings=False,
        mixed_precision="bf16" if bfloat16 else "no",
    )
    encoded = [np.asarray(row, np.int64) for row in rows]
    trainer = ReembeddingTrainer(
        new_pooled_encoder(encoder, tokenizer, ["common", "rare"]),
        TrainingRows(encoded, labels, classes),
        arguments,
    )
    start = time.process_time()
    trainer.train()
    return time.process_time() - start


TRAININGS = {"classifier": classifier, "re-embedding": reembedding}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--length", type=int, default=40, help="tokens a text")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    number = BATCH * max(2, options.steps)
    rows = rng.integers(1000, 20_000, size=(number, options.length)).tolist()
    labels = rng.permutation(np.arange(number) % 2)
    found = {name: {"float32": [], "bfloat16": []} for name in TRAININGS}
    for training in TRAININGS.values():
        training(rows, labels, 1, True)  # what is loaded once
    for _ in range(options.rounds):
        for name, training in TRAININGS.items():
            for precision, seconds in found[name].items():
                torch.manual_seed(0)
                spent = training(rows, labels, options.steps, precision == "bfloat16")
                seconds.append(spent / options.steps)
    record = {
        "trainings": {
            name: {
                "processor_seconds_an_update": {
                    precision: statistics.median(seconds) for precision, seconds in of.items()
                },
                "float32_over_bfloat16": statistics.median(
                    a / b for a, b in zip(of["float32"], of["bfloat16"], strict=True)
                ),
            }
            for name, of in found.items()
        },
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
