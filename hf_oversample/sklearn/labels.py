"""Labels, counts and provenance between scikit-learn's arrays and the oversamplers."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_random_state

from hf_oversample.oversamplers.plan import ORIGINS, REAL

_SEED_LIMIT = 2**31 - 1


def final_counts(added: Mapping[Any, int], labels: npt.NDArray[Any]) -> dict[Any, int]:
    """Rows that classes are to have, where `added` says how many are new, as imbalanced-learn."""
    new = {plain_labels(np.asarray([value])).item(): int(number) for value, number in added.items()}
    return {value: int((labels == value).sum()) + number for value, number in new.items()}


def provenance(
    rows: int, origin: npt.NDArray[Any], parent: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """`origin_` and `parent_` of real rows followed by children."""
    origins = np.asarray(ORIGINS)[np.concatenate([np.full(rows, REAL), origin])]
    return origins, np.concatenate([np.full(rows, -1, dtype=np.int64), parent])


def joined_labels(
    y: npt.NDArray[Any], labels: npt.NDArray[Any], made: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    """`y` followed by the children's labels, as the classes' own values, whatever their type."""
    classes, first = np.unique(labels, return_index=True)
    return np.concatenate([y, y[first[np.searchsorted(classes, made)]]])


def plain_labels(y: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Labels as the integers or strings that a data set's column would hold."""
    # A float is an integer here: imbalanced-learn refuses continuous targets.
    return y.astype(np.int64) if y.dtype.kind in "iubf" else y.astype(str)


def drawn_seed(random_state: Any) -> int:
    """The seed that a `random_state` of scikit-learn's kind stands for."""
    if isinstance(random_state, numbers.Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(_SEED_LIMIT))
