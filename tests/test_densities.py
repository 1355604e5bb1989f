from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hf_oversample.oversamplers.simpor import densities
from hf_oversample.oversamplers.simpor.densities import (
    LogDensityRatio,
    bandwidth_from_neighbors,
)


def unit_rows(seed: int, count: int, width: int, shift: float = 0.0) -> Tensor:
    rows = np.random.default_rng(seed).normal(size=(count, width))
    rows[:, 0] += shift * math.sqrt(width)
    return torch.from_numpy(rows / np.linalg.norm(rows, axis=1, keepdims=True)).float()


def dense_log_ratio(points: Tensor, target: Tensor, other: Tensor, bandwidth: float) -> Tensor:
    """Eq. 12 with the minus sign, from plain differences in float64."""

    def log_sum(rows: Tensor) -> Tensor:
        squares = (points.double()[:, None] - rows.double()[None]).square().sum(dim=2)
        return torch.logsumexp(-squares / (2 * bandwidth**2), dim=1)

    return log_sum(target) - log_sum(other)


def dense_gradient(points: Tensor, target: Tensor, other: Tensor, bandwidth: float) -> Tensor:
    leaf = points.double().requires_grad_()
    (gradient,) = torch.autograd.grad(dense_log_ratio(leaf, target, other, bandwidth).sum(), leaf)
    return gradient


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 10_000),
    sizes=st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 9)),
    width=st.sampled_from([1, 2, 17, 128]),
    bandwidth=st.sampled_from([0.1, 0.3, 2.0]),
    chunk=st.sampled_from([1, 7, 1024]),
)
def test_gradient_equals_autograd(
    seed: int, sizes: tuple[int, int, int], width: int, bandwidth: float, chunk: int
) -> None:
    target, other = unit_rows(seed, sizes[0], width), unit_rows(seed + 1, sizes[1], width)
    points = unit_rows(seed + 2, sizes[2], width) * 0.9
    ratio = LogDensityRatio(target.double(), other.double(), bandwidth, chunk_rows=chunk)
    values, gradients = ratio.value_and_gradient(points.double())
    expected = dense_log_ratio(points, target, other, bandwidth)
    torch.testing.assert_close(values, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(
        gradients, dense_gradient(points, target, other, bandwidth), rtol=1e-5, atol=1e-7
    )
    torch.testing.assert_close(ratio.value(points.double()), values)


def test_float32_equals_the_float64_reference() -> None:
    target, other = unit_rows(0, 90, 384, shift=0.6), unit_rows(1, 1500, 384)
    points = target[:10] + 0.2 * unit_rows(2, 10, 384)
    values, gradients = LogDensityRatio(target, other, 0.2).value_and_gradient(points)
    assert values.dtype == gradients.dtype == torch.float32
    torch.testing.assert_close(
        values.double(), dense_log_ratio(points, target, other, 0.2), rtol=1e-5, atol=1e-4
    )
    expected = dense_gradient(points, target, other, 0.2)
    error = (gradients - expected).norm(dim=1) / expected.norm(dim=1)
    assert float(error.max()) < 1e-5


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    sizes=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    width=st.sampled_from([1, 3, 40, 384]),
    share=st.sampled_from([0.01, 0.1, 0.5, 3.0]),
    stretch=st.sampled_from([1.0, 30.0, 50_000.0]),
    offset=st.sampled_from([0.0, 100.0, -10_000.0]),
)
def test_a_value_is_within_its_rounding(
    seed: int,
    sizes: tuple[int, int],
    width: int,
    share: float,
    stretch: float,
    offset: float,
) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(sum(sizes) + 5, width))
    rows[:, 0] *= stretch
    target, other, points = torch.from_numpy(rows + offset).float().split([*sizes, 5])
    bandwidth = share * math.sqrt(width)
    ratio = LogDensityRatio(target, other, bandwidth)
    values, gradients = ratio.value_and_gradient(points)
    assert values.dtype == gradients.dtype == ratio.dtype
    expected = dense_log_ratio(points, target, other, bandwidth)
    error = float((values.double() - expected).abs().max())
    assert error <= ratio.rounding(points) + 1e-14 * float(expected.abs().max())
    assert ratio.dtype == torch.float64 or ratio.rounding(target) <= 1e-3


def test_float64_where_float32_is_too_coarse() -> None:
    target, other = unit_rows(14, 20, 384), unit_rows(15, 100, 384)
    assert LogDensityRatio(target, other, 0.2).dtype == torch.float32
    assert LogDensityRatio(target * 30 + 1000, other * 30 + 1000, 4.0).dtype == torch.float32
    assert LogDensityRatio(target, other, 0.01).dtype == torch.float64
    far = other.clone()
    far[0] = 1e4
    assert LogDensityRatio(target, far, 0.2).dtype == torch.float64
    # bfloat16 is asked for by name, and refuses rows that it cannot hold apart.
    assert LogDensityRatio(target, far, 3.0, precision="bfloat16").dtype == torch.float32


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_plain_sums_underflow_where_the_logarithms_are_finite(precision: str) -> None:
    target, other = unit_rows(3, 20, 1024), unit_rows(4, 200, 1024)
    points = unit_rows(5, 8, 1024)
    squares = torch.cdist(points, target).square()
    assert (torch.exp(-squares / (2 * 0.05**2)).sum(dim=1) == 0).all()
    if precision == "bfloat16":
        with pytest.raises(ValueError, match="bfloat16 would round exponents"):
            LogDensityRatio(target, other, 0.05, precision="bfloat16")
        return
    values, gradients = LogDensityRatio(target, other, 0.05).value_and_gradient(points)
    assert values.isfinite().all()
    assert gradients.isfinite().all()
    torch.testing.assert_close(
        values.double(), dense_log_ratio(points, target, other, 0.05), rtol=1e-4, atol=1e-2
    )


def test_bfloat16_is_near() -> None:
    target, other = unit_rows(6, 60, 384, shift=0.5), unit_rows(7, 1500, 384)
    points = target[:10] + 0.3 * unit_rows(8, 10, 384)
    values, gradients = LogDensityRatio(
        target, other, 0.2, precision="bfloat16"
    ).value_and_gradient(points)
    expected = dense_gradient(points, target, other, 0.2)
    cosine = torch.nn.functional.cosine_similarity(gradients.double(), expected)
    assert float(cosine.min()) > 0.98
    assert values.dtype == torch.float32
    difference = values - dense_log_ratio(points, target, other, 0.2)
    assert float(difference.abs().max()) < 0.1


def test_the_printed_sign_would_fail() -> None:
    """Eq. 10–12 as printed grow with the distance: they prefer points next to the other class."""
    target, other = torch.tensor([[0.0]]), torch.tensor([[2.0]])
    points = torch.tensor([[0.5], [1.0], [1.5]])
    assert LogDensityRatio(target, other, 1.0).value(points).tolist() == pytest.approx([1, 0, -1])


def test_bad_arguments() -> None:
    rows = torch.zeros((2, 3))
    for bandwidth in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="must be a positive, finite number"):
            LogDensityRatio(rows, rows, bandwidth)
    for other in (torch.zeros((0, 3)), torch.zeros((2, 4)), rows.double(), rows[0]):
        with pytest.raises(ValueError, match="two matrices of one width and type"):
            LogDensityRatio(rows, other, 1.0)
    with pytest.raises(ValueError, match="precision must be"):
        LogDensityRatio(rows, rows, 1.0, precision="float16")  # type: ignore[arg-type]


# ---- bandwidth ----------------------------------------------------------------------------------


def perplexities(rows: np.ndarray, queries: np.ndarray, bandwidth: float) -> np.ndarray:
    """By the definition, in float64, without any rule on duplicates."""
    wide = rows.astype(np.float64)
    found = []
    for query in queries:
        squares = ((np.delete(wide, query, axis=0) - wide[query]) ** 2).sum(axis=1)
        weights = np.exp(-(squares - squares.min()) / (2 * bandwidth**2))
        weights /= weights.sum()
        found.append(np.exp(-(weights * np.log(np.maximum(weights, 1e-300))).sum()))
    return np.array(found)


@pytest.mark.parametrize(("width", "asked"), [(2, 5.0), (384, 5.0), (384, 3.0), (30, 20.0)])
def test_bandwidth_gives_the_asked_perplexity(width: int, asked: float) -> None:
    rows = unit_rows(9, 600, width).numpy() if width > 2 else grid(25)
    queries = np.arange(0, 101 * 5, 5)
    bandwidth = bandwidth_from_neighbors(rows, queries, asked)
    found = perplexities(rows, queries, bandwidth)
    assert np.median(found) == pytest.approx(asked, rel=1e-3)


def grid(side: int) -> np.ndarray:
    """Points of a plane, shaken so that none is next to another."""
    places = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2)
    shaken = places + np.random.default_rng(0).uniform(-0.3, 0.3, places.shape)
    return shaken.astype(np.float32)


def test_blocks_do_not_change_the_bandwidth(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, queries = unit_rows(10, 300, 16).numpy(), np.arange(40)
    whole = bandwidth_from_neighbors(rows, queries)
    monkeypatch.setattr(densities, "CHUNK_ROWS", 17)
    assert bandwidth_from_neighbors(rows, queries, block_bytes=1) == pytest.approx(whole, rel=1e-9)


def test_near_duplicates_count_once() -> None:
    rows = unit_rows(11, 400, 24).numpy()
    queries = np.arange(31)
    plain = bandwidth_from_neighbors(rows, queries)
    # Every row four times more: twice exactly, twice but for the last digits.
    shaken = [rows + 1e-5 * unit_rows(seed, 400, 24).numpy() for seed in (12, 13)]
    copied = np.concatenate([rows, rows, rows, *shaken])
    assert bandwidth_from_neighbors(copied, queries) == pytest.approx(plain, rel=0.05)
    # The rule is needed: counted each, a row's own four copies would be all its neighbours.
    assert np.median(perplexities(copied, queries, plain)) < 4.01


def test_bandwidth_of_few_and_of_tied_rows() -> None:
    # Two other rows: half of (1 + 2) is the most that is asked for.
    three = np.array([[0.0], [1.0], [3.0]], dtype=np.float32)
    bandwidth = bandwidth_from_neighbors(three, [0])
    assert perplexities(three, np.array([0]), bandwidth)[0] == pytest.approx(1.5, rel=1e-3)
    # The 12 nearest of the first row are equally near, at every bandwidth below.
    tied = np.concatenate([np.zeros((1, 12)), np.eye(12), 9 * np.eye(12)]).astype(np.float32)
    bandwidth = bandwidth_from_neighbors(tied, [0])
    assert 1.0 < bandwidth < 9.0
    assert perplexities(tied, np.array([0]), bandwidth)[0] == pytest.approx(12.12, rel=1e-3)


def test_a_small_cluster_far_from_all_others_is_no_error() -> None:
    """All neighbours of its rows are within 5 % of the distance to the 2m-th, and are distinct."""
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=(6, 8)), 1e3 + rng.normal(size=(30, 8))])
    rows = rows.astype(np.float32)
    assert 0 < bandwidth_from_neighbors(rows, [0]) < 1e3
    # the median is that of the large cluster
    bandwidth = bandwidth_from_neighbors(rows, np.arange(36))
    assert bandwidth == pytest.approx(bandwidth_from_neighbors(rows[6:], np.arange(30)), rel=0.3)


def test_bandwidth_errors() -> None:
    rows = np.array([[0.0], [0.0], [1.0]], dtype=np.float32)
    with pytest.raises(ValueError, match="1 distinct other rows"):
        bandwidth_from_neighbors(rows, [0])
    with pytest.raises(ValueError, match="0 distinct other rows"):
        bandwidth_from_neighbors(rows[:2], [0])
    for asked in (1.0, 0.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="must be above 1"):
            bandwidth_from_neighbors(rows, [0], asked)
