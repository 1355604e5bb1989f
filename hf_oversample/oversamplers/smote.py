"""SMOTE: children between a row and one of its nearest rows of the same class."""

from __future__ import annotations

from typing import Any

from hf_oversample.oversamplers.interpolation import InterpolationOversampler, check_choices
from hf_oversample.oversamplers.neighbor_search import NeighborDtype, NeighborSearch
from hf_oversample.oversamplers.plan import IntArray
from hf_oversample.oversamplers.strategy import spread


class SmoteOversampler(InterpolationOversampler):
    """Synthetic minority over-sampling (Chawla, Bowyer, Hall and Kegelmeyer, JAIR 2002, section 4).

    A child is x + u (x′ − x), with x its parent, x′ drawn evenly from the parent's k nearest rows
    of the same class, and u from (0, 1). A row is no neighbour of itself; copies of it are.

    The same lines and counts as imbalanced-learn's ``SMOTE``, with these differences: children are
    spread over a class's rows evenly, as in the paper (imbalanced-learn draws rows with
    replacement); every child has draws of its own (with a seed, imbalanced-learn begins the same
    stream again for each class); a class with no more than k rows uses all its rows, with a
    warning (imbalanced-learn raises).

    Args:
        k_neighbors: k; the paper's and imbalanced-learn's 5.
        neighbor_dtype: "float32", "bfloat16" or "auto" (bfloat16 where it is faster), the type of
            the search's first pass. Distances are exact with all of them, and so are neighbours,
            but for what ``nearest_neighbors`` says of bfloat16.
        neighbor_search: "exact", or "approximate" for millions of rows, with usearch; see
            :class:`~hf_oversample.oversamplers.interpolation.InterpolationOversampler`.
        sampling_strategy, seed, copy_columns: see
            :class:`~hf_oversample.oversamplers.base.Oversampler`.

    Raises (in ``fit``):
        ValueError: a class that grows has one row only.

    Attributes (after ``fit``):
        segments_: the lines that children are drawn from.
        recall_: of approximate searches.

    Example:
        >>> from datasets import Dataset
        >>> points = [[0.0, 0.0], [9.0, 1.0], [9.0, 3.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
        >>> rows = Dataset.from_dict({"embedding": points, "label": [0, 1, 1, 0, 0, 0]})
        >>> balanced = SmoteOversampler(k_neighbors=1).balance(rows)
        >>> balanced["label"][:], balanced["parent"][6:]
        ([0, 1, 1, 0, 0, 0, 1, 1], [1, 2])
        >>> all(x == 9.0 and 1.0 < y < 3.0 for x, y in balanced["embedding"][6:])
        True
    """

    def __init__(
        self, *, k_neighbors: int = 5, neighbor_dtype: NeighborDtype = "auto", **params: Any
    ) -> None:
        super().__init__(**params)
        check_choices(neighbor_dtype, k_neighbors=k_neighbors)
        self.k_neighbors, self.neighbor_dtype = k_neighbors, neighbor_dtype

    def _class_lines(
        self, search: NeighborSearch, rows: IntArray, code: int, total: int
    ) -> tuple[IntArray, IntArray, IntArray]:
        ends = search.own(rows, rows, code, self.k_neighbors)
        return rows, ends, spread(total, rows, self.seed)
