"""An editor: what the edit realiser reads is trained, and nothing else; who reads more says so."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Value

from hf_oversample import MisoForAnchorGeneration, MisoOversampler, TextEmbedder
from hf_oversample.commands.miso_arguments import MisoRunArguments
from hf_oversample.commands.run import Run
from hf_oversample.models.miso.configuration_miso import MisoConfig
from hf_oversample.oversamplers.miso.latent_decoder import LatentDecoder
from hf_oversample.oversamplers.miso.parts import parts_read
from hf_oversample.training import miso_schedule
from miso_fixtures import CLASS_NAMES, arguments, encode, make_generator, tokenizer
from miso_training_runs import LABELS, TEXTS, different, train

EDITOR = {"parts": "editor"}


def dataset() -> Dataset:
    names = list(CLASS_NAMES[:2])
    features = Features({"text": Value("string"), "label": ClassLabel(names=names)})
    return Dataset.from_dict({"text": TEXTS, "label": LABELS}, features=features)


def test_an_editor_trains_its_encoder_and_filler_alone() -> None:
    options: dict[str, Any] = {"validation": encode(TEXTS[:6]), "validation_labels": LABELS[:6]}
    weights, trainer = train(arguments(evaluation_steps=2), settings=EDITOR, **options)
    changed = different(make_generator(TEXTS, **EDITOR).state_dict(), weights)
    read = ("miso.encoder.", "fill_", "output_bias")
    assert {name.split(".")[0] for name in changed} >= {"miso", "fill_head", "output_bias"}
    assert [name for name in changed if not name.startswith(read)] == []
    assert trainer.record.steps == {"pretrain": 4}
    assert trainer.pairs is None  # no neighbours are looked for
    assert set(trainer.record.losses["pretrain"]) == {"filling", "validation/filling"}
    # it has no weights that it does not read
    untrained = {"output_tokens", "output_positions", "is_word_token"}
    assert [n for n in weights if not n.startswith(read) and n not in untrained] == []
    assert set(trainer.players.optimizers) == {"generator"}
    # texts, masks and classes of a step are those of MISO's phase 1
    _, other = train(arguments(evaluation_steps=2), **options)
    ours, theirs = trainer.batches.pretrain(1, None), other.batches.pretrain(1, None)
    for one, two in zip(ours["groups"], theirs["groups"], strict=True):
        assert all(torch.equal(one[name], two[name]) for name in one)
    assert "decoder_ids" in theirs
    assert "decoder_ids" not in ours


def test_an_editor_goes_on_where_it_was(tmp_path: Path) -> None:
    whole, _ = train(settings=EDITOR)
    train(settings=EDITOR, output_dir=tmp_path, stop_at=2)
    resumed, _ = train(settings=EDITOR, output_dir=tmp_path, resume=tmp_path / "checkpoint-2")
    assert different(whole, resumed) == []
    with pytest.raises(ValueError, match="parts"):
        train(output_dir=tmp_path, resume=tmp_path / "checkpoint-2")


def test_time_goes_to_what_is_trained() -> None:
    limited = arguments(max_train_seconds=10.0)
    for parts, expected in (("editor", 10.0), ("miso", 7.5)):
        config = MisoConfig(parts=parts)
        assert miso_schedule.phase_seconds(limited, config, "pretrain") == expected
        steps = miso_schedule.phase_steps(limited, config)
        assert (sum(steps.values()) == steps["pretrain"]) == (parts == "editor")


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({}, "editor"),
        ({"gate": ("classifier", "neighbors")}, "editor"),
        ({"use_latent": True}, "miso"),
        ({"realizer": "generate"}, "miso"),
        ({"gate": ("critics",)}, "miso"),
    ],
)
def test_what_options_read(options: dict[str, Any], parts: str) -> None:
    assert parts_read(**options) == parts


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("editor")
    make_generator(TEXTS, **EDITOR).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return str(folder)


def test_an_editor_writes_anchors(editor: str) -> None:
    oversampler = MisoOversampler(editor, gate=())
    balanced = oversampler.balance(dataset())
    counts = np.bincount(balanced["label"])
    assert counts[0] == counts[1]


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ({"realizer": "generate"}, "realizer='generate'"),
        ({"use_latent": True}, "use_latent=True"),
        ({"gate": ("critics",)}, "The gate asks the critics"),
    ],
)
def test_what_was_not_trained_is_refused(editor: str, options: dict[str, Any], asked: str) -> None:
    with pytest.raises(ValueError, match=r"editor.*parts='miso'") as error:
        MisoOversampler(editor, **options).balance(dataset())
    assert asked in str(error.value)


def test_latents_of_an_editor_are_refused(editor: str) -> None:
    with pytest.raises(ValueError, match=r"editor.*parts='miso'"):
        TextEmbedder(editor, pooling="latent").embed(TEXTS[:2])
    with pytest.raises(ValueError, match=r"editor.*parts='miso'"):
        assert LatentDecoder(editor).loaded
    model = MisoForAnchorGeneration.from_pretrained(editor)
    with pytest.raises(ValueError, match=r"editor.*parts='miso'"):
        model.miso(torch.tensor([[5, 6]]))
    whole = make_generator(TEXTS)
    assert model.num_parameters() < whole.num_parameters() / 2


def test_a_command_trains_what_its_realiser_reads(tmp_path: Path) -> None:
    common: dict[str, Any] = {"output_dir": str(tmp_path), "demo": "sms"}
    for options, parts in (
        ({}, "editor"),
        ({"use_latent": True}, "miso"),
        ({"parts": "miso"}, "miso"),
        ({"gate": ("critics",)}, "miso"),
    ):
        run = SimpleNamespace(arguments=MisoRunArguments(**common, **options))
        assert Run.parts.fget(run) == parts  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=r"parts is 'editor'.*use_latent True"):
        MisoRunArguments(**common, parts="editor", use_latent=True)
