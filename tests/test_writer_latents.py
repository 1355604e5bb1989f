"""z as a learned prefix: what adapters make of latents, saved, written with, and refused."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from hf_oversample import LanguageModelOversampler, Oversampler
from hf_oversample.models.writers.adapter_writer import AdapterWriter
from hf_oversample.models.writers.adapters import ClassAdapters
from hf_oversample.models.writers.guidance import GuidedLogits
from hf_oversample.models.writers.latents import LatentReader
from hf_oversample.models.writers.requests import WritingRequest
from hf_oversample.training.writer import ClassRows, _AdapterTrainer, class_rows, train_writer
from hf_oversample.training.writer_arguments import WriterTrainingArguments
from miso_fixtures import CLASS_NAMES, encoder_folder, make_corpus, make_generator
from miso_fixtures import tokenizer as miso_tokenizer
from oversampler_checks import rows_of
from test_language_model_oversampler import corpus
from writer_fixtures import (
    MAX_LENGTH,
    contract_writer_folder,
    few,
    labelled_texts,
    language_model_folder,
    latent_writer_folder,
    latents_folder,
    pretrained_folder,
)

KINDS = ("win a free {} now !", "my {} left your prize")
WORDS = ("phone", "ticket", "camera", "voucher", "laptop", "bonus", "ringtone", "holiday", "sister")
LEAST_GAIN = 0.03
"""Nats a token that the right latents must be worth, against those of texts of the other kind. To
know the kind is worth ln 2 nats a text, of some ten tokens."""


@lru_cache(maxsize=1)
def reader() -> LatentReader:
    return LatentReader.load(str(latents_folder()))


def loaded() -> ClassAdapters:
    return ClassAdapters.load(latent_writer_folder())


def requests_of(kept: int = 0) -> list[WritingRequest]:
    texts, labels = make_corpus((8, 8), seed=5)
    return [
        WritingRequest(text, kept, label=1, avoid=0, key=(row, 0, 0))
        for row, text in enumerate(texts)
    ]


def written(adapters: ClassAdapters, requests: Sequence[WritingRequest], **options: Any) -> Any:
    values = {"seed": 0, "tree": None, "latents": reader(), **options}
    return AdapterWriter(adapters, **values)(requests)


def test_the_right_latents_lower_the_held_out_loss() -> None:
    texts = [kind.format(word) for kind in KINDS for word in WORDS]
    adapters = ClassAdapters.new(str(pretrained_folder()), None, ["mail"], MAX_LENGTH)
    arguments = WriterTrainingArguments(
        **few(learning_rate=1e-2, warmup_updates=0, max_updates=40, evaluation_updates=20),
        held_out_share=0.3,
        max_passes=40,
        latent_noise=0.0,  # latents of random weights are much alike
    )
    train_writer(adapters, {0: texts}, arguments, reader())
    rows = class_rows(adapters, 0, texts, arguments, reader()).held_out
    kinds = ["win" in adapters.tokenizer.decode(row.ids) for row in rows]
    assert {True, False} == set(kinds)
    latents = {kind: row.latent for row, kind in zip(rows, kinds, strict=True)}
    other = [latents[not kind] for kind in kinds]
    swapped = [row._replace(latent=latent) for row, latent in zip(rows, other, strict=True)]

    def loss(held_out: Any) -> float:
        own = ClassRows([], held_out)
        return _AdapterTrainer(adapters, 0, own, arguments, Accelerator()).held_out_loss()

    assert loss(rows) < loss(swapped) - LEAST_GAIN
    without = [row._replace(latent=None) for row in rows]
    assert loss(rows) < loss(without)


def test_texts_follow_the_latent_of_their_source() -> None:
    """With nothing of the source kept: sources swapped, other texts; without latents, the same."""
    requests = requests_of()
    mirrored = [
        WritingRequest(other.source, 0, r.label, r.avoid, r.key)
        for r, other in zip(requests, requests[::-1], strict=True)
    ]
    adapters = loaded()
    texts = written(adapters, requests)
    assert sum(a != b for a, b in zip(texts, written(adapters, mirrored), strict=True)) > 2
    plain = ClassAdapters.load(contract_writer_folder())
    assert written(plain, requests, latents=None) == written(plain, mirrored, latents=None)
    for code in adapters.trained:  # and the prefix is what they follow it by
        torch.nn.init.normal_(adapters.prefixes[code].project.weight, std=0.5)
    assert sum(a != b for a, b in zip(texts, written(adapters, requests), strict=True)) > 2


def test_drafts_do_not_depend_on_each_other() -> None:
    adapters, requests = loaded(), requests_of(kept=3)
    together = written(adapters, requests)
    assert [written(adapters, [request])[0] for request in requests[:4]] == together[:4]
    assert written(adapters, requests[::-1])[::-1] == together


def test_guided_logits_are_those_of_each_class_alone() -> None:
    """The class to write behind its latents, the class to avoid without any."""
    adapters = loaded()
    model, tokenizer = adapters.model, adapters.tokenizer
    rows, against = [[5, 9, 12], [7, 30, 31, 32, 40]], [[6, 9, 12, 13], [4, 31, 32, 40]]
    own, other = [0, 1], [1, 2]
    latents = reader().own(["win a free prize now !", "see you at the station"])
    prefixes = [adapters.prefixes[c](one[None]) for c, one in zip(own, latents, strict=True)]
    drawn = torch.tensor([14, 15])
    logits = GuidedLogits(
        model,
        [f"class-{c}" for c in own],
        [f"class-{c}" for c in other],
        rows,
        against,
        1.5,
        tokenizer.pad_token_id,
        MAX_LENGTH,
        torch.cat(prefixes),
    )
    found = [logits(), logits(drawn)]
    embedding = adapters.base_model.get_input_embeddings()

    def alone(code: int, ids: list[int], prefix: torch.Tensor | None) -> torch.Tensor:
        model.set_adapter(f"class-{code}")
        with torch.no_grad():
            embedded = embedding(torch.tensor([ids]))
            if prefix is not None:
                embedded = torch.cat([prefix, embedded], 1)
            return torch.log_softmax(model(inputs_embeds=embedded).logits[0, -1], -1)

    for step, now in enumerate(found):
        for i in range(2):
            more = drawn[i : i + 1].tolist() if step else []
            ours = alone(own[i], rows[i] + more, prefixes[i])
            theirs = alone(other[i], against[i] + more, None)
            torch.testing.assert_close(now[i], ours + 1.5 * (ours - theirs), atol=1e-4, rtol=1e-4)


def test_a_saved_writer_writes_the_same(tmp_path: Path) -> None:
    adapters = loaded()
    assert adapters.latents == reader().kind
    adapters.save(tmp_path / "again")
    assert (tmp_path / "again" / "class-1" / "prefix.safetensors").is_file()
    again = ClassAdapters.load(tmp_path / "again")
    assert written(again, requests_of()) == written(adapters, requests_of())


def test_prefixes_are_learnt_but_where_latents_are_dropped_and_start_from_the_largest() -> None:
    """With every latent dropped the prefix gets no gradient, and the small class's is a copy."""
    found = {}
    for dropped in (0.0, 1.0):
        adapters = ClassAdapters.new(str(pretrained_folder()), None, list(CLASS_NAMES), MAX_LENGTH)
        arguments = WriterTrainingArguments(
            **few(warmup_updates=0), latent_dropout=dropped, held_out_share=0.0
        )
        train_writer(adapters, {0: labelled_texts()[0], 1: ["win a prize"]}, arguments, reader())
        large, small = adapters.prefixes[0], adapters.prefixes[1]
        found[dropped] = float((large.project.weight - small.project.weight).abs().max())
        assert found[dropped] < 0.1, "a copy, and one update"
    assert found[1.0] == 0.0
    assert found[0.0] > 0.0


def make(**options: Any) -> LanguageModelOversampler:
    writer = options.pop("writer", str(latent_writer_folder()))
    values = {"max_length": 32, "seed": 0, "latents": str(latents_folder()), "max_tries": 1}
    return LanguageModelOversampler(writer, **{**values, **options})


def test_the_oversampler_writes_from_latents_and_keeps_them(tmp_path: Path) -> None:
    dataset = corpus()
    options: dict[str, Any] = {"least_kept": 0.0, "most_kept": 0.0, "gate": ()}
    journal = str(tmp_path / "drafts.jsonl")
    oversampler = make(**options, journal=journal).fit(dataset)
    expected = rows_of(oversampler.children(dataset))
    assert len(expected) == 40
    assert sum(row["origin"] == 1 for row in expected) > 5
    oversampler.save_pretrained(tmp_path / "saved")
    loaded_again = Oversampler.from_pretrained(tmp_path / "saved")
    assert rows_of(loaded_again.children(dataset)) == expected
    assert rows_of(loaded_again.fit(dataset).children(dataset)) == expected
    shutil.copytree(latents_folder(), tmp_path / "elsewhere")
    again = make(**{**options, "latents": str(tmp_path / "elsewhere")}, journal=journal)
    assert rows_of(again.fit(dataset).children(dataset)) == expected
    assert again.usage_["requests"] == 0, "the same generator: its drafts are known"
    assert make(**options, latents=None, writer=str(contract_writer_folder())).fit(dataset)


def test_adapters_are_trained_to_read_latents_when_fitted() -> None:
    oversampler = make(
        writer=str(pretrained_folder()), training=few(), embedder=str(encoder_folder())
    ).fit(corpus())
    assert oversampler.adapters.latents == reader().kind
    assert set(oversampler.adapters.prefixes) == {0, 1}


def test_what_cannot_work_is_named(tmp_path: Path) -> None:
    texts, _ = make_corpus((12, 12, 12))
    for folder, settings in (
        ("editor", {"parts": "editor"}),
        ("others", {"targets": (1,)}),
    ):
        model = make_generator(texts, classes=3, **{"targets": (0, 1, 2), **settings})
        model.save_pretrained(tmp_path / folder)
        miso_tokenizer().save_pretrained(tmp_path / folder)
    (tmp_path / "empty").mkdir()
    fitted = {
        "an editor": {"latents": str(tmp_path / "editor")},
        "a model of type 'bert', which is no MISO generator": {"latents": str(encoder_folder())},
        "a folder without config.json": {"latents": str(tmp_path / "empty")},
        "was not trained to write": {
            "latents": str(tmp_path / "others"),
            "sampling_strategy": {"ham": 70},
        },
        "trained to read latents of 4 slots of 16, and no latents": {"latents": None},
        "but .* makes 2 of 16": {"latents": str(latents_folder(2))},
        "of another generator": {"latents": str(tmp_path / "others")},
        "was trained without": {"writer": str(contract_writer_folder())},
        "has 4 slots, which stand before a text of max_length = 62 .* give max_length=60": {
            "writer": str(language_model_folder("gpt2")),
            "max_length": 62,
        },
    }
    for message, options in fitted.items():
        with pytest.raises(ValueError, match=message):
            make(**options).fit(corpus())
    for more in ({"prompting": True}, {"base_url": "http://localhost:1/v1", "embedder": "e"}):
        with pytest.raises(ValueError, match="latents is given, but a model that is prompted"):
            make(writer="some/model", **more)
    shutil.copytree(latents_folder(), tmp_path / "renamed")
    config = tmp_path / "renamed" / "config.json"
    config.write_text(config.read_text().replace("spam", "eggs"))
    with pytest.raises(ValueError, match=r"does not know the class\(es\) \['spam'\]"):
        make(latents=str(tmp_path / "renamed")).fit(corpus())
