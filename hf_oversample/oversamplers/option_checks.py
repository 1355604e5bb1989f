"""Checks of constructors' arguments: a bad one is told when it is given, not after long work."""

from __future__ import annotations

import math
from typing import Any


def check_values(**values: tuple[Any, bool, str]) -> None:
    """Check values by name, each as (value, whether it is right, what is wanted).

    Raises:
        ValueError: one is not right.
    """
    for name, (value, is_right, wanted) in values.items():
        if not is_right:
            raise ValueError(f"{name}={value!r} must be {wanted}")


def check_numbers(kind: type[int] | type[float], **values: Any) -> None:
    """Check that values are plain finite numbers, as JSON holds them.

    Raises:
        TypeError: one of another type; NumPy's 32-bit numbers are, and so are booleans.
        ValueError: NaN or infinite.
    """
    for name, value in values.items():
        known = int if kind is int else int | float
        if isinstance(value, bool) or not isinstance(value, known):
            wanted = "an int" if kind is int else "a plain number"
            raise TypeError(f"{name} must be {wanted}, got {value!r}")
        if not math.isfinite(value):
            raise ValueError(f"{name}={value!r} must be finite")
