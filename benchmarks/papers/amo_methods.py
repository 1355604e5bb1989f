"""What the AMO paper's table compares: its network, its methods, and how they are scored.

The protocol (section 3.1): a network of two layers, 15 epochs of SGD with momentum 0.9 at a rate
of 0.1, a tenth of it from epoch 10 on, batches of 64, weight decay 5e-5. AMO starts at epoch 10,
with a g that was trained plainly on the same rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.papers.amo_data import Rows
from hf_oversample.models.classifiers.mlp import MlpForEmbeddingClassification
from hf_oversample.oversamplers.amo.collator import AmoCollator
from hf_oversample.oversamplers.amo.oversampler import AmoOversampler
from hf_oversample.oversamplers.smote import SmoteOversampler
from hf_oversample.training.heads import new_head, train_head
from hf_oversample.training.losses import (
    FocalLoss,
    LdamLoss,
    balanced_class_weights,
    class_balanced_weights,
)

HIDDEN_SIZE, BATCH_SIZE, EPOCHS = 256, 64, 15


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
