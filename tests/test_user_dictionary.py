"""A user's words for jieba: read once, kept with whatever cuts texts by them."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from datasets.fingerprint import Hasher
from transformers import AutoTokenizer

from hf_oversample.commands.miso_arguments import MisoRunArguments
from hf_oversample.oversamplers.miso.models import MisoModels
from hf_oversample.oversamplers.miso.oversampler import MisoOversampler
from hf_oversample.text.encoding import TextEncoder
from hf_oversample.text.tokenization import train_tokenizer
from hf_oversample.text.user_dictionary import user_dictionary_of
from hf_oversample.text.words import Segmenter
from hf_oversample.training.generator import new_generator

TEXT = "我在魔法猫咖啡馆等你"
WORD = "魔法猫咖啡馆"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "words.txt"
    path.write_text(f"\ufeff{WORD} 5 n\n\n云原生 20\n深势 nz\nC++\n", encoding="utf-8")
    return path


def test_its_words_are_found_and_no_other_segmenter_knows_them(file: Path) -> None:
    assert WORD not in Segmenter("zh").words(TEXT)
    segmenter = Segmenter("zh", file)
    assert WORD in segmenter.words(TEXT)
    assert "".join(segmenter.words(TEXT)) == TEXT
    assert WORD not in Segmenter("zh").words(TEXT)


def test_entries_are_kept_and_the_file_is_needed_no_more(file: Path) -> None:
    segmenter = Segmenter("zh", file)
    file.unlink()
    entries = ((WORD, 5, "n"), ("云原生", 20, None), ("深势", None, "nz"), ("C++", None, None))
    assert segmenter.user_dictionary == entries
    again = pickle.loads(pickle.dumps(segmenter))
    assert again.words(TEXT) == segmenter.words(TEXT)
    as_json = json.loads(json.dumps(entries))
    assert Hasher.hash(Segmenter("zh", as_json)) == Hasher.hash(segmenter)
    assert Hasher.hash(Segmenter("zh")) != Hasher.hash(segmenter)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no words: a line is WORD, WORD FREQUENCY"),
        (b"\n \n", "has no words"),
        ("好词\n坏词\n".encode("gbk"), "line 1: byte 0xba is not UTF-8"),
        ("好词\n坏词 三 n\n".encode(), "line 2: '坏词 三 n' has '三', no frequency or tag"),
        ("好词 3 n x\n".encode(), "line 1: '好词 3 n x' has 'x', no frequency or tag"),
        ("好词 0\n".encode(), "line 1: '好词 0' has the frequency 0"),
        ("好，词\n".encode(), "line 1: '好，词' has '，' in its word, where jieba cuts"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "words.txt"
    path.write_bytes(content)
    whole = rf"user_dictionary '.*words\.txt',? ?{message}"
    makers: list[Any] = [
        user_dictionary_of,
        lambda p: MisoOversampler("no/generator", user_dictionary=p),
        lambda p: MisoRunArguments("out", demo="sms", user_dictionary=str(p)),
    ]
    for make in makers:
        with pytest.raises(ValueError, match=whole.replace("(", r"\(")):
            make(path)
        with pytest.raises(FileNotFoundError, match=r"user_dictionary '.*none\.txt' is not a file"):
            make(tmp_path / "none.txt")


def test_it_is_for_chinese(file: Path) -> None:
    with pytest.raises(ValueError, match="4 words for jieba, but the language is 'en'"):
        Segmenter("en", file)


def test_a_tokenizer_a_generator_and_an_oversampler_keep_it(file: Path, tmp_path: Path) -> None:
    segmenter = Segmenter("zh", file)
    texts = [TEXT, f"{WORD}今天开门", "云原生很好", "你好朋友"]
    tokenizer = train_tokenizer(
        texts, language="zh", min_frequency=1, user_dictionary=segmenter.user_dictionary
    )
    assert WORD in tokenizer.tokenize(TEXT)
    model = new_generator(
        TextEncoder(tokenizer, segmenter, 24).many(texts),
        tokenizer,
        segmenter,
        class_names=["ham", "spam"],
        target_classes=[1],
    )
    model.save_pretrained(tmp_path / "generator")
    tokenizer.save_pretrained(tmp_path / "generator")
    file.unlink()
    assert WORD in AutoTokenizer.from_pretrained(tmp_path / "generator").tokenize(TEXT)
    oversampler = MisoOversampler(str(tmp_path / "generator"))
    assert oversampler.get_params()["user_dictionary"] is None
    loaded: MisoModels = oversampler.loaded
    assert loaded.segmenter.user_dictionary == segmenter.user_dictionary
    own = MisoOversampler(str(tmp_path / "generator"), user_dictionary=[["朋友们", None, None]])
    assert own.loaded.segmenter.user_dictionary == (("朋友们", None, None),)
    assert json.loads(json.dumps(own.get_params()["user_dictionary"])) == [["朋友们", None, None]]
    copy = MisoOversampler(**own.get_params())
    assert copy.user_dictionary == own.user_dictionary
