"""Mined contrastive batches: rare texts, what lies beside them, and the loss between them.

The loss is that of supervised contrastive learning (Khosla et al. 2020, equation 2, "out"), with
three changes: rare rows alone are queries; half of the negatives are mined among the majority rows
nearest to them; and a difficult row is pulled to rows that are not difficult, and never another to
it (MISO's difficult samples, section 7.1, are what lies wrong before re-embedding).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hf_oversample.neighbors.difficult import difficult_samples, nearest_neighbors
from hf_oversample.numeric import noise
from hf_oversample.training.reembedding_arguments import ReembeddingArguments


@dataclass(frozen=True)
class RareClass:
    """
    One rare class in the space of the frozen encoder.

    Args:
        rows: `[m]` its training rows.
        is_difficult: `[m]`, whether other classes outvote the row's own among its neighbours.
        hard_negatives: `[m, k]` nearest rows of other classes, nearest first.
        others: `[o]` all rows of other classes.
    """

    rows: np.ndarray
    is_difficult: np.ndarray
    hard_negatives: np.ndarray
    others: np.ndarray


def rare_classes(
    embeddings: np.ndarray,
    labels: np.ndarray,
    targets: Sequence[int],
    *,
    neighbors: int,
    hard_neighbors: int,
) -> dict[int, RareClass]:
    """
    Each rare class's rows, which of them are difficult, and their nearest rows of other classes.

    Args:
        embeddings: `[n, d]` of the training texts by the frozen encoder.
        labels: `[n]`, theirs.
        targets: the rare classes.
        neighbors: k of the difficult samples; fewer where there are fewer other rows.
        hard_neighbors: nearest rows of other classes that are a rare row's hard negatives; fewer
            where there are fewer.
    """
    k = min(neighbors, len(labels) - 1)
    samples = difficult_samples(embeddings, labels, k=k, minority=list(targets))
    found = {}
    for label in targets:
        own = samples.labels == label
        rows = samples.rows[own]
        others = np.flatnonzero(labels != label)
        number = min(hard_neighbors, len(others))
        _, nearest = nearest_neighbors(embeddings[rows], embeddings[others], number)
        found[label] = RareClass(
            rows, samples.is_outvoted[own], others[np.asarray(nearest)], others
        )
    return found


@dataclass(frozen=True)
class ContrastiveBatch:
    """
    Rows of one batch, rare ones first, then made ones, then those of other classes.

    Args:
        rows: `[r + o]` training rows: r rare ones, then o of other classes.
        anchors: `[a]` numbers of made texts of the rare class.
        positives: `[r, r + a]`, whether a rare or made text is one that the query is pulled to.
    """

    rows: np.ndarray
    anchors: np.ndarray
    positives: np.ndarray

    @property
    def queries(self) -> int:
        """r, how many rare rows there are."""
        return len(self.positives)


def draw_batch(
    classes: dict[int, RareClass],
    anchors: dict[int, np.ndarray],
    arguments: ReembeddingArguments,
    step: int,
    process: int,
) -> ContrastiveBatch:
    """
    A batch of one rare class, drawn by (seed, step, process).

    Args:
        classes: of `rare_classes`.
        anchors: class → numbers of the made texts of it; none where there are none.
        arguments: sizes and shares.
        step, process: what the batch is a function of, beside the seed.
    """
    a = arguments
    rng = noise.generator(a.seed, noise.stream("contrastive batch"), step, process)
    labels = list(classes)
    chances = np.array([len(classes[label].rows) for label in labels], float) ** a.class_smoothing
    label = labels[rng.choice(len(labels), p=chances / chances.sum())]
    of = classes[label]
    made = anchors.get(label, np.empty(0, np.int64))
    number = min(round(a.anchor_share * a.rare_rows), len(made))
    # one query, and one positive that is real or made, at least
    number = min(number, a.rare_rows - 1)
    own = rng.permutation(len(of.rows))[: a.rare_rows - number]
    chosen = rng.permutation(made)[:number]
    negatives = draw_negatives(
        of.hard_negatives[own], of.others, a.majority_rows, a.hard_share, rng
    )
    difficult = of.is_difficult[own]
    # made texts are no queries: what they are pulled to is nobody's measured place
    targets = np.concatenate([~difficult, np.ones(number, bool)])
    same = np.eye(len(own), len(own) + number, dtype=bool)
    positives = targets[None, :] & ~same
    # a query whose batch has no text that is not difficult is pulled to all others
    lonely = ~positives.any(axis=1)
    positives[lonely] = ~same[lonely]
    return ContrastiveBatch(np.concatenate([of.rows[own], negatives]), chosen, positives)


def draw_negatives(
    hard: np.ndarray, others: np.ndarray, number: int, hard_share: float, rng: np.random.Generator
) -> np.ndarray:
    """
    Rows of other classes, none twice: first hard ones, then any of the rest.

    Args:
        hard: rows near rare ones, in any shape; each is among `others`.
        others: `[o]` all rows of other classes.
        number: how many rows; o where that is less.
        hard_share: share of them that are hard, where there are as many.
        rng: draws both.
    """
    number = min(number, len(others))
    near = rng.permutation(np.unique(hard))[: round(hard_share * number)]
    rest = np.setdiff1d(others, near)
    return np.concatenate([near, rng.permutation(rest)[: number - len(near)]])


def contrastive_loss(vectors: Tensor, positives: Tensor, temperature: float) -> Tensor:
    """
    −mean over queries i of the mean over i's positives p of log(exp(s_ip / τ) / Σ_j exp(s_ij / τ)),
    where j is any vector but i's own.

    Args:
        vectors: `[n, d]` of length 1: the queries first, then what else may be a positive, then the
            negatives.
        positives: bool `[q, p]`, of the q queries among the first p vectors; each has one at least.
        temperature: τ.

    Returns: a scalar.
    """
    queries, known = positives.shape
    similarity = vectors[:queries] @ vectors.T / temperature
    own = torch.eye(queries, len(vectors), dtype=torch.bool, device=vectors.device)
    logs = similarity - similarity.masked_fill(own, -torch.inf).logsumexp(dim=1, keepdim=True)
    weight = positives.to(logs) / positives.sum(dim=1, keepdim=True)
    return -(logs[:, :known] * weight).sum(dim=1).mean()
