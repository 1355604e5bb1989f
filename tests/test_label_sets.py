"""Every way of writing the labels of a row is read as the same matrix; what is wrong is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from datasets import ClassLabel, Dataset, Features, LargeList, List, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_oversample.data.label_imbalance import (
    imbalance_ratios,
    mean_imbalance_ratio,
    minority_labels,
    scumble,
    scumble_of_rows,
)
from hf_oversample.data.label_sets import multi_label_columns, read_label_sets, with_label_lists

NAMES = ["threat", "toxic", "insult"]
MATRIX = st.integers(2, 4).flatmap(
    lambda width: st.lists(st.lists(st.booleans(), min_size=width, max_size=width), min_size=2)
)


def of(feature: Any, values: list[Any]) -> Dataset:
    """A column as a file may hold it: `Dataset.from_dict` refuses some labels itself."""
    schema = Features({"labels": feature}).arrow_schema
    return Dataset(pa.table([pa.array(values, schema.field("labels").type)], schema=schema))


def written(matrix: np.ndarray, names: list[str]) -> dict[str, tuple[Dataset, Any]]:
    """The same labels in every form: (data set, columns)."""

    def apart(kind: Callable[[np.bool_], Any]) -> tuple[Dataset, list[str]]:
        rows = {name: [kind(x) for x in matrix[:, k]] for k, name in enumerate(names)}
        return Dataset.from_dict(rows), names

    floats = List(Value("float32"), length=matrix.shape[1])
    numbers = [np.flatnonzero(row).tolist() for row in matrix]
    named = [[names[label] for label in row] for row in numbers]
    return {
        "ClassLabel": (of(List(ClassLabel(names=names)), numbers), "labels"),
        "large": (of(LargeList(ClassLabel(names=names)), numbers), "labels"),
        "names": (of(List(Value("string")), named), "labels"),
        "integers": (of(List(Value("int64")), matrix.astype(int).tolist()), "labels"),
        "floats": (of(floats, matrix.astype(float).tolist()), "labels"),
        "booleans": (of(List(Value("bool")), matrix.tolist()), "labels"),
        "columns": apart(int),
        "cells": apart(lambda x: str(int(x))),
        "truths": apart(bool),
    }


@settings(max_examples=12, deadline=None)
@given(MATRIX)
def test_all_forms_are_read_alike_and_written_back(rows: list[list[bool]]) -> None:
    matrix = np.asarray(rows)
    matrix[0] = True  # each name occurs, and some row has a label
    names = [chr(ord("a") + place) for place in range(matrix.shape[1])]
    for form, (dataset, columns) in written(matrix, names).items():
        given_names = names if form in ("integers", "floats", "booleans") else None
        sets = read_label_sets(dataset, columns, given_names)
        assert sets.names == names, form
        assert np.array_equal(sets.matrix, matrix), form
        assert sets.counts.tolist() == matrix.sum(axis=0).tolist()
        if form not in ("columns", "cells", "truths"):
            assert [sets.written(row) for row in matrix] == dataset["labels"][:], form
        for multi_hot in (False, True):
            made = with_label_lists(
                dataset, columns, "labels", names=given_names, multi_hot=multi_hot
            )
            assert made.column_names == ["labels"]
            again = read_label_sets(made, "labels", names if multi_hot else None)
            assert np.array_equal(again.matrix, matrix)
            assert again.names == names
            assert multi_label_columns(made.features, "labels") == ["labels"]


def test_label_numbers_in_rows_of_different_lengths() -> None:
    dataset = of(List(Value("int64")), [[2], [], [0, 2]])
    assert read_label_sets(dataset, "labels").matrix.astype(int).tolist() == [
        [0, 0, 1],
        [0, 0, 0],
        [1, 0, 1],
    ]
    named = read_label_sets(dataset, "labels", NAMES)
    assert named.names == NAMES
    # one number a row is a label, not a multi-hot list of one
    assert read_label_sets(of(List(Value("int64")), [[1], [0]]), "labels").matrix.shape == (2, 2)


def test_columns_that_a_command_line_names() -> None:
    features = Features(
        {"toxic": Value("int64"), "threat": Value("int64"), "a,b": ClassLabel(names=["x", "y"])}
    )
    assert multi_label_columns(features, "toxic, threat") == ["toxic", "threat"]
    for one_class in ("toxic", "a,b", "missing"):
        assert multi_label_columns(features, one_class) is None


def test_other_columns_and_the_format_stay() -> None:
    rows = {"text": ["x", "y"], "toxic": [0, 1], "threat": [1, 1], "id": [7, 8]}
    dataset = Dataset.from_dict(rows).with_format("numpy")
    made = with_label_lists(dataset, ["toxic", "threat"])
    assert made.format["type"] == "numpy"
    assert made.column_names == ["text", "id", "labels"]
    assert made.with_format(None)["labels"][:] == [[1], [0, 1]]
    assert made.features["labels"] == List(ClassLabel(names=["toxic", "threat"]))
    with pytest.raises(ValueError, match="there is a column 'id' already"):
        with_label_lists(dataset, ["toxic", "threat"], "id")


CLASSES = List(ClassLabel(names=NAMES))
WRONG: list[tuple[Any, list[Any], str]] = [
    (CLASSES, [[0], [3, 1]], r"has label 3 in row 1 \(1 such labels\), outside of 0 … 2"),
    (CLASSES, [[0], [-1]], "has label -1 in row 1"),
    (CLASSES, [[0], None], r"null in row 1 \(1 such rows\): a row without labels has an empty"),
    (CLASSES, [[0], [1, 1]], "'toxic' twice in row 1"),
    (CLASSES, [[], []], r"no row of 'labels' has a label \(2 rows\)"),
    (List(Value("string")), [["a"], ["b", None]], "a null among the labels of row 1"),
    (List(Value("int64")), [[0, 1], [2, 0]], "2 in row 1, position 0.*List.ClassLabel"),
    (List(Value("int64")), [[0, 1, 0], [1, 0]], "'0' twice in row 0"),
    (List(Value("float32")), [[0, 1, 0], [1, 0]], "2 values in row 1 but 3 in row 0: multi-hot"),
    (List(Value("float32")), [[0, 1], [0.5, 0]], "is 0.5 in row 1, position 0"),
    (List(Value("float32")), [[0, 1], [float("nan"), 0]], "NaN or null in row 1, position 0"),
    (List(Value("float32")), [[0, 0], [0, 0]], "no row of 'labels' has a label"),
    (List(Value("float32")), [[], []], "empty lists only"),
    (List(Value("timestamp[s]")), [[0], [1]], "values of type timestamp"),
    (Value("string"), ["a", "b"], "one value a row: rows with any number of labels have lists"),
    (ClassLabel(names=NAMES), [0, 1], "one value a row"),
]


@pytest.mark.parametrize(("feature", "values", "message"), WRONG)
def test_what_is_wrong_in_lists_is_named(feature: Any, values: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_label_sets(of(feature, values), "labels")


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([0, 2, 1], "column 'toxic' is 2 in row 1"),
        ([0.0, 1.0, float("nan")], "column 'toxic' is NaN or null in row 2"),
        ([0, None, 1], "column 'toxic' is NaN or null in row 1"),
        (["0", "yes", "1"], "column 'toxic' is 'yes' in row 1"),
        (["0", None, "1"], "column 'toxic' is NaN or null in row 1"),
        ([[0], [1], [0]], "values of type list"),
        ([0, 0, 0], "no row of 'threat', 'toxic' has a label"),
    ],
)
def test_what_is_wrong_in_columns_is_named(column: list[Any], message: str) -> None:
    dataset = Dataset.from_dict({"threat": [0, 0, 0], "toxic": column})
    with pytest.raises(ValueError, match=message):
        read_label_sets(dataset, ["threat", "toxic"])


def test_wrong_arguments_are_named() -> None:
    dataset = of(List(Value("float32")), [[0, 1], [1, 0]])
    for columns, names, message in (
        ("label", None, "there is no column 'label'"),
        ([], None, "no label column is named"),
        (["labels", "labels"], None, "named twice"),
        ("labels", ["a"], "1 names"),
        ("labels", ["a", "a"], "a label is named twice"),
    ):
        with pytest.raises(ValueError, match=message):
            read_label_sets(dataset, columns, names)
    with pytest.raises(ValueError, match="'b' in row 1, which is none of the names"):
        read_label_sets(of(List(Value("string")), [["a"], ["b"]]), "labels", ["a"])
    with pytest.raises(ValueError, match="no rows"):
        read_label_sets(of(CLASSES, []), "labels")


def test_measures_by_hand() -> None:
    # 4, 2 and 1 rows: IRLbl 1, 2, 4; a label without rows counts in no mean
    counts = [4, 2, 1, 0]
    assert imbalance_ratios(counts).tolist() == [1, 2, 4, float("inf")]
    assert mean_imbalance_ratio(counts) == pytest.approx(7 / 3)
    assert minority_labels(counts).tolist() == [2]
    matrix = np.array([[1, 0, 1], [1, 1, 0], [1, 1, 0], [1, 0, 0], [0, 0, 0]], bool)
    first, second = 1 - np.sqrt(1 * 4) / 2.5, 1 - np.sqrt(1 * 2) / 1.5
    assert scumble_of_rows(matrix) == pytest.approx([first, second, second, 0, 0])
    assert scumble(matrix) == pytest.approx((first + 2 * second) / 5)
    with pytest.raises(ValueError, match="no label has a row"):
        imbalance_ratios([0, 0])


@settings(max_examples=60, deadline=None)
@given(MATRIX)
def test_measures_keep_their_bounds(rows: list[list[bool]]) -> None:
    matrix = np.asarray(rows)
    matrix[0, 0] = True
    counts = matrix.sum(axis=0)
    ratios = imbalance_ratios(counts)
    assert ratios.min() == 1
    assert ((scumble_of_rows(matrix) >= 0) & (scumble_of_rows(matrix) < 1)).all()
    alone = matrix.sum(axis=1) < 2
    assert scumble_of_rows(matrix)[alone] == pytest.approx(0, abs=1e-12)
    rare = set(minority_labels(counts).tolist())
    assert rare == {
        k for k, n in enumerate(counts) if n and ratios[k] > mean_imbalance_ratio(counts)
    }
