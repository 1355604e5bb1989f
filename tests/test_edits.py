from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_oversample.text.edits import eda, neighbor_edit, word_neighbors
from hf_oversample.text.words import Segmenter

ENGLISH = Segmenter("en")
NEIGHBORS = {"food": ["meal"], "good": ["great", "fine"], "not": ["now"]}
TEXT = "  The Food was not  good, it 's\tGOOD at £10 !!"


def words_of(text):
    return [word for word in ENGLISH.words(text) if ENGLISH.is_word(word)]


class TestNeighborEdit:
    def test_splices_whole_words_in_their_case(self):
        rng = np.random.default_rng(0)
        edited = neighbor_edit(TEXT, ENGLISH, rng, {"food": ["meal"], "good": ["fine"]}, share=1.0)
        assert edited == "  The Meal was not  fine, it 's\tFINE at £10 !!"

    def test_share_of_the_words(self):
        text = "good " * 10
        edited = neighbor_edit(text, ENGLISH, np.random.default_rng(0), {"good": ["fine"]}, 0.3)
        assert edited.count("fine") == 3
        assert edited.replace("fine", "good") == text

    def test_negations_and_unknown_words_are_left(self):
        rng = np.random.default_rng(0)
        assert neighbor_edit("not here", ENGLISH, rng, {"not": ["now"]}) == "not here"
        with pytest.raises(ValueError, match="share=0"):
            neighbor_edit("a", ENGLISH, rng, {}, share=0)


class TestEda:
    @settings(max_examples=100, deadline=None)
    @given(text=st.text(alphabet="ab cd.,'é我\n", max_size=40), seed=st.integers(0, 99))
    def test_depends_on_its_generator_alone_and_keeps_what_is_no_word(self, text, seed):
        for segmenter in (ENGLISH, Segmenter("zh")):
            edited = eda(text, segmenter, np.random.default_rng(seed), alpha=0.3)
            assert edited == eda(text, segmenter, np.random.default_rng(seed), alpha=0.3)
            marks = [character for character in text if character in ".,\n"]
            assert [character for character in edited if character in ".,\n"] == marks

    def test_every_operation_is_seen(self):
        counts = Counter()
        original = Counter(words_of(TEXT))
        for seed in range(60):
            edited = eda(
                TEXT, ENGLISH, np.random.default_rng(seed), alpha=0.15, neighbors=NEIGHBORS
            )
            words = words_of(edited)
            if len(words) < original.total():
                kind = "deletion"
                assert not Counter(words) - original
            elif len(words) > original.total():
                kind = "insertion"
                assert not original - Counter(words)
            elif Counter(words) == original:
                kind = "swap"
            else:
                kind = "replacement"
                assert set(Counter(words) - original) <= {"Meal", "great", "fine", "GREAT", "FINE",
                                                          "now"}  # fmt: skip
            counts[kind] += 1
            assert edited.endswith("£10 !!")
        assert min(counts.values()) >= 5
        assert len(counts) == 4

    def test_without_neighbors_no_new_word_appears(self):
        for seed in range(30):
            edited = eda(TEXT, ENGLISH, np.random.default_rng(seed))
            assert set(words_of(edited)) <= set(words_of(TEXT))

    def test_deleted_words_leave_no_double_space(self):
        for seed in range(40):
            edited = eda("one two three", ENGLISH, np.random.default_rng(seed))
            assert edited == " ".join(edited.split())

    def test_short_texts_and_bad_alpha(self):
        rng = np.random.default_rng(0)
        assert eda("hello!", ENGLISH, rng) == "hello!"
        with pytest.raises(ValueError, match="alpha=2"):
            eda("a b", ENGLISH, rng, alpha=2)


class TestWordNeighbors:
    def test_by_cosine_nearest_first(self):
        words = ["good", "great", "fine", "bad", "10", "none"]
        vectors = [[1, 0], [2, 0.1], [1, 0.5], [-1, 0], [1, 0], [0, 0]]
        found = word_neighbors(words, vectors, ENGLISH, k=2, min_similarity=0.5)
        assert found == {
            "good": ["great", "fine"],
            "great": ["good", "fine"],
            "fine": ["great", "good"],
        }
        assert word_neighbors(words, vectors, ENGLISH, k=1)["good"] == ["great"]

    def test_too_few_words_and_bad_shape(self):
        assert word_neighbors(["good", "1"], [[1.0], [1.0]], ENGLISH) == {}
        with pytest.raises(ValueError, match="1 words, but vectors"):
            word_neighbors(["good"], [[1.0], [1.0]], ENGLISH)
