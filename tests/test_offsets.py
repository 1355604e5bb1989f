"""Columns far from zero (times, ids, prices): made rows stay where their parents are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from datasets import Dataset, List, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_oversample import sklearn as samplers
from hf_oversample.metrics.difficult import difficult_report
from hf_oversample.neighbors.difficult import difficult_samples, nearest_neighbors
from hf_oversample.numeric.offsets import about, far_middles
from hf_oversample.oversamplers.base import Oversampler
from hf_oversample.oversamplers.embedding import EmbeddingOversampler
from hf_oversample.oversamplers.smote import SmoteOversampler
from oversampler_checks import CASES, Case, rows_of

METHODS = [name for name, case in CASES.items() if "embedding_column" in case.fit_columns]
LINES = ("SmoteOversampler", "BorderlineSmoteOversampler", "AdasynOversampler")
OFFSETS = (0.0, 1e9, -1.7e9, 1e12)


def rows_far_away(seed: int, offset: float) -> tuple[np.ndarray, np.ndarray]:
    """24 common and 8 rare rows, the rare ones near some common ones; the first column is far."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], [24, 8])
    rows = rng.normal(size=(32, 3)) + labels[:, None]
    rows[:, 0] += offset
    return rows, labels


def as_dataset(rows: np.ndarray, labels: np.ndarray) -> Dataset:
    dataset = Dataset.from_dict({"embedding": rows.tolist(), "label": labels.tolist()})
    assert dataset.features["embedding"] == List(Value("float64"))
    return dataset


def made_by(case: Case, rows: np.ndarray, labels: np.ndarray) -> Dataset:
    dataset = as_dataset(rows, labels)
    return case.fitted(dataset, seed=1).children(dataset)


@pytest.mark.parametrize("name", LINES)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 99), offset=st.sampled_from([*OFFSETS, 1e15, -3e38, 1e-30]))
def test_children_lie_between_rows_of_their_class(name: str, seed: int, offset: float) -> None:
    rows, labels = rows_far_away(seed, offset)
    children = made_by(CASES[name], rows, labels)
    assert children.features["embedding"] == List(Value("float64"))
    made, rare = np.asarray(children["embedding"][:]), rows[labels == 1]
    assert made.dtype == np.float64
    assert (made >= rare.min(axis=0)).all()
    assert (made <= rare.max(axis=0)).all()
    if abs(offset) < 1e11:  # there are so many numbers between the rows' own that none is met twice
        assert len(np.unique(made[:, 0])) == len(made)


@pytest.mark.parametrize("name", LINES)
def test_the_offset_changes_neither_lines_nor_places(name: str) -> None:
    rows, labels = rows_far_away(3, 0.0)
    near = np.asarray(made_by(CASES[name], rows, labels)["embedding"][:])
    far = np.asarray(made_by(CASES[name], rows + np.array([1e9, 0, 0]), labels)["embedding"][:])
    np.testing.assert_allclose(far - [1e9, 0, 0], near, atol=1e-6)


@pytest.mark.parametrize("name", sorted(set(METHODS) - set(LINES)))
@pytest.mark.parametrize("offset", OFFSETS)
def test_other_methods_make_rows_where_the_rows_are(name: str, offset: float) -> None:
    rows, labels = rows_far_away(5, offset)
    case = CASES[name]
    children = made_by(case, rows, labels)
    made = np.asarray(children["embedding"][:])
    assert made.dtype == np.float64
    # a few spreads of the data away at most, where float32 would round by 64 and more
    assert np.abs(made[:, 0] - rows[:, 0].mean()).max() < 20
    assert len(np.unique(made[:, 0])) > 4
    for row in rows_of(children):
        if row["origin"] == 2:  # a repeated row is the row itself
            assert row["embedding"] == rows[row["parent"]].tolist()


@pytest.mark.parametrize("name", METHODS)
def test_the_centre_is_saved_and_every_way_gives_the_same_rows(name: str, tmp_path: Any) -> None:
    rows, labels = rows_far_away(7, 1e9)
    case, dataset = CASES[name], as_dataset(rows, labels)
    oversampler = case.fitted(dataset, seed=1)
    expected = rows_of(oversampler.children(dataset))
    mapped = dataset.map(oversampler, batched=True, with_indices=True, batch_size=7)
    assert [row for row in rows_of(mapped) if row["origin"]] == expected
    oversampler.save_pretrained(tmp_path / "saved")
    loaded = Oversampler.from_pretrained(tmp_path / "saved")
    assert rows_of(loaded.children(dataset)) == expected
    again = case.make(seed=1)
    assert isinstance(again, EmbeddingOversampler)
    made = again.fit_arrays(rows, labels).new_rows()[0]
    assert made.dtype == np.float64
    assert made.tolist() == [row["embedding"] for row in expected]


@pytest.mark.parametrize("sampler", ["SmoteSampler", "BorderlineSmoteSampler", "AdasynSampler"])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 99), offset=st.sampled_from(OFFSETS), whole=st.booleans())
def test_samplers_stay_within_the_range(
    sampler: str, seed: int, offset: float, whole: bool
) -> None:
    rows, labels = rows_far_away(seed, offset)
    if whole:
        rows = np.rint(rows * 10).astype(np.int64)
    options = {} if sampler == "SmoteSampler" else {"fallback": "smote"}
    made, made_labels = getattr(samplers, sampler)(**options).fit_resample(rows, labels)
    assert made.dtype == rows.dtype
    rare = rows[labels == 1]
    new = made[len(rows) :]
    assert (new >= rare.min(axis=0)).all()
    assert (new <= rare.max(axis=0)).all()


@pytest.mark.parametrize("offset", [10**18 + 1, -(2**62) - 3, 1_700_000_000_000_000_001])
def test_integers_that_float64_cannot_tell_apart_stay_within_the_range(offset: int) -> None:
    """Times in nanoseconds, and ids."""
    rows, labels = rows_far_away(2, 0.0)
    whole = np.rint(rows * 10).astype(np.int64)
    whole[:, 0] += offset
    made, _ = samplers.SmoteSampler().fit_resample(whole, labels)
    rare, new = whole[labels == 1], made[len(whole) :]
    assert (new >= rare.min(axis=0)).all()
    assert (new <= rare.max(axis=0)).all()
    assert len(np.unique(new[:, 0])) > 4


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), offset=st.sampled_from(OFFSETS), k=st.integers(1, 6))
def test_neighbours_do_not_depend_on_the_offset(seed: int, offset: float, k: int) -> None:
    rows, labels = rows_far_away(seed, 0.0)
    moved = rows + np.array([offset, 0, 0])
    expected = np.linalg.norm((moved[:, None] - moved[None]), axis=2)
    np.fill_diagonal(expected, np.inf)
    distances, indices = nearest_neighbors(moved, moved, k, exclude=np.arange(32))
    chosen = np.take_along_axis(expected, indices.numpy(), 1)
    np.testing.assert_allclose(distances.numpy(), chosen, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(chosen, np.sort(expected, axis=1)[:, :k], rtol=1e-4, atol=1e-5)
    if abs(offset) <= 2e9:  # at 1e12 the rows themselves are rounded
        here, there = (difficult_samples(values, labels, k=k) for values in (rows, moved))
        assert there.is_difficult.tolist() == here.is_difficult.tolist()
        report = difficult_report(labels, labels, moved.tolist(), k=k)
        assert report["difficult_share"] == here.share()


def test_integers_of_many_digits_have_distances() -> None:
    ids = np.array([[10**15], [10**15 + 1], [10**15 + 5]])
    distances, indices = nearest_neighbors(ids, ids, 1, exclude=[0, 1, 2])
    assert distances[:, 0].tolist() == [1, 1, 4]
    assert indices[:, 0].tolist() == [1, 0, 1]


@pytest.mark.parametrize("value", [1e39, -1e300])
def test_what_float32_cannot_hold_is_refused_by_name(value: float) -> None:
    rows, labels = rows_far_away(1, 0.0)
    rows[7, 1] = value
    said = rf"inf in row 7, position 1, as float32.*{value:g}.*divide the column by a constant"
    with pytest.raises(ValueError, match=said.replace("+", r"\+")):
        SmoteOversampler().fit(as_dataset(rows, labels))
    with pytest.raises(ValueError, match=said.replace("+", r"\+")):
        SmoteOversampler().fit_arrays(rows, labels)
    with pytest.raises(ValueError, match=r"inf in row 7, column 1, as float32"):
        difficult_samples(rows, labels)


def test_middles() -> None:
    rows = np.array([[1e9, 0.5, 7.0, -1e300], [1e9 + 2, -0.5, 7.0, 1e300]])
    assert far_middles(rows).tolist() == [1e9 + 1, 0.0, 7.0, 0.0]
    assert about(rows[:, :3], far_middles(rows)[:3]).tolist() == [[-1, 0.5, 0], [1, -0.5, 0]]
    assert far_middles(np.empty((0, 2))).tolist() == [0, 0]
