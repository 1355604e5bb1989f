"""Exact and near copies of known texts, found from hashes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from hf_oversample.numeric import noise
from hf_oversample.text.checks import checked_texts
from hf_oversample.text.words import Segmenter, normalized


@lru_cache(maxsize=200_000)
def _hashed(word: str) -> int:
    return noise.stream(word)


def text_keys(texts: Sequence[str]) -> np.ndarray:
    """A hash of each text `[n]` int64: the same for texts that differ in case and spaces alone."""
    return np.asarray([_hashed(normalized(text)) for text in texts], np.int64)


def words_of(text: str, segmenter: Segmenter) -> list[str]:
    """A text's words in folded case, without punctuation and numbers."""
    folded = text.casefold()
    return [folded[a:b] for a, b in segmenter.spans(folded) if segmenter.is_word(folded[a:b])]


class CopyIndex:
    """
    Finds exact and near copies of the rows of a data set, from hashes alone (8 bytes a word and
    row).

    Exact: the same text but for case and spaces. Near: the sets of words (folded case, no
    punctuation, no numbers) have a Jaccard similarity of at least `threshold`, and differ by at
    most one word added, left out or replaced. Sets that differ by one word share the hash of the
    set without it; hashes are sums, so leaving a word out is a subtraction.

    Args:
        exact: sorted unique int64 hashes of texts.
        sets: those of word sets with each word left out in turn.
        full: those of whole word sets.
        threshold: Jaccard similarity of a near copy.
    """

    def __init__(
        self, exact: np.ndarray, sets: np.ndarray, full: np.ndarray, threshold: float = 0.8
    ):
        self.exact, self.sets, self.full, self.threshold = exact, sets, full, threshold

    @classmethod
    def build(cls, texts: Sequence[str], segmenter: Segmenter, threshold: float = 0.8) -> CopyIndex:
        """The index of n texts.

        Raises:
            ValueError: a text is null; its row is named.
        """
        texts = checked_texts(texts)
        exact = text_keys(texts)
        parts, full = [], []
        for text in texts:
            total, hashes = cls._set_hash(text, segmenter)
            full.append(total)
            parts.append(total - hashes)
        sets = np.concatenate(parts) if parts else np.empty(0, np.int64)
        return cls(
            np.unique(exact), np.unique(sets), np.unique(np.asarray(full, np.int64)), threshold
        )

    @staticmethod
    def _set_hash(text: str, segmenter: Segmenter) -> tuple[np.int64, np.ndarray]:
        hashes = np.asarray(
            [_hashed(word) for word in sorted(set(words_of(text, segmenter)))], np.int64
        )
        with np.errstate(over="ignore"):
            return hashes.sum(dtype=np.int64), hashes

    @staticmethod
    def _among(values: np.ndarray, table: np.ndarray) -> bool:
        if not len(table) or not len(values):
            return False
        places = np.minimum(np.searchsorted(table, values), len(table) - 1)
        return bool((table[places] == values).any())

    def is_copy(self, text: str) -> bool:
        """Whether a row is the same but for case and spaces."""
        return self._among(text_keys([text]), self.exact)

    def is_near_copy(self, text: str, segmenter: Segmenter) -> bool:
        """Whether a row has the same words, or all but one added, left out or replaced."""
        total, hashes = self._set_hash(text, segmenter)
        n = len(hashes)
        if not n:
            return False
        whole = np.asarray([total], np.int64)
        if self._among(whole, self.full):
            return True
        with np.errstate(over="ignore"):
            without = total - hashes
        added = (n - 1) / n >= self.threshold and self._among(without, self.full)
        left_out = n / (n + 1) >= self.threshold and self._among(whole, self.sets)
        replaced = (n - 1) / (n + 1) >= self.threshold and self._among(without, self.sets)
        return added or left_out or replaced
