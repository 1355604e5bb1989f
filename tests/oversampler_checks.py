"""Contract checks that run on every oversampler of ``OVERSAMPLERS``.

A new method gets them by being listed there, and by one entry in ``CASES`` that says how to make a
quick instance of it, and a data set that it can be fitted on.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value
from datasets.fingerprint import Hasher

from hf_oversample.oversamplers import OVERSAMPLERS
from hf_oversample.oversamplers.base import Oversampler

NAMES = ("ham", "spam", "news")
WIDTH = 4
COUNTS = (23, 6, 3)


def make_dataset(
    counts: tuple[int, ...], seed: int = 0, *, width: int = WIDTH, **columns: Any
) -> Dataset:
    """Rows of ``len(counts)`` classes in mixed order, with a text, an embedding and an id."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts)).tolist()
    rows = {
        "text": [f"{NAMES[label]} message number {i} for you" for i, label in enumerate(labels)],
        "label": labels,
        "embedding": rng.normal(size=(len(labels), width)).astype(np.float32).tolist(),
        "id": [f"row-{i}" for i in range(len(labels))],
    }
    features = Features(
        {
            "text": Value("string"),
            "label": ClassLabel(names=list(NAMES[: len(counts)])),
            "embedding": List(Value("float32"), length=width),
            "id": Value("string"),
        }
    )
    for name, values in columns.items():
        rows[name] = values
    return Dataset.from_dict(rows, features=features)


@dataclass(frozen=True)
class Case:
    """How the checks use one method.

    Attributes:
        make: makes an instance from constructor keywords; cheap.
        fit_columns: further arguments of ``fit``.
        copies_all: whether all columns of a child are its parent's (plain duplication).
        smallest_class: rows that a class needs at least.
        model_params: constructor's values that name a model; a loaded oversampler has its own copy.
    """

    make: Callable[..., Oversampler]
    fit_columns: dict[str, str]
    copies_all: bool = False
    smallest_class: int = 1
    model_params: tuple[str, ...] = ()

    def plain_params(self, oversampler: Oversampler) -> dict[str, Any]:
        """The constructor's values, but for those that name a model."""
        values = oversampler.get_params()
        return {name: value for name, value in values.items() if name not in self.model_params}

    def fitted(self, dataset: Dataset, **params: Any) -> Oversampler:
        return self.make(**params).fit(dataset, **self.fit_columns)


def load_class(name: str) -> type[Oversampler]:
    module, _, attribute = OVERSAMPLERS[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def make_miso(**params: Any) -> Oversampler:
    from miso_fixtures import MAX_LENGTH, contract_generator_folder

    folder = str(contract_generator_folder())
    # it was trained on other texts too, whose words it writes here
    params = {"unknown_words": "keep", **params}
    return load_class("MisoOversampler")(folder, max_length=MAX_LENGTH, **params)


def make_language_model(**params: Any) -> Oversampler:
    from writer_fixtures import contract_writer_folder

    # the few words of the rows alone make no new texts
    quick = {"max_length": 24, "training_words_only": False, "max_tries": 1}
    folder = str(contract_writer_folder())
    return load_class("LanguageModelOversampler")(folder, **{**quick, **params})


def make_amo(**params: Any) -> Oversampler:
    quick = {"hidden_size": 4, "epochs": 2, "head_options": {"min_steps": 10}}
    # with few rows the paper's β rejects nearly all
    return load_class("AmoOversampler")(**{**quick, "beta": 0.5, "acceptance": 0.4, **params})


def make_simpor(**params: Any) -> Oversampler:
    quick = {"query_rounds": 1, "hidden_size": 0, "informative_fraction": 0.5, "steps": 3}
    return load_class("SimporOversampler")(**{**quick, **params})


def make_bayesian_gan(**params: Any) -> Oversampler:
    quick = {
        "training": {"steps": 2, "batch_size": 4},
        "model_options": {"hidden_size": 8, "noise_size": 4},
    }
    return load_class("BayesianGanOversampler")(**{**quick, **params})


# One entry a method. A method that needs a trained model makes a tiny one in its `make` (cache it:
# `make` is called often), and asks for no more than `text` or `embedding` of `make_dataset`.
CASES: dict[str, Case] = {
    "RandomOversampler": Case(
        make=lambda **params: load_class("RandomOversampler")(**params),
        fit_columns={},
        copies_all=True,
    ),
    "SmoteOversampler": Case(
        make=lambda **params: load_class("SmoteOversampler")(**params),
        fit_columns={"embedding_column": "embedding"},
        smallest_class=2,
    ),
    # small random data often have no row near the border, which is an error by default
    "BorderlineSmoteOversampler": Case(
        make=lambda **params: load_class("BorderlineSmoteOversampler")(fallback="smote", **params),
        fit_columns={"embedding_column": "embedding"},
        smallest_class=2,
    ),
    "AdasynOversampler": Case(
        make=lambda **params: load_class("AdasynOversampler")(fallback="smote", **params),
        fit_columns={"embedding_column": "embedding"},
        smallest_class=2,
    ),
    "AmoOversampler": Case(make=make_amo, fit_columns={"embedding_column": "embedding"}),
    "SimporOversampler": Case(
        make=make_simpor,
        fit_columns={"embedding_column": "embedding"},
        smallest_class=2,
    ),
    "BayesianGanOversampler": Case(
        make=make_bayesian_gan, fit_columns={"embedding_column": "embedding"}
    ),
    "EmcoOversampler": Case(
        make=lambda **params: load_class("EmcoOversampler")(**params),
        fit_columns={"text_column": "text"},
    ),
    "MisoOversampler": Case(
        make=make_miso,
        fit_columns={"text_column": "text"},
        model_params=("generator", "embedder"),
    ),
    "LanguageModelOversampler": Case(
        make=make_language_model,
        fit_columns={"text_column": "text"},
        model_params=("writer", "embedder"),
    ),
}


def case_of(name: str) -> Case:
    """The case of a listed method."""
    assert name in CASES, f"{name} needs an entry in oversampler_checks.CASES"
    return CASES[name]


def plain(case: Case) -> tuple[Dataset, Oversampler]:
    """A data set of `COUNTS`, and the case's method fitted on it."""
    dataset = make_dataset(COUNTS)
    return dataset, case.fitted(dataset, seed=3)


def rows_of(dataset: Any) -> list[dict[str, Any]]:
    """All rows as Python dicts."""
    return [dict(row) for row in dataset]


def map_rows(dataset: Any, oversampler: Oversampler, **options: Any) -> list[dict[str, Any]]:
    return rows_of(dataset.map(oversampler, batched=True, with_indices=True, **options))


def check_output(case: Case, dataset: Dataset, output: Dataset, asked: dict[int, int]) -> None:
    """What is true of every output: counts, order, provenance, columns."""
    assert output.features["origin"] == ClassLabel(names=["real", "synthetic", "resampled"])
    assert output.features["parent"] == Value("int64")
    assert output.features["label"] == dataset.features["label"]
    rows, inputs = rows_of(output), rows_of(dataset)
    counts = Counter(row["label"] for row in rows)
    assert {label: counts[label] for label in asked} == asked
    real = [row for row in rows if row["origin"] == 0]
    assert [{name: row[name] for name in dataset.column_names} for row in real] == inputs
    assert all(row["parent"] == -1 for row in real)
    for row in rows:
        if row["origin"] == 0:
            continue
        assert row["origin"] in (1, 2)
        parent = inputs[row["parent"]]
        if case.copies_all:
            assert row["origin"] == 2
            assert {name: row[name] for name in parent} == parent
        elif row["origin"] == 2 and "text_column" in case.fit_columns:
            assert row["text"] == parent["text"]


# What `set_format` of a data set can ask for; a method reads columns that are not shown, too.
FORMATS: dict[str, dict[str, Any]] = {
    "numpy": {"type": "numpy"},
    "torch": {"type": "torch"},
    "numpy, in float64": {"type": "numpy", "dtype": "float64"},
    "numpy, one column": {"type": "numpy", "columns": ["id"]},
    "torch, one column of all": {
        "type": "torch",
        "columns": ["label"],
        "output_all_columns": True,
    },
    "Python, two columns": {"type": None, "columns": ["label", "text"]},
}


def check_format_kept(case: Case, form: dict[str, Any]) -> None:
    """`map` and `balance` give the plain data set's rows, in the format of the one given."""
    dataset = make_dataset(COUNTS)
    plain = case.fitted(dataset, seed=3)
    formatted = dataset.with_format(**form)
    oversampler = case.fitted(formatted, seed=3)
    hidden = set(dataset.column_names) - set(form.get("columns") or dataset.column_names)
    for made, expected in (
        (
            formatted.map(oversampler, batched=True, with_indices=True),
            dataset.map(plain, batched=True, with_indices=True),
        ),
        (oversampler.balance(formatted), plain.balance(dataset)),
    ):
        assert made.format["type"] == formatted.format["type"]
        assert made.format["format_kwargs"] == formatted.format["format_kwargs"]
        assert made.format["output_all_columns"] == formatted.format["output_all_columns"]
        assert set(made.format["columns"]) == set(expected.column_names) - hidden
        assert rows_of(made.with_format(None)) == rows_of(expected)


def check_saved_equal(one: Oversampler, two: Oversampler, dataset: Dataset) -> None:
    assert type(one) is type(two)
    assert one.digest_ == two.digest_
    assert one.label_names_ == two.label_names_
    assert rows_of(one.children(dataset)) == rows_of(two.children(dataset))


def check_set_params(case: Case, dataset: Dataset) -> None:
    """Values are checked as the constructor does, and what was fitted is forgotten."""
    oversampler = case.fitted(dataset, seed=3)
    before = oversampler.get_params()
    assert oversampler.get_params(deep=False) == before
    assert oversampler.set_params() is oversampler
    assert oversampler.plan_ is not None, "nothing was changed"
    with pytest.raises(ValueError, match=r"no parameters \['nonsense'\]; it has .*'seed'"):
        oversampler.set_params(seed=7, nonsense=1)
    with pytest.raises(TypeError, match="seed must be an int"):
        oversampler.set_params(copy_columns=True, seed="x")
    assert oversampler.get_params() == before, "what is refused changes nothing"
    assert oversampler.plan_ is not None

    changed = oversampler.set_params(seed=4)
    assert changed is oversampler
    assert changed.get_params() == {**before, "seed": 4}
    with pytest.raises(RuntimeError, match="is not fitted"):
        changed.children(dataset)
    fresh = case.fitted(dataset, seed=4)
    refitted = changed.fit(dataset, **case.fit_columns)
    assert rows_of(refitted.children(dataset)) == rows_of(fresh.children(dataset))
    assert Hasher.hash(refitted) == Hasher.hash(fresh)


FRESH_PROCESS = """
import json, sys
from pathlib import Path
from datasets import Dataset
from datasets.fingerprint import Hasher
from hf_oversample.oversamplers.base import Oversampler
for folder in map(Path, sys.argv[1:]):
    oversampler = Oversampler.from_pretrained(folder / "oversampler")
    dataset = Dataset.load_from_disk(folder / "dataset")
    digest = Hasher.hash(oversampler)
    rows = [dict(row) for row in oversampler.children(dataset)]
    found = {"hash": digest, "after": Hasher.hash(oversampler), "rows": rows}
    (folder / "found.json").write_text(json.dumps(found))
"""


def write_for_process(folder: Path, oversampler: Oversampler, dataset: Dataset) -> None:
    oversampler.save_pretrained(folder / "oversampler")
    dataset.save_to_disk(folder / "dataset")
