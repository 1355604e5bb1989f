"""Rows that have any number of labels: each way of writing them, read as one matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from datasets import ClassLabel, Dataset, Features, List, Value

from hf_oversample.data.classes import in_class_order
from hf_oversample.data.columns import in_format_of, require_columns
from hf_oversample.data.reading import arrow_column

Form = Literal["names", "numbers", "multi_hot", "columns"]
BoolMatrix = npt.NDArray[np.bool_]

_WRITTEN = {"0": 0.0, "0.0": 0.0, "false": 0.0, "1": 1.0, "1.0": 1.0, "true": 1.0}


@dataclass(frozen=True, eq=False)
class LabelSets:
    """The labels of every row.

    Attributes:
        matrix: bool [n, labels], whether a row has a label.
        names: of the labels, in the order of the columns.
        form: how they were written: lists of ``"names"``, lists of ``"numbers"``, ``"multi_hot"``
            lists of 0 and 1, or 0 and 1 in ``"columns"`` of their own.
    """

    matrix: BoolMatrix
    names: list[str]
    form: Form

    def __len__(self) -> int:
        return len(self.matrix)

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Rows that have each label [labels]."""
        return self.matrix.sum(axis=0, dtype=np.int64)

    def written(self, has: npt.NDArray[np.bool_]) -> list[Any]:
        """Some labels [labels] as a value of the column that they were read from.

        Lists of names and of numbers are in the order of the labels. Of columns of their own, the
        multi-hot list.
        """
        if self.form == "names":
            return [self.names[label] for label in np.flatnonzero(has).tolist()]
        if self.form == "numbers":
            return np.flatnonzero(has).tolist()
        return has.astype(np.int64).tolist()


def read_label_sets(
    dataset: Dataset, columns: str | Sequence[str], names: Sequence[str] | None = None
) -> LabelSets:
    """Read the labels of rows that have any number of them.

    Args:
        dataset: the rows.
        columns: one column of lists, or several columns of 0 and 1, one a label. Lists may hold
            names, label numbers (a ``List(ClassLabel)``, or integers in rows of different
            lengths), or 0 and 1 for each label (multi-hot: integers, floats or booleans in rows of
            one length). An empty list is a row without labels.
        names: of the labels, where the column does not tell them: of multi-hot lists and of
            integers. Default: "0", "1" ….

    Returns:
        the labels; those of a column of their own are named by it.

    Raises:
        ValueError: no such column, or one that does not hold labels; no rows; a null, NaN, or a
            value other than 0 and 1 (its row is named); multi-hot lists of different lengths; a
            label outside the ClassLabel or the names, or twice in a row; names that are not as many
            as the labels, or not unique; no row with any label.
    """
    chosen = [columns] if isinstance(columns, str) else list(columns)
    require_columns(dataset, *chosen)
    if not len(dataset):
        raise ValueError("the data set has no rows")
    if not chosen:
        raise ValueError("no label column is named: name one of lists, or several of 0 and 1")
    if names is not None and len(set(names)) < len(names):
        raise ValueError(f"names={list(names)}: a label is named twice")
    if len(chosen) > 1:
        if len(set(chosen)) < len(chosen):
            raise ValueError(f"a label column is named twice in {chosen}")
        parts = [_zeros_and_ones(_whole(dataset, column), column) for column in chosen]
        sets = LabelSets(np.stack(parts, axis=1), chosen, "columns")
    else:
        sets = _of_lists(dataset, chosen[0], names)
    if not sets.matrix.any():
        raise ValueError(
            f"no row of {', '.join(map(repr, chosen))} has a label ({len(dataset)} rows): there is "
            "nothing to learn; check the column and any filter before"
        )
    return sets


def with_label_lists(
    dataset: Dataset,
    columns: str | Sequence[str],
    label_column: str = "labels",
    *,
    names: Sequence[str] | None = None,
    multi_hot: bool = False,
) -> Dataset:
    """The data set with its labels in one column of lists, in place of those that held them.

    Args:
        dataset, columns, names: as for :func:`read_label_sets`.
        label_column: the new column.
        multi_hot: write 0.0 and 1.0 for each label, which a model with
            ``problem_type="multi_label_classification"`` is trained on; default: label numbers, as
            a ``List(ClassLabel)``, which keeps the names.

    Raises:
        ValueError: as :func:`read_label_sets`; or ``label_column`` is there and holds no labels.
    """
    sets = read_label_sets(dataset, columns, names)
    old = [columns] if isinstance(columns, str) else list(columns)
    kept = [name for name in dataset.column_names if name not in old]
    if label_column in kept:
        raise ValueError(
            f"there is a column {label_column!r} already: remove it, or name another label_column"
        )
    feature: Any
    if multi_hot:
        feature = List(Value("float32"), length=len(sets.names))
        values = sets.matrix.astype(np.float32).tolist()
    else:
        feature = List(ClassLabel(names=sets.names))
        values = [np.flatnonzero(row).tolist() for row in sets.matrix]
    # Under a passing name first: a column may take its own place.
    passing = f"{label_column} as lists"
    made = dataset.with_format(None).add_column(passing, values, feature=feature)
    made = made.remove_columns(old).rename_column(passing, label_column)
    return in_format_of(made, dataset)


def multi_label_columns(features: Features, named: str) -> list[str] | None:
    """The label columns that a command line names, where rows have any number of labels.

    Args:
        features: of the data set.
        named: a column, or several with commas between, such as "toxic,obscene,threat". A column
            that has a comma in its name is taken for one where it is there.

    Returns:
        one column of lists, or several columns; None where the column named has one class a row, or
        is not there.
    """
    if named not in features:
        columns = [name.strip() for name in named.split(",") if name.strip()]
        return columns if len(columns) > 1 else None
    kind = features.arrow_schema.field(named).type
    return [named] if _is_list(getattr(kind, "storage_type", kind)) else None


def _of_lists(dataset: Dataset, column: str, names: Sequence[str] | None) -> LabelSets:
    values = _whole(dataset, column)
    if not _is_list(values.type):
        raise ValueError(
            f"column {column!r} holds {dataset.features[column]}, one value a row: rows with any "
            "number of labels have lists of them, or several columns of 0 and 1; name all of "
            "these. Where each row has one class, this is a data set of one label a row"
        )
    if values.null_count:
        row = int(pc.index(values.is_null(), pa.scalar(True)).as_py())
        raise ValueError(
            f"column {column!r} is null in row {row} ({values.null_count} such rows): a row "
            "without labels has an empty list; label it, or drop it with dataset.filter"
        )
    widths = pc.list_value_length(values).to_numpy(zero_copy_only=False).astype(np.int64)
    rows = np.repeat(np.arange(len(widths)), widths)
    flat = values.flatten()
    feature = getattr(dataset.features[column], "feature", None)
    if isinstance(feature, ClassLabel):
        return _of_numbers(flat, rows, len(widths), column, list(feature.names))
    if pa.types.is_string(flat.type) or pa.types.is_large_string(flat.type):
        return _of_names(flat, rows, len(widths), column, names)
    # Lists of one integer each are labels: multi-hot lists have two labels or more.
    same = len(np.unique(widths)) == 1 and widths[0] != 1
    if pa.types.is_integer(flat.type) and not same:
        return _of_numbers(flat, rows, len(widths), column, None if names is None else list(names))
    return _of_multi_hot(flat, widths, column, names)


def _of_multi_hot(
    flat: pa.Array, widths: npt.NDArray[np.int64], column: str, names: Sequence[str] | None
) -> LabelSets:
    wrong = np.flatnonzero(widths != widths[0])
    if len(wrong):
        raise ValueError(
            f"column {column!r} has {widths[wrong[0]]} values in row {wrong[0]} but {widths[0]} in "
            "row 0: multi-hot lists have a 0 or 1 for each label; make all of one length, or give "
            "label numbers as a List(ClassLabel)"
        )
    width = int(widths[0])
    if not width:
        raise ValueError(f"column {column!r} holds empty lists only: no row has a label")
    if names is not None and len(names) != width:
        raise ValueError(
            f"{len(names)} names {list(names)} were given for the {width} labels of column "
            f"{column!r}"
        )
    hint = (
        "; where these are label numbers, cast the column to List(ClassLabel(names=[…]))"
        if pa.types.is_integer(flat.type)
        else ""
    )
    matrix = _zeros_and_ones(flat, column, width=width, hint=hint).reshape(-1, width)
    return LabelSets(matrix, list(names or map(str, range(width))), "multi_hot")


def _of_names(
    flat: pa.Array, rows: npt.NDArray[np.int64], n: int, column: str, names: Sequence[str] | None
) -> LabelSets:
    _refuse_null(flat, rows, column)
    written = flat.to_pylist()
    known = in_class_order(set(written)) if names is None else list(names)
    place = {name: number for number, name in enumerate(known)}
    for row, name in zip(rows.tolist(), written, strict=True):
        if name not in place:
            raise ValueError(
                f"column {column!r} has label {name!r} in row {row}, which is none of the names "
                f"{known}: correct it, or name it"
            )
    codes = np.fromiter((place[name] for name in written), np.int64, len(written))
    return LabelSets(_matrix(codes, rows, n, known, column), known, "names")


def _of_numbers(
    flat: pa.Array, rows: npt.NDArray[np.int64], n: int, column: str, names: list[str] | None
) -> LabelSets:
    _refuse_null(flat, rows, column)
    codes = flat.to_numpy(zero_copy_only=False).astype(np.int64)
    if names is None:
        names = [str(number) for number in range(int(codes.max(initial=-1)) + 1)]
    outside = np.flatnonzero((codes < 0) | (codes >= len(names)))
    if len(outside):
        raise ValueError(
            f"column {column!r} has label {codes[outside[0]]} in row {rows[outside[0]]} "
            f"({len(outside)} such labels), outside of 0 … {len(names) - 1} ({names}): correct the "
            "row, or drop it with dataset.filter"
        )
    return LabelSets(_matrix(codes, rows, n, names, column), names, "numbers")


def _matrix(
    codes: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
    n: int,
    names: Sequence[str],
    column: str,
) -> BoolMatrix:
    matrix = np.zeros((n, len(names)), dtype=bool)
    matrix[rows, codes] = True
    if int(matrix.sum()) < len(codes):
        pairs, first = np.unique(rows * len(names) + codes, return_index=True)
        again = np.setdiff1d(np.arange(len(codes)), first)[0]
        raise ValueError(
            f"column {column!r} has label {names[codes[again]]!r} twice in row {rows[again]}: a "
            "row has a label or not; write it once (multi-hot lists have a 0 or 1 for each label, "
            "and one length)"
        )
    return matrix


def _zeros_and_ones(
    values: pa.Array, column: str, *, width: int = 1, hint: str = ""
) -> npt.NDArray[np.bool_]:
    """Values 0 and 1, of any type that a file has them in."""
    kind = values.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        listed = values.to_pylist()
        numbers = np.array(
            [_WRITTEN.get(v.strip().lower(), -1.0) if v is not None else np.nan for v in listed]
        )
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        listed = None
        plain = values.cast(pa.int8()) if pa.types.is_boolean(kind) else values
        numbers = plain.to_numpy(zero_copy_only=False).astype(np.float64)  # a null becomes NaN
    else:
        raise ValueError(
            f"column {column!r} holds values of type {kind}: a label is a 0 or 1 in each row; name "
            "other columns"
        )
    wrong = np.flatnonzero((numbers != 0) & (numbers != 1))
    if len(wrong):
        place = int(wrong[0])
        found = "NaN or null" if np.isnan(numbers[place]) else f"{numbers[place]:g}"
        if listed is not None and listed[place] is not None:
            found = repr(listed[place])
        where = f"row {place // width}" + (f", position {place % width}" if width > 1 else "")
        raise ValueError(
            f"column {column!r} is {found} in {where} ({len(wrong)} such values): a row has a "
            f"label (1) or not (0){hint}"
        )
    return numbers == 1


def _refuse_null(flat: pa.Array, rows: npt.NDArray[np.int64], column: str) -> None:
    if flat.null_count:
        place = int(pc.index(flat.is_null(), pa.scalar(True)).as_py())
        raise ValueError(
            f"column {column!r} has a null among the labels of row {rows[place]}: name the label, "
            "or take it out of the list"
        )


def _whole(dataset: Dataset, column: str) -> pa.Array:
    values = arrow_column(dataset, column).combine_chunks()
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks)
    return values.storage if isinstance(values, pa.ExtensionArray) else values


def _is_list(kind: pa.DataType) -> bool:
    return (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )
