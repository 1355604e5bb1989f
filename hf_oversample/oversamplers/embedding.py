"""What the oversamplers of embeddings share: rows come and go as float32 matrices.

A method learns from the whole matrix and makes rows of a matrix; the columns, Arrow buffers, and
whether the rows go into a data set or an array, are settled here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

import hf_oversample
from hf_oversample.data.columns import ListColumns
from hf_oversample.data.embeddings import exact_embeddings
from hf_oversample.numeric.offsets import about, far_middles
from hf_oversample.oversamplers.base import FloatMatrix, Oversampler
from hf_oversample.oversamplers.plan import RESAMPLED, SYNTHETIC, Children, IntArray, Plan
from hf_oversample.oversamplers.saved_files import checked_array, checked_places
from hf_oversample.oversamplers.strategy import children_per_class, class_counts

if TYPE_CHECKING:
    from datasets import Dataset, Features


@dataclass(frozen=True, eq=False)
class MadeEmbeddings:
    """What a method made: one row per child, in the order of the plan that it was given.

    Attributes:
        values: [children, d]: float32, in the units of the rows that the method learnt from; or
            float64, in the data set's own.
        origin: SYNTHETIC or RESAMPLED, one for all or one per child.
        parent: int64 [children], row numbers where they differ from the plan's: a child that was
            rejected may repeat another real row, and then names that one.
    """

    values: npt.NDArray[np.floating]
    origin: int | npt.NDArray[np.int64] = SYNTHETIC
    parent: IntArray | None = None


class EmbeddingOversampler(Oversampler):
    """Base class of the oversamplers that read and make embeddings.

    Rows are read and made as float32, whatever the column's type. Of a column of float64, values
    far from zero (times, ids, prices) are read about their middle, ``center_``, which is added to
    what is made; a real row that is repeated (`resampled`) is the row itself, with all its digits.

    A method defines :meth:`_learn` and :meth:`_make_embeddings`. It keeps what it needs of the
    rows itself, so that the children do not depend on what batch their parents come in.
    """

    input_kind = "embedding"
    _learns_from_matrix = True
    _exact: npt.NDArray[np.float64] | None = None  # while a method learns
    _array_types: tuple[str, str, int] | None = None  # of labels and values, and their width

    # ---- what a method defines ------------------------------------------------------------------

    def _learn(self, embeddings: FloatMatrix, children: Mapping[int, int]) -> Plan:
        """Learn from all rows and plan the children.

        Args:
            embeddings: [n, d]; neither kept nor changed.
            children: how many of each class code.
        """
        raise NotImplementedError(f"{type(self).__name__} must define _learn")

    def _make_embeddings(self, plan: Plan) -> MadeEmbeddings:
        """Children of some entries of the plan, the same whatever entries they are made with."""
        raise NotImplementedError(f"{type(self).__name__} must define _make_embeddings")

    # ---- data sets ------------------------------------------------------------------------------

    def _learn_from(
        self, dataset: Dataset, embeddings: FloatMatrix | None, children: Mapping[int, int]
    ) -> Plan:
        assert embeddings is not None, "fit reads the embedding column of these methods"
        self.__dict__.pop("_array_types", None)
        self._refuse_integers(dataset)
        exact = exact_embeddings(dataset, str(self.embedding_column_))
        return self._learn_about_center(embeddings, exact, children)

    def _refuse_integers(self, dataset: Dataset) -> None:
        column = str(self.embedding_column_)
        kind = dataset.features.arrow_schema.field(column).type.value_type
        if pa.types.is_integer(kind):
            raise ValueError(
                f"column {column!r} holds {kind} values, which cannot hold the vectors that "
                f"{type(self).__name__} makes: cast it with dataset.cast_column({column!r}, "
                "List(Value('float32')))"
            )

    def _learn_about_center(
        self,
        embeddings: FloatMatrix,
        exact: npt.NDArray[np.float64] | None,
        children: Mapping[int, int],
    ) -> Plan:
        """Learn from rows, of which ``exact`` are all digits where they have more."""
        self.center_ = self.copied_rows_ = self.copied_values_ = None
        if exact is None:
            return self._learn(embeddings, children)
        center = far_middles(exact)
        if center.any() and self._moves_rows():
            self.center_, embeddings = center, about(exact, center)
        self._exact = exact
        try:
            plan = self._learn(embeddings, children)
        finally:
            del self._exact
        self.copied_rows_ = np.empty(0, dtype=np.int64)
        if "entry" in plan.extra:  # rows that were made while learning, some of them repeated
            made = self._make_embeddings(plan)
            repeated = np.broadcast_to(np.asarray(made.origin), len(plan)) == RESAMPLED
            parents = plan.parent if made.parent is None else made.parent
            self.copied_rows_ = np.unique(parents[repeated])
        self.copied_values_ = exact[self.copied_rows_]
        return plan

    def _moves_rows(self) -> bool:
        """Whether the method may be given rows about a centre: not where a model that it was given
        knows them as they are."""
        return True

    def _in_own_units(self, made: MadeEmbeddings, plan: Plan) -> npt.NDArray[np.floating]:
        """What was made, in the data set's units; repeated rows as they are."""
        values = made.values
        if self.copied_rows_ is None or self.copied_values_ is None:
            return values
        if values.dtype == np.float32:
            values = values.astype(np.float64)
            if self.center_ is not None:
                values += self.center_
        repeated = np.broadcast_to(np.asarray(made.origin), len(plan)) == RESAMPLED
        if repeated.any():
            parents = (plan.parent if made.parent is None else made.parent)[repeated]
            values[repeated] = self.copied_values_[np.searchsorted(self.copied_rows_, parents)]
        return values

    def _make(self, batch: Mapping[str, list[Any]], positions: IntArray, plan: Plan) -> Children:
        made = self._make_embeddings(plan)
        values = self._in_own_units(made, plan)
        return Children({str(self.embedding_column_): values}, made.origin, made.parent)

    def all_children(
        self, dataset: Dataset, num_proc: int | None = None, batch_size: int = 1000
    ) -> Dataset:
        """All children, made at once: no map, and no rows read but those whose columns are copied.

        ``num_proc`` and ``batch_size`` are without effect here.
        """
        from datasets import Dataset
        from datasets.fingerprint import Hasher

        parents = np.unique(self.fitted_plan().parent)
        rows = pa.table({})
        if self.copy_columns:
            others = [name for name in dataset.column_names if name != self.embedding_column_]
            rows = dataset.select_columns(others).select(parents).with_format("arrow")[:]
        made, _ = self.children_table(rows, ListColumns({}, dataset.column_names), parents)
        # Given, because the default would hash all vectors. With the code's version, and with what
        # classifiers given by the name of a folder decide.
        plan, code = self.fitted_plan(), f"{hf_oversample.__version__}/{self.code_version}"
        known = [type(self).__name__, code, self.get_params(), self.digest_]
        known += [plan.parent, plan.label, dict(plan.extra), self._decided_by_files()]
        if self.copy_columns:
            known.append(dataset._fingerprint)
        return Dataset(made, fingerprint=Hasher.hash(known))

    def _decided_by_files(self) -> list[str]:
        """Of files that arguments only name, what the rows depend on and the plan does not show."""
        return []

    # ---- saving ---------------------------------------------------------------------------------

    def _width(self) -> int | None:
        """Of embeddings, where the column has a fixed one."""
        kind = self.features_.arrow_schema.field(str(self.embedding_column_)).type
        return kind.list_size if pa.types.is_fixed_size_list(kind) else None

    def _loaded_rows(self, arrays: Mapping[str, np.ndarray], name: str = "made") -> Any:
        """Embeddings that were made while learning, each child's at its ``entry``.

        Raises:
            KeyError, ValueError: as :func:`~hf_oversample.oversamplers.saved_files.checked_array`.
        """
        made = checked_array(arrays, name, "f", None, self._width())
        plan = self.fitted_plan()
        checked_places(plan.extra, "entry", len(made), len(plan))
        return made

    # ---- arrays ---------------------------------------------------------------------------------

    @cached_property
    def features_(self) -> Features:
        """Of the data set; of arrays, those that a data set of them would have. Made when they are
        asked for: a process that grows arrays need not import `datasets`."""
        if self._array_types is None:
            raise AttributeError(f"{type(self).__name__} is not fitted: it has no features_")
        from datasets import Features, List, Value

        labels, values, width = self._array_types
        return Features({"label": Value(labels), "embedding": List(Value(values), length=width)})

    def __getstate__(self) -> dict[str, Any]:
        if self._array_types is not None:
            _ = self.features_  # the state is the same whether they were asked for before or not
        state = super().__getstate__()
        state.pop("_array_types", None)
        return state

    def fit_arrays(self, embeddings: npt.ArrayLike, labels: npt.ArrayLike) -> Self:
        """Learn from arrays instead of a data set; :meth:`new_rows` then makes the children.

        Args:
            embeddings: [n, d], finite.
            labels: [n], integers, booleans or strings, all of one kind.

        Raises:
            ValueError: one class only, NaN or infinite values, a label that is missing or of
                another type, shapes that do not fit, or counts that the sampling strategy does not
                allow.
        """
        given = np.asarray(embeddings)
        with np.errstate(over="ignore"):  # told below, with its place
            matrix = np.ascontiguousarray(given, dtype=np.float32)
        is_wide = given.dtype.kind in "fiu" and given.dtype.itemsize > 4
        exact = given.astype(np.float64, copy=False) if is_wide else None
        # A list as it is: NumPy would make the strings "nan" and "1" of numbers among strings.
        raw = np.asarray(labels, dtype=None if hasattr(labels, "dtype") else object)
        if matrix.ndim != 2 or raw.shape != matrix.shape[:1] or not matrix.shape[1]:
            raise ValueError(
                f"embeddings must have shape [rows, width] and labels [rows], got {matrix.shape} "
                f"and {raw.shape}"
            )
        values, codes = np.unique(_checked_labels(raw), return_inverse=True)
        if not np.isfinite(matrix.sum(dtype=np.float64)) and not np.isfinite(matrix).all():
            row, place = (int(found[0]) for found in np.nonzero(~np.isfinite(matrix)))
            if np.isfinite(given[row, place]):
                raise ValueError(
                    f"embeddings have {matrix[row, place]} in row {row}, position {place}, as "
                    f"float32, where they must be finite (up to 3.4e38): it is "
                    f"{given[row, place]:g}; divide the column by a constant"
                )
            raise ValueError(
                f"embeddings have {matrix[row, place]} in row {row}, position {place}: they must "
                "be finite; embed the row again or drop it"
            )
        self.plan_ = None
        self.label_column_, self.text_column_, self.embedding_column_ = "label", None, "embedding"
        self.label_values_, self.label_names_ = values.tolist(), [str(v) for v in values.tolist()]
        self.labels_ = codes.astype(np.int64)
        self.__dict__.pop("features_", None)
        self._array_types = (
            "string" if values.dtype.kind in "UO" else "int64",
            "float32" if exact is None else "float64",
            matrix.shape[1],
        )
        self.digest_, self.row_keys_ = "", None
        children = children_per_class(
            self.sampling_strategy,
            class_counts(self.labels_, names=self.label_names_),
            self.label_names_,
            self.label_values_,
        )
        self._take_plan(self._learn_about_center(matrix, exact, children), children)
        return self

    def new_rows(
        self,
    ) -> tuple[npt.NDArray[np.floating], npt.NDArray[Any], npt.NDArray[np.int64], IntArray]:
        """All children as arrays.

        Returns:
            embeddings [m, d] (float64 where the fitted rows have more digits than float32, else
            float32), labels [m], origin codes [m] and parents' row numbers [m].

        Raises:
            RuntimeError: not fitted.
        """
        plan = self.fitted_plan()
        made = self._make_embeddings(plan)
        labels = np.asarray(self.label_values_)[plan.label]
        origin = np.broadcast_to(np.asarray(made.origin, dtype=np.int64), len(plan))
        parent = plan.parent if made.parent is None else made.parent
        return self._in_own_units(made, plan), labels, origin, parent


def _checked_labels(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Labels [n] as an array of integers, or of strings.

    Raises:
        ValueError: a label is missing, neither an integer nor a string, or of another kind than the
            first.
    """
    if labels.dtype.kind in "iubU":
        return labels
    kinds = (bool | int | np.integer | np.bool_, str)
    first = None
    for row, label in enumerate(labels.tolist()):
        if label is None or label != label:  # NaN, and pandas' NaT
            raise ValueError(
                f"label is {label} in row {row}: give the row a label, or drop it from embeddings "
                "and labels"
            )
        kind = next((kind for kind in kinds if isinstance(label, kind)), None)
        if kind is None:
            raise ValueError(
                f"label is {label!r} ({type(label).__name__}) in row {row}: labels must be "
                "integers, booleans or strings; cast them, for example with labels.astype(int)"
            )
        if kind is not (first := first or kind):
            raise ValueError(
                f"label is {label!r} in row {row} but {labels.tolist()[0]!r} in row 0: integers "
                "and strings have no common order; give all as strings, or all as integers"
            )
    return labels.astype(object if first is str else np.int64)
