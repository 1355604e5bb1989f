"""Rows written as JSON: a line an object, one array of objects, or one object of columns."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa

_SHOWN = 60
_BLOCK_ROWS = 10_000
# What a user calls the types of JSON. Integers and other numbers may stand in one column.
_KINDS: dict[type, str] = {
    str: "a string",
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "an array",
    dict: "an object",
}


class _Twice(ValueError):
    """An object that has a key two times."""


def read_json(path: Path, text: str, *, is_lines: bool) -> pa.Table:
    """
    The rows of a JSON file; the values of a column are of one type in all of its rows, and are not
    converted. A key that a row lacks is null there.

    Args:
        path: the file, for messages.
        text: what it holds.
        is_lines: whether each line is an object; else the file may also be one array of objects, or
            one object of columns (arrays of the same length). Lines with nothing in them are passed
            over.

    Raises:
        ValueError: text that is no JSON, a row that is no object or has a key twice, a column of
            two types, half a character (a lone surrogate), or no rows; the message has the line.
    """
    if not is_lines and (table := _whole(path, text)) is not None:
        return table
    rows: list[dict[str, Any]] = []
    places: list[str] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip(" \t\r"):
            place = f"line {number}"
            rows.append(_row(path, place, _parsed(path, number, line), line))
            places.append(place)
    return _table(path, rows, places)


def _whole(path: Path, text: str) -> pa.Table | None:
    """A file that is one array or one object of columns; None where it is of lines."""
    start = text.lstrip()[:1]
    if start not in ("[", "{"):
        return None
    try:
        value = _DECODER.decode(text)
    except _Twice as error:
        if start == "{":  # perhaps of lines, where it is told with its line
            return None
        raise ValueError(f"{path}: {error}") from None
    except json.JSONDecodeError as error:
        if start == "{":
            return None
        raise ValueError(_broken(path, error, error.lineno, text)) from None
    except RecursionError:
        raise ValueError(f"{path}: it is nested too deeply to be a table") from None
    except ValueError as error:  # an integer of more digits than Python reads
        raise ValueError(f"{path}: {error}") from None
    if isinstance(value, list):
        places = [f"row {number}" for number in range(len(value))]
        rows = [_row(path, place, one) for place, one in zip(places, value, strict=True)]
        return _table(path, rows, places)
    if not (value and all(isinstance(column, list) for column in value.values())):
        return None  # one row
    lengths = {name: len(column) for name, column in value.items()}
    if len({*lengths.values()}) > 1:
        told = ", ".join(f"{name!r} {length}" for name, length in lengths.items())
        raise ValueError(f"{path}: its columns are not of one length: {told}")
    places = [f"row {number}" for number in range(next(iter(lengths.values())))]
    return _joined(path, value, places)


def _parsed(path: Path, number: int, line: str) -> Any:
    try:
        return _DECODER.decode(line)
    except _Twice as error:
        raise ValueError(f"{path}, line {number}: {error}") from None
    except json.JSONDecodeError as error:
        raise ValueError(_broken(path, error, number, line)) from None
    except RecursionError:
        raise ValueError(f"{path}, line {number}: it is nested too deeply to be a row") from None
    except ValueError as error:  # an integer of more digits than Python reads
        raise ValueError(f"{path}, line {number}: {error}") from None


def _broken(path: Path, error: json.JSONDecodeError, line: int, text: str) -> str:
    found = text[error.pos : error.pos + _SHOWN].split("\n")[0].rstrip("\r")
    there = f"{found!r} stands there" if found else "the line ends there"
    return (
        f"{path}, line {line}, column {error.colno}: this is no JSON ({error.msg}); {there}. "
        "Write one object a line, such as "
        '{"text": "hello", "label": "ham"}, with line breaks in texts as \\n'
    )


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        name, times = Counter(name for name, _ in pairs).most_common(1)[0]
        raise _Twice(f"the key {name!r} is there {times} times in one object; keep one of them")
    return row


# Made once, as json.loads makes one for each line.
_DECODER = json.JSONDecoder(object_pairs_hook=_once)


def _row(path: Path, place: str, value: Any, line: str | None = None) -> dict[str, Any]:
    if not isinstance(value, dict):
        shown = (json.dumps(value) if line is None else line.strip())[:_SHOWN]
        more = (
            ""
            if line is None or not isinstance(value, list)
            else ". A file that is one array of objects is named .json, and written as one array"
        )
        raise ValueError(
            f"{path}, {place}: this is {_kind(value)}, not an object: {shown!r}. Write rows as "
            f'{{"text": "hello", "label": "ham"}}{more}'
        )
    return value


def _table(path: Path, rows: list[dict[str, Any]], places: list[str]) -> pa.Table:
    if not rows:
        raise ValueError(f"{path} has no rows: add some")
    names = dict.fromkeys(name for row in rows for name in row)
    return _joined(path, {name: [row.get(name) for row in rows] for name in names}, places)


def _joined(path: Path, columns: dict[str, list[Any]], places: list[str]) -> pa.Table:
    if not columns or not places:
        raise ValueError(f"{path} has no {'rows' if columns else 'columns'}: add some")
    for name in columns:
        if _half_characters(name):
            raise ValueError(
                f"{path}: the key {json.dumps(name)} holds half a character (a lone surrogate such "
                "as \\ud83d), which no text has; rename it"
            )
    return pa.table({name: _column(path, name, columns[name], places) for name in columns})


def _column(path: Path, name: str, values: list[Any], places: list[str]) -> pa.ChunkedArray:
    """A column in Arrow, of one type whatever the row."""
    first: dict[str, int] = {}
    for row, value in enumerate(values):
        if value is not None:
            first.setdefault(_kind(value), row)
    if len(first) > 1:
        (one, row), (other, later) = list(first.items())[:2]
        raise ValueError(
            f"{path}: {name!r} is {one} in {places[row]} ({_shown(values[row])}) and {other} in "
            f"{places[later]} ({_shown(values[later])}); write it in one way in all rows"
        )
    try:
        kind = pa.string() if "a string" in first else pa.infer_type(values)
        blocks = [
            values[start : start + _BLOCK_ROWS] for start in range(0, len(values), _BLOCK_ROWS)
        ]
        return pa.chunked_array([pa.array(block, kind) for block in blocks], kind)
    except (UnicodeEncodeError, OverflowError, pa.ArrowException) as error:
        unfit = next((row for row, value in enumerate(values) if not _fits(value)), None)
        if unfit is None:
            raise ValueError(
                f"{path}: the values of {name!r} do not make one column "
                f"({' '.join(str(error).split())}); write them in one way in all "
                "rows, or leave the key out"
            ) from None
        raise ValueError(
            f"{path}, {places[unfit]}: {name!r} holds {_shown(values[unfit])}: "
            + (
                "half a character (a lone surrogate such as \\ud83d), which no text has; write "
                "both halves, or leave it out"
                if isinstance(error, UnicodeEncodeError)
                else "a number that 64 bits do not hold; write it as a string"
            )
        ) from None


def _half_characters(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _fits(value: Any) -> bool:
    """Whether a value alone can stand in a column."""
    try:
        pa.array([value])
    except (UnicodeEncodeError, OverflowError, pa.ArrowException):
        return False
    return True


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "null")


def _shown(value: Any) -> str:
    text = json.dumps(value)  # half a character is shown as what is written in the file
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
