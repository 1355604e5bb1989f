"""How anchors are written: the same for every batch, and nothing but the chosen words changes."""

from __future__ import annotations

import copy
import itertools
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hf_oversample.models.miso.modeling_miso import MisoForAnchorGeneration
from hf_oversample.models.miso.realizers import (
    AnchorRequest,
    EditRealizer,
    GenerateRealizer,
    choose_words,
    match_case,
)
from hf_oversample.text.protection import DEFAULT_PROTECTION
from hf_oversample.text.words import is_negation
from miso_fixtures import (
    SEGMENTER,
    encode,
    make_corpus,
    make_generator,
    tokenizer,
    trained_generator_folder,
)

TEXTS, LABELS = make_corpus((14, 10), seed=3)
MINORITY = [text for text, label in zip(TEXTS, LABELS, strict=True) if label == 1]


@lru_cache(maxsize=1)
def trained() -> MisoForAnchorGeneration:
    return MisoForAnchorGeneration.from_pretrained(trained_generator_folder()).eval()


def edit_realizer(**options: Any) -> EditRealizer:
    return EditRealizer(trained(), tokenizer(), SEGMENTER, **options)


def requests_for(texts: list[str], **options: Any) -> list[AnchorRequest]:
    options = {"label": 1, "avoid": 0, **options}
    return [
        AnchorRequest(source, key=(row, 0, 0), **options)
        for row, source in enumerate(encode(texts))
    ]


# ---- the same anchors for any batch -------------------------------------------------------------

REALIZERS = {
    "edit": lambda **options: EditRealizer(trained(), tokenizer(), SEGMENTER, seed=5, **options),
    "edit with z": lambda **options: EditRealizer(
        trained(), tokenizer(), SEGMENTER, seed=5, use_latent=True, **options
    ),
    "edit in two rounds, unguided": lambda **options: EditRealizer(
        trained(), tokenizer(), SEGMENTER, seed=5, rounds=2, guidance=0.0, **options
    ),
    "generate": lambda **options: GenerateRealizer(
        trained(), tokenizer(), SEGMENTER, seed=5, max_new_tokens=12, **options
    ),
    "generate, the most likely": lambda **options: GenerateRealizer(
        trained(), tokenizer(), SEGMENTER, temperature=0.0, max_new_tokens=12, **options
    ),
}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", REALIZERS)
def test_same_anchors_for_every_batch(name: str, precision: str) -> None:
    requests = requests_for(TEXTS)
    expected = REALIZERS[name](precision=precision)(requests)
    # rounding makes more of the most likely tokens the same
    assert len(set(expected)) > (4 if precision == "float32" else 3)
    for budget in (1, 60, 100_000):
        assert REALIZERS[name](precision=precision, token_budget=budget)(requests) == expected
    realizer = REALIZERS[name](precision=precision)
    assert [text for request in requests for text in realizer([request])] == expected
    threes = [realizer(requests[start : start + 3]) for start in range(0, len(requests), 3)]
    assert [text for part in threes for text in part] == expected
    order = np.random.default_rng(0).permutation(len(requests))
    shuffled = realizer([requests[i] for i in order])
    assert [shuffled[place] for place in np.argsort(order)] == expected
    assert realizer([]) == []


def test_two_decoders_avoid_targets_and_others_in_one_batch() -> None:
    """Of three classes, a text may have to keep away from another target class."""
    model = make_generator(TEXTS, classes=3, targets=(1, 2), share_decoder=False, use_sfm=False)
    sources = encode(TEXTS)
    classes = [(1, 0), (1, 2), (2, 0), (2, 1), (1, 2)]
    requests = [
        AnchorRequest(sources[row], label, avoid, key=(row, 0, 0))
        for row, (label, avoid) in enumerate(classes)
    ]
    realizer = GenerateRealizer(model.eval(), tokenizer(), SEGMENTER, seed=5, max_new_tokens=8)
    written = realizer(requests)
    assert written == [text for request in requests for text in realizer([request])]
    assert written[::-1] == realizer(requests[::-1])
    assert len(set(written)) == len(written)


@pytest.mark.parametrize("name", ["edit", "generate"])
def test_anchors_depend_on_seed_key_and_class(name: str) -> None:
    requests = requests_for(TEXTS)
    expected = REALIZERS[name]()(requests)
    other_seed = REALIZERS[name]()
    other_seed.seed = 6
    assert other_seed(requests) != expected
    for part in range(3):
        keys = [tuple(value + (i == part) for i, value in enumerate(r.key)) for r in requests]
        moved = [
            AnchorRequest(r.source, r.label, r.avoid, key)
            for r, key in zip(requests, keys, strict=True)
        ]
        assert REALIZERS[name]()(moved) != expected
    assert REALIZERS[name]()(requests_for(TEXTS, avoid=1)) != expected
    if name == "edit":  # there is no z of a class that was not trained as a target
        assert REALIZERS[name]()(requests_for(TEXTS, label=0, avoid=1)) != expected
    else:
        with pytest.raises(ValueError, match="no reference pairs for class 'ham'"):
            REALIZERS[name]()(requests_for(TEXTS, label=0))


def foreign_share(realizer: Any) -> float:
    """The share of words that minority texts never use, in edits of all words of majority texts."""
    sources = [text for text, label in zip(TEXTS, LABELS, strict=True) if label == 0]
    majority, _ = make_corpus((200, 0))
    minority, _ = make_corpus((0, 200))
    own = {word for text in minority for word in text.lower().split()}
    foreign = {word for text in majority for word in text.lower().split()} - own
    requests = [
        AnchorRequest(source, 1, 0, (row, child, 0), share=1.0)
        for row, source in enumerate(encode(sources))
        for child in range(4)
    ]
    words = [word for text in realizer(requests) for word in text.lower().split()]
    return sum(word in foreign for word in words) / len(words)


@pytest.mark.parametrize("name", ["edit", "edit with z", "generate"])
def test_guidance_leads_to_the_class(name: str) -> None:
    """Words that the other class uses become rarer as guidance grows."""
    shares = []
    for guidance in (0.0, 3.0):
        realizer = REALIZERS[name]()
        realizer.guidance = guidance
        shares.append(foreign_share(realizer))
    assert shares[1] < 0.8 * shares[0]


def test_guidance_does_not_need_a_latent_that_leaves_the_class_open() -> None:
    """A z that decides what is written, its class too, leaves the class embedding nothing to say:
    guidance leads to the class all the same."""
    model = copy.deepcopy(trained())
    with torch.no_grad():
        model.latent_to_hidden.weight *= 50
    shares = []
    for guidance in (0.0, 1.0):
        realizer = EditRealizer(
            model, tokenizer(), SEGMENTER, seed=5, use_latent=True, guidance=guidance
        )
        shares.append(foreign_share(realizer))
    assert shares[1] < 0.7 * shares[0]


def test_a_class_may_be_withheld() -> None:
    told, untold = (edit_realizer(use_class=flag, guidance=0.0) for flag in (True, False))
    assert told(requests_for(TEXTS)) != untold(requests_for(TEXTS))
    # without class and guidance, the wanted class makes no difference
    assert untold(requests_for(TEXTS)) == untold(requests_for(TEXTS, label=0))


def test_greedy_edits_do_not_depend_on_the_key() -> None:
    realizer = edit_realizer(temperature=0.0, rounds=1)
    one, two = (
        AnchorRequest(encode(MINORITY)[0], 1, 0, (0, child, 0), share=1.0) for child in (0, 1)
    )
    assert realizer([one]) == realizer([two])


# ---- several drafts of one reading --------------------------------------------------------------


def test_drafts_of_one_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """The filler reads once for all of them; they replace the same words, and the first is what a
    call gives."""
    requests, realizer = requests_for(TEXTS, share=0.6), edit_realizer(seed=5)
    expected = realizer(requests)
    read: list[int] = []
    states = MisoForAnchorGeneration.fill_states

    def counted(self: Any, ids: Any, *arguments: Any) -> Any:
        read.append(ids.numel())
        return states(self, ids, *arguments)

    monkeypatch.setattr(MisoForAnchorGeneration, "fill_states", counted)
    assert realizer(requests) == expected
    once = sum(read)
    read.clear()
    drafts = realizer.drafts(requests, 4)
    assert sum(read) == once
    assert [texts[0] for texts in drafts] == expected
    assert len({text for texts in drafts for text in texts}) > len(set(expected))
    for request, texts in zip(requests, drafts, strict=True):
        chosen = choose_words(request, SEGMENTER, 5)
        assert all(reconstructed(request, chosen, text) is not None for text in texts)
    # the same for every batch and however many are asked for
    small = edit_realizer(seed=5, token_budget=1)
    assert [small.drafts([request], 2)[0] for request in requests] == [t[:2] for t in drafts]


def test_later_drafts_lead_further_away() -> None:
    realizer = edit_realizer(seed=5)
    shares = []
    for draft in (0, 3):

        def one(requests: list[AnchorRequest], draft: int = draft) -> list[str]:
            return [texts[draft] for texts in realizer.drafts(requests, 4)]

        shares.append(foreign_share(one))
    assert shares[1] < 0.8 * shares[0]


@pytest.mark.parametrize(("rounds", "number"), [(1, 0), (1, 5), (2, 2)])
def test_a_reading_gives_so_many_drafts(rounds: int, number: int) -> None:
    """The second round of a draft reads the words of its first."""
    with pytest.raises(ValueError, match=rf"{number} drafts were asked .*rounds is {rounds}"):
        edit_realizer(rounds=rounds).drafts(requests_for(TEXTS[:1]), number)


@pytest.mark.parametrize("rounds", [1, 2])
def test_no_word_is_written_beside_itself(rounds: int) -> None:
    """However likely it is, and whatever punctuation stands between."""
    model = copy.deepcopy(trained())
    realizer = EditRealizer(model, tokenizer(), SEGMENTER, rounds=rounds, temperature=0.0)
    place = realizer.word_texts.index("free")
    with torch.no_grad():
        model.output_bias[realizer.word_places[place]] += 100.0
    realizer.guidance = 0.0
    texts = ["win a phone, tonight at the station", "Free! phone", "phone - FREE", "phone prize"]
    written = realizer(requests_for(texts, share=1.0))
    kept = realizer(requests_for(["phone 2 FREE"], share=0.01))
    assert written[1:3] != texts[1:3]
    for text in written + kept:
        words = [word for word in SEGMENTER.words(text.lower()) if SEGMENTER.is_word(word)]
        assert "free" in words
        assert all(a != b for a, b in itertools.pairwise(words)), text


# ---- edits change the chosen words alone --------------------------------------------------------

KNOWN = ["free", "prize", "call", "station", "won", "Phone", "WIN", "sister", "tonight"]
KEPT = ["not", "NO", "can't", "won’t", "never", "8007", "£5.50", "2nd", "www.a.com/x", "x@y.org"]
PIECES = [*KNOWN, *KEPT, "café", "naïve", "...", "!!", ",", "(", "—", "😀", "👍🏽", "½", "\u200b"]
texts = st.lists(
    st.tuples(st.sampled_from(PIECES), st.sampled_from([" ", "  ", "\t", "\n", "\u00a0", ""])),
    min_size=1,
    max_size=9,
).map(lambda parts: "".join(piece + space for piece, space in parts))


def reconstructed(request: AnchorRequest, chosen: np.ndarray, anchor: str) -> list[str] | None:
    """What stands in the places of the chosen words, if all else is as it was."""
    import re

    source, pattern, end = request.source, "", 0
    for word in np.flatnonzero(chosen):
        start, stop = source.spans[word]
        pattern += re.escape(source.text[end:start]) + r"(\S+?)"
        end = stop
    found = re.fullmatch(pattern + re.escape(source.text[end:]), anchor, re.DOTALL)
    return None if found is None else list(found.groups())


@settings(deadline=None, max_examples=60)
@given(
    text=texts,
    share=st.sampled_from([0.01, 0.35, 1.0]),
    key=st.tuples(st.integers(0, 50), st.integers(0, 3), st.integers(0, 3)),
)
def test_only_chosen_words_change(text: str, share: float, key: tuple[int, int, int]) -> None:
    assume(text.strip())
    source = encode([text])[0]
    request = AnchorRequest(source, 1, 0, key, share=share)
    chosen = choose_words(request, SEGMENTER, 0)
    (anchor,) = edit_realizer()([request])
    words = reconstructed(request, chosen, anchor)
    assert words is not None, (text, anchor)
    if not chosen.any():
        assert anchor == text
    for place, word in zip(np.flatnonzero(chosen), words, strict=True):
        old = source.word(place)
        assert SEGMENTER.is_word(old)
        assert not is_negation(old)
        assert SEGMENTER.is_word(word)
        if len(old) > 1 and old.isupper():
            assert word.isupper()
        elif old[:1].isupper():
            assert word[:1].isupper()
    for kept in KEPT:  # the filler may write such a word itself, but takes none away
        assert anchor.split().count(kept) >= text.split().count(kept)


@settings(deadline=None, max_examples=60)
@given(text=texts, share=st.floats(0, 1), seed=st.integers(0, 9), child=st.integers(0, 5))
def test_number_of_chosen_words(text: str, share: float, seed: int, child: int) -> None:
    source = encode([text])[0]
    request = AnchorRequest(source, 1, 0, (0, child, 0), share=share)
    chosen = choose_words(request, SEGMENTER, seed)
    assert chosen.shape == (len(source.spans),)
    words = [source.word(i) for i in range(len(source.spans))]
    kept = DEFAULT_PROTECTION.spans(text)  # addresses, numbers and the like stay
    free = [not any(a < stop and start < b for a, b in kept) for start, stop in source.spans]
    editable = [
        is_free and SEGMENTER.is_word(word) and not is_negation(word)
        for is_free, word in zip(free, words, strict=True)
    ]
    assert not (chosen & ~np.asarray(editable, bool)).any()
    expected = max(1, round(share * sum(editable))) if any(editable) else 0
    assert chosen.sum() == expected


def test_weights_say_which_words_are_chosen() -> None:
    source = encode(["win a free phone at the station tonight"])[0]
    weights = np.zeros(8)
    weights[[2, 3]] = 50.0
    for child in range(20):
        request = AnchorRequest(source, 1, 0, (0, child, 0), weights, share=0.25)
        assert np.flatnonzero(choose_words(request, SEGMENTER, 0)).tolist() == [2, 3]
    equal = [
        choose_words(AnchorRequest(source, 1, 0, (0, child, 0), share=0.25), SEGMENTER, 0)
        for child in range(200)
    ]
    counts = np.sum(equal, axis=0)
    assert counts.sum() == 400
    assert counts.min() > 25  # 50 each, if all are as likely


def test_words_past_the_longest_length_stay() -> None:
    text = " ".join(["free phone"] * 30) + " The END"
    (anchor,) = edit_realizer()(requests_for([text], share=1.0))
    kept = encode([text])[0]
    assert len(kept) == 24
    end = kept.spans[-1][1]
    assert anchor[-len(text[end:]) :] == text[end:]
    assert anchor.split()[:22] != text.split()[:22]


def test_nothing_to_replace() -> None:
    texts = ["8007 8712", "not !", "...", "no 😀"]
    assert edit_realizer()(requests_for(texts)) == texts


@pytest.mark.parametrize(
    ("word", "pattern", "expected"),
    [
        ("phone", "WIN", "PHONE"),
        ("phone", "Win", "Phone"),
        ("phone", "win", "phone"),
        ("phone", "I", "Phone"),
        ("phone", "wIN", "phone"),
        ("éa", "ÉA", "ÉA"),
        ("", "Win", ""),
    ],
)
def test_match_case(word: str, pattern: str, expected: str) -> None:
    assert match_case(word, pattern) == expected


def test_without_splicing_the_surface_is_lost() -> None:
    texts = ["Win  a FREE phone,now !"]
    spliced, decoded = (
        edit_realizer(splice=flag)(requests_for(texts))[0] for flag in (True, False)
    )
    assert spliced.startswith("Win  ") or "  " in spliced
    assert decoded == decoded.lower()
    assert "  " not in decoded
    assert SEGMENTER.words(spliced.lower()) == SEGMENTER.words(decoded)


def test_fills_are_whole_words_of_the_training_texts() -> None:
    known = {word.lower() for text in make_corpus((120, 30))[0] for word in SEGMENTER.words(text)}
    realizer = edit_realizer()
    assert set(realizer.word_texts) <= known
    assert all(SEGMENTER.is_word(word) for word in realizer.word_texts)


def test_a_generator_without_words_is_refused() -> None:
    model = make_generator(["win a phone", "see you"])
    model.is_word_token.zero_()
    with pytest.raises(ValueError, match="knows no whole word: call set_output_tokens"):
        EditRealizer(model, tokenizer(), SEGMENTER)


def test_generated_texts_stop_and_are_bounded() -> None:
    made = REALIZERS["generate"]()(requests_for(TEXTS))
    special = tokenizer().all_special_tokens
    for text in made:
        assert 0 < len(text.split()) <= 12
        assert not any(token in text for token in special)
    assert any(len(SEGMENTER.words(text)) < 11 for text in made)  # some end by themselves
