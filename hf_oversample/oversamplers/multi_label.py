"""What the oversamplers of rows with any number of labels share.

A row's labels together are its code: ``label_values_`` holds every set of labels that the data set
has, and those that children bring. All else (the order of the output, provenance, batches, saving)
is the base class's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from datasets import Dataset, Features, List, Value

from hf_oversample.data.columns import Labels, as_arrow
from hf_oversample.data.label_imbalance import minority_labels
from hf_oversample.data.label_sets import BoolMatrix, LabelSets, read_label_sets
from hf_oversample.data.reading import arrow_column
from hf_oversample.oversamplers.base import FloatMatrix, Oversampler
from hf_oversample.oversamplers.plan import IntArray, Plan
from hf_oversample.oversamplers.saved_files import checked_array

_NO_LABEL = "(none)"


class MultiLabelOversampler(Oversampler):
    """Base class of the oversamplers for rows that have any number of labels.

    The label column holds lists (:func:`~hf_oversample.data.label_sets.read_label_sets`); several
    columns of 0 and 1 become one with :func:`~hf_oversample.data.label_sets.with_label_lists`.
    A child's labels are written as the column has them: names, numbers, or 0 and 1.

    Args:
        sampling_strategy: "auto": labels whose imbalance ratio IRLbl is above the mean, MeanIR; or
            a list of labels, by name or number.
        seed, copy_columns: see :class:`~hf_oversample.oversamplers.base.Oversampler`.

    Raises (in ``fit``):
        ValueError: besides the base class's, as
            :func:`~hf_oversample.data.label_sets.read_label_sets`; a label of ``sampling_strategy``
            that is unknown or has no row. In ``balance``, a ``weight_column``: a row of several
            labels has no class whose share a weight could restore.

    Attributes (after ``fit``):
        label_sets_: bool [codes, labels], the labels that each code stands for.
        known_labels_: names of the labels.
    """

    label_sets_: BoolMatrix
    known_labels_: list[str]

    def __init__(
        self,
        *,
        sampling_strategy: str | Sequence[str | int] = "auto",
        seed: int = 0,
        copy_columns: bool = False,
    ) -> None:
        super().__init__(seed=seed, copy_columns=copy_columns)
        is_list = isinstance(sampling_strategy, Sequence) and not isinstance(sampling_strategy, str)
        if is_list:
            sampling_strategy = list(sampling_strategy)
        elif sampling_strategy != "auto":
            raise ValueError(
                f"sampling_strategy={sampling_strategy!r}: give 'auto' (labels that are rarer than "
                "the mean, by IRLbl and MeanIR) or a list of labels; a row has several labels, so "
                "that final counts and ratios of classes do not apply"
            )
        self.sampling_strategy = sampling_strategy  # type: ignore[assignment]  # the base's: classes

    # ---- labels as codes ------------------------------------------------------------------------

    def _labels_of(self, dataset: Dataset, column: str) -> Labels:
        sets = read_label_sets(dataset, column)
        codes: dict[tuple[Any, ...], int] = {}
        first: list[int] = []
        found = np.empty(len(sets), dtype=np.int64)
        for row, value in enumerate(arrow_column(dataset, column).to_pylist()):
            code = codes.setdefault(tuple(value), len(codes))
            found[row] = code
            if code == len(first):
                first.append(row)
        names = [_named(sets.matrix[row], sets.names) for row in first]
        return Labels(found, [list(value) for value in codes], names)

    def _asked_children(self, labels: Labels) -> dict[int, int]:
        return {}  # of no set of labels a number is asked

    def _learn_from(
        self, dataset: Dataset, embeddings: FloatMatrix | None, children: Mapping[int, int]
    ) -> Plan:
        sets = read_label_sets(dataset, self.label_column_)
        _, first = np.unique(self.labels_, return_index=True)
        self.label_sets_, self.known_labels_ = sets.matrix[first], sets.names
        self._sets = sets
        try:
            return super()._learn_from(dataset, embeddings, children)
        finally:
            del self._sets

    _sets: LabelSets  # while a method learns

    def grown_labels(self) -> npt.NDArray[np.int64]:
        """The labels that get children, as ``sampling_strategy`` says; while learning.

        Raises:
            ValueError: a label that is unknown, or has no row.
        """
        counts = self._sets.counts
        strategy: Any = self.sampling_strategy
        if strategy == "auto":
            return minority_labels(counts)
        places = []
        for label in strategy:
            if isinstance(label, str) and label in self.known_labels_:
                places.append(self.known_labels_.index(label))
            elif type(label) is int and 0 <= label < len(self.known_labels_):
                places.append(label)
            else:
                raise ValueError(
                    f"sampling_strategy names {label!r}, which is no label of column "
                    f"{self.label_column_!r}: {self.known_labels_}"
                )
        empty = [self.known_labels_[place] for place in places if not counts[place]]
        if empty:
            raise ValueError(
                f"label {empty[0]!r} of sampling_strategy has no row: nothing can be made from "
                "nothing; leave it out"
            )
        return np.unique(np.asarray(places, dtype=np.int64))

    def codes_of(self, has: BoolMatrix) -> IntArray:
        """The codes of children's labels [children, labels]; sets that no row has get new ones."""
        known = {row.tobytes(): code for code, row in reversed([*enumerate(self.label_sets_)])}
        codes = np.empty(len(has), dtype=np.int64)
        new: list[npt.NDArray[np.bool_]] = []
        for place, row in enumerate(has):
            key = row.tobytes()
            if key not in known:
                known[key] = len(self.label_values_) + len(new)
                new.append(row)
            codes[place] = known[key]
        if new:
            self.label_sets_ = np.concatenate([self.label_sets_, np.stack(new)])
            self.label_values_ = [*self.label_values_, *(self._written(row) for row in new)]
            names = [_named(row, self.known_labels_) for row in new]
            self.label_names_ = [*self.label_names_, *names]
        return codes

    def _written(self, has: npt.NDArray[np.bool_]) -> list[Any]:
        values = self._sets.written(has)
        if self._sets.form != "multi_hot":
            return values
        kind = type(self.label_values_[0][0])  # int, float or bool
        return [kind(value) for value in values]

    # ---- saving, and what does not apply --------------------------------------------------------

    def _state_arrays(self) -> dict[str, np.ndarray]:
        return {**super()._state_arrays(), "label_sets": self.label_sets_}

    def _load_state_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        shape = len(self.label_values_), None
        self.label_sets_ = checked_array(arrays, "label_sets", "b", *shape)
        super()._load_state_arrays(arrays)

    def _state_config(self) -> dict[str, Any]:
        return {**super()._state_config(), "known_labels": self.known_labels_}

    def _load_state_config(self, config: dict[str, Any]) -> None:
        self.known_labels_ = config["known_labels"]
        if len(self.known_labels_) != self.label_sets_.shape[1]:
            raise ValueError(f"'known_labels' are {len(self.known_labels_)}, and of arrays others")
        super()._load_state_config(config)

    def _card_counts(self) -> list[tuple[str, int, int]]:
        before = self.label_sets_[self.labels_].sum(axis=0).tolist()
        made = self.label_sets_[self.fitted_plan().label].sum(axis=0).tolist()
        return list(zip(self.known_labels_, before, made, strict=True))

    def _check_weight_column(self, weight_column: str | None) -> None:
        if weight_column is not None:
            raise ValueError(
                f"weight_column={weight_column!r}: weights restore the shares of classes, and a "
                "row with several labels is of no one class; train with the loss pos_weight, or "
                "choose thresholds for each label, instead"
            )


def array_dataset(labels: npt.ArrayLike, embeddings: npt.ArrayLike | None = None) -> Dataset:
    """Arrays as a data set with the columns ``label``, multi-hot, and ``embedding``.

    Args:
        labels: [n, labels], 0 or 1.
        embeddings: [n, d]; float64 stays that, all else becomes float32.
    """
    matrices = {"label": np.asarray(labels, dtype=np.float32)}
    if embeddings is not None:
        vectors = np.asarray(embeddings)
        kind = np.float64 if vectors.dtype == np.float64 else np.float32
        matrices["embedding"] = np.ascontiguousarray(vectors, dtype=kind)
    features = Features(
        {
            name: List(Value(str(matrix.dtype)), length=matrix.shape[1])
            for name, matrix in matrices.items()
        }
    )
    columns = [as_arrow(matrix, features[name]) for name, matrix in matrices.items()]
    return Dataset(pa.table(columns, schema=features.arrow_schema))


def _named(has: npt.NDArray[np.bool_], names: Sequence[str]) -> str:
    return ", ".join(names[label] for label in np.flatnonzero(has).tolist()) or _NO_LABEL
