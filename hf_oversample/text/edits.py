"""Word edits of a text as a baseline: easy data augmentation, and embedding neighbours.

Both splice whole words into the original string and leave the rest as it was: a classifier must not
be able to tell an edited text by its spacing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from hf_oversample.text.protection import (
    DEFAULT_PROTECTION,
    Protection,
    Span,
    free_words,
    replaceable_words,
)
from hf_oversample.text.words import Segmenter

Neighbors = Mapping[str, Sequence[str]]
OPERATIONS = ("swap", "deletion", "insertion", "replacement")


def eda(
    text: str,
    segmenter: Segmenter,
    rng: np.random.Generator,
    alpha: float = 0.1,
    neighbors: Neighbors | None = None,
    protection: Protection = DEFAULT_PROTECTION,
) -> str:
    """One operation of easy data augmentation (Wei and Zou 2019, section 2), drawn at random.

    n = max(1, round(alpha · words)) words are swapped in pairs, deleted (each with probability
    alpha; one at least stays), inserted, or replaced. The paper takes synonyms from WordNet; here
    ``neighbors`` stand for them. Without them, or where no word has any, there is no replacement,
    and a word inserted is one of the text's own.

    Args:
        text: any text.
        segmenter: of its language.
        rng: the source of chance; the result depends on nothing else.
        alpha: share of words that change, in (0, 1].
        neighbors: word in folded case → words like it (`word_neighbors`).
        protection: what stays byte for byte: placeholders, addresses, numbers, code.

    Returns:
        The edited text; the text itself where it has fewer than two words to edit.

    Raises:
        ValueError: alpha is outside (0, 1].
    """
    if not 0 < alpha <= 1:
        raise ValueError(f"alpha={alpha} must be above 0 and at most 1")
    spans = _word_spans(text, segmenter, protection)
    if len(spans) < 2:
        return text
    known = [
        index
        for index, (start, end) in enumerate(spans)
        if neighbors and neighbors.get(text[start:end].casefold())
    ]
    operation = OPERATIONS[int(rng.integers(len(OPERATIONS) if known else len(OPERATIONS) - 1))]
    count = max(1, round(alpha * len(spans)))
    words = [text[start:end] for start, end in spans]

    if operation == "swap":
        for _ in range(count):
            first, second = rng.choice(len(words), size=2, replace=False)
            words[first], words[second] = words[second], words[first]
        return _splice(text, spans, words)
    if operation == "deletion":
        dropped = rng.random(len(words)) < alpha
        if not dropped.any() or dropped.all():
            dropped = np.arange(len(words)) == rng.integers(len(words))
        gone = [span for span, drop in zip(spans, dropped, strict=True) if drop]
        return _delete(text, gone, protection.spans(text))
    if operation == "insertion":
        space = " " if segmenter.language == "en" else ""
        for _ in range(count):
            source = int(rng.choice(known)) if known else int(rng.integers(len(spans)))
            start, end = spans[source]
            new = text[start:end]
            if known and neighbors:
                new = _neighbor(new, neighbors, rng)
            words[int(rng.integers(len(words)))] += space + new
        return _splice(text, spans, words)
    assert neighbors is not None
    for index in rng.choice(known, size=min(count, len(known)), replace=False):
        words[index] = _neighbor(words[index], neighbors, rng)
    return _splice(text, spans, words)


def neighbor_edit(
    text: str,
    segmenter: Segmenter,
    rng: np.random.Generator,
    neighbors: Neighbors,
    share: float = 0.3,
    protection: Protection = DEFAULT_PROTECTION,
) -> str:
    """Replaces a share of the words by embedding neighbours; negations are left alone.

    Args:
        text: any text.
        segmenter: of its language.
        rng: the source of chance; the result depends on nothing else.
        neighbors: word in folded case → words like it (`word_neighbors`).
        share: of the words that have neighbours, in (0, 1]; one at least.
        protection: what stays byte for byte: placeholders, addresses, numbers, code.

    Returns:
        The edited text; the text itself where no word has neighbours.

    Raises:
        ValueError: the share is outside (0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"share={share} must be above 0 and at most 1")
    words = segmenter.spans(text)
    spans = [
        (start, end)
        for (start, end), is_replaceable in zip(
            words, replaceable_words(text, words, segmenter, protection), strict=True
        )
        if is_replaceable and neighbors.get(text[start:end].casefold())
    ]
    if not spans:
        return text
    new = [text[start:end] for start, end in spans]
    count = max(1, round(share * len(spans)))
    for index in rng.choice(len(spans), size=count, replace=False):
        new[index] = _neighbor(new[index], neighbors, rng)
    return _splice(text, spans, new)


def word_neighbors(
    words: Sequence[str],
    vectors: ArrayLike,
    segmenter: Segmenter,
    k: int = 8,
    min_similarity: float = 0.5,
) -> dict[str, list[str]]:
    """The words nearest to each word by the cosine of their vectors.

    Args:
        words: different words in folded case; those that are no words (`Segmenter.is_word`) and
            those without a direction (all zero) have no neighbours and are none.
        vectors: [len(words), width].
        segmenter: decides what a word is.
        k: the most neighbours of a word.
        min_similarity: the least cosine of a neighbour.

    Returns:
        Word → neighbours, nearest first, for words that have any.

    Raises:
        ValueError: the vectors do not fit the words.
    """
    from hf_oversample.neighbors.difficult import (
        nearest_neighbors,  # torch: only this function needs it
    )

    matrix = np.asarray(vectors, dtype=np.float32)
    if matrix.ndim != 2 or len(matrix) != len(words):
        raise ValueError(f"{len(words)} words, but vectors of shape {matrix.shape}")
    norms = np.linalg.norm(matrix, axis=1)
    rows = np.array(
        [row for row, word in enumerate(words) if segmenter.is_word(word) and norms[row] > 0],
        dtype=np.int64,
    )
    if len(rows) < 2:
        return {}
    units = matrix[rows] / norms[rows, None]
    distances, found = nearest_neighbors(
        units, units, min(k, len(rows) - 1), exclude=np.arange(len(rows))
    )
    # Of unit vectors: squared distance = 2 − 2 · cosine.
    close = np.asarray(distances) ** 2 <= 2 - 2 * min_similarity + 1e-6
    listed = {
        words[row]: [words[rows[other]] for other, near in zip(others, nearby, strict=True) if near]
        for row, others, nearby in zip(rows, np.asarray(found), close, strict=True)
    }
    return {word: others for word, others in listed.items() if others}


def _word_spans(text: str, segmenter: Segmenter, protection: Protection) -> list[Span]:
    spans = segmenter.spans(text)
    free = free_words(text, spans, segmenter, protection)
    return [span for span, is_free in zip(spans, free, strict=True) if is_free]


def _neighbor(word: str, neighbors: Neighbors, rng: np.random.Generator) -> str:
    """A neighbour of the word, in the word's case."""
    choices = neighbors[word.casefold()]
    new = choices[int(rng.integers(len(choices)))]
    if len(word) > 1 and word.isupper():
        return new.upper()
    return new[:1].upper() + new[1:] if word[:1].isupper() else new


def _splice(text: str, spans: Sequence[Span], words: Sequence[str]) -> str:
    pieces, end = [], 0
    for (start, stop), word in zip(spans, words, strict=True):
        pieces += [text[end:start], word]
        end = stop
    return "".join([*pieces, text[end:]])


def _delete(text: str, spans: Sequence[Span], protected: Sequence[Span]) -> str:
    """
    Without these words, each gone with the space before it, or those after it at the start; spaces
    of a protected span stay.
    """
    is_kept = [True] * len(text)
    is_space = [character == " " for character in text]
    for start, end in protected:
        is_space[start:end] = [False] * (end - start)
    for start, end in reversed(spans):
        is_kept[start:end] = [False] * (end - start)
        if start and is_space[start - 1]:
            is_kept[start - 1] = False
        elif not text[:start].strip():
            while end < len(text) and (is_space[end] or not is_kept[end]):
                is_kept[end] = False
                end += 1
    return "".join(character for character, kept in zip(text, is_kept, strict=True) if kept)
