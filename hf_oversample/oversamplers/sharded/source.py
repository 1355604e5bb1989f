"""Rows of files as shards that are read one at a time; a row's number is global."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from datasets import Dataset, DatasetInfo, Features

from hf_oversample.oversamplers.plan import IntArray
from hf_oversample.oversamplers.sharded.row_files import arrow_reader, is_parquet

logger = logging.getLogger(__name__)

_END_BYTES = 65_536


@dataclass(frozen=True)
class Shard:
    """A part of a file: ``rows`` rows, of which the first has the number ``first_row`` among the
    rows of all files.

    Attributes:
        first, last: it is the row groups first … last − 1 of a parquet file, the rows
            first … last − 1 of an Arrow file.
    """

    file: str
    is_parquet: bool
    first: int
    last: int
    first_row: int
    rows: int


@dataclass(frozen=True)
class Source:
    """Parquet or Arrow files in an order.

    Attributes:
        shards: in the order of the rows.
        features: of the rows.
    """

    shards: tuple[Shard, ...]
    features: Features

    def read(self, number: int, columns: Sequence[str] | None = None) -> Dataset:
        """The rows of a shard, in memory or mapped; all columns by default."""
        shard = self.shards[number]
        table = _read(shard, None if columns is None else list(columns))
        features = Features({name: self.features[name] for name in table.column_names})
        info = DatasetInfo(features=features)
        # A fingerprint is given, because the default would hash all values.
        return Dataset(table.replace_schema_metadata(None), info=info, fingerprint="shard")

    def take(self, rows: IntArray, columns: Sequence[str]) -> pa.Table:
        """Some columns of some rows, whose numbers ascend; one shard in memory at a time."""
        first = np.array([shard.first_row for shard in self.shards])
        places = np.searchsorted(first, rows, side="right") - 1
        parts = [
            self.read(int(number), columns).data.table.take(
                pa.array(rows[places == number] - first[number])
            )
            for number in np.unique(places)
        ]
        return pa.concat_tables(parts)


def _read(shard: Shard, columns: list[str] | None) -> pa.Table:
    if shard.is_parquet:
        with pq.ParquetFile(shard.file, memory_map=True) as file:
            groups = list(range(shard.first, shard.last))
            return file.read_row_groups(groups, columns=columns, use_threads=False)
    parts, start = [], 0
    with arrow_reader(Path(shard.file)) as reader:
        schema = reader.schema
        for batch in reader:
            first, last = max(shard.first - start, 0), min(shard.last - start, len(batch))
            if first < last:
                parts.append(batch.slice(first, last - first))
            start += len(batch)
            if start >= shard.last:
                break
    table = pa.Table.from_batches(parts, schema)
    return table if columns is None else table.select(columns)


def open_source(files: Sequence[Path], block_rows: int) -> tuple[Source, list[Any]]:
    """Cut files into shards of ``block_rows`` rows at most; of parquet a row group at least.

    Returns:
        the shards, and what tells these files from others: for each its name, its size, the time
        when it was written, and a digest of its parquet footer, or of an Arrow file's ends.

    Raises:
        ValueError: files whose columns differ, that hold no rows, or that are of another kind.
    """
    shards: list[Shard] = []
    identity: list[Any] = []
    schema, row, largest = None, 0, 0
    for path in files:
        parquet = is_parquet(path)
        own, groups = _parquet_groups(path) if parquet else _arrow_parts(path, block_rows)
        schema = own if schema is None else schema
        if not own.equals(schema):
            differ = [f for f in schema if f not in own] or [f for f in own if f not in schema]
            raise ValueError(
                f"{path} has other columns than {files[0]}: {differ or own.names}; write all files "
                "with the same columns, in one order"
            )
        identity.append(_identity(path, parquet))
        first = held = begin = 0
        for number, rows in enumerate([*groups, None]):
            if rows is None or (held and held + rows > block_rows):
                if held:
                    part = (first, number) if parquet else (begin, begin + held)
                    shards.append(Shard(str(path), parquet, *part, row, held))
                row, begin, first, held = row + held, begin + held, number, 0
            held += rows or 0
        if parquet:
            largest = max([largest, *groups])
    if not row or schema is None:
        raise ValueError(f"{files[0]} … {files[-1]} hold no rows")
    if largest > block_rows:
        logger.warning(
            "a row group has %d rows, more than block_rows=%d: it is read whole; smaller ones are "
            "written with row_group_size",
            largest,
            block_rows,
        )
    return Source(tuple(shards), Features.from_arrow_schema(schema)), identity


def _parquet_groups(path: Path) -> tuple[pa.Schema, list[int]]:
    """The schema of a parquet file, and the rows of its row groups."""
    with pq.ParquetFile(path, memory_map=True) as file:
        metadata = file.metadata
        groups = [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
        return file.schema_arrow, groups


def _arrow_parts(path: Path, block_rows: int) -> tuple[pa.Schema, list[int]]:
    """The schema of an Arrow file, and the rows of its blocks, which end anywhere in a batch."""
    with arrow_reader(path) as reader:
        rows = sum(len(batch) for batch in reader)
        blocks = range(0, rows, block_rows)
        return reader.schema, [min(block_rows, rows - first) for first in blocks]


def _identity(path: Path, parquet: bool) -> list[Any]:
    state = path.stat()
    with path.open("rb") as file:
        if parquet:
            file.seek(-8, 2)
            length = int.from_bytes(file.read(4), "little")
            file.seek(-8 - length, 2)
            ends = file.read(length)
        else:
            ends = file.read(_END_BYTES)
            file.seek(max(0, state.st_size - _END_BYTES))
            ends += file.read()
    return [path.name, state.st_size, state.st_mtime_ns, xxhash.xxh3_128_hexdigest(ends)]
