"""What the base class of the embedding methods does: rows in and out, by data set and by array."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, LargeList, List, Value
from datasets.fingerprint import Hasher
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_oversample.data import columns
from hf_oversample.oversamplers.smote import SmoteOversampler
from oversampler_checks import CASES, WIDTH, Case, make_dataset, map_rows, rows_of

EMBEDDING_METHODS = [n for n, case in CASES.items() if "embedding_column" in case.fit_columns]
COUNTS = (23, 6, 3)


@pytest.fixture(params=EMBEDDING_METHODS)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def vectors_of(dataset: Dataset) -> np.ndarray:
    return np.asarray(dataset.with_format("numpy")["embedding"][:], np.float32)


# ---- arrays -------------------------------------------------------------------------------------


def test_arrays_give_the_rows_that_balance_gives(case: Case) -> None:
    dataset = make_dataset(COUNTS)
    made = case.make(seed=3).balance(dataset).select(range(len(dataset), 3 * 23))
    # codes agree where all classes have rows
    from_arrays = case.make(seed=3).fit_arrays(vectors_of(dataset), dataset["label"][:])
    values, labels, origin, parent = from_arrays.new_rows()
    assert values.dtype == np.float32
    assert values.shape == (len(made), WIDTH)
    assert values.tolist() == vectors_of(made).tolist()
    assert labels.tolist() == made["label"][:]
    assert origin.tolist() == made["origin"][:]
    assert parent.tolist() == made["parent"][:]


def test_array_labels_may_be_strings_and_the_rows_stay_as_they_are(case: Case) -> None:
    dataset = make_dataset(COUNTS)
    names = np.asarray(["a", "b", "c"])[dataset["label"][:]]
    given = vectors_of(dataset)
    given.flags.writeable = False
    before = given.copy()
    oversampler = case.make(sampling_strategy={"c": 9}).fit_arrays(given, names)
    values, labels, _, parent = oversampler.new_rows()
    assert labels.tolist() == ["c"] * 6
    assert len(values) == len(parent) == 6
    assert (given == before).all()


def test_arrays_without_anything_to_make(case: Case) -> None:
    values, labels, origin, parent = (
        case.make().fit_arrays(np.eye(4), ["a", "b", "a", "b"]).new_rows()
    )
    assert values.shape == (0, 4)
    assert len(labels) == len(origin) == len(parent) == 0


@pytest.mark.parametrize(
    ("embeddings", "labels", "message"),
    [
        (np.ones(4), [0, 0, 1, 1], r"shape \[rows, width\] and labels \[rows\], got \(4,\)"),
        (np.ones((4, 0)), [0, 0, 1, 1], r"got \(4, 0\) and \(4,\)"),
        (np.ones((4, 2)), [0, 0, 1], r"got \(4, 2\) and \(3,\)"),
        (np.ones((4, 2)), [[0], [0], [1], [1]], r"got \(4, 2\) and \(4, 1\)"),
        ([[1.0, 2.0], [np.nan, 1.0], [1.0, 1.0]], [0, 0, 1], "nan in row 1, position 0"),
        ([[1.0, 2.0], [1.0, 1.0], [1.0, 1e300]], [0, 0, 1], "inf in row 2, position 1"),
        (np.ones((4, 2)), [1, 1, 1, 1], r"found 1 class\(es\)"),
        (np.ones((4, 2)), np.asarray([0.0, 1.0, 1.0, 0.0]), r"label is 0.0 \(float\) in row 0"),
        (np.ones((4, 2)), [0, 1, 1.5, 0], r"label is 1.5 \(float\) in row 2: .* integers"),
        (np.ones((4, 2)), np.asarray([np.nan, 1.0, 1.0, 0.0]), "label is nan in row 0: give"),
        (np.ones((4, 2)), ["a", "b", float("nan"), "a"], "label is nan in row 2: give"),
        (np.ones((4, 2)), ["a", None, "b", "a"], "label is None in row 1: give the row a label"),
        (np.ones((4, 2)), ["a", "b", "b", 1], "label is 1 in row 3 but 'a' in row 0"),
        (np.ones((4, 2)), [0, 1, 1, b"a"], r"label is b'a' \(bytes\) in row 3"),
    ],
)
def test_arrays_that_do_not_fit(embeddings: Any, labels: Any, message: str) -> None:
    oversampler = SmoteOversampler()
    with pytest.raises(ValueError, match=message):
        oversampler.fit_arrays(embeddings, labels)
    with pytest.raises(RuntimeError, match="is not fitted"):
        oversampler.new_rows()


def test_fitted_on_arrays_it_maps_no_data_set(case: Case) -> None:
    dataset = make_dataset(COUNTS).select_columns(["label", "embedding"])
    oversampler = case.make().fit_arrays(vectors_of(dataset), dataset["label"][:])
    with pytest.raises(ValueError, match="was fitted on another data set"):
        oversampler.children(dataset)


def test_fitted_on_arrays_it_has_the_features_of_a_data_set_of_them(case: Case) -> None:
    dataset = make_dataset(COUNTS).select_columns(["label", "embedding"])
    fitted = case.make().fit_arrays(vectors_of(dataset), dataset["label"][:])
    digest = Hasher.hash(fitted)
    features = {"label": Value("int64"), "embedding": List(Value("float32"), length=WIDTH)}
    assert fitted.features_ == Features(features)
    assert Hasher.hash(fitted) == digest
    assert pickle.loads(pickle.dumps(fitted)).features_ == fitted.features_
    assert "_array_types" not in fitted.__getstate__()
    refitted = fitted.fit(make_dataset(COUNTS), **case.fit_columns)
    assert refitted.features_ == make_dataset(COUNTS).features


# ---- data sets ----------------------------------------------------------------------------------


def test_copied_columns_are_the_parents(case: Case) -> None:
    dataset = make_dataset(COUNTS)
    plain = case.fitted(dataset, seed=3).children(dataset)
    oversampler = case.fitted(dataset, seed=3, copy_columns=True)
    children = oversampler.children(dataset)
    planned = oversampler.fitted_plan().parent.tolist()
    for row, other, parent in zip(children, plain, planned, strict=True):
        assert row["embedding"] == other["embedding"]
        assert (other["text"], other["id"]) == (None, None)
        assert row["parent"] == other["parent"] == parent
        assert (row["text"], row["id"]) == (dataset[parent]["text"], dataset[parent]["id"])
    mapped = [row for row in map_rows(dataset, oversampler, batch_size=5) if row["origin"]]
    assert mapped == rows_of(children)


def test_an_index_mapping_changes_nothing(case: Case) -> None:
    shuffled = make_dataset(COUNTS).shuffle(seed=1).select(range(2, 32))
    assert shuffled._indices is not None
    flat = Dataset.from_dict(shuffled[:], features=shuffled.features)
    for copy_columns in (False, True):
        one = case.make(copy_columns=copy_columns).balance(shuffled)
        two = case.make(copy_columns=copy_columns).balance(flat)
        assert rows_of(one) == rows_of(two)
    oversampler = case.fitted(shuffled)
    assert map_rows(shuffled, oversampler, batch_size=4) == map_rows(flat, oversampler)


@pytest.mark.parametrize(
    "feature",
    [
        List(Value("float32")),
        List(Value("float32"), length=WIDTH),
        List(Value("float64")),
        List(Value("float64"), length=WIDTH),
        List(Value("float16")),
        LargeList(Value("float32")),
        LargeList(Value("float64")),
    ],
    ids=lambda feature: type(feature).__name__,
)
def test_every_type_of_embedding_column(feature: Any) -> None:
    dataset = make_dataset(COUNTS).cast_column("embedding", feature)
    oversampler = SmoteOversampler(copy_columns=True).fit(dataset)
    balanced = oversampler.balance(dataset)
    assert balanced.features["embedding"] == feature
    rows = rows_of(balanced)
    assert all(len(row["embedding"]) == WIDTH for row in rows)
    mapped = dataset.map(oversampler, batched=True, with_indices=True)
    assert mapped.features == balanced.features
    assert [r for r in rows_of(mapped) if r["origin"]] == rows[len(dataset) :]
    values = oversampler.new_rows()[0]
    assert [row["embedding"] for row in rows[len(dataset) :]] == (
        values.astype(np.float16).tolist() if "float16" in str(feature) else values.tolist()
    )


def test_repeated_rows_in_columns_of_more_digits(case: Case) -> None:
    """They are their parents, with all digits."""
    dataset = make_dataset(COUNTS)
    exact = (np.asarray(dataset["embedding"]) + 1e-10).tolist()
    dataset = dataset.remove_columns("embedding").add_column("embedding", exact)
    assert dataset.features["embedding"].feature == Value("float64")
    rows = rows_of(case.fitted(dataset).balance(dataset))
    for row in rows:
        if row["origin"] == 2:
            assert row["embedding"] == rows[row["parent"]]["embedding"]


def test_integer_embeddings_are_refused_where_rows_are_made(case: Case) -> None:
    dataset = make_dataset(COUNTS).remove_columns("embedding")
    dataset = dataset.add_column("embedding", np.arange(64).reshape(32, 2).tolist())
    with pytest.raises(ValueError, match="holds int64 values, which cannot hold"):
        case.make().fit(dataset)


def test_a_number_beyond_float32_is_told_with_its_row(case: Case) -> None:
    values = np.ones((32, 2))
    values[7, 1] = 1e300
    dataset = make_dataset(COUNTS).remove_columns("embedding")
    dataset = dataset.add_column("embedding", values.tolist())
    with pytest.raises(ValueError, match="is inf in row 7, position 1"):
        case.make().fit(dataset)


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_formatted_data_sets_give_the_same_rows(case: Case, kind: str) -> None:
    dataset = make_dataset(COUNTS)
    formatted = dataset.with_format(kind)
    expected = case.fitted(dataset)
    oversampler = case.fitted(formatted)
    assert rows_of(oversampler.children(dataset)) == rows_of(expected.children(dataset))
    balanced = oversampler.balance(formatted)
    assert balanced.format["type"] == kind
    assert rows_of(balanced.with_format(None)) == rows_of(expected.balance(dataset))
    mapped = formatted.map(oversampler, batched=True, with_indices=True, batch_size=9)
    assert rows_of(mapped.with_format(None)) == map_rows(dataset, expected)


def test_map_keeps_features_and_columns_of_nulls(case: Case) -> None:
    dataset = make_dataset(COUNTS).add_column("nothing", [None] * 32, feature=Value("string"))
    dataset = dataset.add_column("kind", [0, 1] * 16, feature=ClassLabel(names=["u", "v"]))
    oversampler = case.fitted(dataset)
    mapped = dataset.map(oversampler, batched=True, with_indices=True, batch_size=6)
    assert mapped.features == oversampler.output_features(dataset.features)
    assert mapped.features["label"] == dataset.features["label"]
    assert mapped.features["kind"] == ClassLabel(names=["u", "v"])
    assert set(mapped["nothing"]) == {None}
    made = [row["kind"] for row in mapped if row["origin"]]
    assert made == [None] * len(made)


def test_children_of_other_columns_or_code_are_not_the_cached_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset = make_dataset(COUNTS)
    other = make_dataset(COUNTS, id=[f"other-{i}" for i in range(32)])

    def fingerprint(rows: Dataset, **params: Any) -> str:
        return SmoteOversampler(**params).fit(rows).children(rows)._fingerprint

    before = fingerprint(dataset)
    assert before == fingerprint(dataset)
    assert before != fingerprint(dataset, seed=1)
    copied = fingerprint(dataset, copy_columns=True)
    assert copied not in (before, fingerprint(other, copy_columns=True))
    monkeypatch.setattr(SmoteOversampler, "code_version", 999)
    assert fingerprint(dataset) != before


@settings(max_examples=30, deadline=None)
@given(
    rows=st.integers(0, 9),
    width=st.integers(1, 5),
    limit=st.integers(5, 20),
    kind=st.sampled_from(["float32", "float64"]),
)
def test_long_list_columns_come_in_chunks(rows: int, width: int, limit: int, kind: str) -> None:
    values = np.arange(rows * width, dtype=np.float32).reshape(rows, width)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "_LARGEST_OFFSET", limit)
        array = columns.as_arrow(values, List(Value(kind)))
        fixed = columns.as_arrow(values, List(Value(kind), length=width))
    assert array.to_pylist() == fixed.to_pylist() == values.tolist()
    features = Features({"column": List(Value(kind))})
    assert array.type == features.arrow_schema.field("column").type
    chunks = getattr(array, "chunks", [array])
    assert all(len(chunk) * width <= limit for chunk in chunks)
