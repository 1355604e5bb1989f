"""Reading and checking a column of embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hf_oversample.data.columns import (
    BATCH_ROWS,
    column_batches,
    first_true,
    is_list,
    require_columns,
)
from hf_oversample.data.digests import ContentDigest

if TYPE_CHECKING:
    from datasets import Dataset


def exact_embeddings(dataset: Dataset, column: str) -> npt.NDArray[np.float64] | None:
    """An embedding column in its own digits [n, d], where it has more than float32's; else None.

    Raises:
        as `embedding_matrix`, but for values beyond float32.
    """
    return _matrix(dataset, column, np.float64) if has_float64(dataset, column) else None


def has_float64(dataset: Dataset, column: str) -> bool:
    """Whether an embedding column has more digits than float32's."""
    kind = dataset.features.arrow_schema.field(column).type
    value_type = getattr(getattr(kind, "storage_type", kind), "value_type", None)
    return value_type is not None and pa.types.is_float64(value_type)


def embedding_matrix(
    dataset: Dataset,
    column: str,
    *,
    first_row: int = 0,
    numbers: Sequence[int] | npt.NDArray[np.integer] | None = None,
) -> npt.NDArray[np.float32]:
    """Read an embedding column as a float32 matrix [n, d], with one copy.

    Args:
        dataset: its rows.
        column: its name.
        first_row: the number of the first row in messages, where the rows are a part of others.
        numbers: those of all rows in messages, where they do not follow one another.

    Raises:
        ValueError: no such column, not lists of numbers, a null, ragged, empty, NaN or infinite
            row, or a value beyond float32 (the first one is named).
    """
    return _matrix(dataset, column, np.float32, first_row, numbers)


def _matrix(
    dataset: Dataset,
    column: str,
    dtype: type[np.floating],
    first_row: int = 0,
    numbers: Sequence[int] | npt.NDArray[np.integer] | None = None,
) -> npt.NDArray[Any]:
    matrix: npt.NDArray[Any] | None = None
    blocks = embedding_blocks(dataset, column, dtype, first_row=first_row, numbers=numbers)
    for start, block in blocks:
        if matrix is None:
            matrix = np.empty((len(dataset), block.shape[1]), dtype=dtype)
        matrix[start : start + len(block)] = block
    if matrix is None:
        raise ValueError("the data set has no rows")
    return matrix


def embedding_blocks(
    dataset: Dataset,
    column: str,
    dtype: type[np.floating] = np.float32,
    *,
    first_row: int = 0,
    numbers: Sequence[int] | npt.NDArray[np.integer] | None = None,
    block_rows: int = BATCH_ROWS,
    digest: ContentDigest | None = None,
) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """(place of its first row, [b, d]) of each block of an embedding column, in order; not to be
    written to.

    Args:
        dataset: its rows.
        column: its name.
        dtype: of the blocks.
        first_row, numbers: as `embedding_matrix`.
        block_rows: rows of a block.
        digest: what the column is added to while it is read; then ``block_rows`` is the default.

    Raises:
        as `embedding_matrix`; values beyond ``dtype``.
    """

    def number(place: int) -> int:
        return first_row + place if numbers is None else int(numbers[place])

    require_columns(dataset, column)
    if digest is not None:
        digest.begin(column)
    width = None
    for place, values in column_batches(dataset, column, block_rows):
        if digest is not None:
            digest.add(values)
        if isinstance(values, pa.ExtensionArray):
            values = values.storage
        kind = values.type
        if not is_list(kind) or not (
            pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)
        ):
            raise ValueError(
                f"column {column!r} holds {dataset.features[column]}: embeddings must be lists of "
                "numbers, one flat list a row"
            )
        if values.null_count:
            row = number(place + first_true(values.is_null()))
            raise ValueError(f"column {column!r} is null in row {row}: embed it or drop the row")
        widths = pc.list_value_length(values).to_numpy(zero_copy_only=False)
        width = int(widths[0]) if width is None else width
        wrong = np.flatnonzero(widths != width)
        if len(wrong) or not width:
            row = int(wrong[0]) if len(wrong) else 0
            raise ValueError(
                f"column {column!r} has {int(widths[row])} values in row {number(place + row)} but "
                f"{width} in row {number(0)}: every embedding needs the same width, at least 1"
            )
        flat = values.flatten().to_numpy(zero_copy_only=False)  # a null value becomes NaN
        with np.errstate(over="ignore"):  # told below, with its place
            block = flat.astype(dtype, copy=False).reshape(-1, width)
            # NaN and inf survive a sum: a finite one is a quick proof that there are none.
            total = block.sum()
        if not np.isfinite(total) and not np.isfinite(block).all():
            row, position = (int(found[0]) for found in np.nonzero(~np.isfinite(block)))
            given = flat.reshape(-1, width)[row, position]
            if np.isfinite(given):
                raise ValueError(
                    f"column {column!r} is {block[row, position]} in row {number(place + row)}, "
                    f"position {position}, as float32, where it must be finite (up to 3.4e38): it "
                    f"holds {given:g}; divide the column by a constant"
                )
            raise ValueError(
                f"column {column!r} is {block[row, position]} in row {number(place + row)}, "
                f"position {position}: embeddings must be finite; embed the row again or drop it"
            )
        yield place, block


def vectors_of(values: Any) -> npt.NDArray[np.float32] | None:
    """A batch's embeddings, of any format, as [n, d]; None where they are no matrix."""
    if isinstance(values, pa.ChunkedArray | pa.Array):
        array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
        if isinstance(array, pa.ChunkedArray):
            array = pa.concat_arrays(array.chunks)
        if isinstance(array, pa.ExtensionArray):
            array = array.storage
        flat = array.flatten().to_numpy(zero_copy_only=False)
        if not len(array) or len(flat) % len(array):
            return None
        return flat.reshape(len(array), -1).astype(np.float32, copy=False)
    try:
        matrix = np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError):  # a null, a text, rows of several widths
        return None
    return matrix if matrix.ndim == 2 else None
