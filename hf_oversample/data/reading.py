"""Loading and checking labelled text data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from datasets import (
    ClassLabel,
    Dataset,
    DatasetDict,
    Features,
    Value,
    load_dataset,
    load_dataset_builder,
)
from datasets.exceptions import DatasetBuildError
from datasets.packaged_modules.csv.csv import CsvConfig

from hf_oversample.data.classes import in_class_order
from hf_oversample.data.files import read_file


def load_text_dataset(
    *,
    dataset_name: str | None = None,
    dataset_config: str | None = None,
    train_file: str | Path | None = None,
    revision: str | None = None,
    split: str = "train",
    encoding: str | None = None,
) -> Dataset:
    """One split of a data set from the Hub, or the rows of a file.

    Args:
        dataset_name: name on the Hub, or anything else that ``datasets.load_dataset`` takes, which
            finds the columns' types by itself; but cells of csv files are strings, as in
            `train_file`, where the data set declares no types.
        dataset_config: its configuration, where it has several.
        train_file: a .csv, .tsv, .json, .jsonl (each also packed, .gz) or .parquet file, instead of
            a name. In a csv or tsv file every cell is the string that is written ("001", "1.0",
            "True", "NA"), and only one without a character is null.
        revision: commit, tag or branch on the Hub.
        split: which split of the named data set.
        encoding: of a text file, as Python names it; default: UTF-8.

    Raises:
        ValueError: both or neither of name and file are given, the file is of another kind or
            cannot be read (its line is named), or the named data set cannot be read.
        FileNotFoundError: there is no such file or data set.
    """
    if (dataset_name is None) == (train_file is None):
        raise ValueError(
            f"give one of dataset_name (is {dataset_name!r}) and train_file (is "
            f"{None if train_file is None else str(train_file)!r})"
        )
    if dataset_name is None:
        return read_file(str(train_file), encoding)
    if encoding is not None:
        raise ValueError(f"encoding {encoding!r} is of a file, and goes with train_file")
    if Path(dataset_name).is_file():
        raise ValueError(f"dataset_name {dataset_name!r} is a file: give it as train_file")
    where = {"path": dataset_name, "name": dataset_config, "revision": revision}
    try:
        return load_dataset(**where, split=split, **_cells_as_written(where, split))
    except DatasetBuildError as error:
        raise _unreadable(dataset_name, error) from error


def _unreadable(name: str, error: BaseException) -> ValueError:
    while error.__cause__ is not None:
        error = error.__cause__
    return ValueError(
        f"the data set {name!r} cannot be read: {' '.join(str(error).split())}; give its file as "
        "train_file, which names the line"
    )


def _cells_as_written(where: dict[str, Any], split: str) -> dict[str, Any]:
    """Options of `load_dataset` that keep it from guessing the types of csv files: chunk by chunk
    it takes "01" for 1 and "NA" for null."""
    builder = load_dataset_builder(**where)
    if not isinstance(builder.config, CsvConfig) or builder.info.features is not None:
        return {}
    try:
        first = next(iter(load_dataset(**where, split=split, streaming=True)), None)
    except ValueError as error:  # not UTF-8, no header, an open quote
        raise _unreadable(where["path"], error) from error
    if first is None:
        return {}
    if "__index_level_0__" in first:  # as which pandas takes the first of too many fields
        raise ValueError(
            f"the csv files of {where['path']!r} have rows of more fields than the header's "
            f"({', '.join(name for name in first if name != '__index_level_0__')}): put quotation "
            "marks around a cell that holds a comma, and take away commas at rows' ends; given as "
            "train_file, a file's line is named"
        )
    features = Features({name: Value("string") for name in first})
    return {"features": features, "keep_default_na": False, "na_values": [""]}


def prepare_labels(
    dataset: Dataset,
    label_column: str = "label",
    *,
    strip: bool = False,
    lowercase: bool = False,
) -> Dataset:
    """The data set with its labels as a ``ClassLabel``; unchanged where they are one already.

    Strings, booleans and integers become classes in sorted order (strings that are all written as
    integers are, like 2 and 10, in the order of numbers), named by ``str``. Classes that look alike
    stay apart, unless they are made one here; `lookalike_classes` finds them.

    Args:
        dataset: the rows.
        label_column: its labels.
        strip: take white space from both ends of names: "ham " becomes "ham".
        lowercase: write names in lower case: "Ham" becomes "ham".

    Raises:
        ValueError: the column is missing, a label is null, empty (after `strip`) or outside the
            ``ClassLabel`` (the first such row is named), or the labels are of another type, as
            floats are.
    """
    check_present(dataset, label_column)
    feature = dataset.features[label_column]
    labels = arrow_column(dataset, label_column)
    if labels.null_count:
        row = pc.index(pc.is_null(labels), True).as_py()
        raise ValueError(
            f"column {label_column!r}, row {row}: the label is null ({labels.null_count} in all), "
            "so the row has no class; label it or filter it out"
        )
    if isinstance(feature, ClassLabel):
        outside = pc.or_(pc.less(labels, 0), pc.greater_equal(labels, feature.num_classes))
        row = pc.index(outside, True).as_py()
        if row >= 0:
            raise ValueError(
                f"column {label_column!r}, row {row}: label {labels[row].as_py()} is outside the "
                f"ClassLabel, which has 0 to {feature.num_classes - 1}; rows without a class must "
                "be filtered out"
            )
        if not strip and not lowercase:
            return dataset
        # names in the order of their codes, the first of those that become one
        named = [_class_name(name, strip, lowercase) for name in feature.names]
        values = [named[code] for code in labels.to_pylist()]
        if named == feature.names:
            return dataset
        return _as_classes(dataset, label_column, values, list(dict.fromkeys(named)))
    kind = labels.type
    if not (_is_string(kind) or pa.types.is_boolean(kind) or pa.types.is_integer(kind)):
        several = (
            "; rows with any number of labels have oversamplers and measures of their own: "
            "MlRosOversampler, MlsmoteOversampler, and the commands audit and compare"
        )
        raise ValueError(
            f"column {label_column!r} is of type {kind}, which names no classes; cast it to "
            f"strings, booleans or integers{several if hasattr(kind, 'value_type') else ''}"
        )
    values = labels.to_pylist()
    found = sorted(set(values))
    if _is_string(kind):
        if strip or lowercase:
            values = [_class_name(value, strip, lowercase) for value in values]
        found = in_class_order(values)
    return _as_classes(dataset, label_column, values, found)


def _class_name(name: str, strip: bool, lowercase: bool) -> str:
    name = name.strip() if strip else name
    return name.lower() if lowercase else name


def _as_classes(dataset: Dataset, column: str, values: list[Any], classes: list[Any]) -> Dataset:
    """The data set with these labels, which are among the classes, in place of the column's."""
    if "" in values:
        raise ValueError(
            f"column {column!r}, row {values.index('')}: the label is empty ({values.count('')} in "
            "all), so the row has no class; label it or filter it out"
        )
    feature = ClassLabel(names=[str(value) for value in classes])
    ids = {value: index for index, value in enumerate(classes)}
    # Under a passing name first, as a data set must not be left without columns on the way.
    passing = f"{column} as classes"
    encoded = dataset.add_column(passing, [ids[value] for value in values], feature=feature)
    encoded = encoded.remove_columns(column).rename_column(passing, column)
    return encoded.select_columns(dataset.column_names)


def check_text_column(dataset: Dataset, text_column: str = "text") -> None:
    """Checks that each row of a column is a text with something in it.

    Raises:
        ValueError: the column is missing (those present are listed), is not of strings, or a text
            is null or only spaces (the first such row is named).
    """
    check_present(dataset, text_column)
    texts = arrow_column(dataset, text_column)
    if not _is_string(texts.type):
        raise ValueError(
            f"column {text_column!r} is of type {texts.type}, not string; name another of "
            f"{dataset.column_names}, or cast it"
        )
    for bad, name in (
        (pc.is_null(texts), "null"),
        (pc.equal(pc.utf8_trim_whitespace(texts), ""), "empty"),
    ):
        row = pc.index(bad, True).as_py()
        if row >= 0:
            raise ValueError(
                f"column {text_column!r}, row {row}: the text is {name} ({pc.sum(bad).as_py()} in "
                "all), so there is nothing to learn from; filter such rows out"
            )


def check_present(dataset: Dataset, column: str) -> None:
    """
    Raises:
        ValueError: there is no such column (those present are listed), or this is several splits.
    """
    if isinstance(dataset, DatasetDict):
        raise ValueError(f"this is a DatasetDict of {list(dataset)}: choose one of its splits")
    if column not in dataset.column_names:
        raise ValueError(f"there is no column {column!r}; there are {dataset.column_names}")


def arrow_column(dataset: Dataset, column: str) -> pa.ChunkedArray:
    """A column's values as Arrow holds them, whatever the data set's format."""
    return dataset.select_columns(column).with_format("arrow")[:][column]


def _is_string(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)
