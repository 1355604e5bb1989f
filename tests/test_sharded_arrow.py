"""Balancing rows that lie on disk as Arrow: the same children as of parquet and as in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from datasets import Dataset, DatasetDict, LargeList, List, Value, concatenate_datasets

from hf_oversample import Oversampler, SmoteOversampler
from hf_oversample.oversamplers.sharded import balance_files
from test_sharded import METHODS, content, read, rows_of, write

WAYS: dict[str, Callable[[Dataset, Path], object]] = {}


def way(write_rows: Callable[[Dataset, Path], object]) -> Callable[[Dataset, Path], object]:
    WAYS[write_rows.__name__] = write_rows
    return write_rows


@way
def saved_folder(rows: Dataset, folder: Path) -> Path:
    rows.save_to_disk(folder, num_shards=3)
    Dataset.load_from_disk(str(folder)).map(lambda row: row, load_from_cache_file=False)  # a cache
    assert len(list(folder.glob("*.arrow"))) == 4
    return folder


@way
def loaded(rows: Dataset, folder: Path) -> Dataset:
    rows.save_to_disk(folder, num_shards=2)
    return Dataset.load_from_disk(str(folder)).with_format("numpy", columns=["label"])


@way
def joined(rows: Dataset, folder: Path) -> Dataset:
    for number, part in enumerate((rows.select(range(70)), rows.select(range(70, len(rows))))):
        part.save_to_disk(folder / str(number))
    return concatenate_datasets([Dataset.load_from_disk(str(folder / n)) for n in "01"])


@way
def files_of_both_formats(rows: Dataset, folder: Path) -> list[Path]:
    folder.mkdir()
    table = rows.data.table
    with pa.ipc.new_stream(folder / "a", table.schema) as stream:
        stream.write_table(table.slice(0, 100), max_chunksize=9)
    with pa.ipc.new_file(folder / "b", table.schema) as file:
        file.write_table(table.slice(100), max_chunksize=40)
    return [folder / "a", folder / "b"]


@way
def compressed(rows: Dataset, folder: Path) -> Path:
    folder.mkdir()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(folder / "0.arrow", rows.data.table.schema, options=options) as stream:
        stream.write_table(rows.data.table, max_chunksize=50)
    return folder


@pytest.mark.parametrize("write_rows", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("method", [METHODS[2], METHODS[6]])
def test_children_are_those_of_parquet_and_in_memory(
    method: Oversampler, write_rows: Callable[[Dataset, Path], object], tmp_path: Path
) -> None:
    rows = rows_of()
    expected = method.fit(rows).children(rows)
    source = write_rows(rows, tmp_path / "rows")
    files = balance_files(source, method, tmp_path / "out", block_rows=31)  # type: ignore[arg-type]
    made = read(files, tmp_path / "cache")
    assert made.features == expected.features
    assert made[:] == expected[:]
    parquet = write(rows, tmp_path / "parquet")
    assert content(files) == content(balance_files(parquet, method, tmp_path / "b", block_rows=31))


@pytest.mark.parametrize(
    "kind",
    [List(Value("float32")), LargeList(Value("float32")), List(Value("float16"), length=3)],
    ids=["list", "large", "float16"],
)
def test_every_list_type_as_parquet_has_it(kind: object, tmp_path: Path) -> None:
    rows = rows_of().cast_column("embedding", kind)
    method = SmoteOversampler(seed=3)
    rows.save_to_disk(tmp_path / "rows")
    files = balance_files(tmp_path / "rows", method, tmp_path / "out", block_rows=31)
    parquet = write(rows, tmp_path / "parquet")
    assert content(files) == content(balance_files(parquet, method, tmp_path / "b", block_rows=31))
    assert read(files, tmp_path / "cache").features["embedding"] == kind


def on_disk(folder: Path) -> Dataset:
    rows_of().save_to_disk(folder / "saved")
    return Dataset.load_from_disk(str(folder / "saved"))


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "rows that are selected": (lambda f: on_disk(f).shuffle(seed=0), "selects or reorders"),
    "rows that are cut off": (lambda f: on_disk(f).select(range(200)), "slice came after"),
    "a column that is renamed": (
        lambda f: on_disk(f).rename_column("text", "words"),
        "rename_columns came after",
    ),
    "a column that is added": (
        lambda f: on_disk(f).add_column("n", np.arange(235)),
        "columns lie in several places",
    ),
    "rows in memory": (lambda f: rows_of(), "is in memory"),
    "float64": (
        lambda f: write_float64(f),
        "holds list<item: double>: give lists of float32",
    ),
    "splits": (lambda f: save_splits(f), r"holds the splits \['train'\]: give the folder of one"),
    "both kinds": (lambda f: save_both(f), "which of them are the rows"),
    "an empty folder": (lambda f: f, "no parquet or Arrow file in"),
    "another file": (lambda f: text_file(f), "neither parquet nor an Arrow file"),
    "a file that was cut": (lambda f: cut_file(f), "neither parquet nor an Arrow file"),
}


def write_float64(folder: Path) -> Path:
    rows_of().cast_column("embedding", List(Value("float64"))).save_to_disk(folder / "wide")
    return folder / "wide"


def save_splits(folder: Path) -> Path:
    DatasetDict({"train": rows_of()}).save_to_disk(folder / "splits")
    return folder / "splits"


def save_both(folder: Path) -> Path:
    write(rows_of(), folder / "both")
    compressed(rows_of(), folder / "other")
    (folder / "other" / "0.arrow").rename(folder / "both" / "0.arrow")
    return folder / "both"


def text_file(folder: Path) -> Path:
    (folder / "rows.txt").write_text("label,text\n0,hello\n")
    return folder / "rows.txt"


def cut_file(folder: Path) -> Path:
    path = Path(on_disk(folder).cache_files[0]["filename"])
    path.write_bytes(path.read_bytes()[:-1000])
    return path


@pytest.mark.parametrize(("rows", "message"), REFUSED.values(), ids=REFUSED)
def test_other_rows_are_refused(
    rows: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        balance_files(rows(tmp_path), SmoteOversampler(), tmp_path / "out")  # type: ignore[arg-type]


def test_an_arrow_file_that_changed_is_refused(tmp_path: Path) -> None:
    on_disk(tmp_path)
    balance_files(tmp_path / "saved", SmoteOversampler(), tmp_path / "out")
    other = rows_of()
    other.save_to_disk(tmp_path / "other")
    with pytest.raises(ValueError, match=r"holds steps of other arguments: files was"):
        balance_files(tmp_path / "other", SmoteOversampler(), tmp_path / "out")
