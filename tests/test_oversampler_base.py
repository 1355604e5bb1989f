"""What the base class does for its methods: checked once, with methods made for the tests."""

from __future__ import annotations

import datetime
import logging
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value
from datasets.fingerprint import Hasher

from hf_oversample.oversamplers.base import RESAMPLED, SYNTHETIC, Children, Oversampler, Plan
from oversampler_checks import check_saved_equal, load_class, make_dataset, map_rows, rows_of


class Tagging(Oversampler):
    """A text method for the tests: texts of another class, retold; odd children are resampled."""

    input_kind = "text"
    _lazy_attributes = ("_model",)

    def __init__(self, *, tag: str = "new", **params: Any) -> None:
        super().__init__(**params)
        self.tag = tag
        self._model: object = None

    def _plan(self, children: Any) -> Plan:
        total = sum(children.values())
        labels = np.repeat(list(children), list(children.values()))
        rows = np.arange(total) % len(self.labels_)
        return Plan.build(rows, np.arange(total) // len(self.labels_), labels, {"draw": rows * 10})

    def _make(self, batch: Any, positions: Any, plan: Plan) -> Children:
        self._model = lambda: "not picklable"
        texts = [
            f"{self.tag} {draw} {batch['text'][place]}"
            for place, draw in zip(positions, plan.extra["draw"], strict=True)
        ]
        odd = plan.parent % 2 == 1
        parent = np.where(odd, 0, plan.parent)
        return Children({"text": texts}, np.where(odd, RESAMPLED, SYNTHETIC), parent)

    def _state_arrays(self) -> dict[str, np.ndarray]:
        return {"lengths": np.array([len(self.tag)])}

    def _load_state_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        self.lengths = arrays["lengths"]

    def _save_files(self, folder: Path) -> None:
        (folder / "model").mkdir()
        (folder / "model" / "tag.txt").write_text(self.tag)

    def _load_files(self, folder: Path) -> None:
        self.from_file = (folder / "model" / "tag.txt").read_text()


@pytest.mark.parametrize("copy_columns", [False, True])
def test_children_of_another_class_with_their_own_origin(copy_columns: bool) -> None:
    dataset = make_dataset((9, 3))
    oversampler = Tagging(copy_columns=copy_columns).fit(dataset)
    assert oversampler.text_column_ == "text"
    balanced = oversampler.balance(dataset)
    children = rows_of(balanced)[12:]
    assert len(children) == 6
    for row, child in enumerate(children):
        assert child["label"] == 1
        assert child["text"] == f"new {10 * row} {dataset[row]['text']}"
        assert (child["origin"], child["parent"]) == ((2, 0) if row % 2 else (1, row))
        copied = copy_columns and row % 2 == 0  # no row at hand to copy for the others
        assert child["id"] == (dataset[row]["id"] if copied else None)
        assert child["embedding"] == (dataset[row]["embedding"] if copied else None)
    mapped = map_rows(dataset, oversampler, batch_size=5)
    assert sorted(map(str, mapped)) == sorted(map(str, rows_of(balanced)))


def test_lazy_attributes_stay_out_of_pickles_and_hashes() -> None:
    dataset = make_dataset((9, 3))
    oversampler = Tagging().fit(dataset)
    before = Hasher.hash(oversampler)
    oversampler(dataset[:], range(12))
    assert oversampler._model is not None
    assert Hasher.hash(oversampler) == before
    assert pickle.loads(pickle.dumps(oversampler))._model is None


def test_a_class_of_the_users_own_saves_and_loads(tmp_path: Path) -> None:
    dataset = make_dataset((9, 3))
    oversampler = Tagging(tag="x", sampling_strategy={"spam": 7}, seed=4).fit(dataset)
    for _ in range(2):  # the second time, folders are replaced
        oversampler.save_pretrained(tmp_path / "saved")
    loaded = Tagging.from_pretrained(tmp_path / "saved")
    check_saved_equal(oversampler, loaded, dataset)
    assert loaded.from_file == "x"
    assert loaded.lengths.tolist() == [1]
    assert loaded.get_params() == {
        "tag": "x",
        "sampling_strategy": {"spam": 7},
        "seed": 4,
        "copy_columns": False,
    }
    with pytest.raises(ValueError, match="names the oversampler 'Tagging'"):
        Oversampler.from_pretrained(tmp_path / "saved")
    with pytest.raises(TypeError, match=r"tag=.* cannot be saved as JSON"):
        Tagging(tag=object()).fit(dataset).save_pretrained(tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_method_that_breaks_its_promise_is_told() -> None:
    dataset = make_dataset((9, 3))

    class Few(Tagging):
        def _plan(self, children: Any) -> Plan:
            return Plan.from_counts([0], [2], 1)

    with pytest.raises(RuntimeError, match=r"planned 2 children of class 'spam', asked were 6"):
        Few().fit(dataset)

    class Short(Tagging):
        def _make(self, batch: Any, positions: Any, plan: Plan) -> Children:
            return Children({"text": ["a"]})

    with pytest.raises(RuntimeError, match="gave 1 values of 'text' for 6 children"):
        Short().fit(dataset)(dataset[:], range(12))

    class More(Tagging):
        def _make(self, batch: Any, positions: Any, plan: Plan) -> Children:
            return Children({"score": [1.0] * len(plan)})

    with pytest.raises(RuntimeError, match=r"columns that are new: \['score'\]"):
        More().fit(dataset)(dataset[:], range(12))


def test_dataset_dict_balances_train_only(caplog: pytest.LogCaptureFixture) -> None:
    splits = DatasetDict(train=make_dataset((9, 3)), test=make_dataset((4, 2), 1))
    random = load_class("RandomOversampler")
    with caplog.at_level(logging.INFO):
        balanced = random().balance(splits)
    assert "balancing the split 'train' only; ['test'] stay" in caplog.text
    assert {split: len(rows) for split, rows in balanced.items()} == {"train": 18, "test": 6}
    assert balanced["test"].features == balanced["train"].features
    assert set(balanced["test"]["origin"]) == {0}
    assert set(balanced["test"]["parent"]) == {-1}
    assert balanced["test"].remove_columns(["origin", "parent"])[:] == splits["test"][:]
    with pytest.raises(ValueError, match=r"no split 'train' among \['test'\]"):
        random().balance(DatasetDict(test=splits["test"]))


def test_balance_fits_again_only_where_it_must(caplog: pytest.LogCaptureFixture) -> None:
    dataset = make_dataset((9, 3)).rename_column("label", "kind")
    oversampler = load_class("RandomOversampler")()
    oversampler.balance(dataset, label_column="kind", text_column="text")
    plan = oversampler.plan_
    oversampler.balance(dataset)  # columns are remembered
    assert oversampler.plan_ is plan
    assert not caplog.records
    other = make_dataset((8, 3)).rename_column("label", "kind")
    assert len(oversampler.balance(other)) == 16
    assert "fitting again on this data set: it has 11 rows" in caplog.text
    oversampler.balance(other, embedding_column="embedding")
    assert (oversampler.text_column_, oversampler.embedding_column_) == (None, "embedding")


@pytest.mark.parametrize(
    ("values", "strategy"),
    [
        (["ham"] * 5 + ["spam"] * 2, {"spam": 4}),
        ([3] * 5 + [7] * 2, {7: 4}),
        ([False] * 5 + [True] * 2, {True: 4}),
    ],
)
def test_labels_need_not_be_a_classlabel(
    values: list[Any], strategy: dict[Any, int], tmp_path: Path
) -> None:
    dataset = Dataset.from_dict({"label": values, "text": list("abcdefg")})
    oversampler = load_class("RandomOversampler")(sampling_strategy=strategy)
    balanced = oversampler.balance(dataset)
    assert balanced["label"][:] == [*values, values[-1], values[-1]]
    oversampler.save_pretrained(tmp_path / "saved")
    loaded = Oversampler.from_pretrained(tmp_path / "saved")
    check_saved_equal(oversampler, loaded, dataset)
    assert loaded.sampling_strategy == strategy


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_formats_are_kept(kind: str) -> None:
    dataset = make_dataset((9, 3))
    oversampler = load_class("RandomOversampler")().fit(dataset)
    expected = rows_of(oversampler.balance(dataset))
    balanced = oversampler.balance(dataset.with_format(kind))
    assert balanced.format["type"] == kind
    assert rows_of(balanced.with_format(None)) == expected
    mapped = dataset.with_format(kind).map(oversampler, batched=True, with_indices=True)
    assert rows_of(mapped.with_format(None)) == map_rows(dataset, oversampler)


def test_every_kind_of_column_survives() -> None:
    features = Features(
        {
            "label": ClassLabel(names=["a", "b"]),
            "number": Value("float64"),
            "day": Value("date32"),
            "parts": List({"word": Value("string"), "place": Value("int32")}),
            "nested": {"x": Value("int8"), "y": List(Value("float32"))},
            "other": ClassLabel(names=["u", "v"]),
        }
    )
    rows = {
        "label": [0, 0, 1],
        "number": [1.5, None, 2.5],
        "day": [datetime.date(2020, 1, i) for i in (1, 2, 3)],
        "parts": [[], [{"word": "w", "place": 1}], [{"word": None, "place": 2}]],
        "nested": [{"x": 1, "y": [0.5]}, {"x": None, "y": []}, {"x": 3, "y": [1.0, 2.0]}],
        "other": [0, 1, None],
    }
    dataset = Dataset.from_dict(rows, features=features)
    oversampler = load_class("RandomOversampler")().fit(dataset)
    mapped = dataset.map(oversampler, batched=True, with_indices=True)
    assert mapped.features == oversampler.output_features(features)
    assert mapped.remove_columns(["origin", "parent"])[3] == dataset[2]

    class Nulls(Oversampler):
        def _make(self, batch: Any, positions: Any, plan: Plan) -> Children:
            return Children({})

    child = Nulls().fit(dataset).balance(dataset)[3]
    assert child.pop("label") == 1
    assert (child.pop("origin"), child.pop("parent")) == (1, 2)
    assert all(v is None or v == {"x": None, "y": None} for v in child.values()), child


def test_importing_oversamplers_imports_no_torch() -> None:
    code = "import sys, hf_oversample.oversamplers.random; print('torch' in sys.modules)"
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == "False"
