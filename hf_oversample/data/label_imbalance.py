"""How imbalanced the labels of a multi-label data set are.

The measures of Charte, Rivera, del Jesus and Herrera (Neurocomputing 163, 2015, "Addressing
imbalance in multilabel classification: Measures and random resampling algorithms"), and their
SCUMBLE (HAIS 2014, "Concurrence among imbalanced labels and its influence on multilabel resampling
algorithms"), as the authors' R package mldr computes it: over the labels that a row has.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def imbalance_ratios(counts: npt.ArrayLike) -> Floats:
    """IRLbl of each label: rows of the most frequent label over its own.

    Args:
        counts: rows that have each label [labels].

    Returns:
        [labels], 1 for the most frequent label; infinite for a label without rows.

    Raises:
        ValueError: no label has a row.
    """
    having = np.asarray(counts, dtype=np.float64)
    if not having.size or not having.max() > 0:
        raise ValueError("no label has a row: there is no ratio")
    with np.errstate(divide="ignore"):
        ratios: Floats = having.max() / having
    return ratios


def mean_imbalance_ratio(counts: npt.ArrayLike) -> float:
    """MeanIR: the mean of IRLbl over the labels that have rows."""
    ratios = imbalance_ratios(counts)
    return float(ratios[np.isfinite(ratios)].mean())


def minority_labels(counts: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Labels with rows whose IRLbl is above MeanIR, ascending."""
    ratios = imbalance_ratios(counts)
    above = np.isfinite(ratios) & (ratios > mean_imbalance_ratio(counts))
    return np.flatnonzero(above)


def scumble_of_rows(matrix: npt.NDArray[np.bool_]) -> Floats:
    """SCUMBLE of each row: 1 less the geometric over the arithmetic mean of its labels' IRLbl.

    0 where all of a row's labels are as frequent (one label, or none, among them); near 1 where a
    rare label stands beside a frequent one, so that to repeat the row repeats both.

    Args:
        matrix: [n, labels].

    Returns:
        [n], in [0, 1).
    """
    has = np.asarray(matrix, dtype=bool)
    ratios = imbalance_ratios(has.sum(axis=0))
    own = np.where(np.isfinite(ratios), ratios, 1.0)  # of labels that no row has
    number = np.maximum(has.sum(axis=1), 1)
    arithmetic = has @ own / number
    geometric = np.exp(has @ np.log(own) / number)
    shares = np.where(has.any(axis=1), 1 - geometric / np.where(arithmetic > 0, arithmetic, 1), 0.0)
    found: Floats = np.clip(shares, 0.0, 1.0)  # rounding
    return found


def scumble(matrix: npt.NDArray[np.bool_]) -> float:
    """SCUMBLE of a data set: the mean of its rows' (`scumble_of_rows`)."""
    return float(scumble_of_rows(matrix).mean())
