"""What edits leave byte for byte: found by one place, and kept by every editor."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_oversample.models.miso.realizers import AnchorRequest, EditRealizer, choose_words
from hf_oversample.text.edits import eda, neighbor_edit
from hf_oversample.text.encoding import TextEncoder
from hf_oversample.text.protection import Protection
from hf_oversample.text.words import Segmenter
from hf_oversample.training.generator import output_vocabulary
from miso_fixtures import SEGMENTER, make_corpus, make_generator, tokenizer

PLACEHOLDERS = "dear [NAME] call <PHONE> or {link}"


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        (PLACEHOLDERS, ["[NAME]", "<PHONE>", "{link}"]),
        (
            "hi {{ first name }}, [[a] b] and [a {b] c}",
            ["{{ first name }}", "[[a] b]", "[a {b] c}"],
        ),
        ("[left open, <b>bold</b>", ["<b>", "</b>"]),
        (
            "%s owes %(sum)5.2f to %1$s and %-3d; 100% sure",
            ["%s", "%(sum)5.2f", "%1$s", "%-3d", "100%"],
        ),
        ("$name ${home} %PATH% __NAME__", ["$name", "{home}", "%PATH%", "__NAME__"]),
        (
            "at https://a.b/c?d=e#f, www.x.org or ftp://h/p",
            ["https://a.b/c?d=e#f,", "www.x.org", "ftp://h/p"],
        ),
        ("bit.ly/Abc and example.com, not this.That", ["bit.ly/Abc", "example.com"]),
        ("write to a.b+c@mail.example.org now", ["a.b+c@mail.example.org"]),
        ("@bob likes #spring and #nice-day", ["@bob", "#spring", "#nice-day"]),
        ("£1.50 at 10:30, 2nd of A380s and 50%", ["£1.50", "10:30", "2nd", "A380s", "50%"]),
        ("run `pip install x` or ``a`b`` now", ["`pip install x`", "``a`b``"]),
        ("see\n```py\nx = y\n```\nabove", ["```py\nx = y\n```"]),
        ("see\n~~~\nx = y\n~~~\nabove", ["~~~\nx = y\n~~~"]),
        ("never closed:\n```\nx = y", ["```\nx = y"]),
        ("a lone ` tick and fish &amp; chips", ["&amp;"]),
        ("看https://t.cn/abc快来 邮箱a@b.com 我有5个", ["https://t.cn/abc", "a@b.com", "5"]),
        ("@小明 看 #双11 狂欢# 了［姓名］", ["@小明", "#双11 狂欢#", "［姓名］"]),
        ("尊敬的【姓名】 写到 jane.doe@例.cn", ["【姓名】", "jane.doe@例.cn"]),
        ("dear FIRST_NAME, foo_bar(x) calls print()", ["FIRST_NAME", "foo_bar(x)", "print()"]),
        (
            r"in C:\Users\me\file, ~/notes, /usr/bin/env and a/b/c.py",
            [r"C:\Users\me\file,", "~/notes", "/usr/bin/env", "a/b/c.py"],
        ),
        ("run it with --flag=value or --quiet now", ["--flag=value", "--quiet"]),
        ("he/she and/or they -- so it goes, see. This too (and) _this_", []),
        ("plain words, don't you think?", []),
    ],
)
def test_what_is_protected(text: str, spans: list[str]) -> None:
    assert [text[a:b] for a, b in Protection().spans(text)] == spans
    assert Protection(defaults=False).spans(text) == []


def test_a_pattern_is_added_to_the_defaults() -> None:
    text = "ACME sells [NAME] an anvil"
    assert [text[a:b] for a, b in Protection("ACME|anvil").spans(text)] == [
        "ACME",
        "[NAME]",
        "anvil",
    ]
    assert [text[a:b] for a, b in Protection("ACME", defaults=False).spans(text)] == ["ACME"]
    # a match of nothing is none
    assert Protection("x*", defaults=False).spans("abc") == []


@pytest.mark.parametrize("pattern", ["[", "(a", "*"])
def test_a_bad_pattern_is_named(pattern: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"protect is {pattern!r}, which is no regular")):
        Protection(pattern)


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "a.",
        "`",
        "` ",
        "[",
        "[]",
        "a@",
        "#啊",
        "1,",
        "%",
        "_",
        "a-",
        "aé1",
        "\n```",
        "/a",
        "a_",
        "./",
    ],
)
def test_time_grows_with_the_length(piece: str) -> None:
    """A pattern that tries each start anew takes minutes for this."""
    start = time.process_time()
    Protection().spans(piece * (20_000 // len(piece)))
    assert time.process_time() - start < 5


# ---- every editor -------------------------------------------------------------------------------

NEIGHBORS = {word: ["thing", "other"] for word in ("free", "name", "call", "link", "you", "buy")}
CORPUS, _ = make_corpus((40, 20))
GENERATOR = make_generator(CORPUS)


def edited_by_miso(text: str, seed: int, protection: Protection, share: float = 1.0) -> str:
    realizer = EditRealizer(GENERATOR, tokenizer(), SEGMENTER, seed=seed, protection=protection)
    source = TextEncoder(tokenizer(), SEGMENTER, 64)(text)
    return realizer([AnchorRequest(source, 1, 0, (0, 0, 0), share=share)])[0]


EDITORS: dict[str, Callable[[str, int, Protection], str]] = {
    "MISO": edited_by_miso,
    "EDA": lambda text, seed, protection: eda(
        text, SEGMENTER, np.random.default_rng(seed), 0.5, protection=protection
    ),
    "EDA with neighbours": lambda text, seed, protection: eda(
        text, SEGMENTER, np.random.default_rng(seed), 0.5, NEIGHBORS, protection
    ),
    "EDA, Chinese": lambda text, seed, protection: eda(
        text, Segmenter("zh"), np.random.default_rng(seed), 0.5, protection=protection
    ),
    "neighbours": lambda text, seed, protection: neighbor_edit(
        text, SEGMENTER, np.random.default_rng(seed), NEIGHBORS, 1.0, protection
    ),
}

pieces = st.sampled_from(
    [
        *("free", "Name", "call", "link", "you", "buy", "not", "FREE", "电话", "朋友"),
        *("[NAME]", "<a b>", "{x}", "{{call you}}", "%s", "%(name)s", "$name", "https://a.b/free"),
        *(
            "me@link.com",
            "@name",
            "#free",
            "10:30",
            "2nd",
            "`call you`",
            "```\nbuy you\n```",
            "&lt;",
        ),
        *("[", "]", "<", "{", "`", "#", "@", "%", ".", "!", " ", "  ", "\n", "\t", "-", "_"),
    ]
)
texts = st.lists(pieces, max_size=14).flatmap(
    lambda parts: st.sampled_from([" ".join(parts), "".join(parts)])
) | st.text(alphabet="abN [](){}<>%s@#.`\n5é电", max_size=40)
protections = st.sampled_from(
    [Protection(), Protection("(?i)free| call "), Protection("you", defaults=False)]
)


@pytest.mark.parametrize("editor", EDITORS)
@settings(max_examples=60, deadline=None)
@given(text=texts, seed=st.integers(0, 99), protection=protections)
def test_protected_spans_come_out_unchanged_and_in_order(
    editor: str, text: str, seed: int, protection: Protection
) -> None:
    edited = EDITORS[editor](text, seed, protection)
    place = 0
    for start, end in protection.spans(text):
        found = edited.find(text[start:end], place)
        assert found >= 0, (text, edited, text[start:end])
        place = found + end - start


@pytest.mark.parametrize("editor", EDITORS)
def test_only_free_words_change(editor: str) -> None:
    text = f"{PLACEHOLDERS} to buy free things"
    changed = 0
    for seed in range(12):
        edited = EDITORS[editor](text, seed, Protection())
        assert re.findall(r"\[.*?\]|<.*?>|{.*?}", edited) == ["[NAME]", "<PHONE>", "{link}"]
        changed += edited != text
    assert changed
    everything = Protection(".+")
    assert EDITORS[editor](text, 0, everything) == text


def test_the_filler_does_not_learn_words_of_placeholders() -> None:
    """A word that stands in protected spans alone is in no edit's vocabulary; others are."""
    encoder = TextEncoder(tokenizer(), SEGMENTER, 24)
    encoded = encoder.many(["see [museum] tonight", "your ticket at the [ticket] office"])

    def writable(protection: Protection) -> set[str]:
        tokens, is_word = output_vocabulary(encoded, tokenizer(), SEGMENTER, protection)
        return set(tokenizer().convert_ids_to_tokens(tokens[is_word].tolist()))

    free = {"see", "tonight", "your", "ticket", "at", "the", "office"}
    assert writable(Protection()) == free
    assert writable(Protection(defaults=False)) == free | {"museum"}
    assert writable(Protection("office")) == free - {"office"}


def test_a_word_that_is_protected_is_not_written() -> None:
    realizer = EditRealizer(GENERATOR, tokenizer(), SEGMENTER, protection=Protection("p.*"))
    assert realizer.word_texts
    assert not [word for word in realizer.word_texts if "p" in word]
    nothing = EditRealizer(GENERATOR, tokenizer(), SEGMENTER, protection=Protection("[a-z]"))
    source = TextEncoder(tokenizer(), SEGMENTER, 24)("see YOU there")
    assert nothing([AnchorRequest(source, 1, 0, (0, 0, 0))]) == ["see YOU there"]


def test_words_are_chosen_beside_what_is_protected() -> None:
    source = TextEncoder(tokenizer(), SEGMENTER, 24)("call [call me] now @call 5")
    request = AnchorRequest(source, 1, 0, (0, 0, 0), share=1.0)
    chosen = choose_words(request, SEGMENTER, 0)
    assert [source.word(i) for i in np.flatnonzero(chosen)] == ["call", "now"]
