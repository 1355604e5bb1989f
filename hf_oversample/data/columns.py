"""Reading and checking the columns of a data set, by Arrow buffers rather than Python objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from datasets import Dataset

BATCH_ROWS = 10_000
"""Rows that are read at a time."""
# Values that the 32-bit offsets of one list array can count.
_LARGEST_OFFSET = 2**31 - 1


def require_columns(dataset: Dataset, *columns: str | None) -> None:
    """Check that the columns exist (None is skipped).

    Raises:
        ValueError: a column is missing; the message lists those present.
    """
    for column in columns:
        if column is not None and column not in dataset.column_names:
            raise ValueError(
                f"there is no column {column!r}; the data set has {dataset.column_names}: name one "
                "of them, or rename yours with dataset.rename_column"
            )


def column_batches(
    dataset: Dataset, column: str, rows: int = BATCH_ROWS
) -> Iterator[tuple[int, pa.Array]]:
    """(first row, values) of a column, in batches of a fixed size whatever its chunks are."""
    table = dataset.select_columns([column]).with_format("arrow")
    start = 0
    for batch in table.iter(batch_size=rows):
        values = batch[column].combine_chunks()
        if isinstance(values, pa.ChunkedArray):
            values = pa.concat_arrays(values.chunks)
        yield start, values
        start += len(values)


def is_list(kind: pa.DataType) -> bool:
    """Whether a column's type is one of Arrow's lists."""
    return (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def first_true(mask: pa.Array) -> int:
    """The place of the first true value; −1 where there is none."""
    return int(pc.index(mask, pa.scalar(True)).as_py())


@dataclass(frozen=True)
class Labels:
    """A label column as codes.

    Attributes:
        codes: [n], the place of each row's class in ``values``; the smallest signed type.
        values: the column's value for each code: integers or strings, in ascending order; lists
            where a row has any number of labels.
        names: the name of each code: the ClassLabel's, or the value as a string.
    """

    codes: npt.NDArray[np.signedinteger]
    values: list[Any]
    names: list[str]


def read_labels(dataset: Dataset, column: str, *, first_row: int = 0) -> Labels:
    """Read a label column: ClassLabel, integers, strings or booleans.

    Args:
        dataset: its rows.
        column: its name.
        first_row: the number of the first row in messages, where the rows are a part of others.

    Raises:
        ValueError: no rows; a null (the row is named); a value outside the ClassLabel; a column
            of another type.
    """
    require_columns(dataset, column)
    if not len(dataset):
        raise ValueError("the data set has no rows")
    parts = []
    for start, values in column_batches(dataset, column):
        if values.null_count:
            row = first_row + start + first_true(values.is_null())
            raise ValueError(
                f"column {column!r} is null in row {row}: give the row a label, or drop it with "
                "dataset.filter"
            )
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        parts.append(values.to_numpy(zero_copy_only=False))
    raw = np.concatenate(parts)
    feature = dataset.features[column]
    from datasets import ClassLabel

    if isinstance(feature, ClassLabel):
        names = list(feature.names)
        outside = np.flatnonzero((raw < 0) | (raw >= len(names)))
        if len(outside):
            raise ValueError(
                f"column {column!r} is {int(raw[outside[0]])} in row "
                f"{first_row + int(outside[0])}, outside the ClassLabel's 0 … {len(names) - 1} "
                f"({names}); rows without a label (−1) must be dropped with dataset.filter"
            )
        return Labels(_smallest(raw, len(names)), list(range(len(names))), names)
    if raw.dtype.kind not in "iubOUT" or (raw.dtype == object and not isinstance(raw[0], str)):
        raise ValueError(
            f"column {column!r} holds {feature}: labels must be a ClassLabel, integers, strings or "
            "booleans, one a row"
        )
    present, codes = np.unique(raw, return_inverse=True)
    return Labels(
        _smallest(codes, len(present)), present.tolist(), [str(v) for v in present.tolist()]
    )


def _smallest(codes: npt.NDArray[np.generic], classes: int) -> npt.NDArray[np.signedinteger]:
    return codes.astype(np.min_scalar_type(-classes))  # int8 for up to 128 classes


def check_texts(dataset: Dataset, column: str, *, first_row: int = 0) -> None:
    """Check that a column holds a text in every row.

    Args:
        dataset: its rows.
        column: its name.
        first_row: the number of the first row in messages, where the rows are a part of others.

    Raises:
        ValueError: no such column, not a string column, or a row that is null, empty or white
            space only (the first such row is named, all are counted).
    """
    require_columns(dataset, column)
    bad, first, what = 0, -1, ""
    for start, values in column_batches(dataset, column):
        if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
            raise ValueError(
                f"column {column!r} holds {dataset.features[column]}, not strings: name the text "
                f"column; the data set has {dataset.column_names}"
            )
        empty = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(values), ""), True)
        count = pc.sum(empty).as_py() or 0
        if count and not bad:
            row = first_true(empty)
            first = first_row + start + row
            what = "null" if values[row].as_py() is None else "empty"
        bad += count
    if bad:
        raise ValueError(
            f"column {column!r} is {what} in row {first} ({bad} such rows): a text is needed to "
            "make texts from; drop them with "
            f"dataset.filter(lambda row: (row[{column!r}] or '').strip())"
        )


def in_format_of(result: Dataset, dataset: Dataset) -> Dataset:
    """A data set made from another, shown in that one's format: type, options, and columns, those
    that are new included, as ``map`` does it."""
    shown = dataset.format["columns"]
    columns = None
    if set(shown) != set(dataset.column_names):
        hidden = set(dataset.column_names) - set(shown)
        columns = [name for name in result.column_names if name not in hidden]
    return result.with_format(
        dataset.format["type"],
        columns=columns,
        output_all_columns=dataset.format["output_all_columns"],
        **dataset.format["format_kwargs"],
    )


def as_list(values: Any) -> list[Any]:
    """A batch's column as a list, whatever the data set's format gives (list, NumPy, torch)."""
    if hasattr(values, "tolist"):
        return list(values.tolist())
    if isinstance(values, Sequence) and not isinstance(values, str | bytes):
        return list(values)
    raise TypeError(f"a batch's column must be a list or an array, got {type(values).__name__}")


def as_arrow(values: Any, feature: Any) -> pa.Array | pa.ChunkedArray:
    """A made column in the Arrow type of its feature.

    A float32 matrix [n, d] becomes a list column of n rows without being copied; in chunks where
    one list array cannot count its values.
    """
    from datasets import Features

    kind = Features({"column": feature}).arrow_schema.field("column").type
    if not (isinstance(values, np.ndarray) and values.ndim == 2):
        return pa.array(as_list(values), type=kind)
    width = values.shape[1]
    largest = max(1, _LARGEST_OFFSET // max(1, width))
    if pa.types.is_list(kind) and len(values) > largest:
        parts = [values[start : start + largest] for start in range(0, len(values), largest)]
        return pa.chunked_array([as_arrow(part, feature) for part in parts], type=kind)
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    if pa.types.is_fixed_size_list(kind):
        array = pa.FixedSizeListArray.from_arrays(flat, width)
    elif pa.types.is_large_list(kind):
        array = pa.LargeListArray.from_arrays(np.arange(len(values) + 1) * width, flat)
    else:
        ends = np.arange(len(values) + 1, dtype=np.int64) * width
        array = pa.ListArray.from_arrays(ends.astype(np.int32), flat)
    return array if array.type == kind else array.cast(kind)


class ListColumns(Mapping[str, list[Any]]):
    """A batch's columns as lists, each converted when it is first asked for.

    Embeddings are slow as Python lists, and most methods need no more than one column.

    Args:
        batch: columns by name, of any format.
        names: the columns to show.
    """

    def __init__(self, batch: Mapping[str, Any], names: Sequence[str]) -> None:
        self._batch, self._names = batch, names
        self._lists: dict[str, list[Any]] = {}

    def __getitem__(self, name: str) -> list[Any]:
        if name not in self._lists:
            if name not in self._names:
                raise KeyError(name)
            self._lists[name] = as_list(self._batch[name])
        return self._lists[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
