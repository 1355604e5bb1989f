"""Parts of a labelled text data set: thinned out, split, without repeated texts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from datasets import ClassLabel, Dataset

from hf_oversample.data.reading import arrow_column, check_present
from hf_oversample.text.words import normalized


def make_imbalanced(
    dataset: Dataset,
    label_column: str,
    ratio: float,
    minority: int | str | None = None,
    seed: int = 0,
) -> Dataset:
    """Drops minority rows by chance until there are ``ratio`` × as many as majority rows.

    Args:
        dataset: its labels are a ``ClassLabel`` (`prepare_labels`); rows keep their order.
        label_column: name of the label column.
        ratio: minority rows per row of the majority, the largest other class, in (0, 1].
        minority: the class to thin out, by id or name. Default: the smallest, and of equally small
            ones the last.
        seed: of the choice of rows.

    Raises:
        ValueError: the ratio is outside (0, 1], the class is unknown, it has fewer rows than asked
            for, or fewer than 2 would be left.
    """
    if not 0 < ratio <= 1:
        raise ValueError(f"ratio={ratio} must be above 0 and at most 1 (0.01: 1 to 100)")
    names = _class_names(dataset, label_column)
    labels = np.asarray(arrow_column(dataset, label_column))
    counts = np.bincount(labels, minlength=len(names))
    if np.count_nonzero(counts) < 2:
        raise ValueError(f"column {label_column!r} has rows of one class only: {names}, {counts}")
    if minority is None:
        present = np.flatnonzero(counts)
        chosen = int(present[::-1][np.argmin(counts[present[::-1]])])
    elif isinstance(minority, str) and minority in names:
        chosen = names.index(minority)
    elif not isinstance(minority, str) and 0 <= minority < len(names):
        chosen = minority
    else:
        raise ValueError(f"minority={minority!r} is no class of column {label_column!r}: {names}")
    majority_rows = int(np.delete(counts, chosen).max())
    wanted = round(ratio * majority_rows)
    if wanted < 2 or wanted > counts[chosen]:
        raise ValueError(
            f"ratio={ratio} asks for {wanted} rows of class {names[chosen]!r} beside "
            f"{majority_rows} of the largest other class; it has {counts[chosen]}, and at least 2 "
            "must be left: choose another ratio"
        )
    rows = np.flatnonzero(labels == chosen)
    kept = np.random.default_rng(seed).choice(rows, size=wanted, replace=False)
    return dataset.select(np.sort(np.concatenate([np.flatnonzero(labels != chosen), kept])))


def stratified_split(
    dataset: Dataset,
    label_column: str = "label",
    text_column: str = "text",
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
) -> list[Dataset]:
    """Parts with the same share of each class, where no text is in two of them.

    Texts that differ in case or spaces only count as the same. A class has at least one row in each
    part if it has as many different texts as there are parts. Sizes are exact but for that, and
    where many rows repeat one text. Rows keep their order.

    Args:
        dataset: its labels are a ``ClassLabel``.
        label_column: name of the label column.
        text_column: name of the text column.
        fractions: share of each part, or, if all are integers, its number of rows. What they leave
            over is in no part.
        seed: of the choice of rows.

    Raises:
        ValueError: the fractions are not positive or ask for more than there is.
    """
    sizes = _part_sizes(fractions, len(dataset))
    if not sizes[-1]:
        sizes = sizes[:-1]  # nothing is left over
    names = _class_names(dataset, label_column)
    labels = np.asarray(arrow_column(dataset, label_column))
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for row, text in enumerate(arrow_column(dataset, text_column).to_pylist()):
        groups[normalized(text)].append(row)

    generator = np.random.default_rng(seed)
    quotas = _class_quotas(sizes, np.bincount(labels, minlength=len(names)))
    part_of = np.empty(len(dataset), dtype=np.int64)
    for label in range(len(names)):
        own = [rows for rows in groups.values() if labels[rows[0]] == label]
        left = quotas[label].copy()
        if len(own) >= len(fractions):
            # A class too rare for its share still gets a row in each part that is asked for.
            wanted = np.flatnonzero(sizes[: len(fractions)] > 0)
            for part in wanted[left[wanted] == 0]:
                left[int(np.argmax(left))] -= 1
                left[part] += 1
        repeated = sorted((rows for rows in own if len(rows) > 1), key=len, reverse=True)
        for rows in repeated:
            room = np.where(left >= len(rows), left, 0).astype(float)
            part = (
                int(generator.choice(len(left), p=room / room.sum()))
                if room.any()
                else int(np.argmax(left))
            )
            part_of[rows] = part
            left[part] -= len(rows)
        single = np.array([rows[0] for rows in own if len(rows) == 1], dtype=np.int64)
        order = np.repeat(np.arange(len(left)), np.maximum(left, 0))[: len(single)]
        order = np.concatenate([order, np.full(len(single) - len(order), np.argmax(sizes))])
        part_of[generator.permutation(single)] = order
    return [dataset.select(np.flatnonzero(part_of == part)) for part in range(len(fractions))]


def drop_duplicate_texts(dataset: Dataset, text_column: str = "text") -> tuple[Dataset, int]:
    """The first row of each text, and how many rows were dropped.

    Texts that differ in case or spaces only count as the same.
    """
    first: dict[str, int] = {}
    for row, text in enumerate(arrow_column(dataset, text_column).to_pylist()):
        first.setdefault(normalized(text), row)
    return dataset.select(list(first.values())), len(dataset) - len(first)


def _part_sizes(fractions: Sequence[float], rows: int) -> np.ndarray:
    """Rows of each part, and last those of none."""
    shares = np.asarray(fractions, dtype=float)
    absolute = all(isinstance(value, (int, np.integer)) for value in fractions)
    if not absolute:
        shares = shares * rows
    if len(shares) < 1 or (shares <= 0).any() or shares.sum() > rows + 1e-6:
        raise ValueError(
            f"fractions={tuple(fractions)} must be above 0 and sum to at most "
            f"{rows if absolute else 1}: there are {rows} rows"
        )
    return _rounded(np.append(shares, max(rows - shares.sum(), 0.0)))


def _rounded(values: np.ndarray) -> np.ndarray:
    """Integers that are next to these values and have their (integer) sum."""
    floors = np.floor(values + 1e-9).astype(np.int64)
    missing = round(float(values.sum())) - int(floors.sum())
    floors[np.argsort(floors - values, kind="stable")[:missing]] += 1
    return floors


def _class_quotas(sizes: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Rows of class (first axis) in each part; both margins are exact."""
    quotas = np.zeros((len(counts), len(sizes)), dtype=np.int64)
    left, rows = sizes.astype(float), counts.sum()
    # Classes share out what is left, the largest last: what rounding shifts matters least there.
    for label in np.argsort(counts, kind="stable"):
        if counts[label]:
            quotas[label] = _rounded(left * counts[label] / rows)
            left = left - quotas[label]
            rows = rows - counts[label]
    return quotas


def _class_names(dataset: Dataset, label_column: str) -> list[str]:
    check_present(dataset, label_column)
    feature = dataset.features[label_column]
    if not isinstance(feature, ClassLabel):
        raise ValueError(
            f"column {label_column!r} is {feature}, not a ClassLabel: apply prepare_labels first"
        )
    return list(feature.names)
