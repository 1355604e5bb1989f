"""Iterative stratification: every label keeps its share in every part."""

from __future__ import annotations

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_oversample.data.label_sets import read_label_sets
from hf_oversample.data.label_splitting import iterative_parts, iterative_split
from multi_label_fixtures import labelled_dataset


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(1, 120),
    labels=st.integers(1, 6),
    parts=st.integers(1, 5),
)
def test_each_row_has_a_part_and_the_rarest_label_its_shares(
    seed: int, rows: int, labels: int, parts: int
) -> None:
    draws = np.random.default_rng(seed)
    matrix = draws.random((rows, labels)) < draws.uniform(0.02, 0.7, labels)
    shares = draws.uniform(0.2, 1.0, parts)
    found = iterative_parts(matrix, shares, seed)
    assert ((found >= 0) & (found < parts)).all()
    assert np.array_equal(found, iterative_parts(matrix, shares, seed))
    counts = matrix.sum(axis=0)
    if counts.any():
        rarest = int(np.argmin(np.where(counts > 0, counts, rows + 1)))
        own = np.bincount(found[matrix[:, rarest]], minlength=parts)
        wanted = counts[rarest] * shares / shares.sum()
        if wanted.min() >= 1:
            assert (np.abs(own - wanted) < 1 + 1e-9).all()  # it is handed out first
        elif counts[rarest] >= parts:
            assert own.min() >= 1


def test_rare_labels_are_in_every_part_where_chance_would_leave_them_out() -> None:
    draws = np.random.default_rng(0)
    matrix = draws.random((1000, 8)) < np.geomspace(0.5, 0.012, 8)
    parts = iterative_parts(matrix, [1.0] * 5, seed=1)
    shares = np.stack([matrix[parts == part].sum(axis=0) for part in range(5)])
    assert (shares.max(axis=0) - shares.min(axis=0) <= 3).all()
    assert shares.min() > 0
    sizes = np.bincount(parts)
    assert sizes.max() - sizes.min() <= 12
    assert not np.array_equal(parts, iterative_parts(matrix, [1.0] * 5, seed=2))


def test_texts_stay_together() -> None:
    dataset = labelled_dataset(90)
    repeated = Dataset.from_dict(
        {
            "text": dataset["text"][:] + [text.upper() for text in dataset["text"][:30]],
            "labels": dataset["labels"][:] + dataset["labels"][:30],
        },
        features=dataset.features,
    )
    train, test = iterative_split(repeated, "labels", fractions=(0.7, 0.3), seed=3)
    assert len(train) + len(test) == 120
    assert not {t.lower() for t in train["text"][:]} & {t.lower() for t in test["text"][:]}
    assert read_label_sets(test, "labels").counts.min() > 0
    parts = iterative_split(repeated, "labels", None, fractions=(1, 1, 1))
    assert sum(map(len, parts)) == 120


def test_bad_shares_are_named() -> None:
    for shares in ([], [1.0, 0.0], [1.0, -1.0]):
        with pytest.raises(ValueError, match="must be positive, one a part"):
            iterative_parts(np.ones((3, 2), bool), shares)
