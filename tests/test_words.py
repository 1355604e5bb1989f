from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_oversample.oversamplers.miso.latent_decoder import LatentDecoder
from hf_oversample.oversamplers.miso.oversampler import MisoOversampler
from hf_oversample.text.words import (
    Segmenter,
    guess_language,
    has_han,
    is_negation,
    negations,
    normalized,
    remove_stop_words,
    stop_words,
    unsegmented_script,
)
from hf_oversample.transforms.embed import TextEmbedder

ANY_TEXT = st.text(max_size=60) | st.text(alphabet="ab1 .,'’-£$%我不好，。\n\x92_@/:w", max_size=60)


@pytest.mark.parametrize("language", ["en", "zh"])
@settings(max_examples=150, deadline=None)
@given(text=ANY_TEXT)
def test_spans_cover_all_but_spaces_in_order(language, text):
    spans = Segmenter(language).spans(text)
    end = 0
    for start, stop in spans:
        assert end <= start < stop
        assert not text[end:start].strip()
        assert text[start:stop].split() == [text[start:stop]]
        end = stop
    assert not text[end:].strip()


@pytest.mark.parametrize("unit", ["a.+-", "1.", "www.!", "a@b.", "'s", "U.", "!?", "-"])
def test_long_odd_texts_take_no_more_than_linear_time(unit):
    text = unit * 20_000
    assert "".join(Segmenter("en").words(text)) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("I don't, it 's", ["I", "don't", ",", "it", "'s"]),
        ("That\x92s £1.50 (£1000)!!", ["That\x92s", "£1.50", "(", "£1000", ")", "!!"]),
        ("see www.x.com/a?b=1.", ["see", "www.x.com/a?b=1", "."]),
        ("me@x.co.uk at 10:30am", ["me@x.co.uk", "at", "10:30am"]),
        ("well-made U.S. 50% 2nd", ["well-made", "U.S.", "50%", "2nd"]),
        ("so... great😀😀 ok", ["so", "...", "great", "😀😀", "ok"]),
        ("he said 'stop'", ["he", "said", "'", "stop", "'"]),
    ],
)
def test_english_words(text, words):
    assert Segmenter("en").words(text) == words


def test_chinese_words_and_join_give_the_text_back():
    segmenter = Segmenter("zh")
    text = "我不喜欢这个iPhone 15 Pro，价格3.5元！"
    words = segmenter.words(text)
    assert "喜欢" in words
    assert "，" in words
    assert "3.5" in words
    assert segmenter.join(words) == text


def test_english_join_reads_as_written():
    assert Segmenter("en").join(["Hello", ",", "world", "!"]) == "Hello, world!"


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        *[("good", True), ("don't", True), ("不", True), ("£1", False), ("2nd", False)],
        *[("!", False), ("www.x.com", False), ("a@b.org", False)],
    ],
)
def test_is_word(token, expected):
    assert Segmenter("en").is_word(token) is expected


def test_stop_words_come_from_the_package_and_hold_negations():
    assert len(stop_words("en")) == 179
    assert {"the", "not", "no"} <= stop_words("en")
    assert {"的", "了", "不能", "，"} <= stop_words("zh")
    assert {"not", "never", "don't"} <= negations("en")
    assert {"不", "没有"} <= negations("zh")


def test_removing_stop_words_keeps_negations_unless_told():
    words = ["This", "is", "NOT", "the", "best", ",", "I", "don’t", "like", "it"]
    assert remove_stop_words(words) == ["NOT", "best", ",", "don’t", "like"]
    assert remove_stop_words(words, keep_negations=False) == ["best", ",", "like"]
    assert remove_stop_words(["我", "不能", "去"], "zh", keep_negations=True)[0] == "不能"


@pytest.mark.parametrize(
    ("word", "language"), [("Don’t", "en"), ("DON\x92T", "en"), ("never", "en"), ("没有", "zh")]
)
def test_is_negation(word, language):
    assert is_negation(word, language)
    assert not is_negation("good", language)


def test_scripts_whose_words_are_not_found():
    assert unsegmented_script(["मुझे हिन्दी पसंद है"]) == "Devanagari"
    assert unsegmented_script(["ฉันชอบแมว and a cat"]) == "Thai"
    for text in ("hello", "привет", "我喜欢猫", "مرحبا بالعالم", "", "12 !"):
        assert unsegmented_script([text]) is None


def test_guess_language():
    assert guess_language(["hello there", "价格 ok"]) == "en"
    assert guess_language(["我喜欢 iPhone", "很好"]) == "zh"
    assert guess_language([]) == "en"


def test_normalized_and_has_han():
    assert normalized(" Hello\n  WORLD ") == "hello world"
    assert has_han("a我")
    assert not has_han("abc！")


def test_unknown_language_says_which_there_are():
    with pytest.raises(ValueError, match=r"'fr' is not supported.*'en' and 'zh'"):
        Segmenter("fr")  # type: ignore[arg-type]


def test_import_needs_no_torch():
    code = "import sys, hf_oversample.text.words; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("make", [MisoOversampler, LatentDecoder, TextEmbedder])
def test_an_unknown_language_is_told_before_a_model_is_loaded(make) -> None:
    with pytest.raises(ValueError, match="language='fr' is not supported"):
        make("no/such-model", language="fr")
