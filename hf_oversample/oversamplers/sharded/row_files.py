"""Which files hold the rows, in which order: parquet, and Arrow as `datasets` keeps it on disk."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
from datasets import Dataset, Features
from datasets.table import ConcatenationTable, MemoryMappedTable

Files: TypeAlias = "str | Path | Iterable[str | Path] | Dataset"

_STATE = "state.json"
_INSTEAD = "save it with dataset.save_to_disk(folder), and give the folder"


def row_files(rows: Files) -> list[Path]:
    """The files that hold the rows, in the order of the rows.

    Args:
        rows: a folder of parquet or Arrow files, sorted by name; a folder of
            ``Dataset.save_to_disk``, in the order that it wrote them; files, in their order; or a
            data set that lies on disk (``load_from_disk``, the cache of ``load_dataset`` or
            ``map``), whatever its format.

    Raises:
        ValueError: there is none; a folder of several splits, or of both kinds of files; a data set
            whose rows are not those of its files.
    """
    if isinstance(rows, Dataset):
        return _files_of(rows)
    given = [rows] if isinstance(rows, str | Path) else list(rows)
    files = []
    for path in map(Path, given):
        files += _folder_files(path) if path.is_dir() else [path]
    missing = [str(file) for file in files if not file.is_file()]
    if missing or not files:
        raise ValueError(
            f"there is no parquet or Arrow file {missing[0] if missing else f'in {given}'}: give a "
            "folder of such files, one of Dataset.save_to_disk, or the files' names in the order "
            "of the rows"
        )
    return files


def _folder_files(folder: Path) -> list[Path]:
    if (folder / "dataset_dict.json").exists():
        splits = json.loads((folder / "dataset_dict.json").read_text(encoding="utf-8"))["splits"]
        raise ValueError(
            f"{folder} holds the splits {splits}: give the folder of one, for example "
            f"{folder / splits[0] if splits else folder}"
        )
    if (folder / _STATE).exists():  # maps of the loaded data set may have left others beside them
        state = json.loads((folder / _STATE).read_text(encoding="utf-8"))
        return [folder / file["filename"] for file in state["_data_files"]]
    parquet, arrow = sorted(folder.glob("**/*.parquet")), sorted(folder.glob("**/*.arrow"))
    if parquet and arrow:
        raise ValueError(
            f"{folder} holds {parquet[0].name} and {arrow[0].name}: which of them are the rows? "
            "Give the files by their names"
        )
    return parquet or arrow


def _files_of(dataset: Dataset) -> list[Path]:
    """The files of a data set, if they hold its rows and no others."""
    if dataset._indices is not None:
        raise ValueError(
            "the data set selects or reorders the rows of its files (select, filter, shuffle, "
            f"sort, a split): {_INSTEAD}"
        )
    files = []
    for block in _blocks(dataset.data):
        if not isinstance(block, MemoryMappedTable):
            raise ValueError(
                f"the data set is in memory, all or a part of it: {_INSTEAD}, or use the "
                "oversampler's balance"
            )
        changes = [name for name, _, _ in block.replays if name != "replace_schema_metadata"]
        if changes:
            raise ValueError(
                f"the data set is not what its file {block.path} holds ({', '.join(changes)} came "
                f"after it was written): {_INSTEAD}"
            )
        files.append(Path(block.path))
    for file in files:
        with arrow_reader(file) as reader:
            features = Features.from_arrow_schema(reader.schema)
        if features != dataset.features:
            raise ValueError(f"the data set's features are not those of {file}: {_INSTEAD}")
    return files


def _blocks(table: Any) -> Iterator[Any]:
    if not isinstance(table, ConcatenationTable):
        yield table
        return
    for row in table.blocks:
        if len(row) > 1:  # columns that were added: of several files, or of memory
            raise ValueError(
                f"the data set's columns lie in several places (columns were added): {_INSTEAD}"
            )
        yield from row


def is_parquet(path: Path) -> bool:
    """Whether a file is parquet, and not Arrow, by its first bytes."""
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


@contextmanager
def arrow_reader(path: Path) -> Iterator[pa.RecordBatchReader]:
    """A reader of an Arrow file (of the stream or the file format), which is mapped: what is not
    read of its batches takes no memory, unless the file is compressed.

    Raises:
        ValueError: it is no Arrow file, or cannot be read to its end.
    """
    with pa.memory_map(str(path)) as file:
        try:
            is_file = file.read(6) == b"ARROW1"
            file.seek(0)
            if not is_file:
                yield pa.ipc.open_stream(file)
                return
            parts = pa.ipc.open_file(file)
            numbers = range(parts.num_record_batches)
            yield pa.RecordBatchReader.from_batches(parts.schema, map(parts.get_batch, numbers))
        except (pa.ArrowInvalid, OSError) as error:
            raise ValueError(
                f"{path} is neither parquet nor an Arrow file that can be read ({error}): give "
                "whole files of rows"
            ) from error
