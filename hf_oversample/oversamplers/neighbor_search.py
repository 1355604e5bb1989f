"""Nearest rows of some rows, of their class and of all, in memory or in a data set on disk."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from hf_oversample.data.embedding_column import EmbeddingColumn
from hf_oversample.neighbors.blockwise import Block, nearest_in_blocks
from hf_oversample.neighbors.own_rows import MOST_ROWS, nearest_of_own
from hf_oversample.oversamplers.base import FloatMatrix
from hf_oversample.oversamplers.plan import IntArray

logger = logging.getLogger(__name__)

NeighborDtype = Literal["auto", "float32", "bfloat16"]
NeighborSearchKind = Literal["exact", "approximate"]


class FewRows:
    """Classes that have not as many neighbours for their rows as were asked for, told at once:
    there may be thousands."""

    def __init__(self) -> None:
        self.found = dict[str, tuple[int, int]]()

    def note(self, name: str, rows: int, k: int) -> None:
        """Remember the class if rows of it, so many, have not k neighbours each."""
        if rows <= k:
            self.found[name] = rows, k

    def tell(self) -> None:
        """Warn of them, if there are any, and forget them."""
        if not self.found:
            return
        name, (rows, k) = next(iter(self.found.items()))
        logger.warning(
            "class %r has %d rows: each has %d neighbours of its class, %d were asked for%s",
            name,
            rows,
            rows - 1,
            k,
            f"; so it is for {len(self.found)} classes" if len(self.found) > 1 else "",
        )
        self.found.clear()


def class_neighbors(
    vectors: FloatMatrix,
    queries: IntArray,
    rows: IntArray,
    k: int,
    *,
    dtype: NeighborDtype,
) -> IntArray:
    """Nearest rows of their own class, of some rows.

    Args:
        vectors: embeddings of the class [r, d].
        queries: row numbers [q], among ``rows``, ascending.
        rows: all row numbers of the class [r], ascending, r ≥ 2.
        k: neighbours; of a class with fewer others all are taken.
        dtype: of the search's first pass; the result is the same.

    Returns:
        row numbers [q, min(k, r − 1)], nearest first.
    """
    if len(queries) == len(rows) <= MOST_ROWS and dtype != "bfloat16":
        found = nearest_of_own(vectors, min(k, len(rows) - 1))
        if found is not None:
            return rows[found]
    from hf_oversample.neighbors.difficult import nearest_neighbors  # torch

    places = np.searchsorted(rows, queries)
    asked = vectors if len(queries) == len(rows) else vectors[places]
    _, indices = nearest_neighbors(
        asked, vectors, min(k, len(rows) - 1), exclude=places, dtype=dtype
    )
    return rows[indices.numpy()]


class NeighborSearch(Protocol):
    """Nearest rows of some rows, of their class and of all: what a method asks of the data."""

    few: FewRows
    """Classes with fewer neighbours than were asked for."""

    def own(self, queries: IntArray, rows: IntArray, code: int, k: int) -> IntArray:
        """Nearest rows of their own class.

        Args:
            queries: row numbers [q], among ``rows``.
            rows: all row numbers of the class [r], ascending, r ≥ 2.
            code: the class.
            k: neighbours; of a class with fewer others all are taken, and it is noted.

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
        self.few = FewRows()

    def own(self, queries: IntArray, rows: IntArray, code: int, k: int) -> IntArray:
        """See `NeighborSearch`."""
        self.few.note(self.names[code], len(rows), k)
        return class_neighbors(self.embeddings[rows], queries, rows, k, dtype=self.dtype)

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
        self.few = FewRows()

    def own(self, queries: IntArray, rows: IntArray, code: int, k: int) -> IntArray:
        """See `NeighborSearch`."""
        self.few.note(self.names[code], len(rows), k)
        return class_neighbors(self.column.take(rows), queries, rows, k, dtype=self.dtype)

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
        return labelled(self.column.blocks(), self.labels)


class SearchApproximately:
    """A `NeighborSearch` by an index in memory: for many rows, faster and not quite right.

    Args:
        take: gives the embeddings of rows [r, d] by their numbers.
        blocks: gives (first row, embeddings [b, d]) of all rows, block by block.
        labels: class code of every row, [n].
        names: of the classes, by code.
        seed: of the choice of the queries by which recall is measured.

    Attributes:
        recall: of each search, by what it searched: the share of nearest rows that it found, on a
            sample of its queries.
    """

    def __init__(
        self,
        take: Callable[[IntArray], FloatMatrix],
        blocks: Callable[[], Iterable[tuple[int, FloatMatrix]]],
        labels: npt.NDArray[np.integer],
        names: Sequence[str],
        seed: int,
    ) -> None:
        self.take, self.blocks, self.labels, self.names = take, blocks, labels, names
        self.seed, self.recall, self.few = seed, dict[str, float](), FewRows()

    def own(self, queries: IntArray, rows: IntArray, code: int, k: int) -> IntArray:
        """See `NeighborSearch`."""
        self.few.note(self.names[code], len(rows), k)
        block = rows, np.full(len(rows), code), self.take(rows)
        vectors = block[2][np.searchsorted(rows, queries)]
        what = f"rows of class {self.names[code]!r} among their own"
        return self._found(vectors, queries, lambda: [block], min(k, len(rows) - 1), what)["row"]

    def all(self, queries: IntArray, k: int) -> tuple[IntArray, npt.NDArray[np.integer]]:
        """See `NeighborSearch`."""
        what = f"rows of class {self.names[self.labels[queries[0]]]!r} among all"
        found = self._found(
            self.take(queries),
            queries,
            lambda: labelled(self.blocks(), self.labels),
            min(k, len(self.labels) - 1),
            what,
        )
        return found["row"], found["code"]

    def _found(
        self,
        vectors: FloatMatrix,
        queries: IntArray,
        blocks: Callable[[], Iterable[Block]],
        k: int,
        what: str,
    ) -> npt.NDArray[Any]:
        from hf_oversample.neighbors.approximate import nearest_approximately  # usearch

        found, recall = nearest_approximately(vectors, queries, blocks, k, seed=self.seed)
        self.recall[what] = recall
        logger.info("approximate search of %s: recall %.3f of %d nearest", what, recall, k)
        return found


def labelled(
    blocks: Iterable[tuple[int, FloatMatrix]], labels: npt.NDArray[np.integer]
) -> Iterator[Block]:
    """Row numbers, class codes and embeddings of blocks, of which the first row is given."""
    for start, vectors in blocks:
        rows = np.arange(start, start + len(vectors))
        yield rows, labels[rows], vectors
