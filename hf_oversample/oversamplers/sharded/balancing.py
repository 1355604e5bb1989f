"""From files of rows to files of children, step after step."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from datasets import ClassLabel, Dataset

import hf_oversample
from hf_oversample.data.columns import require_columns
from hf_oversample.oversamplers.base import Oversampler
from hf_oversample.oversamplers.growing import refuse_provenance
from hf_oversample.oversamplers.interpolation import InterpolationOversampler
from hf_oversample.oversamplers.neighbor_search import FewRows
from hf_oversample.oversamplers.plan import IntArray
from hf_oversample.oversamplers.random import RandomOversampler
from hf_oversample.oversamplers.sharded.folder import claim, open_array, save_array
from hf_oversample.oversamplers.sharded.gathered import GatheredRows
from hf_oversample.oversamplers.sharded.row_files import Files, row_files
from hf_oversample.oversamplers.sharded.source import open_source
from hf_oversample.oversamplers.sharded.tasks import (
    CountLabels,
    GatherRows,
    Job,
    MakeChildren,
    MergeBlock,
    SearchBlock,
    Task,
)
from hf_oversample.oversamplers.strategy import children_per_class, spread

Executor = Callable[[Sequence[Task]], None]
"""Runs tasks in any order, on any machines that see the folders; all have ended when it returns."""

_FORMAT = 1
_FEWEST_TASKS = 64


def run_here(tasks: Sequence[Task]) -> None:
    """One task after another, in this process."""
    for task in tasks:
        if not task.output.exists():
            task.run()


def balance_files(
    files: Files,
    oversampler: Oversampler,
    output_dir: str | Path,
    *,
    label_column: str = "label",
    embedding_column: str | None = None,
    block_rows: int = 100_000,
    fewest_tasks: int = _FEWEST_TASKS,
    executor: Executor = run_here,
) -> list[Path]:
    """Make the children that balance the rows of parquet or Arrow files.

    They are those that ``oversampler.balance`` makes of the same rows in memory, in that order. The
    files' rows stay where they are: the children come as files of their own, with the rows' columns
    and ``origin`` and ``parent``, which counts rows over all files, in their order.

    A call that was stopped goes on from where it was if it is given again with the same arguments.
    What is resident is a few blocks: of ``block_rows`` rows of the files (or a row group, where
    that is larger), queries or children; and, in the process that calls, the numbers and the
    neighbours of the rows of the classes that grow.

    Args:
        files: a folder of parquet or Arrow files, which count in the order of their names; a folder
            of ``Dataset.save_to_disk``; the files; or a data set that lies on disk as Arrow, with
            all rows of its files in their order (its format is without effect). Arrow files are
            mapped into memory, and cut into blocks wherever their batches end.
        oversampler: a `RandomOversampler`, `SmoteOversampler`, `BorderlineSmoteOversampler` or
            `AdasynOversampler`; it is not fitted.
        output_dir: a new folder, or that of a call that was stopped. The children are in its
            folder ``children``, which is there once all of them are.
        label_column: as in the oversampler's ``fit``.
        embedding_column: float32 or float16; default "embedding" for methods that read those.
        block_rows: what is made is the same for every number.
        fewest_tasks: a search is cut into so many tasks or more, if it has as many blocks: at
            least as many as there are workers.
        executor: what runs the tasks; default: this process.

    Returns:
        the children's files, in order; none where the classes are balanced.

    Raises:
        TypeError: another oversampler, which must see all rows at once.
        ValueError: no files, no rows, a data set that is in memory or was changed since it was
            written, unknown columns, embeddings of another type; null labels and
            embeddings that are NaN, null or of several widths (rows are named by their numbers
            among all); counts that the sampling strategy does not allow; a folder with the steps of
            other files or arguments; and what the method's ``fit`` raises.
    """
    reads = isinstance(oversampler, InterpolationOversampler)
    if not reads and not isinstance(oversampler, RandomOversampler):
        raise TypeError(
            f"{type(oversampler).__name__} learns from all rows at once: give a RandomOversampler, "
            "SmoteOversampler, BorderlineSmoteOversampler or AdasynOversampler, or balance a part "
            "of the rows in memory"
        )
    if isinstance(oversampler, InterpolationOversampler) and (
        oversampler.neighbor_search != "exact"
    ):
        raise ValueError(
            "neighbor_search='approximate' needs an index of all rows in memory: give an "
            "oversampler with neighbor_search='exact', whose search goes block by block"
        )
    if block_rows < 1:
        raise ValueError(f"block_rows is {block_rows}: give at least 1 row")
    column = (embedding_column or "embedding") if reads else None
    source, identity = open_source(row_files(files), block_rows)
    _check_columns(source.features.arrow_schema, label_column, column)
    folder = Path(output_dir)
    claim(
        folder / "input.json",
        {
            "format": [_FORMAT, hf_oversample.__version__],
            "files": identity,
            "label_column": label_column,
            "embedding_column": column,
            "block_rows": block_rows,
        },
    )
    steps = folder / "steps"
    job = Job(steps, source, oversampler, label_column, column, block_rows)
    job, children = _counted(job, executor)
    params = {n: v for n, v in oversampler.get_params().items() if n != "sampling_strategy"}
    claim(
        folder / "record.json",
        {
            "oversampler": type(oversampler).__name__,
            "code_version": oversampler.code_version,
            **params,
            "children": {job.names[code]: total for code, total in children.items()},
        },
    )
    final = folder / "children"
    if not final.exists():
        blocks = -(-_plan(job, children, fewest_tasks, executor) // block_rows)
        _run(executor, [MakeChildren(job, block) for block in range(blocks)])
        (steps / "children").mkdir(exist_ok=True)
        for scratch in (steps / "children").glob(".*"):  # of workers that were killed
            scratch.unlink()
        os.rename(steps / "children", final)
    for name in ("grown", "foreign", "plan", "search", "children"):
        shutil.rmtree(steps / name, ignore_errors=True)
    return sorted(final.glob("*.parquet"))


def _run(executor: Executor, tasks: Sequence[Task]) -> list[Path]:
    """Run the tasks that have not been run; all outputs.

    Raises:
        RuntimeError: the executor left one out.
    """
    executor([task for task in tasks if not task.output.exists()])
    missing = [task.output for task in tasks if not task.output.exists()]
    if missing:
        raise RuntimeError(
            f"{len(missing)} of {len(tasks)} tasks wrote no file, the first {missing[0]}: do all "
            "workers see this folder?"
        )
    return [task.output for task in tasks]


def _check_columns(schema: pa.Schema, label_column: str, embedding_column: str | None) -> None:
    require_columns(Dataset(schema.empty_table()), label_column, embedding_column)
    refuse_provenance(schema.names)
    if embedding_column is None:
        return
    kind = schema.field(embedding_column).type
    value_type = getattr(getattr(kind, "storage_type", kind), "value_type", None)
    if value_type not in (pa.float32(), pa.float16()):
        raise ValueError(
            f"column {embedding_column!r} holds {kind}: give lists of float32 (or float16), for "
            "example with cast_column in datasets before the files are written"
        )


def _counted(job: Job, executor: Executor) -> tuple[Job, dict[int, int]]:
    """The job with its classes, and how many children each of them gets."""
    shards = range(len(job.source.shards))
    files = _run(executor, [CountLabels(job, shard) for shard in shards])
    parts = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    counts: dict[Any, int] = {}
    for part in parts:
        for value, count in zip(part["values"], part["counts"], strict=True):
            counts[value] = counts.get(value, 0) + count
    values = tuple(sorted(counts))
    feature = job.source.features[job.label_column]
    names = feature.names if isinstance(feature, ClassLabel) else [str(value) for value in values]
    job = dataclasses.replace(job, values=values, names=tuple(names))
    by_code = {code: counts[value] for code, value in enumerate(values)}
    strategy = job.oversampler.sampling_strategy
    return job, children_per_class(strategy, by_code, job.names, list(values))


def _plan(job: Job, children: Mapping[int, int], fewest_tasks: int, executor: Executor) -> int:
    """Plan the children, as the oversampler does it. Returns how many there are."""
    plan = job.folder / "plan"
    if not (plan / "starts.npy").exists():
        grown = tuple(code for code, total in children.items() if total)
        gathered = _gathered(job, "grown", grown, executor)
        oversampler = copy.copy(job.oversampler)
        if isinstance(oversampler, InterpolationOversampler):
            oversampler.label_names_ = list(job.names)
            search = ShardedSearch(job, gathered, fewest_tasks, executor)
            lines = oversampler.lines(search, children, search.rows_of)
        else:
            lines = []
            for code in grown:
                rows = gathered.rows[gathered.codes == code]
                counts = spread(children[code], rows, oversampler.seed)
                lines.append((code, rows, np.empty((len(rows), 0), np.int64), counts))
        _save_plan(job, lines, gathered, executor)
    return int(open_array(plan / "starts.npy")[-1])


def _save_plan(
    job: Job,
    lines: Sequence[tuple[int, IntArray, IntArray, IntArray]],
    gathered: GatheredRows,
    executor: Executor,
) -> None:
    """Parents in the order of their numbers, with their children's count and lines."""
    width = max([ends.shape[1] for _, _, ends, _ in lines], default=0)
    parents = np.concatenate([np.empty(0, np.int64), *(line[1] for line in lines)])
    order = np.argsort(parents)
    ends = np.full((len(parents), width), -1, np.int64)
    codes, counts = np.empty_like(parents), np.empty_like(parents)
    first = 0
    for code, own, own_ends, own_counts in lines:
        block = slice(first, first + len(own))
        ends[block, : own_ends.shape[1]], codes[block], counts[block] = own_ends, code, own_counts
        first += len(own)
    order = order[counts[order] > 0]
    parents, ends, codes, counts = parents[order], ends[order], codes[order], counts[order]
    known = np.array(gathered.rows)
    foreign = np.setdiff1d(ends[ends >= 0], known)
    if len(foreign):
        save_array(job.folder / "foreign" / "asked.npy", foreign)
        _gathered(job, "foreign", None, executor)
    save_array(job.folder / "plan" / "parents.npy", parents)
    save_array(job.folder / "plan" / "ends.npy", ends)
    save_array(job.folder / "plan" / "codes.npy", codes)
    save_array(job.folder / "plan" / "starts.npy", np.cumsum([0, *counts]))  # last: all is there


def _gathered(
    job: Job, name: str, classes: tuple[int, ...] | None, executor: Executor
) -> GatheredRows:
    tasks = [GatherRows(job, s, name, classes) for s in range(len(job.source.shards))]
    files = _run(executor, tasks)
    if job.embedding_column is not None:
        shapes = [open_array(GatheredRows.vectors_file(file)).shape for file in files]
        for shard, shape in zip(job.source.shards, shapes, strict=True):
            if shape[1] != shapes[0][1]:
                raise ValueError(
                    f"column {job.embedding_column!r} has {shape[1]} values in row "
                    f"{shard.first_row} but {shapes[0][1]} in row 0: every embedding needs the "
                    "same width"
                )
    return GatheredRows.finish(job.folder / name, files)


class ShardedSearch:
    """A `NeighborSearch` among rows in files: each search is a step of tasks.

    Args:
        job: of the rows.
        gathered: the rows of the classes that grow.
        fewest_tasks: of a search.
        executor: runs them.
    """

    def __init__(
        self, job: Job, gathered: GatheredRows, fewest_tasks: int, executor: Executor
    ) -> None:
        self.job, self.gathered, self.executor = job, gathered, executor
        self.fewest_tasks, self.few = fewest_tasks, FewRows()
        self.total = sum(shard.rows for shard in job.source.shards)

    def rows_of(self, code: int) -> IntArray:
        """The row numbers of a class that grows, ascending."""
        return np.array(self.gathered.rows[self.gathered.codes == code])

    def own(self, queries: IntArray, rows: IntArray, code: int, k: int) -> IntArray:
        """See `NeighborSearch`."""
        self.few.note(self.job.names[code], len(rows), k)
        blocks = -(-len(rows) // self.job.block_rows)
        return self._search("own", queries, code, min(k, len(rows) - 1), blocks)["row"]

    def all(self, queries: IntArray, k: int) -> tuple[IntArray, npt.NDArray[np.integer]]:
        """See `NeighborSearch`."""
        code = int(self.gathered.codes[np.searchsorted(self.gathered.rows, queries[0])])
        blocks = len(self.job.source.shards)
        found = self._search("all", queries, code, min(k, self.total - 1), blocks)
        return found["row"], found["code"]

    def _search(
        self, base: Any, queries: IntArray, code: int, k: int, base_blocks: int
    ) -> npt.NDArray[Any]:
        job, name = self.job, f"search/{base}-{code}"
        save_array(job.folder / name / "queries.npy", queries)
        blocks = range(-(-len(queries) // job.block_rows))
        parts = min(base_blocks, -(-self.fewest_tasks // len(blocks)))
        merges = [MergeBlock(job, name, k, block, parts) for block in blocks]
        _run(
            self.executor,
            [
                SearchBlock(job, name, base, code, k, merge.block, part, parts)
                for merge in merges
                if not merge.output.exists()
                for part in range(parts)
            ],
        )
        files = _run(self.executor, merges)
        return np.concatenate([np.load(file) for file in files])
