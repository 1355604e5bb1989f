"""Whether a made text would help on real rows that a classifier has not seen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from hf_oversample.oversamplers.anchors.judge import FOLDS, spread_over_folds


@dataclass(frozen=True, eq=False)
class Influence:
    """
    How much a text, learnt as one of its class, would lower the loss of unseen real rows: the
    influence function (Koh and Liang, *Understanding Black-box Predictions via Influence
    Functions*, ICML 2017, equation 2) of a logistic regression of the class against the rest, in
    closed form.

    −∇L(held-out)ᵀ H⁻¹ ∇ℓ(text), where ∇ℓ = (p − 1) x of a text x that has probability p, H is the
    Hessian on the rows that the regression was fitted on, and the held-out rows' classes count
    alike; the mean over folds, with the sign that makes help positive.

    Args:
        weights: `[classes, folds, d + 1]` float32, each regression with its bias; NaN where a class
            is not written, or a fold says nothing.
        directions: `[classes, folds, d + 1]` float32, H⁻¹∇L of the fold's held-out rows.
    """

    weights: np.ndarray
    directions: np.ndarray

    @classmethod
    def fit(
        cls,
        embeddings: np.ndarray,
        labels: np.ndarray,
        num_classes: int,
        written: Iterable[int],
        *,
        regularization: float,
        seed: int,
        folds: int = FOLDS,
    ) -> Self:
        """
        Learn from real rows.

        Args:
            embeddings, labels: `[n, d]` and `[n]`.
            num_classes: number of classes.
            written: classes whose texts will be asked about.
            regularization: C of the regressions.
            seed: deals the rows out to the folds, as for `out_of_fold_margins`.
            folds: regressions of a class, each held against the rows that it was not fitted on.
        """
        fold = spread_over_folds(embeddings, labels, folds, seed)
        shape = (num_classes, folds, embeddings.shape[1] + 1)
        weights, directions = np.full(shape, np.nan), np.full(shape, np.nan)
        rows = np.concatenate([embeddings, np.ones((len(embeddings), 1))], axis=1).astype(float)
        for label in written:
            is_own = labels == label
            for number in range(folds):
                held, rest = fold == number, fold != number
                if min(map(len, map(np.unique, (is_own[held], is_own[rest])))) < 2:
                    continue
                weight, direction = _of_fold(rows, is_own, held, rest, regularization)
                weights[label, number], directions[label, number] = weight, direction
        return cls(weights.astype(np.float32), directions.astype(np.float32))

    def of(self, embeddings: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """
        Of texts' embeddings `[n, d]` as of their classes `[n]`: `[n]` float32, positive where
        learning the text lowers the loss of unseen rows. A text's value does not depend on the
        others; NaN of a class of which no fold says anything.
        """
        result = np.empty(len(embeddings), np.float32)
        # one text at a time: a matrix product of another size may differ in the last bits
        for place, (row, label) in enumerate(zip(embeddings, labels.tolist(), strict=True)):
            known = np.isfinite(self.weights[label, :, 0])
            one = np.append(row, 1.0).astype(np.float32)
            doubt = expit(-(self.weights[label, known] * one).sum(1))
            helped = -(self.directions[label, known] * one).sum(1)
            result[place] = (doubt * helped).mean() if known.any() else np.nan
        return result


def _of_fold(
    rows: np.ndarray, is_own: np.ndarray, held: np.ndarray, rest: np.ndarray, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """The regression `[d + 1]` of the rest, and H⁻¹∇L of the held-out rows `[d + 1]`."""
    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=1000)
    model.fit(rows[rest, :-1], is_own[rest])
    weight = np.append(model.coef_[0], model.intercept_[0])
    chance = expit(rows @ weight)
    # classes weigh alike, as in the regression
    share = np.where(is_own[rest], 1 / is_own[rest].sum(), 1 / (~is_own[rest]).sum())
    spread = chance[rest] * (1 - chance[rest]) * share * rest.sum() / 2
    penalty = np.full(len(weight), 1 / strength)
    penalty[-1] = 1e-6  # the bias has none; a trace keeps the matrix regular
    hessian = (rows[rest] * spread[:, None]).T @ rows[rest] + np.diag(penalty)
    share = np.where(is_own[held], 1 / is_own[held].sum(), 1 / (~is_own[held]).sum()) / 2
    gradient = ((chance[held] - is_own[held]) * share) @ rows[held]
    return weight, np.linalg.solve(hessian, gradient)
