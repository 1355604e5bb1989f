"""Parts of multi-label rows in which every label keeps its share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from datasets import Dataset

from hf_oversample.data.label_sets import read_label_sets
from hf_oversample.data.reading import arrow_column
from hf_oversample.numeric import noise
from hf_oversample.text.words import normalized


def iterative_parts(
    matrix: npt.NDArray[np.bool_], shares: Sequence[float], seed: int = 0
) -> npt.NDArray[np.int64]:
    """Iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011, algorithm 1): labels are
    handed out one at a time, the one with the fewest rows left first, each row to the part that
    lacks most rows of the label, then to the part that lacks most rows, then by chance.

    Beyond the paper, a part whose share of a label is below one row lacks one whole row of it, at
    the expense of the largest part, where the label has as many rows as there are parts.

    Args:
        matrix: bool [n, labels].
        shares: of the parts, above 0; taken relative to their sum.
        seed: of what chance decides.

    Returns:
        int64 [n], the part of each row.

    Raises:
        ValueError: no shares, or one that is not positive.
    """
    wanted = np.asarray(shares, dtype=np.float64)
    if wanted.ndim != 1 or not len(wanted) or not (wanted > 0).all():
        raise ValueError(f"shares={list(shares)} must be positive, one a part")
    has = np.asarray(matrix, dtype=bool)
    wanted = wanted / wanted.sum()
    room = len(has) * wanted  # rows that each part lacks
    label_room = np.stack([_label_shares(rows, wanted) for rows in has.sum(axis=0)])
    part = np.full(len(has), -1, dtype=np.int64)
    draws = noise.uniform(seed, noise.stream("iterative"), np.arange(len(has))[:, None],
                          np.arange(len(wanted)))  # fmt: skip
    left = has.sum(axis=0)

    def give(row: int, lack: npt.NDArray[np.float64]) -> None:
        # by what each part lacks of the label, then of rows, then by chance
        best = int(np.lexsort((draws[row], room, lack))[-1])
        part[row] = best
        room[best] -= 1
        label_room[has[row], best] -= 1
        left[has[row]] -= 1

    while left.any():
        label = int(np.argmin(np.where(left > 0, left, np.iinfo(np.int64).max)))
        for row in np.flatnonzero(has[:, label] & (part < 0)).tolist():
            give(row, label_room[label])
    for row in np.flatnonzero(part < 0).tolist():  # without labels
        give(row, room)
    return part


def _label_shares(rows: int, wanted: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Rows of a label that each part is to have."""
    shares = rows * wanted
    if rows >= len(wanted):
        lifted = np.maximum(shares, 1.0)
        while (excess := lifted.sum() - rows) > 1e-9:
            above = lifted - 1.0
            most = int(np.argmax(above))
            lifted[most] -= min(excess, above[most])
        return lifted
    return shares


def iterative_split(
    dataset: Dataset,
    label_columns: str | Sequence[str] = "labels",
    text_column: str | None = "text",
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
) -> list[Dataset]:
    """Parts of multi-label rows with the same share of each label, where no text is in two of them.

    Texts that differ in case or spaces only count as the same: the first row of a text is handed
    out (:func:`iterative_parts`), and its repeats follow it. Rows keep their order.

    Args:
        dataset: the rows.
        label_columns: as for :func:`~hf_oversample.data.label_sets.read_label_sets`.
        text_column: of the texts; None: rows are not held together.
        fractions: share of each part, relative to their sum.
        seed: of what chance decides.

    Raises:
        ValueError: as :func:`~hf_oversample.data.label_sets.read_label_sets` and
            :func:`iterative_parts`.
    """
    matrix = read_label_sets(dataset, label_columns).matrix
    groups: defaultdict[object, list[int]] = defaultdict(list)
    keys: Sequence[object] = range(len(dataset))
    if text_column is not None:
        texts = arrow_column(dataset, text_column).to_pylist()
        keys = [row if text is None else normalized(text) for row, text in enumerate(texts)]
    for row, key in enumerate(keys):
        groups[key].append(row)
    first = [rows[0] for rows in groups.values()]
    own = iterative_parts(matrix[first], fractions, seed)
    part = np.empty(len(dataset), dtype=np.int64)
    for rows, number in zip(groups.values(), own.tolist(), strict=True):
        part[rows] = number
    return [dataset.select(np.flatnonzero(part == number)) for number in range(len(fractions))]
