"""Measures of a classifier with a rare class, as the Trainer of transformers asks for them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from sklearn.metrics import f1_score, log_loss

from hf_oversample.metrics.classification import (
    best_threshold,
    binary_report,
    expected_calibration_error,
    f1_on_rows,
    multiclass_report,
)
from hf_oversample.text.checks import checked_labels


class MinorityMetrics:
    """``Trainer(compute_metrics=MinorityMetrics())``: what tells how well a rare class is found.

    Args:
        minority: its class id.
        difficult: [n] whether an evaluation row is difficult (`hf_oversample.difficult_samples` on
            the evaluation rows, or any other mark); only its minority rows are looked at. The rows
            must be those that are evaluated, in their order.
        decision: a `hf_oversample.metrics.decisions.Decision` that reads the logits; default:
            their softmax.

    Called with an ``EvalPrediction``, it gives:

    - average_precision and roc_auc of the minority against the rest;
    - f1, precision and recall of the minority as predicted;
    - f1_tuned: F1 at the threshold that the other half of these rows has the best F1 at; halves
      alternate within each class, so that no row chooses its own threshold;
    - brier: mean squared distance of the probabilities from the truth (of two classes: of the
      minority's; of more: the sum over the classes); log_loss; ece, of the minority's probability
      (of more classes: of the predicted one's);
    - of more than two classes accuracy, macro_f1, balanced_accuracy, macro_average_precision;
    - with ``difficult``, f1_difficult and f1_other: over such minority rows and all rows of other
      classes (NaN where there are none).

    Raises:
        ValueError: when called: no row of the minority, or none of the rest; logits that are not
            finite; a mask of another length.
    """

    def __init__(
        self, minority: int = 1, *, difficult: ArrayLike | None = None, decision: Any = None
    ) -> None:
        self.minority, self.decision = minority, decision
        self.difficult = None if difficult is None else np.asarray(difficult, dtype=bool)

    def __call__(self, prediction: Any) -> dict[str, float]:
        """An ``EvalPrediction``, with logits [n, classes] and class ids [n] → the measures."""
        logits = prediction.predictions
        logits = np.asarray(logits[0] if isinstance(logits, tuple) else logits, dtype=np.float64)
        if not np.isfinite(logits).all():
            row = int(np.argwhere(~np.isfinite(logits))[0, 0])
            raise ValueError(f"the logits of row {row} are {logits[row].tolist()}: it diverged")
        labels = checked_labels(prediction.label_ids).astype(np.int64)
        if self.decision is None:
            stated = softmax(logits, axis=1)
            predicted = stated.argmax(axis=1)
        else:
            stated = self.decision.probabilities(logits)
            predicted = self.decision.classes(stated)
        return self.report(labels, stated, predicted)

    def report(
        self,
        labels: NDArray[np.int64],
        stated: NDArray[np.float64],
        predicted: NDArray[np.int64],
    ) -> dict[str, float]:
        """Class ids [n], probabilities [n, classes], predicted ids [n] → the measures."""
        truth, own = labels == self.minority, stated[:, self.minority]
        taken = predicted == self.minority
        ranked = binary_report(truth.astype(int), own)
        hard = binary_report(truth.astype(int), taken.astype(float))
        report = {name: ranked[name] for name in ("average_precision", "roc_auc")}
        report |= {name: hard[name] for name in ("f1", "precision", "recall")}
        report["f1_tuned"] = _f1_tuned_on_halves(truth, own)
        classes = stated.shape[1]
        report["log_loss"] = float(log_loss(labels, stated, labels=range(classes)))
        if classes == 2:
            report["brier"] = float(np.mean((own - truth) ** 2))
            report["ece"] = expected_calibration_error(truth.astype(int), np.clip(own, 0, 1))
        else:
            report["brier"] = float(((stated - np.eye(classes)[labels]) ** 2).sum(axis=1).mean())
            names = [str(k) for k in range(classes)]
            whole = multiclass_report(labels, stated, names)
            report["ece"] = whole["ece"]
            report["macro_average_precision"] = whole["macro_average_precision"]
            one_hot = np.eye(classes)[predicted]
            said = multiclass_report(labels, one_hot, names)
            report |= {k: said[k] for k in ("accuracy", "macro_f1", "balanced_accuracy")}
        if self.difficult is not None:
            if self.difficult.shape != labels.shape:
                raise ValueError(
                    f"difficult marks {self.difficult.shape} rows, and {labels.shape} were "
                    "evaluated: mark the evaluation rows, in their order"
                )
            for name, mask in (("f1_difficult", self.difficult), ("f1_other", ~self.difficult)):
                report[name] = f1_on_rows(truth, taken, np.flatnonzero(mask & truth))
        return report


def _f1_tuned_on_halves(truth: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """F1 with each half's threshold chosen on the other half; NaN where a half has no row of the
    minority, or none of the rest."""
    taken = taken_on_halves(truth, scores)
    return float("nan") if taken is None else float(f1_score(truth, taken, zero_division=0.0))


def taken_on_halves(
    truth: NDArray[np.bool_], scores: NDArray[np.float64]
) -> NDArray[np.bool_] | None:
    """Rows above the threshold with the best F1 on the other half; halves alternate among the rows
    of each kind.

    Args:
        truth: [n].
        scores: [n].

    Returns:
        [n]; None where a half has no row of a kind.
    """
    half = np.empty(len(truth), dtype=np.int64)
    for kind in (True, False):
        rows = np.flatnonzero(truth == kind)
        half[rows] = np.arange(len(rows)) % 2
    taken = np.zeros(len(truth), dtype=bool)
    for part in (0, 1):
        chooses = half != part
        if len(np.unique(truth[chooses])) < 2:
            return None
        threshold = best_threshold(truth[chooses].astype(int), scores[chooses])
        taken[~chooses] = scores[~chooses] >= threshold
    return taken
