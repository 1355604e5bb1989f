"""Soft labels of made texts by a teacher that has not seen their parents."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Value
from torch.nn import functional as F

from hf_oversample import RandomOversampler, minority_loss
from hf_oversample.oversamplers.anchors.judge import (
    FOLDS,
    LinearJudge,
    chosen_regularization,
    spread_over_folds,
)
from hf_oversample.oversamplers.anchors.soft_labels import (
    teacher_probabilities,
    with_soft_labels,
)

WARM = ["icy", "cold", "cool", "mild", "warm", "hot"]


class Thermometer:
    """A text's vector is how warm its word is, and how long it is."""

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        rows = [[WARM.index(text.split()[0]), len(text) / 10] for text in texts]
        return np.asarray(rows, np.float32)


def balanced_set() -> Dataset:
    """Real rows in two classes that overlap, and a made and a repeated row of "hot"."""
    texts = [f"{word} {'a' * n}" for word in WARM for n in range(6)]
    labels = [int(text.split()[0] in WARM[3:]) for text in texts]
    labels[0] = 1  # an icy text among the hot
    made = ["icy made", "hot made", "hot again"]
    rows = {
        "text": texts + made,
        "label": [*labels, 1, 1, 1],
        "origin": [0] * len(texts) + [1, 1, 2],
        "parent": [-1] * len(texts) + [0, 35, 35],
    }
    kinds = Features(
        text=Value("string"),
        label=ClassLabel(names=["cold", "hot"]),
        origin=ClassLabel(names=["real", "synthetic", "resampled"]),
        parent=Value("int64"),
    )
    return Dataset.from_dict(rows, features=kinds)


def test_made_rows_are_told_and_real_ones_keep_their_class() -> None:
    balanced = balanced_set()
    soft = with_soft_labels(balanced, Thermometer())
    assert soft.column_names == ["text", "origin", "parent", "label"]
    labels = np.asarray(soft["label"][:])
    hard = np.eye(2)[balanced["label"][:]]
    real = np.asarray(balanced["origin"][:]) != 1
    assert (labels[real] == hard[real]).all()
    assert labels.sum(1) == pytest.approx(1)
    icy, hot = labels[-3:-1, 1]
    assert 0.5 <= icy < 0.6 < 0.95 < hot < 1  # the teacher does not believe that icy is hot
    whole = np.asarray(with_soft_labels(balanced, Thermometer(), share=1.0)["label"][:])
    assert whole[-3, 1] < 0.2
    none = np.asarray(with_soft_labels(balanced, Thermometer(), share=0.0)["label"][:])
    assert (none == hard).all()


def test_the_teacher_has_not_seen_the_parent() -> None:
    balanced = balanced_set()
    x, y = Thermometer().embed(balanced["text"][:36]), np.asarray(balanced["label"][:36])
    made, parents = x[[0, 35]] + np.float32(0.1), np.array([0, 35])
    told = teacher_probabilities(x, y, made, parents, 2, seed=4)
    fold = spread_over_folds(x, y, FOLDS, 4)
    strength = chosen_regularization(x, y, 2, seed=4)
    for row, parent in enumerate(parents):
        rest = fold != fold[parent]
        logits = LinearJudge.fit(x[rest], y[rest], 2, strength).logits(made[[row]])[0]
        assert told[row] == pytest.approx(np.exp(logits) / np.exp(logits).sum(), abs=1e-6)


def test_the_loss_of_the_trainer_reads_them() -> None:
    soft = with_soft_labels(balanced_set(), Thermometer()).with_format("torch")
    labels = soft["label"][:]
    logits = torch.randn(39, 2, generator=torch.Generator().manual_seed(0))
    found = minority_loss("cross_entropy", [20, 19])({"logits": logits}, labels)
    assert float(found) == pytest.approx(float(F.cross_entropy(logits, labels)), abs=1e-6)


def test_it_reads_what_an_oversampler_writes() -> None:
    """Rows that `balance` returns, with a made row in place of a repeated one."""
    real = balanced_set().select(range(30)).remove_columns(["origin", "parent"])
    grown = RandomOversampler(seed=0).balance(real)
    last = len(grown) - 1
    made = grown.map(
        lambda row, i: {"origin": 1} if i == last else {},
        with_indices=True,
        features=grown.features,
    )
    soft = np.asarray(with_soft_labels(made, Thermometer())["label"][:])
    assert ((soft > 0) & (soft < 1)).any(axis=1).tolist() == [False] * last + [True]


def test_what_cannot_be_told_is_refused() -> None:
    balanced = balanced_set()
    with pytest.raises(ValueError, match=r"share is 1\.5"):
        with_soft_labels(balanced, Thermometer(), share=1.5)
    for rows in (balanced.select(range(1, 39)), balanced.select(range(38, -1, -1))):
        with pytest.raises(ValueError, match="before it is filtered or shuffled"):
            with_soft_labels(rows, Thermometer())
    with pytest.raises(ValueError, match="real rows are of one class"):
        with_soft_labels(balanced.select([*range(18, 39)]), Thermometer())
    with pytest.raises(ValueError, match="parent"):
        with_soft_labels(balanced.remove_columns("parent"), Thermometer())
