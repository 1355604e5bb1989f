"""How many rows each class is to get, and which rows they are made from.

``sampling_strategy`` has the meaning that users of imbalanced-learn know, for over-sampling.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from hf_oversample.numeric import noise

SamplingStrategy = str | float | Mapping[int | str, int] | Callable[..., Mapping[int | str, int]]

STRATEGY_NAMES = ("auto", "minority", "not minority", "not majority", "all")
_REMEDY = (
    f"give one of {', '.join(map(repr, STRATEGY_NAMES))}, a float in (0, 1] (two classes only), "
    "a dict {class: final count}, or a callable that returns such a dict"
)
# A million million: nothing holds them, and NumPy's integers end not far above.
_MOST_ROWS = 2**40
_SHOWN_CLASSES = 20


def class_counts(
    labels: npt.ArrayLike,
    num_classes: int | None = None,
    names: Sequence[str] | None = None,
) -> dict[int, int]:
    """Count the rows of each class.

    Args:
        labels: integer class labels, shape [n].
        num_classes: how many classes there are; default: as many as ``names``, else only the
            classes that occur are returned.
        names: class names by label, used for ``num_classes`` and in error messages.

    Returns:
        {label: rows}, by ascending label. Classes without rows are in it (with 0) only where
        ``num_classes`` or ``names`` says that they exist.

    Raises:
        ValueError: labels that are not one-dimensional integers, or outside 0 … num_classes − 1.
    """
    array = np.asarray(labels)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError(
            f"labels must be a one-dimensional array of integers, got shape {array.shape} and "
            f"dtype {array.dtype}"
        )
    if num_classes is None and names is not None:
        num_classes = len(names)
    present, counts = np.unique(array.astype(np.int64), return_counts=True)
    found = {int(label): int(count) for label, count in zip(present, counts, strict=True)}
    if num_classes is None:
        return found
    outside = [label for label in found if not 0 <= label < num_classes]
    if outside:
        row = int(np.flatnonzero(array == outside[0])[0])
        known = f"0 … {num_classes - 1}"
        if names is not None:
            known = f"[{_some([repr(name) for name in names])}]"
        raise ValueError(
            f"label {outside[0]} in row {row} is outside the {num_classes} classes "
            f"{known}: "
            "correct the row or drop it"
        )
    return {label: found.get(label, 0) for label in range(num_classes)}


def children_per_class(
    sampling_strategy: SamplingStrategy,
    counts: Mapping[int, int],
    names: Sequence[str] | None = None,
    values: Sequence[int | str] | None = None,
) -> dict[int, int]:
    """How many rows to add to each class.

    Args:
        sampling_strategy: "auto" or "not majority" (every class but the largest grows to the
            largest), "minority" (only the smallest does), "not minority" (all but the smallest),
            "all"; a float r in (0, 1] for two classes (minority rows = int(r × majority rows));
            a dict of *final* counts by label or class name, or a callable that gets all labels
            (an array, sorted) and returns such a dict. Classes missing from a dict keep their
            rows. Of equally large (small) classes the lowest label is the largest (smallest).
        counts: rows present, by label; see :func:`class_counts`. Classes without rows are left
            alone: nothing can be made from nothing.
        names: class names by label, for dicts that use them and for messages.
        values: what the label column holds for each label, where that is not the label itself;
            dicts and callables then speak of values.

    Returns:
        {label: rows to add}, for every class that has rows, by ascending label.

    Raises:
        ValueError: one class only; an unknown strategy or class; a float for more than two
            classes, outside (0, 1], or that would remove rows; counts below those present.
        TypeError: a strategy of another type.
    """
    present = {label: counts[label] for label in sorted(counts) if counts[label] > 0}
    if len(present) < 2:
        raise ValueError(
            f"found {len(present)} class(es) with rows ({_shown(present, names)}), need at least "
            "2: there is nothing to balance; check the label column and any filter before"
        )
    if callable(sampling_strategy):
        shown = [label if values is None else values[label] for label in present]
        sampling_strategy = sampling_strategy(np.repeat(shown, list(present.values())))
        if not isinstance(sampling_strategy, Mapping):
            raise TypeError(
                "a callable sampling_strategy must return a dict {class: final count}, got "
                f"{type(sampling_strategy).__name__}"
            )
    if isinstance(sampling_strategy, str):
        return _from_name(sampling_strategy, present)
    if isinstance(sampling_strategy, Mapping):
        return _from_final_counts(sampling_strategy, present, names, values)
    if isinstance(sampling_strategy, numbers.Real) and not isinstance(sampling_strategy, bool):
        return _from_ratio(sampling_strategy, present, names)
    raise TypeError(
        f"sampling_strategy is {_short(sampling_strategy)}, a {type(sampling_strategy).__name__}: "
        f"{_REMEDY}"
    )


def _from_name(strategy: str, present: dict[int, int]) -> dict[int, int]:
    largest = max(present, key=lambda label: present[label])  # the first of equals
    smallest = min(present, key=lambda label: present[label])
    if strategy not in STRATEGY_NAMES:
        raise ValueError(f"sampling_strategy {_short(strategy)} is unknown: {_REMEDY}")
    targets = {
        "minority": {smallest},
        "not minority": set(present) - {smallest},
        "all": set(present),
    }.get(strategy, set(present) - {largest})
    return {
        label: present[largest] - count if label in targets else 0
        for label, count in present.items()
    }


def _from_ratio(asked: Any, present: dict[int, int], names: Sequence[str] | None) -> dict[int, int]:
    if not 0 < asked <= 1:  # also false for NaN; before `float`, which not every integer becomes
        raise ValueError(f"sampling_strategy={_short(asked)} is outside (0, 1]: {_REMEDY}")
    ratio = float(asked)
    if len(present) != 2:
        raise ValueError(
            f"sampling_strategy={ratio} is a ratio of two classes, but {len(present)} classes "
            f"have rows ({_shown(present, names)}): give a dict of final counts or a name"
        )
    largest = max(present, key=lambda label: present[label])
    wanted = int(present[largest] * ratio)
    added = {label: 0 if label == largest else wanted - n for label, n in present.items()}
    if min(added.values()) < 0:
        raise ValueError(
            f"sampling_strategy={ratio} asks for {wanted} minority rows, below those present "
            f"({_shown(present, names)}): over-sampling removes no rows; give a larger ratio"
        )
    return added


def _from_final_counts(
    asked: Mapping[int | str, int],
    present: dict[int, int],
    names: Sequence[str] | None,
    values: Sequence[int | str] | None,
) -> dict[int, int]:
    final = dict(present)
    seen: set[int] = set()
    labels = _labels_by_key(names, values)
    for key, count in asked.items():
        label = _label_of(key, present, names, values, labels)
        if label in seen:
            raise ValueError(f"sampling_strategy names class {key!r} twice, by name and by label")
        seen.add(label)
        if isinstance(count, bool) or not isinstance(count, numbers.Integral):
            raise ValueError(
                f"sampling_strategy[{key!r}] is {_short(count)}: final counts must be integers"
            )
        if count > _MOST_ROWS:
            raise ValueError(
                f"sampling_strategy[{key!r}] asks for {_short(count)} rows, more than can be made: "
                f"give a final count of at most {_MOST_ROWS}"
            )
        if count < present[label]:
            raise ValueError(
                f"sampling_strategy[{key!r}] asks for {_short(count)} rows, but {present[label]} "
                "are present: over-sampling removes no rows; counts are final counts, not counts "
                "to add"
            )
        final[label] = int(count)
    return {label: final[label] - present[label] for label in present}


def _labels_by_key(
    names: Sequence[str] | None, values: Sequence[int | str] | None
) -> dict[object, int]:
    """The label of each value and name; of equal ones the first, of a value before a name."""
    keys = [*enumerate(values or ()), *enumerate(names or ())]
    return {key: label for label, key in reversed(keys)}


def _label_of(
    key: object,
    counts: Mapping[int, int],
    names: Sequence[str] | None,
    values: Sequence[int | str] | None,
    labels: Mapping[object, int],
) -> int:
    """The integer label for a label (or value of the label column) or a class name.

    Raises:
        ValueError: no such class, or a class without rows.
    """
    label = labels.get(key)
    is_label = values is None and isinstance(key, numbers.Integral) and not isinstance(key, bool)
    if label is None and is_label:
        label = int(key)  # type: ignore[call-overload]  # it is integral
    if label is not None and counts.get(label, 0) > 0:
        return label
    raise ValueError(
        f"class {_short(key)} has no rows; the classes that have are {_shown(counts, names)}"
    )


def spread(total: int, rows: npt.ArrayLike, seed: int, *counters: int) -> npt.NDArray[np.int64]:
    """How many of ``total`` children each row gets: as evenly as can be.

    Every row gets ``total // n``; the remainder goes, one each, to the rows with the lowest
    seeded noise. A row's noise depends on (seed, counters, row) alone, not on the other rows.

    Args:
        total: children to hand out, at least 0.
        rows: row numbers, int array of shape [n], n ≥ 1 unless total is 0.
        seed, counters: address of the noise.

    Returns:
        int64 array [n], in the order of ``rows``, summing to ``total``.
    """
    numbers_of_rows = np.asarray(rows, dtype=np.int64)
    if total < 0:
        raise ValueError(f"total must be at least 0, got {total}")
    if total and not len(numbers_of_rows):
        raise ValueError(f"cannot make {total} children from no rows")
    if not total:
        return np.zeros(len(numbers_of_rows), dtype=np.int64)
    each, remainder = divmod(total, len(numbers_of_rows))
    shares = np.full(len(numbers_of_rows), each, dtype=np.int64)
    draws = noise.uniform(seed, noise.stream("spread"), *counters, numbers_of_rows)
    shares[np.lexsort((numbers_of_rows, draws))[:remainder]] += 1
    return shares


def spread_by_class(
    children: Mapping[int, int], labels: npt.NDArray[np.integer], seed: int
) -> npt.NDArray[np.int64]:
    """As `spread`, of every class over its own rows, in time that does not grow with the classes.

    Args:
        children: by class code, how many to hand out.
        labels: the class code of every row, [n].
        seed: address of the noise.

    Returns:
        int64 [n], how many children each row gets.
    """
    codes = np.asarray(labels, dtype=np.int64)
    rows = np.bincount(codes, minlength=max(children, default=0) + 1)
    totals = np.zeros(len(rows), dtype=np.int64)
    for code, total in children.items():
        totals[code] = total
    without = np.flatnonzero((totals > 0) & (rows == 0))
    if len(without):
        raise ValueError(f"cannot make {totals[without[0]]} children from no rows")
    each, remainders = np.divmod(totals, np.maximum(rows, 1))
    numbers_of_rows = np.arange(len(codes))
    draws = noise.uniform(seed, noise.stream("spread"), numbers_of_rows)
    order = np.lexsort((numbers_of_rows, draws, codes))
    ranks = np.empty(len(codes), dtype=np.int64)
    ranks[order] = numbers_of_rows - np.repeat(np.cumsum(rows) - rows, rows)
    return each[codes] + (ranks < remainders[codes])


def _shown(counts: Mapping[int, int], names: Sequence[str] | None) -> str:
    present = {label: count for label, count in counts.items() if count > 0}
    return _some(
        [
            f"{label if names is None else repr(names[label])}: {count} rows"
            for label, count in islice(present.items(), _SHOWN_CLASSES)
        ],
        len(present),
    )


def _some(shown: Sequence[object], total: int | None = None) -> str:
    """The first of many classes, and how many more there are."""
    more = (len(shown) if total is None else total) - _SHOWN_CLASSES
    text = ", ".join(map(str, shown[:_SHOWN_CLASSES]))
    return f"{text} and {more} more" if more > 0 else text


def _short(value: object) -> str:
    """A value in a message; Python writes no integers of thousands of digits."""
    try:
        text = repr(value)
    except ValueError:
        return "an integer of thousands of digits"
    return text if len(text) <= 200 else f"{text[:200]}…"
