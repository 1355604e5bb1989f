"""Texts as words and tokens: what MISO trains on, and what its edits are spliced into."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from hf_oversample.text.checks import checked_texts
from hf_oversample.text.tokenization import special_token_frame, word_tokens
from hf_oversample.text.words import Segmenter


@dataclass(frozen=True)
class EncodedText:
    """
    One text, its words and its tokens.

    Args:
        text: the text as it was.
        spans: start and end of each word in `text`; words past the longest length are not among
            them.
        input_ids: `[l]` int64, with the tokenizer's special tokens around the words.
        word_index: `[l]` int64, the word that each token belongs to; −1 for special tokens.
    """

    text: str
    spans: list[tuple[int, int]]
    input_ids: np.ndarray
    word_index: np.ndarray

    def word(self, index: int) -> str:
        """A word as it stands in the text."""
        start, end = self.spans[index]
        return self.text[start:end]

    def __len__(self) -> int:
        return len(self.input_ids)


class TextEncoder:
    """
    Encodes texts word by word, so that every token belongs to one word of the original string.

    Args:
        tokenizer: any tokenizer with a padding token.
        segmenter: finds the words.
        max_length: longest encoding in tokens, special tokens included; whole words past it are
            cut.

    Raises:
        ValueError: if `max_length` leaves no room beside the special tokens.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, segmenter: Segmenter, max_length: int = 64
    ):
        self.tokenizer, self.segmenter, self.max_length = tokenizer, segmenter, max_length
        self.prefix, self.suffix = special_token_frame(tokenizer)
        if max_length <= len(self.prefix) + len(self.suffix):
            frame = len(self.prefix) + len(self.suffix)
            raise ValueError(
                f"max_length is {max_length}, but {frame} special tokens frame each text: give at "
                f"least {frame + 1}."
            )

    def __call__(self, text: str) -> EncodedText:
        """One text, cut after the last word that fits."""
        spans = self.segmenter.spans(text)
        words = [text[start:end] for start, end in spans]
        space_before = [start > 0 and text[start - 1].isspace() for start, _ in spans]
        ids, index = list(self.prefix), [-1] * len(self.prefix)
        room = self.max_length - len(self.suffix)
        kept = 0
        for number, tokens in enumerate(word_tokens(self.tokenizer, words, space_before)):
            if len(ids) + len(tokens) > room:
                break
            ids += tokens
            index += [number] * len(tokens)
            kept += 1
        ids += self.suffix
        index += [-1] * len(self.suffix)
        return EncodedText(
            text, spans[:kept], np.asarray(ids, np.int64), np.asarray(index, np.int64)
        )

    def many(self, texts: Iterable[str]) -> list[EncodedText]:
        """Several texts, in their order.

        Raises:
            ValueError: a text is null; its row is named.
        """
        return [self(text) for text in checked_texts(texts)]


def pad(
    rows: Sequence[np.ndarray],
    padding: int,
    device: torch.device | str = "cpu",
    length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """
    Ragged rows of ints, padded on the right, and their mask.

    Args:
        rows: n rows, at least one.
        padding: what is padded with.
        device: of the result.
        length: of the padded rows; the longest row's by default.

    Returns: values and mask (1 inside a row), `[n, length]` int64 each.
    """
    longest = max(len(row) for row in rows) if length is None else length
    values = np.full((len(rows), longest), padding, np.int64)
    mask = np.zeros((len(rows), longest), np.int64)
    for i, row in enumerate(rows):
        values[i, : len(row)] = row
        mask[i, : len(row)] = 1
    return torch.from_numpy(values).to(device), torch.from_numpy(mask).to(device)


# Matrix products of very few rows take another path through the BLAS, with other last bits: batches
# are filled up.
SMALLEST_BATCH = 4
# Lengths that texts are padded to are multiples of this.
LENGTH_STEP = 4


def canonical_length(length: int) -> int:
    """The padded length of a text whatever batch it is in: the next multiple of `LENGTH_STEP`."""
    return -(-length // LENGTH_STEP) * LENGTH_STEP


def token_budget_batches(
    lengths: Sequence[int] | np.ndarray, budget: int
) -> Iterator[tuple[np.ndarray, int]]:
    """
    Batches of rows with one padded length, of at most `budget` tokens (one row at least), shortest
    first.

    A row is padded to its own canonical length and never with longer ones: padding changes the last
    bits of an attention's sums, and these bits would make a text depend on its batch. Rows keep
    their order among equals.

    Args:
        lengths: `[n]`, tokens of each row.
        budget: padded tokens of a batch.

    Yields: row numbers and their padded length.
    """
    padded = np.asarray([canonical_length(int(length)) for length in lengths])
    for length in np.unique(padded):
        rows = np.flatnonzero(padded == length)
        size = max(1, budget // int(length))
        for start in range(0, len(rows), size):
            yield rows[start : start + size], int(length)


def length_groups(rows: np.ndarray, texts: Sequence[Sized]) -> list[np.ndarray]:
    """
    A batch cut in two by length where that saves much padding; the gradient stays the same.

    Batches of one length each would save more, and skew the classes, as a class may be the longer.

    Args:
        rows: row numbers of the batch.
        texts: all texts as token ids.

    Returns: the batch itself, or its shorter and its longer rows.
    """
    lengths = np.array([len(texts[row]) for row in rows])
    order = np.argsort(lengths, kind="stable")
    ordered = lengths[order]
    cuts = np.arange(1, len(rows))
    areas = cuts * ordered[:-1] + (len(rows) - cuts) * ordered[-1]
    if len(areas) and areas.min() < 0.7 * len(rows) * ordered[-1] and ordered[-1] > 16:
        cut = int(areas.argmin()) + 1
        return [rows[order[:cut]], rows[order[cut:]]]
    return [rows]


def token_ids(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int
) -> list[np.ndarray]:
    """
    Token ids of texts, cut at a length; of no texts, none.

    Raises:
        ValueError: a text has no token.
    """
    if not len(texts):
        return []  # fast tokenizers look at the first text of a batch
    ids = tokenizer(list(texts), truncation=True, max_length=max_length)["input_ids"]
    empty = [row for row, one in enumerate(ids) if not one]
    if empty:
        raise ValueError(
            f"text {empty[0]} ({texts[empty[0]]!r}) has no token ({len(empty)} such texts): leave "
            "such rows out."
        )
    return [np.asarray(one, np.int64) for one in ids]
