"""Measures of a classifier of rows that have any number of labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.metrics import average_precision_score

from hf_oversample.metrics.evaluation import taken_on_halves
from hf_oversample.metrics.label_decisions import LabelDecision, checked_multi_hot


def multi_label_report(
    labels: ArrayLike,
    probabilities: ArrayLike,
    *,
    thresholds: float | Sequence[float] = 0.5,
    names: Sequence[str] | None = None,
) -> dict[str, float]:
    """Measures of a classifier of several labels, all in [0, 1].

    Args:
        labels: [n, labels] 0 or 1.
        probabilities: [n, labels].
        thresholds: one, or one a label: a row is told to have a label at it or above.
        names: of the labels; default: their numbers.

    Returns:
        macro_average_precision (mean over the labels that some rows have and some have not),
        macro_f1 (mean over the labels that some rows have), micro_f1 (over all labels and rows
        together), exact_match (rows whose labels are all right), and ``average_precision/NAME`` and
        ``f1/NAME`` of the labels that have one.

    Raises:
        ValueError: shapes do not fit, a label is not 0 or 1, a probability is not finite, or no
            row has a label.
    """
    stated = np.asarray(probabilities, dtype=np.float64)
    if stated.ndim != 2 or not stated.size:
        raise ValueError(f"probabilities have shape {stated.shape}: [rows, labels] is needed")
    truth = checked_multi_hot(labels, stated.shape)
    if not np.isfinite(stated).all():
        row = int(np.argwhere(~np.isfinite(stated))[0, 0])
        raise ValueError(f"probabilities of row {row} are {stated[row].tolist()}: not finite")
    limits = np.asarray(thresholds, dtype=np.float64)
    if limits.shape not in ((), (stated.shape[1],)):
        raise ValueError(f"{limits.shape} thresholds were given for {stated.shape[1]} labels")
    told = list(names) if names is not None else [str(k) for k in range(stated.shape[1])]
    if len(told) != stated.shape[1]:
        raise ValueError(f"{len(told)} names were given for {stated.shape[1]} labels")
    precisions = {
        name: float(average_precision_score(truth[:, k], stated[:, k]))
        for k, name in enumerate(told)
        if 0 < truth[:, k].sum() < len(truth)
    }
    report = f1_report(truth, stated >= limits, told)
    if precisions:
        report["macro_average_precision"] = float(np.mean([*precisions.values()]))
    return report | {f"average_precision/{name}": value for name, value in precisions.items()}


def f1_report(
    truth: NDArray[np.bool_], taken: NDArray[np.bool_], names: Sequence[str]
) -> dict[str, float]:
    """macro_f1, micro_f1, exact_match and ``f1/NAME`` of labels [n, labels] that were told.

    Raises:
        ValueError: no row has a label.
    """
    hits = (truth & taken).sum(axis=0)
    having, told = truth.sum(axis=0), taken.sum(axis=0)
    present = np.flatnonzero(having)
    if not len(present):
        raise ValueError(f"none of the {len(truth)} rows has a label: there is nothing to find")
    f1 = 2 * hits / np.maximum(having + told, 1)
    return {
        "macro_f1": float(f1[present].mean()),
        "micro_f1": float(2 * hits.sum() / (having.sum() + told.sum())),
        "exact_match": float((truth == taken).all(axis=1).mean()),
        **{f"f1/{names[k]}": float(f1[k]) for k in present.tolist()},
    }


class MultiLabelMetrics:
    """``Trainer(compute_metrics=MultiLabelMetrics())``: how well each of several labels is found.

    Args:
        names: of the labels; default: their numbers.
        decision: a `hf_oversample.metrics.label_decisions.LabelDecision` that reads the logits;
            default: the sigmoid, and thresholds of one half.

    Called with an ``EvalPrediction``, it gives what `multi_label_report` does, and
    ``macro_f1_tuned`` and ``micro_f1_tuned``: F1 where each label has the threshold that is best on
    the other half of these rows (halves alternate among the rows with the label, and among those
    without), so that no row chooses its own; labels that a half lacks are told nowhere in it.

    Raises:
        ValueError: when called, as `multi_label_report`.
    """

    def __init__(
        self, names: Sequence[str] | None = None, *, decision: LabelDecision | None = None
    ) -> None:
        self.names = None if names is None else list(names)
        self.decision = decision

    def __call__(self, prediction: Any) -> dict[str, float]:
        """An ``EvalPrediction``, with logits and 0 or 1 [n, labels] → the measures."""
        logits = prediction.predictions
        logits = np.asarray(logits[0] if isinstance(logits, tuple) else logits, dtype=np.float64)
        if self.decision is None:
            stated, thresholds = expit(logits), [0.5] * logits.shape[1]
        else:
            stated = self.decision.probabilities(logits)
            thresholds = list(self.decision.thresholds)
        labels = prediction.label_ids
        report = multi_label_report(labels, stated, thresholds=thresholds, names=self.names)
        truth = checked_multi_hot(labels, stated.shape)
        taken = np.zeros_like(truth)
        for k in range(truth.shape[1]):
            own = taken_on_halves(truth[:, k], stated[:, k])
            if own is not None:
                taken[:, k] = own
        tuned = f1_report(truth, taken, self.names or [str(k) for k in range(truth.shape[1])])
        return report | {
            "macro_f1_tuned": tuned["macro_f1"],
            "micro_f1_tuned": tuned["micro_f1"],
        }
