"""Rows of parquet files as shards that are read one at a time; a row's number is global."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from datasets import Dataset, DatasetInfo, Features

from hf_oversample.oversamplers.plan import IntArray

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shard:
    """Row groups ``first_group`` … ``last_group`` − 1 of a file: ``rows`` rows, of which the first
    has the number ``first_row`` among the rows of all files."""

    file: str
    first_group: int
    last_group: int
    first_row: int
    rows: int


@dataclass(frozen=True)
class Source:
    """Parquet files in an order.

    Attributes:
        shards: in the order of the rows.
        features: of the rows.
    """

    shards: tuple[Shard, ...]
    features: Features

    def read(self, number: int, columns: Sequence[str] | None = None) -> Dataset:
        """The rows of a shard, in memory; all columns by default."""
        shard = self.shards[number]
        with pq.ParquetFile(shard.file, memory_map=True) as file:
            groups = list(range(shard.first_group, shard.last_group))
            table = file.read_row_groups(
                groups, columns=None if columns is None else list(columns), use_threads=False
            )
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


def parquet_files(paths: str | Path | Iterable[str | Path]) -> list[Path]:
    """The files of a folder, sorted by name, or those that are given, in their order.

    Raises:
        ValueError: there is none.
    """
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    files = []
    for path in map(Path, given):
        files += sorted(path.glob("**/*.parquet")) if path.is_dir() else [path]
    missing = [str(file) for file in files if not file.is_file()]
    if missing or not files:
        raise ValueError(
            f"there is no parquet file {missing[0] if missing else f'in {given}'}: give a folder "
            "of parquet files, or their names in the order of the rows"
        )
    return files


def open_source(files: Sequence[Path], block_rows: int) -> tuple[Source, list[Any]]:
    """Cut files into shards of ``block_rows`` rows at most, a row group at least.

    Returns:
        the shards, and what tells these files from others: for each its name, its size, the time
        when it was written, and a digest of its parquet footer.

    Raises:
        ValueError: files whose columns differ, or that hold no rows.
    """
    shards: list[Shard] = []
    identity: list[Any] = []
    schema, row, largest = None, 0, 0
    for path in files:
        with pq.ParquetFile(path, memory_map=True) as file:
            metadata, own = file.metadata, file.schema_arrow
        schema = own if schema is None else schema
        if not own.equals(schema):
            differ = [f for f in schema if f not in own] or [f for f in own if f not in schema]
            raise ValueError(
                f"{path} has other columns than {files[0]}: {differ or own.names}; write all files "
                "with the same columns, in one order"
            )
        identity.append(_identity(path))
        groups = [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
        first = held = 0
        for number, rows in enumerate([*groups, None]):
            if rows is None or (held and held + rows > block_rows):
                if held:
                    shards.append(Shard(str(path), first, number, row, held))
                row, first, held = row + held, number, 0
            held += rows or 0
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


def _identity(path: Path) -> list[Any]:
    state = path.stat()
    with path.open("rb") as file:
        file.seek(-8, 2)
        length = int.from_bytes(file.read(4), "little")
        file.seek(-8 - length, 2)
        footer = xxhash.xxh3_128_hexdigest(file.read(length))
    return [path.name, state.st_size, state.st_mtime_ns, footer]
