"""What the real rows near a text say of it: whose it is, and whether it is too near to one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from hf_oversample.oversamplers.anchors.judge import neighbor_majority
from hf_oversample.text.copies import text_keys


@dataclass(frozen=True, eq=False)
class Voters:
    """
    The real rows among which a text's neighbours are.

    Args:
        embeddings: `[rows, d]`.
        keys: `[rows]` int64, see `text_keys`: equal for exact copies.
    """

    embeddings: np.ndarray
    keys: np.ndarray

    def majority(
        self, embeddings: np.ndarray, sources: Sequence[str], labels: np.ndarray
    ) -> np.ndarray:
        """The class of most of the nearest rows, sources left out `[n]`; −1 where there is none."""
        order = np.argsort(self.keys, kind="stable")
        keys = text_keys(sources)
        first = np.searchsorted(self.keys[order], keys, "left")
        last = np.searchsorted(self.keys[order], keys, "right")
        copies = [order[a:b] for a, b in zip(first, last, strict=True)]
        return neighbor_majority(embeddings, self.embeddings, labels, copies)


@dataclass(frozen=True, eq=False)
class NearRows:
    """
    The real rows that a text may not be too near to, its source among them.

    Args:
        directions: `[rows, d]` float32, embeddings of length 1.
        most: the largest cosine with one of them that a text may have.
    """

    directions: np.ndarray
    most: float

    @classmethod
    def of(cls, embeddings: np.ndarray, most: float) -> Self:
        """From embeddings `[rows, d]`."""
        return cls(_directions(embeddings), most)

    def are_near(self, embeddings: np.ndarray) -> np.ndarray:
        """Whether texts' embeddings `[n, d]` have a larger cosine with a row: booleans `[n]`."""
        # one text at a time: a product of another size may differ in the last bits
        nearest = [(self.directions @ one).max() for one in _directions(embeddings)]
        return np.asarray(nearest, np.float32) > np.float32(self.most)


def _directions(embeddings: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return (embeddings / np.maximum(lengths, np.finfo(np.float32).tiny)).astype(np.float32)
