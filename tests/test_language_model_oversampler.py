"""The language model's oversampler beyond the contract: what is written, from what, and why not."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from transformers import AutoModelForCausalLM

from hf_oversample import LanguageModelOversampler, Oversampler
from hf_oversample.oversamplers.anchors.plan import COPY, MAJORITY_ANCHOR, OWN_ANCHOR
from hf_oversample.text.vocabulary import KnownWords
from hf_oversample.text.words import normalized
from miso_fixtures import CLASS_NAMES, SEGMENTER, encoder_folder, make_corpus
from oversampler_checks import rows_of
from writer_fixtures import (
    contract_writer_folder,
    few,
    language_model_folder,
    pretrained_folder,
    subword_tokenizer,
)

LENGTH = 32


@lru_cache(maxsize=1)
def corpus() -> Dataset:
    texts, labels = make_corpus((60, 20), seed=1)
    features = Features({"text": Value("string"), "label": ClassLabel(names=list(CLASS_NAMES[:2]))})
    return Dataset.from_dict({"text": texts, "label": labels}, features=features)


def make(**options: Any) -> LanguageModelOversampler:
    writer = options.pop("writer", str(contract_writer_folder()))
    return LanguageModelOversampler(writer, **{"max_length": LENGTH, "seed": 0, **options})


@lru_cache(maxsize=1)
def fitted() -> LanguageModelOversampler:
    return make(gate_quantile=0.0).fit(corpus())


def test_what_is_written_passes_the_gate_and_says_from_what() -> None:
    dataset, oversampler = corpus(), fitted()
    children, real = rows_of(oversampler.children(dataset)), dataset["text"][:]
    assert len(children) == 40
    made = [row for row in children if row["origin"] == 1]
    assert oversampler.rejections["kept"] == len(made) > 5
    known = KnownWords.of(real, SEGMENTER)
    for row in made:
        source = real[row["parent"]]
        assert row["text"].split()[0] == source.split()[0], "the start is kept"
        assert normalized(row["text"]) not in {normalized(text) for text in real}
        assert not known.unknown(row["text"], SEGMENTER)
    kinds = oversampler.fitted_plan().extra["kind"]
    assert {OWN_ANCHOR, MAJORITY_ANCHOR, COPY} == set(kinds.tolist())
    parents = {dataset["label"][row["parent"]] for row in made}
    assert parents == {0, 1}, "of difficult texts and of the majority's beside them"
    used_up = oversampler.rejections["tries used up"]
    assert len(made) + used_up == int((kinds != COPY).sum())
    assert set(oversampler.outvoted_share_) == {"spam"}


def test_the_texts_are_those_of_the_plan_in_any_order() -> None:
    dataset, oversampler = corpus(), fitted()
    expected = rows_of(oversampler.children(dataset))
    assert rows_of(oversampler.children(dataset, batch_size=3)) == expected
    assert rows_of(oversampler.children(dataset, num_proc=2)) == expected


def test_a_gate_that_lets_nothing_pass_repeats_real_rows() -> None:
    dataset = corpus()
    # above 0, and at most the lowest margin of a real row that was held out
    oversampler = make(gate_quantile=0.0, gate_ceiling=0.01, max_tries=1).fit(dataset)
    children = oversampler.children(dataset)
    assert set(children["origin"]) == {2}
    assert len(children) == 40
    counts = oversampler.rejections
    assert counts["kept"] == 0
    assert counts["too easy"] > 0
    asked = int((oversampler.fitted_plan().extra["kind"] != COPY).sum())
    assert counts["tries used up"] == asked


def test_unknown_words_are_counted_and_allowed_on_demand() -> None:
    """Without the words of a tree in decoding, the gate alone keeps them out."""
    dataset = corpus()
    free = make(training_words_only=False, gate=()).fit(dataset)
    known = KnownWords.of(dataset["text"][:], SEGMENTER)
    made = [row["text"] for row in free.children(dataset) if row["origin"] == 1]
    assert any(known.unknown(text, SEGMENTER) for text in made)
    assert "unknown words" not in free.rejections


def test_sources_that_are_too_long_are_counted() -> None:
    dataset = corpus()
    long = [text + " and so on" * 30 for text in dataset["text"][:]]
    longer = dataset.remove_columns("text").add_column("text", long)
    oversampler = make(least_kept=0.9, most_kept=0.9, max_tries=1).fit(longer)
    asked = int((oversampler.fitted_plan().extra["kind"] != COPY).sum())
    assert oversampler.rejections == {"too long": asked, "tries used up": asked}
    assert set(oversampler.children(longer)["origin"]) == {2}


def test_a_row_gives_so_many_texts_at_most() -> None:
    oversampler = make(max_anchors_per_source=1, majority_share=0.0, gate=(), max_tries=1)
    plan = oversampler.fit(corpus()).fitted_plan()
    own = plan.extra["kind"] == OWN_ANCHOR
    assert np.unique(plan.parent[own], return_counts=True)[1].max() == 1


def test_adapters_are_trained_when_fitted_and_saved(tmp_path: Path) -> None:
    """Of a model in memory, whose copy is saved too; loaded, it can be fitted again."""
    model = AutoModelForCausalLM.from_pretrained(pretrained_folder())
    oversampler = make(
        writer=model,
        tokenizer=subword_tokenizer(),
        training=few(),
        embedder=str(encoder_folder()),
        max_tries=2,
    ).fit(corpus())
    assert oversampler.training_["spam"]["updates"] > 0
    assert set(oversampler.training_seconds_) == {"ham", "spam"}
    oversampler.save_pretrained(tmp_path / "saved")
    names = {path.relative_to(tmp_path / "saved").as_posix() for path in tmp_path.rglob("*.*")}
    assert {
        "writer/base/model.safetensors",
        "writer/class-1/adapter_model.safetensors",
        "embedder/model.safetensors",
    } <= names
    loaded = Oversampler.from_pretrained(tmp_path / "saved")
    expected = rows_of(oversampler.children(corpus()))
    assert rows_of(loaded.children(corpus())) == expected
    assert rows_of(loaded.fit(corpus()).children(corpus())) == expected
    config = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert config["state"]["rejections"] == oversampler.rejections


def test_a_class_that_the_writer_does_not_know_is_named() -> None:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["ham", "eggs"])})
    with pytest.raises(ValueError, match="no adapter for the class 'eggs'"):
        make().fit(corpus().cast(features))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sources": ["all"]}, "sources is"),
        ({"gate": ["critics"]}, "which a language model does not have"),
        ({"least_kept": 0.6}, "above most_kept"),
        ({"most_kept": 1.5}, "it is a share"),
        ({"max_tries": 0}, "must be at least 1"),
        ({"top_p": 0.0}, "top_p is 0.0"),
        ({"training": {"seed": 1}}, r"training has \['seed'\]"),
        ({"training": {"rank": -1}}, "rank is -1"),
        ({"language": "xx"}, "not supported"),
    ],
)
def test_values_that_cannot_work_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_lengths_and_models_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError, match=r"max_length is 64, but the writer .* with 40"):
        make(max_length=64).fit(corpus())
    with pytest.raises(ValueError, match="has places for 64 tokens"):
        make(writer=str(language_model_folder("gpt2")), max_length=80).fit(corpus())
    with pytest.raises(TypeError, match="writer is a model in memory, which has no tokenizer"):
        make(writer=AutoModelForCausalLM.from_pretrained(language_model_folder("gpt2")))
