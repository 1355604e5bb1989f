"""Difficult minority rows: how many there are, and how well a classifier does on them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hf_oversample.metrics.classification import f1_on_rows
from hf_oversample.neighbors.difficult import difficult_samples
from hf_oversample.text.checks import checked_labels


def difficult_report(
    predicted: npt.ArrayLike,
    labels: npt.ArrayLike,
    embeddings: npt.ArrayLike,
    *,
    minority: int = 1,
    k: int = 5,
) -> dict[str, float]:
    """How many minority rows are difficult, and F1 on them and on the others.

    By the paper (MISO, section 7.1) a minority row is difficult if a row of another class is among
    its k nearest neighbours: with few minority rows, nearly each is. A row is *outvoted* if another
    class has as many votes among its neighbours as its own or more, each class's votes over its
    size: that tells rows apart at any ratio. See :func:`~hf_oversample.difficult_samples`
    and, for the formulas, :mod:`hf_oversample.neighbors.votes`.

    F1 of the minority is taken over the difficult rows and all rows of other classes, and over the
    other minority rows and all rows of other classes: both kinds answer for the same false alarms.

    Args:
        predicted: [n] class ids.
        labels: [n] class ids.
        embeddings: [n, d], where neighbours are looked for.
        minority: the class.
        k: neighbours of a row.

    Returns:
        difficult_share, f1_difficult and f1_other, by the paper's measure; outvoted_share,
        f1_outvoted and f1_not_outvoted, by weighted votes; what chance gives of either
        (difficult_share_by_chance, outvoted_share_by_chance); and own_lift, how often the
        minority's neighbours are of the minority, over what chance gives. F1 is NaN where there is
        no such row.

    Raises:
        ValueError: lengths differ, a label is null (its row is named), or there is no row of the
            minority.
    """
    stated, truth = checked_labels(predicted, "predicted"), checked_labels(labels)
    if stated.shape != truth.shape or truth.ndim != 1:
        raise ValueError(f"{stated.shape} predictions and {truth.shape} labels must both be [n]")
    if not (truth == minority).any():
        raise ValueError(f"no row is of the class {minority}; there are {np.unique(truth)}")
    found = difficult_samples(embeddings, truth, k=k, minority=[minority])
    report = found.summary()
    own, taken = truth == minority, stated == minority
    for measure, other, hit in (
        ("difficult", "other", found.is_difficult),
        ("outvoted", "not_outvoted", found.is_outvoted),
    ):
        for name, rows in ((measure, found.rows[hit]), (other, found.rows[~hit])):
            report[f"f1_{name}"] = f1_on_rows(own, taken, rows)
    return report
