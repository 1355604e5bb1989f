"""Exact nearest neighbours of which the base comes in blocks, one in memory at a time.

The exact k nearest rows of each block, merged, are the exact k nearest of all rows, ties included:
both are ordered by (distance, row number).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

NEAREST = np.dtype([("distance", "f4"), ("row", "i8"), ("code", "i4")])
"""A neighbour; where there is none, inf, the largest number and −1."""
NOWHERE = np.iinfo(np.int64).max

Block = tuple[npt.NDArray[np.int64], npt.NDArray[np.integer], npt.NDArray[np.float32]]
"""Row numbers [b], class codes [b] and rows [b, d]."""


def nearest_in_blocks(
    queries: npt.NDArray[np.float32],
    numbers: npt.NDArray[np.int64],
    blocks: Iterable[Block],
    k: int,
    *,
    dtype: str = "auto",
    device: str = "cpu",
) -> np.ndarray:
    """The k nearest rows of all blocks; a row is no neighbour of itself.

    Args:
        queries: [q, d].
        numbers: their row numbers [q].
        blocks: each row is in one of them.
        k: neighbours; fewer where the blocks have fewer other rows.
        dtype, device: see :func:`~hf_oversample.neighbors.difficult.nearest_neighbors`.

    Returns:
        :data:`NEAREST` [q, k], by (distance, row number).
    """
    from hf_oversample.neighbors.difficult import nearest_neighbors  # torch

    best = nowhere(len(queries), k)
    for rows, codes, base in blocks:
        # One more than k: the query may be among them, which is no neighbour of itself.
        distances, indices = nearest_neighbors(
            queries, base, min(k + 1, len(base)), dtype=dtype, device=device
        )
        places = indices.cpu().numpy()
        found = nowhere(*places.shape)
        found["distance"], found["row"] = distances.cpu().numpy(), rows[places]
        found["code"] = codes[places]
        found[found["row"] == numbers[:, None]] = (np.inf, NOWHERE, -1)
        best = merge_nearest([best, found], k)
    return best


def nowhere(queries: int, k: int) -> np.ndarray:
    """No neighbours yet, [queries, k]."""
    return np.full((queries, k), np.array((np.inf, NOWHERE, -1), NEAREST), NEAREST)


def merge_nearest(parts: list[np.ndarray], k: int) -> np.ndarray:
    """The k nearest of several lists of neighbours, by (distance, row number).

    Args:
        parts: arrays of :data:`NEAREST`, [q, any]; a row is in one of them only.
        k: neighbours that are kept; fewer where the parts have fewer places together.
    """
    joined = np.concatenate(parts, axis=1)
    order = np.lexsort((joined["row"], joined["distance"]), axis=1)[:, :k]
    return np.take_along_axis(joined, order, axis=1)
