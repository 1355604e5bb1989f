"""PAPERS.md says what the code does: its tables of defaults are compared with the code's."""

from __future__ import annotations

import inspect
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import hf_oversample
from hf_oversample import BayesianGanTrainingArguments, MisoConfig, MisoTrainingArguments
from hf_oversample.oversamplers import MULTI_LABEL_OVERSAMPLERS, OVERSAMPLERS
from hf_oversample.training.reembedding_arguments import ReembeddingArguments
from hf_oversample.training.writer_arguments import WriterTrainingArguments

PROJECT = Path(__file__).resolve().parent.parent
PAPERS = (PROJECT / "PAPERS.md").read_text(encoding="utf-8")
# of every oversampler, or without a default
COMMON = {"self", "generator", "writer", "embedder", "sampling_strategy", "seed", "copy_columns"}
# of every model, or found from the data
OF_THE_DATA = {
    "language",
    "user_dictionary",
    "encoder",
    "decoder",
    "target_classes",
    "initializer_range",
    "is_encoder_decoder",
}
# Oversamplers' tables of defaults by class; a method that is not listed must have no defaults.
TABLES = {
    "MisoOversampler": "oversampler defaults",
    "SmoteOversampler": "smote defaults",
    "BorderlineSmoteOversampler": "borderline_smote defaults",
    "AdasynOversampler": "adasyn defaults",
    "AmoOversampler": "amo defaults",
    "SimporOversampler": "simpor defaults",
    "BayesianGanOversampler": "bayesian_gan defaults",
    "EmcoOversampler": "emco defaults",
    "LanguageModelOversampler": "language_model defaults",
    "MlsmoteOversampler": "mlsmote defaults",
    "MlRosOversampler": "ml_ros defaults",
}


def table(name: str) -> str:
    """The table between two comments of PAPERS.md."""
    return PAPERS.split(f"<!-- {name} -->\n")[1].split(f"\n<!-- end of {name} -->")[0]


def defaults_in_papers(name: str) -> dict[str, str]:
    rows = [line.split("|") for line in table(name).splitlines()[2:]]
    assert all(len(row) == 5 and row[3].strip() for row in rows), "a default without a source"
    return {row[1].strip(" `"): row[2].strip() for row in rows}


def shown(values: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}


def test_every_training_default_is_in_papers() -> None:
    for name, arguments in (
        ("training defaults", MisoTrainingArguments),
        ("bayesian_gan training defaults", BayesianGanTrainingArguments),
        ("reembedding defaults", ReembeddingArguments),
        ("language_model training defaults", WriterTrainingArguments),
    ):
        wanted = arguments.describe()
        assert table(name) == wanted, f"put this between the comments:\n{wanted}"


def test_every_default_of_the_model_is_in_papers() -> None:
    own = set(inspect.get_annotations(MisoConfig)) - OF_THE_DATA - {"pad_token_id"}
    code = {field.name: field.default for field in fields(MisoConfig) if field.name in own}
    assert defaults_in_papers("model defaults") == shown(code)


@pytest.mark.parametrize("name", [*OVERSAMPLERS, *MULTI_LABEL_OVERSAMPLERS])
def test_every_default_of_an_oversampler_is_in_papers(name: str) -> None:
    parameters = inspect.signature(getattr(hf_oversample, name).__init__).parameters.values()
    code = {
        p.name: p.default
        for p in parameters
        if p.name not in COMMON and p.kind is not inspect.Parameter.VAR_KEYWORD
    }
    assert (defaults_in_papers(TABLES[name]) if name in TABLES else {}) == shown(code)


@pytest.mark.parametrize(
    "field",
    [
        *fields(MisoTrainingArguments),
        *fields(BayesianGanTrainingArguments),
        *fields(ReembeddingArguments),
        *fields(WriterTrainingArguments),
    ],
    ids=lambda field: field.name,
)
def test_every_training_default_has_a_meaning_and_a_source(field: Any) -> None:
    assert field.metadata["help"]
    assert field.metadata["source"]


def test_files_named_in_papers_are_there() -> None:
    names = {part for part in PAPERS.split("`") if part.endswith(".py")}
    missing = {
        n for n in names if not any((PROJECT / top / n).is_file() for top in ("hf_oversample", "."))
    }
    assert names
    assert not missing
