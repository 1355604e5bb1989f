"""Digests and keys of columns and rows: what was fitted is told from what it is used on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from hf_oversample.data.columns import BATCH_ROWS, column_batches, is_list

if TYPE_CHECKING:
    from datasets import Dataset

# 2**64 divided by the golden ratio: its multiples differ in all their bits
_KEY_STEP = np.uint64(0x9E3779B97F4A7C15)


def content_digest(dataset: Dataset, columns: Iterable[str]) -> str:
    """A digest of the columns' names and values, in row order.

    It depends on the content alone: not on chunks, slices, index mappings, files or the data set's
    own fingerprint, which changes whenever the data are loaded again.
    """
    digest = ContentDigest(len(dataset))
    for column in columns:
        digest.read(dataset, column)
    return digest.hexdigest()


class ContentDigest:
    """A :func:`content_digest` that is taken of columns while they are read for something else.

    Args:
        rows: of the data set.
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._digest = xxhash.xxh3_128()  # against mistakes, not attacks; faster than blake2b

    def read(self, dataset: Dataset, column: str) -> None:
        """Add a column."""
        self.begin(column)
        for _, values in column_batches(dataset, column):
            self.add(values)

    def begin(self, column: str) -> None:
        """The next values are of this column."""
        self._digest.update(f"{column}\0{self._rows}\0".encode())

    def add(self, values: pa.Array) -> None:
        """The column's next values, as many as a batch of this module has."""
        _digest_values(self._digest, values)

    def hexdigest(self) -> str:
        """Of all that was added."""
        return self._digest.hexdigest()


def _digest_values(digest: xxhash.xxh3_128, values: pa.Array) -> None:
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if values.null_count:  # what lies under a null is undefined, so it must not be read
        digest.update(values.is_null().to_numpy(zero_copy_only=False).tobytes())
        values = values.drop_null()
    kind = values.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        digest.update(pc.binary_length(values).to_numpy(zero_copy_only=False).tobytes())
        offset_type = np.int64 if pa.types.is_large_string(kind) else np.int32
        _, offsets, data = values.buffers()
        if offsets is not None and data is not None and len(values):
            ends = np.frombuffer(offsets, dtype=offset_type)[values.offset :]
            digest.update(memoryview(data)[int(ends[0]) : int(ends[len(values)])])
    elif is_list(kind):
        digest.update(pc.list_value_length(values).to_numpy(zero_copy_only=False).tobytes())
        _digest_values(digest, values.flatten())
    else:
        digest.update(np.ascontiguousarray(values.to_numpy(zero_copy_only=False)).data)


def text_keys(texts: Iterable[str]) -> npt.NDArray[np.uint64]:
    """A 64-bit key of each text: equal for equal texts, and else hardly ever."""
    keys = (xxhash.xxh3_64_intdigest(text.encode()) for text in texts)
    return np.fromiter(keys, dtype=np.uint64)


def vector_keys(matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.uint64]:
    """A 64-bit key of each row of [n, d]: equal for equal bits, and else hardly ever."""
    rows = np.ascontiguousarray(matrix, dtype=np.float32)
    # Pairs of values where that fills a row; sums of integers do not depend on how they are added.
    words = rows.view(np.uint64 if rows.shape[1] % 2 == 0 else np.uint32)
    weights = (np.arange(words.shape[1], dtype=np.uint64) * _KEY_STEP) | np.uint64(1)
    keys = np.empty(len(rows), np.uint64)
    for start in range(0, len(rows), BATCH_ROWS):
        block = slice(start, start + BATCH_ROWS)
        keys[block] = words[block].astype(np.uint64, copy=False) @ weights
    return keys
