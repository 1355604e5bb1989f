"""Borderline-SMOTE: SMOTE from the rows of a class that lie among the other classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

from hf_oversample.oversamplers.embedding import MadeEmbeddings
from hf_oversample.oversamplers.interpolation import (
    Fallback,
    InterpolationOversampler,
    check_choices,
    fall_back_to_smote,
)
from hf_oversample.oversamplers.neighbor_search import NeighborDtype, NeighborSearch
from hf_oversample.oversamplers.plan import IntArray, Plan
from hf_oversample.oversamplers.saved_files import checked_places
from hf_oversample.oversamplers.strategy import spread


class BorderlineSmoteOversampler(InterpolationOversampler):
    """Borderline-SMOTE (Han, Wang and Mao, ICIC 2005, section 3), 1 and 2.

    A row is *in danger* if at least half, but not all, of its m nearest rows are of other classes.
    Only those rows have children: x + u (x′ − x), with x the parent and x′ drawn evenly from

    - "borderline-1": its k nearest rows of the same class, u from (0, 1);
    - "borderline-2": its k nearest rows of any class; u from (0, 0.5) where x′ is of another class,
      so that the child is nearer to its parent.

    The same rows in danger, lines and counts as imbalanced-learn's ``BorderlineSMOTE``, with these
    differences: children are spread evenly over the rows in danger; every child has draws of its
    own; u from (0, 0.5) is even, as in the paper (imbalanced-learn multiplies it by a second
    draw); a class with no row in danger is an error or gets SMOTE (imbalanced-learn leaves it as it
    is, silently); smaller m and k where there are too few rows. From the paper it differs, as
    imbalanced-learn does, in that "borderline-2" has one set of neighbours instead of k of the own
    class and one of the others, and in that every class is taken against the rest.

    Args:
        k_neighbors: k, the paper's 5.
        m_neighbors: m, imbalanced-learn's 10 (the paper sets it so that about half of a class is
            in danger).
        kind: "borderline-1" or "borderline-2".
        fallback: what a class gets none of whose rows is in danger: "raise" an error, or "smote":
            children from all its rows, as SMOTE makes them, with a warning.
        neighbor_dtype: see :class:`~hf_oversample.oversamplers.smote.SmoteOversampler`.
        neighbor_search: "exact", or "approximate" for millions of rows, with usearch; see
            :class:`~hf_oversample.oversamplers.interpolation.InterpolationOversampler`.
        sampling_strategy, seed, copy_columns: see
            :class:`~hf_oversample.oversamplers.base.Oversampler`.

    Raises (in ``fit``):
        ValueError: a class that grows has one row only, or none in danger.

    Attributes (after ``fit``):
        segments_: the lines that children are drawn from.
        recall_: of approximate searches.
        danger_rows_: int64, row numbers of all rows in danger, of the classes that grow.
    """

    def __init__(
        self,
        *,
        k_neighbors: int = 5,
        m_neighbors: int = 10,
        kind: Literal["borderline-1", "borderline-2"] = "borderline-1",
        fallback: Fallback = "raise",
        neighbor_dtype: NeighborDtype = "auto",
        **params: Any,
    ) -> None:
        super().__init__(**params)
        check_choices(neighbor_dtype, fallback, k_neighbors=k_neighbors, m_neighbors=m_neighbors)
        if kind not in ("borderline-1", "borderline-2"):
            raise ValueError(f"kind is {kind!r}: give 'borderline-1' or 'borderline-2'")
        self.k_neighbors, self.m_neighbors, self.kind = k_neighbors, m_neighbors, kind
        self.fallback, self.neighbor_dtype = fallback, neighbor_dtype

    def lines(
        self,
        search: NeighborSearch,
        children: Mapping[int, int],
        rows_of: Callable[[int], IntArray],
    ) -> list[tuple[int, IntArray, IntArray, IntArray]]:
        self.danger_rows_ = np.empty(0, dtype=np.int64)
        return super().lines(search, children, rows_of)

    def _class_lines(
        self, search: NeighborSearch, rows: IntArray, code: int, total: int
    ) -> tuple[IntArray, IntArray, IntArray]:
        parents, ends = self._in_danger(search, rows, code)
        self.danger_rows_ = np.union1d(self.danger_rows_, parents)
        if self.kind == "borderline-1" or not len(parents):
            parents = parents if len(parents) else rows
            ends = search.own(parents, rows, code, self.k_neighbors)
        return parents, ends, spread(total, parents, self.seed)

    def _in_danger(
        self, search: NeighborSearch, rows: IntArray, code: int
    ) -> tuple[IntArray, IntArray]:
        """Rows in danger of a class, and their k nearest rows of any class."""
        most = max(self.m_neighbors, self.k_neighbors)
        nearest, codes = search.all(rows, most)
        seen = codes[:, : self.m_neighbors]
        m, others = seen.shape[1], (seen != code).sum(axis=1)
        in_danger = (2 * others >= m) & (others < m)
        if not in_danger.any():
            name = self.label_names_[code]
            found = (
                f"no row of class {name!r} is in danger: of {len(rows)} rows "
                f"{int((others == m).sum())} have only other classes among their {m} nearest rows, "
                "the others have less than half"
            )
            fall_back_to_smote(
                self.fallback,
                found,
                ". There is no border to fill: set fallback='smote', use SmoteOversampler, another "
                "m_neighbors, or leave the class out with a dict sampling_strategy",
            )
        return rows[in_danger], nearest[in_danger, : self.k_neighbors]

    def _make_embeddings(self, plan: Plan) -> MadeEmbeddings:
        ends, steps = self.segments_.drawn(plan, self.seed)
        if self.kind == "borderline-2":
            steps = np.where(self.labels_[ends] != plan.label, steps * 0.5, steps)
        return MadeEmbeddings(self.segments_.points(plan.parent, ends, steps))

    def _state_arrays(self) -> dict[str, np.ndarray]:
        return {**super()._state_arrays(), "danger_rows": self.danger_rows_}

    def _load_state_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        self.danger_rows_ = checked_places(arrays, "danger_rows", len(self.labels_), None)
        super()._load_state_arrays({n: v for n, v in arrays.items() if n != "danger_rows"})
