"""Soft labels of made texts: what a teacher that has not seen their source says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy.special import softmax

from hf_oversample.data.class_counts import class_ids
from hf_oversample.data.columns import as_list, require_columns
from hf_oversample.data.row_weights import with_label_table
from hf_oversample.oversamplers.anchors.judge import (
    FOLDS,
    LinearJudge,
    chosen_regularization,
    spread_over_folds,
)
from hf_oversample.oversamplers.plan import ORIGINS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datasets import Dataset

REAL, SYNTHETIC = ORIGINS.index("real"), ORIGINS.index("synthetic")


class Embedder(Protocol):
    """What gives the teacher's vectors, such as `TextEmbedder`."""

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """`[n, d]` of n texts."""
        ...


def teacher_probabilities(
    embeddings: np.ndarray,
    labels: np.ndarray,
    made: np.ndarray,
    parents: np.ndarray,
    num_classes: int,
    *,
    seed: int = 0,
    folds: int = FOLDS,
) -> np.ndarray:
    """
    The class probabilities of made rows by balanced logistic regression that was not fitted on
    their parents: a made row is like its parent, and a teacher that knows the one knows the other.

    Args:
        embeddings, labels: `[n, d]` and `[n]`, the real rows.
        made: `[m, d]`.
        parents: `[m]`, the real row that each was made from.
        num_classes: number of classes.
        seed: deals the real rows out to the folds.
        folds: teachers; each made row is told by the one that its parent was held out of.

    Returns: `[m, classes]` float32, rows that sum to 1; NaN where a teacher lacks rows of two
        classes.
    """
    strength = chosen_regularization(embeddings, labels, num_classes, seed=seed, folds=folds)
    fold = spread_over_folds(embeddings, labels, folds, seed)
    result = np.full((len(made), num_classes), np.nan, np.float32)
    for number in range(folds):
        rest, own = fold != number, fold[parents] == number
        if own.any() and len(np.unique(labels[rest])) > 1:
            teacher = LinearJudge.fit(embeddings[rest], labels[rest], num_classes, strength)
            result[own] = softmax(teacher.logits(made[own]).astype(np.float64), axis=1)
    return result


def with_soft_labels(
    balanced: Dataset,
    embedder: Embedder,
    *,
    text_column: str = "text",
    label_column: str = "label",
    share: float = 0.5,
    num_labels: int | None = None,
    seed: int = 0,
) -> Dataset:
    """
    A balanced set whose made rows have, for their label, a mixture of it with what a teacher says
    of them; real rows, repeated ones too, keep theirs. `minority_loss("cross_entropy", counts)`
    and `"logit_adjusted"` read such labels.

    Args:
        balanced: as `Oversampler.balance` returns it, with the columns `origin` and `parent`: the
            real rows, then the others.
        embedder: of the teacher, see `teacher_probabilities`.
        text_column: the texts.
        label_column: a ClassLabel, or integers from 0.
        share: of the teacher in a made row's label, from 0 to 1.
        num_labels: classes of the head; default: those of the column.
        seed: of the teacher's folds.

    Returns: the rows, their label `[classes]` float32.

    Raises:
        ValueError: no such column, a share that is none, rows that were filtered or shuffled since,
            or real rows of one class.
    """
    require_columns(balanced, text_column, label_column, "origin", "parent")
    if not 0 <= share <= 1:
        raise ValueError(f"share is {share}; it is the teacher's share, from 0 to 1.")
    labels, names = class_ids(balanced, label_column, num_labels)
    plain = balanced.with_format(None)
    origin = np.asarray(plain["origin"][:])
    real, made = np.flatnonzero(origin == REAL), np.flatnonzero(origin == SYNTHETIC)
    table = np.zeros((len(labels), len(names)), np.float32)
    table[np.arange(len(labels)), labels] = 1.0
    if len(made) and share:
        if len(np.unique(labels[real])) < 2:
            raise ValueError(
                f"the {len(real)} real rows are of one class: a teacher learns from rows of two or "
                "more. Give the balanced set whole, its real rows among them."
            )
        parents = np.asarray(plain["parent"][:])[made]
        if not np.array_equal(real, np.arange(len(real))) or parents.max() >= len(real):
            raise ValueError(
                "parents are numbers of real rows, and the real rows do not come first, or not "
                f"all of them are there ({len(real)} are): give the balanced set whole and as "
                "balance returned it, before it is filtered or shuffled."
            )
        texts = as_list(plain[text_column])
        told = teacher_probabilities(
            embedder.embed([texts[i] for i in real.tolist()]),
            labels[real],
            embedder.embed([texts[i] for i in made.tolist()]),
            parents,
            len(names),
            seed=seed,
        )
        known = np.isfinite(told).all(axis=1)
        table[made[known]] = (1 - share) * table[made[known]] + share * told[known]
    return with_label_table(balanced, table, label_column)
