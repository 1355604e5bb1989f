"""Streams that grow while they are read, and are written as they come."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from datasets import IterableDataset

from hf_oversample import Oversampler, RandomOversampler, SmoteOversampler
from hf_oversample.data.streamed_files import write_stream
from test_sharded import read, rows_of


def grown(rows: Any, method: Oversampler, batch_size: int = 20) -> Any:
    features = method.output_features(rows.features)
    return rows.map(
        method, batched=True, with_indices=True, batch_size=batch_size, features=features
    )


@pytest.mark.parametrize("method", [SmoteOversampler(), RandomOversampler()])
def test_a_grown_stream_is_written_as_the_data_set_is_mapped(
    method: Oversampler, tmp_path: Path
) -> None:
    rows = rows_of()
    expected = grown(rows, method.fit(rows))
    stream = grown(rows.to_iterable_dataset(num_shards=3), method)
    files = write_stream(stream, tmp_path / "out", batch_rows=16, file_rows=160)
    assert [file.name for file in files] == [f"{n:06d}.parquet" for n in range(len(files))]
    assert {pq.read_metadata(file).num_rows for file in files[:-1]} == {160}
    made = read(files, tmp_path / "cache")
    assert made.features == expected.features
    assert made[:] == expected[:]
    again = write_stream(expected, tmp_path / "again", batch_rows=16, file_rows=160)
    assert [file.read_bytes() for file in again] == [file.read_bytes() for file in files]


def test_rows_are_written_before_the_last_has_come(tmp_path: Path) -> None:
    """What is read ahead is no more than a batch of the map and one of the file."""
    rows = rows_of()
    most: list[int] = []

    def source() -> Iterator[dict[str, Any]]:
        for number, row in enumerate(rows):
            written = sum(pq.read_metadata(path).num_rows for path in out.glob("*.parquet"))
            most.append(number - written)
            yield row

    out = tmp_path / "out"
    stream = IterableDataset.from_generator(source, features=rows.features)
    method = SmoteOversampler(sampling_strategy={"rare": 30}).fit(rows)
    write_stream(grown(stream, method, 10), out, batch_rows=10, file_rows=10)
    assert max(most) < 40


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    rows = rows_of()
    unknown = rows.to_iterable_dataset().map(lambda row: row)
    with pytest.raises(ValueError, match="features are not known"):
        write_stream(unknown, tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "rows.txt").touch()
    with pytest.raises(ValueError, match="is not empty"):
        write_stream(rows, tmp_path / "full")
    with pytest.raises(ValueError, match="batch_rows is 3 and file_rows 10"):
        write_stream(rows, tmp_path / "out", batch_rows=3, file_rows=10)


def test_a_stream_that_breaks_leaves_no_part_of_a_file(tmp_path: Path) -> None:
    def broken() -> Iterator[dict[str, Any]]:
        yield from rows_of()
        raise RuntimeError("the source is gone")

    stream = IterableDataset.from_generator(broken, features=rows_of().features)
    with pytest.raises(RuntimeError, match="the source is gone"):
        write_stream(stream, tmp_path / "out", batch_rows=100, file_rows=100)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [
        "000000.parquet",
        "000001.parquet",
    ]


def test_no_rows(tmp_path: Path) -> None:
    rows = rows_of().select([])
    (file,) = write_stream(rows, tmp_path / "out")
    table = pq.read_table(file)
    assert (len(table), table.schema.names) == (0, rows.column_names)
