"""Oversamplers of one class asked for one label: children have their parents' other labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from hf_oversample import RandomOversampler, SmoteOversampler
from hf_oversample.data.label_sets import with_label_lists
from hf_oversample.oversamplers.label_by_label import balance_labels
from multi_label_fixtures import NAMES, labelled_dataset
from oversampler_checks import make_miso, rows_of


def has(labels: list[Any], name: str) -> bool:
    return NAMES.index(name) in labels


def test_children_have_the_labels_of_their_parents() -> None:
    dataset = labelled_dataset(60)
    counts = {name: sum(has(row, name) for row in dataset["labels"][:]) for name in NAMES}
    grown = balance_labels(
        dataset,
        {
            "threat": RandomOversampler(sampling_strategy={"threat": counts["threat"] + 5}),
            "refund": RandomOversampler(sampling_strategy={"refund": counts["refund"] + 3}, seed=1),
        },
    )
    assert len(grown) == 68
    assert grown.features["labels"] == dataset.features["labels"]
    rows = rows_of(grown)
    assert [{n: row[n] for n in dataset.column_names} for row in rows[:60]] == rows_of(dataset)
    assert all((row["origin"], row["parent"]) == (0, -1) for row in rows[:60])
    for place, row in enumerate(rows[60:]):
        parent = rows[row["parent"]]
        assert has(row["labels"], "threat" if place < 5 else "refund")
        assert (row["text"], row["labels"], row["origin"]) == (parent["text"], parent["labels"], 2)


@pytest.mark.parametrize("form", ["numbers", "multi_hot"])
def test_embeddings_and_other_forms(form: str) -> None:
    dataset = labelled_dataset(60)
    if form == "multi_hot":
        dataset = with_label_lists(dataset, "labels", "labels", multi_hot=True)
    vectors = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    embedded = dataset.add_column(
        "embedding", vectors.tolist(), feature=List(Value("float32"), length=4)
    )
    label = "3" if form == "multi_hot" else "threat"
    grown = balance_labels(
        embedded,
        {label: SmoteOversampler(sampling_strategy={label: 20}, k_neighbors=2)},
        embedding_column="embedding",
        batch_size=3,
    )
    again = balance_labels(
        embedded.with_format("numpy"),
        {label: SmoteOversampler(sampling_strategy={label: 20}, k_neighbors=2)},
        embedding_column="embedding",
    )
    assert rows_of(again.with_format(None)) == rows_of(grown)
    child = grown[len(grown) - 1]
    assert child["origin"] == 1
    assert child["labels"] == dataset["labels"][child["parent"]]
    labels = grown["labels"][:]
    count = (
        sum(row[3] for row in labels) if form == "multi_hot" else sum(3 in row for row in labels)
    )
    assert count == 20


def test_a_generator_writes_texts_of_a_label() -> None:
    names = ["spam", "urgent"]
    rows = {
        "text": [f"message number {n} for you" for n in range(23)]
        + [f"spam message number {n} for you" for n in range(6)],
        "labels": [[1] if n % 4 == 0 else [] for n in range(23)]
        + [[0, 1] if n % 2 else [0] for n in range(6)],
    }
    features = Features({"text": Value("string"), "labels": List(ClassLabel(names=names))})
    dataset = Dataset.from_dict(rows, features=features)
    miso = make_miso(sampling_strategy={"spam": 12}, seed=3)
    grown = rows_of(balance_labels(dataset, {"spam": miso}, text_column="text", rest="ham"))
    assert len(grown) == 35
    for child in grown[29:]:
        assert child["labels"] == grown[child["parent"]]["labels"]
        assert 0 in child["labels"]
        assert child["text"]


def test_what_is_refused() -> None:
    dataset = labelled_dataset(60)
    plain = RandomOversampler()
    with pytest.raises(ValueError, match="there is no label 'spam' in column 'labels'; there are"):
        balance_labels(dataset, {"spam": plain})
    with pytest.raises(ValueError, match="'threat' is named as the class of all other rows is"):
        balance_labels(dataset, {"threat": plain}, rest="threat")
    with pytest.raises(ValueError, match="there is a column 'target' already"):
        balance_labels(dataset.rename_column("text", "target"), {"threat": plain})
    with pytest.raises(ValueError, match="no oversampler is given"):
        balance_labels(dataset, {})
    with pytest.raises(ValueError, match="makes rows without it: name the label alone"):
        balance_labels(dataset, {"threat": RandomOversampler(sampling_strategy={"rest": 70})})
