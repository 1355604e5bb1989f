"""The space in which a language model's texts are judged, and where its neighbours are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hf_oversample.models.writers.adapters import ClassAdapters
from hf_oversample.models.writers.checkpoint import padding_of
from hf_oversample.text.words import Segmenter
from hf_oversample.transforms.embed import TextEmbedder
from hf_oversample.transforms.token_vectors import embed_token_ids


@dataclass
class JudgingModels:
    """
    What embeds, and finds words, for the gate (see `GateModels`).

    Args:
        segmenter: the language's words.
        embedder: an encoder; None for the mean states of the language model without its adapters
            (of its encoder, where it has one).
        adapters: of that language model.
        max_length: longest text in tokens, for the language model's states.
    """

    segmenter: Segmenter
    embedder: TextEmbedder | None
    adapters: ClassAdapters | None
    max_length: int

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """`[n, d]` float32 of length 1."""
        if self.embedder is not None:
            return self.embedder.embed(texts)
        assert self.adapters is not None  # one of the two is there
        tokenizer = self.adapters.tokenizer
        told = tokenizer(list(texts), truncation=True, max_length=self.max_length)
        rows = [np.asarray(ids, np.int64) for ids in told["input_ids"]]
        with self.adapters.without_adapters() as base:
            if self.adapters.has_encoder:
                body = base.get_encoder()
            else:
                body = getattr(base, base.base_model_prefix)
            return embed_token_ids(body, rows, padding=padding_of(tokenizer))

    def check_critics(self) -> None:
        """
        Say that there are none.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            "gate has 'critics', which a language model does not have: ask 'classifier' or "
            "'neighbors'."
        )

    def evidence(self, texts: Sequence[str], classes: np.ndarray) -> np.ndarray:
        """There is none; see `check_critics`."""
        self.check_critics()
        raise AssertionError
