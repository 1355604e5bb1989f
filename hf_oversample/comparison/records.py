"""The results of a comparison as one JSON line a cell: a killed run goes on where it was."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hf_oversample.comparison.json_lines import JsonLines

DATA = "data"
"""What a header calls its list of digests, one a split."""
EMBEDDINGS = "embeddings"
"""What a header calls the list of numbers that tells embeddings from others."""


class CellKey(NamedTuple):
    """Which cell of a comparison: one remedy with one classifier on one fold."""

    classifier: str
    remedy: str
    fold: str


@dataclass(frozen=True)
class Cell:
    """What came out of one.

    Attributes:
        classifier, remedy, fold: which cell.
        metrics: by name; empty where the remedy refused.
        seconds: that this remedy would take alone: resampling, training and scoring, with what it
            shares with others.
        made: rows that it added to the training part.
        left_out: made texts left out because they happen to equal a held-out text, or, of rows that
            were given, nearly do.
        withheld: of rows that were given, how many the fold does not train on, by reason.
        curves: see :func:`hf_oversample.comparison.scores.cell_curves`.
        texts: what the texts that it made are like, see
            :func:`hf_oversample.comparison.made_texts.made_texts_of`.
        giveaways: what tells them from real ones, the strongest first.
        shared: what was made in this cell and may serve others of its fold → its seconds
            (:class:`~hf_oversample.comparison.costs.Costs`).
        refused: why the remedy cannot work on these rows (an error's message), else None.
        diverged: whether that was a training whose loss was no longer finite
            (``FloatingPointError``): the same seed would diverge again.
        anchors: of a remedy with anchors or their encoder, what they come from
            (:meth:`~hf_oversample.comparison.fold.AnchorSource.identity`), and of rows that were
            given, which (:meth:`~hf_oversample.comparison.given_rows.GivenRows.identity`); else
            None.
        threshold: on the minority's probability, chosen by F1 on validation rows.
    """

    classifier: str
    remedy: str
    fold: str
    metrics: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    made: int = 0
    left_out: int = 0
    withheld: dict[str, int] = field(default_factory=dict)
    curves: dict[str, list[Any]] = field(default_factory=dict)
    texts: dict[str, float] = field(default_factory=dict)
    giveaways: list[str] = field(default_factory=list)
    shared: dict[str, float] = field(default_factory=dict)
    refused: str | None = None
    diverged: bool = False
    anchors: str | None = None
    threshold: float | None = None

    @property
    def key(self) -> CellKey:
        """Which cell."""
        return CellKey(self.classifier, self.remedy, self.fold)


class Records:
    """A JSONL file of cells (:class:`~hf_oversample.comparison.json_lines.JsonLines`), whose first
    line says what run they are of.

    Args:
        path: the file; its folder is made.
        header: what changes a cell's figures: data, folds, seed, steps. A file of another run is
            refused, if it has a cell; one of fewer or more splits, the first ones alike, is the
            same run's.
        overwrite: begin anew.

    Raises:
        ValueError: the file is of a run with another header, or is damaged.
    """

    def __init__(self, path: str | Path, header: dict[str, Any], *, overwrite: bool = False):
        self.path = Path(path)
        self.header: dict[str, Any] = json.loads(json.dumps(header))
        self._lines, self._cells = JsonLines(path), dict[CellKey, Cell]()
        if overwrite:
            self.path.unlink(missing_ok=True)
        if not self._read():
            self._lines.append({"comparison": self.header})

    def __contains__(self, key: CellKey) -> bool:
        """Whether a cell has a result. One that was refused has none: its cause may have been
        mended (a package that was not there, say), so a run that goes on tries it again, unless
        its training diverged."""
        cell = self._cells.get(key)
        return cell is not None and (cell.refused is None or cell.diverged)

    def __iter__(self) -> Iterator[Cell]:
        return iter(self._cells.values())

    def __len__(self) -> int:
        return len(self._cells)

    def add(self, cell: Cell) -> None:
        """Write a cell; one that is refused again for the same reason is there already."""
        known = self._cells.get(cell.key)
        if known is None or cell.refused is None or known.refused != cell.refused:
            self._lines.append(asdict(cell))
            self._cells[cell.key] = cell

    def _read(self) -> bool:
        """Take in what is there; whether there is anything. A file without a cell, which a run that
        failed early leaves, is begun anew."""
        number, lines = 0, self._lines.read()
        if not lines and self.path.exists():
            self._check_torn_header(self.path.read_bytes())
        for number, line in enumerate(lines, start=1):
            try:
                values = json.loads(line)
                if number == 1:
                    found = values["comparison"]
                    if not isinstance(found, dict):
                        raise TypeError(f"'comparison' is {str(found)[:60]!r}, not an object")
                    if len(lines) == 1:
                        self.path.unlink()
                        return False
                    self._check_header(found)
                    continue
                cell = Cell(**values)
                _check_types(cell)
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                if type(error) is ValueError and str(self.path) in str(error):
                    raise  # of another comparison
                raise ValueError(
                    f"{self.path}, line {number}, is no record of a comparison ({error}): the file "
                    "was changed by something else; move it away, or write to another folder"
                ) from error
            self._cells[cell.key] = cell
        return number > 0

    def _check_torn_header(self, content: bytes) -> None:
        """That a file without a whole line is one of ours, killed in its first."""
        begin = b'{"comparison": '
        if content[: len(begin)] != begin[: len(content)]:
            raise ValueError(
                f"{self.path} holds no record of a comparison but {content[:40]!r}: it is the file "
                "of something else; move it away, or write to another folder"
            )

    def _check_header(self, found: dict[str, Any]) -> None:
        names = sorted({*found, *self.header})
        differ = [
            name
            for name in names
            if not _ALIKE.get(name, operator.eq)(found.get(name), self.header.get(name))
        ]
        if differ:
            shown = "; ".join(
                _DATA_DIFFER
                if name == DATA
                else f"{name}: {found.get(name)!r} there, {self.header.get(name)!r} now"
                for name in differ
            )
            raise ValueError(
                f"{self.path} holds cells of another comparison ({shown}). They cannot be put in "
                "one table: write to another folder, or overwrite it (--overwrite)"
            )


def _check_types(cell: Cell) -> None:
    """
    Raises:
        TypeError: a value of a type that no run writes.
    """
    for name, (kinds, wanted) in _TYPES.items():
        value = getattr(cell, name)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise TypeError(f"{name!r} is {str(value)[:60]!r}, not {wanted}")


_NUMBER = ((int, float), "a number")
_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    **dict.fromkeys(("classifier", "remedy", "fold"), ((str,), "a string")),
    **dict.fromkeys(("metrics", "withheld", "curves", "texts", "shared"), ((dict,), "an object")),
    **dict.fromkeys(("made", "left_out"), ((int,), "a whole number")),
    **dict.fromkeys(("refused", "anchors"), ((str, type(None)), "a string or null")),
    "seconds": _NUMBER,
    "threshold": ((int, float, type(None)), "a number or null"),
    "giveaways": ((list,), "an array"),
    "diverged": ((bool,), "true or false"),
}


def _begin_alike(one: Any, other: Any) -> bool:
    if not (isinstance(one, list) and isinstance(other, list)):
        return one == other
    common = min(len(one), len(other))
    return common > 0 and one[:common] == other[:common]


def _nearly_equal(one: Any, other: Any) -> bool:
    """But for the rounding of another machine, or of half precision."""
    if not (_are_numbers(one) and _are_numbers(other)) or len(one) != len(other):
        return bool(one == other)
    most = np.abs([*one, *other]).max(initial=0.0)
    return bool(np.allclose(one, other, rtol=0.0, atol=0.01 * most))


def _are_numbers(values: Any) -> bool:
    return isinstance(values, list) and all(
        isinstance(value, float | int) and abs(value) < _LARGEST for value in values
    )


def _whatever(one: Any, other: Any) -> bool:
    return True


_LARGEST = 1e300  # above it, and of no number, nothing is nearly equal
_DATA_DIFFER = (
    "its rows, or how they are split, are others: the file, the columns, the folds, the seed or "
    "the share held back changed"
)
_ALIKE: dict[str, Callable[[Any, Any], bool]] = {
    DATA: _begin_alike,
    EMBEDDINGS: _nearly_equal,
    "name": _whatever,  # for people: the same rows in a file of another name
}
