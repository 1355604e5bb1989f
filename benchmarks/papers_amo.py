"""The table of the AMO paper on text: Reuters and Twitter POS (its Table 3).

    python benchmarks/papers_amo.py run --data_dir … --output benchmarks/papers_amo.jsonl
    python benchmarks/papers_amo.py table benchmarks/papers_amo.jsonl

The paper's protocol (section 3.1): a network of two layers, 15 epochs of SGD with momentum 0.9 at a
rate of 0.1, a tenth of it from epoch 10 on, batches of 64, weight decay 5e-5; class-wise accuracy,
averaged over all classes, over the largest ones that hold half of the rows ("major"), and over the
others; the classes that have at least 5 test rows, which are the paper's 36 of Reuters and 23 of
Twitter. AMO starts at epoch 10, with a g that was trained plainly on the same rows.

What the paper leaves open, and what is taken: units of the hidden layer (256, the oversampler's
default); the features (papers_amo_data.py) and their scale (SCALES, chosen for plain training on
validation rows, then the same for every method); the focal loss's strength (2). β, λ and γ of AMO
are chosen on validation rows from the paper's candidates, γ as a probability. LDAM's scores are not
normalised here, so its scale is 1. SMOTE, and AMO made before training, balance the rows once; a
batch then draws from all rows of its classes.

Kept clean: validation rows are a fifth of the training rows (Reuters) or the data's own (Twitter),
and test rows are scored once for each method and seed; training texts that are test texts too are
left out. `run` skips what its output holds already.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from papers_amo_data import TASKS, Data, Rows

from hf_oversample.metrics.statistics import paired_test
from hf_oversample.models.classifiers.mlp import MlpForEmbeddingClassification
from hf_oversample.oversamplers.amo import AmoOversampler
from hf_oversample.oversamplers.smote import SmoteOversampler
from hf_oversample.report import markdown_table
from hf_oversample.training.amo_collator import AmoCollator
from hf_oversample.training.heads import head_logits, new_head, train_head
from hf_oversample.training.losses import (
    FocalLoss,
    LdamLoss,
    balanced_class_weights,
    class_balanced_weights,
)

HIDDEN_SIZE, BATCH_SIZE, EPOCHS = 256, 64, 15
SCALES = (1.0, 3.0, 10.0, 30.0)
CANDIDATES = {"beta": (0.99, 0.999), "penalty": (0.1, 0.5), "acceptance": (0.9, 0.99)}
MEASURES = ("major", "minor", "average")

# Table 3: major, minor and average accuracy in percent, mean of 3 trials.
PRINTED: dict[str, dict[str, tuple[float, float, float]]] = {
    "twitter": {
        "ERM": (92.5, 69.7, 74.7),
        "RS": (87.8, 72.5, 75.8),
        "SMOTE": (91.2, 65.7, 70.7),
        "RW": (84.5, 73.9, 76.2),
        "CB-RW": (88.5, 74.4, 77.5),
        "DRS": (90.9, 74.1, 77.8),
        "AMO": (90.8, 74.7, 78.2),
        "Focal": (82.3, 72.0, 74.2),
        "LDAM": (92.1, 69.7, 74.6),
        "LDAM-DRW": (91.0, 74.4, 78.0),
        "LDAM + AMO": (90.5, 75.6, 78.8),
    },
    "reuters": {
        "ERM": (97.6, 57.6, 59.8),
        "RS": (97.2, 61.3, 63.3),
        "SMOTE": (97.2, 60.4, 62.5),
        "RW": (95.3, 63.2, 65.0),
        "CB-RW": (97.4, 62.9, 64.8),
        "DRS": (97.6, 60.3, 62.4),
        "AMO": (97.3, 64.5, 66.3),
        "Focal": (97.8, 57.1, 59.4),
        "LDAM": (97.7, 61.0, 63.0),
        "LDAM-DRW": (97.2, 62.2, 64.1),
        "LDAM + AMO": (96.3, 68.5, 70.0),
    },
}


# ---- methods ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Training:
    """What a method is given."""

    x: np.ndarray
    y: np.ndarray
    seed: int
    epochs: int
    amo: dict[str, Any]  # chosen β, λ, γ
    on_sphere: bool

    @property
    def counts(self) -> list[int]:
        return np.bincount(self.y).tolist()

    @property
    def late(self) -> int:
        """The epoch at which what is deferred starts: the paper's 10 of 15."""
        return round(self.epochs * 2 / 3)

    @property
    def deferred_balance(self) -> dict[str, Any]:
        return {"sampling": "balanced", "deferred_start": self.late}

    def head(self, **options: Any) -> MlpForEmbeddingClassification:
        """A network of the protocol."""
        settings: dict[str, Any] = {
            "num_labels": len(self.counts),
            "hidden_size": HIDDEN_SIZE,
            "epochs": self.epochs,
            "batch_size": BATCH_SIZE,
            "optimizer": "sgd",
            "learning_rate": 0.1,
            "weight_decay": 5e-5,
            "schedule": "step",
            "standardize": False,
            "min_steps": 0,
            "seed": self.seed,
        }
        return train_head(self.x, self.y, **{**settings, **options})


class MadeRows:
    """Rows of a class-balanced batch → random ones of their classes among real and made rows."""

    def __init__(self, training: Training, made: Rows, start_step: int) -> None:
        self.real, self.start_step, self.step = training, start_step, 0
        self.x = np.concatenate([training.x, made[0]])
        self.by_class = np.argsort(np.concatenate([training.y, made[1]]), kind="stable")
        self.counts = np.bincount(np.concatenate([training.y, made[1]]))
        self.rng = np.random.default_rng(training.seed)

    def __call__(self, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        labels, x = self.real.y[rows], self.real.x[rows]
        if self.step >= self.start_step:
            starts = np.cumsum(self.counts) - self.counts
            places = starts[labels] + self.rng.integers(self.counts[labels])
            x = self.x[self.by_class[places]]
        self.step += 1
        return torch.from_numpy(x), torch.from_numpy(labels)


def smote(training: Training) -> MlpForEmbeddingClassification:
    """Balanced once by this library's SMOTE, from the first epoch on."""
    sampler = SmoteOversampler(seed=training.seed).fit_arrays(training.x, training.y)
    collator = MadeRows(training, sampler.new_rows()[:2], 0)
    return training.head(sampling="balanced", collator=collator)


def amo(training: Training, loss: Any = None) -> MlpForEmbeddingClassification:
    """On the fly from the late epochs on, with the classifier that is being trained."""
    start = new_head(training.x.shape[1], len(training.counts), HIDDEN_SIZE, training.seed)
    collator = AmoCollator(
        training.x,
        training.y,
        generating=training.head(seed=training.seed + 1000),
        receiving=start,
        start_step=training.late * -(-len(training.y) // BATCH_SIZE),
        method=AmoOversampler(project_to_sphere=training.on_sphere, **training.amo),
        seed=training.seed,
    )
    return training.head(**training.deferred_balance, model=start, collator=collator, loss=loss)


def amo_before(training: Training) -> MlpForEmbeddingClassification:
    """As `AmoOversampler` makes rows: once, with an f that was trained before."""
    sampler = AmoOversampler(
        seed=training.seed,
        project_to_sphere=training.on_sphere,
        generating_classifier=training.head(seed=training.seed + 1000),
        receiving_classifier=training.head(**training.deferred_balance, seed=training.seed + 2000),
        **training.amo,
    )
    made = sampler.fit_arrays(training.x, training.y).new_rows()[:2]
    start_step = training.late * -(-len(training.y) // BATCH_SIZE)
    return training.head(**training.deferred_balance, collator=MadeRows(training, made, start_step))


def ldam(training: Training) -> LdamLoss:
    """The margins by the training rows' counts."""
    return LdamLoss(training.counts, scale=1.0, reduction="none")


METHODS: dict[str, Callable[[Training], MlpForEmbeddingClassification]] = {
    "ERM": lambda t: t.head(),
    "RS": lambda t: t.head(sampling="balanced"),
    "SMOTE": smote,
    "RW": lambda t: t.head(class_weights=balanced_class_weights(t.counts)),
    "CB-RW": lambda t: t.head(class_weights=class_balanced_weights(t.counts)),
    "DRS": lambda t: t.head(**t.deferred_balance),
    "AMO": amo,
    "AMO, made before": amo_before,
    "Focal": lambda t: t.head(loss=FocalLoss(reduction="none")),
    "LDAM": lambda t: t.head(loss=ldam(t)),
    "LDAM-DRW": lambda t: t.head(
        loss=ldam(t), class_weights=class_balanced_weights(t.counts), deferred_start=t.late
    ),
    "LDAM + AMO": lambda t: amo(t, ldam(t)),
}
CHOSEN_FOR = {"AMO": "AMO", "AMO, made before": "AMO", "LDAM + AMO": "LDAM + AMO"}


def class_accuracies(
    logits: np.ndarray, labels: np.ndarray, train_counts: np.ndarray
) -> dict[str, float]:
    """Percent right of each class, averaged over the major, the minor and all classes that have
    rows. Major: the fewest classes, by training rows, that hold more than half of these."""
    right = logits.argmax(axis=1) == labels
    by_class = {k: 100 * right[labels == k].mean() for k in np.unique(labels).tolist()}
    order = np.argsort(-train_counts, kind="stable")
    held = np.cumsum(train_counts[order])
    major = set(order[: 1 + np.searchsorted(held, held[-1] / 2, side="right")].tolist())
    groups = {
        "major": [v for k, v in by_class.items() if k in major],
        "minor": [v for k, v in by_class.items() if k not in major],
        "average": list(by_class.values()),
    }
    return {name: float(np.mean(values)) for name, values in groups.items()}


# ---- runs ---------------------------------------------------------------------------------------


class Records:
    """Trained and scored once: what the file holds is not done again."""

    def __init__(self, path: Path, epochs: int, share: float) -> None:
        self.path, self.epochs, self.share = path, epochs, share
        self.known = {self.key(record): record for record in read(path)}

    @staticmethod
    def key(record: dict[str, Any]) -> str:
        names = ("task", "split", "method", "seed", "scale", "amo", "epochs", "share")
        return json.dumps([record[name] for name in names], sort_keys=True)

    def get(
        self, data: Data, task: str, split: str, method: str, seed: int, scale: float, amo: dict
    ) -> dict[str, Any]:
        """The record of a method on test rows, or on validation rows."""
        setting = {"task": task, "split": split, "method": method, "seed": seed, "scale": scale}
        setting |= {"amo": amo, "epochs": self.epochs, "share": self.share}
        if self.key(setting) in self.known:
            return self.known[self.key(setting)]
        train, scored = (data.train, data.test) if split == "test" else data.halves(seed)
        start = time.perf_counter()
        x, y = train[0] * np.float32(scale), train[1].astype(np.int64)
        training = Training(x, y, seed, self.epochs, amo, data.on_sphere)
        head = METHODS[method](training)
        seconds = time.perf_counter() - start
        logits = head_logits(head, scored[0] * np.float32(scale))
        record = {
            **setting,
            **class_accuracies(logits, scored[1], np.bincount(y)),
            "train_rows": len(y),
            "left_out": data.left_out,
            "width": x.shape[1],
            "seconds": round(seconds, 1),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, "
            f"{torch.get_num_threads()} threads",
            "versions": {n: metadata.version(n) for n in ("torch", "numpy", "scikit-learn")},
        }
        self.known[self.key(setting)] = record
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        print(f"{task}, {split}, {method}, seed {seed}, {scale:g}, {amo}: ", end="")
        print(f"{record['average']:.1f} in {seconds:.0f} s", flush=True)
        return record


def read(path: Path) -> list[dict[str, Any]]:
    """The records of a file; none where there is no file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def candidates() -> Iterator[dict[str, float]]:
    """All β, λ, γ of the paper's."""
    for values in product(*CANDIDATES.values()):
        yield dict(zip(CANDIDATES, values, strict=True))


def run(options: argparse.Namespace) -> None:
    """Choose the scale and AMO's parameters on validation rows, then score every method."""
    for kind, wanted, known in (
        ("tasks", options.tasks, TASKS),
        ("methods", options.methods, METHODS),
    ):
        if unknown := sorted(set(wanted or ()) - set(known)):
            raise SystemExit(f"unknown {kind} {unknown}; there are {list(known)}")
    records = Records(options.output, options.epochs, options.share)
    methods = options.methods or list(METHODS)
    for task in options.tasks or TASKS:
        data = TASKS[task](options.data_dir, options.share)

        def score(split: str, method: str, seed: int, scale: float, amo: dict) -> float:
            return records.get(data, task, split, method, seed, scale, amo)["average"]  # noqa: B023

        def on_validation(method: str, scale: float, amo: dict) -> float:
            seeds = range(options.choice_seeds)
            return sum(score("validation", method, seed, scale, amo) for seed in seeds)

        scale = max(SCALES, key=lambda one: on_validation("ERM", one, {}))
        chosen = {
            method: max(candidates(), key=lambda c: on_validation(method, scale, c))
            for method in sorted({CHOSEN_FOR[m] for m in methods if m in CHOSEN_FOR})
        }
        for seed, method in product(range(options.seeds), methods):
            amo = chosen[CHOSEN_FOR[method]] if method in CHOSEN_FOR else {}
            score("test", method, seed, scale, amo)


def table(options: argparse.Namespace) -> None:
    """Ours, mean ± sd over the seeds, with the paper's figure in brackets; a table a task."""
    found = [record for record in read(options.records) if record["split"] == "test"]
    for task in dict.fromkeys(record["task"] for record in found):
        of_task = [record for record in found if record["task"] == task]
        by_method = {
            method: {r["seed"]: r for r in of_task if r["method"] == method}
            for method in METHODS
            if any(r["method"] == method for r in of_task)
        }
        chosen = {CHOSEN_FOR[r["method"]]: r["amo"] for r in of_task if r["method"] in CHOSEN_FOR}
        print(f"\n### {task}\n\nVectors times {of_task[0]['scale']:g}; chosen: {chosen}.\n")
        rows = []
        for method, runs in by_method.items():
            printed = PRINTED[task.split(",")[0]].get(method)
            cells = []
            for place, measure in enumerate(MEASURES):
                values = [r[measure] for r in runs.values()]
                sd = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
                paper = f" ({printed[place]:.1f})" if printed else ""
                cells.append(f"{np.mean(values):.1f}{sd}{paper}")
            rows.append([method, *cells, difference(by_method, method)])
        print(markdown_table(["method", *MEASURES, "average, AMO less this"], rows))


def difference(by_method: dict[str, dict[int, dict[str, Any]]], other: str) -> str:
    """AMO's average less another method's over the seeds of both, with the p of a paired test."""
    seeds = sorted(set(by_method.get("AMO", {})) & set(by_method[other]))
    if other == "AMO" or len(seeds) < 2:
        return "–"
    ours, theirs = ([by_method[m][seed]["average"] for seed in seeds] for m in ("AMO", other))
    test = paired_test(ours, theirs)
    return f"{test.mean:+.1f} (p {test.p_value:.2f})"


def main(arguments: list[str] | None = None) -> None:
    """Run, or print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    runner = commands.add_parser("run")
    runner.add_argument("--data_dir", type=Path, required=True, help="has reuters_r52, twitter_pos")
    runner.add_argument("--tasks", nargs="*", help=f"default: all of {list(TASKS)}")
    runner.add_argument("--methods", nargs="*", help="default: all")
    runner.add_argument("--seeds", type=int, default=5)
    runner.add_argument("--choice_seeds", type=int, default=1, help="validation runs a candidate")
    runner.add_argument("--epochs", type=int, default=EPOCHS)
    runner.add_argument("--share", type=float, default=1.0, help="of the training rows, for a try")
    runner.add_argument("--output", type=Path, default=Path(__file__).parent / "papers_amo.jsonl")
    runner.set_defaults(work=run)
    printer = commands.add_parser("table")
    printer.add_argument("records", type=Path)
    printer.set_defaults(work=table)
    options = parser.parse_args(arguments)
    options.work(options)


if __name__ == "__main__":
    main()
