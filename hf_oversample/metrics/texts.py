"""Copies and diversity of generated texts.

Tokens are the words and punctuation of `Segmenter`, in folded case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import CountVectorizer

from hf_oversample.text.checks import checked_labels, checked_texts
from hf_oversample.text.words import Language, Segmenter, normalized

__all__ = [
    "Copies",
    "copy_rate",
    "distinct_n",
    "distinct_share",
    "label_agreement",
    "normalized",
    "passage_overlap",
    "self_bleu",
    "text_report",
]

_CHUNK = 1000


@dataclass(frozen=True)
class Copies:
    """Which texts are in a reference collection already.

    Attributes:
        exact: [n] booleans: equal to a reference text but for case and spaces.
        similarity: [n], the largest Jaccard similarity of token sets with a reference text.
        nearest: [n], the row of that reference text (the first of equals), −1 where none shares a
            token.
        near: [n] booleans: exact, or the similarity reaches the threshold.
    """

    exact: NDArray[np.bool_]
    similarity: NDArray[np.float64]
    nearest: NDArray[np.int64]
    near: NDArray[np.bool_]

    @property
    def exact_rate(self) -> float:
        """Share of exact copies."""
        return float(self.exact.mean())

    @property
    def near_rate(self) -> float:
        """Share of exact and near copies."""
        return float(self.near.mean())


def copy_rate(
    texts: Sequence[str],
    reference: Sequence[str],
    threshold: float = 0.8,
    language: Language = "en",
) -> Copies:
    """Exact and near copies among texts.

    A near copy shares ``threshold`` of the tokens (Jaccard: those in both, of those in either) with
    one reference text, in whatever order. Found through a sparse token matrix, in blocks.

    Args:
        texts: the texts to judge, at least one.
        reference: the texts that they may be copied from, at least one.
        threshold: in (0, 1].
        language: decides how tokens are found.

    Raises:
        ValueError: a collection is empty, a text is null (its row is named), no text has a word,
            or the threshold is outside (0, 1].
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold={threshold} must be above 0 and at most 1")
    if not len(texts) or not len(reference):
        raise ValueError(f"{len(texts)} texts and {len(reference)} references: none may be empty")
    texts, reference = checked_texts(texts), checked_texts(reference, "reference")
    segmenter = Segmenter(language)
    vectorizer = CountVectorizer(
        analyzer=lambda text: segmenter.words(text.casefold()), binary=True, dtype=np.int32
    )
    known = {normalized(text) for text in reference}
    exact = np.array([normalized(text) in known for text in texts])
    try:
        counts = vectorizer.fit_transform([*texts, *reference])
    except ValueError as error:
        raise ValueError(
            f"none of the {len(texts)} texts and {len(reference)} references has a word, the first "
            f"is {texts[0]!r}: there is nothing to compare them by"
        ) from error
    own, other = counts[: len(texts)], counts[len(texts) :]
    own_sizes, other_sizes = (np.asarray(matrix.sum(axis=1)).ravel() for matrix in (own, other))
    transposed = csr_matrix(other.T)
    similarity = np.zeros(len(texts))
    nearest = np.full(len(texts), -1, dtype=np.int64)
    for start in range(0, len(texts), _CHUNK):
        shared = csr_matrix(own[start : start + _CHUNK] @ transposed)
        shared.sort_indices()
        for row in range(shared.shape[0]):
            span = slice(shared.indptr[row], shared.indptr[row + 1])
            common, columns = shared.data[span], shared.indices[span]
            if len(common):
                jaccard = common / (own_sizes[start + row] + other_sizes[columns] - common)
                best = int(jaccard.argmax())
                similarity[start + row] = jaccard[best]
                nearest[start + row] = columns[best]
    return Copies(exact, similarity, nearest, exact | (similarity >= threshold))


def passage_overlap(
    texts: Sequence[str],
    reference: Sequence[str],
    n: int = 3,
    fewest: int = 5,
    language: Language = "en",
) -> NDArray[np.float64]:
    """How much of a reference text stands in a text word by word, or of the text in it: the largest
    overlap coefficient of their sets of word n-grams (those in both, of the smaller set's). Unlike
    `copy_rate`, it finds a copy that has a sentence more, and a part of one.

    Args:
        texts: the texts to judge, at least one.
        reference: the texts that they may be copied from, at least one.
        n: words of an n-gram.
        fewest: n-grams that the smaller set needs; a pair with fewer has no overlap, since short
            phrases are everybody's.
        language: decides how words are found.

    Returns: `[len(texts)]`, from 0 to 1.

    Raises:
        ValueError: a collection is empty, a text is null (its row is named), or n or `fewest` is
            below 1.
    """
    if n < 1 or fewest < 1:
        raise ValueError(f"n={n} and fewest={fewest} must be at least 1")
    if not len(texts) or not len(reference):
        raise ValueError(f"{len(texts)} texts and {len(reference)} references: none may be empty")
    words = [_tokenized(part, language) for part in (texts, reference)]
    grams = [[_grams(row, n) for row in part] for part in words]
    columns: dict[tuple[str, ...], int] = {}
    for row in grams[1]:
        for gram in row:
            columns.setdefault(gram, len(columns))
    own, other = (_indicators(part, columns) for part in grams)
    sizes = np.array([len(row) for row in grams[0]])
    other_sizes = np.array([len(row) for row in grams[1]])
    transposed = csr_matrix(other.T)
    result = np.zeros(len(texts))
    for start in range(0, len(texts), _CHUNK):
        shared = (own[start : start + _CHUNK] @ transposed).tocoo()
        smaller = np.minimum(sizes[start + shared.row], other_sizes[shared.col])
        share = np.where(smaller >= fewest, shared.data / np.maximum(smaller, 1), 0.0)
        np.maximum.at(result, start + shared.row, share)
    return result


def _grams(words: Sequence[str], n: int) -> set[tuple[str, ...]]:
    return {tuple(words[start : start + n]) for start in range(len(words) - n + 1)}


def _indicators(
    grams: Sequence[set[tuple[str, ...]]], columns: dict[tuple[str, ...], int]
) -> csr_matrix:
    """Which n-grams each text has, of those that have a column: `[texts, columns]` of 0 and 1."""
    found = [sorted(columns[gram] for gram in row if gram in columns) for row in grams]
    ends = np.cumsum([0, *map(len, found)])
    indices = np.fromiter((column for row in found for column in row), np.int64, int(ends[-1]))
    shape = (len(grams), max(1, len(columns)))
    return csr_matrix((np.ones(len(indices), np.int32), indices, ends), shape=shape)


def distinct_share(texts: Sequence[str]) -> float:
    """Different texts (but for case and spaces) per text; NaN for no texts.

    Raises:
        ValueError: a text is null; its row is named.
    """
    texts = checked_texts(texts)
    return len({normalized(text) for text in texts}) / len(texts) if len(texts) else float("nan")


def distinct_n(texts: Sequence[str], n: int, language: Language = "en") -> float:
    """Different n-grams per n-gram over all texts (Li et al. 2016); NaN where there is none.

    It falls as the number of texts grows: compare equally large collections only.

    Raises:
        ValueError: n is below 1, or a text is null (its row is named).
    """
    if n < 1:
        raise ValueError(f"n={n} must be at least 1")
    grams = [
        tuple(words[start : start + n])
        for words in _tokenized(texts, language)
        for start in range(len(words) - n + 1)
    ]
    return len(set(grams)) / len(grams) if grams else float("nan")


def self_bleu(
    texts: Sequence[str], sample: int = 200, seed: int = 0, language: Language = "en"
) -> float:
    """Mean BLEU-4 of each text against the others (Zhu et al. 2018): 1 where all are alike and have
    at least 4 tokens; of shorter ones the missing n-grams are smoothed, which lowers it.

    Args:
        texts: at least two.
        sample: how many to draw, as the work grows with the square; all where there are fewer. It
            changes the value: compare equal samples only.
        seed: of the draw.
        language: decides how tokens are found.

    Raises:
        ValueError: there are fewer than two texts or drawn ones, or one is null (its row is
            named).
    """
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    if min(len(texts), sample) < 2:
        raise ValueError(f"{len(texts)} texts, sample={sample}: at least two texts are compared")
    texts = checked_texts(texts)
    rows = np.random.default_rng(seed).permutation(len(texts))[:sample]
    tokens = _tokenized([texts[row] for row in rows], language)
    smoothing = SmoothingFunction().method1  # a text of fewer than 4 tokens has no 4-grams
    scores = [
        sentence_bleu(tokens[:row] + tokens[row + 1 :], own, smoothing_function=smoothing)
        for row, own in enumerate(tokens)
    ]
    return float(np.mean(scores))


def label_agreement(predicted: ArrayLike, intended: ArrayLike) -> dict[str, float]:
    """Share of made rows that a judge places with the class they were made for.

    Args:
        predicted: [n], the classes that a classifier names which never saw a made row.
        intended: [n], the classes that the rows were made for.

    Returns:
        label_agreement, over all rows, and ``label_agreement/CLASS`` for each class intended.

    Raises:
        ValueError: lengths differ, there is no row, or a class is null (its row is named).
    """
    stated = checked_labels(predicted, "predicted")
    wanted = checked_labels(intended, "intended")
    if stated.shape != wanted.shape or wanted.ndim != 1 or not len(wanted):
        raise ValueError(f"{stated.shape} and {wanted.shape} must both be [n], n at least 1")
    agrees = stated == wanted
    report = {"label_agreement": float(agrees.mean())}
    for label in np.unique(wanted):
        report[f"label_agreement/{label}"] = float(agrees[wanted == label].mean())
    return report


def text_report(
    texts: Sequence[str], reference: Sequence[str], language: Language = "en"
) -> dict[str, float]:
    """Copies and diversity of generated texts: all of this module's measures by name.

    Args:
        texts: the generated texts, at least one.
        reference: the texts that they may be copied from, at least one.
        language: decides how tokens are found.

    Returns:
        ``exact_copies``, ``near_copies``, ``distinct``, ``distinct_1``, ``distinct_2`` and, of
        several texts, ``self_bleu``.

    Raises:
        ValueError: a collection is empty, or a text is null (its row is named).
    """
    copies = copy_rate(texts, reference, language=language)
    report = {
        "exact_copies": copies.exact_rate,
        "near_copies": copies.near_rate,
        "distinct": distinct_share(texts),
        "distinct_1": distinct_n(texts, 1, language=language),
        "distinct_2": distinct_n(texts, 2, language=language),
    }
    if len(texts) > 1:
        report["self_bleu"] = self_bleu(texts, language=language)
    return report


def _tokenized(texts: Sequence[str], language: Language) -> list[list[str]]:
    segmenter = Segmenter(language)
    return [segmenter.words(text.casefold()) for text in checked_texts(texts)]
