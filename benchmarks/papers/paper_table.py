"""What the papers' tables share: what is asked for, what is said around a table, and its cells."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import xxhash

from benchmarks.papers.records import JsonlRecords
from hf_oversample.metrics.statistics import paired_test

Sizes = Literal["full", "reduced"]
DEFAULT_SEEDS: dict[Sizes, int] = {"full": 5, "reduced": 2}


@dataclass(frozen=True)
class Request:
    """What a table is asked for; see the fields of the same names of
    :class:`benchmarks.papers.arguments.ReproduceArguments`."""

    records: Path
    data_dir: Path | None = None
    sizes: Sizes = "reduced"
    seeds: int | None = None
    tasks: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    encoder_name: str | None = None
    progress: Callable[[str], None] = lambda line: None


class PaperTable(ABC):
    """A table of a paper: runs what its records do not have, and prints ours beside the paper's.

    Attributes:
        title: of the printed page.
        runs_of_the_paper: how often the paper ran every cell, in its words.
        number_of_runs: the same as a number.
        layout: how a cell is read.
        left_open: what the paper leaves open, and what is taken.
        remarks: what to know of the paper's figures.
        known_tasks: every data set, in the order of the table.
        known_methods: every method.
        key: fields that tell one record from another.
    """

    title: ClassVar[str]
    runs_of_the_paper: ClassVar[str]
    number_of_runs: ClassVar[int]
    layout: ClassVar[str]
    left_open: ClassVar[tuple[str, ...]]
    remarks: ClassVar[tuple[str, ...]] = ()
    known_tasks: ClassVar[tuple[str, ...]]
    known_methods: ClassVar[tuple[str, ...]]
    key: ClassVar[tuple[str, ...]]

    def __init__(self, request: Request) -> None:
        """
        Raises:
            ValueError: an unknown task or method, or records of something else.
        """
        self.request = request
        self.seeds = request.seeds or DEFAULT_SEEDS[request.sizes]
        self.tasks = chosen_names(request.tasks, self.known_tasks, "tasks")
        self.methods = chosen_names(request.methods, self.known_methods, "methods")
        self.records = JsonlRecords(request.records, self.key)

    @abstractmethod
    def run(self) -> None:
        """Run every cell that the records do not have.

        Raises:
            ValueError: data that the table needs are not there.
        """

    @abstractmethod
    def tables(self) -> Iterator[str]:
        """The tables as Markdown, from the records alone."""

    @abstractmethod
    def reductions(self) -> list[str]:
        """What is smaller than the paper's, apart from the number of runs; a line each."""

    def not_there(self) -> list[str]:
        """What the paper has and cannot be run here; a line each."""
        return []

    def text(self) -> str:
        """The page: what was reduced, what cannot be run, what the paper leaves open, tables."""
        reduced = list(self.reductions())
        if self.seeds < self.number_of_runs:
            reduced.append(f"Runs of a cell: {self.seeds}; the paper has {self.runs_of_the_paper}.")
        for kind, asked, known in (
            ("data sets", self.tasks, self.known_tasks),
            ("methods", self.methods, self.known_methods),
        ):
            if left := [name for name in known if name not in asked]:
                reduced.append(f"Not asked for, of the {kind}: {', '.join(left)}.")
        parts = [
            f"# {self.title}",
            f"Sizes: {self.request.sizes}. Runs of a cell: {self.seeds} (the paper: "
            f"{self.runs_of_the_paper}). {self.layout}",
            _listed("Smaller than the paper's", reduced or ["Nothing."]),
            _listed("In the paper, and not run here", self.not_there() or ["Nothing."]),
            _listed("What the paper leaves open, and what is taken", self.left_open),
        ]
        if self.remarks:
            parts.append(_listed("To know before comparing", self.remarks))
        tables = list(self.tables())
        return "\n\n".join([*parts, *(tables or ["No cell of these sizes has been run yet."])])

    def data_folder(self, name: str) -> Path:
        """A data set's folder.

        Raises:
            ValueError: no data folder was named, or it does not hold the data set; the message says
                what it holds.
        """
        root = self.request.data_dir
        if root is None:
            raise ValueError(f"this table reads {name}: name the folder that holds it: --data_dir")
        if not root.is_dir():
            raise ValueError(f"data_dir {str(root)!r} is not a folder")
        if not (root / name).is_dir():
            there = sorted(path.name for path in root.iterdir() if path.is_dir())
            raise ValueError(f"{root} has no folder {name!r}; it has {there}")
        return root / name


def data_digest(folder: Path) -> str:
    """Of a folder's parquet and npz files and their names: 16 hexadecimal digits."""
    digest = xxhash.xxh3_64()
    for path in sorted(folder.iterdir()):
        if path.suffix in (".parquet", ".npz"):
            digest.update(f"{path.name}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _listed(head: str, lines: Iterable[str]) -> str:
    return f"{head}:\n\n" + "\n".join(f"- {line}" for line in lines)


def chosen_names(wanted: Sequence[str], known: Sequence[str], kind: str) -> list[str]:
    """Known names that are wanted, or that hold one that is wanted, in the order of the known ones.

    Args:
        wanted: names or parts of names, in any case; none: all are chosen.
        known: all names.
        kind: for the message.

    Raises:
        ValueError: a wanted name is in no known one.
    """
    found: set[str] = set()
    unknown = []
    for part in wanted:
        own = {name for name in known if name.casefold() == part.casefold()}
        own = own or {name for name in known if part.casefold() in name.casefold()}
        found |= own
        if not own:
            unknown.append(part)
    if unknown:
        raise ValueError(f"unknown {kind} {unknown}; there are {list(known)}")
    return [name for name in known if not wanted or name in found]


# ---- cells --------------------------------------------------------------------------------------


def cell(values: Sequence[float], printed: float | None, digits: int) -> str:
    """Our mean ± sd over the runs and the paper's figure in brackets; "–" where there is none."""
    ours = "–"
    if len(values):
        sd = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
        ours = f"{np.mean(values):.{digits}f}{sd}"
    return ours if printed is None else f"{ours} ({printed:.{digits}f})"


def difference(
    ours: Mapping[Any, float], theirs: Mapping[Any, float], digits: int, overlap: float = 0.0
) -> str:
    """One method less another over the runs of both, with the p of a paired test, which is not
    corrected for the number of methods: tables say so.

    Args:
        ours: run → its result.
        theirs: the other's.
        digits: behind the point.
        overlap: test rows over training rows of folds or of repeated splits of the same rows; 0:
            runs that share no rows, or a split that is given.
    """
    runs = sorted(set(ours) & set(theirs))
    if len(runs) < 2:
        return "–"
    test = paired_test([ours[run] for run in runs], [theirs[run] for run in runs], overlap)
    if test.is_constant:
        return f"{test.mean:+.{digits}f} in every run (no test)"
    p_value = "< 0.01" if test.p_value < 0.01 else f"{test.p_value:.2f}"
    return f"{test.mean:+.{digits}f} (p {p_value})"
