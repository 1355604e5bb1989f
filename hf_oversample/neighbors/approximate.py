"""Approximate nearest neighbours by an index of usearch (HNSW), and how right they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from hf_oversample.neighbors.blockwise import NEAREST, Block, nearest_in_blocks, nowhere

SAMPLE = 256
"""Queries that are searched exactly as well, to measure the recall."""


def nearest_approximately(
    queries: npt.NDArray[np.float32],
    numbers: npt.NDArray[np.int64],
    blocks: Callable[[], Iterable[Block]],
    k: int,
    *,
    seed: int,
) -> tuple[np.ndarray, float]:
    """About the k nearest rows of all blocks; a row is no neighbour of itself.

    The index holds a float32 copy of all rows and a graph of them in memory. It is built by one
    thread, so that the same rows give the same neighbours. Queries for which it finds fewer than k
    rows are searched exactly.

    Args:
        queries: [q, d].
        numbers: their row numbers [q].
        blocks: gives the rows, each in one block; called up to three times.
        k: neighbours, of which there are so many for each query.
        seed: of the choice of the queries by which the recall is measured.

    Returns:
        :data:`~hf_oversample.neighbors.blockwise.NEAREST` [q, k], by (distance, row number) as the
        index has the distances; and the recall: which share of the k nearest rows was found, the
        mean of :data:`SAMPLE` queries, or of all where there are fewer.

    Raises:
        ImportError: usearch is not installed.
    """
    index = _index(queries.shape[1])
    known: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.integer]]] = []
    for rows, codes, base in blocks():
        index.add(rows.astype(np.uint64), base, threads=1)
        known.append((rows, codes))
    matches = index.search(queries, k + 1, threads=1)
    found = np.full(matches.keys.shape, np.zeros((), NEAREST), NEAREST)
    found["row"], found["distance"] = matches.keys, np.sqrt(np.maximum(matches.distances, 0))
    missing = np.arange(found.shape[1]) >= np.asarray(matches.counts)[:, None]
    missing |= found["row"] == numbers[:, None]
    found[missing] = nowhere(1, 1)[0, 0]
    order = np.lexsort((found["row"], found["distance"]), axis=1)[:, :k]
    found = np.take_along_axis(found, order, axis=1)
    all_rows = np.concatenate([rows for rows, _ in known])
    all_codes = np.concatenate([codes for _, codes in known])
    there = found["distance"] < np.inf
    found["code"][there] = all_codes[np.searchsorted(all_rows, found["row"][there])]

    rng = np.random.default_rng(seed)
    sample = np.sort(rng.permutation(len(queries))[:SAMPLE])
    exact = nearest_in_blocks(queries[sample], numbers[sample], blocks(), k)
    same = (found["row"][sample][:, :, None] == exact["row"][:, None, :]).any(axis=2)
    recall = float(same.mean())
    short = np.flatnonzero(~there.all(axis=1))
    if len(short):
        found[short] = nearest_in_blocks(queries[short], numbers[short], blocks(), k)
    return found, recall


def _index(width: int) -> Any:
    try:
        from usearch.index import Index
    except ImportError as error:
        raise ImportError(
            "neighbor_search='approximate' needs usearch, which is not installed: "
            "pip install hf_oversample[usearch], or search exactly (neighbor_search='exact')"
        ) from error
    return Index(ndim=width, metric="l2sq", dtype="f32")
