"""NaN in the last row of a long column of embeddings on disk: the error names the row.

python benchmarks/late_nan.py --rows 10000000
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from datasets import Dataset
from embeddings_measuring import highest_resident

from hf_oversample import SmoteOversampler

_BLOCK = 1_000_000


def main() -> None:
    """Write the rows, read them, print one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--width", type=int, default=2)
    a = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.arrow"
        _write(path, a.rows, a.width)
        dataset = Dataset.from_file(str(path))
        before, start = highest_resident(), time.perf_counter()
        try:
            SmoteOversampler().fit(dataset)
        except ValueError as error:
            message = str(error)
        else:
            raise SystemExit("the row was not refused")
        told = {
            "rows": a.rows,
            "width": a.width,
            "file_mib": round(path.stat().st_size / 2**20),
            "seconds": round(time.perf_counter() - start, 2),
            "peak_mib": round(highest_resident()),
            "peak_mib_before": round(before),
            "message": message,
        }
    assert f"row {a.rows - 1}" in message
    print(json.dumps(told))


def _write(path: Path, rows: int, width: int) -> None:
    kind = pa.list_(pa.float32(), width)
    schema = pa.schema({"label": pa.int8(), "embedding": kind})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
        for first in range(0, rows, _BLOCK):
            size = min(_BLOCK, rows - first)
            vectors = np.random.default_rng(first).normal(size=(size, width)).astype(np.float32)
            if first + size == rows:
                vectors[-1, -1] = np.nan
            labels = (np.arange(size) % 10 == 0).astype(np.int8)
            column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), width)
            writer.write_batch(pa.record_batch([pa.array(labels), column], schema=schema))


if __name__ == "__main__":
    main()
