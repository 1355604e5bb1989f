"""Whole data sets: the children of a fitted oversampler, and a balanced data set.

The real rows are never rewritten: the children are made by a map over their parents alone, and
joined to the rows as a second table.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from datasets import Dataset, concatenate_datasets
from datasets.fingerprint import Hasher
from datasets.formatting.formatting import LazyBatch

from hf_oversample.plan import REAL, IntArray

if TYPE_CHECKING:
    from hf_oversample.oversamplers.base import Oversampler

logger = logging.getLogger(__name__)

_COLUMN_ARGUMENTS = ("label_column", "text_column", "embedding_column")


class ChildrenOnly:
    """A map function over parents alone: their children, without the parents.

    Args:
        oversampler: fitted.
        parents: int64, the mapped rows' numbers in the fitted data set.
    """

    def __init__(self, oversampler: Oversampler, parents: IntArray) -> None:
        self.oversampler, self.parents = oversampler, parents

    def __call__(self, batch: LazyBatch, indices: Sequence[int]) -> pa.Table:
        """The children, as an Arrow table."""
        rows, columns = self.oversampler.check_batch(batch, self.parents[indices])
        return self.oversampler.children_table(batch.pa_table, columns, rows)[0]


def children(
    oversampler: Oversampler, dataset: Dataset, *, num_proc: int | None, batch_size: int
) -> Dataset:
    """See :meth:`Oversampler.children`."""
    oversampler.fitted_plan()
    difference = oversampler.difference(dataset)
    if difference is not None:
        raise ValueError(
            f"this {type(oversampler).__name__} was fitted on another data set: {difference}; fit "
            "it on this one"
        )
    return oversampler.all_children(dataset, num_proc, batch_size)


def map_children(
    oversampler: Oversampler, dataset: Dataset, *, num_proc: int | None, batch_size: int
) -> Dataset:
    """All children, by a map over their parents."""
    parents = np.unique(oversampler.fitted_plan().parent)
    features = oversampler.output_features(dataset.features)
    if not len(parents):
        return Dataset.from_dict({name: [] for name in features}, features=features)
    return (
        dataset.with_format(None)
        .select(parents)
        .map(
            ChildrenOnly(oversampler, parents),
            batched=True,
            with_indices=True,
            batch_size=batch_size,
            num_proc=num_proc,
            features=features,
            desc=type(oversampler).__name__,
        )
    )


def balance(
    oversampler: Oversampler,
    dataset: Dataset,
    given: Mapping[str, str],
    num_proc: int | None,
    batch_size: int,
) -> Dataset:
    """Fit at need; the rows of one split, followed by their children.

    Args:
        given: the columns that the caller named, as arguments of ``fit``.
    """
    fit_on: dict[str, str] = {}
    difference: str | None = "not fitted"
    if oversampler.plan_ is not None:
        fitted = {name: getattr(oversampler, f"{name}_") for name in _COLUMN_ARGUMENTS}
        fit_on = {name: column for name, column in fitted.items() if column is not None}
        difference = oversampler.difference(dataset)
        if any(fit_on.get(name) != column for name, column in given.items()):
            difference = f"other columns were given: {dict(given)}"
        if difference is not None:
            logger.warning("fitting again on this data set: %s", difference)
    if difference is not None:
        if {"text_column", "embedding_column"} & set(given):  # one replaces the other
            fit_on = {name: fit_on[name] for name in fit_on if name == "label_column"}
        oversampler.fit(dataset, **{**fit_on, **given})
    made = oversampler.all_children(dataset, num_proc, batch_size)
    real = with_provenance(oversampler, dataset).with_format(None)
    balanced = concatenate_datasets([real, made])
    if dataset.format["type"] is None:
        return balanced
    return balanced.with_format(dataset.format["type"], **dataset.format["format_kwargs"])


def with_provenance(oversampler: Oversampler, dataset: Dataset) -> Dataset:
    """The data set with ``origin`` "real" and ``parent`` −1, added without rewriting it."""
    features = oversampler.output_features(dataset.features)
    for name, value in (("origin", REAL), ("parent", -1)):
        column = np.full(len(dataset), value, dtype=np.int64)
        # Given, because the default would hash the whole column.
        fingerprint = Hasher.hash([dataset._fingerprint, "provenance", name])
        dataset = dataset.add_column(
            name, column, new_fingerprint=fingerprint, feature=features[name]
        )
    return dataset
