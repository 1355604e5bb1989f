"""Neighbours' votes weighted by the size of their class: what "difficult" means at any ratio.

That one of k nearest rows is of another class (MISO, section 7.1) says little where rows are rare:
of ten rows among ten thousand, each has such a neighbour, wherever it lies. Here the votes of a
class are held against what chance gives it. Of a row of class c among n rows, with m_y neighbours
of class y and N_y *other* rows of class y (N_c is its own class's rows but for itself),

    lift_y = (m_y / k) / (N_y / (n − 1))

is 1 in expectation for every class and every ratio of classes where labels say nothing of places,
since m_y is then hypergeometric with mean k N_y / (n − 1). It estimates the density of class y at
the row over the density of all rows.

- *weighted other share*: 1 − lift_c / Σ_y lift_y, in [0, 1]: the other classes' part of the votes.
- *outvoted*: some other class has lift_y ≥ lift_c: a classifier that takes all classes for equally
  frequent would not place the row in its own class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class WeightedVotes:
    """The votes around rows; see the module for the formulas.

    Attributes:
        own_lift: float64 [m], lift_c ≥ 0; 0 for a row that is alone in its class.
        other_share: float64 [m], the weighted other share.
        is_outvoted: bool [m].
    """

    own_lift: npt.NDArray[np.float64]
    other_share: npt.NDArray[np.float64]
    is_outvoted: npt.NDArray[np.bool_]


def weighted_votes(
    own: npt.NDArray[np.int64], neighbors: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]
) -> WeightedVotes:
    """Weigh the votes of neighbours by the size of their class.

    Args:
        own: [m] labels of the rows.
        neighbors: [m, k] labels of their neighbours, the rows themselves left out.
        labels: [n] labels of all rows, the m among them.
    """
    present, sizes = np.unique(labels, return_counts=True)
    place = np.searchsorted(present, own)
    voters = np.searchsorted(present, neighbors)
    rows = np.arange(len(own))
    found = np.zeros((len(own), len(present)), np.int64)  # m_y
    np.add.at(found, (rows[:, None], voters), 1)
    others = np.broadcast_to(sizes, found.shape).copy()  # N_y
    others[rows, place] -= 1
    k = neighbors.shape[1]
    lift = found / k / (np.maximum(others, 1) / (len(labels) - 1))
    own_lift = lift[rows, place]
    # lift_y ≥ lift_c in whole numbers, where a tie is one: m_y N_c ≥ m_c N_y
    outvotes = found * others[rows, place][:, None] >= found[rows, place][:, None] * others
    outvotes[rows, place] = False
    is_outvoted = np.asarray(outvotes.any(axis=1))
    return WeightedVotes(own_lift, 1 - own_lift / lift.sum(axis=1), is_outvoted)


def difficult_by_chance(sizes: Sequence[int], own: int, k: int) -> float:
    """The chance that a row of a class has a row of another class among k neighbours, where
    neighbours are any k of the other rows: 1 − C(N_c, k) / C(n − 1, k).

    Args:
        sizes: rows of each class.
        own: the class's place in it.
        k: neighbours.
    """
    return 1 - comb(sizes[own] - 1, k) / comb(sum(sizes) - 1, k)


def outvoted_by_chance(sizes: Sequence[int], own: int, k: int) -> float:
    """The chance that a row of a class is outvoted, where neighbours are any k of the other rows.

    Exact: the draws of k rows in which every other class has m_y N_c < m_c N_y, counted, over all
    C(n − 1, k) (the multivariate hypergeometric distribution). About one half for two classes of
    one size, and near 1 where rare rows have no neighbour of their class but by luck.

    Args:
        sizes: rows of each class.
        own: the class's place in it.
        k: neighbours.
    """
    alike = sizes[own] - 1
    rest = [size for place, size in enumerate(sizes) if place != own and size]
    kept = 0
    for mine in range(1, min(k, alike) + 1):
        ways = [1] + [0] * (k - mine)  # of each number of others drawn so far
        for size in rest:
            most = min(k - mine, (mine * size - 1) // alike)
            draws = [comb(size, number) for number in range(most + 1)]
            ways = [
                sum(draws[j] * ways[total - j] for j in range(min(most, total) + 1))
                for total in range(len(ways))
            ]
        kept += comb(alike, mine) * ways[-1]
    return 1 - kept / comb(sum(sizes) - 1, k)
