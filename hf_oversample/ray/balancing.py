"""A balanced Ray data set of the rows of parquet or Arrow files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import ray.data

from hf_oversample.oversamplers.base import Oversampler
from hf_oversample.oversamplers.plan import REAL
from hf_oversample.oversamplers.sharded import balance_files
from hf_oversample.oversamplers.sharded.row_files import row_files
from hf_oversample.oversamplers.sharded.source import Source, open_source
from hf_oversample.ray.executor import Batch, RayTasks

Files = str | Path | Iterable[str | Path]


def balance(
    files: Files,
    oversampler: Oversampler,
    output_dir: str | Path,
    *,
    workers: int | None = None,
    num_cpus: float = 1,
    num_gpus: float = 0,
    block_rows: int = 100_000,
    **arguments: Any,
) -> ray.data.Dataset:
    """Make the children that balance the rows of files, on the cluster that Ray is
    connected to, or on this machine.

    Args:
        files, oversampler, output_dir, block_rows: as in
            :func:`~hf_oversample.oversamplers.sharded.balance_files`; folders that all machines
            see. A Ray data set is written to files first, by its ``write_parquet``: a row's number
            is its place in them.
        workers, num_cpus, num_gpus: see :class:`RayTasks`.
        arguments: the others of ``balance_files``.

    Returns:
        as :func:`balanced_rows`.

    Raises:
        as ``balance_files``; TypeError for a Ray data set.
    """
    if isinstance(files, ray.data.Dataset):
        raise TypeError(
            "the rows of a Ray data set have no numbers that last from one run to the next: write "
            "them with dataset.write_parquet(folder), and give the folder"
        )
    paths = row_files(files)
    children = balance_files(
        paths,
        oversampler,
        output_dir,
        block_rows=block_rows,
        executor=RayTasks(workers, num_cpus, num_gpus),
        **arguments,
    )
    return balanced_rows(paths, children, block_rows)


def balanced_rows(
    files: Files, children: Sequence[Path], block_rows: int = 100_000
) -> ray.data.Dataset:
    """The real rows, with ``origin`` 0 and ``parent`` −1, and their children, read from both's
    files when they are asked for.

    Args:
        files: of the rows.
        children: what ``balance_files`` returned.
        block_rows: rows of a block at most, or a row group's.
    """
    sources = [open_source(row_files(files), block_rows)[0]]
    if children:
        sources.append(open_source(children, block_rows)[0])
    blocks = sum(len(source.shards) for source in sources)
    numbers = ray.data.from_items(list(range(blocks)), override_num_blocks=blocks)
    return numbers.map_batches(partial(_read, sources), batch_size=1, udf_modifying_row_count=True)


def _read(sources: Sequence[Source], batch: Batch) -> pa.Table:
    """A shard of the real rows, or of the children, which are counted on after them."""
    (number,) = batch["item"].tolist()
    real = sources[0]
    if number >= len(real.shards):
        return sources[1].read(number - len(real.shards)).data.table
    rows = real.read(number).data.table
    origin = pa.array(np.full(len(rows), REAL, np.int64))
    parent = pa.array(np.full(len(rows), -1, np.int64))
    return rows.append_column("origin", origin).append_column("parent", parent)
