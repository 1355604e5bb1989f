"""Exact nearest neighbours of all rows of one matrix among themselves, with NumPy alone.

The distance of two rows is the same both ways, so half of the matrix products suffice; and where
no more is asked for, torch, which takes longer to import than such a search takes, is not needed.

Every pair of rows is compared once, by matrix products, block by block. (1) The first block, of
rows in a random order, gives each row a squared distance within which its k nearest lie for
certain. (2) Pairs that may lie within it are kept: about k · rows / block of a row, whatever the
data. (3) Those of them that may be among the k nearest get their distance from exact differences,
as in :mod:`hf_oversample.neighbors.search`, whose result this is.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hf_oversample.neighbors.slack import TIE_SLACK, UNDERFLOW_SLACK
from hf_oversample.numeric.offsets import near_zero

MOST_ROWS = 16_384
"""Of more rows the memory for pairs grows, and torch's import no longer matters."""
_BLOCK_ROWS = 1024
_MOST_PAIRS, _MOST_OF_A_ROW = 400, 1024
"""Kept of a row, on average and at most; more are near-ties, for which there are better ways."""
_PAIRS_AT_ONCE = 2**17
_SEED = 0

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


def nearest_of_own(vectors: npt.NDArray[np.floating], k: int) -> Ints | None:
    """The k nearest other rows of every row, by Euclidean distance.

    Args:
        vectors: [n, d], finite; computed with as float32.
        k: 1 … n − 1.

    Returns:
        indices [n, k], nearest first, of equally near ones (as float32) the lowest first; None
        where :func:`~hf_oversample.neighbors.difficult.nearest_neighbors` is the better way: for a
        k of a thousand, for many near-ties, and for differences that overflow float32, which it
        tells.
    """
    with np.errstate(over="ignore"):
        rows = np.asarray(near_zero(vectors, vectors)[0], dtype=np.float32)
    count, width = rows.shape
    if k >= min(_BLOCK_ROWS, count):
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        order = np.random.default_rng(_SEED).permutation(count)
        centered = rows[order]
        centered -= rows.mean(axis=0, dtype=np.float64).astype(np.float32)
        largest = max(float(centered.max()), -float(centered.min()))
    if not np.isfinite(largest):
        return None
    scale = np.float32(min(1.0 / (largest * width**0.5), 1e37) if largest > 0 else 1.0)
    centered *= scale
    squares = np.einsum("nd,nd->n", centered, centered, dtype=np.float64)
    # The worst case of a float32 sum of `width` terms, and of the centring, as a share of
    # (‖a‖ + ‖b‖)² ≤ 2(‖a‖² + ‖b‖²): taken off, what is computed is a lower bound, and it is off by
    # twice that at most.
    error = 2.0 * (width + 16) * 2.0**-24
    slack = 2.0 * error * (squares + squares.max())
    shrunk = squares * (1.0 - error)
    left = np.empty((count, width + 2), np.float32)
    left[:, :width], left[:, width], left[:, width + 1] = centered, shrunk, 1.0
    right = np.empty_like(left)
    np.multiply(centered, np.float32(-2), out=right[:, :width])
    right[:, width], right[:, width + 1] = 1.0, shrunk
    pairs = _pairs_within(left, right, k, slack)
    if pairs is None:
        return None
    starts, ends = pairs
    return _ranked(rows, order[starts], order[ends], k)


def _reach(bound: npt.NDArray[np.floating], slack: npt.NDArray[np.float64]) -> Floats:
    """Up to which bound a row may be as near as the one with this bound is at most."""
    reach = (bound.astype(np.float64) + slack) * TIE_SLACK + UNDERFLOW_SLACK
    return np.nextafter(reach.astype(np.float32), np.float32(np.inf))


def _pairs_within(
    left: Floats, right: Floats, k: int, slack: npt.NDArray[np.float64]
) -> tuple[Ints, Ints] | None:
    """Rows and others that may be among their k nearest; the first block is the sample."""
    count = len(left)
    reach = np.empty(count, np.float32)
    found: list[tuple[Ints, Ints, Floats]] = []
    kept = 0
    for begin in range(0, count, _BLOCK_ROWS):
        rows = slice(begin, begin + _BLOCK_ROWS)
        for other in range(begin, count, _BLOCK_ROWS):
            others = slice(other, other + _BLOCK_ROWS)
            bounds = left[rows] @ right[others].T
            if other == begin:
                np.fill_diagonal(bounds, np.inf)
            if begin == 0:
                nearest = np.partition(np.ascontiguousarray(bounds.T), k - 1, axis=1)[:, k - 1]
                reach[others] = _reach(nearest, slack[others])
            ways = [(bounds <= reach[rows, None], False)]
            if other != begin:
                ways.append((bounds <= reach[others], True))
            for near, turned in ways:
                places = np.flatnonzero(near)
                kept += len(places)
                if kept > _MOST_PAIRS * count:
                    return None
                own, its = np.divmod(places, bounds.shape[1])
                pair = (its + other, own + begin) if turned else (own + begin, its + other)
                found.append((*pair, bounds.ravel()[places]))
    starts, ends, values = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return _still_near(starts, ends, values, k, slack)


def _still_near(
    starts: Ints, ends: Ints, bounds: Floats, k: int, slack: npt.NDArray[np.float64]
) -> tuple[Ints, Ints] | None:
    """Of pairs those that may be among the k nearest, now that every row has met all others; None
    where a row has too many."""
    order = np.argsort(starts.astype(np.int16), kind="stable")  # by radix
    starts, ends, bounds = starts[order], ends[order], bounds[order]
    sizes = np.bincount(starts, minlength=len(slack))
    if sizes.max() > _MOST_OF_A_ROW:
        return None
    places = np.arange(len(starts)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    padded = np.full((len(slack), sizes.max()), np.inf, np.float32)
    padded[starts, places] = bounds
    reach = _reach(np.partition(padded, k - 1, axis=1)[:, k - 1], slack)
    near = bounds <= reach[starts]
    return starts[near], ends[near]


def _ranked(rows: Floats, starts: Ints, ends: Ints, k: int) -> Ints:
    """The k nearest of each row's candidates [p], of which every row has k at least."""
    distances = np.empty(len(starts), np.float32)
    step = max(1, _PAIRS_AT_ONCE * 8 // rows.shape[1])
    for begin in range(0, len(starts), step):
        part = slice(begin, begin + step)
        differences = rows[ends[part]].astype(np.float64)
        differences -= rows[starts[part]]
        distances[part] = np.sqrt(np.einsum("pd,pd->p", differences, differences))
    order = np.lexsort((ends, distances, starts))
    first = np.searchsorted(starts[order], np.arange(len(rows)))
    return ends[order[first[:, None] + np.arange(k)]]
