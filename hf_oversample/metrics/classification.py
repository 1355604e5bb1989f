"""How well a classifier finds a rare class.

F1 at a threshold of 0.5 mostly measures where the threshold lies: an oversampler moves it. Average
precision and ROC AUC measure the ranking, which no threshold changes; F1 at a threshold that was
tuned on other rows (`best_threshold`) is the fair F1. Labels are 1 for the minority, scores its
probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    precision_recall_fscore_support,
    roc_auc_score,
)

from hf_oversample.text.checks import checked_labels


def binary_report(
    labels: ArrayLike,
    scores: ArrayLike,
    threshold: float = 0.5,
    difficult: ArrayLike | None = None,
) -> dict[str, float]:
    """Measures of a binary classifier, all in [0, 1].

    Args:
        labels: [n], 1 for the minority, else 0.
        scores: [n], probability of the minority.
        threshold: a row with at least this score counts as minority.
        difficult: [n] booleans. Adds ``f1_difficult``, over the difficult minority rows and all
            majority rows, and ``f1_other``, over the other minority rows and all majority rows:
            each NaN where there is no such minority row. Majority rows are neither, so both kinds
            answer for the same false alarms.

    Returns:
        f1, precision, recall (of the minority), macro_f1, balanced_accuracy, average_precision,
        roc_auc, ece.

    Raises:
        ValueError: lengths differ, a label is not 0 or 1, a class has no row, or a score is not
            finite.
    """
    labels, scores = _checked(labels, scores)
    predicted = (scores >= threshold).astype(np.int64)
    precision, recall, f1, _ = precision_recall_fscore_support(
        labels, predicted, labels=[0, 1], zero_division=0.0
    )
    report = {
        "f1": float(f1[1]),
        "precision": float(precision[1]),
        "recall": float(recall[1]),
        "macro_f1": float(f1.mean()),
        "balanced_accuracy": float(recall.mean()),
        "average_precision": float(average_precision_score(labels, scores)),
        "roc_auc": float(roc_auc_score(labels, scores)),
        "ece": expected_calibration_error(labels, scores),
    }
    if difficult is not None:
        mask = np.asarray(difficult, dtype=bool)
        if mask.shape != labels.shape:
            raise ValueError(f"difficult has shape {mask.shape}, labels {labels.shape}")
        for name, minority in (("f1_difficult", mask), ("f1_other", ~mask)):
            report[name] = f1_on_rows(labels, predicted, np.flatnonzero(minority & (labels == 1)))
    return report


def best_threshold(labels: ArrayLike, scores: ArrayLike) -> float:
    """The threshold with the largest F1, halfway to the next lower score.

    Choose it on validation rows, never on those that are reported. Of equal ones, the highest.

    Args:
        labels: [n], 1 for the minority, else 0.
        scores: [n], any scores that rise with the minority.
    """
    labels, scores = _checked(labels, scores)
    precision, recall, thresholds = precision_recall_curve(labels, scores)
    precision, recall = precision[:-1], recall[:-1]
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    best = len(f1) - 1 - int(np.argmax(f1[::-1]))
    lower = scores[scores < thresholds[best]]
    return float((thresholds[best] + lower.max()) / 2 if lower.size else thresholds[best])


def average_precision_at(labels: ArrayLike, scores: ArrayLike, prevalence: float) -> float:
    """Average precision as it would be if the minority were this share of the rows.

    Average precision falls with the prevalence, so test sets of other class ratios can be compared
    at a stated one only. Rows are weighted, none is dropped.

    Raises:
        ValueError: the prevalence is not inside (0, 1), or as in `binary_report`.
    """
    if not 0 < prevalence < 1:
        raise ValueError(
            f"prevalence={prevalence} must be between 0 and 1 (0.01: one in a hundred)"
        )
    labels, scores = _checked(labels, scores)
    share = labels.mean()
    weights = np.where(labels == 1, prevalence / share, (1 - prevalence) / (1 - share))
    return float(average_precision_score(labels, scores, sample_weight=weights))


def expected_calibration_error(
    correct: ArrayLike, probabilities: ArrayLike, bins: int = 15
) -> float:
    """Mean distance between stated probability and observed frequency (Naeini et al. 2015).

    Args:
        correct: [n], 1 where what has the probability came true: the label of a binary classifier,
            or whether the predicted class was right.
        probabilities: [n], in [0, 1].
        bins: number of equally wide bins.
    """
    outcome = np.asarray(checked_labels(correct, "correct"), dtype=float)
    stated = np.asarray(probabilities, dtype=float)
    if outcome.shape != stated.shape or outcome.ndim != 1 or not outcome.size:
        raise ValueError(f"shapes {outcome.shape} and {stated.shape} must be equal and [n], n >= 1")
    outside = ~((stated >= 0) & (stated <= 1))  # NaN too
    if outside.any():
        row = int(outside.argmax())
        raise ValueError(f"the probability of row {row} is {stated[row]}: it must be in [0, 1]")
    bin_of = np.minimum((stated * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(bin_of, weights=outcome - stated, minlength=bins)
    return float(np.abs(gaps).sum() / len(stated))


def multiclass_report(
    labels: ArrayLike, probabilities: ArrayLike, names: Sequence[str]
) -> dict[str, float]:
    """Measures of a classifier of several classes, all in [0, 1].

    Args:
        labels: [n], class ids.
        probabilities: [n, classes].
        names: of the classes, in the order of their ids.

    Returns:
        accuracy, macro_f1, balanced_accuracy, macro_average_precision (one class against the rest;
        mean over the classes that have rows, as are the other macro figures), macro_roc_auc (where
        two classes have rows), ece of the predicted class, and ``f1/NAME``, ``recall/NAME`` and
        ``roc_auc/NAME`` for each class with rows.

    Raises:
        ValueError: shapes do not fit, or a label is no class.
    """
    truth = checked_labels(labels)
    stated = np.asarray(probabilities, dtype=float)
    if stated.shape != (len(truth), len(names)) or not len(truth):
        raise ValueError(
            f"probabilities have shape {stated.shape}; {len(truth)} labels and {len(names)} names "
            f"need ({len(truth)}, {len(names)})"
        )
    unknown = ~np.isfinite(stated).all(axis=1)
    if unknown.any():
        row = int(unknown.argmax())
        raise ValueError(f"probabilities of row {row} are {stated[row]}: they must be finite")
    if not np.isin(truth, np.arange(len(names))).all():
        raise ValueError(f"labels must be 0 to {len(names) - 1}; found {np.unique(truth)}")
    predicted = stated.argmax(axis=1)
    present = np.unique(truth)
    _, recall, f1, _ = precision_recall_fscore_support(
        truth, predicted, labels=present, zero_division=0.0
    )
    precisions = [average_precision_score(truth == label, stated[:, label]) for label in present]
    areas = (
        [float(roc_auc_score(truth == label, stated[:, label])) for label in present]
        if len(present) > 1
        else []  # of one class there is nothing to rank before
    )
    report = {
        "accuracy": float((predicted == truth).mean()),
        "macro_f1": float(f1.mean()),
        "balanced_accuracy": float(recall.mean()),
        "macro_average_precision": float(np.mean(precisions)),
        "ece": expected_calibration_error(
            predicted == truth, np.clip(stated.max(axis=1), 0.0, 1.0)
        ),
    }
    if areas:
        report["macro_roc_auc"] = float(np.mean(areas))
    for label, area in zip(present, areas, strict=False):
        report[f"roc_auc/{names[label]}"] = area
    for position, label in enumerate(present):
        report[f"f1/{names[label]}"] = float(f1[position])
        report[f"recall/{names[label]}"] = float(recall[position])
    return report


def _checked(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    truth, stated = checked_labels(labels), np.asarray(scores, dtype=np.float64)
    if truth.shape != stated.shape or truth.ndim != 1:
        raise ValueError(f"labels {truth.shape} and scores {stated.shape} must both be [n]")
    if not np.array_equal(np.unique(truth), [0, 1]):
        raise ValueError(
            f"labels hold {np.unique(truth).tolist()}: rows of both classes are needed, 1 for the "
            "minority and 0 for the rest"
        )
    if not np.isfinite(stated).all():
        row = int(np.flatnonzero(~np.isfinite(stated))[0])
        raise ValueError(f"the score of row {row} is {stated[row]}: the classifier has diverged")
    return truth.astype(np.int64), stated


def f1_on_rows(labels: ArrayLike, predicted: ArrayLike, rows: ArrayLike) -> float:
    """F1 of the minority over some of its rows and all rows of the majority.

    Args:
        labels: [n], 1 or true for the minority.
        predicted: [n], likewise.
        rows: row numbers of the minority rows that count.

    Returns:
        NaN where no row counts.
    """
    truth, stated = np.asarray(labels, bool), np.asarray(predicted, bool)
    chosen = np.asarray(rows, np.int64)
    if not len(chosen):
        return float("nan")
    hits, alarms = int(stated[chosen].sum()), int((stated & ~truth).sum())
    return 2 * hits / (len(chosen) + hits + alarms)
