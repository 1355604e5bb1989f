"""Rows that somebody made, read from a data set: texts, classes, parents, weights, and cost."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import ClassLabel, Dataset

from hf_oversample.comparison.given_rows import GivenRows
from hf_oversample.data.reading import arrow_column, prepare_labels
from hf_oversample.data.row_weights import WEIGHT_COLUMN
from hf_oversample.oversamplers.plan import ORIGINS, REAL

PARENT_COLUMN, ORIGIN_COLUMN = "parent", "origin"
EMPTY, NOT_MADE = "without a text", "real rows"
"""Why rows are none that were made."""
WHOLE_TOKENS = ("tokens", "total_tokens")
PARTS_OF_TOKENS = (
    *("prompt_tokens", "input_tokens"),
    *("completion_tokens", "output_tokens", "written_tokens"),
)
COSTS = {
    "seconds": ("seconds", "latency_seconds", "duration_seconds"),
    "usd": ("usd", "cost_usd"),
    "cost": ("cost",),
}
"""What cost is stated as: measure → columns, or keys in a column of objects."""


def as_given_rows(
    made: Dataset,
    *,
    text_column: str = "text",
    label_column: str = "label",
    parent_column: str | None = None,
    train: Sequence[str] = (),
    strip_labels: bool = False,
    lowercase_labels: bool = False,
) -> GivenRows:
    """Rows that somebody made, for :func:`~hf_oversample.comparison.compare` and
    :func:`~hf_oversample.comparison.judge_rows`.

    Read besides texts and classes, where the columns are there: ``weight``, in what proportions the
    rows of a class are drawn; ``origin``, as this package's balanced sets have it: real rows are
    left out; and what making them took, see `COSTS`, in columns of their own or, as distilabel
    writes it, within one of objects.

    Args:
        made: the rows.
        text_column: of the texts; rows without one are left out.
        label_column: of the classes, in any type that names them.
        parent_column: what each row was made of: the number of a row of ``train``, from 0, or its
            text; a list of them; null or −1 where that is not known. Default: ``parent``, where
            there is such a column.
        train: the texts that row numbers count. Of a set with real rows (``origin``) they count
            these.
        strip_labels, lowercase_labels: as for the training rows.

    Raises:
        ValueError: a column is missing (those present are listed) or of another type, a label is
            null, a parent is no row, or a weight is not a number above 0.
    """
    for what, name in (("text", text_column), ("label", label_column), ("parent", parent_column)):
        if name is not None and name not in made.column_names:
            raise ValueError(
                f"there is no {what} column {name!r}; there are {made.column_names}: name yours "
                f"with {what}_column, on a command line --made_{what}"
            )
    made = made.with_format(None)
    kind = arrow_column(made, text_column).type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise ValueError(
            f"the text column {text_column!r} is of type {kind}, not string; there are "
            f"{made.column_names}"
        )
    labels = prepare_labels(made, label_column, strip=strip_labels, lowercase=lowercase_labels)
    names = labels.features[label_column].names
    classes = [names[code] for code in labels[label_column][:]]
    known: Sequence[str] = train
    everything, left_out = len(made), Counter[str]()
    if ORIGIN_COLUMN in made.column_names:
        is_real = _are_real(made)
        if is_real.any():
            known = made.select(np.flatnonzero(is_real))[text_column][:]
            classes = [name for name, real in zip(classes, is_real, strict=True) if not real]
            made = made.select(np.flatnonzero(~is_real))
            left_out[NOT_MADE] = everything - len(made)
    texts = made[text_column][:]
    kept = [row for row, text in enumerate(texts) if text is not None and text.strip()]
    if len(kept) < len(texts):
        left_out[EMPTY] = len(texts) - len(kept)
    if not kept:
        raise ValueError(f"there are no made rows: of {everything}, {dict(left_out)} were left out")
    made = made.select(kept)
    column = parent_column
    if column is None and PARENT_COLUMN in made.column_names:
        column = PARENT_COLUMN
    return GivenRows(
        [texts[row] for row in kept],
        [classes[row] for row in kept],
        [()] * len(kept) if column is None else _parents(made[column][:], known, column),
        _weights(made),
        dict(left_out),
        stated_cost(made),
    )


def _are_real(made: Dataset) -> np.ndarray:
    """By `origin`, as this package writes it or as names. Another column of that name says nothing:
    booleans `[n]`, all false."""
    feature, values = made.features[ORIGIN_COLUMN], made[ORIGIN_COLUMN][:]
    if isinstance(feature, ClassLabel):
        values = [None if code is None else feature.names[code] for code in values]
    if not {*map(str, values)} <= {*ORIGINS}:
        return np.zeros(len(made), bool)
    return np.array([value == ORIGINS[REAL] for value in values], bool)


def _weights(made: Dataset) -> np.ndarray | None:
    if WEIGHT_COLUMN not in made.column_names:
        return None
    try:
        weights = np.array(made[WEIGHT_COLUMN][:], np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"column {WEIGHT_COLUMN!r} holds what is no number ({error}): rename it, if it is no "
            "weight of rows"
        ) from error
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights > 0)))
    if len(wrong):
        raise ValueError(
            f"column {WEIGHT_COLUMN!r} holds {weights[wrong[0]]} ({len(wrong)} such rows): a "
            "weight is a number above 0; leave rows out that shall not count"
        )
    return weights


# ---- parents ------------------------------------------------------------------------------------

_NUMBER = re.compile(r"\s*-?\d+\s*")


def _parents(values: Sequence[Any], known: Sequence[str], column: str) -> list[tuple[str, ...]]:
    """The texts that each row was made of."""
    told = [_told(value, column, row) for row, value in enumerate(values)]
    words = [one for parents in told for one in parents if isinstance(one, str)]
    if words and all(_NUMBER.fullmatch(word) for word in words):  # a csv file has no numbers
        told = [[int(one) for one in parents] for parents in told]
    return [_texts_of(parents, known, column, row) for row, parents in enumerate(told)]


def _told(value: Any, column: str, row: int) -> list[int | str]:
    """Numbers or texts; −1 and what is null or empty say nothing."""
    found: list[int | str] = []
    for one in value if isinstance(value, list) else [value]:
        is_null = one is None or one == "" or (isinstance(one, float) and math.isnan(one))
        if is_null or one in (-1, "-1"):
            continue
        if isinstance(one, float) and one.is_integer():  # integers with nulls, from pandas
            one = int(one)
        if isinstance(one, bool) or not isinstance(one, int | str):
            raise ValueError(
                f"column {column!r} holds {one!r}, a {type(one).__name__}: a parent is the number "
                "of a training row or its text; rename the column, if it tells something else"
            )
        found.append(one)
    return found


def _texts_of(
    parents: Sequence[int | str], known: Sequence[str], column: str, row: int
) -> tuple[str, ...]:
    texts = []
    for one in parents:
        if isinstance(one, str):
            texts.append(one)
        elif not len(known):
            raise ValueError(
                f"column {column!r} holds numbers of rows, such as {one}: give the texts of these "
                "rows (train), or the parents' texts in the column"
            )
        elif not 0 <= one < len(known):
            raise ValueError(
                f"column {column!r} holds {one}, and the rows that it counts are 0 to "
                f"{len(known) - 1}: give the rows that these were made of, or rename the column"
            )
        else:
            texts.append(known[one])
    return tuple(texts)


# ---- cost ---------------------------------------------------------------------------------------


def stated_cost(made: Dataset) -> dict[str, float]:
    """What making rows took, summed over them: of "tokens", "seconds", "usd" and "cost" what their
    columns, or the keys in columns of objects, state."""
    sums: dict[str, float] = {}
    named = {*WHOLE_TOKENS, *PARTS_OF_TOKENS, *(name for names in COSTS.values() for name in names)}
    for column in made.column_names:
        is_object = pa.types.is_struct(arrow_column(made, column).type)
        if column not in named and not is_object:
            continue
        for value in made[column][:]:
            for name, number in _numbers(column, value):
                if name in named:
                    sums[name] = sums.get(name, 0.0) + number
    return cost_of(sums)


def cost_of(sums: Mapping[str, float]) -> dict[str, float]:
    """The measures of cost among numbers by name: all tokens, or else those of their parts."""
    found = {
        measure: sum(sums[name] for name in names if name in sums)
        for measure, names in COSTS.items()
        if any(name in sums for name in names)
    }
    for names in (WHOLE_TOKENS, PARTS_OF_TOKENS):
        present = [name for name in names if name in sums]
        if present:
            tokens = sum(sums[name] for name in present[: 1 if names is WHOLE_TOKENS else None])
            return {"tokens": tokens, **found}
    return found


def _numbers(name: str, value: Any) -> Iterator[tuple[str, float]]:
    """Each number in a value, with the key that it stands at."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _numbers(key, inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _numbers(name, inner)
    elif isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            number = float(value)
        except ValueError:  # a text
            return
        if math.isfinite(number):
            yield name, number
