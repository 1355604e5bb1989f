"""Rows of a batch, each followed by its children: what ``dataset.map`` calls.

A batch comes as Python lists or, from ``Dataset.map``, as an Arrow table; its children go back the
same way. A method sees neither: it makes the children's columns (``_make``).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeGuard

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hf_oversample.data.columns import ListColumns, as_arrow, as_list
from hf_oversample.data.digests import text_keys, vector_keys
from hf_oversample.data.embeddings import vectors_of
from hf_oversample.data.row_keys import key_columns, record_keys
from hf_oversample.oversamplers.plan import ORIGINS, REAL, Children, IntArray, Plan
from hf_oversample.oversamplers.saving import FittedState

if TYPE_CHECKING:
    from datasets import Features
    from datasets.formatting.formatting import LazyBatch

PROVENANCE_COLUMNS = ("origin", "parent")


class GrowingBatches(FittedState):
    """An oversampler as a map function.

    ``_copies_rows``: whether a child has all columns of its parent, ``copy_columns`` or not.
    """

    _copies_rows: ClassVar[bool] = False
    _schema: tuple[Features, pa.Schema] | None = None
    copy_columns: bool

    def _make(self, batch: Mapping[str, list[Any]], positions: IntArray, plan: Plan) -> Children:
        """Make the children of a batch.

        Args:
            batch: the columns of the real rows, as lists; converted when they are asked for.
            positions: int64 [children], the place of each child's parent in the batch.
            plan: the children's entries of the plan.

        Returns:
            the children's columns, in the order of ``plan``.
        """
        raise NotImplementedError(f"{type(self).__name__} must define _make")

    def output_features(self, features: Features) -> Features:
        """The features of the output for a data set with these: plus ``origin`` and ``parent``.

        ``IterableDataset.map`` forgets features unless it is given them: pass it
        ``features=oversampler.output_features(dataset.features)``.
        """
        from datasets import ClassLabel, Features, Value

        refuse_provenance(features)
        return Features(
            {**features, "origin": ClassLabel(names=list(ORIGINS)), "parent": Value("int64")}
        )

    def __call__(
        self, batch: Mapping[str, Sequence[Any]], indices: Sequence[int]
    ) -> dict[str, list[Any]] | pa.Table:
        """Each row of a batch, followed by its children; for ``dataset.map``.

        ``dataset.map(oversampler, batched=True, with_indices=True)``

        Args:
            batch: columns by name.
            indices: the rows' numbers in the data set that was fitted.

        Returns:
            all columns plus ``origin`` and ``parent``. A dict of lists; or, for ``Dataset.map``,
            the same as an Arrow table, which alone can tell it that ``origin`` is a ClassLabel.

        What is compared with the fitted data set is each row's label and its text or embedding.
        That rows are missing no batch can see: map the whole data set, or use ``balance``, which
        checks.

        Raises:
            RuntimeError: not fitted.
            ValueError: the batch is not of the fitted data set.
        """
        rows, columns = self.check_batch(batch, indices)
        if is_of_map(batch):
            return self._grown_table(batch.pa_table, columns, rows)
        made, positions = self.children_of(columns, rows)
        output = {}
        order = _family_order(len(rows), positions)
        real = {**columns, "origin": [REAL] * len(rows), "parent": [-1] * len(rows)}
        for name, values in real.items():
            joined = values + made[name]
            output[name] = [joined[place] for place in order]
        return output

    def _grown_table(
        self, rows_table: pa.Table, columns: Mapping[str, list[Any]], rows: IntArray
    ) -> pa.Table:
        made, positions = self.children_table(rows_table, columns, rows)
        provenance = {
            "origin": pa.array(np.full(len(rows), REAL)),
            "parent": pa.array(np.full(len(rows), -1)),
        }
        real = {name: rows_table[name] for name in columns} | provenance
        joined = pa.concat_tables([pa.table(real).cast(made.schema), made])
        return joined.take(_family_order(len(rows), positions))

    def check_batch(
        self, batch: Mapping[str, Sequence[Any]], indices: npt.ArrayLike
    ) -> tuple[IntArray, ListColumns]:
        """Row numbers and columns (as lists) of a batch, checked to be of the fitted data set."""
        self.fitted_plan()
        if not isinstance(batch, Mapping):
            raise TypeError(
                f"a batch must be a dict of columns, got {type(batch).__name__}: map with "
                "dataset.with_format(None)"
            )
        missing, unknown = set(self.features_) - set(batch), set(batch) - set(self.features_)
        refuse_provenance(batch)
        if missing or unknown:
            raise ValueError(
                f"the batch's columns are not those of the fitted data set (missing "
                f"{sorted(missing)}, new {sorted(unknown)}): fit on the data set to be mapped"
            )
        rows = np.asarray(indices, dtype=np.int64).reshape(-1)
        columns = ListColumns(batch, list(self.features_))
        labels = columns[self.label_column_]
        if len(labels) != len(rows):
            raise ValueError(
                f"the batch has {len(labels)} rows but {len(rows)} indices were given: map with "
                "batched=True and with_indices=True"
            )
        for row, label in zip(rows.tolist(), labels, strict=True):
            if not 0 <= row < len(self.labels_):
                raise ValueError(
                    f"row {row} is beyond the {len(self.labels_)} rows of the fitted data set: "
                    f"this is another data set; fit on it{_numbered_anew(batch)}"
                )
            fitted = self.label_values_[self.labels_[row]]
            if hasattr(label, "tolist"):  # lists of labels, as NumPy and torch show them
                label = label.tolist()
            if label != fitted:
                raise ValueError(
                    f"column {self.label_column_!r} is {label!r} in row {row} but was {fitted!r} "
                    "when fitted: this is another data set, or another order of its rows; fit on "
                    f"it{_numbered_anew(batch)}"
                )
        self._check_content(batch, columns, rows)
        return rows, columns

    def _check_content(
        self, batch: Mapping[str, Sequence[Any]], columns: ListColumns, rows: IntArray
    ) -> None:
        if self.row_keys_ is None or not len(rows):
            return
        if self.embedding_column_ is not None:
            column = self.embedding_column_
            values = batch.pa_table[column] if is_of_map(batch) else batch[column]
            matrix = vectors_of(values)
            keys = None if matrix is None else vector_keys(matrix)
        elif self.text_column_ is not None:
            column = self.text_column_
            texts = columns[column]
            keys = text_keys(texts) if all(isinstance(text, str) for text in texts) else None
        else:
            source = batch.pa_table if is_of_map(batch) else batch
            names = key_columns(self.features_)
            column, keys = ", ".join(names), record_keys(source.__getitem__, self.features_, names)
        if keys is None:
            raise ValueError(
                f"column {column!r} of rows {rows[0]} … {rows[-1]} does not hold what it held when "
                f"fitted: this is another data set; fit on it{_numbered_anew(batch)}"
            )
        other = np.flatnonzero(keys != self.row_keys_[rows])
        if len(other):
            raise ValueError(
                f"column {column!r} in row {rows[other[0]]} is not what it was when fitted "
                f"({len(other)} of these {len(rows)} rows): this is another data set, or another "
                f"order of its rows; fit on it{_numbered_anew(batch)}"
            )
        worker = _one_of_several_workers()
        if worker is not None:
            self._refuse_repeated(keys, rows, worker)

    def _refuse_repeated(self, keys: np.ndarray, rows: IntArray, worker: str) -> None:
        """Of several workers each numbers its rows from 0: a row that occurs once is known by its
        content, one of several equal ones is not.

        Raises:
            ValueError: such a row.
        """
        assert self.row_keys_ is not None
        values, counts = np.unique(self.row_keys_, return_counts=True)
        repeated = np.flatnonzero(counts[np.searchsorted(values, keys)] > 1)
        if len(repeated):
            raise ValueError(
                f"row {rows[repeated[0]]} has the content of other rows, and this is {worker}, "
                f"which numbers its rows by itself, so that its parent is not known{_INSTEAD}"
            )

    def children_of(
        self, columns: Mapping[str, list[Any]], rows: IntArray
    ) -> tuple[dict[str, list[Any]], IntArray]:
        """All output columns of the children of some rows, and their parents' places."""
        made, plan, positions = self._made(columns, rows)
        parents, kept = _parents(made, plan)
        output = {}
        for name in columns:
            if name == self.label_column_:
                output[name] = [self.label_values_[code] for code in plan.label]
            elif name in made.columns:
                output[name] = as_list(made.columns[name])
            elif self.copy_columns or self._copies_rows:
                values = columns[name]
                output[name] = [
                    values[place] if own else None
                    for place, own in zip(positions, kept, strict=True)
                ]
            else:
                output[name] = [None] * len(plan)
        output["origin"] = np.broadcast_to(made.origin, len(plan)).tolist()
        output["parent"] = parents.tolist()
        return output, positions

    def children_table(
        self, rows_table: pa.Table, columns: Mapping[str, list[Any]], rows: IntArray
    ) -> tuple[pa.Table, IntArray]:
        """As :meth:`children_of`, for rows that are in Arrow, and as an Arrow table."""
        made, plan, positions = self._made(columns, rows)
        parents, kept = _parents(made, plan)
        schema = self._children_schema()
        # A null index takes a null.
        taken = pa.array(positions, mask=~kept)
        output: list[Any] = []
        for name in columns:
            kind = schema.field(name).type
            if name == self.label_column_:
                # Not all values as an array first: there may be more classes than children.
                values = [self.label_values_[code] for code in plan.label.tolist()]
                output.append(pa.array(values, type=kind))
            elif name in made.columns:
                output.append(as_arrow(made.columns[name], self.features_[name]))
            elif self.copy_columns or self._copies_rows:
                output.append(rows_table[name].take(taken).cast(kind))
            else:
                output.append(pa.nulls(len(plan), kind))
        output.append(pa.array(np.broadcast_to(made.origin, len(plan)), type=pa.int64()))
        output.append(pa.array(parents))
        return pa.table(output, schema=schema), positions

    def _children_schema(self) -> pa.Schema:
        # Kept, because it holds all names of the classes, and is asked for with every batch.
        if self._schema is None or self._schema[0] is not self.features_:
            self._schema = self.features_, self.output_features(self.features_).arrow_schema
        return self._schema[1]

    def _made(
        self, columns: Mapping[str, list[Any]], rows: IntArray
    ) -> tuple[Children, Plan, IntArray]:
        plan, positions = self.fitted_plan().of_rows(rows)
        made = self._make(columns, positions, plan) if len(plan) else Children({})
        unknown = sorted(set(made.columns) - set(columns))
        if unknown:
            raise RuntimeError(f"{type(self).__name__}._make gave columns that are new: {unknown}")
        for name, values in made.columns.items():
            if len(values) != len(plan):
                raise RuntimeError(
                    f"{type(self).__name__}._make gave {len(values)} values of {name!r} for "
                    f"{len(plan)} children"
                )
        return made, plan, positions


_INSTEAD = (
    ". Balance the data set first, and stream what comes out: "
    "oversampler.balance(dataset).to_iterable_dataset(num_shards=...); or read with num_workers=0 "
    "or 1"
)


def is_of_map(batch: Any) -> TypeGuard[LazyBatch]:
    """Whether a batch is what `Dataset.map` gives, which holds an Arrow table."""
    from datasets.formatting.formatting import LazyBatch

    return isinstance(batch, LazyBatch)


def _numbered_anew(batch: Any) -> str:
    """Of the rows of a stream, why they may have other numbers, and what to do."""
    if is_of_map(batch):  # `Dataset.map` numbers rows of the whole data set
        return ""
    worker = _one_of_several_workers()
    return (
        f". Or {worker or 'a part of a stream'}: each of a DataLoader's workers (num_workers above "
        "1) and each node (split_dataset_by_node) numbers its own rows from 0, and so does what "
        f"comes after shuffle, shard, skip or filter{_INSTEAD}"
    )


def _one_of_several_workers() -> str | None:
    """The DataLoader worker that this process is, where there are several."""
    if "torch.utils.data" not in sys.modules:  # then it is none, and torch need not be imported
        return None
    from torch.utils.data import get_worker_info

    info = get_worker_info()
    if info is None or info.num_workers < 2:
        return None
    return f"DataLoader worker {info.id} of {info.num_workers}"


def refuse_provenance(columns: Any) -> None:
    """Raise ValueError where a data set already has the columns ``origin`` or ``parent``."""
    taken = [name for name in PROVENANCE_COLUMNS if name in columns]
    if taken:
        raise ValueError(
            f"the data set already has the column(s) {taken}, which the oversampler writes: it "
            "may be balanced already; remove or rename them"
        )


def _family_order(rows: int, positions: IntArray) -> IntArray:
    """The order in which each of ``rows`` rows is followed by its children, whose parents'
    places are given, of real rows and children joined end to end."""
    # Stable: a row comes before its children, the children in the plan's order.
    return np.argsort(np.concatenate([np.arange(rows), positions]), kind="stable")


def _parents(made: Children, plan: Plan) -> tuple[IntArray, np.ndarray]:
    """The rows that children name as parents, and whether these are the planned ones: a child that
    names another has no row at hand to copy from."""
    parents = plan.parent if made.parent is None else np.asarray(made.parent, dtype=np.int64)
    return parents, parents == plan.parent
