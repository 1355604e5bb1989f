"""Anchors for the texts of a file, as `hf-oversample generate` writes them."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import BertConfig, BertModel

from hf_oversample.commands.generate_arguments import GenerateArguments
from hf_oversample.commands.guard import DONE, USERS
from hf_oversample.commands.main import main
from hf_oversample.data.files import read_file
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


def test_arguments_that_cannot_work_are_refused() -> None:
    def refused(**values: str) -> str:
        with pytest.raises(ValueError) as raised:  # noqa: PT011
            GenerateArguments("a/generator", "made.jsonl", **values)  # type: ignore[arg-type]
        return str(raised.value)

    assert refused(demo="sms", encoding="cp1252").startswith("encoding is 'cp1252', which goes")
    assert refused(demo="sms", protect="[").startswith("protect is '[', which is no regular")
