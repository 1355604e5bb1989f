"""Anchors for the texts of a file, as `hf-oversample generate` writes them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from transformers import BertConfig, BertModel

from hf_oversample.commands.generate import generate
from hf_oversample.commands.generate_arguments import GenerateArguments
from hf_oversample.commands.guard import DONE, USERS
from hf_oversample.commands.main import main
from hf_oversample.data.files import read_file
from hf_oversample.oversamplers.miso.models import MisoModels
from hf_oversample.training.generator import new_generator
from miso_fixtures import CLASS_NAMES, SEGMENTER, encode, make_corpus, tokenizer

TEXTS, _ = make_corpus((20, 10))


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An untrained one over an encoder with places for 20 tokens."""
    folder = tmp_path_factory.mktemp("generator")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    places = {
        "intermediate_size": 32,
        "max_position_embeddings": 20,
        "vocab_size": len(tokenizer()),
    }
    BertModel(BertConfig(**sizes, **places)).save_pretrained(folder / "encoder")
    new_generator(
        encode(TEXTS),
        tokenizer(),
        SEGMENTER,
        class_names=CLASS_NAMES[:2],
        target_classes=[1],
        encoder_name_or_path=folder / "encoder",
        max_length=20,
        parts="editor",
    ).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return str(folder)


def test_it_reads_what_its_advice_says_and_keeps_what_is_protected(
    generator: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A generator with places for fewer tokens than a text may have elsewhere."""
    rows, output = tmp_path / "new.csv", tmp_path / "made.jsonl"
    rows.write_text("text\nsee you at the café tonight my friend\n", encoding="cp1252")
    words = ["generate", str(rows), "--generator", generator, "--output_file", str(output)]
    assert main(words) == USERS
    assert "--encoding cp1252" in capsys.readouterr().err
    keep = ["--edit_share", "1", "--protect", "café|see you"]
    assert main([*words, "--encoding", "cp1252", *keep]) == DONE, capsys.readouterr().err
    made = read_file(output)["text"][:]
    assert made
    for text in made:
        assert text.startswith("see you ")
        assert "café" in text
        assert "tonight" not in text


def test_columns_and_classes_are_checked_before_a_model_is_loaded(
    generator: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message is the one of the column or class, where no model could be loaded."""

    def loads(*_: object, **__: object) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(MisoModels, "load", loads)
    rows = tmp_path / "new.csv"
    rows.write_text("message,kind\nsee you at noon,ham\n", encoding="utf-8")

    def refused(generator: str, **values: Any) -> str:
        a = GenerateArguments(
            generator, str(tmp_path / "made.jsonl"), train_file=str(rows), **values
        )
        with pytest.raises(ValueError) as raised:  # noqa: PT011
            generate(a)
        return str(raised.value)

    nowhere = str(tmp_path / "nowhere")
    assert refused(nowhere) == (
        "there is no column 'text'; there are ['message', 'kind']. Name yours with --text."
    )
    said = refused(nowhere, text_column="message", label_column="label")
    assert "there is no column 'label'" in said
    assert "or another column with --label." in said
    said = refused(generator, text_column="message", class_name="news")
    assert f"was trained to write ['{CLASS_NAMES[1]}']" in said


def test_columns_are_checked_before_torch_is_imported(tmp_path: Path) -> None:
    rows = tmp_path / "new.csv"
    rows.write_text("message\nsee you at noon\n", encoding="utf-8")
    words = ["generate", str(rows), "--generator", "none", "--output_file", "made.jsonl"]
    code = (
        "import sys\n"
        "from hf_oversample.commands.main import main\n"
        f"print(main({words!r}), 'torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == [str(USERS), "False"]
    assert "Name yours with --text." in said.stderr


def test_arguments_that_cannot_work_are_refused() -> None:
    def refused(**values: str) -> str:
        with pytest.raises(ValueError) as raised:  # noqa: PT011
            GenerateArguments("a/generator", "made.jsonl", **values)  # type: ignore[arg-type]
        return str(raised.value)

    assert refused(demo="sms", encoding="cp1252").startswith("encoding is 'cp1252', which goes")
    assert refused(demo="sms", protect="[").startswith("protect is '[', which is no regular")
