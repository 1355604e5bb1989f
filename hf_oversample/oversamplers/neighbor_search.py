"""Nearest rows of some rows, of their class and of all, in memory or in a data set on disk."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from hf_oversample.data.embedding_column import EmbeddingColumn
from hf_oversample.neighbors.blockwise import Block, nearest_in_blocks
from hf_oversample.oversamplers.base import FloatMatrix
from hf_oversample.oversamplers.plan import IntArray

logger = logging.getLogger(__name__)

NeighborDtype = Literal["auto", "float32", "bfloat16"]


def warn_of_few_rows(name: str, rows: int, k: int) -> None:
    """Warn where a class of so many rows has not k neighbours for each of them."""
    if rows <= k:
        logger.warning(
            "class %r has %d rows: each has %d neighbours of its class, %d were asked for",
            name,
            rows,
            rows - 1,
            k,
        )


def class_neighbors(
    vectors: FloatMatrix,
    queries: IntArray,
    rows: IntArray,
    k: int,
    *,
    name: str,
    dtype: NeighborDtype,
) -> IntArray:
    """Nearest rows of their own class, of some rows.

    Args:
        vectors: embeddings of the class [r, d].
        queries: row numbers [q], among ``rows``, ascending.
        rows: all row numbers of the class [r], ascending, r ≥ 2.
        k: neighbours; of a class with fewer others all are taken, with a warning.
        name: the class, for the warning.
        dtype: of the search's first pass; the result is the same.

    Returns:
        row numbers [q, min(k, r − 1)], nearest first.
    """
    from hf_oversample.neighbors.difficult import nearest_neighbors  # torch

    warn_of_few_rows(name, len(rows), k)
    places = np.searchsorted(rows, queries)
    asked = vectors if len(queries) == len(rows) else vectors[places]
    _, indices = nearest_neighbors(
        asked, vectors, min(k, len(rows) - 1), exclude=places, dtype=dtype
    )
    return rows[indices.numpy()]


class NeighborSearch(Protocol):
    """Nearest rows of some rows, of their class and of all: what a method asks of the data."""

    def own(self, queries: IntArray, rows: IntArray, code: int, k: int) -> IntArray:
        """Nearest rows of their own class.

        Args:
            queries: row numbers [q], among ``rows``.
            rows: all row numbers of the class [r], ascending, r ≥ 2.
            code: the class.
            k: neighbours; of a class with fewer others all are taken, with a warning.

        Returns:
            row numbers [q, min(k, r − 1)], nearest first.
        """
        ...

    def all(self, queries: IntArray, k: int) -> tuple[IntArray, npt.NDArray[np.integer]]:
        """Nearest rows of any class, of the rows ``queries`` [q]: row numbers [q, min(k, n − 1)],
        nearest first, and their class codes."""
        ...


class SearchInMemory:
    """A `NeighborSearch` among rows in memory.

    Args:
        embeddings: [n, d].
        labels: class code of every row, [n].
        names: of the classes, by code.
        dtype: of the search's first pass; the result is the same.
    """

    def __init__(
        self,
        embeddings: FloatMatrix,
        labels: npt.NDArray[np.integer],
        names: Sequence[str],
        dtype: NeighborDtype,
    ) -> None:
        self.embeddings, self.labels, self.names, self.dtype = embeddings, labels, names, dtype

    def own(self, queries: IntArray, rows: IntArray, code: int, k: int) -> IntArray:
        """See `NeighborSearch`."""
        return class_neighbors(
            self.embeddings[rows], queries, rows, k, name=self.names[code], dtype=self.dtype
        )

    def all(self, queries: IntArray, k: int) -> tuple[IntArray, npt.NDArray[np.integer]]:
        """See `NeighborSearch`."""
        from hf_oversample.neighbors.difficult import nearest_neighbors  # torch

        _, indices = nearest_neighbors(
            self.embeddings[queries],
            self.embeddings,
            min(k, len(self.embeddings) - 1),
            exclude=queries,
            dtype=self.dtype,
        )
        nearest = indices.numpy()
        return nearest, self.labels[nearest]


class SearchInColumn:
    """A `NeighborSearch` among the rows of a data set, of which one block is in memory at a time.

    Args:
        column: the embeddings.
        labels, names, dtype: see `SearchInMemory`.
    """

    def __init__(
        self,
        column: EmbeddingColumn,
        labels: npt.NDArray[np.integer],
        names: Sequence[str],
        dtype: NeighborDtype,
    ) -> None:
        self.column, self.labels, self.names, self.dtype = column, labels, names, dtype

    def own(self, queries: IntArray, rows: IntArray, code: int, k: int) -> IntArray:
        """See `NeighborSearch`."""
        vectors = self.column.take(rows)
        return class_neighbors(vectors, queries, rows, k, name=self.names[code], dtype=self.dtype)

    def all(self, queries: IntArray, k: int) -> tuple[IntArray, npt.NDArray[np.integer]]:
        """See `NeighborSearch`."""
        found = nearest_in_blocks(
            self.column.take(queries),
            queries,
            self._blocks(),
            min(k, len(self.column) - 1),
            dtype=self.dtype,
        )
        return found["row"], found["code"]

    def _blocks(self) -> Iterator[Block]:
        for start, vectors in self.column.blocks():
            rows = np.arange(start, start + len(vectors))
            yield rows, self.labels[rows], vectors
