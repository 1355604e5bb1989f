"""Neighbours of all rows among themselves, against the search that serves all else."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_oversample.neighbors import own_rows
from hf_oversample.neighbors.difficult import nearest_neighbors
from hf_oversample.neighbors.own_rows import nearest_of_own

KINDS = ("normal", "whole numbers", "far from zero", "one far row", "two scales", "equal rows")


def points(kind: str, rows: int, width: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    drawn = rng.standard_normal((rows, width)).astype(np.float32)
    if kind == "whole numbers":  # ties
        return np.round(drawn * 2)
    if kind == "far from zero":
        return drawn.astype(np.float64) + 1e9
    if kind == "one far row":  # which takes the others' digits
        drawn[0] += 1e6
    if kind == "two scales":
        drawn[::2] *= 1e-3
    if kind == "equal rows":
        drawn[: rows // 2] = drawn[0]
    return drawn


def expected(vectors: np.ndarray, k: int) -> np.ndarray:
    _, indices = nearest_neighbors(vectors, vectors, k, exclude=np.arange(len(vectors)))
    found: np.ndarray = indices.numpy()
    return found


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    rows=st.integers(2, 90),
    width=st.integers(1, 20),
    k=st.integers(1, 9),
    block=st.sampled_from([8, 16, 33, 1024]),
    seed=st.integers(0, 99),
)
def test_it_is_the_exact_search(
    kind: str, rows: int, width: int, k: int, block: int, seed: int
) -> None:
    k = min(k, rows - 1)
    vectors = points(kind, rows, width, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_rows, "_BLOCK_ROWS", block)
        found = nearest_of_own(vectors, k)
    if k >= min(block, rows):
        assert found is None
    else:
        assert found is not None  # so few pairs are never too many
        assert found.tolist() == expected(vectors, k).tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_of_several_blocks(kind: str) -> None:
    vectors = points(kind, 2500, 24, seed=5)
    found = nearest_of_own(vectors, 5)
    if kind in ("equal rows", "one far row", "two scales"):  # too many pairs for float32's digits
        assert found is None
    else:
        assert found is not None
        assert (found == expected(vectors, 5)).all()


@pytest.mark.parametrize("limit", ["_MOST_PAIRS", "_MOST_OF_A_ROW"])
def test_it_gives_up_where_too_many_pairs_are_near(
    limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = points("normal", 2100, 4, seed=1)
    assert nearest_of_own(vectors, 5) is not None
    monkeypatch.setattr(own_rows, limit, 8)
    assert nearest_of_own(vectors, 5) is None


def test_what_it_leaves_to_the_other_search() -> None:
    rng = np.random.default_rng(0)
    assert nearest_of_own(rng.standard_normal((1100, 2)), 1024) is None
    huge = np.array([[3e38], [-3e38], [-3e38]], np.float32)
    assert nearest_of_own(huge, 1) is None
    with pytest.raises(ValueError, match="overflow float32"):
        expected(huge, 1)


SMOTE = """
import sys
import numpy as np
from hf_oversample.sklearn import SmoteSampler
X = np.random.default_rng(0).standard_normal((90, 4)).astype(np.float32)
X, y = SmoteSampler().fit_resample(X, np.arange(90) // 70)
print(len(X), sorted({"torch", "datasets", "transformers"} & set(sys.modules)))
"""


def test_smote_of_arrays_does_not_import_torch() -> None:
    answer = subprocess.run([sys.executable, "-c", SMOTE], capture_output=True, text=True)
    assert answer.stdout.split(maxsplit=1) == ["140", "[]\n"], answer.stderr
