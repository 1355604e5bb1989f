"""Texts and labels that are missing: told with their row before anything is computed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np


def checked_texts(texts: Iterable[Any], name: str = "texts") -> list[str]:
    """
    The texts as a list.

    Args:
        texts: strings; empty ones pass.
        name: what the message calls them.

    Raises:
        ValueError: one is null (None, or the NaN that a table of pandas has for it), or no string;
            its row is named.
    """
    if isinstance(texts, str):
        raise ValueError(f"{name} is one string, {texts!r}: give a list of texts")
    result = list(texts)
    wrong = [row for row, text in enumerate(result) if not isinstance(text, str)]
    if wrong:
        found = result[wrong[0]]
        what = "null" if _is_null(found) else f"{found!r}, a {type(found).__name__}"
        raise ValueError(
            f"row {wrong[0]} of {name} is {what} ({len(wrong)} such rows): a text is needed in "
            "every row; drop them, for example with dataset.filter, or give them a text"
        )
    return result


def checked_labels(labels: Any, name: str = "labels") -> np.ndarray:
    """
    The labels as an array.

    Args:
        labels: `[n]`, of any type.
        name: what the message calls them.

    Raises:
        ValueError: one is null (None or NaN); its row is named.
    """
    values = np.asarray(labels)
    if values.ndim == 1 and values.dtype.kind in "fO":
        null = np.array([_is_null(value) for value in values.tolist()], bool)
        if null.any():
            raise ValueError(
                f"row {int(null.argmax())} of {name} is null ({int(null.sum())} such rows): give "
                "the row a label, or drop it"
            )
    return values


def _is_null(value: Any) -> bool:
    if value is None or (isinstance(value, float) and value != value):
        return True
    return type(value).__name__ in ("NAType", "NaTType")  # pandas', which is not imported for it
