"""Texts of a class as tokens of a language model: "{class}: {text}" and its end; or, where there is
an encoder, "{class}:" for it to read, and the text and its end for the decoder to write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hf_oversample.text.tokenization import special_token_frame
from hf_oversample.text.words import Segmenter


def class_prefix(name: str) -> str:
    """What stands before a text of a class."""
    return f"{name}: "


def decoder_start(model: PreTrainedModel) -> int | None:
    """The token that a decoder begins with; None where the model does not say."""
    for settings in (model.generation_config, model.config):
        start = getattr(settings, "decoder_start_token_id", None)
        if start is not None:
            return int(start)
    return None


@dataclass(frozen=True)
class PrefixedText:
    """
    A text behind a prefix.

    Args:
        prefix: token ids before the text, those that a tokenizer puts first among them.
        ids: token ids of the text.
        starts, ends: of each of these, its place in the text; the first may hold the space behind
            the prefix, and is then negative.
    """

    prefix: list[int]
    ids: list[int]
    starts: list[int]
    ends: list[int]


class PrefixedTexts:
    """
    Encodes texts behind prefixes.

    Args:
        tokenizer: one that gives offsets.
        start: the token that a decoder begins with; None for a model without an encoder, which
            reads the class before the text.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, start: int | None = None):
        self.tokenizer, self.start = tokenizer, start
        self.first = list(special_token_frame(tokenizer)[0])
        if start is not None:
            self.first = [start, *self.first]
        self.end = int(tokenizer.eos_token_id)

    @classmethod
    def of(cls, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Self:
        """As a language model reads and writes."""
        return cls(tokenizer, decoder_start(model) if model.config.is_encoder_decoder else None)

    def prefix_of(self, name: str) -> str:
        """What a text of a class is encoded behind: for a decoder of its own a space alone, so that
        a first word has the tokens that it has elsewhere."""
        return class_prefix(name) if self.start is None else " "

    def source_of(self, name: str) -> list[int]:
        """What an encoder reads of a class: "{class}:", with the tokenizer's special tokens."""
        return list(self.tokenizer(class_prefix(name).rstrip())["input_ids"])

    def __call__(self, prefix: str, text: str) -> PrefixedText:
        """One text behind a prefix."""
        if not prefix + text:  # of which some tokenizers make a token
            return PrefixedText(list(self.first), [], [], [])
        told = self.tokenizer(prefix + text, add_special_tokens=False, return_offsets_mapping=True)
        ids, offsets = list(told["input_ids"]), told["offset_mapping"]
        # the space between the two is the first word's, in a token of its own or in that word's
        before = len(prefix.rstrip())
        own = next((i for i, (_, end) in enumerate(offsets) if end > before), len(ids))
        places = [(start - len(prefix), end - len(prefix)) for start, end in offsets[own:]]
        return PrefixedText(
            [*self.first, *ids[:own]], ids[own:], [p[0] for p in places], [p[1] for p in places]
        )

    def row(self, prefix: str, text: str, max_length: int) -> tuple[np.ndarray, int]:
        """
        A row to learn from: prefix, text and end, and how many tokens the prefix has. A text that
        is too long is cut, and has no end.
        """
        encoded = self(prefix, text)
        ids = [*encoded.prefix, *encoded.ids, self.end][:max_length]
        return np.asarray(ids, np.int64), len(encoded.prefix)


def start_of(text: str, segmenter: Segmenter, share: float, most: int, least_words: int = 1) -> int:
    """
    How many characters at the start of a text are a share of its words, and never all of them.

    Args:
        text: a text with words.
        segmenter: finds them.
        share: from 0 to 1.
        most: characters at most; whole words past them are not kept.
        least_words: words at least.
    """
    spans = segmenter.spans(text)
    number = min(max(least_words, round(share * len(spans))), len(spans) - 1)
    ends = [end for _, end in spans[:number] if end <= most]
    return ends[-1] if ends else 0
