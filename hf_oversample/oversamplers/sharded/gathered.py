"""Rows that were gathered from all shards, by their numbers; their embeddings stay on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hf_oversample.oversamplers.plan import IntArray
from hf_oversample.oversamplers.sharded.folder import open_array, save_array

_INDEX = "index.npy"
_STARTS = "starts.npy"


class GatheredRows:
    """The gathered rows of a folder, whose files :meth:`finish` has joined to an index.

    Attributes:
        rows: int64 [g], their numbers, ascending.
        codes: int64 [g], their classes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        index = open_array(folder / _INDEX)
        self.rows, self.codes = index[0], index[1]
        self.starts = np.load(folder / _STARTS)

    @staticmethod
    def vectors_file(rows_file: Path) -> Path:
        """Where the embeddings of the rows of a file are."""
        return rows_file.with_name(rows_file.name.replace("rows", "vectors"))

    @classmethod
    def finish(cls, folder: Path, files: Sequence[Path]) -> GatheredRows:
        """Join the rows' numbers and codes of all shards' files to one index.

        Raises:
            ValueError: embeddings of several widths.
        """
        if not (folder / _INDEX).exists():
            parts = [np.load(file) for file in files]
            counts = [len(part) for part in parts]
            save_array(folder / _STARTS, np.cumsum([0, *counts]))
            save_array(folder / _INDEX, np.ascontiguousarray(np.concatenate(parts).T))
        return cls(folder)

    def vectors(self, rows: IntArray) -> npt.NDArray[np.float32]:
        """Embeddings [r, d] of some of the rows, whose numbers ascend."""
        places = np.searchsorted(self.rows, rows)
        files = np.searchsorted(self.starts, places, side="right") - 1
        parts = []
        for number in np.unique(files).tolist():
            stored = open_array(self.folder / f"vectors-{number:06d}.npy")
            parts.append(stored[places[files == number] - self.starts[number]])
        return np.concatenate(parts)

    @classmethod
    def of_several(
        cls, folders: Sequence[Path], rows: IntArray
    ) -> tuple[IntArray, npt.NDArray[np.float32]]:
        """Codes [r] and embeddings [r, d] of rows, ascending, each of which one of the folders
        has; a folder may not be there."""
        codes, vectors = np.full(len(rows), -1, np.int64), None
        for folder in folders:
            if not (folder / _INDEX).exists():
                continue
            gathered = cls(folder)
            places = np.searchsorted(gathered.rows, rows)
            inside = places < len(gathered.rows)
            inside[inside] = gathered.rows[places[inside]] == rows[inside]
            if not inside.any():
                continue
            codes[inside] = gathered.codes[places[inside]]
            found = gathered.vectors(rows[inside])
            if vectors is None:
                vectors = np.empty((len(rows), found.shape[1]), np.float32)
            vectors[inside] = found
        assert vectors is not None
        return codes, vectors
