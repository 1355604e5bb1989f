"""Class probabilities of a fold's held-out rows, how they are moved, and what they are worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.metrics import precision_recall_curve

from hf_oversample.comparison.fold import TEST_NEIGHBORS, Fold
from hf_oversample.metrics.classification import (
    average_precision_at,
    best_threshold,
    binary_report,
    f1_on_rows,
    multiclass_report,
)
from hf_oversample.metrics.thresholds import moved, tuned_offsets
from hf_oversample.neighbors.difficult import DifficultSamples, difficult_samples

RECALLS = np.linspace(0.0, 1.0, 51)
CALIBRATION_BINS = 10
OF_SEVERAL = ("macro_average_precision", "macro_roc_auc", "macro_f1_tuned")
"""Measures that two classes have none of: the minority's say it all."""
METRICS = (
    *("f1", "precision", "recall", "macro_f1", "balanced_accuracy", "average_precision"),
    *("roc_auc", "average_precision_at_train", "f1_tuned", "ece"),
    *("f1_outvoted", "f1_not_outvoted", "outvoted_share"),
    *("f1_difficult", "f1_other", "difficult_share"),
    *OF_SEVERAL,
)
"""What `cell_metrics` may give, but for the figures of single classes."""


@dataclass(frozen=True, eq=False)
class Scores:
    """What a remedy gives back.

    Attributes:
        validation, test: probabilities `[n, classes]` of the held-out parts.
        features: `[n, width]`, what the classifier's head reads of the test rows; None where that
            is the same for every remedy.
        made: rows that the remedy added to the training part.
        train_recall: gives the share of the minority's training rows that a network places in
            their class; only of the plain one, to tell whether it was trained long enough. A
            function, since scoring the training rows is no part of what a remedy costs.
    """

    validation: np.ndarray
    test: np.ndarray
    features: np.ndarray | None = None
    made: int = 0
    train_recall: Callable[[], float] | None = None

    @classmethod
    def of_logits(
        cls,
        validation: np.ndarray,
        test: np.ndarray,
        features: np.ndarray | None = None,
        made: int = 0,
    ) -> Scores:
        """Of class scores before the softmax."""
        chooses, reports = (softmax(x.astype(np.float64), axis=1) for x in (validation, test))
        return cls(chooses, reports, features, made)

    def moved(self, offsets: np.ndarray) -> Scores:
        """The same with `[classes]` added to the log-probabilities."""
        return replace(
            self, validation=moved(self.validation, offsets), test=moved(self.test, offsets)
        )

    def adjusted(self, counts: np.ndarray) -> Scores:
        """Logit adjustment after training (Menon et al. 2021, equation 9, τ = 1): probabilities
        over the class shares in training `[classes]` (rows of each)."""
        return self.moved(-np.log(np.maximum(counts, 1) / counts.sum()))

    def averaged(self, other: Scores) -> Scores:
        """The mean of the probabilities of two models."""
        return Scores(
            (self.validation + other.validation) / 2,
            (self.test + other.test) / 2,
            made=max(self.made, other.made),
        )


def chosen_threshold(fold: Fold, scores: Scores) -> float:
    """The threshold on the minority's probability with the best F1 on validation rows."""
    labels = (fold.validation.labels == fold.minority).astype(int)
    return best_threshold(labels, scores.validation[:, fold.minority])


def cell_metrics(fold: Fold, scores: Scores) -> dict[str, float]:
    """What one remedy is worth with one classifier on one fold; all in [0, 1].

    The minority is the fold's. A row counts as of the class with the largest probability.

    Returns:
        f1, precision and recall (of the minority), macro_f1, balanced_accuracy, average_precision
        and roc_auc (of the minority against the rest), average_precision_at_train (at the
        prevalence of the training part), f1_tuned (threshold from validation), f1_outvoted and
        f1_not_outvoted (test rows that other classes outvote among their neighbours, and the
        others), f1_difficult and f1_other (the paper's: with a neighbour of another class, and
        without), ece (of the minority's probability; of several classes, of the predicted class),
        with features, outvoted_share and difficult_share, and, where the scores have it,
        train_recall. Of several classes also macro_average_precision, macro_roc_auc, macro_f1_tuned
        (with the offsets that `tuned_offsets` chose on validation rows), f1/NAME, recall/NAME and
        roc_auc/NAME.

    Raises:
        ValueError: a held-out part has no row of the minority or of the others, or a score is not
            finite.
    """
    minority = fold.minority
    truth = (fold.test.labels == minority).astype(int)
    own = scores.test[:, minority]
    # Of several classes, "at 0.5" means: as predicted. Scores elsewhere rank as they are.
    binary = binary_report(truth, own)
    stated = own >= 0.5
    report = {name: binary[name] for name in ("average_precision", "roc_auc")}
    if len(fold.class_names) > 2:
        whole = multiclass_report(fold.test.labels, scores.test, fold.class_names)
        stated = scores.test.argmax(axis=1) == minority
        binary = binary_report(truth, stated.astype(float))
        report |= {name: value for name, value in whole.items() if name != "accuracy"}
        offsets = tuned_offsets(fold.validation.labels, scores.validation, minority)
        tuned = multiclass_report(fold.test.labels, moved(scores.test, offsets), fold.class_names)
        report["macro_f1_tuned"] = tuned["macro_f1"]
    else:
        report |= {name: binary[name] for name in ("macro_f1", "balanced_accuracy", "ece")}
    report |= {name: binary[name] for name in ("f1", "precision", "recall")}
    if (around := fold.test_neighborhood()) is not None:
        report |= _f1_by_difficulty(around, truth, stated)
    threshold = chosen_threshold(fold, scores)
    report["f1_tuned"] = binary_report(truth, own, threshold=threshold)["f1"]
    prevalence = float(fold.counts[minority] / fold.counts.sum())
    report["average_precision_at_train"] = average_precision_at(truth, own, prevalence)
    if scores.features is not None:
        found = difficult_samples(
            scores.features, fold.test.labels, k=TEST_NEIGHBORS, minority=[minority]
        )
        report["outvoted_share"] = found.outvoted_share()
        report["difficult_share"] = found.share()
    if scores.train_recall is not None:
        report["train_recall"] = scores.train_recall()
    return {name: float(value) for name, value in report.items()}


def _f1_by_difficulty(
    around: DifficultSamples, truth: np.ndarray, stated: np.ndarray
) -> dict[str, float]:
    """F1 on the test rows of each kind that there are."""
    kinds = {
        "f1_outvoted": around.is_outvoted,
        "f1_not_outvoted": ~around.is_outvoted,
        "f1_difficult": around.is_difficult,
        "f1_other": ~around.is_difficult,
    }
    return {
        name: f1_on_rows(truth, stated, around.rows[kind])
        for name, kind in kinds.items()
        if kind.any()
    }


def cell_curves(fold: Fold, scores: Scores) -> dict[str, list[Any]]:
    """The precision–recall curve and the calibration of the minority's probability, to be drawn.

    Returns:
        precision: at the recalls 0, 0.02, …, 1, interpolated as the largest precision at that
        recall or above; calibration: for each of 10 equal bins of the probability the number of
        rows, the sum of their probabilities, and how many are of the minority.
    """
    truth = (fold.test.labels == fold.minority).astype(int)
    own = np.clip(scores.test[:, fold.minority], 0.0, 1.0)
    # Without the last point, a precision of 1 at no recall that scikit-learn adds to every curve.
    precision, recall = (values[:-1] for values in precision_recall_curve(truth, own)[:2])
    best = np.array([precision[recall >= level - 1e-12].max() for level in RECALLS])
    bins = np.minimum((own * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    sums = [np.bincount(bins, weights=w, minlength=CALIBRATION_BINS) for w in (own, truth)]
    rows = np.bincount(bins, minlength=CALIBRATION_BINS)
    return {
        "precision": [round(float(value), 4) for value in best],
        "calibration": [
            [int(n), round(float(stated), 4), int(true)]
            for n, stated, true in zip(rows, *sums, strict=True)
        ],
    }
