"""Rows of each class, counted for a head: by class id, and with an error where a class has none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from datasets import ClassLabel, Dataset

from hf_oversample.data.columns import read_labels
from hf_oversample.data.label_sets import read_label_sets

CountsOf: TypeAlias = "Dataset | Sequence[int] | npt.NDArray[np.integer]"
"""A data set to count in, or the counts."""


def class_ids(
    dataset: Dataset, label_column: str = "label", num_labels: int | None = None
) -> tuple[npt.NDArray[np.int64], list[str]]:
    """The class id of every row, as the head of a classifier numbers them, and the classes' names.

    Args:
        dataset: of labelled rows.
        label_column: a ClassLabel, or integers from 0.
        num_labels: classes of the head; default: those of the ClassLabel, else the largest + 1.

    Returns:
        int64 [n], and [classes] names.

    Raises:
        ValueError: no such column, no rows, a null, labels that are no integers, or one outside of
            the head (its row is named).
    """
    labels = read_labels(dataset, label_column)
    values = np.asarray(labels.values)
    if values.dtype.kind not in "iub":
        raise ValueError(
            f"column {label_column!r} holds {dataset.features[label_column]}: a head numbers its "
            f"classes; encode them with dataset.class_encode_column({label_column!r})"
        )
    ids = values.astype(np.int64)[labels.codes]
    is_named = isinstance(dataset.features[label_column], ClassLabel)
    found = len(labels.names) if is_named else int(ids.max()) + 1
    classes = found if num_labels is None else num_labels
    outside = np.flatnonzero((ids < 0) | (ids >= classes))
    if len(outside):
        raise ValueError(
            f"column {label_column!r} is {ids[outside[0]]} in row {outside[0]} ({len(outside)} "
            f"such rows), outside of a head of {classes} classes (0 … {classes - 1}): give the "
            "model more labels (num_labels), or drop these rows with dataset.filter"
        )
    names = labels.names if is_named else [str(value) for value in range(classes)]
    return ids, names + [str(value) for value in range(len(names), classes)]


def counted(
    source: CountsOf, label_column: str = "label", num_labels: int | None = None
) -> npt.NDArray[np.int64]:
    """Rows of each class: counted in a data set, or checked where they are given.

    Args:
        source: a data set of the training rows, or [classes] counts.
        label_column, num_labels: as for `class_ids`.

    Returns:
        int64 [classes], none 0.

    Raises:
        ValueError: as `class_ids`; or a class has no row.
    """
    if isinstance(source, Dataset):
        ids, names = class_ids(source, label_column, num_labels)
        counts = np.bincount(ids, minlength=len(names)).astype(np.int64)
        where = f"the {len(source)} rows of column {label_column!r}"
    else:
        counts = np.asarray(source)
        if counts.ndim != 1 or counts.dtype.kind not in "iu":
            raise ValueError(
                f"counts={source!r}: give the training data set, or its rows of each class as "
                "whole numbers"
            )
        counts = counts.astype(np.int64)
        if num_labels is not None and len(counts) != num_labels:
            raise ValueError(f"{len(counts)} counts, but num_labels is {num_labels}")
        names, where = [str(k) for k in range(len(counts))], f"counts={counts.tolist()}"
    if len(counts) < 2:
        raise ValueError(f"there is one class in {where}: a loss needs two or more")
    empty = np.flatnonzero(counts < 1)
    if len(empty):
        raise ValueError(
            f"class {names[empty[0]]!r} ({empty[0]}) has no row in {where}, so that its share is "
            "not known: count in all training rows, not in a shard or a process's part of them; "
            "or train a head without that class"
        )
    return counts


def label_counts(
    dataset: Dataset, label_column: str = "labels"
) -> tuple[npt.NDArray[np.int64], int]:
    """Rows that have each label, of rows that have any number of labels.

    Args:
        dataset: of training rows.
        label_column: of lists, in any form of `read_label_sets`; a model is trained on multi-hot
            ones.

    Returns:
        int64 [labels], none 0 and none all rows; and the number of rows.

    Raises:
        ValueError: as `read_label_sets`; or a label that no row has, or that all rows have.
    """
    counts = read_label_sets(dataset, label_column).counts
    check_label_counts(counts, len(dataset), f"column {label_column!r}")
    return counts, len(dataset)


def check_label_counts(counts: npt.NDArray[np.int64], rows: int, where: str) -> None:
    """Raise ValueError where a label is on no row, or on all."""
    wrong = np.flatnonzero((counts < 1) | (counts >= rows))
    if len(wrong):
        raise ValueError(
            f"label {wrong[0]} is on {counts[wrong[0]]} of {rows} rows of {where}: a "
            "label that no row has, or that all have, cannot be learnt; count in all training "
            "rows, not in a shard, or leave the label out"
        )
