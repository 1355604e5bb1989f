"""Heads on vectors that are solved: the penalty that is chosen, and scores of several models."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression

from hf_oversample.training.reembedding_heads import (
    averaged_scores,
    calibrated_mean,
    rare_score,
    solve_head,
)


def test_the_head_is_balanced_logistic_regression_with_a_chosen_penalty() -> None:
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], [80, 12])
    vectors = generator.normal(size=(92, 6)).astype(np.float32) + labels[:, None]
    head = solve_head(vectors, labels, classes=3, targets=[1])
    own = LogisticRegression(C=head.penalty, class_weight="balanced", max_iter=2000)
    own.fit(vectors, labels)
    scores = head.logits(vectors)
    np.testing.assert_allclose(
        scores[:, 1] - scores[:, 0], own.decision_function(vectors), atol=5e-3
    )
    assert (scores[:, 2] < -1000).all()  # a class without rows is never predicted
    plain = solve_head(vectors, labels, classes=3, targets=[1], balanced=False)
    assert plain.bias[1] - plain.bias[0] < head.bias[1] - head.bias[0]


def test_the_penalty_is_the_one_that_ranks_rows_left_out_best() -> None:
    generator = np.random.default_rng(1)
    labels = np.repeat([0, 1], [150, 15])
    vectors = generator.normal(size=(165, 40)).astype(np.float32)
    vectors[:, 0] += 1.5 * labels
    found = solve_head(vectors, labels, classes=2, targets=[1], grid=(1e-4, 1e3))
    assert found.penalty == 1e-4  # 40 coordinates and 15 rows: the weak penalty learns noise
    vectors[:, 1:] = 0
    only = solve_head(vectors, labels, classes=2, targets=[1], grid=(7.0,))
    assert only.penalty == 7.0


def test_averaged_scores_do_not_depend_on_how_sure_a_model_is() -> None:
    generator = np.random.default_rng(0)
    first, second = (
        [generator.normal(size=(30, 2)), generator.normal(size=(9, 2))] for _ in range(2)
    )
    surer = [50 * part + 3 for part in first]
    mean, other = averaged_scores(first, second), averaged_scores(surer, second)
    for one, two in zip(mean, other, strict=True):
        np.testing.assert_allclose(one, two)
    order = rare_score(mean[1], 1).argsort()
    assert (order != rare_score(first[1], 1).argsort()).any()
    assert (order != rare_score(second[1], 1).argsort()).any()


def test_a_calibrated_mean_finds_as_many_rare_rows_as_there_are() -> None:
    """One scale for both classes says that each is half of the rows; labels say otherwise."""
    generator = np.random.default_rng(0)
    labels = (generator.random(2000) < 0.05).astype(int)
    truth = 4 * labels[:, None] * np.array([-1, 1])
    models = [[truth + generator.normal(size=(2000, 2))] * 2 for _ in range(2)]
    plain, mean = averaged_scores(*models)[1], calibrated_mean(labels, *models)[1]
    assert (plain.argmax(1) == 1).sum() > 5 * labels.sum()
    assert (mean.argmax(1) == 1).sum() < 1.2 * labels.sum()
    order = rare_score(plain, 1).argsort(kind="stable")
    assert (np.diff(rare_score(mean, 1)[order]) >= -1e-9).all()
