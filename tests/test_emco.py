"""EMCO: its chains are the authors', and its texts keep what every oversampler promises."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_oversample import EmcoOversampler, Oversampler
from hf_oversample.comparison.remedies import REMEDIES
from hf_oversample.comparison.resampling import emco_texts
from hf_oversample.text.markov import MarkovChain
from hf_oversample.text.words import Segmenter
from miso_fixtures import CLASS_NAMES, make_corpus
from test_comparison_fold import make_fold

OWN = [text.split() for text in ("win a prize now", "win a free phone")]
OTHERS = [text.split() for text in ("see a friend tonight at home", "call me now or later")]
GAP = "<gap>"
TEXTS = st.lists(st.lists(st.sampled_from("abcdef"), max_size=6), max_size=6)


def as_dict(chain: MarkovChain) -> dict[str, dict[str, float]]:
    """From each state to each: its chance."""
    states = [*chain.words, GAP]
    table = chain.probabilities.toarray()
    rows = {word: table[min(code, chain.own)] for code, word in enumerate(chain.words)}
    rows[GAP] = table[chain.own + 1]
    return {
        start: {states[end]: float(row[end]) for end in np.flatnonzero(row)}
        for start, row in rows.items()
    }


def by_definition(
    own: list[list[str]], others: list[list[str]], gamma: float
) -> dict[str, dict[str, float]]:
    """The same, step by step as the authors define it."""
    weights: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    known = Counter(word for text in own for word in text)
    for text in filter(None, own):
        weights[GAP][text[0]] += 1
        weights[text[-1]][GAP] += 1
        for first, second in pairwise(text):
            if first != second:
                weights[first][second] += 1
    for text in others:
        for first, second in pairwise(text):
            if first in known and first != second and gamma:
                weights[first][second] += gamma
        for word in text:
            if word not in known and gamma:
                weights[word] = dict(known)  # type: ignore[assignment]  # counts
    return {
        start: {end: weight / sum(row.values()) for end, weight in row.items()}
        for start, row in weights.items()
    }


@settings(max_examples=150, deadline=None)
@given(own=TEXTS.filter(any), others=TEXTS, gamma=st.sampled_from([0.0, 0.25, 1.0, 3.0]))
def test_chances_are_those_of_the_definition(
    own: list[list[str]], others: list[list[str]], gamma: float
) -> None:
    chain = MarkovChain.fit(own, others, gamma)
    np.testing.assert_allclose(chain.probabilities.sum(axis=1), 1)
    found, wanted = as_dict(chain), by_definition(own, others, gamma)
    assert found.keys() == wanted.keys()
    for state, row in wanted.items():
        assert found[state] == pytest.approx(row), state


def test_without_gamma_the_chain_is_the_classs_own() -> None:
    alone, none = MarkovChain.fit(OWN, [], 1.0), MarkovChain.fit(OWN, OTHERS, 0.0)
    assert alone.words == none.words
    assert (alone.probabilities != none.probabilities).nnz == 0
    lengths = np.full(50, 6)
    assert alone.sample(lengths, 3, np.arange(50)) == none.sample(lengths, 3, np.arange(50))


def test_with_gamma_words_of_others_alone_are_reached_after_words_of_the_class() -> None:
    def words(gamma: float) -> set[str]:
        texts = MarkovChain.fit(OWN, OTHERS, gamma).sample(np.full(400, 5), 0, np.arange(400))
        return {word for text in texts for word in text}

    own = {word for text in OWN for word in text}
    assert words(0.0) == own
    # "a" and "now" are the class's, too; nothing leads to the other words
    assert words(1.0) == own | {"friend", "or"}
    chain = as_dict(MarkovChain.fit(OWN, OTHERS, 1.0))
    assert chain["a"] == pytest.approx({"prize": 1 / 3, "free": 1 / 3, "friend": 1 / 3})
    assert chain["friend"] == pytest.approx(
        {"win": 2 / 8, "a": 2 / 8, "prize": 1 / 8, "now": 1 / 8, "free": 1 / 8, "phone": 1 / 8}
    )
    assert chain[GAP] == {"win": 1.0}


@settings(max_examples=50, deadline=None)
@given(
    own=TEXTS.filter(any),
    others=TEXTS,
    lengths=st.lists(st.integers(1, 9), max_size=12),
    seed=st.integers(0, 5),
)
def test_a_text_has_its_length_and_is_a_function_of_its_counters_alone(
    own: list[list[str]], others: list[list[str]], lengths: list[int], seed: int
) -> None:
    chain = MarkovChain.fit(own, others)
    wanted, rows = np.asarray(lengths, np.int64), np.arange(len(lengths)) * 7
    texts = chain.sample(wanted, seed, rows, rows % 3)
    assert [len(text) for text in texts] == lengths
    chances = as_dict(chain)
    for text in texts:
        assert text[0] in chances[GAP]
        for first, second in pairwise(text):
            # on, or over the end to a new beginning
            assert second in chances[first] or (GAP in chances[first] and second in chances[GAP])
    order = np.random.default_rng(seed).permutation(len(lengths))[: len(lengths) // 2 + 1]
    some = chain.sample(wanted[order], seed, rows[order], rows[order] % 3)
    assert some == [texts[place] for place in order]


def test_words_are_drawn_as_often_as_their_chances_say() -> None:
    chain = MarkovChain.fit(OWN, OTHERS, 2.0)
    steps: Counter[tuple[str, str]] = Counter()
    for text in chain.sample(np.full(3000, 4), 1, np.arange(3000)):
        steps.update(pairwise(text))
    after_a = {end: n for (start, end), n in steps.items() if start == "a"}
    total = sum(after_a.values())
    for word, chance in as_dict(chain)["a"].items():
        assert after_a[word] / total == pytest.approx(chance, abs=0.03), word


@pytest.mark.parametrize("gamma", [-1.0, float("nan"), float("inf")])
def test_a_gamma_that_cannot_weigh(gamma: float) -> None:
    with pytest.raises(ValueError, match="gamma"):
        MarkovChain.fit(OWN, OTHERS, gamma)
    with pytest.raises(ValueError, match="gamma"):
        EmcoOversampler(gamma=gamma)


def test_a_chain_needs_words_and_a_text_a_length() -> None:
    with pytest.raises(ValueError, match="no text with a word"):
        MarkovChain.fit([[], []], OTHERS)
    with pytest.raises(ValueError, match="lengths has 0"):
        MarkovChain.fit(OWN, OTHERS).sample(np.array([3, 0]), 0, np.arange(2))


# ---- as an oversampler ---------------------------------------------------------------------------


def corpus(counts: tuple[int, ...] = (30, 9)) -> Dataset:
    texts, labels = make_corpus(counts)
    dataset = Dataset.from_dict({"text": texts, "label": labels})
    return dataset.cast_column("label", ClassLabel(names=list(CLASS_NAMES[: len(counts)])))


@settings(max_examples=12, deadline=None)
@given(
    counts=st.tuples(st.integers(8, 14), st.integers(1, 7), st.integers(1, 7)),
    added=st.integers(0, 12),
    gamma=st.sampled_from([0, 0.5, 1.0]),
    seed=st.integers(0, 3),
)
def test_counts_are_exact_and_texts_are_as_long_as_their_parents(
    counts: tuple[int, int, int], added: int, gamma: float, seed: int
) -> None:
    dataset = corpus(counts)
    strategy = {"spam": counts[1] + added, "news": counts[2] + 3}
    options: dict[str, Any] = {"sampling_strategy": strategy, "gamma": gamma, "seed": seed}
    balanced = EmcoOversampler(**options).balance(dataset)
    assert Counter(balanced["label"]) == {0: counts[0], 1: counts[1] + added, 2: counts[2] + 3}
    words = Segmenter("en").words
    real = [tuple(words(text)) for text in dataset["text"]]
    for row in balanced.select(range(len(dataset), len(balanced))):
        assert row["label"] == dataset["label"][row["parent"]]
        assert len(words(row["text"])) == len(real[row["parent"]])
        if row["origin"] == 2:
            assert row["text"] == dataset["text"][row["parent"]]
        else:
            assert row["text"] not in dataset["text"][:]
            assert row["text"].strip()
    again = EmcoOversampler(**options).fit(dataset)
    made = balanced.select(range(len(dataset), len(balanced)))
    assert again.children(dataset, batch_size=2)["text"][:] == made["text"][:]
    if gamma == 0:
        for code in (1, 2):
            own = {
                w
                for t, label in zip(real, dataset["label"], strict=True)
                for w in t
                if label == code
            }
            texts = [row["text"] for row in made if row["label"] == code]
            assert {w for text in texts for w in words(text)} <= own
        assert set(again.new_words_share_.values()) <= {0.0}


def test_a_class_of_one_text_gets_no_other_without_the_others() -> None:
    dataset = Dataset.from_dict(
        {
            "text": ["win a prize now", *(f"see you {n} a day" for n in range(5))],
            "label": [1] + [0] * 5,
        }
    )
    copies = EmcoOversampler(gamma=0).balance(dataset)
    assert copies["text"][6:] == ["win a prize now"] * 4
    assert copies["origin"][6:] == [2] * 4
    assert copies["parent"][6:] == [0] * 4
    grown = EmcoOversampler(gamma=1.0)
    assert "day" in " ".join(grown.balance(dataset)["text"][6:])
    assert grown.new_words_share_["1"] > 0


def test_texts_of_one_word_are_refused() -> None:
    dataset = Dataset.from_dict(
        {"text": ["yes", "no", *["call me back"] * 5], "label": [1] * 2 + [0] * 5}
    )
    with pytest.raises(ValueError, match="each text of class '1' in column 'text' is one word"):
        EmcoOversampler().fit(dataset)
    # the class that does not grow may have such
    grown = EmcoOversampler(sampling_strategy={0: 7}).balance(dataset)
    assert len(grown) == 9


def test_chinese_texts_and_a_users_words(tmp_path: Path) -> None:
    texts = [f"股市第{n}天上涨了很多" for n in range(12)] + ["婆婆说了一个故事", "婆婆讲故事给我听"]
    dataset = Dataset.from_dict({"text": texts, "label": [0] * 12 + [1] * 2})
    (tmp_path / "words.txt").write_text("婆婆说了\n", encoding="utf-8")
    oversampler = EmcoOversampler(user_dictionary=tmp_path / "words.txt")
    balanced = oversampler.balance(dataset)
    assert Counter(balanced["label"]) == {0: 12, 1: 12}
    assert all(" " not in text for text in balanced["text"])
    oversampler.save_pretrained(tmp_path / "saved")
    loaded = Oversampler.from_pretrained(tmp_path / "saved")
    assert isinstance(loaded, EmcoOversampler)
    assert loaded.new_words_share_ == oversampler.new_words_share_
    assert loaded.children(dataset)["text"][:] == balanced["text"][14:]


def test_the_remedy_makes_as_many_texts_as_edits_of_the_rare_class() -> None:
    fold = make_fold((60, 16))
    made = emco_texts(fold, 0)
    assert set(made.labels) == {1}
    assert len(made) == min(10 * fold.counts[1], fold.counts[0] - fold.counts[1])
    assert made.texts == emco_texts(fold, 0).texts != emco_texts(fold, 1).texts
    known = {word for text in fold.train.texts for word in fold.segmenter.words(text)}
    own = {
        word
        for text, label in zip(fold.train.texts, fold.train.labels, strict=True)
        for word in fold.segmenter.words(text)
        if label == 1
    }
    used = {word for text in made.texts for word in fold.segmenter.words(text)}
    assert used <= known
    assert not used <= own
    assert REMEDIES["EMCO"].texts is not None
    assert REMEDIES["EMCO"].texts(fold, 0).texts == made.texts
