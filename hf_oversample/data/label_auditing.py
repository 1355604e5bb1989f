"""What the labels of rows with any number of them are like, one part of a data set at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hf_oversample.data.auditing import PartAudit
from hf_oversample.data.label_imbalance import (
    imbalance_ratios,
    mean_imbalance_ratio,
    minority_labels,
    scumble_of_rows,
)
from hf_oversample.data.label_sets import LabelSets


@dataclass(frozen=True)
class LabelAudit:
    """
    One label.

    Args:
        rows: that have it.
        share: of all rows, in [0, 1].
        imbalance_ratio: IRLbl, rows of the most frequent label to one of this; None where it has
            no row.
        is_minority: whether that is above MeanIR.
        scumble: mean SCUMBLE of its rows: how much a rare label stands beside frequent ones.
    """

    rows: int
    share: float
    imbalance_ratio: float | None
    is_minority: bool
    scumble: float


@dataclass(frozen=True)
class LabelPair:
    """Two labels that stand together, and the rows that have both."""

    labels: tuple[str, str]
    rows: int


@dataclass(frozen=True)
class LabelSetsAudit:
    """
    The labels of one part.

    Args:
        labels: label → what it is like, in the labels' order.
        without_label: rows that have none.
        label_sets: different sets of labels.
        cardinality: labels a row, on average.
        density: cardinality over the number of labels.
        mean_imbalance_ratio: MeanIR.
        scumble: of the part.
        pairs: labels that stand together, the most frequent first.
    """

    labels: dict[str, LabelAudit]
    without_label: int
    label_sets: int
    cardinality: float
    density: float
    mean_imbalance_ratio: float
    scumble: float
    pairs: list[LabelPair]


@dataclass(frozen=True)
class MultiLabelPartAudit:
    """
    One part of a multi-label data set.

    Args:
        texts: counts of its rows and texts; its classes are sets of labels.
        labels: what its labels are like; None where it has no label column.
    """

    texts: PartAudit
    labels: LabelSetsAudit | None


def audit_label_sets(sets: LabelSets, pairs: int) -> LabelSetsAudit:
    """
    Count and measure labels (`hf_oversample.data.label_imbalance`).

    Args:
        sets: with a label on some row.
        pairs: of labels to tell at most.
    """
    matrix, counts = sets.matrix, sets.counts
    ratios = imbalance_ratios(counts)
    rare = set(minority_labels(counts).tolist())
    concurrence = scumble_of_rows(matrix)
    labels = {
        name: LabelAudit(
            rows=int(counts[k]),
            share=float(counts[k] / len(matrix)),
            imbalance_ratio=float(ratios[k]) if counts[k] else None,
            is_minority=k in rare,
            scumble=float(concurrence[matrix[:, k]].mean()) if counts[k] else 0.0,
        )
        for k, name in enumerate(sets.names)
    }
    together = np.triu(matrix.astype(np.float32).T @ matrix.astype(np.float32), k=1)
    order = np.argsort(-together, axis=None, kind="stable")[:pairs]
    found = [
        (*np.unravel_index(place, together.shape), int(together.flat[place])) for place in order
    ]
    cardinality = float(matrix.sum(axis=1).mean())
    return LabelSetsAudit(
        labels=labels,
        without_label=int((~matrix.any(axis=1)).sum()),
        label_sets=len(np.unique(matrix, axis=0)),
        cardinality=cardinality,
        density=cardinality / matrix.shape[1],
        mean_imbalance_ratio=mean_imbalance_ratio(counts),
        scumble=float(concurrence.mean()),
        pairs=[
            LabelPair((sets.names[int(one)], sets.names[int(other)]), rows)
            for one, other, rows in found
            if rows
        ],
    )
