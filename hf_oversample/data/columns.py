"""Reading and checking the columns of a data set, by Arrow buffers rather than Python objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from datasets import ClassLabel, Dataset, Features

_BATCH_ROWS = 10_000
# Values that the 32-bit offsets of one list array can count.
_LARGEST_OFFSET = 2**31 - 1
# 2**64 divided by the golden ratio: its multiples differ in all their bits
_KEY_STEP = np.uint64(0x9E3779B97F4A7C15)


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


def _batches(
    dataset: Dataset, column: str, rows: int = _BATCH_ROWS
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


def _is_list(kind: pa.DataType) -> bool:
    return (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _first(mask: pa.Array) -> int:
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
    for start, values in _batches(dataset, column):
        if values.null_count:
            raise ValueError(
                f"column {column!r} is null in row "
                f"{first_row + start + _first(values.is_null())}: give the row a label, or drop it "
                "with dataset.filter"
            )
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        parts.append(values.to_numpy(zero_copy_only=False))
    raw = np.concatenate(parts)
    feature = dataset.features[column]
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
    for start, values in _batches(dataset, column):
        if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
            raise ValueError(
                f"column {column!r} holds {dataset.features[column]}, not strings: name the text "
                f"column; the data set has {dataset.column_names}"
            )
        empty = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(values), ""), True)
        count = pc.sum(empty).as_py() or 0
        if count and not bad:
            row = _first(empty)
            first = first_row + start + row
            what = "null" if values[row].as_py() is None else "empty"
        bad += count
    if bad:
        raise ValueError(
            f"column {column!r} is {what} in row {first} ({bad} such rows): a text is needed to "
            "make texts from; drop them with "
            f"dataset.filter(lambda row: (row[{column!r}] or '').strip())"
        )


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
    block_rows: int = _BATCH_ROWS,
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
    for place, values in _batches(dataset, column, block_rows):
        if digest is not None:
            digest.add(values)
        if isinstance(values, pa.ExtensionArray):
            values = values.storage
        kind = values.type
        if not _is_list(kind) or not (
            pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)
        ):
            raise ValueError(
                f"column {column!r} holds {dataset.features[column]}: embeddings must be lists of "
                "numbers, one flat list a row"
            )
        if values.null_count:
            row = number(place + _first(values.is_null()))
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
        for _, values in _batches(dataset, column):
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
    elif _is_list(kind):
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
    for start in range(0, len(rows), _BATCH_ROWS):
        block = slice(start, start + _BATCH_ROWS)
        keys[block] = words[block].astype(np.uint64, copy=False) @ weights
    return keys


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
