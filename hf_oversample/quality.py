"""The quality gate: which generated texts are kept, and why the others are not."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from sklearn.linear_model import LogisticRegression

from hf_oversample import noise
from hf_oversample.text import Segmenter, normalized

REASONS = ("unchanged", "empty", "repeats", "copy", "near copy", "sibling", "wrong class")


@lru_cache(maxsize=200_000)
def _hashed(word: str) -> int:
    return noise.stream(word)


def words_of(text: str, segmenter: Segmenter) -> list[str]:
    """A text's words in folded case, without punctuation and numbers."""
    folded = text.casefold()
    return [folded[a:b] for a, b in segmenter.spans(folded) if segmenter.is_word(folded[a:b])]


class CopyIndex:
    """
    Finds exact and near copies of the rows of a data set, from hashes alone (8 bytes a word and row).

    Exact: the same text but for case and spaces. Near: the sets of words (folded case, no punctuation, no numbers)
    have a Jaccard similarity of at least `threshold`, and differ by at most one word added, left out or replaced. Sets
    that differ by one word share the hash of the set without it; hashes are sums, so leaving a word out is a
    subtraction.

    Args:
        exact, sets: sorted unique int64 hashes of texts, and of word sets with each word left out in turn.
        threshold: Jaccard similarity of a near copy.
    """

    def __init__(self, exact: np.ndarray, sets: np.ndarray, full: np.ndarray, threshold: float = 0.8):
        self.exact, self.sets, self.full, self.threshold = exact, sets, full, threshold

    @classmethod
    def build(cls, texts: Sequence[str], segmenter: Segmenter, threshold: float = 0.8) -> CopyIndex:
        exact = np.asarray([_hashed(normalized(text)) for text in texts], np.int64)
        parts, full = [], []
        for text in texts:
            total, hashes = cls._set_hash(text, segmenter)
            full.append(total)
            parts.append(total - hashes)
        sets = np.concatenate(parts) if parts else np.empty(0, np.int64)
        return cls(np.unique(exact), np.unique(sets), np.unique(np.asarray(full, np.int64)), threshold)

    @staticmethod
    def _set_hash(text: str, segmenter: Segmenter) -> tuple[np.int64, np.ndarray]:
        hashes = np.asarray([_hashed(word) for word in sorted(set(words_of(text, segmenter)))], np.int64)
        with np.errstate(over="ignore"):
            return hashes.sum(dtype=np.int64), hashes

    @staticmethod
    def _among(values: np.ndarray, table: np.ndarray) -> bool:
        if not len(table) or not len(values):
            return False
        places = np.minimum(np.searchsorted(table, values), len(table) - 1)
        return bool((table[places] == values).any())

    def is_copy(self, text: str) -> bool:
        return self._among(np.asarray([_hashed(normalized(text))], np.int64), self.exact)

    def is_near_copy(self, text: str, segmenter: Segmenter) -> bool:
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


def is_degenerate(text: str, source: str, segmenter: Segmenter) -> bool:
    """A word twice in a row, or one word more than twice as often as in the source and in over a third of the text."""
    words, before = words_of(text, segmenter), words_of(source, segmenter)
    doubled = {a for a, b in zip(before, before[1:], strict=False) if a == b}
    if any(a == b and a not in doubled for a, b in zip(words, words[1:], strict=False)):
        return True
    for word in set(words):
        count = words.count(word)
        if count > 2 and count > 2 * before.count(word) and count > len(words) / 3:
            return True
    return False


def surface_reason(text: str, source: str, index: CopyIndex, segmenter: Segmenter) -> str | None:
    """Why a text is rejected for its surface, or None: one of `REASONS`."""
    if not text.strip() or not words_of(text, segmenter):
        return "empty"
    if normalized(text) == normalized(source):
        return "unchanged"
    if is_degenerate(text, source, segmenter):
        return "repeats"
    if index.is_copy(text):
        return "copy"
    if index.is_near_copy(text, segmenter):
        return "near copy"
    return None


class LinearJudge:
    """
    Balanced logistic regression on embeddings: the class that a text seems to be of, and how its words pull.

    Args:
        weights: `[classes, d]`, bias: `[classes]`; two classes have opposite rows.
    """

    def __init__(self, weights: np.ndarray, bias: np.ndarray):
        self.weights, self.bias = weights.astype(np.float32), bias.astype(np.float32)

    @classmethod
    def fit(cls, embeddings: np.ndarray, labels: np.ndarray, num_classes: int, regularization: float = 1.0) -> LinearJudge:
        """`regularization` is scikit-learn's C. Classes without rows are never predicted."""
        model = LogisticRegression(C=regularization, class_weight="balanced", max_iter=1000).fit(embeddings, labels)
        weights, bias = model.coef_, model.intercept_
        if len(model.classes_) == 2:
            weights, bias = np.concatenate([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2
        full = np.zeros((num_classes, embeddings.shape[1]))
        shift = np.full(num_classes, -1e9)
        full[model.classes_], shift[model.classes_] = weights, bias
        return cls(full, shift)

    def margin(self, embeddings: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Logit of class `labels` `[n]` less the best other class's, for embeddings `[n, d]`: positive where it wins."""
        # one row at a time: a matrix product of another size may differ in the last bits
        logits = np.stack([(self.weights * row).sum(1) for row in embeddings]) + self.bias
        rows = np.arange(len(logits))
        own = logits[rows, labels].copy()
        logits[rows, labels] = -np.inf
        return own - logits.max(1)

