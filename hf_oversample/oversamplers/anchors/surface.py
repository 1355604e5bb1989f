"""What a made text's surface alone says against it: empty, unchanged, repeating itself, a copy."""

from __future__ import annotations

from itertools import pairwise

from hf_oversample.text.copies import CopyIndex, words_of
from hf_oversample.text.words import Segmenter, normalized

REASONS = (
    *("nothing to edit", "unchanged", "empty", "repeats", "copy", "near copy", "sibling"),
    *("unknown words", "too near", "wrong class", "too easy", "no help"),
    # of language models alone
    *("unfinished", "too long", "no answer"),
)


def is_degenerate(text: str, source: str, segmenter: Segmenter) -> bool:
    """
    Whether a text repeats itself as its source does not: a word twice in a row, or one word more
    than twice as often as in the source and in over a third of the text.
    """
    words, before = words_of(text, segmenter), words_of(source, segmenter)
    doubled = {a for a, b in pairwise(before) if a == b}
    if any(a == b and a not in doubled for a, b in pairwise(words)):
        return True
    for word in set(words):
        count = words.count(word)
        if count > 2 and count > 2 * before.count(word) and count > len(words) / 3:
            return True
    return False


def surface_reason(text: str, source: str, index: CopyIndex, segmenter: Segmenter) -> str | None:
    """
    Why a text is rejected for its surface: one of `REASONS`, or None.

    Args:
        text: the generated text.
        source: the text that it was made from.
        index: of the texts that may not be copied.
        segmenter: the language's.
    """
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
