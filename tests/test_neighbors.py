from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from hf_oversample.neighbors import difficult as neighbors
from hf_oversample.neighbors import search as neighbor_search
from hf_oversample.neighbors.difficult import difficult_samples, nearest_neighbors


def brute_force(
    queries: np.ndarray, base: np.ndarray, k: int, exclude: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """NumPy, float64: the k nearest, ties by index."""
    differences = queries[:, None].astype(np.float64) - base[None].astype(np.float64)
    distances = np.sqrt((differences**2).sum(-1)).astype(np.float32)
    if exclude is not None:
        marked = exclude >= 0
        distances[np.flatnonzero(marked), exclude[marked]] = np.inf
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(distances, order, 1), order


def rows(seed: int, count: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_equals_scikit_learn(dtype: str) -> None:
    base = rows(0, 20_000, 48)
    distances, indices = nearest_neighbors(base[:300], base, 7, dtype=dtype, block_bytes=2**22)
    reference = NearestNeighbors(n_neighbors=7, algorithm="brute").fit(base.astype(np.float64))
    expected, expected_indices = reference.kneighbors(base[:300].astype(np.float64))
    np.testing.assert_array_equal(indices, expected_indices)
    np.testing.assert_allclose(distances, expected, rtol=1e-6, atol=1e-6)  # its own zeros are 1e-7
    assert (distances[:, 0] == 0).all()
    assert distances.dtype == torch.float32
    assert indices.dtype == torch.int64


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(2, 60),
    width=st.integers(1, 5),
    grid=st.booleans(),
    offset=st.sampled_from([0.0, 1000.0]),
    block_bytes=st.sampled_from([1, 5_000, 2**26]),
    dtype=st.sampled_from(["float32", "bfloat16"]),
    data=st.data(),
)
def test_any_shape_duplicates_and_blocks(
    seed: int,
    count: int,
    width: int,
    grid: bool,
    offset: float,
    block_bytes: int,
    dtype: str,
    data: st.DataObject,
) -> None:
    base = rows(seed, count, width)
    if grid:  # few distinct values: full of duplicates and of equal distances
        base = np.clip(np.round(base), -1, 1)
    base = (base + offset).astype(np.float32)
    exclude = np.random.default_rng(seed).integers(-1, count, count)
    k = data.draw(st.integers(1, count - 1))
    # Tiny blocks of the base as well, so that ties cross them.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbor_search, "_BASE_BLOCK_ROWS", data.draw(st.sampled_from([1, 7, 8192])))
        distances, indices = nearest_neighbors(
            base, base, k, exclude=exclude, block_bytes=block_bytes, dtype=dtype
        )
    expected, expected_indices = brute_force(base, base, k, exclude)
    np.testing.assert_array_equal(indices, expected_indices)
    np.testing.assert_array_equal(distances, expected)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("base_block", [64, 2048, 8192])
def test_more_duplicates_than_candidates(
    dtype: str, base_block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbor_search, "_BASE_BLOCK_ROWS", base_block)
    distinct = rows(1, 40, 16)
    base = distinct[np.random.default_rng(2).integers(0, 40, 4000)]
    distances, indices = nearest_neighbors(
        base[:60], base, 5, exclude=np.arange(60), dtype=dtype, block_bytes=2**20
    )
    expected, expected_indices = brute_force(base[:60], base, 5, np.arange(60))
    np.testing.assert_array_equal(indices, expected_indices)
    np.testing.assert_array_equal(distances, expected)
    assert (distances == 0).all()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_near_duplicates_far_from_the_origin(dtype: str) -> None:
    # ‖a‖² + ‖b‖² − 2ab has no correct digit here.
    base = (1000 + rows(3, 500, 8) * 1e-2).astype(np.float32)
    base[250:] = base[:250]
    base[250:, 0] += np.float32(1e-4)
    distances, indices = nearest_neighbors(base, base, 3, exclude=np.arange(500), dtype=dtype)
    expected, expected_indices = brute_force(base, base, 3, np.arange(500))
    np.testing.assert_array_equal(indices, expected_indices)
    np.testing.assert_array_equal(distances, expected)


@pytest.mark.parametrize("scale", [1e-30, 1e-18, 1e15, 1e30])
def test_scale_does_not_matter(scale: float) -> None:
    base = rows(4, 400, 6)
    _, indices = nearest_neighbors(base * np.float32(scale), base * np.float32(scale), 4)
    np.testing.assert_array_equal(indices, brute_force(base, base, 4)[1])


def test_an_outlier_does_not_spoil_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    base = rows(5, 3000, 32)
    base[0] = 1e4
    calls = []
    unlimited = neighbor_search.Search._run_unlimited
    monkeypatch.setattr(
        neighbor_search.Search,
        "_run_unlimited",
        lambda self, *arguments: calls.append(1) or unlimited(self, *arguments),
    )
    _, indices = nearest_neighbors(base[:200], base, 5)
    np.testing.assert_array_equal(indices, brute_force(base[:200], base, 5)[1])
    assert not calls  # the bounds of ordinary rows stay tight


@pytest.mark.parametrize(
    ("count", "width", "fast", "expected"),
    [
        (8192, 128, True, torch.bfloat16),
        (8192, 128, False, torch.float32),
        (8191, 128, True, torch.float32),
        (8192, 127, True, torch.float32),
    ],
)
def test_automatic_precision(
    count: int, width: int, fast: bool, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = []
    run = neighbor_search.Search.run
    monkeypatch.setattr(
        neighbor_search.Search, "run", lambda self: used.append(self.dtype) or run(self)
    )
    monkeypatch.setattr(neighbors, "has_fast_bfloat16", lambda device: fast)
    base = rows(13, count, width)
    _, indices = nearest_neighbors(base[:20], base, 3)
    assert used == [expected]
    np.testing.assert_array_equal(indices, brute_force(base[:20], base, 3)[1])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_many_queries_with_near_ties(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # On a sphere about each query all are as near but for rounding: no bound tells them apart.
    directions = rows(10, 700, 24)
    base = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    queries = rows(11, 30, 24) * np.float32(1e-6)
    monkeypatch.setattr(neighbor_search, "_BASE_BLOCK_ROWS", 128)
    asked = []
    unlimited = neighbor_search.Search._run_unlimited
    monkeypatch.setattr(
        neighbor_search.Search,
        "_run_unlimited",
        lambda self, rows, reach: asked.append(len(rows)) or unlimited(self, rows, reach),
    )
    distances, indices = nearest_neighbors(queries, base, 4, dtype=dtype, block_bytes=50_000)
    expected, expected_indices = brute_force(queries, base, 4)
    np.testing.assert_array_equal(indices, expected_indices)
    np.testing.assert_array_equal(distances, expected)
    assert sum(asked) > 10


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_base_is_never_copied_whole(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    base = rows(12, 3000, 16)
    base.flags.writeable = False
    monkeypatch.setattr(neighbor_search, "_BASE_BLOCK_ROWS", 256)
    centered = neighbor_search.Search._centered
    blocks = []

    def noted(self: neighbor_search.Search, values: torch.Tensor) -> Any:
        assert self.base.data_ptr() == base.ctypes.data
        blocks.append(len(values))
        return centered(self, values)

    monkeypatch.setattr(neighbor_search.Search, "_centered", noted)
    _, indices = nearest_neighbors(base[:500], base, 3, dtype=dtype)
    np.testing.assert_array_equal(indices, brute_force(base[:500], base, 3)[1])
    assert max(blocks) == 256
    assert sum(blocks) < 2 * len(base)  # one pass for all queries


def test_inputs_are_numpy_lists_or_tensors_and_stay_as_they_are() -> None:
    base = rows(6, 30, 4)
    kept = base.copy()
    expected = nearest_neighbors(base, base, 2)
    for other in (base.tolist(), torch.from_numpy(base), base.astype(np.float64)):
        for one, two in zip(expected, nearest_neighbors(other, other, 2), strict=True):
            assert torch.equal(one, two)
    readonly = base.view()
    readonly.flags.writeable = False
    assert torch.equal(nearest_neighbors(readonly, readonly, 2)[1], expected[1])
    np.testing.assert_array_equal(base, kept)
    distances, indices = nearest_neighbors(np.empty((0, 4)), base, 2)
    assert distances.shape == indices.shape == (0, 2)


def test_errors() -> None:
    base = rows(7, 10, 3)
    holed = base.copy()
    holed[4, 2] = np.nan
    with pytest.raises(ValueError, match="base has nan in row 4, column 2"):
        nearest_neighbors(base, holed, 1)
    holed[4, 2] = np.inf
    with pytest.raises(ValueError, match="queries has inf in row 4, column 2"):
        nearest_neighbors(holed, base, 1)
    with pytest.raises(ValueError, match="same width"):
        nearest_neighbors([[1.0], [1.0, 2.0]], base, 1)
    with pytest.raises(ValueError, match=r"must have shape \[rows, width\], got \(3,\)"):
        nearest_neighbors(base[0], base, 1)
    with pytest.raises(ValueError, match="queries have 2 columns and base has 3"):
        nearest_neighbors(base[:, :2], base, 1)
    for k in (0, 11):
        with pytest.raises(ValueError, match=f"k={k} .* 10 rows are available"):
            nearest_neighbors(base, base, k)
    with pytest.raises(ValueError, match="9 rows are available"):
        nearest_neighbors(base, base, 10, exclude=np.arange(10))
    with pytest.raises(ValueError, match=r"exclude\[1\] is 10, outside −1 … 9"):
        nearest_neighbors(base[:2], base, 1, exclude=[0, 10])
    with pytest.raises(ValueError, match=r"shape \(2,\), got \(3,\)"):
        nearest_neighbors(base[:2], base, 1, exclude=[0, 1, 2])
    with pytest.raises(ValueError, match="dtype must be"):
        nearest_neighbors(base, base, 1, dtype="float16")
    with pytest.raises(ValueError, match="overflow float32"):
        nearest_neighbors([[0.0]], [[3e38], [-3e38], [-3e38]], 1)


def test_difficult_samples_by_hand() -> None:
    # On a line: class 0 at 0, 1, 2, 3, 10; class 1 at 2.4, 20, 21, 22.
    points = np.array([0, 1, 2, 3, 10, 2.4, 20, 21, 22], dtype=np.float32)[:, None]
    found = difficult_samples(points, [0, 0, 0, 0, 0, 1, 1, 1, 1], k=2)
    assert found.rows.tolist() == [5, 6, 7, 8]
    assert found.labels.tolist() == [1, 1, 1, 1]
    assert found.neighbors.tolist() == [[2, 3], [7, 8], [6, 8], [7, 6]]
    assert found.other_class_share.tolist() == [1, 0, 0, 0]
    assert found.is_difficult.tolist() == [True, False, False, False]
    assert found.confusers.tolist() == [[2, 3], [-1, -1], [-1, -1], [-1, -1]]
    assert found.share() == found.share(1) == 0.25
    with pytest.raises(ValueError, match="no minority row has label 0"):
        found.share(0)


def test_difficult_samples_counts_copies_but_not_the_row_itself() -> None:
    points = np.array([[0.0], [0.0], [0.0], [9.0], [9.1]])
    found = difficult_samples(points, np.array([0, 0, 1, 0, 1]), k=2)
    assert found.neighbors.tolist() == [[0, 1], [3, 0]]
    assert found.is_difficult.all()


def test_difficult_samples_of_several_classes() -> None:
    embeddings, labels = rows(8, 120, 3), np.repeat([0, 1, 2], [60, 40, 20])
    found = difficult_samples(embeddings, torch.from_numpy(labels), k=4)
    assert found.rows.tolist() == list(range(60, 120))
    expected = brute_force(embeddings[60:], embeddings, 4, np.arange(60, 120))[1]
    np.testing.assert_array_equal(found.neighbors, expected)
    other = labels[expected] != labels[60:, None]
    np.testing.assert_allclose(found.other_class_share, other.mean(1))
    for confusers, row, mask in zip(found.confusers, expected, other, strict=True):
        assert confusers.tolist() == row[mask].tolist() + [-1] * int((~mask).sum())
    assert found.share(2) == other[40:].any(1).mean()
    only = difficult_samples(embeddings, labels, k=4, minority=0)
    assert only.rows.tolist() == list(range(60))
    both = difficult_samples(embeddings, labels, k=4, minority=[0, 2])
    assert set(both.labels.tolist()) == {0, 2}


def test_difficult_samples_errors() -> None:
    points = rows(9, 4, 2)
    with pytest.raises(ValueError, match=r"found 1 class\(es\)"):
        difficult_samples(points, [0, 0, 0, 0], k=1)
    with pytest.raises(ValueError, match="4 embeddings but 3 labels"):
        difficult_samples(points, [0, 0, 1], k=1)
    with pytest.raises(ValueError, match="labels must be integers"):
        difficult_samples(points, ["a", "a", "b", "b"], k=1)
    with pytest.raises(ValueError, match=r"minority labels \[5\] have no rows"):
        difficult_samples(points, [0, 0, 1, 1], k=1, minority=5)
    with pytest.raises(ValueError, match="3 rows are available"):
        difficult_samples(points, [0, 0, 1, 1], k=4)
