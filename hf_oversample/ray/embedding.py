"""Embeddings of the texts of parquet files, by actors that keep the encoder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, Features

from hf_oversample.data.columns import as_arrow, check_texts, require_columns
from hf_oversample.data.whole_files import whole
from hf_oversample.oversamplers.sharded.folder import claim
from hf_oversample.oversamplers.sharded.row_files import row_files
from hf_oversample.oversamplers.sharded.source import open_source
from hf_oversample.ray.executor import RayTasks
from hf_oversample.transforms.embed import TextEmbedder


def embed_files(
    files: str | Path | Iterable[str | Path],
    embedder: TextEmbedder,
    output_dir: str | Path,
    *,
    workers: int,
    num_cpus: float = 1,
    num_gpus: float = 0,
    block_rows: int = 10_000,
) -> list[Path]:
    """Add the column of embeddings to the rows of parquet files: a file for each, in their order.

    A call that was stopped goes on with the files that are missing.

    Args:
        files: a folder of parquet files, or the files; all machines see them.
        embedder: its columns are the text column that is read and the column that is added.
        output_dir: a new folder, or that of a call that was stopped.
        workers: actors, each of which keeps the encoder.
        num_cpus, num_gpus: of an actor.
        block_rows: rows at a time, which a row group is then of.

    Returns:
        the files, ``rows/000000.parquet`` … in ``output_dir``: what ``balance`` reads.

    Raises:
        ValueError: no text column, an empty text (the row is named by its number among all), an
            embedding column that is there, a folder of other files or another embedder.
    """
    paths = row_files(files)
    source, identity = open_source(paths, block_rows)
    names = Dataset(source.features.arrow_schema.empty_table())
    require_columns(names, embedder.text_column)
    if embedder.embedding_column in names.column_names:
        raise ValueError(
            f"there is a column {embedder.embedding_column!r} already: remove it, or give another "
            "embedding_column"
        )
    folder = Path(output_dir)
    known = ("text_column", "embedding_column", "pooling", "normalize", "max_length", "dtype")
    values = {name: getattr(embedder, name) for name in known}
    values |= {"files": identity, "model": embedder.digest, "block_rows": block_rows}
    claim(folder / "input.json", values)
    features = embedder.output_features(source.features)
    first = {str(path): 0 for path in paths}
    for shard in reversed(source.shards):
        first[shard.file] = shard.first_row
    tasks = [
        EmbedFile(str(path), embedder, features, first[str(path)], block_rows, str(output))
        for number, path in enumerate(paths)
        for output in [folder / "rows" / f"{number:06d}.parquet"]
    ]
    RayTasks(workers, num_cpus, num_gpus, keeps_models=True)(
        [task for task in tasks if not task.output.exists()]
    )
    return [task.output for task in tasks]


@dataclass(frozen=True)
class EmbedFile:
    """The rows of a file with their embeddings, read and written block by block."""

    file: str
    embedder: TextEmbedder
    features: Features
    first_row: int
    block_rows: int
    written: str

    @property
    def output(self) -> Path:
        return Path(self.written)

    def run(self, device: str = "cpu") -> None:
        column, row = self.embedder.embedding_column, self.first_row
        schema = self.features.arrow_schema
        with (
            whole(self.output) as scratch,
            pq.ParquetFile(self.file) as file,
            pq.ParquetWriter(scratch, schema) as writer,
        ):
            for batch in file.iter_batches(self.block_rows):
                rows = pa.Table.from_batches([batch])
                part = Dataset(rows, fingerprint="block")
                check_texts(part, self.embedder.text_column, first_row=row)
                texts = rows[self.embedder.text_column].to_pylist()
                vectors = as_arrow(self.embedder.embed(texts), self.features[column])
                writer.write_table(rows.append_column(column, vectors).cast(schema))
                row += len(rows)
