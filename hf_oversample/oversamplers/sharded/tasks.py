"""The steps of a balancing, cut into tasks: pure functions from files to one numbered file each.

1. :class:`CountLabels`: rows of each class, by shard.
2. :class:`GatherRows`: the rows of the classes that grow, by shard; checks all embeddings.
3. :class:`SearchBlock`, :class:`MergeBlock`: nearest rows of a block of queries, in parts of the
   base, and of the whole (:mod:`hf_oversample.neighbors.blockwise`).
4. :class:`MakeChildren`: a block of children, as a parquet file.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset

from hf_oversample.data.columns import ListColumns, read_labels
from hf_oversample.data.embeddings import embedding_matrix
from hf_oversample.data.whole_files import whole
from hf_oversample.neighbors.blockwise import Block, merge_nearest, nearest_in_blocks
from hf_oversample.oversamplers.base import Oversampler
from hf_oversample.oversamplers.interpolation import InterpolationOversampler, Segments
from hf_oversample.oversamplers.plan import IntArray, Plan
from hf_oversample.oversamplers.sharded.folder import open_array, save_array
from hf_oversample.oversamplers.sharded.gathered import GatheredRows
from hf_oversample.oversamplers.sharded.source import Source


class Task(Protocol):
    """A part of a step. ``run`` writes ``output`` whole; it need not be run where that exists."""

    @property
    def output(self) -> Path: ...

    def run(self, device: str = "cpu") -> None: ...


@dataclass(frozen=True)
class Job:
    """What all tasks of a balancing know.

    Attributes:
        folder: where their files are.
        source: the rows.
        oversampler: not fitted.
        label_column, embedding_column: of the rows; None where the method reads no embeddings.
        block_rows: rows, queries or children that a task holds at a time.
        values, names: of the classes by code, once they are counted.
    """

    folder: Path
    source: Source
    oversampler: Oversampler
    label_column: str
    embedding_column: str | None
    block_rows: int
    values: tuple[Any, ...] = ()
    names: tuple[str, ...] = ()

    def codes(self, rows: Dataset, first_row: int) -> IntArray:
        """Class codes of the rows of a shard."""
        labels = read_labels(rows, self.label_column, first_row=first_row)
        code_of = {value: code for code, value in enumerate(self.values)}
        return np.array([code_of[value] for value in labels.values], np.int64)[labels.codes]


@dataclass(frozen=True)
class CountLabels:
    """Rows of each class in a shard."""

    job: Job
    shard: int

    @property
    def output(self) -> Path:
        return self.job.folder / "counts" / f"{self.shard:06d}.json"

    def run(self, device: str = "cpu") -> None:
        shard = self.job.source.shards[self.shard]
        rows = self.job.source.read(self.shard, [self.job.label_column])
        labels = read_labels(rows, self.job.label_column, first_row=shard.first_row)
        counts = np.bincount(labels.codes, minlength=len(labels.values)).tolist()
        record = {"values": labels.values, "names": labels.names, "counts": counts}
        with whole(self.output) as scratch:
            scratch.write_text(json.dumps(record), encoding="utf-8")


@dataclass(frozen=True)
class GatherRows:
    """Some rows of a shard: their numbers, class codes and, if they are read, their embeddings.

    Attributes:
        name: of the gathering.
        classes: the rows of these classes; None: those whose numbers the gathering's file
            ``asked.npy`` has, ascending.
    """

    job: Job
    shard: int
    name: str
    classes: tuple[int, ...] | None

    @property
    def output(self) -> Path:
        return self.job.folder / self.name / f"rows-{self.shard:06d}.npy"

    def run(self, device: str = "cpu") -> None:
        job, shard = self.job, self.job.source.shards[self.shard]
        columns = [job.label_column, *([job.embedding_column] if job.embedding_column else [])]
        rows = job.source.read(self.shard, columns)
        codes = job.codes(rows, shard.first_row)
        if self.classes is None:
            asked = open_array(self.output.with_name("asked.npy"))
            first, last = np.searchsorted(asked, [shard.first_row, shard.first_row + shard.rows])
            places = np.array(asked[first:last]) - shard.first_row
        else:
            places = np.flatnonzero(np.isin(codes, self.classes))
        if job.embedding_column is not None:
            matrix = embedding_matrix(rows, job.embedding_column, first_row=shard.first_row)
            save_array(GatheredRows.vectors_file(self.output), matrix[places])
        found = np.stack([places + shard.first_row, codes[places]], axis=1)
        save_array(self.output, found.astype(np.int64))


@dataclass(frozen=True)
class SearchBlock:
    """Nearest rows of a block of queries in a part of the base.

    Attributes:
        name: of the search, whose file ``queries.npy`` has all queries' row numbers, ascending.
        base: "own": the gathered rows of the class ``code``; "all": all rows.
        k: neighbours.
        block: of the queries.
        part, parts: of the base.
    """

    job: Job
    name: str
    base: Literal["own", "all"]
    code: int
    k: int
    block: int
    part: int
    parts: int

    @property
    def output(self) -> Path:
        name = f"{self.block:06d}-{self.part:06d}-of-{self.parts:06d}.npy"
        return self.job.folder / self.name / "parts" / name

    def run(self, device: str = "cpu") -> None:
        assert isinstance(self.job.oversampler, InterpolationOversampler)
        gathered, size = GatheredRows(self.job.folder / "grown"), self.job.block_rows
        asked = open_array(self.job.folder / self.name / "queries.npy")
        queries = np.array(asked[self.block * size : (self.block + 1) * size])
        best = nearest_in_blocks(
            gathered.vectors(queries),
            queries,
            self._base(gathered),
            self.k,
            dtype=self.job.oversampler.neighbor_dtype,
            device=device,
        )
        save_array(self.output, best)

    def _base(self, gathered: GatheredRows) -> Iterator[Block]:
        """Row numbers, codes and embeddings of the blocks of this part of the base."""
        job = self.job
        if self.base == "all":
            for number in np.array_split(np.arange(len(job.source.shards)), self.parts)[self.part]:
                first = job.source.shards[number].first_row
                assert job.embedding_column is not None
                rows = job.source.read(int(number), [job.label_column, job.embedding_column])
                matrix = embedding_matrix(rows, job.embedding_column, first_row=first)
                yield first + np.arange(len(rows)), job.codes(rows, first), matrix
            return
        own = gathered.rows[gathered.codes == self.code]
        blocks = np.arange(-(-len(own) // job.block_rows))
        for number in np.array_split(blocks, self.parts)[self.part].tolist():
            rows = own[number * job.block_rows : (number + 1) * job.block_rows]
            yield rows, np.full(len(rows), self.code), gathered.vectors(rows)


@dataclass(frozen=True)
class MergeBlock:
    """Nearest rows of a block of queries in the whole base."""

    job: Job
    name: str
    k: int
    block: int
    parts: int

    @property
    def output(self) -> Path:
        return self.job.folder / self.name / f"found-{self.block:06d}.npy"

    def run(self, device: str = "cpu") -> None:
        folder, best = self.output.parent / "parts", None
        for part in range(self.parts):
            name = f"{self.block:06d}-{part:06d}-of-{self.parts:06d}.npy"
            found = np.load(folder / name)
            best = found if best is None else merge_nearest([best, found], self.k)
        assert best is not None
        save_array(self.output, best)


@dataclass(frozen=True)
class MakeChildren:
    """Children ``block`` · block_rows … of the plan, in its order, as a parquet file."""

    job: Job
    block: int

    @property
    def output(self) -> Path:
        return self.job.folder / "children" / f"{self.block:06d}.parquet"

    def run(self, device: str = "cpu") -> None:
        job, plan = self.job, self.job.folder / "plan"
        # Of parent p of the plan the children are numbers starts[p] … starts[p + 1] − 1.
        starts = open_array(plan / "starts.npy")
        first = self.block * job.block_rows
        last = min(first + job.block_rows, int(starts[-1]))
        numbers = np.arange(first, last)
        places = np.searchsorted(starts, numbers, side="right") - 1
        used = slice(int(places[0]), int(places[-1]) + 1)
        parents = np.array(open_array(plan / "parents.npy")[used])
        labels = np.array(open_array(plan / "codes.npy")[used])
        places -= used.start
        entries = Plan(parents[places], numbers - starts[used][places], labels[places])
        method = self._fitted(entries, parents, used)
        table, _ = method.children_table(
            self._copied(method, parents),
            ListColumns({}, list(job.source.features)),
            parents,
        )
        with whole(self.output) as scratch:
            pq.write_table(table, scratch)

    def _fitted(self, entries: Plan, parents: IntArray, used: slice) -> Oversampler:
        """The oversampler as it would be if it had been fitted, as far as these children need."""
        job = self.job
        method = copy.copy(job.oversampler)
        method.plan_, method.features_ = entries, job.source.features
        method.label_column_, method.embedding_column_ = job.label_column, job.embedding_column
        method.label_values_, method.label_names_ = list(job.values), list(job.names)
        if isinstance(method, InterpolationOversampler):
            ends = np.array(open_array(job.folder / "plan" / "ends.npy")[used])
            rows = np.union1d(parents, ends[ends >= 0])
            codes, vectors = GatheredRows.of_several(
                [job.folder / "grown", job.folder / "foreign"], rows
            )
            method.segments_ = Segments(parents, ends, rows, vectors)
            method.labels_ = _CodesOfRows(rows, codes)  # type: ignore[assignment]
        return method

    def _copied(self, method: Oversampler, parents: IntArray) -> pa.Table:
        """The columns of the parents that children copy."""
        if not (method.copy_columns or method._copies_rows):
            return pa.table({})
        names = [name for name in self.job.source.features if name != self.job.embedding_column]
        return self.job.source.take(parents, names)


@dataclass(frozen=True)
class _CodesOfRows:
    """Class codes by row number, of some rows: what a block needs of ``labels_``."""

    rows: IntArray
    codes: IntArray

    def __getitem__(self, rows: IntArray) -> IntArray:
        return self.codes[np.searchsorted(self.rows, rows)]
