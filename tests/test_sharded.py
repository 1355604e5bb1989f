"""Balancing in files: the rows of the oversampler in memory, whatever the blocks and restarts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_oversample import (
    AdasynOversampler,
    BorderlineSmoteOversampler,
    Oversampler,
    RandomOversampler,
    SmoteOversampler,
)
from hf_oversample.neighbors.blockwise import merge_nearest, nowhere
from hf_oversample.neighbors.difficult import nearest_neighbors
from hf_oversample.oversamplers.sharded import balance_files
from hf_oversample.oversamplers.sharded.tasks import Task

NAMES = ("common", "other", "rare")
METHODS = [
    RandomOversampler(seed=3),
    SmoteOversampler(seed=3, k_neighbors=4),
    SmoteOversampler(seed=3, copy_columns=True, sampling_strategy={"rare": 90}),
    SmoteOversampler(seed=3, k_neighbors=60),  # more than a class has rows
    BorderlineSmoteOversampler(seed=3),
    BorderlineSmoteOversampler(seed=3, kind="borderline-2", sampling_strategy="minority"),
    AdasynOversampler(seed=3),
]


def rows_of(counts: Sequence[int] = (150, 60, 25), width: int = 3) -> Dataset:
    """Overlapping classes in mixed order, on a grid, so that many distances are equal."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    points = np.round(rng.normal(size=(len(labels), width)) + labels[:, None] * 0.5, 1)
    features = Features(
        {
            "text": Value("string"),
            "label": ClassLabel(names=list(NAMES)),
            "embedding": List(Value("float32"), length=width),
        }
    )
    columns = {
        "text": [f"row {n}" for n in range(len(labels))],
        "label": labels,
        "embedding": points.astype(np.float32).tolist(),
    }
    return Dataset.from_dict(columns, features=features)


def write(rows: Dataset, folder: Path, files: int = 3, row_group: int = 17) -> Path:
    folder.mkdir(parents=True)
    bounds = np.linspace(0, len(rows), files + 1).astype(int)
    for number, (first, last) in enumerate(pairwise(bounds)):
        part = rows.select(range(first, last))
        part.to_parquet(str(folder / f"{number}.parquet"), batch_size=row_group)
    return folder


def read(files: Sequence[Path], cache: Path) -> Dataset:
    names = [str(file) for file in files]
    return Dataset.from_parquet(names, cache_dir=str(cache))  # type: ignore[return-value]


def content(files: Sequence[Path]) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in files}


@pytest.mark.parametrize("block_rows", [31, 1000])
@pytest.mark.parametrize("method", METHODS, ids=lambda m: f"{type(m).__name__}-{METHODS.index(m)}")
def test_children_are_those_of_the_oversampler_in_memory(
    method: Oversampler, block_rows: int, tmp_path: Path
) -> None:
    rows = rows_of()
    expected = method.fit(rows).children(rows)
    source = write(rows, tmp_path / "rows", files=block_rows % 4 + 1)
    files = balance_files(source, method, tmp_path / "out", block_rows=block_rows)
    made = read(files, tmp_path / "cache")
    assert made.features == expected.features
    assert made[:] == expected[:]


def test_labels_that_are_strings_and_a_dict_of_their_names(tmp_path: Path) -> None:
    rows = rows_of((30, 12, 9)).cast_column("label", Value("int64"))
    words = Dataset.from_dict(
        {"kind": [NAMES[code] for code in rows["label"]], "vector": rows["embedding"][:]}
    ).cast_column("vector", List(Value("float32")))
    method = SmoteOversampler(sampling_strategy={"rare": 25}, k_neighbors=2)
    columns = {"label_column": "kind", "embedding_column": "vector"}
    expected = method.balance(words, **columns)[len(words) :]
    source = write(words, tmp_path / "rows", row_group=1)
    files = balance_files(source, method, tmp_path / "out", block_rows=3, **columns)
    assert read(files, tmp_path / "cache")[:] == expected


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_merged_neighbors_of_parts_are_those_of_the_whole(data: st.DataObject) -> None:
    """Ties included: points of a coarse grid have many."""
    rows = data.draw(st.integers(2, 24), label="rows")
    grid = st.lists(st.integers(0, 2), min_size=2, max_size=2)
    points = data.draw(st.lists(grid, min_size=rows, max_size=rows))
    base = np.array(points, dtype=np.float32)
    k = data.draw(st.integers(1, rows - 1), label="k")
    cuts = data.draw(st.sets(st.integers(1, rows - 1)), label="cuts")
    distances, indices = nearest_neighbors(base, base, k, exclude=np.arange(rows))
    bounds = [0, *sorted(cuts), rows]
    parts = []
    for first, last in pairwise(bounds):
        some = min(k + 1, last - first)
        near, places = nearest_neighbors(base, base[first:last], some)
        part = nowhere(rows, some)
        part["distance"], part["row"] = near, places + first
        own = part["row"] == np.arange(rows)[:, None]
        part["distance"][own] = np.inf
        parts.append(part)
    for order in (parts, parts[::-1]):
        merged = merge_nearest(order, k)
        np.testing.assert_array_equal(merged["row"], indices)
        np.testing.assert_array_equal(merged["distance"], distances)


class StopsAfter:
    """An executor that is stopped after some tasks; backwards, as workers end in any order."""

    def __init__(self, tasks: int) -> None:
        self.left = tasks

    def __call__(self, tasks: Sequence[Task]) -> None:
        for task in reversed(tasks):
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            task.run()


@pytest.mark.parametrize(
    "method", [METHODS[0], METHODS[5], METHODS[6]], ids=lambda m: type(m).__name__
)
def test_a_stopped_call_goes_on_to_the_same_bytes(method: Oversampler, tmp_path: Path) -> None:
    source = write(rows_of(), tmp_path / "rows")
    expected = content(balance_files(source, method, tmp_path / "whole", block_rows=50))
    stops, files = 0, None
    while files is None:
        try:
            files = balance_files(
                source, method, tmp_path / "out", block_rows=50, executor=StopsAfter(1 + stops % 5)
            )
        except KeyboardInterrupt:
            stops += 1
    assert stops > 3
    assert content(files) == expected

    def no_tasks(tasks: Sequence[Task]) -> None:
        assert not tasks

    again = balance_files(source, method, tmp_path / "out", block_rows=50, executor=no_tasks)
    assert content(again) == expected


KILLED = """
import sys
from test_sharded import METHODS
from hf_oversample.oversamplers.sharded import balance_files
balance_files(sys.argv[1], METHODS[6], sys.argv[2], block_rows=20)
"""


@pytest.mark.slow
def test_a_process_that_is_killed_leaves_nothing_half_written(tmp_path: Path) -> None:
    source = write(rows_of((300, 120, 60)), tmp_path / "rows")
    start = time.monotonic()
    command = [sys.executable, "-c", KILLED, str(source)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([*command, tmp_path / "whole"], check=True, env=environment)
    seconds = time.monotonic() - start
    expected = content(sorted((tmp_path / "whole" / "children").iterdir()))
    rng = np.random.default_rng(os.getpid())
    for _ in range(2):  # benchmarks/faults.py kills it more often
        process = subprocess.Popen([*command, tmp_path / "out"], env=environment)
        time.sleep(seconds * rng.uniform(0.4, 1))
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run([*command, tmp_path / "out"], check=True, env=environment)
    assert content(sorted((tmp_path / "out" / "children").iterdir())) == expected


def bad(rows: Dataset, row: int, **values: Any) -> Dataset:
    table = rows.to_dict()
    for name, value in values.items():
        table[name][row] = value
    features = Features({**rows.features, "embedding": List(Value("float32"))})
    return Dataset.from_dict(table, features=features)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embedding": [0.0, float("nan"), 1.0]}, "'embedding' is nan in row 201, position 1"),
        ({"embedding": [0.0, float("inf"), 1.0]}, "'embedding' is inf in row 201, position 1"),
        ({"embedding": None}, "'embedding' is null in row 201"),
        ({"embedding": [0.0]}, "'embedding' has 1 values in row 201 but 3"),
        ({"label": None}, "'label' is null in row 201"),
    ],
)
def test_a_bad_row_is_named_by_its_number_among_all(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    source = write(bad(rows_of(), 201, **change), tmp_path / "rows")
    with pytest.raises(ValueError, match=message):
        balance_files(source, SmoteOversampler(), tmp_path / "out", block_rows=30)
    assert not (tmp_path / "out" / "children").exists()


def test_embeddings_of_one_width_in_each_file_but_not_in_all(tmp_path: Path) -> None:
    kind = List(Value("float32"))
    source = write(rows_of().cast_column("embedding", kind), tmp_path / "rows", files=1)
    wider = rows_of(width=4).cast_column("embedding", kind)
    wider.to_parquet(str(source / "1.parquet"))
    with pytest.raises(ValueError, match="has 4 values in row 235 but 3 in row 0"):
        balance_files(source, SmoteOversampler(), tmp_path / "out")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"oversampler": SmoteOversampler(seed=4)}, "seed was 3 and is now 4"),
        (
            {"oversampler": AdasynOversampler(seed=3)},
            "oversampler was 'SmoteOversampler' and is now 'Adasyn",
        ),
        ({"block_rows": 30}, "block_rows was 50 and is now 30"),
        ({"label_column": "nothing"}, "no column 'nothing'"),
        ({"embedding_column": "vector"}, "no column 'vector'"),
        ({"embedding_column": "text"}, "'text' holds string: give lists of float32"),
        ({"files": "elsewhere"}, "no parquet or Arrow file elsewhere"),
        ({"block_rows": 0}, "block_rows is 0"),
        (
            {"oversampler": SmoteOversampler(sampling_strategy={"none": 9})},
            "class 'none' has no rows",
        ),
    ],
)
def test_other_arguments_are_refused(changed: dict[str, Any], message: str, tmp_path: Path) -> None:
    arguments = {
        "files": write(rows_of(), tmp_path / "rows"),
        "oversampler": SmoteOversampler(seed=3),
        "output_dir": tmp_path / "out",
        "block_rows": 50,
    }
    balance_files(**arguments)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=message):
        balance_files(**{**arguments, **changed})


def test_files_that_changed_are_refused(tmp_path: Path) -> None:
    source = write(rows_of(), tmp_path / "rows")
    balance_files(source, SmoteOversampler(), tmp_path / "out")
    rows_of((20, 10, 5)).to_parquet(str(source / "2.parquet"))
    with pytest.raises(ValueError, match=r"files was \['2.parquet'"):
        balance_files(source, SmoteOversampler(), tmp_path / "out")


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    source = write(rows_of(), tmp_path / "rows")
    with pytest.raises(ValueError, match="is not empty"):
        balance_files(source, SmoteOversampler(), source)


def test_files_of_other_columns_are_refused(tmp_path: Path) -> None:
    source = write(rows_of(), tmp_path / "rows")
    rows_of().remove_columns("text").to_parquet(str(source / "9.parquet"))
    with pytest.raises(ValueError, match=r"9.parquet has other columns"):
        balance_files(source, SmoteOversampler(), tmp_path / "out")


def test_a_method_that_must_see_all_rows_is_refused(tmp_path: Path) -> None:
    class Other(Oversampler):
        pass

    with pytest.raises(TypeError, match="Other learns from all rows at once"):
        balance_files(tmp_path, Other(), tmp_path / "out")


def test_balanced_rows_have_no_children(tmp_path: Path) -> None:
    source = write(rows_of((20, 20, 20)), tmp_path / "rows")
    assert balance_files(source, SmoteOversampler(), tmp_path / "out") == []
    assert balance_files(source, SmoteOversampler(), tmp_path / "out") == []


def test_without_ray_its_package_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['ray'] = None\n"
        "try:\n    import hf_oversample.ray\n"
        "except ImportError as error:\n    print(error)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install hf_oversample[ray]" in answer.stdout, answer.stderr
