"""Rows written to parquet files as they come, a few at a time in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import chain, count, islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, IterableDataset

from hf_oversample.data.whole_files import whole


def write_stream(
    rows: IterableDataset | Dataset,
    folder: str | Path,
    *,
    batch_rows: int = 1000,
    file_rows: int = 1_000_000,
) -> list[Path]:
    """Write the rows of a stream as parquet files, in the order in which they come.

    ``IterableDataset.to_parquet`` gathers all rows in memory before it writes; here ``batch_rows``
    of them are in memory at a time, besides what the stream itself holds. A file has its name once
    all of it is there.

    Args:
        rows: a stream whose features are known (``map`` is given them: for an oversampler
            ``features=oversampler.output_features(dataset.features)``), or a data set.
        folder: new or empty.
        batch_rows: rows of a row group.
        file_rows: rows of a file, at most; a whole number of batches.

    Returns:
        the files, in order: ``000000.parquet``, …; one without rows of a stream that has none.

    Raises:
        ValueError: features that are not known, a folder that is not empty, or numbers of rows
            below 1 or not whole batches.
    """
    folder = Path(folder)
    if rows.features is None:
        raise ValueError(
            "the stream's features are not known: give them where it is mapped, for example "
            "stream.map(oversampler, batched=True, with_indices=True, "
            "features=oversampler.output_features(dataset.features))"
        )
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty: give a new folder")
    if batch_rows < 1 or file_rows < 1 or file_rows % batch_rows:
        raise ValueError(
            f"batch_rows is {batch_rows} and file_rows {file_rows}: give at least 1 row, and files "
            "of whole batches"
        )
    schema = rows.features.arrow_schema
    tables = _tables(rows, batch_rows)
    files: list[Path] = []
    for number in count():
        first = next(tables, None)
        if first is None and files:
            return files
        batches = chain([] if first is None else [first], tables)
        files.append(folder / f"{number:06d}.parquet")
        _write(files[-1], schema, islice(batches, file_rows // batch_rows))
    raise AssertionError("a count ends nowhere")


def _tables(rows: IterableDataset | Dataset, batch_rows: int) -> Iterator[pa.Table]:
    if isinstance(rows, Dataset):
        yield from rows.with_format("arrow").iter(batch_size=batch_rows)
        return
    # As Arrow, a mapped stream forgets its features, and guesses each batch's types by its values.
    for batch in rows.with_format(None).iter(batch_size=batch_rows):
        columns = rows.features.encode_batch(batch)
        yield pa.Table.from_pydict(columns, schema=rows.features.arrow_schema)


def _write(path: Path, schema: pa.Schema, tables: Iterator[pa.Table]) -> None:
    with whole(path) as scratch, closing(pq.ParquetWriter(scratch, schema)) as writer:
        for table in tables:
            writer.write_table(table.cast(schema))
