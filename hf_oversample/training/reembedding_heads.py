"""Linear heads on the vectors of texts: solved, chosen, and put into words that tell ranks."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedKFold

from hf_oversample.models.classifiers.pooled_encoder import PooledEncoderForSequenceClassification
from hf_oversample.transforms.token_vectors import embed_token_ids

GRID = (0.1, 1.0, 10.0, 100.0)
"""C, the inverse strength of the penalty."""
FOLDS = 5
# class scores of a class that has no training row: it is never predicted
_NEVER = -1e4


@dataclass(frozen=True)
class LinearHead:
    """
    A linear head on vectors.

    Args:
        weight: `[classes, d]`.
        bias: `[classes]`.
        penalty: C of the logistic regression that it comes from.
    """

    weight: np.ndarray
    bias: np.ndarray
    penalty: float

    def logits(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors `[n, d]` → class scores `[n, classes]`."""
        scores: np.ndarray = vectors.astype(np.float64) @ self.weight.T + self.bias
        return scores

    def tensors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Weight and bias as float32."""
        return torch.from_numpy(self.weight).float(), torch.from_numpy(self.bias).float()


def text_vectors(
    model: PooledEncoderForSequenceClassification, encoded: Sequence[np.ndarray]
) -> np.ndarray:
    """Vectors `[n, d]` of length 1 of n texts as token ids, each whatever the others are."""
    return embed_token_ids(
        model.encoder,
        encoded,
        padding=model.config.pad_token_id or 0,
        pooling=model.config.pooling,
    )


def head_scores(model: PooledEncoderForSequenceClassification, vectors: np.ndarray) -> np.ndarray:
    """Class scores `[n, classes]` of vectors `[n, d]` of length 1."""
    with torch.no_grad():
        values: np.ndarray = model.scores(torch.from_numpy(vectors).to(model.device)).cpu().numpy()
    return values


def rare_precision(labels: np.ndarray, scores: np.ndarray, targets: Sequence[int]) -> float:
    """Average precision of the rare classes by their scores `[n, classes]`: the mean over those
    that have rows; 0 where none has."""
    found = [
        float(average_precision_score(labels == one, rare_score(scores, one)))
        for one in targets
        if (labels == one).any()
    ]
    return float(np.mean(found)) if found else 0.0


def rare_score(scores: np.ndarray, label: int) -> np.ndarray:
    """Class scores `[n, classes]` → `[n]`, the log-odds of one class against the rest."""
    rest = np.delete(scores.astype(np.float64), label, axis=1)
    top = rest.max(axis=1)
    odds: np.ndarray = scores[:, label] - top - np.log(np.exp(rest - top[:, None]).sum(axis=1))
    return odds


def solve_head(
    vectors: np.ndarray,
    labels: np.ndarray,
    *,
    classes: int,
    targets: Sequence[int],
    balanced: bool = True,
    seed: int = 0,
    grid: Sequence[float] = GRID,
) -> LinearHead:
    """
    Logistic regression whose penalty cross-validation chooses: the C with the largest average
    precision of the rare classes over rows left out, of equal ones the strongest penalty.

    Args:
        vectors: `[n, d]`, of length 1.
        labels: `[n]` class ids, of two classes at least.
        classes: how many there are, with those that have no rows.
        targets: the rare ones.
        balanced: each class has one weight in all, however few its rows; otherwise each row has.
        seed: of the folds.
        grid: values of C.
    """
    counts = np.bincount(labels, minlength=classes)
    folds = min(FOLDS, int(counts[counts > 0].min()))
    penalty = 1.0
    if folds > 1:
        cut = StratifiedKFold(folds, shuffle=True, random_state=seed)
        parts = list(cut.split(vectors, labels))
        scored = {}
        for value in sorted(grid):
            left_out = np.zeros((len(labels), classes))
            for train, held in parts:
                head = _solved(vectors[train], labels[train], classes, value, balanced)
                left_out[held] = head.logits(vectors[held])
            scored[value] = rare_precision(labels, left_out, targets)
        penalty = max(scored, key=lambda value: (scored[value], -value))
    return _solved(vectors, labels, classes, penalty, balanced)


def _solved(
    vectors: np.ndarray, labels: np.ndarray, classes: int, penalty: float, balanced: bool
) -> LinearHead:
    solver = LogisticRegression(
        C=penalty, class_weight="balanced" if balanced else None, max_iter=2000
    )
    # the bias has no penalty, so that centred vectors have the same solution, sooner
    center = vectors.mean(axis=0, dtype=np.float64)
    with warnings.catch_warnings():
        # what is not quite converged ranks as what is
        warnings.simplefilter("ignore", ConvergenceWarning)
        solver.fit(vectors - center, labels)
    weight, bias = of_all_classes(solver, classes)
    there = solver.classes_
    bias[there] -= weight[there] @ center
    return LinearHead(weight, bias, penalty)


def of_all_classes(solver: LogisticRegression, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """A fitted regression's weights `[classes, d]` and biases `[classes]`: a score for each of two
    classes too, and one that never wins for a class without rows."""
    weight, bias = solver.coef_, solver.intercept_
    if len(weight) == 1:  # two classes: one score, for the second
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    full, offset = np.zeros((classes, weight.shape[1])), np.full(classes, _NEVER)
    full[solver.classes_], offset[solver.classes_] = weight, bias
    return full, offset


def averaged_scores(*models: Sequence[np.ndarray]) -> list[np.ndarray]:
    """
    The mean of several models' class scores, each brought to the scale of its own first part.

    A fine-tuned model is surer of itself than a frozen one: means of raw scores, or of
    probabilities, would be its own.

    Args:
        models: of each its scores `[n, classes]` of parts of the rows, the same parts in the same
            order; the first part tells mean and spread of each class's scores.

    Returns: `[n, classes]` of each part.
    """

    def standardised(parts: Sequence[np.ndarray]) -> list[np.ndarray]:
        centred = [part - part.mean(axis=1, keepdims=True) for part in parts]
        spread = centred[0].std(axis=0)
        spread[spread == 0] = 1.0
        return [(part - centred[0].mean(axis=0)) / spread for part in centred]

    of_parts = zip(*(standardised(one) for one in models), strict=True)
    return [np.mean(scores, axis=0) for scores in of_parts]


def calibrated_mean(labels: np.ndarray, *models: Sequence[np.ndarray]) -> list[np.ndarray]:
    """
    `averaged_scores` as log-odds, so that the likeliest class can be told by them.

    Args:
        labels: `[n]` class ids of the first part's rows, which bring the mean back to the classes'
            sizes (`calibration`).
        models: as of `averaged_scores`.

    Returns: `[n, classes]` of each part.
    """
    mean = averaged_scores(*models)
    factor, bias = calibration(mean[0], labels)
    return [factor * part + bias for part in mean]


def calibration(scores: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """
    A factor and a term a class that make scores log-odds: Platt's scaling (1999) of several classes
    with one factor, by least cross-entropy, with Platt's targets, which no class has all of.

    Args:
        scores: `[n, classes]`.
        labels: `[n]`, class ids.

    Returns: the factor, above 0, and `[classes]` float64; a class without rows is as unlikely as
        one of `n + classes` rows.
    """
    n, classes = scores.shape
    wanted = np.full((n, classes), 1.0 / (n + classes))
    wanted[np.arange(n), labels] += 1.0 - classes / (n + classes)
    values = scores.astype(np.float64)

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        factor, bias = np.exp(parameters[0]), parameters[1:]
        logits = factor * values + bias
        log_p = logits - logsumexp(logits, axis=1, keepdims=True)
        # a trace of a penalty: adding a number to every term changes nothing
        value = -(wanted * log_p).sum() / n + 1e-6 * (bias**2).sum()
        error = (np.exp(log_p) - wanted) / n
        slope = np.concatenate([[factor * (error * values).sum()], error.sum(axis=0) + 2e-6 * bias])
        return float(value), slope

    found = minimize(loss, np.zeros(classes + 1), jac=True, method="L-BFGS-B")
    return float(np.exp(found.x[0])), found.x[1:]
