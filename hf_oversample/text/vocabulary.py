"""Which words a collection of texts has, kept as hashes: 8 bytes a word."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np

from hf_oversample.text.copies import text_keys, words_of
from hf_oversample.text.words import Segmenter


@dataclass(frozen=True, eq=False)
class KnownWords:
    """
    The words of texts, in folded case; punctuation, numbers and addresses are none.

    Args:
        hashes: sorted int64, one a word.
    """

    hashes: np.ndarray

    @classmethod
    def of(cls, texts: Iterable[str], segmenter: Segmenter) -> Self:
        """Those of texts."""
        words = {word for text in texts for word in words_of(text, segmenter)}
        return cls(np.unique(text_keys(sorted(words))))

    def unknown(self, text: str, segmenter: Segmenter) -> list[str]:
        """The text's words that are not among them, each once, in order."""
        words = list(dict.fromkeys(words_of(text, segmenter)))
        keys = text_keys(words)
        # they are sorted, which `np.isin` does not know
        places = np.searchsorted(self.hashes, keys)
        known = np.append(self.hashes, 0)[places] == keys
        is_known = (known & (places < len(self.hashes))).tolist()
        return [word for word, known in zip(words, is_known, strict=True) if not known]
