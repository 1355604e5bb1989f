"""A weight for each row of a balanced set, so that classifiers learn probabilities at the prior."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from datasets import Features, List, Value
from datasets.fingerprint import Hasher

from hf_oversample.data.class_counts import class_ids
from hf_oversample.data.columns import in_format_of, read_labels, require_columns

if TYPE_CHECKING:
    from datasets import Dataset

WEIGHT_COLUMN = "weight"


def prior_weights(
    codes: npt.NDArray[np.integer], prior: npt.NDArray[np.integer]
) -> npt.NDArray[np.float64]:
    """Weights of resampled rows, so that weighted class totals are in the proportions of a prior:
    a row of class k gets (its share in the prior) / (its share among the rows).

    Args:
        codes: [n] class ids of the rows.
        prior: [classes] rows of each class before resampling.

    Returns:
        [n] float64; their mean is 1.

    Raises:
        ValueError: a class of the prior has no row now, or a class that has rows had none.
    """
    now = np.bincount(codes, minlength=len(prior))
    if len(now) > len(prior) or ((now > 0) != (prior > 0)).any():
        raise ValueError(
            f"the rows have {now.tolist()} of each class, and before resampling there were "
            f"{prior.tolist()}: only a class with rows before and after can be weighted"
        )
    ratio = np.divide(prior / prior.sum(), now / now.sum(), where=now > 0, out=np.zeros(len(now)))
    weights: npt.NDArray[np.float64] = ratio[codes]
    return weights


def with_prior_weights(
    balanced: Dataset, label_column: str = "label", weight_column: str = WEIGHT_COLUMN
) -> Dataset:
    """A balanced set with a column of weights that undo its class ratio: see `prior_weights`. The
    prior is the ratio of its real rows.

    Args:
        balanced: with the column ``origin`` that oversamplers write.
        label_column: of any kind.
        weight_column: the new column, float64.

    Raises:
        ValueError: no such column, a weight column that is there already, or a class without real
            rows.
    """
    require_columns(balanced, label_column, "origin")
    if weight_column in balanced.column_names:
        raise ValueError(
            f"the data set already has a column {weight_column!r}: remove it, or name another one"
        )
    labels = read_labels(balanced, label_column)
    codes = labels.codes.astype(np.int64)
    is_real = np.asarray(balanced.with_format(None)["origin"][:]) == 0
    prior = np.bincount(codes[is_real], minlength=len(labels.names))
    return _added(balanced, weight_column, prior_weights(codes, prior))


def with_unit_weights(dataset: Dataset, weight_column: str = WEIGHT_COLUMN) -> Dataset:
    """Rows that were not resampled, with the same column: every weight is 1."""
    return _added(dataset, weight_column, np.ones(len(dataset)))


def _added(dataset: Dataset, name: str, values: npt.NDArray[np.float64]) -> Dataset:
    fingerprint = Hasher.hash([dataset._fingerprint, "weights", name, values.tobytes()])
    grown = dataset.add_column(name, values, new_fingerprint=fingerprint, feature=Value("float64"))
    return in_format_of(grown.with_format(None), dataset)


def read_weights(dataset: Dataset, weight_column: str = WEIGHT_COLUMN) -> npt.NDArray[np.float64]:
    """The weights of the rows, as scikit-learn's ``sample_weight`` takes them.

    Returns:
        [n] float64.

    Raises:
        ValueError: no such column, or no numbers in it; a weight that is null, NaN, infinite or
            negative (its row is named); or all are 0.
    """
    require_columns(dataset, weight_column)
    column = dataset.with_format("arrow")[weight_column][:]
    kind = column.type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
        raise ValueError(
            f"column {weight_column!r} holds {dataset.features[weight_column]}: weights are "
            "numbers, one a row"
        )
    weights = np.asarray(column.to_numpy(), dtype=np.float64)  # a null becomes NaN
    wrong = np.flatnonzero(~np.isfinite(weights) | (weights < 0))
    if len(wrong):
        raise ValueError(
            f"column {weight_column!r} is {weights[wrong[0]]} in row {wrong[0]} ({len(wrong)} such "
            "rows): weights are finite and not negative"
        )
    if not weights.any():
        raise ValueError(f"column {weight_column!r} is 0 in every row: nothing would be learnt")
    return weights


def with_weighted_labels(
    dataset: Dataset,
    label_column: str = "label",
    weight_column: str = WEIGHT_COLUMN,
    num_labels: int | None = None,
) -> Dataset:
    """Rows whose label holds their weight, as `minority_loss` reads it: [classes] floats, the
    weight in the place of the row's class and 0 elsewhere. The Trainer hands a loss the labels and
    no other column.

    The weights are scaled to a mean of 1. Evaluation rows keep their class ids.

    Args:
        dataset: the training rows.
        label_column: a ClassLabel, or integers from 0.
        weight_column: see `read_weights`; it is left out of the result.
        num_labels: classes of the head; default: those of the column.

    Raises:
        ValueError: as `read_weights` and `hf_oversample.data.class_counts.class_ids`.
    """
    weights = read_weights(dataset, weight_column)
    ids, names = class_ids(dataset, label_column, num_labels)
    table = np.zeros((len(ids), len(names)), dtype=np.float32)
    table[np.arange(len(ids)), ids] = weights / weights.mean()
    return with_label_table(dataset.remove_columns(weight_column), table, label_column)


def with_label_table(
    dataset: Dataset, table: npt.NDArray[np.float32], label_column: str = "label"
) -> Dataset:
    """Rows whose label is a number for each class, as `minority_loss` reads it.

    Args:
        dataset: n rows.
        table: [n, classes] float32.
        label_column: its labels give way to the table's rows.
    """
    classes = table.shape[1]
    kind = List(Value("float32"), length=classes)
    rest = dataset.remove_columns(label_column)
    fingerprint = Hasher.hash([rest._fingerprint, "label table", table.tobytes()])
    values = pa.FixedSizeListArray.from_arrays(pa.array(table.reshape(-1)), classes)
    grown = rest.with_format(None).add_column(
        label_column,
        values,  # type: ignore[arg-type]
        new_fingerprint=fingerprint,
        feature=Features({label_column: kind})[label_column],
    )
    return in_format_of(grown, rest)
