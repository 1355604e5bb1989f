"""Tables whose cells are parted by commas or tabs: every cell is the string that is written."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

_BLOCK_ROWS = 10_000
_SHOWN = 60
_LARGEST_CELL = 2**31 - 1
_NAMES = {",": "comma", "\t": "tab"}


def read_delimited(path: Path, text: str, delimiter: str = ",") -> pa.Table:
    """
    The rows of a csv or tsv file. No type is guessed: every column is of strings, each cell as it
    is written ("001", "1.0", "True", "NA"). A cell without a character, quoted or not, is null.
    Quotation marks are those of RFC 4180: around a cell, and doubled within it. Lines without a
    character are passed over. A column without a name is called after its place, "column 1".

    Args:
        path: the file, for messages.
        text: what it holds.
        delimiter: between cells.

    Raises:
        ValueError: a row with more or fewer cells than the header (the message has the line where
            it begins), a quotation mark that is not closed, two columns of the same name, or no
            rows.
    """
    with _cells_of_any_length():
        return _Reader(path, text, delimiter).table()


class _Reader:
    def __init__(self, path: Path, text: str, delimiter: str) -> None:
        self.path, self.text, self.delimiter = path, text, delimiter
        # With newline="" line ends within cells stay as they are.
        self.rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        self.start = 1  # the line where the next row begins

    def table(self) -> pa.Table:
        rows = self._numbered()
        names = self._header(rows)
        width = len(names)
        columns: list[list[pa.Array]] = [[] for _ in names]
        block: list[list[str]] = []
        for line, row in rows:
            if len(row) != width:
                raise ValueError(self._wrong_width(line, row, names))
            block.append(row)
            if len(block) == _BLOCK_ROWS:
                _append(columns, block)
        _append(columns, block)
        if not any(columns):
            raise ValueError(
                f"{self.path} has a header ({', '.join(names)}) and no rows under it: add rows"
            )
        return pa.table(
            {
                name: pa.chunked_array(chunks, pa.string())
                for name, chunks in zip(names, columns, strict=True)
            }
        )

    def _numbered(self) -> Iterator[tuple[int, list[str]]]:
        """Rows with the lines where they begin."""
        try:
            for row in self.rows:
                if row:  # a line without a character has no cell
                    yield self.start, row
                self.start = self.rows.line_num + 1
        except csv.Error as error:
            raise ValueError(self._broken(error)) from None

    def _header(self, rows: Iterator[tuple[int, list[str]]]) -> list[str]:
        line, found = next(rows)
        others = [mark for mark in ";\t|," if mark != self.delimiter and mark in found[0]]
        if len(found) == 1 and others:
            raise ValueError(
                f"{self.path}, line {line}: the header is the one cell {found[0]!r}. Cells are "
                f"parted by a {_NAMES[self.delimiter]} here, and by {others[0]!r} in this file, it "
                "seems: save it as .csv with commas, or as .tsv with tabs"
            )
        names = [name or f"column {place}" for place, name in enumerate(found, start=1)]
        if broken := [name for name in names if "\0" in name]:
            raise ValueError(
                f"{self.path}, line {line}: the header's name {broken[0]!r} holds a NUL character; "
                "rename the column"
            )
        if repeated := [name for name, times in Counter(names).items() if times > 1]:
            raise ValueError(
                f"{self.path}, line {line}: the header names {repeated[0]!r} "
                f"{names.count(repeated[0])} times ({', '.join(names)}); rename one of them"
            )
        return names

    def _wrong_width(self, line: int, row: list[str], names: list[str]) -> str:
        found, expected = len(row), len(names)
        mark = _NAMES[self.delimiter]
        if found > expected and not any(row[expected:]):
            advice = f"Take away the {mark}s at the row's end, or name those columns in the header"
        elif found > expected:
            advice = f"Put quotation marks around a cell that holds a {mark}"
        else:
            advice = "Put quotation marks around a cell that holds a line break, or add the rest"
        return (
            f"{self.path}, line {line}: the row has {found} {_fields(found)}, and the header has "
            f"{expected} ({', '.join(names)}). The row begins {self._beginning(line)!r}. {advice}"
        )

    def _beginning(self, line: int) -> str:
        return self._lines(line)[0].rstrip("\r\n")[:_SHOWN]

    def _lines(self, start: int) -> list[str]:
        return list(io.StringIO(self.text, newline=""))[start - 1 :]

    def _broken(self, error: csv.Error) -> str:
        """The message of quotation marks that do not match, with the line of the opening one."""
        last = self.rows.line_num
        opened = self._opened(self._lines(self.start)[: last - self.start + 1])
        if "unexpected end" in str(error):
            return (
                f"{self.path}, line {opened}: a quotation mark opens here and is not closed before "
                f"the file ends (line {last}). Its row begins {self._beginning(self.start)!r}. "
                'Close it, or write a quotation mark within a quoted cell twice ("")'
            )
        return (
            f"{self.path}, line {last}: after the quotation mark that closes a cell (opened on "
            f"line {opened}) there is neither a {_NAMES[self.delimiter]} nor the line's end. Its "
            f"row begins {self._beginning(self.start)!r}. Close the cell where it ends, and write "
            'a quotation mark within a quoted cell twice ("")'
        )

    def _opened(self, lines: list[str]) -> int:
        """The line where the last quoted cell of a broken row opens."""
        opened, inside, at_start, closed = self.start, False, True, False
        for line, content in enumerate(lines, start=self.start):
            for character in content:
                if character == '"' and (at_start or inside or closed):
                    if at_start:
                        opened = line
                    # doubled, it closes and opens again: the cell is the same
                    closed, inside = inside, not inside
                elif closed and character not in (self.delimiter, "\r", "\n"):
                    return opened
                else:
                    closed = False
                at_start = not inside and character == self.delimiter
        return opened


def _append(columns: list[list[pa.Array]], block: list[list[str]]) -> None:
    """Adds a block of rows to the columns, and empties it."""
    if block:
        for chunks, cells in zip(columns, zip(*block, strict=True), strict=True):
            chunks.append(pa.array([cell or None for cell in cells], pa.string()))
        block.clear()


def _fields(number: int) -> str:
    return "field" if number == 1 else "fields"


@contextmanager
def _cells_of_any_length() -> Iterator[None]:
    """Python's reader refuses cells of more than 131,072 characters, and long texts are data."""
    before = csv.field_size_limit(_LARGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)
