"""What a command would make, how long it would take and how much memory: `--dry-run`."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from hf_oversample.commands.compare import read_parts, read_problem
from hf_oversample.commands.compare_arguments import EVERYTHING, CompareRunArguments
from hf_oversample.commands.data import read_data
from hf_oversample.commands.given_rows import read_given_rows
from hf_oversample.commands.label_comparison import plan_label_comparison
from hf_oversample.commands.miso_arguments import MisoRunArguments
from hf_oversample.commands.outcome import Outcome
from hf_oversample.comparison.given_rows import given_remedy
from hf_oversample.comparison.remedies import REMEDIES, remedy_named
from hf_oversample.data.label_sets import multi_label_columns
from hf_oversample.oversamplers.strategy import children_per_class, class_counts

# all-MiniLM-L6-v2's layers, and roughly what a small encoder from scratch has.
ENCODER_PARAMETERS = 11_000_000
# Share of a matrix product's rate that training reached, and GB that Python, torch and the
# libraries hold before any data (both measured on two cores, MiniLM).
REACHED, LIBRARIES_GB = 0.35, 0.8
SECONDS_PER_TRAINING = {
    "linear": 3,
    "mlp": 12,  # two rates
    "textcnn": 20,
    "textcnn-pretrained-words": 20,
    "textrnn": 60,
    "finetune": 300,
}
"""Measured on two cores with some thousands of short texts (benchmarks/compare.md)."""


def plan_balance(arguments: MisoRunArguments) -> Outcome:
    """
    Read and check the data, and count what would be made.

    The time is that of the generator's training, where one is trained: its floating-point
    operations over the rate of a matrix product that is timed here and now. The memory is that of
    libraries, weights, gradients, optimiser and a batch's activations.

    Raises:
        ValueError: as the run itself, for data that it would refuse.
    """
    a = arguments
    data = read_data(a)
    counts = class_counts(data.train.labels, names=data.class_names)
    children = children_per_class(a.sampling_strategy, counts, data.class_names)
    after = {
        name: int(counts[code]) + int(children.get(code, 0))
        for code, name in enumerate(data.class_names)
    }
    before = {name: int(counts[code]) for code, name in enumerate(data.class_names)}
    record: dict[str, Any] = {
        "rows": {"before": before, "after": after, "made": sum(children.values())},
        "output_dir": a.output_dir,
    }
    lines = [f"would write to {a.output_dir}: {sum(children.values())} new rows"]
    lines += [f"  {name}: {before[name]} → {after[name]}" for name in before]
    if a.trains_generator:
        seconds, memory = _training(a, data.train.texts)
        record["estimate"] = {"seconds": round(seconds), "gigabytes": round(memory, 1)}
        lines.append(
            f"about {seconds / 60:.0f} to {2 * seconds / 60 + 1:.0f} minutes and {memory:.1f} GB: "
            f"training a generator of {ENCODER_PARAMETERS / 1e6:.0f} million parameters at this "
            "machine's present speed; writing texts and the first imports come on top, other "
            "encoders scale with their size"
        )
    elif getattr(a, "method", None) == "language_model":
        lines.append(
            "minutes without a GPU, more with a larger model: a language model is loaded, an "
            "adapter a class is trained unless it is prompted, and each text is written word by "
            "word"
        )
    else:
        lines.append("no generator is trained: seconds to a few minutes")
    return Outcome(record, "\n".join(lines))


def plan_comparison(arguments: CompareRunArguments) -> Outcome:
    """
    Read and check the data, and count the trainings.

    Raises:
        ValueError: as the comparison itself, for data that it would refuse.
    """
    a = arguments
    parts = read_parts(a)
    columns = multi_label_columns(parts["train"].features, a.label_column)
    if columns is not None:
        return plan_label_comparison(a, parts["train"], columns)
    problem = read_problem(a, parts)
    names = list(REMEDIES) if EVERYTHING in a.methods else list(a.methods)
    remedies = list(dict.fromkeys(["none", *(remedy_named(name).name for name in names)]))
    for name, rows in read_given_rows(a).items():
        remedies.append(given_remedy(name, rows, problem.class_names).name)
    cells = {kind: len(problem.splits) * len(remedies) for kind in a.classifiers}
    seconds = sum(SECONDS_PER_TRAINING.get(kind, 60) * cells[kind] for kind in cells)
    record = {
        "splits": len(problem.splits),
        "remedies": remedies,
        "cells": cells,
        "estimate": {"seconds": seconds, "gigabytes": 2.0},
    }
    told = (
        f"{len(problem.splits)} splits, {len(remedies)} remedies, {', '.join(a.classifiers)}: "
        f"{sum(cells.values())} cells, about {seconds / 60:.0f} minutes and 2 GB (seconds a cell "
        "as measured on two cores with thousands of short texts; longer texts take longer, and "
        "generators come on top where anchors are compared). A stopped comparison goes on."
    )
    return Outcome(record, told)


def _training(a: MisoRunArguments, texts: list[str]) -> tuple[float, float]:
    """Seconds and GB of a generator's training."""
    t = a.training
    words = np.mean([min(len(text) / 4 + 2, t.max_length) for text in texts[:2000]])
    tokens = float(words) * t.batch_size
    steps = t.pretrain_steps
    if a.realizer != "edit" or a.use_latent:
        steps += t.critic_steps + 3 * t.adversarial_steps
    operations = 6 * ENCODER_PARAMETERS * tokens * steps
    seconds = operations / (REACHED * _rate())
    if t.max_train_seconds:
        seconds = min(seconds, t.max_train_seconds)
    # float32: weights, gradients and AdamW's two moments; then some 60 values a token and layer
    memory = LIBRARIES_GB + 2 * 16e-9 * ENCODER_PARAMETERS + 4e-9 * 60 * 384 * 6 * tokens
    return seconds, memory


def _rate() -> float:
    """Operations a second of a matrix product here and now."""
    left, right = torch.ones(512, 384), torch.ones(384, 1536)
    left @ right
    start, rounds = time.perf_counter(), 20
    for _ in range(rounds):
        left @ right
    return rounds * 2 * 512 * 384 * 1536 / (time.perf_counter() - start)
