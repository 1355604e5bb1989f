"""Thresholds: what is added to log-probabilities, and how it is chosen on validation rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax

from hf_oversample.metrics.classification import best_threshold

CONFIG_KEY = "minority_decision"
"""Where a model's config keeps its decision."""


def stored_decision(config: Any) -> dict[str, Any]:
    """What a model's config keeps of its decision.

    Raises:
        ValueError: there is nothing.
    """
    stored = getattr(config, CONFIG_KEY, None)
    if stored is None:
        raise ValueError(
            f"the config of this model has no {CONFIG_KEY!r}: choose one on validation rows "
            "(choose_decision, or choose_label_decision for any number of labels), store it in "
            "model.config and save the model again"
        )
    return dict(stored)


def store_decision(config: Any, labels: int, decision: dict[str, Any]) -> None:
    """Put a decision into a model's config, which ``save_pretrained`` and ``push_to_hub`` write.

    Args:
        config: the model's.
        labels: how many the decision is for.
        decision: plain values, for JSON.

    Raises:
        ValueError: the config is of another number of labels.
    """
    if config.num_labels != labels:
        raise ValueError(f"the model has {config.num_labels} labels, the decision {labels}")
    setattr(config, CONFIG_KEY, decision)


def moved(probabilities: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Probabilities `[n, classes]` with `[classes]` added to their logarithms."""
    values: np.ndarray = softmax(log_of(probabilities) + offsets, axis=1)
    return values


def log_of(probabilities: np.ndarray) -> np.ndarray:
    """Logarithms of probabilities [n, classes], finite where one is 0."""
    # of the smallest float64 above 0, not of a rounder one: rows below it would be ranked alike
    return np.log(np.maximum(probabilities.astype(np.float64), np.finfo(np.float64).tiny))


def tuned_offsets(labels: np.ndarray, probabilities: np.ndarray, minority: int) -> np.ndarray:
    """Threshold moving: what to add to the log-probabilities, chosen on validation rows.

    Two classes: the threshold with the largest F1 of the minority becomes one half. More: one
    offset a class, by two rounds of coordinate search for the largest macro-F1.

    Args:
        labels: `[n]` class ids of validation rows.
        probabilities: `[n, classes]` of them.
        minority: the class whose F1 counts, of two.

    Returns:
        `[classes]` float64.
    """
    classes = probabilities.shape[1]
    offsets = np.zeros(classes)
    if classes == 2:
        threshold = best_threshold((labels == minority).astype(int), probabilities[:, minority])
        # not to a rounder number: an over-confident model's best threshold may be far below it
        threshold = float(np.clip(threshold, np.finfo(np.float64).tiny, np.nextafter(1.0, 0.0)))
        # A little more than that: rounding must not put a row that is at the threshold below it.
        offsets[minority] = np.log((1 - threshold) / threshold) + 1e-9
        return offsets
    scores = log_of(probabilities)
    steps = np.linspace(-5, 5, 41)
    # Rarest class first: it has most to gain, and the common ones then settle around it.
    order = np.argsort(np.bincount(labels, minlength=classes), kind="stable")
    for _ in range(2):
        for label in order:
            found = []
            for step in steps:
                trial = offsets.copy()
                trial[label] = step
                found.append(_macro_f1(labels, (scores + trial).argmax(axis=1), classes))
            best = max(found)
            ties = steps[np.isclose(found, best)]
            offsets[label] = ties[np.argmin(np.abs(ties - offsets[label]))]
    return offsets


def _macro_f1(labels: np.ndarray, predicted: np.ndarray, classes: int) -> float:
    table = np.bincount(labels * classes + predicted, minlength=classes**2)
    table = table.reshape(classes, classes)
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    f1 = 2 * np.diag(table) / np.maximum(rows + columns, 1)
    return float(f1[rows > 0].mean())


def checked_logits(logits: ArrayLike, fewest: int = 2) -> NDArray[np.float64]:
    """Logits [n, classes] as float64.

    Raises:
        ValueError: fewer classes than ``fewest``, another shape, or logits that are not finite.
    """
    scores = np.asarray(logits, dtype=np.float64)
    if scores.ndim != 2 or scores.shape[1] < fewest:
        raise ValueError(
            f"logits have shape {scores.shape}: [n, classes], of {fewest} or more, is due"
        )
    if not np.isfinite(scores).all():
        row = int(np.argwhere(~np.isfinite(scores))[0, 0])
        raise ValueError(f"the logits of row {row} are {scores[row].tolist()}: training diverged")
    return scores
