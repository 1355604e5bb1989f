"""The one reader of users' files: csv, tsv, JSON and parquet, with no value guessed."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset

from hf_oversample.data.decoding import read_text
from hf_oversample.data.delimited import read_delimited
from hf_oversample.data.json_rows import read_json

TEXT_SUFFIXES = (".csv", ".tsv", ".json", ".jsonl")
FILE_SUFFIXES = (*TEXT_SUFFIXES, *(f"{suffix}.gz" for suffix in TEXT_SUFFIXES), ".parquet")


def read_file(path: str | Path, encoding: str | None = None) -> Dataset:
    """
    The rows of a file, held in memory.

    Args:
        path: its name ends in .csv, .tsv, .json or .jsonl, perhaps followed by .gz, or in .parquet;
            upper case counts as lower. In a csv or tsv file every column is of strings, as they are
            written, and a cell without a character is null (`read_delimited`); in a JSON file
            values have the types that are written, one for each column (`read_json`).
        encoding: of a text file, as Python names it; None for UTF-8. A byte order mark is no part
            of the text.

    Raises:
        ValueError: another kind of file, or one that cannot be read to its end as what it is named;
            the message has the file and, where there is one, the line.
        FileNotFoundError: there is no such file.
    """
    path = Path(path)
    suffix = _suffix(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file")
    if suffix == ".parquet":
        if encoding is not None:
            raise ValueError(
                f"encoding is {encoding!r}, and {path} is a parquet file, whose texts are in UTF-8 "
                "always: leave it out"
            )
        table = _parquet(path)
    elif suffix in (".csv", ".tsv"):
        text = read_text(path, encoding)
        table = read_delimited(path, text, "," if suffix == ".csv" else "\t")
    else:
        table = read_json(path, read_text(path, encoding), is_lines=suffix == ".jsonl")
    try:
        return Dataset(table)
    except (ValueError, TypeError, NotImplementedError, pa.ArrowException) as error:
        kinds = ", ".join(f"{field.name!r} {field.type}" for field in table.schema)
        raise ValueError(
            f"{path} has a column of a type that data sets do not have ({_one_line(error)}); its "
            f"columns are {kinds}: leave that one out, or write it as strings"
        ) from None


def _suffix(path: Path) -> str:
    """What the file is, whether packed or not."""
    name = path.name.lower()
    for suffix in FILE_SUFFIXES:
        if name.endswith(suffix):
            return suffix.removesuffix(".gz")
    raise ValueError(
        f"{str(path)!r} ends in {path.suffix!r}, and this can read only {', '.join(FILE_SUFFIXES)};"
        " convert it, or load it yourself with `datasets`"
    )


def _parquet(path: Path) -> pa.Table:
    """A parquet file's table, with each column in a type that `datasets` has."""
    try:
        # Not `read_table`, which takes folders' names such as label=1 for columns.
        with pq.ParquetFile(path) as file:
            table = file.read()
    except (pa.ArrowException, OSError) as error:
        raise ValueError(
            f"{path} is not a whole parquet file ({_one_line(error)}): write or download it again, "
            "or name it as what it is"
        ) from None
    if not table.num_columns or not table.num_rows:
        missing = "rows" if table.num_columns else "columns"
        raise ValueError(f"{path} has no {missing}: {table.column_names}")
    for place, field in enumerate(table.schema):
        if table.column_names.count(field.name) > 1:
            raise ValueError(f"{path} has two columns {field.name!r}; rename one of them")
        kind = _plain(field.type)
        if kind != field.type:
            try:
                column = table.column(place).cast(kind)
            except pa.ArrowException as error:
                raise ValueError(
                    f"{path}: column {field.name!r} is of type {field.type}, and cannot be read as "
                    f"{kind} ({_one_line(error)}): write it as strings"
                ) from None
            table = table.set_column(place, field.with_type(kind), column)
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            _check_utf8(path, field.name, table.column(place))
    return table


def _check_utf8(path: Path, name: str, column: pa.ChunkedArray) -> None:
    """Parquet says that its strings are UTF-8, and some writers do not see to it."""
    try:
        column.validate(full=True)
    except pa.ArrowException:
        for row, cell in enumerate(column.cast(pa.large_binary()).to_pylist()):
            try:
                (cell or b"").decode()
            except UnicodeDecodeError as error:
                raise ValueError(
                    f"{path}: column {name!r}, row {row}, byte {error.start + 1} of the text: "
                    f"0x{cell[error.start]:02X} is no UTF-8 there, which parquet asks for; write "
                    "the file again with the text decoded"
                ) from None
        raise


def _plain(kind: pa.DataType) -> pa.DataType:
    """The values' type of a dictionary, and strings for their other layouts."""
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    return pa.string() if pa.types.is_string_view(kind) else kind


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
