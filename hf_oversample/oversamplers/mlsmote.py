"""MLSMOTE: children between rows of a rare label, with the labels that are common around them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from hf_oversample.numeric import noise
from hf_oversample.oversamplers.base import FloatMatrix
from hf_oversample.oversamplers.embedding import EmbeddingOversampler, MadeEmbeddings
from hf_oversample.oversamplers.interpolation import check_choices, points_between
from hf_oversample.oversamplers.multi_label import MultiLabelOversampler, array_dataset
from hf_oversample.oversamplers.neighbor_search import FewRows, NeighborDtype, class_neighbors
from hf_oversample.oversamplers.plan import IntArray, Plan
from hf_oversample.oversamplers.saved_files import check_known, checked_array, checked_places


class MlsmoteOversampler(MultiLabelOversampler, EmbeddingOversampler):
    """Synthetic oversampling of multi-label rows (Charte, Rivera, del Jesus and Herrera,
    Knowledge-Based Systems 89, 2015).

    Each row of each label whose IRLbl is above MeanIR gets one child for that label. It is
    x + u (x′ − x), with x the row, x′ one of its k nearest rows that have the label, drawn evenly,
    and u from (0, 1). It has the labels that at least half of the k + 1 rows have, x and all of its
    neighbours: the paper's "ranking". So it has the rare label; others only where they are common
    around it. A row of two rare labels gets two children.

    Args:
        k_neighbors: k; the paper's 5.
        neighbor_dtype: see :class:`~hf_oversample.oversamplers.smote.SmoteOversampler`.
        sampling_strategy, seed, copy_columns: see
            :class:`~hf_oversample.oversamplers.multi_label.MultiLabelOversampler`.

    Raises (in ``fit``):
        ValueError: besides the base class's, a label that grows has one row only.

    Example:
        >>> from datasets import Dataset
        >>> labels = [["a"], ["a"], ["a"], ["a", "b"], ["a", "b"], ["b"]]
        >>> points = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [9.0, 1.0], [9.0, 2.0], [9.0, 3.0]]
        >>> rows = Dataset.from_dict({"embedding": points, "label": labels})
        >>> balanced = MlsmoteOversampler(k_neighbors=2).balance(rows)
        >>> balanced["label"][6:], balanced["parent"][6:]
        ([['a', 'b'], ['a', 'b'], ['a', 'b']], [3, 4, 5])
    """

    def __init__(
        self, *, k_neighbors: int = 5, neighbor_dtype: NeighborDtype = "auto", **params: Any
    ) -> None:
        super().__init__(**params)
        check_choices(neighbor_dtype, k_neighbors=k_neighbors)
        self.k_neighbors, self.neighbor_dtype = k_neighbors, neighbor_dtype

    def _learn(self, embeddings: FloatMatrix, children: Mapping[int, int]) -> Plan:
        matrix = self._sets.matrix
        parents, ends, causes, sets, few = [], [], [], [], FewRows()
        for label in self.grown_labels().tolist():
            rows = np.flatnonzero(matrix[:, label])
            name = self.known_labels_[label]
            if len(rows) < 2:
                raise ValueError(
                    f"label {name!r} has 1 row (row {rows[0]}): there is no line to another row of "
                    "it; use MlRosOversampler for this data set, add rows, or list the labels that "
                    "grow as sampling_strategy"
                )
            few.note(name, len(rows), self.k_neighbors)
            near = class_neighbors(
                embeddings[rows], rows, rows, self.k_neighbors, dtype=self.neighbor_dtype
            )
            address = noise.stream("neighbor"), rows, label
            drawn = noise.integers(near.shape[1], self.seed, *address)
            votes = matrix[rows].astype(np.int64) + matrix[near].sum(axis=1)
            parents.append(rows)
            ends.append(near[np.arange(len(rows)), drawn])
            causes.append(np.full(len(rows), label))
            sets.append(2 * votes >= near.shape[1] + 1)
        few.tell()
        values = embeddings if self._exact is None else self._exact
        if not parents:  # all labels are as frequent
            self.rows_, self.values_ = np.empty(0, dtype=np.int64), values[:0].copy()
            return Plan.build([], [], [], {"neighbor": [], "cause": []})
        parent, end = np.concatenate(parents), np.concatenate(ends)
        cause = np.concatenate(causes)
        self.rows_ = np.union1d(parent, end)
        self.values_ = values[self.rows_]
        codes = self.codes_of(np.concatenate(sets))
        order = np.lexsort((cause, parent))
        starts = np.searchsorted(parent[order], parent[order])
        return Plan.build(
            parent[order],
            np.arange(len(order)) - starts,
            codes[order],
            {"neighbor": end[order], "cause": cause[order]},
        )

    def _make_embeddings(self, plan: Plan) -> MadeEmbeddings:
        steps = noise.uniform(self.seed, noise.stream("step"), plan.parent, plan.child)
        begin = np.searchsorted(self.rows_, plan.parent)
        end = np.searchsorted(self.rows_, plan.extra["neighbor"])
        return MadeEmbeddings(points_between(self.values_, begin, end, steps))

    def _state_arrays(self) -> dict[str, np.ndarray]:
        return {**super()._state_arrays(), "rows": self.rows_, "values": self.values_}

    def _load_state_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        super()._load_state_arrays(arrays)
        plan = self.fitted_plan()
        self.rows_ = checked_places(arrays, "rows", len(self.labels_), None)
        self.values_ = checked_array(arrays, "values", "f", len(self.rows_), self._width())
        check_known("rows", self.rows_, np.concatenate([plan.parent, plan.extra["neighbor"]]))

    # ---- arrays ---------------------------------------------------------------------------------

    def fit_arrays(self, embeddings: npt.ArrayLike, labels: npt.ArrayLike) -> Self:
        """Learn from arrays instead of a data set; :meth:`new_rows` then makes the children.

        Args:
            embeddings: [n, d], finite.
            labels: [n, labels], 0 or 1.

        Raises:
            ValueError: as ``fit``; or shapes that do not fit.
        """
        given, wanted = np.asarray(embeddings), np.asarray(labels)
        if given.ndim != 2 or wanted.ndim != 2 or len(given) != len(wanted) or not given.size:
            raise ValueError(
                "embeddings must have shape [rows, width] and labels [rows, labels], got "
                f"{given.shape} and {wanted.shape}"
            )
        return self.fit(array_dataset(wanted, given))

    def new_rows(
        self,
    ) -> tuple[npt.NDArray[np.floating], npt.NDArray[Any], npt.NDArray[np.int64], IntArray]:
        """All children as arrays: embeddings [m, d], labels bool [m, labels], origin codes [m] and
        parents' row numbers [m].

        Raises:
            RuntimeError: not fitted.
        """
        plan = self.fitted_plan()
        made = self._make_embeddings(plan)
        origin = np.broadcast_to(np.asarray(made.origin, dtype=np.int64), len(plan))
        return self._in_own_units(made, plan), self.label_sets_[plan.label], origin, plan.parent
