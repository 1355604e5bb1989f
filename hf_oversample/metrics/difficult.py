"""Difficult minority rows: how many there are, and how well a classifier does on them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.metrics import f1_score

from hf_oversample.neighbors.difficult import difficult_samples


def difficult_report(
    predicted: npt.ArrayLike,
    labels: npt.ArrayLike,
    embeddings: npt.ArrayLike,
    *,
    minority: int = 1,
    k: int = 5,
) -> dict[str, float]:
    """Share of difficult minority rows (MISO, section 7.1), and F1 on them and on the others.

    A minority row is difficult if a row of another class is among its k nearest neighbours. F1 of
    the minority is taken over the difficult rows and all rows of other classes, and over the other
    minority rows and all rows of other classes: both kinds answer for the same false alarms.

    Args:
        predicted: [n] class ids.
        labels: [n] class ids.
        embeddings: [n, d], where neighbours are looked for.
        minority: the class.
        k: neighbours of a row.

    Returns:
        difficult_share, f1_difficult and f1_other; F1 is NaN where there is no such row.

    Raises:
        ValueError: lengths differ, or there is no row of the minority.
    """
    stated, truth = np.asarray(predicted), np.asarray(labels)
    if stated.shape != truth.shape or truth.ndim != 1:
        raise ValueError(f"{stated.shape} predictions and {truth.shape} labels must both be [n]")
    if not (truth == minority).any():
        raise ValueError(f"no row is of the class {minority}; there are {np.unique(truth)}")
    found = difficult_samples(embeddings, truth, k=k, minority=[minority])
    is_difficult = np.zeros(len(truth), bool)
    is_difficult[found.rows] = found.is_difficult
    report = {"difficult_share": float(found.share())}
    own = truth == minority
    for name, kind in (("f1_difficult", is_difficult), ("f1_other", own & ~is_difficult)):
        rows = ~own | kind
        report[name] = (
            float(f1_score(own[rows], stated[rows] == minority, zero_division=0.0))
            if kind.any()
            else float("nan")
        )
    return report
