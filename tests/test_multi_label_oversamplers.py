"""MLSMOTE and ML-ROS: the papers' rules, and the contract that every oversampler keeps."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value
from datasets.fingerprint import Hasher
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_oversample import MlRosOversampler, MlsmoteOversampler, Oversampler
from hf_oversample.data.label_imbalance import imbalance_ratios, mean_imbalance_ratio
from hf_oversample.data.label_sets import read_label_sets, with_label_lists
from hf_oversample.oversamplers.multi_label import MultiLabelOversampler
from oversampler_checks import FRESH_PROCESS, map_rows, rows_of, write_for_process

NAMES = ["toxic", "insult", "threat", "hate"]
SHARES = (0.6, 0.3, 0.12, 0.08)


def make_dataset(rows: int = 60, seed: int = 0, form: str = "numbers") -> Dataset:
    """Rows with any number of labels, which move their embeddings."""
    rng = np.random.default_rng(seed)
    matrix = rng.random((rows, len(NAMES))) < SHARES
    matrix[:2] = True  # each label has two rows at least
    vectors = rng.normal(size=(rows, 6)) + matrix @ rng.normal(size=(len(NAMES), 6))
    dataset = Dataset.from_dict(
        {
            "text": [f"message {row}" for row in range(rows)],
            "labels": [np.flatnonzero(row).tolist() for row in matrix],
            "embedding": vectors.astype(np.float32).tolist(),
        },
        features=Features(
            {
                "text": Value("string"),
                "labels": List(ClassLabel(names=NAMES)),
                "embedding": List(Value("float32"), length=6),
            }
        ),
    )
    if form == "multi_hot":
        return with_label_lists(dataset, "labels", "labels", multi_hot=True)
    if form == "names":
        named = [[NAMES[label] for label in labels] for labels in dataset["labels"][:]]
        return dataset.remove_columns("labels").add_column("labels", named)
    return dataset


METHODS: dict[str, Callable[..., MultiLabelOversampler]] = {
    "mlsmote": lambda **params: MlsmoteOversampler(**{"k_neighbors": 3, **params}),
    "ml-ros": MlRosOversampler,
}
COLUMNS: dict[str, dict[str, Any]] = {"mlsmote": {"embedding_column": "embedding"}, "ml-ros": {}}
each_method = pytest.mark.parametrize("method", METHODS)


def fitted(method: str, dataset: Dataset, **params: Any) -> MultiLabelOversampler:
    return METHODS[method](**params).fit(dataset, "labels", **COLUMNS[method])


# ---- the papers' rules --------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(6, 40), k=st.integers(1, 7))
def test_mlsmote_is_the_papers(seed: int, rows: int, k: int) -> None:
    dataset = make_dataset(rows, seed)
    matrix = read_label_sets(dataset, "labels").matrix
    x = np.asarray(dataset["embedding"][:], np.float32)
    oversampler = MlsmoteOversampler(k_neighbors=k, seed=seed).fit(
        dataset, "labels", embedding_column="embedding"
    )
    plan = oversampler.fitted_plan()
    counts = matrix.sum(axis=0)
    rare = np.flatnonzero(imbalance_ratios(counts) > mean_imbalance_ratio(counts))
    # one child for each row of each rare label, in this order
    wanted = sorted((row, label) for label in rare for row in np.flatnonzero(matrix[:, label]))
    assert list(zip(plan.parent.tolist(), plan.extra["cause"].tolist(), strict=True)) == wanted
    made, sets, origin, parents = oversampler.new_rows()
    assert (origin == 1).all()
    assert parents.tolist() == plan.parent.tolist()
    for child, (row, label) in enumerate(wanted):
        others = np.setdiff1d(np.flatnonzero(matrix[:, label]), [row])
        near = others[np.argsort(np.square(x[others] - x[row]).sum(axis=1))][:k]
        end = plan.extra["neighbor"][child]
        assert end in near
        votes = matrix[row].astype(int) + matrix[near].sum(axis=0)
        assert sets[child].tolist() == (votes >= (len(near) + 1) / 2).tolist()
        assert sets[child, label]
        step = (made[child] - x[row]) / np.where(x[end] == x[row], 1, x[end] - x[row])
        assert np.allclose(step, step[0], atol=1e-3)
        assert 0 <= step[0] <= 1
    balanced = oversampler.balance(dataset)
    # the same as arrays, and as rows
    assert np.array_equal(read_label_sets(balanced, "labels").matrix[rows:], sets)
    assert np.array_equal(np.asarray(balanced["embedding"][rows:], np.float32), made)
    again = MlsmoteOversampler(k_neighbors=k, seed=seed).fit_arrays(x, matrix)
    assert np.array_equal(again.new_rows()[0], made)
    assert np.array_equal(again.new_rows()[1], sets)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(6, 40), percentage=st.integers(3, 300))
def test_ml_ros_repeats_until_labels_are_not_rare(seed: int, rows: int, percentage: int) -> None:
    dataset = make_dataset(rows, seed)
    matrix = read_label_sets(dataset, "labels").matrix
    oversampler = MlRosOversampler(percentage=percentage, seed=seed).fit(dataset, "labels")
    parents = oversampler.fitted_plan().parent
    counts = matrix.sum(axis=0)
    mean = mean_imbalance_ratio(counts)
    rare = np.flatnonzero(imbalance_ratios(counts) > mean)
    assert matrix[parents][:, rare].any(axis=1).all()  # each repeats a rare label
    budget = int(rows * percentage / 100)
    assert len(parents) <= budget
    if budget >= len(rare):  # each had a turn
        assert matrix[parents][:, rare].any(axis=0).all() or not len(rare)
    if len(parents) < budget:  # all have come down to MeanIR; later turns may have raised the most
        final = counts + matrix[parents].sum(axis=0)
        assert (counts.max() <= mean * final[rare]).all()
    balanced = oversampler.balance(dataset)
    for made in rows_of(balanced)[rows:]:
        parent = dataset[made["parent"]]
        assert {name: made[name] for name in parent} == parent
        assert made["origin"] == 2


def test_ml_ros_takes_turns_and_stops_at_mean_ir() -> None:
    # 8, 2 and 1 rows: MeanIR is (1 + 4 + 8) / 3 = 4.33; only the last label is above
    labels = [["a"]] * 6 + [["a", "b"]] * 2 + [["c"]]
    dataset = Dataset.from_dict({"text": [str(n) for n in range(9)], "labels": labels})
    parents = MlRosOversampler(percentage=100).fit(dataset, "labels").fitted_plan().parent
    assert parents.tolist() == [8]  # 8 to 2 is 4, below MeanIR
    both = MlRosOversampler(percentage=100)
    labels = [["a"]] * 30 + [["b"], ["c"], ["d"] * 1] + [["d"]] * 20
    dataset = Dataset.from_dict({"text": [str(n) for n in range(53)], "labels": labels})
    made = Counter(both.fit(dataset, "labels").fitted_plan().parent.tolist())
    # MeanIR is (1 + 30 + 30 + 30 / 21) / 4 = 15.6: one repeat of each brings 30 to 15
    assert made == {30: 1, 31: 1}
    few = MlRosOversampler(percentage=2).fit(dataset, "labels")
    assert len(few.fitted_plan()) == 1  # of 53 rows


def test_labels_may_be_named() -> None:
    dataset = make_dataset()
    made = fitted("mlsmote", dataset, sampling_strategy=["insult", 3]).fitted_plan()
    assert set(made.extra["cause"].tolist()) == {1, 3}
    repeated = fitted("ml-ros", dataset, sampling_strategy=["hate"]).fitted_plan()
    matrix = read_label_sets(dataset, "labels").matrix
    assert matrix[repeated.parent, 3].all()


# ---- the contract -------------------------------------------------------------------------------


@each_method
@pytest.mark.parametrize("form", ["numbers", "names", "multi_hot"])
def test_the_output_is_the_same_for_every_batch(method: str, form: str) -> None:
    dataset = make_dataset(form=form)
    oversampler = fitted(method, dataset, seed=3)
    assert len(oversampler.fitted_plan()) > 5
    whole = map_rows(dataset, oversampler, batch_size=1000)
    assert map_rows(dataset, oversampler, batch_size=7) == whole
    assert map_rows(dataset, oversampler, batch_size=1) == whole
    stream = dataset.to_iterable_dataset()
    features = oversampler.output_features(dataset.features)
    streamed = stream.map(
        oversampler, batched=True, with_indices=True, batch_size=5, features=features
    )
    assert rows_of(streamed) == whole
    balanced = oversampler.balance(dataset)
    assert balanced.features["labels"] == dataset.features["labels"]
    assert balanced.features["origin"] == ClassLabel(names=["real", "synthetic", "resampled"])
    key = lambda row: (row["parent"], row["origin"], str(row))  # noqa: E731
    assert sorted(rows_of(balanced), key=key) == sorted(whole, key=key)
    real = [row for row in whole if row["origin"] == 0]
    assert [{name: row[name] for name in dataset.column_names} for row in real] == rows_of(dataset)
    # each row is followed by its children
    last = -1
    for row in whole:
        if row["origin"] == 0:
            last += 1
        else:
            assert row["parent"] == last


@each_method
def test_processes_formats_and_other_seeds(method: str) -> None:
    dataset = make_dataset()
    oversampler = fitted(method, dataset, seed=3)
    whole = map_rows(dataset, oversampler)
    assert map_rows(dataset, oversampler, num_proc=2) == whole
    for form in ("numpy", "torch"):
        formatted = dataset.with_format(form)
        own = fitted(method, formatted, seed=3)
        mapped = formatted.map(own, batched=True, with_indices=True)
        assert mapped.format["type"] == form
        assert rows_of(mapped.with_format(None)) == whole
        # a batch as `IterableDataset` gives it: in the format, no Arrow table
        batch, rows = formatted[:9], list(range(9))
        columns = own(batch, rows)
        told = [[int(label) for label in labels] for labels in columns["labels"]]
        assert told == [row["labels"] for row in whole[: len(told)]]
    assert Hasher.hash(fitted(method, dataset, seed=3)) == Hasher.hash(oversampler)
    other = fitted(method, dataset, seed=4)
    assert map_rows(dataset, other) != whole


@each_method
@pytest.mark.parametrize("form", ["numbers", "names", "multi_hot"])
def test_saved_and_loaded(method: str, form: str, tmp_path: Path) -> None:
    dataset = make_dataset(form=form)
    rare: list[str | int] = [2, 3] if form == "multi_hot" else ["threat", "hate"]
    oversampler = fitted(method, dataset, seed=3, sampling_strategy=rare)
    oversampler.save_pretrained(tmp_path / "saved")
    loaded = Oversampler.from_pretrained(tmp_path / "saved")
    assert type(loaded) is type(oversampler)
    assert loaded.get_params() == oversampler.get_params()
    assert rows_of(loaded.children(dataset)) == rows_of(oversampler.children(dataset))
    assert isinstance(loaded, MultiLabelOversampler)
    assert loaded.known_labels_ == oversampler.known_labels_
    card = str(loaded.card("me/mine"))
    assert f"| {oversampler.known_labels_[0]} | " in card
    assert len([line for line in card.splitlines() if line.startswith("| toxic")]) <= 1


def test_a_fresh_process_gives_the_same_rows(tmp_path: Path) -> None:
    dataset = make_dataset()
    oversampler = fitted("mlsmote", dataset, seed=3)
    write_for_process(tmp_path, oversampler, dataset)
    done = subprocess.run(
        [sys.executable, "-c", FRESH_PROCESS, str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "found.json").read_text())
    assert told["rows"] == rows_of(oversampler.children(dataset))
    assert told["hash"] == told["after"]


@each_method
def test_only_the_training_split_is_balanced(method: str) -> None:
    splits = DatasetDict({"train": make_dataset(), "test": make_dataset(9, seed=1)})
    balanced = METHODS[method]().balance(splits, label_column="labels", **COLUMNS[method])
    assert len(balanced["test"]) == 9
    assert balanced["test"].features == balanced["train"].features
    assert len(balanced["train"]) > 60


def test_the_parents_columns_can_be_copied() -> None:
    dataset = make_dataset()
    plain = fitted("mlsmote", dataset).children(dataset)
    assert plain["text"][:] == [None] * len(plain)
    copied = fitted("mlsmote", dataset, copy_columns=True).children(dataset)
    texts = dataset["text"][:]
    assert copied["text"][:] == [texts[parent] for parent in copied["parent"][:]]


def test_values_far_from_zero_keep_their_digits() -> None:
    dataset = make_dataset()
    far = [[1e9 + value for value in row] for row in dataset["embedding"][:]]
    exact = dataset.remove_columns("embedding").add_column(
        "embedding", far, feature=List(Value("float64"), length=6)
    )
    made = np.asarray(fitted("mlsmote", exact).children(exact)["embedding"][:])
    plain = np.asarray(fitted("mlsmote", dataset).children(dataset)["embedding"][:])
    assert np.allclose(made - 1e9, plain, atol=1e-5)


def test_equally_frequent_labels_get_no_children() -> None:
    labels = [["a"], ["b"], ["a"], ["b"]]
    rows = {"embedding": [[0.0], [1.0], [2.0], [3.0]], "labels": labels}
    for method in METHODS:
        balanced = fitted(method, Dataset.from_dict(rows)).balance(Dataset.from_dict(rows))
        assert len(balanced) == 4


# ---- what is refused ----------------------------------------------------------------------------


@each_method
def test_bad_labels_are_named(method: str) -> None:
    dataset = make_dataset(9)
    bad = dataset.remove_columns("labels")
    for values, message in (
        ([["a"]] * 8 + [None], "null in row 8"),
        ([["a"]] * 8 + [["a", "a"]], "'a' twice in row 8"),
        ([[]] * 9, "no row of 'labels' has a label"),
        (["a"] * 9, "one value a row"),
        ([[0.0, 1.0]] * 8 + [[0.0]], "1 values in row 8 but 2 in row 0"),
        ([[0.0, 1.0]] * 8 + [[0.0, 3.0]], "is 3 in row 8, position 1"),
    ):
        rows = bad.add_column(
            "labels",
            values,
            feature=List(Value("string")) if message.startswith("no row") else None,
        )
        with pytest.raises(ValueError, match=message):
            fitted(method, rows)
    with pytest.raises(ValueError, match="there is no column 'label'"):
        METHODS[method]().fit(dataset, **COLUMNS[method])


@each_method
def test_bad_values_and_other_data_are_named(method: str) -> None:
    dataset = make_dataset()
    for params, message in (
        ({"sampling_strategy": "minority"}, "give 'auto'.*or a list of labels"),
        ({"sampling_strategy": {"toxic": 9}}, "final counts and ratios of classes do not apply"),
    ):
        with pytest.raises(ValueError, match=message):
            METHODS[method](**params)
    with pytest.raises(ValueError, match=r"names 'spam', which is no label of column 'labels'"):
        fitted(method, dataset, sampling_strategy=["spam"])
    with pytest.raises(ValueError, match="weight_column='weight': weights restore"):
        METHODS[method]().balance(dataset, label_column="labels", weight_column="weight")
    oversampler = fitted(method, dataset)
    with pytest.raises(ValueError, match=r"not what it was when fitted|but was .* when fitted"):
        map_rows(dataset.select(range(59, -1, -1)), oversampler)
    with pytest.raises(ValueError, match="fitted on another data set"):
        oversampler.children(dataset.select(range(50)))
    relabelled = dataset.map(lambda row: {"labels": [0]})
    with pytest.raises(ValueError, match=r"column 'labels' is \[0\] in row 0 but was \[0, 1, 2, 3"):
        map_rows(relabelled, oversampler)


def test_what_each_method_refuses() -> None:
    with pytest.raises(ValueError, match="k_neighbors is 0"):
        MlsmoteOversampler(k_neighbors=0)
    with pytest.raises(ValueError, match=r"percentage=0 must be above 0"):
        MlRosOversampler(percentage=0)
    rows = {"embedding": [[float(n)] for n in range(6)], "labels": [["a"]] * 5 + [["b"]]}
    alone = Dataset.from_dict(rows)
    with pytest.raises(ValueError, match=r"label 'b' has 1 row \(row 5\)"):
        fitted("mlsmote", alone)
    assert fitted("ml-ros", alone, percentage=50).fitted_plan().parent.tolist() == [5]
    with pytest.raises(
        ValueError, match=r"label 'a' of sampling_strategy has IRLbl 1.00, not above"
    ):
        fitted("ml-ros", alone, sampling_strategy=["a"])
    unseen = with_label_lists(Dataset.from_dict({"a": [1, 1], "b": [0, 0]}), ["a", "b"], "labels")
    unseen = unseen.add_column("embedding", [[0.0], [1.0]])
    with pytest.raises(ValueError, match="label 'b' of sampling_strategy has no row"):
        fitted("mlsmote", unseen, sampling_strategy=["b"])
    with pytest.raises(ValueError, match=r"must have shape \[rows, width\] and labels"):
        MlsmoteOversampler().fit_arrays(np.zeros((3, 2)), np.zeros(3))
    lists_only = Dataset.from_dict({"labels": rows["labels"]})
    assert len(fitted("ml-ros", lists_only, percentage=50).balance(lists_only)) == 7
