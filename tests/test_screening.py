"""The two-sample screen: nothing between real texts, and each kind of mark by its name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from hf_oversample.commands.screen import screen_lines
from hf_oversample.metrics.screening import FORMS, LEAST_ROWS, LEVEL, screen_classes, two_sample_auc

VOCABULARY = [
    first + vowel + last + end
    for first in ("b", "d", "k", "m", "s", "t")
    for vowel in "aeiou"
    for last in ("l", "n", "r")
    for end in ("", "o", "er")
]


def sentences(count: int, seed: int) -> list[str]:
    """Texts of four to nine words, some of them rare, with a capital and a full stop."""
    rng = np.random.default_rng(seed)
    odds = 1 / (1 + np.arange(len(VOCABULARY)))
    odds /= odds.sum()
    texts = []
    for _ in range(count):
        words = rng.choice(VOCABULARY, rng.integers(4, 10), p=odds).tolist()
        texts.append(" ".join(words).capitalize() + ".")
    return texts


def test_real_texts_are_not_told_from_real_texts() -> None:
    areas = [
        two_sample_auc(sentences(60, s), sentences(120, 100 + s), seed=s).auc for s in (1, 2, 3)
    ]
    assert all(area is not None and area < LEVEL for area in areas)
    assert 0.4 < np.mean(np.asarray(areas, float)) < 0.6


MARKS: dict[str, tuple[Callable[[str], str], str]] = {
    "a word": (lambda text: text.replace(" ", " indeed ", 1), 'word "indeed"'),
    "characters": (lambda text: text.replace(".", " ."), "spaces before punctuation"),
    "length": (lambda text: " ".join([text, text.lower(), text.lower()]), "length in words"),
    "punctuation": (lambda text: text.rstrip("."), "last character is punctuation"),
    "case": (str.lower, "first letter is a capital"),
    "spacing": (lambda text: text.replace(" ", "  "), "repeated spaces"),
}


@pytest.mark.parametrize("name", MARKS)
def test_each_kind_of_mark_is_found_and_named(name: str) -> None:
    mark, feature = MARKS[name]
    found = two_sample_auc(sentences(60, 1), [mark(text) for text in sentences(60, 2)])
    assert found.auc is not None
    assert found.auc > 0.9
    assert found.tells
    names = [one.feature for one in found.giveaways]
    assert feature in names
    one = found.giveaways[names.index(feature)]
    assert (one.side == "made") == (one.made > one.real)
    assert str(one).startswith(feature)


def strange(texts: list[str], seed: int = 0) -> list[str]:
    """One word of each text is of letters that nobody used together, and never the same."""
    rng = np.random.default_rng(seed)
    result = []
    for text in texts:
        words = text[:-1].split()
        words[-1] = "".join(rng.choice(list("qwxyz"), 4))
        result.append(" ".join(words) + ".")
    return result


def test_words_that_nobody_has_are_counted_and_tell() -> None:
    real, made = sentences(80, 1), strange(sentences(80, 2))
    found = two_sample_auc(real, made)
    assert found.unknown_made == 1.0
    assert found.unknown_real < 0.8
    assert found.tells
    assert FORMS[-1] in [one.feature for one in found.giveaways]
    # words of other classes' texts are known
    known = two_sample_auc(real, made, known=made)
    assert known.unknown_made == 0.0


def test_an_edit_does_not_hide_behind_its_source() -> None:
    """A copy with a mark is held out with its source: that the source, which has the same words, is
    real, says nothing then."""
    real = sentences(60, 1)
    marked = [text.rstrip(".") + "!" for text in real]
    found = two_sample_auc(real, marked)
    assert found.auc is not None
    assert found.auc > 0.95
    # and without a mark there is nothing to tell
    again = two_sample_auc(real, [text.swapcase().swapcase() for text in real])
    assert again.auc is not None
    assert 0.4 < again.auc < 0.6


def test_it_is_the_seeds_alone() -> None:
    real, made = sentences(40, 1), sentences(70, 2)
    first = two_sample_auc(real, made, sample=50, seed=3)
    assert first == two_sample_auc(real, made, sample=50, seed=3)
    assert (first.real, first.made) == (40, 50)
    assert first.auc != two_sample_auc(real, made, sample=50, seed=4).auc


def test_few_rows_tell_nothing() -> None:
    few = LEAST_ROWS - 1
    for real, made in ((few, 60), (60, few)):
        found = two_sample_auc(sentences(real, 1), sentences(made, 2))
        assert (found.auc, found.tells, found.giveaways) == (None, False, ())
        assert 0 <= found.unknown_made <= 1
    with pytest.raises(ValueError, match="0 real and 1 made texts: none may be empty"):
        two_sample_auc([], ["a"])
    with pytest.raises(ValueError, match="row 1 of made is null"):
        two_sample_auc(["a"], ["a", None])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="row 0 of known is null"):
        two_sample_auc(["a"], ["a"], known=[None])  # type: ignore[list-item]


def test_chinese_texts_are_cut_into_words() -> None:
    rng = np.random.default_rng(0)
    words = ["我们", "喜欢", "这个", "手机", "电影", "今天", "天气", "音乐", "城市", "学校"]

    def texts(count: int, end: str) -> list[str]:
        return ["".join(rng.choice(words, 5)) + end for _ in range(count)]

    found = two_sample_auc(texts(30, "。"), texts(30, ""), language="zh")
    assert found.tells


def test_classes_are_screened_apart() -> None:
    """Classes of other words, made texts of one of them: what tells classes apart is no mark."""
    one, other = sentences(60, 1), [text.upper() for text in sentences(60, 2)]
    train, labels = [*one, *other], np.repeat([0, 1], 60)
    made = [text.upper() for text in sentences(50, 3)]
    found = screen_classes(train, labels, made, np.ones(50, np.int64), ["low", "high"])
    assert list(found["classes"]) == ["high"]
    assert found["level"] == LEVEL
    assert found["auc"] == found["classes"]["high"]["auc"] < LEVEL
    assert found["tells"] is False
    assert found["unknown_words"] < 0.6
    both = [*made, *(text + " zzz" for text in sentences(25, 4))]
    kinds = np.repeat([1, 0], [50, 25])
    found = screen_classes(train, labels, both, kinds, ["low", "high"])
    areas = [found["classes"][name]["auc"] for name in ("low", "high")]
    assert found["auc"] == pytest.approx((25 * areas[0] + 50 * areas[1]) / 75)
    assert found["unknown_words"] >= 25 / 75
    assert found["tells"] is True
    lines = screen_lines(found)
    assert "texts have a word that no training text has" in lines[0]
    assert lines[1].startswith("Warning: made texts of low are told from real ones")
    assert 'word "zzz"' in lines[1]
    assert lines[2].startswith("high: made texts are hardly told")


def test_nothing_is_said_where_nothing_was_made() -> None:
    assert screen_lines(None) == []
    few = screen_classes(["a b", "c d"], [0, 1], ["a e"], [0], ["x", "y"])
    assert few["auc"] is None
    assert few["tells"] is False
    assert "x: 1 made and 1 real texts are too few" in screen_lines(few)[1]
