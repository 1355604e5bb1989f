"""Children on the line between a row and one of its neighbours: what the SMOTE family shares."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from hf_oversample.data.embedding_column import EmbeddingColumn
from hf_oversample.numeric import noise
from hf_oversample.oversamplers.base import FloatMatrix
from hf_oversample.oversamplers.embedding import EmbeddingOversampler, MadeEmbeddings
from hf_oversample.oversamplers.neighbor_search import (
    NeighborDtype,
    NeighborSearch,
    NeighborSearchKind,
    SearchApproximately,
    SearchInColumn,
    SearchInMemory,
)
from hf_oversample.oversamplers.plan import IntArray, Plan
from hf_oversample.oversamplers.saved_files import check_known, checked_array, checked_places

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)

Fallback = Literal["raise", "smote"]

_BLOCK_VALUES = 2**17
"""Values in a block: it and the block of starts stay in a core's cache."""


def check_choices(neighbor_dtype: str, fallback: str = "raise", **neighbors: int) -> None:
    """Check the constructor's values that the family shares.

    Raises:
        TypeError: a number of neighbours that is not an int.
        ValueError: one below 1; a ``neighbor_dtype`` or ``fallback`` that does not exist.
    """
    for name, value in neighbors.items():
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} must be an int, got {value!r}")
        if value < 1:
            raise ValueError(f"{name} is {value}: give at least 1 neighbour")
    if neighbor_dtype not in get_args(NeighborDtype):
        raise ValueError(
            f"neighbor_dtype is {neighbor_dtype!r}: give 'auto', 'float32' or 'bfloat16'; the "
            "neighbours are the same, bfloat16 is faster where the processor has it"
        )
    if fallback not in ("raise", "smote"):
        raise ValueError(f"fallback is {fallback!r}: give 'raise' or 'smote'")


def grown_classes(
    children: Mapping[int, int], rows_of: Callable[[int], IntArray], names: Sequence[str]
) -> Iterator[tuple[int, int, IntArray]]:
    """(class code, children, its row numbers ascending) of each class that grows.

    Args:
        children: how many, by class code.
        rows_of: gives a class's row numbers, ascending.
        names: of the classes, by code.

    Raises:
        ValueError: such a class has one row, which has no neighbour of its class.
    """
    for code, total in children.items():
        if not total:
            continue
        rows = rows_of(code)
        if len(rows) < 2:
            raise ValueError(
                f"class {names[code]!r} has 1 row (row {int(rows[0])}): there is no line to "
                "another row of it; use RandomOversampler for this data set, add rows, or leave "
                "the class out with a dict sampling_strategy"
            )
        yield code, total, rows


@dataclass(frozen=True, eq=False)
class Segments:
    """The lines from rows to their neighbours, on which children lie, and the rows they need.

    Attributes:
        starts: int64 [p], row numbers of the lines' beginnings, ascending.
        ends: int64 [p, k], row numbers of their ends, padded with −1.
        rows: int64 [s], every row number in the two, ascending.
        values: [s, d], the embeddings of ``rows``: float32, or float64 where the data set's are.
    """

    starts: IntArray
    ends: IntArray
    rows: IntArray
    values: npt.NDArray[np.floating]

    @classmethod
    def build(
        cls,
        embeddings: Callable[[IntArray], npt.NDArray[np.floating]],
        tables: Sequence[tuple[IntArray, IntArray]],
    ) -> Segments:
        """Of (starts [p], ends [p, k]) pairs, no row in two; k may differ between pairs. The
        embeddings are asked for by row numbers."""
        if not tables:
            none = np.empty(0, dtype=np.int64)
            return cls(none, none.reshape(0, 1), none, embeddings(none))
        starts = np.concatenate([table[0] for table in tables])
        ends = np.full((len(starts), max(table[1].shape[1] for table in tables)), -1, np.int64)
        first = 0
        for own_starts, own_ends in tables:
            ends[first : first + len(own_starts), : own_ends.shape[1]] = own_ends
            first += len(own_starts)
        order = np.argsort(starts)
        rows = np.union1d(starts, ends[ends >= 0])
        return cls(starts[order], ends[order], rows, embeddings(rows))

    def arrays(self) -> dict[str, np.ndarray]:
        """All attributes by name, to save."""
        return {
            "starts": self.starts,
            "ends": self.ends,
            "rows": self.rows,
            "values": self.values,
        }

    def drawn(self, plan: Plan, seed: int) -> tuple[IntArray, npt.NDArray[np.float64]]:
        """For each child the row at the end of its line, and how far along it lies, in (0, 1).

        The two depend on (seed, parent, child) and the parent's neighbours alone.
        """
        lines = np.searchsorted(self.starts, plan.parent)
        counts = (self.ends >= 0).sum(axis=1)[lines]
        address = (plan.parent, plan.child)
        column = noise.integers(counts, seed, noise.stream("neighbor"), *address)
        steps = noise.uniform(seed, noise.stream("step"), *address)
        return self.ends[lines, column], steps

    def points(
        self, parents: IntArray, ends: IntArray, steps: npt.ArrayLike
    ) -> npt.NDArray[np.floating]:
        """parent + step · (end − parent) of rows by number: see :func:`points_between`."""
        begin, end = np.searchsorted(self.rows, parents), np.searchsorted(self.rows, ends)
        return points_between(self.values, begin, end, steps)


def points_between(
    values: npt.NDArray[np.floating], begin: IntArray, end: IntArray, steps: npt.ArrayLike
) -> npt.NDArray[np.floating]:
    """begin + step · (end − begin), [children, d] of the values' type; in float64 from the nearer
    of the two, so that no rounding leads past the other.

    Each operation is rounded by itself, so that a child does not depend on its place in a block;
    blocks are of cache size, and nothing but the result is of the result's size.

    Args:
        values: [s, d].
        begin, end: [children], places in ``values``.
        steps: [children], in [0, 1].
    """
    width = values.shape[1]
    made = np.empty((len(begin), width), dtype=values.dtype)
    share = np.asarray(steps, dtype=values.dtype)
    if values.dtype == np.float64:
        is_far = share > 0.5
        begin, end = np.where(is_far, end, begin), np.where(is_far, begin, end)
        share = np.where(is_far, 1 - share, share)
    size = max(1, _BLOCK_VALUES // width)
    for first in range(0, len(begin), size):
        block = slice(first, first + size)
        origin, out = values[begin[block]], made[block]
        np.subtract(values[end[block]], origin, out=out)
        np.multiply(out, share[block, None], out=out)
        np.add(out, origin, out=out)
    return made


class InterpolationOversampler(EmbeddingOversampler):
    """Base class of the SMOTE family: a method says which rows are parents and where lines end.

    A data set may be larger than memory. Of its rows ``fit`` holds those of one class that grows
    at a time, those that lines begin or end at (``segments_``), and a block of 64 MiB of all; of
    each row its label and a key of 8 bytes. What is made is the same as of rows in memory.

    A method's constructor sets ``neighbor_dtype``.

    Args:
        neighbor_search: "exact", or "approximate": by an index of usearch (the extra ``usearch``),
            of which the recall is measured and logged at each use. It is for classes, or for
            ADASYN and Borderline-SMOTE data sets, of 1,000,000 rows and more: below, exact search
            takes minutes at most. The index is in memory, with a float32 copy of what is searched.

    Attributes (after ``fit``):
        segments_: the lines that children are drawn from.
        recall_: of approximate searches, by what they searched, the share of the nearest rows that
            they found, on a sample of 256 queries; empty where search is exact.

    Raises (in ``fit``):
        ImportError: approximate search without usearch.
    """

    code_version = 2
    _learns_from_matrix = False
    neighbor_dtype: NeighborDtype

    def __init__(self, *, neighbor_search: NeighborSearchKind = "exact", **params: Any) -> None:
        super().__init__(**params)
        if neighbor_search not in get_args(NeighborSearchKind):
            raise ValueError(
                f"neighbor_search is {neighbor_search!r}: give 'exact', or 'approximate' for "
                "millions of rows that are searched"
            )
        self.neighbor_search = neighbor_search

    def _class_lines(
        self, search: NeighborSearch, rows: IntArray, code: int, total: int
    ) -> tuple[IntArray, IntArray, IntArray]:
        """The lines on which a class's children lie, and how many each parent gets.

        Args:
            search: among the rows of all classes.
            rows: the class's row numbers [r], ascending, r ≥ 2.
            code: the class.
            total: its children.

        Returns:
            parents' row numbers [p], the row numbers of their lines' ends [p, k], and their
            children [p], summing to ``total``.
        """
        raise NotImplementedError(f"{type(self).__name__} must define _class_lines")

    def lines(
        self,
        search: NeighborSearch,
        children: Mapping[int, int],
        rows_of: Callable[[int], IntArray],
    ) -> list[tuple[int, IntArray, IntArray, IntArray]]:
        """(code, parents, ends, counts) of each class that grows; see :meth:`_class_lines`.

        ``label_names_`` is set.
        """
        lines = [
            (code, *self._class_lines(search, rows, code, total))
            for code, total, rows in grown_classes(children, rows_of, self.label_names_)
        ]
        search.few.tell()
        return lines

    def _learn_from(
        self, dataset: Dataset, embeddings: FloatMatrix | None, children: Mapping[int, int]
    ) -> Plan:
        self._refuse_integers(dataset)
        column = EmbeddingColumn(dataset, str(self.embedding_column_))
        self.center_ = self.copied_rows_ = self.copied_values_ = None
        if column.is_exact:
            column.move_near_zero()
            self.center_ = column.center
            self.copied_rows_ = np.empty(0, dtype=np.int64)  # no row is repeated
            self.copied_values_ = np.empty((0, column.width))
        search: NeighborSearch
        if self.neighbor_search == "approximate":
            search = self._approximate(column.take, column.blocks)
        else:
            search = SearchInColumn(column, self.labels_, self.label_names_, self.neighbor_dtype)
        return self._learn_lines(search, column.take_exact, children)

    def _learn(self, embeddings: FloatMatrix, children: Mapping[int, int]) -> Plan:
        search: NeighborSearch
        if self.neighbor_search == "approximate":
            search = self._approximate(embeddings.__getitem__, lambda: [(0, embeddings)])
        else:
            names = self.label_names_
            search = SearchInMemory(embeddings, self.labels_, names, self.neighbor_dtype)
        values = embeddings if self._exact is None else self._exact
        return self._learn_lines(search, values.__getitem__, children)

    def _approximate(
        self,
        take: Callable[[IntArray], FloatMatrix],
        blocks: Callable[[], Iterable[tuple[int, FloatMatrix]]],
    ) -> SearchApproximately:
        return SearchApproximately(take, blocks, self.labels_, self.label_names_, self.seed)

    def _learn_lines(
        self,
        search: NeighborSearch,
        values: Callable[[IntArray], npt.NDArray[np.floating]],
        children: Mapping[int, int],
    ) -> Plan:
        """The plan and the lines, among rows whose embeddings are asked for by their numbers."""
        lines = self.lines(search, children, lambda code: np.flatnonzero(self.labels_ == code))
        self.recall_ = search.recall if isinstance(search, SearchApproximately) else {}
        self.segments_ = Segments.build(values, [(parents, ends) for _, parents, ends, _ in lines])
        return Plan.join(
            [Plan.from_counts(parents, counts, code) for code, parents, _, counts in lines]
        )

    def _make_embeddings(self, plan: Plan) -> MadeEmbeddings:
        ends, steps = self.segments_.drawn(plan, self.seed)
        return MadeEmbeddings(self.segments_.points(plan.parent, ends, steps))

    def _state_arrays(self) -> dict[str, np.ndarray]:
        return self.segments_.arrays()

    def _load_state_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        rows, plan = len(self.labels_), self.fitted_plan()
        known = checked_places(arrays, "rows", rows, None)
        lines = checked_places(arrays, "starts", rows, None)
        ends = checked_places(arrays, "ends", rows, len(lines), None, least=-1)
        values = checked_array(arrays, "values", "f", len(known), self._width())
        self.segments_ = Segments(lines, ends, known, values)
        check_known("rows", known, np.concatenate([lines, ends[ends >= 0]]))
        check_known("starts", lines, plan.parent)
        if (not ends.size and len(lines)) or (ends.size and (ends.max(axis=1) < 0).any()):
            raise ValueError("the array 'ends' has a line without an end")

    def _state_config(self) -> dict[str, Any]:
        return {"recall": self.recall_}

    def _load_state_config(self, config: dict[str, Any]) -> None:
        self.recall_ = config.get("recall", {})


def fall_back_to_smote(fallback: Fallback, found: str, advice: str) -> None:
    """Warn that a class gets its children from all its rows, where that was allowed.

    Args:
        fallback: "raise" or "smote".
        found: what the method missed.
        advice: what to do about it, after it in the error.

    Raises:
        ValueError: it was not allowed.
    """
    if fallback == "raise":
        raise ValueError(found + advice)
    logger.warning("%s; it gets children from all its rows (fallback='smote')", found)
