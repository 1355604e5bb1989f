"""The rows of a comparison for rare labels: folds in which every label keeps its share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hf_oversample.comparison.problem import (
    VALIDATION_SHARE,
    Problem,
    Split,
    first_of_each,
    pick,
)
from hf_oversample.data.label_splitting import iterative_parts
from hf_oversample.data.labeled_texts import Texts
from hf_oversample.numeric import noise
from hf_oversample.text.checks import checked_texts
from hf_oversample.text.words import Language, guess_language

FEWEST = 3
"""Rows of a label beyond one a fold, so that training, validation and test parts have some."""


def multi_label_folds(
    texts: Sequence[str],
    labels: npt.ArrayLike,
    label_names: Sequence[str],
    *,
    folds: int = 5,
    repeats: int = 1,
    validation_share: float = VALIDATION_SHARE,
    language: Language | None = None,
    name: str = "data",
    seed: int = 0,
) -> Problem:
    """Repeated folds of multi-label texts, each text once, by iterative stratification.

    Args:
        texts: of all rows.
        labels: [n, labels], 0 or 1.
        label_names: in the order of the columns.
        folds: parts; each is the test part once a repeat.
        repeats: shuffles.
        validation_share: of the rows outside the test part: what chooses C and thresholds.
        language: default: guessed from the texts.
        name: for people.
        seed: of the shuffles; each fold's own seed is this and its number.

    Raises:
        ValueError: sizes that cannot work, shapes that do not fit, a text that is missing, or a
            label with too few different texts, or too few without it, for the folds.
    """
    for setting, number, fewest in (("folds", folds, 2), ("repeats", repeats, 1)):
        if number < fewest:
            raise ValueError(f"{setting}={number} must be at least {fewest}")
    if not 0 < validation_share < 1:
        raise ValueError(f"validation_share={validation_share} must be between 0 and 1")
    matrix, written = np.asarray(labels), checked_texts(texts)
    if matrix.shape != (len(written), len(label_names)) or not np.isin(matrix, (0, 1)).all():
        raise ValueError(
            f"labels have shape {matrix.shape}: 0 or 1 for each of {len(written)} texts and "
            f"{len(label_names)} names is needed; read them with "
            "hf_oversample.data.label_sets.read_label_sets"
        )
    kept, removed = first_of_each(Texts(written, matrix.astype(bool)))
    counts = kept.labels.sum(axis=0)
    for label, having in zip(label_names, counts.tolist(), strict=True):
        if min(having, len(kept) - having) < folds + FEWEST:
            raise ValueError(
                f"label {label!r} is on {having} of {len(kept)} different texts; {folds} folds "
                f"need at least {folds + FEWEST} with it and as many without it, so that every "
                "part has some: ask for fewer folds, or leave the label out"
            )
    splits = []
    for number in range(folds * repeats):
        repeat, fold = divmod(number, folds)
        shuffled = int(noise.hash_counters(seed, noise.stream("folds"), repeat) >> np.uint64(1))
        part = iterative_parts(kept.labels, [1.0] * folds, shuffled)
        outside, test = np.flatnonzero(part != fold), np.flatnonzero(part == fold)
        held = iterative_parts(
            kept.labels[outside], [1 - validation_share, validation_share], seed + number
        )
        rows = (outside[held == 0], outside[held == 1], test)
        _check_parts(kept.labels, rows, label_names, f"repeat{repeat}-fold{fold}")
        parts = [pick(kept, own) for own in rows]
        splits.append(Split(f"repeat{repeat}-fold{fold}", seed + number, *parts))
    return Problem(
        name,
        list(label_names),
        language or guess_language(kept.texts),
        int(np.argmin(counts)),
        splits,
        overlap=1 / ((folds - 1) * (1 - validation_share)),
        removed=removed,
        multi_label=True,
    )


def _check_parts(
    labels: np.ndarray, parts: Sequence[np.ndarray], names: Sequence[str], fold: str
) -> None:
    for name, rows in zip(("training", "validation", "test"), parts, strict=True):
        own = labels[rows]
        wrong = np.flatnonzero(~own.any(axis=0) | own.all(axis=0))
        if len(wrong):
            raise ValueError(
                f"the {name} part of {fold} has {int(own[:, wrong[0]].sum())} of {len(rows)} rows "
                f"with label {names[wrong[0]]!r}; it needs some with it and some without: ask for "
                "fewer folds, a larger validation_share, or leave the label out"
            )
