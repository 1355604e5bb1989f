"""Approximate search of neighbours, where it is asked for: its recall is known."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset

from hf_oversample import (
    AdasynOversampler,
    BorderlineSmoteOversampler,
    Oversampler,
    SmoteOversampler,
)
from hf_oversample.oversamplers.sharded import balance_files
from test_embedding_column import on_disk
from test_sharded import rows_of

METHODS = [
    SmoteOversampler(neighbor_search="approximate", seed=1),
    BorderlineSmoteOversampler(neighbor_search="approximate", kind="borderline-2", seed=1),
    AdasynOversampler(neighbor_search="approximate", sampling_strategy={"rare": 600}, seed=1),
]


@pytest.fixture(scope="module")
def rows() -> Dataset:
    pytest.importorskip("usearch", reason="the extra usearch is not installed")
    return rows_of((1500, 700, 300), width=16)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)
def test_recall_is_measured_and_high(
    method: Oversampler, rows: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mapped = on_disk(rows, tmp_path / "rows")
    with caplog.at_level(logging.INFO, logger="hf_oversample"):
        children = method.fit(mapped).children(mapped)
    assert isinstance(method, SmoteOversampler | BorderlineSmoteOversampler | AdasynOversampler)
    assert method.recall_
    assert all(0.9 < recall <= 1 for recall in method.recall_.values()), method.recall_
    assert caplog.text.count("recall") == len(method.recall_)
    again = method.fit(rows).children(rows)
    assert again["embedding"][:] == children["embedding"][:]
    method.save_pretrained(tmp_path / "saved")
    loaded = type(method).from_pretrained(tmp_path / "saved")
    assert loaded.recall_ == method.recall_
    assert loaded.children(rows)["embedding"][:] == children["embedding"][:]


def test_few_rows_have_all_their_neighbors(rows: Dataset) -> None:
    few = rows.select(np.concatenate([np.flatnonzero(np.array(rows["label"]) == c)[:4] for c in
                                      range(3)]))  # fmt: skip
    some = few.add_item({"text": "one more", "label": 0, "embedding": [0.0] * 16})
    options = {"sampling_strategy": {"rare": 9}, "k_neighbors": 5}
    approximate = SmoteOversampler(neighbor_search="approximate", **options).fit(some)
    exact = SmoteOversampler(**options).fit(some)
    assert approximate.recall_ == {"rows of class 'rare' among their own": 1.0}
    assert exact.recall_ == {}
    expected = exact.children(some)["embedding"][:]
    assert approximate.children(some)["embedding"][:] == expected


def test_files_are_searched_exactly(tmp_path: Path) -> None:
    rows_of().to_parquet(str(tmp_path / "rows.parquet"))
    with pytest.raises(ValueError, match="needs an index of all rows in memory"):
        balance_files(tmp_path / "rows.parquet", METHODS[0], tmp_path / "out")


def test_another_search_is_refused() -> None:
    with pytest.raises(ValueError, match="neighbor_search is 'fast'"):
        SmoteOversampler(neighbor_search="fast")


def test_without_usearch_its_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['usearch'] = None\n"
        "import numpy as np\n"
        "from hf_oversample import SmoteOversampler\n"
        "method = SmoteOversampler(neighbor_search='approximate')\n"
        "try:\n    method.fit_arrays(np.eye(8), [0, 0, 0, 0, 0, 1, 1, 1])\n"
        "except ImportError as error:\n    print(error)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install hf_oversample[usearch]" in answer.stdout, answer.stderr
