"""What only the data decide is told before any training, with what the command can be given."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hf_oversample.data.labeled_texts import Texts
from hf_oversample.training.arguments import MisoTrainingArguments
from hf_oversample.training.generator import train_generator
from hf_oversample.training.miso import MisoTrainer

RECIPES = Path(__file__).resolve().parent.parent / "recipes"


@pytest.fixture(autouse=True)
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("it was trained first")

    monkeypatch.setattr(MisoTrainer, "train", refuse)


def said(
    recipe: str, texts: dict[str, list[str]], folder: Path, capsys: Any, **options: str
) -> str:
    """The error of a command on texts by class; one line, and no output beside the folder."""
    rows = folder / "rows.jsonl"
    lines = [
        json.dumps({"text": text, "label": name}) for name, own in texts.items() for text in own
    ]
    rows.write_text("\n".join(lines))
    words = ["--train_file", str(rows), "--output_dir", str(folder / "out"), "--language", "en"]
    words += [word for name, value in options.items() for word in (f"--{name}", value)]
    main = runpy.run_path(str(RECIPES / recipe))["main"]
    assert main(words) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    for internal in ("Oversampler", "dataset.filter", "set_output_tokens", "strategy=", "dict"):
        assert internal not in last
    return last


NUMBERS = {
    "ham": [f"{7919 * i}" for i in range(60)],
    "spam": [f"{104729 * i + 5} !" for i in range(20)],
}


def test_texts_without_a_word_to_edit(tmp_path: Path, capsys: Any) -> None:
    line = said("miso.py", NUMBERS, tmp_path, capsys, evaluation_seeds="0")
    assert "None of the 80 training texts has a word that an edit may replace" in line
    assert "--realizer generate" in line
    assert "The first text is '0'" in line
    line = said("oversample.py", NUMBERS, tmp_path, capsys, method="miso")
    assert """--method_options '{"realizer": "generate"}'""" in line


@pytest.mark.parametrize("method", ["smote", "borderline_smote", "adasyn", "simpor"])
def test_a_class_of_one_row(method: str, tmp_path: Path, capsys: Any) -> None:
    texts = {"ham": [f"see you at {i} sharp" for i in range(30)], "spam": ["win a phone"]}
    line = said("oversample.py", texts, tmp_path, capsys, method=method)
    assert f"The class 'spam' has 1 row ('win a phone') and is to grow, but {method}" in line
    assert "--method random or miso" in line


def test_words_that_are_no_single_token() -> None:
    texts = [f"q{chr(97 + i % 26)}x{chr(97 + i // 26)}z" for i in range(60)]
    labels = np.arange(60) % 3 // 2
    with pytest.raises(ValueError, match=r"No word of the 60 training texts, .*--tokenizer_kind"):
        train_generator(
            Texts(texts, labels),
            class_names=["ham", "spam"],
            target_classes=[1],
            language="en",
            training=MisoTrainingArguments(mixed_precision="no"),
        )
