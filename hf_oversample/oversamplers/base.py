"""The contract that every oversampler keeps.

A method says what it needs of the data (``input_kind``), learns from them (``_fit``), may choose
which rows get children (``_plan``) and makes the children (``_make``). All else is done here, the
same for every method: checks of the input, exact counts, the order of the output, provenance
columns, pickling, saving.

What a child holds may depend on the constructor's values, the fitted state, its parent's row
number and its own number alone (draw with :mod:`hf_oversample.noise`): then the output is the same
for every batch size and number of processes, and for an ``IterableDataset``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from datasets.formatting.formatting import LazyBatch

from hf_oversample.columns import (
    ListColumns,
    as_arrow,
    as_list,
    check_texts,
    content_digest,
    embedding_matrix,
    read_labels,
    require_columns,
)
from hf_oversample.oversamplers import balancing
from hf_oversample.oversamplers.saving import FittedState
from hf_oversample.plan import ORIGINS, REAL, RESAMPLED, SYNTHETIC, Children, IntArray, Plan
from hf_oversample.sampling import SamplingStrategy, children_per_class, class_counts, spread

__all__ = ["ORIGINS", "REAL", "RESAMPLED", "SYNTHETIC", "Children", "Oversampler", "Plan"]

logger = logging.getLogger(__name__)

FloatMatrix = npt.NDArray[np.float32]
PROVENANCE_COLUMNS = ("origin", "parent")


class Oversampler(FittedState):
    """Base class of the oversamplers.

    Args:
        sampling_strategy: which classes grow, and to what: "auto" (every class to the largest),
            "minority", "not minority", "not majority", "all", a float (two classes), a dict of
            final counts by class, or a callable; see
            :func:`hf_oversample.sampling.children_per_class`.
        seed: the seed of every draw.
        copy_columns: whether columns that the method does not make are copied from a child's
            parent; otherwise they are null.

    Attributes (after ``fit``):
        label_column_, text_column_, embedding_column_: the columns used.
        label_values_, label_names_: by class code, the label column's value and its name.
        labels_: class code of every row.
        features_: the data set's features.
        digest_: digest of the used columns' content.
        plan_: the :class:`~hf_oversample.plan.Plan`.

    A method sets, as it needs: ``input_kind`` (the column that it reads), ``code_version`` (raised
    when its code changes what it makes: ``datasets`` hashes an installed class by name only, and
    would return rows cached from the old code), ``_lazy_attributes`` (models and caches that are
    rebuilt at need; left out of pickles, and None after), ``_copies_rows`` (whether a child has all
    columns of its parent, ``copy_columns`` or not).
    """

    input_kind: ClassVar[Literal["any", "text", "embedding"]] = "any"
    _copies_rows: ClassVar[bool] = False

    def __init__(
        self,
        *,
        sampling_strategy: SamplingStrategy = "auto",
        seed: int = 0,
        copy_columns: bool = False,
    ) -> None:
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise TypeError(f"seed must be an int, got {seed!r}")
        self.sampling_strategy = sampling_strategy
        self.seed = seed
        self.copy_columns = copy_columns

    # ---- what a method may define ---------------------------------------------------------------

    def _learn_from(
        self, dataset: Dataset, embeddings: FloatMatrix | None, children: Mapping[int, int]
    ) -> Plan:
        """Learn from all rows and plan ``children[code]`` children of each class.

        ``labels_`` and the column names are set; ``embeddings`` is the embedding column, if one
        was named. Default: :meth:`_fit`, then :meth:`_plan`.
        """
        self._fit(dataset)
        return self._plan(children)

    def _fit(self, dataset: Dataset) -> None:
        """Learn what needs the whole data set. ``labels_`` and the column names are set."""

    def _plan(self, children: Mapping[int, int]) -> Plan:
        """Choose parents: ``children[code]`` children of each class. Default: spread evenly over
        the rows of the class itself."""
        plans = []
        for code, total in children.items():
            rows = np.flatnonzero(self.labels_ == code)
            plans.append(Plan.from_counts(rows, spread(total, rows, self.seed), code))
        return Plan.join(plans)

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

    # ---- fitting --------------------------------------------------------------------------------

    def fit(
        self,
        dataset: Dataset,
        label_column: str = "label",
        text_column: str | None = None,
        embedding_column: str | None = None,
    ) -> Self:
        """Learn from a data set and plan the children.

        Args:
            dataset: the rows to balance: one split, with row access.
            label_column: a ClassLabel, integers, strings or booleans.
            text_column: the texts; default "text" for methods that read texts.
            embedding_column: the embeddings; default "embedding" for methods that read those.

        Raises:
            TypeError: not a ``datasets.Dataset``.
            ValueError: a missing column; one class only; a null label or one outside the
                ClassLabel; a null or empty text; a null, ragged, NaN or infinite embedding;
                columns ``origin`` or ``parent`` already there; a sampling strategy that the counts
                do not allow. Columns and rows are named.
        """
        if not isinstance(dataset, Dataset):
            hint = "dataset['train']" if isinstance(dataset, dict) else "a datasets.Dataset"
            raise TypeError(
                f"fit needs all rows of one split, got {type(dataset).__name__}: pass {hint} "
                "(what is fitted on a Dataset can then map an IterableDataset of the same rows)"
            )
        if self.input_kind == "text" and text_column is None:
            text_column = "text"
        if self.input_kind == "embedding" and embedding_column is None:
            embedding_column = "embedding"
        if text_column is not None and embedding_column is not None:
            raise ValueError(
                f"{type(self).__name__} reads "
                f"{'one column' if self.input_kind == 'any' else f'the {self.input_kind} column'}, "
                f"but text_column={text_column!r} and embedding_column={embedding_column!r} were "
                "given: give one"
            )
        require_columns(dataset, label_column, text_column, embedding_column)
        refuse_provenance(dataset.column_names)
        labels = read_labels(dataset, label_column)
        children = children_per_class(
            self.sampling_strategy,
            class_counts(labels.codes, names=labels.names),
            labels.names,
            labels.values,
        )
        if text_column is not None:
            check_texts(dataset, text_column)
        embeddings = None
        if embedding_column is not None:
            embeddings = embedding_matrix(dataset, embedding_column)
        self.plan_ = None
        self.label_column_, self.text_column_ = label_column, text_column
        self.embedding_column_ = embedding_column
        self.labels_, self.label_values_ = labels.codes, labels.values
        self.label_names_ = labels.names
        self.features_ = dataset.features.copy()
        self.digest_ = content_digest(dataset, self.columns_read())
        self._take_plan(self._learn_from(dataset, embeddings, children), children)
        return self

    def _take_plan(self, plan: Plan, children: Mapping[int, int]) -> None:
        made = np.bincount(plan.label, minlength=len(self.label_names_))
        for code, total in children.items():
            if made[code] != total:
                raise RuntimeError(
                    f"{type(self).__name__} planned {made[code]} children of class "
                    f"{self.label_names_[code]!r}, asked were {total}"
                )
        self.plan_ = plan

    def columns_read(self) -> list[str]:
        columns = [self.label_column_, self.text_column_, self.embedding_column_]
        return [column for column in columns if column is not None]

    def fitted_plan(self) -> Plan:
        if self.plan_ is None:
            raise RuntimeError(
                f"this {type(self).__name__} is not fitted: call fit(dataset) first, or "
                "balance(dataset), which does"
            )
        return self.plan_

    def difference(self, dataset: Dataset) -> str | None:
        """How a data set differs from the fitted one, in words; None if it does not."""
        if len(dataset) != len(self.labels_):
            return f"it has {len(dataset)} rows, the fitted one has {len(self.labels_)}"
        if dataset.features != self.features_:
            names = sorted({*dataset.features, *self.features_})
            differ = [n for n in names if dataset.features.get(n) != self.features_.get(n)]
            return f"its features differ from the fitted ones in the columns {differ}"
        columns = self.columns_read()
        if content_digest(dataset, columns) != self.digest_:
            return f"the content of its columns {columns} (or their order) is not the fitted one"
        return None

    # ---- making rows ----------------------------------------------------------------------------

    def output_features(self, features: Features) -> Features:
        """The features of the output for a data set with these: plus ``origin`` and ``parent``.

        ``IterableDataset.map`` forgets features unless it is given them: pass it
        ``features=oversampler.output_features(dataset.features)``.
        """
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

        Raises:
            RuntimeError: not fitted.
            ValueError: the batch is not of the fitted data set.
        """
        rows, columns = self.check_batch(batch, indices)
        if isinstance(batch, LazyBatch):
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
                    "this is another data set; fit on it"
                )
            fitted = self.label_values_[self.labels_[row]]
            if label != fitted:
                raise ValueError(
                    f"column {self.label_column_!r} is {label!r} in row {row} but was {fitted!r} "
                    "when fitted: this is another data set, or another order of its rows; fit on it"
                )
        return rows, columns

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
        schema = self.output_features(self.features_).arrow_schema
        # A null index takes a null.
        taken = pa.array(positions, mask=~kept)
        output: list[Any] = []
        for name in columns:
            kind = schema.field(name).type
            if name == self.label_column_:
                output.append(pa.array(self.label_values_, type=kind).take(pa.array(plan.label)))
            elif name in made.columns:
                output.append(as_arrow(made.columns[name], self.features_[name]))
            elif self.copy_columns or self._copies_rows:
                output.append(rows_table[name].take(taken).cast(kind))
            else:
                output.append(pa.nulls(len(plan), kind))
        output.append(pa.array(np.broadcast_to(made.origin, len(plan)), type=pa.int64()))
        output.append(pa.array(parents))
        return pa.table(output, schema=schema), positions

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

    def all_children(
        self, dataset: Dataset, num_proc: int | None = None, batch_size: int = 1000
    ) -> Dataset:
        """The children of the fitted data set, whose content is not checked again."""
        return balancing.map_children(self, dataset, num_proc=num_proc, batch_size=batch_size)

    def children(
        self, dataset: Dataset, batch_size: int = 1000, num_proc: int | None = None
    ) -> Dataset:
        """Only the children of a fitted data set, in the order of their parents.

        Raises:
            RuntimeError: not fitted.
            ValueError: another data set than the fitted one (rows, features or content differ).
        """
        return balancing.children(self, dataset, num_proc=num_proc, batch_size=batch_size)

    def balance(
        self,
        dataset: Dataset | DatasetDict,
        num_proc: int | None = None,
        batch_size: int = 1000,
        *,
        label_column: str | None = None,
        text_column: str | None = None,
        embedding_column: str | None = None,
    ) -> Dataset | DatasetDict:
        """Fit, unless fitted on this very data set, and return its rows followed by the children.

        The real rows are not rewritten. Of a ``DatasetDict`` only ``train`` is balanced; the other
        splits get the provenance columns, so that features agree.

        Args:
            dataset: a data set, or a dict with the split ``train``.
            num_proc: processes; the result is the same for every number.
            batch_size: rows a call; the result is the same for every size.
            label_column, text_column, embedding_column: as in :meth:`fit`; default: those of the
                last fit, else fit's defaults.

        Raises:
            as :meth:`fit`; ValueError for a ``DatasetDict`` without ``train``.
        """
        columns = {
            "label_column": label_column,
            "text_column": text_column,
            "embedding_column": embedding_column,
        }
        given = {name: column for name, column in columns.items() if column is not None}
        if not isinstance(dataset, DatasetDict):
            return balancing.balance(self, dataset, given, num_proc, batch_size)
        if "train" not in dataset:
            raise ValueError(
                f"there is no split 'train' among {list(dataset)}: only training rows may be "
                "oversampled; call balance(dataset[split]) on the split that you mean"
            )
        others = [split for split in dataset if split != "train"]
        logger.info("balancing the split 'train' only; %s stay as they are", others)
        train = balancing.balance(self, dataset["train"], given, num_proc, batch_size)
        return DatasetDict(
            {
                split: train if split == "train" else balancing.with_provenance(self, rows)
                for split, rows in dataset.items()
            }
        )


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
