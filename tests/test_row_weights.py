"""Weights of a balanced set: class totals are the prior's, and probabilities come out right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset, DatasetDict
from sklearn.linear_model import LogisticRegression

from hf_oversample import RandomOversampler, SmoteOversampler
from hf_oversample.data.row_weights import (
    prior_weights,
    read_weights,
    with_prior_weights,
    with_weighted_labels,
)
from hf_oversample.metrics.classification import expected_calibration_error
from hf_oversample.training.trainer_losses import minority_loss
from trainer_fixtures import gradient, rows_of

IDS = [0] * 8 + [1] * 2 + [2] * 2


def balanced_rows() -> Dataset:
    """Twelve rows, of which the rare ones are there four times."""
    return RandomOversampler(seed=0).balance(rows_of(IDS), weight_column="weight")


def two_clouds(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping clouds, one row in twenty of the rare one."""
    draws = np.random.default_rng(seed)
    labels = (draws.random(rows) < 0.05).astype(int)
    return draws.normal(size=(rows, 2)) + 1.5 * labels[:, None], labels


def test_weighted_class_totals_are_the_prior() -> None:
    rows = balanced_rows()
    labels, weights = np.asarray(rows["label"][:]), read_weights(rows)
    assert np.bincount(labels).tolist() == [8, 8, 8]
    totals = np.bincount(labels, weights=weights)
    np.testing.assert_allclose(totals / totals.sum(), [8 / 12, 2 / 12, 2 / 12])
    assert weights.mean() == pytest.approx(1)


def test_other_splits_have_the_column_too() -> None:
    splits = DatasetDict(train=rows_of(IDS), test=rows_of([0, 1, 2]))
    made = RandomOversampler(seed=0).balance(splits, weight_column="importance")
    assert made["test"]["importance"][:] == [1.0, 1.0, 1.0]
    assert made["train"].features == made["test"].features
    assert "importance" not in RandomOversampler(seed=0).balance(splits)["train"].column_names


@pytest.mark.parametrize("method", [RandomOversampler, SmoteOversampler])
def test_probabilities_after_oversampling_are_calibrated(method: Any) -> None:
    """Without the weights a rare class seems many times as likely as it is."""
    x, y = two_clouds(3000, 0)
    rows = Dataset.from_dict({"embedding": x.tolist(), "label": y})
    balanced = method(seed=0).balance(rows, embedding_column="embedding", weight_column="weight")
    new_x, new_y = np.asarray(balanced["embedding"][:]), np.asarray(balanced["label"][:])
    test_x, test_y = two_clouds(20000, 1)
    stated = {
        "as it comes": LogisticRegression().fit(new_x, new_y),
        "weighted": LogisticRegression().fit(new_x, new_y, sample_weight=read_weights(balanced)),
        "never balanced": LogisticRegression().fit(x, y),
    }
    told = {name: model.predict_proba(test_x)[:, 1] for name, model in stated.items()}
    error = {name: expected_calibration_error(test_y, p) for name, p in told.items()}
    assert error["as it comes"] > 0.1
    assert error["weighted"] < 0.02
    assert error["never balanced"] < 0.02
    assert told["weighted"].mean() == pytest.approx(test_y.mean(), rel=0.2)
    assert told["as it comes"].mean() > 3 * test_y.mean()


def test_a_trainers_weighted_step_on_copies_is_the_step_on_the_rows(tmp_path: Path) -> None:
    rows = balanced_rows()
    weighted = with_weighted_labels(rows.remove_columns(["origin", "parent"]))
    assert weighted.column_names == ["input_ids", "label"]
    loss = minority_loss("cross_entropy", [8, 8, 8])
    options = {"per_device_train_batch_size": 6, "gradient_accumulation_steps": 4}
    got = gradient(weighted, tmp_path, loss, **options)
    expected = gradient(rows_of(IDS), tmp_path, loss, per_device_train_batch_size=12)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-4)


class TestErrors:
    @pytest.mark.parametrize(
        ("weights", "told"),
        [
            ([1.0, float("nan"), 2.0], "'weight' is nan in row 1"),
            ([1.0, None, 2.0], "'weight' is nan in row 1"),
            ([1.0, -1.0, 2.0], "'weight' is -1.0 in row 1"),
            ([0.0, 0.0, 0.0], "0 in every row"),
            (["1", "2", "3"], "weights are numbers"),
        ],
    )
    def test_bad_weights(self, weights: list[Any], told: str) -> None:
        rows = Dataset.from_dict({"label": [0, 1, 1], "weight": weights})
        with pytest.raises(ValueError, match=told):
            read_weights(rows)
        with pytest.raises(ValueError, match=told):
            with_weighted_labels(rows)

    def test_columns(self) -> None:
        rows = Dataset.from_dict({"label": [0, 1], "weight": [1.0, 1.0], "origin": [0, 0]})
        with pytest.raises(ValueError, match="no column 'importance'"):
            read_weights(rows, "importance")
        with pytest.raises(ValueError, match="already has a column 'weight'"):
            with_prior_weights(rows)
        with pytest.raises(ValueError, match="no column 'origin'"):
            with_prior_weights(rows.remove_columns("origin"), weight_column="w")
        with pytest.raises(ValueError, match="already has a column 'label'"):
            RandomOversampler().balance(rows_of(IDS), weight_column="label")
        with pytest.raises(ValueError, match="head of 1 classes"):
            with_weighted_labels(rows, num_labels=1)

    def test_a_class_without_rows_before_or_after(self) -> None:
        with pytest.raises(ValueError, match="rows before and after"):
            prior_weights(np.array([0, 1]), np.array([3, 0]))
        with pytest.raises(ValueError, match="rows before and after"):
            prior_weights(np.array([0, 0]), np.array([3, 1]))
        assert prior_weights(np.array([0, 2, 2]), np.array([1, 0, 1])).tolist() == [1.5, 0.75, 0.75]
