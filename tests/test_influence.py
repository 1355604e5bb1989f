"""Which texts would help on unseen rows: the closed form against learning them."""

from __future__ import annotations

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from hf_oversample.oversamplers.anchors.influence import Influence
from hf_oversample.oversamplers.anchors.judge import FOLDS, spread_over_folds

ROWS = np.random.default_rng(0)


def two_classes(rare: int = 30, other: int = 90) -> tuple[np.ndarray, np.ndarray]:
    labels = np.r_[np.ones(rare, int), np.zeros(other, int)]
    embeddings = ROWS.normal(size=(rare + other, 4)) + labels[:, None] * [0.8, 0.4, 0, 0]
    return embeddings.astype(np.float32), labels


def held_out_loss(
    x: np.ndarray, y: np.ndarray, fold: np.ndarray, number: int, text: np.ndarray, weight: float
) -> float:
    """Of the held-out rows, classes alike, after a text of class 1 was learnt with a weight."""
    rest, held = fold != number, fold == number
    share = np.where(y[rest] == 1, 1 / (y[rest] == 1).sum(), 1 / (y[rest] == 0).sum())
    model = LogisticRegression(C=10.0, max_iter=5000, tol=1e-10)
    model.fit(np.r_[x[rest], text[None]], np.r_[y[rest], 1], np.r_[share * rest.sum() / 2, weight])
    chance = expit(model.decision_function(x[held]))
    losses = -np.where(y[held] == 1, np.log(chance), np.log1p(-chance))
    return float((losses[y[held] == 1].mean() + losses[y[held] == 0].mean()) / 2)


def test_it_is_what_learning_a_text_changes() -> None:
    x, y = two_classes()
    influence = Influence.fit(x, y, 2, [1], regularization=10.0, seed=3)
    fold, weight = spread_over_folds(x, y, FOLDS, 3), 1e-3
    texts = ROWS.normal(size=(12, 4)).astype(np.float32) * 1.5
    told = influence.of(texts, np.ones(len(texts), np.int64))
    learnt = []
    for text in texts.astype(float):
        falls = [
            held_out_loss(x, y, fold, number, text, 0.0)
            - held_out_loss(x, y, fold, number, text, weight)
            for number in range(FOLDS)
        ]
        learnt.append(np.mean(falls) / weight)
    np.testing.assert_allclose(told, learnt, rtol=0.05, atol=1e-4)
    assert (told > 0).any()
    assert (told < 0).any()


def test_a_text_is_judged_alone_and_a_class_without_rows_to_hold_out_not_at_all() -> None:
    x, y = two_classes()
    influence = Influence.fit(x, y, 3, [1], regularization=1.0, seed=0)
    ones = np.ones(len(x), np.int64)
    together = influence.of(x, ones)
    alone = [influence.of(x[[i]], ones[:1])[0] for i in range(len(x))]
    assert together.tolist() == alone
    assert np.isnan(influence.of(x[:2], np.array([0, 2]))).all()
    single = Influence.fit(x, np.r_[1, np.zeros(len(x) - 1, int)], 2, [1], regularization=1, seed=0)
    assert np.isnan(single.of(x[:1], ones[:1])).all()
