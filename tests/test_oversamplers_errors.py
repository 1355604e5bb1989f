"""The contract's errors: bad input to fit, use before fit, and other data than the fitted ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from datasets import DatasetDict, Value

from hf_oversample.oversamplers import OVERSAMPLERS
from oversampler_checks import Case, case_of, make_dataset, plain


@pytest.fixture(params=sorted(OVERSAMPLERS))
def case(request: pytest.FixtureRequest) -> Case:
    return case_of(request.param)


def fit_error(case: Case, dataset: Any, message: str, **arguments: Any) -> None:
    oversampler = case.make(**arguments.pop("params", {}))
    with pytest.raises(ValueError, match=message):
        oversampler.fit(dataset, **{**case.fit_columns, **arguments})
    with pytest.raises(RuntimeError, match="not fitted"):  # nothing half done
        oversampler.fitted_plan()


def test_bad_labels(case: Case) -> None:
    dataset = make_dataset((5, 3))
    fit_error(
        case,
        dataset,
        r"no column 'labels'; the data set has \['text', 'label', 'embedding', 'id'\]",
        label_column="labels",
    )
    fit_error(case, make_dataset((5, 0)), r"found 1 class\(es\) with rows \('ham': 5 rows\)")
    fit_error(
        case,
        make_dataset((5, 3), label=[0, 0, 1, None, 1, 0, 0, 1]),
        "'label' is null in row 3: give the row a label, or drop it",
    )
    unlabelled = make_dataset((5, 3), label=[0, 0, 1, 1, 1, 0, -1, 1])
    fit_error(case, unlabelled, "'label' is -1 in row 6, outside the ClassLabel's 0 … 1")
    fit_error(case, dataset, "labels must be a ClassLabel", label_column="embedding")
    fit_error(case, dataset.select([]), "the data set has no rows")
    fit_error(case, dataset.add_column("origin", [0] * 8), r"already has the column\(s\)")


def test_bad_strategy(case: Case) -> None:
    dataset = make_dataset((9, 3))
    fit_error(case, dataset, "'majority' is unknown", params={"sampling_strategy": "majority"})
    fit_error(case, dataset, "asks for 2 rows, but 3", params={"sampling_strategy": {"spam": 2}})
    fit_error(case, dataset, "class 'eggs' has no", params={"sampling_strategy": {"eggs": 2}})
    fit_error(case, dataset, "removes no rows", params={"sampling_strategy": 0.1})
    with pytest.raises(TypeError, match="seed must be an int"):
        case.make(seed="0")


def test_bad_texts_and_embeddings(case: Case) -> None:
    dataset = make_dataset((4, 2))
    kind = type(case.make()).input_kind
    if kind in ("any", "text"):
        for value, message in ((None, "null"), (" \n", "empty")):
            bad = make_dataset((4, 2), text=["a", "b", "c", value, "e", value])
            text = f"'text' is {message} in row 3 \\(2 such rows\\)"
            fit_error(case, bad, text, text_column="text")
        fit_error(case, dataset, "not strings: name the text column", text_column="embedding")
        fit_error(case, dataset, "no column 'body'; the data set has", text_column="body")
    if kind in ("any", "embedding"):
        vectors = np.ones((6, 4), dtype=np.float32)
        for value in (np.nan, np.inf):
            vectors[2, 1] = value
            bad = make_dataset((4, 2), embedding=vectors.tolist())
            text = f"'embedding' is {value} in row 2, position 1"
            fit_error(case, bad, text, embedding_column="embedding")
        fit_error(case, dataset, "must be lists of numbers", embedding_column="text")
        ragged = dataset.remove_columns("embedding").add_column(
            "embedding", [[1.0, 2.0]] * 4 + [[1.0]] + [[1.0, 2.0]]
        )
        text = "'embedding' has 1 values in row 4 but 2 in row 0"
        fit_error(case, ragged, text, embedding_column="embedding")
    fit_error(case, dataset, "give one", text_column="text", embedding_column="embedding")


def test_only_a_dataset_can_be_fitted(case: Case) -> None:
    dataset = make_dataset((4, 2))
    for other in (DatasetDict(train=dataset), dataset.to_iterable_dataset(), [{"label": 1}]):
        with pytest.raises(TypeError, match="fit needs all rows of one split"):
            case.make().fit(other)


def test_use_before_fit(case: Case) -> None:
    dataset = make_dataset((4, 2))
    with pytest.raises(RuntimeError, match="is not fitted"):
        case.make()(dataset[:], range(6))
    with pytest.raises(RuntimeError, match="is not fitted"):
        case.make().children(dataset)


def test_another_data_set(case: Case) -> None:
    dataset, oversampler = plain(case)
    batch = dataset[:4]
    with pytest.raises(ValueError, match="row 32 is beyond the 32 rows"):
        oversampler(batch, [0, 1, 2, 32])
    wrong = {**batch, "label": [1 - min(label, 1) for label in batch["label"]]}
    with pytest.raises(ValueError, match=r"in row 0 but was .* when fitted"):
        oversampler(wrong, range(4))
    with pytest.raises(ValueError, match=r"missing \['id'\], new \['more'\]"):
        oversampler({**{n: v for n, v in batch.items() if n != "id"}, "more": [0] * 4}, range(4))
    with pytest.raises(ValueError, match="4 rows but 3 indices"):
        oversampler(batch, range(3))
    with pytest.raises(TypeError, match="must be a dict of columns"):
        oversampler(dataset.with_format("arrow")[:4], range(4))
    with pytest.raises(ValueError, match="already has the column"):
        oversampler.balance(dataset).map(oversampler, batched=True, with_indices=True)
    with pytest.raises(ValueError, match="when fitted: this is another data set, or another order"):
        dataset.shuffle(seed=1).map(oversampler, batched=True, with_indices=True)
    if oversampler.row_keys_ is not None:
        # the labels are where they were, and the rows are others
        read = oversampler.text_column_ or oversampler.embedding_column_
        column = read or "text"  # where none is read, a row is known by all its columns
        order = np.argsort(dataset["label"][:], kind="stable")
        by_label = dataset.select(order)
        of_classes = case.fitted(by_label)
        within = np.concatenate([np.roll(np.arange(n), 1) + s for n, s in ((23, 0), (6, 23))])
        swapped = by_label.select([*within, 29, 30, 31])
        changed = dataset.map(lambda row: {column: row[column][::-1]})
        for fitted, other in ((of_classes, swapped), (oversampler, changed)):
            for rows in (other, other.to_iterable_dataset()):
                with pytest.raises(
                    ValueError, match=f"column '{read or 'text, '}.* in row .* fitted"
                ):
                    list(rows.map(fitted, batched=True, with_indices=True))
    for other, message in (
        (dataset.select(range(30)), "it has 30 rows, the fitted one has 32"),
        (
            dataset.rename_column("id", "key"),
            r"differ from the fitted ones in the columns \['id', ",
        ),
        (dataset.cast_column("id", Value("large_string")), r"in the columns \['id'\]"),
        (dataset.shuffle(seed=1), "is not the fitted one"),
    ):
        with pytest.raises(ValueError, match=message):
            oversampler.children(other)
