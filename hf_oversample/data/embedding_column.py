"""Embeddings that stay where they are, in memory or on disk, and are read as they are needed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hf_oversample.data.embeddings import embedding_blocks, has_float64
from hf_oversample.numeric.offsets import about, far_middles_between

if TYPE_CHECKING:
    from datasets import Dataset

BLOCK_BYTES = 64 * 2**20
"""Of a block of float32 rows: 43,690 rows of 384 numbers."""


class EmbeddingColumn:
    """An embedding column as float32 rows, read block by block, or some rows of it.

    What is read is checked in blocks as by `embedding_matrix`.

    Args:
        dataset: its rows.
        column: its name.

    Attributes:
        is_exact: whether the column holds float64, of which float32 keeps not all digits.
        center: float64 [d], what rows are less; None: nothing. See :meth:`move_near_zero`.
    """

    def __init__(self, dataset: Dataset, column: str) -> None:
        self.dataset, self.column = dataset, column
        self.is_exact = has_float64(dataset, column)
        self.center: npt.NDArray[np.float64] | None = None
        self._chunks = dataset.data.table.column(column).chunks
        self._starts = np.cumsum([0, *map(len, self._chunks)])
        self.width = self._taken(np.zeros(1, np.int64)).shape[1]

    def __len__(self) -> int:
        return len(self.dataset)

    def move_near_zero(self) -> None:
        """Read columns of float64 that are far from zero about their middles, from here on."""
        if not self.is_exact:
            return
        lowest = highest = None
        for _, block in self._read(np.float64):
            least, most = block.min(axis=0), block.max(axis=0)
            lowest = least if lowest is None else np.minimum(lowest, least)
            highest = most if highest is None else np.maximum(highest, most)
        assert lowest is not None, "fit has read labels of the rows"
        assert highest is not None
        center = far_middles_between(lowest, highest)
        self.center = center if center.any() else None

    def blocks(self) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
        """(first row, float32 [b, d]) of blocks of :data:`BLOCK_BYTES` at most, or of one row."""
        if self.center is None:
            yield from self._read(np.float32)
            return
        for start, block in self._read(np.float64):
            yield start, about(block, self.center)

    def take(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Some rows as float32 [r, d]."""
        taken = self._taken(rows)
        return (
            taken.astype(np.float32, copy=False)
            if self.center is None
            else about(taken, self.center)
        )

    def take_exact(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.floating]:
        """Some rows with all their digits [r, d]: float64 where the column is, else float32."""
        return self._taken(rows).astype(np.float64 if self.is_exact else np.float32, copy=False)

    def _read(self, dtype: type[np.floating]) -> Iterator[tuple[int, npt.NDArray[np.floating]]]:
        rows = max(1, BLOCK_BYTES // (4 * self.width))
        return embedding_blocks(self.dataset, self.column, dtype, block_rows=rows)

    def _taken(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.floating]:
        """Rows in the column's own type [r, d]: from each chunk those that are wanted of it."""
        if self.dataset._indices is not None:
            numbers = self.dataset._indices.table.column(0).take(pa.array(rows))
            rows = numbers.to_numpy().astype(np.int64)
        order = np.argsort(rows, kind="stable")
        ascending = rows[order]
        chunks = np.searchsorted(self._starts, ascending, side="right") - 1
        found: npt.NDArray[np.floating] | None = None
        wanted, begins = np.unique(chunks, return_index=True)
        bounds = pairwise([*begins, len(rows)])
        for chunk, (begin, end) in zip(wanted, bounds, strict=True):
            values = self._chunks[chunk].take(pa.array(ascending[begin:end] - self._starts[chunk]))
            if isinstance(values, pa.ExtensionArray):
                values = values.storage
            flat = values.flatten().to_numpy(zero_copy_only=False).reshape(len(values), -1)
            if found is None:
                found = np.empty((len(rows), flat.shape[1]), flat.dtype)
            found[order[begin:end]] = flat
        return np.empty((0, self.width)) if found is None else found
