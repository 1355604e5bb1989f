"""Embeddings that are read in blocks: of rows on disk the same children as of rows in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, LargeList, List, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_oversample import (
    AdasynOversampler,
    BorderlineSmoteOversampler,
    Oversampler,
    RandomOversampler,
    SmoteOversampler,
)
from hf_oversample.data import embedding_column
from hf_oversample.data.embedding_column import EmbeddingColumn
from hf_oversample.neighbors.blockwise import nearest_in_blocks
from hf_oversample.neighbors.difficult import nearest_neighbors
from test_sharded import rows_of

METHODS = [
    SmoteOversampler(seed=3, k_neighbors=4),
    BorderlineSmoteOversampler(seed=3),
    BorderlineSmoteOversampler(seed=3, kind="borderline-2", sampling_strategy="minority"),
    AdasynOversampler(seed=3, sampling_strategy={"rare": 40}),
]


def on_disk(rows: Dataset, folder: Path) -> Dataset:
    rows.save_to_disk(folder, num_shards=3)
    return Dataset.load_from_disk(str(folder))


def wide(rows: Dataset) -> Dataset:
    """The rows as float64, the first column far from zero: its digits are not float32's."""
    points = np.array(rows["embedding"], np.float64)
    points[:, 0] += 1e9
    columns: dict[str, Any] = {"label": rows["label"][:], "embedding": points.tolist()}
    return Dataset.from_dict(columns).cast_column("label", rows.features["label"])


def whole(method: Oversampler, rows: Dataset) -> list[list[float]]:
    """The children by way of arrays, which are searched whole."""
    points = np.array(rows["embedding"][:])
    if rows.features["embedding"].feature.dtype == "float32":
        points = points.astype(np.float32)
    codes = np.array(rows["label"][:])
    assert isinstance(method, SmoteOversampler | BorderlineSmoteOversampler | AdasynOversampler)
    params = method.get_params()
    if isinstance(params["sampling_strategy"], dict):
        params["sampling_strategy"] = {2: params["sampling_strategy"]["rare"]}
    made, _, _, _ = type(method)(**params).fit_arrays(points, codes).new_rows()
    return made.tolist()


@pytest.mark.parametrize("is_wide", [False, True], ids=["float32", "float64"])
@pytest.mark.parametrize("method", METHODS, ids=lambda m: f"{type(m).__name__}-{METHODS.index(m)}")
def test_rows_on_disk_in_small_blocks_have_the_children_of_the_whole(
    method: Oversampler, is_wide: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = wide(rows_of()) if is_wide else rows_of()
    expected = whole(method, rows)
    monkeypatch.setattr(embedding_column, "BLOCK_BYTES", 7 * 3 * 4)  # seven rows
    mapped = on_disk(rows, tmp_path / "rows")
    children = method.fit(mapped).children(mapped)
    assert children["embedding"][:] == expected
    assert method.balance(mapped)["embedding"][len(rows) :] == expected
    # the same rows as an order of others
    order = np.random.default_rng(1).permutation(len(rows))
    shuffled = on_disk(rows.select(order), tmp_path / "shuffled").select(np.argsort(order))
    assert method.fit(shuffled).children(shuffled)["embedding"][:] == expected


@pytest.mark.parametrize("method", METHODS[:1])
def test_a_mapped_data_set_grows_by_the_same_children(method: Oversampler, tmp_path: Path) -> None:
    rows = rows_of((60, 20, 9))
    mapped = on_disk(rows, tmp_path / "rows")
    grown = mapped.map(method.fit(mapped), batched=True, with_indices=True, batch_size=13)
    expected = method.fit(rows).children(rows)
    made = grown.filter(lambda row: row["origin"])
    assert made["embedding"][:] == expected["embedding"][:]
    assert len(grown) == len(rows) + len(expected)


@pytest.mark.parametrize(
    "kind",
    [List(Value("float32")), LargeList(Value("float16")), List(Value("float64"), length=3)],
    ids=["list", "large float16", "float64"],
)
def test_rows_are_taken_in_any_order_of_any_list(kind: Any, tmp_path: Path) -> None:
    rows = rows_of().cast_column("embedding", kind)
    expected = np.array(rows["embedding"][:], np.float32)
    mapped = on_disk(rows, tmp_path / "rows").sort("text")
    names = [int(text.split()[1]) for text in mapped["text"]]
    column = EmbeddingColumn(mapped, "embedding")
    chosen = np.array([200, 3, 3, 77, 0])
    np.testing.assert_array_equal(column.take(chosen), expected[names][chosen])
    np.testing.assert_array_equal(
        np.concatenate([block for _, block in column.blocks()]), expected[names]
    )
    assert column.take(np.empty(0, np.int64)).shape == (0, 3)


@pytest.mark.parametrize("method", [*METHODS, RandomOversampler()])
def test_no_copy_of_all_embeddings_is_made(
    method: Oversampler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = on_disk(rows_of(), tmp_path / "rows")

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("all embeddings were read into memory")

    for module in ("base.embedding_matrix", "embedding.exact_embeddings"):
        monkeypatch.setattr(f"hf_oversample.oversamplers.{module}", refuse)
    method.fit(rows, embedding_column="embedding").children(rows)


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_neighbors_in_blocks_are_those_of_the_whole(data: st.DataObject) -> None:
    """Ties included: points of a coarse grid have many."""
    count = data.draw(st.integers(2, 24), label="rows")
    grid = st.lists(st.integers(0, 2), min_size=2, max_size=2)
    points = data.draw(st.lists(grid, min_size=count, max_size=count))
    base = np.array(points, dtype=np.float32)
    k = data.draw(st.integers(1, count - 1), label="k")
    cuts = data.draw(st.sets(st.integers(1, count - 1)), label="cuts")
    asked = np.array(sorted(data.draw(st.sets(st.integers(0, count - 1), min_size=1))))
    distances, indices = nearest_neighbors(base[asked], base, k, exclude=asked)
    codes = np.arange(count) % 3
    numbers = np.split(np.arange(count), sorted(cuts))
    blocks = [(rows, codes[rows], base[rows]) for rows in numbers]
    found = nearest_in_blocks(base[asked], asked, blocks, k)
    np.testing.assert_array_equal(found["row"], indices)
    np.testing.assert_array_equal(found["distance"], distances)
    np.testing.assert_array_equal(found["code"], codes[indices])
