"""ADASYN: SMOTE with more children for the rows that have more of other classes around them."""

from __future__ import annotations

from typing import Any

import numpy as np

from hf_oversample.numeric import noise
from hf_oversample.oversamplers.interpolation import (
    Fallback,
    InterpolationOversampler,
    check_choices,
    fall_back_to_smote,
)
from hf_oversample.oversamplers.neighbor_search import NeighborDtype, NeighborSearch
from hf_oversample.oversamplers.plan import IntArray
from hf_oversample.oversamplers.strategy import spread


class AdasynOversampler(InterpolationOversampler):
    """Adaptive synthetic sampling (He, Bai, Garcia and Li, IJCNN 2008, section III).

    A row's share of its class's children is proportional to Δ, how many of its k nearest rows are
    of other classes (eqs. 2–4). A child is x + u (x′ − x), with x its parent, x′ drawn evenly from
    the parent's k nearest rows of the same class, and u from (0, 1) (eq. 5).

    The same shares and lines as imbalanced-learn's ``ADASYN``, with these differences: classes end
    at exactly the asked counts, by largest remainders, where imbalanced-learn rounds every row's
    share by itself and the sum drifts (equal remainders go by seeded noise); every child has draws
    of its own; fewer neighbours where there are too few rows, with a warning.

    Args:
        n_neighbors: k, of both searches; the paper's and imbalanced-learn's 5.
        fallback: what a class gets none of whose rows has a row of another class among its
            neighbours: "raise" an error (as imbalanced-learn), or "smote": children spread evenly
            over all its rows, with a warning.
        neighbor_dtype: see :class:`~hf_oversample.oversamplers.smote.SmoteOversampler`.
        neighbor_search: "exact", or "approximate" for millions of rows, with usearch; see
            :class:`~hf_oversample.oversamplers.interpolation.InterpolationOversampler`.
        sampling_strategy, seed, copy_columns: see
            :class:`~hf_oversample.oversamplers.base.Oversampler`.

    Raises (in ``fit``):
        ValueError: a class that grows has one row only, or no row near another class.

    Attributes (after ``fit``):
        segments_: the lines that children are drawn from.
        recall_: of approximate searches.
    """

    def __init__(
        self,
        *,
        n_neighbors: int = 5,
        fallback: Fallback = "raise",
        neighbor_dtype: NeighborDtype = "auto",
        **params: Any,
    ) -> None:
        super().__init__(**params)
        check_choices(neighbor_dtype, fallback, n_neighbors=n_neighbors)
        self.n_neighbors, self.fallback = n_neighbors, fallback
        self.neighbor_dtype = neighbor_dtype

    def _class_lines(
        self, search: NeighborSearch, rows: IntArray, code: int, total: int
    ) -> tuple[IntArray, IntArray, IntArray]:
        counts = self._counts(search, rows, code, total)
        parents = rows[counts > 0]
        ends = search.own(parents, rows, code, self.n_neighbors)
        return parents, ends, counts[counts > 0]

    def _counts(self, search: NeighborSearch, rows: IntArray, code: int, total: int) -> IntArray:
        """How many children each row of a class gets."""
        nearest, codes = search.all(rows, self.n_neighbors)
        others = (codes != code).sum(axis=1)  # Δ, eq. 2
        if others.any():
            return apportion(total, others, rows, self.seed)
        found = (
            f"no row of class {self.label_names_[code]!r} ({len(rows)} rows) has a row of another "
            f"class among its {nearest.shape[1]} nearest rows"
        )
        fall_back_to_smote(
            self.fallback,
            found,
            ": all shares would be 0 of 0. Set fallback='smote', use SmoteOversampler, a larger "
            "n_neighbors, or leave the class out with a dict sampling_strategy",
        )
        return spread(total, rows, self.seed)


def apportion(total: int, weights: IntArray, rows: IntArray, seed: int) -> IntArray:
    """Shares of ``total`` proportional to integer weights, by largest remainders.

    Args:
        total: children to hand out.
        weights: int64 [r], at least 0, not all 0.
        rows: row numbers [r]; their seeded noise decides between equal remainders.

    Returns:
        int64 [r], summing to ``total``: each total · weight / Σ weights, rounded down or up.
    """
    shares, remainders = np.divmod(weights.astype(np.int64) * total, int(weights.sum()))
    draws = noise.uniform(seed, noise.stream("apportion"), rows)
    order = np.lexsort((rows, draws, -remainders))
    shares[order[: total - int(shares.sum())]] += 1
    return shares
