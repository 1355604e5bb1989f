"""Whole data sets: the children of a fitted oversampler, and a balanced data set.

The real rows are never rewritten: the children are made by a map over their parents alone, and
joined to the rows as a second table.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Self

import numpy as np
import pyarrow as pa

from hf_oversample.data.columns import in_format_of
from hf_oversample.numeric.workers import processes_that_can_use_gpus
from hf_oversample.oversamplers.growing import GrowingBatches
from hf_oversample.oversamplers.plan import REAL, IntArray

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict
    from datasets.formatting.formatting import LazyBatch

logger = logging.getLogger(__name__)

_COLUMN_ARGUMENTS = ("label_column", "text_column", "embedding_column")


class BalancingDatasets(GrowingBatches):
    """An oversampler that fits at need and returns whole data sets."""

    def fit(
        self,
        dataset: Dataset,
        label_column: str = "label",
        text_column: str | None = None,
        embedding_column: str | None = None,
    ) -> Self:
        """Learn from a data set and plan the children."""
        raise NotImplementedError(f"{type(self).__name__} must define fit")

    def difference(self, dataset: Dataset) -> str | None:
        """How a data set differs from the fitted one, in words; None if it does not."""
        raise NotImplementedError(f"{type(self).__name__} must define difference")

    def all_children(
        self, dataset: Dataset, num_proc: int | None = None, batch_size: int = 1000
    ) -> Dataset:
        """The children of the fitted data set, whose content is not checked again."""
        from datasets import Dataset

        parents = np.unique(self.fitted_plan().parent)
        features = self.output_features(dataset.features)
        if not len(parents):
            return Dataset.from_dict({name: [] for name in features}, features=features)
        rows = dataset.with_format(None).select(parents)
        with processes_that_can_use_gpus(num_proc):
            return rows.map(
                ChildrenOnly(self, parents),
                batched=True,
                with_indices=True,
                batch_size=batch_size,
                num_proc=num_proc,
                features=features,
                desc=type(self).__name__,
            )

    def children(
        self, dataset: Dataset, batch_size: int = 1000, num_proc: int | None = None
    ) -> Dataset:
        """Only the children of a fitted data set, in the order of their parents.

        Raises:
            RuntimeError: not fitted.
            ValueError: another data set than the fitted one (rows, features or content differ).
        """
        self.fitted_plan()
        difference = self.difference(dataset)
        if difference is not None:
            raise ValueError(
                f"this {type(self).__name__} was fitted on another data set: {difference}; fit "
                "it on this one"
            )
        return self.all_children(dataset, num_proc, batch_size)

    def balance(
        self,
        dataset: Dataset | DatasetDict,
        num_proc: int | None = None,
        batch_size: int = 1000,
        *,
        label_column: str | None = None,
        text_column: str | None = None,
        embedding_column: str | None = None,
        weight_column: str | None = None,
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
            weight_column: also write a column of this name, with weights under which each class
                counts as much as its real rows did: a classifier that is trained with them states
                probabilities as they are, and not as if classes were as frequent as the balanced
                ones (:mod:`hf_oversample.data.row_weights`). Rows of other splits get 1.

        Raises:
            as :meth:`fit`; ValueError for a ``DatasetDict`` without ``train``, or a
            ``weight_column`` that is there already.
        """
        from datasets import DatasetDict

        from hf_oversample.data.row_weights import with_unit_weights

        self._check_weight_column(weight_column)
        columns = {
            "label_column": label_column,
            "text_column": text_column,
            "embedding_column": embedding_column,
        }
        given = {name: column for name, column in columns.items() if column is not None}
        splits = dataset.values() if isinstance(dataset, DatasetDict) else [dataset]
        if any(weight_column in rows.column_names for rows in splits):
            raise ValueError(
                f"the data set already has a column {weight_column!r}: remove it, or name another "
                "weight_column"
            )
        if not isinstance(dataset, DatasetDict):
            balanced = self._balance_split(dataset, given, num_proc, batch_size)
            return self._weighted(balanced, weight_column)
        if "train" not in dataset:
            raise ValueError(
                f"there is no split 'train' among {list(dataset)}: only training rows may be "
                "oversampled; call balance(dataset[split]) on the split that you mean"
            )
        others = [split for split in dataset if split != "train"]
        logger.info("balancing the split 'train' only; %s stay as they are", others)
        train = self._balance_split(dataset["train"], given, num_proc, batch_size)
        parts = {}
        for split, rows in dataset.items():
            if split == "train":
                parts[split] = self._weighted(train, weight_column)
            else:
                rows = self.with_provenance(rows)
                parts[split] = with_unit_weights(rows, weight_column) if weight_column else rows
        return DatasetDict(parts)

    def _check_weight_column(self, weight_column: str | None) -> None:
        """Raise where a method's rows can have no weights."""

    def _weighted(self, balanced: Dataset, weight_column: str | None) -> Dataset:
        from hf_oversample.data.row_weights import with_prior_weights

        if not weight_column:
            return balanced
        return with_prior_weights(balanced, self.label_column_, weight_column)

    def _balance_split(
        self, dataset: Dataset, given: Mapping[str, str], num_proc: int | None, batch_size: int
    ) -> Dataset:
        """Fit at need; the rows of one split, followed by their children.

        Args:
            given: the columns that the caller named, as arguments of ``fit``.
        """
        from datasets import concatenate_datasets

        fit_on: dict[str, str] = {}
        difference: str | None = "not fitted"
        if self.plan_ is not None:
            fitted = {name: getattr(self, f"{name}_") for name in _COLUMN_ARGUMENTS}
            fit_on = {name: column for name, column in fitted.items() if column is not None}
            difference = self.difference(dataset)
            if any(fit_on.get(name) != column for name, column in given.items()):
                difference = f"other columns were given: {dict(given)}"
            if difference is not None:
                logger.warning("fitting again on this data set: %s", difference)
        if difference is not None:
            if {"text_column", "embedding_column"} & set(given):  # one replaces the other
                fit_on = {name: fit_on[name] for name in fit_on if name == "label_column"}
            self.fit(dataset, **{**fit_on, **given})
        made = self.all_children(dataset, num_proc, batch_size)
        real = self.with_provenance(dataset).with_format(None)
        return in_format_of(concatenate_datasets([real, made]), dataset)

    def with_provenance(self, dataset: Dataset) -> Dataset:
        """The data set with ``origin`` "real" and ``parent`` −1, added without rewriting it."""
        from datasets.fingerprint import Hasher

        features = self.output_features(dataset.features)
        for name, value in (("origin", REAL), ("parent", -1)):
            column = np.full(len(dataset), value, dtype=np.int64)
            # Given, because the default would hash the whole column.
            fingerprint = Hasher.hash([dataset._fingerprint, "provenance", name])
            dataset = dataset.add_column(
                name, column, new_fingerprint=fingerprint, feature=features[name]
            )
        return dataset


class ChildrenOnly:
    """A map function over parents alone: their children, without the parents.

    Args:
        oversampler: fitted.
        parents: int64, the mapped rows' numbers in the fitted data set.
    """

    def __init__(self, oversampler: GrowingBatches, parents: IntArray) -> None:
        self.oversampler, self.parents = oversampler, parents

    def __call__(self, batch: LazyBatch, indices: Sequence[int]) -> pa.Table:
        """The children, as an Arrow table."""
        rows, columns = self.oversampler.check_batch(batch, self.parents[indices])
        return self.oversampler.children_table(batch.pa_table, columns, rows)[0]
