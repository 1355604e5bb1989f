"""Columns far from zero: computed with about their middles, float32 keeps their digits."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_FAR = 64.0
"""A middle of so many times the column's range takes six of float32's 24 bits."""
_BLOCK_ROWS = 8192


def far_middles(rows: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """The middle of each column [d] that is far from zero against its range, and 0 for the others.

    Times, ids and prices: at an offset of 1e9 float32 tells numbers apart by 64 at least. A column
    of one value is far from zero, too, unless it is 0.

    Args:
        rows: [n, d], finite.
    """
    if not len(rows):
        return np.zeros(rows.shape[1])
    return far_middles_between(rows.min(axis=0), rows.max(axis=0))


def far_middles_between(
    lowest: npt.NDArray[np.floating], highest: npt.NDArray[np.floating]
) -> npt.NDArray[np.float64]:
    """:func:`far_middles` of columns by the lowest and the highest value of each [d]."""
    with np.errstate(over="ignore"):
        # within the range even where the sum of all rows would overflow
        middle = lowest.astype(np.float64) / 2 + highest.astype(np.float64) / 2
        spread = highest.astype(np.float64) - lowest.astype(np.float64)
    return np.where(np.abs(middle) > _FAR * spread, middle, 0.0)


def about(
    rows: npt.NDArray[np.floating], center: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    """Rows [n, d] less a centre [d], in float32; the difference is taken in float64."""
    result = np.empty(rows.shape, dtype=np.float32)
    with np.errstate(over="ignore"):  # what is infinite is told by who asked
        for start in range(0, len(rows), _BLOCK_ROWS):
            block = slice(start, start + _BLOCK_ROWS)
            result[block] = rows[block] - center
    return result


def near_zero(base: Any, queries: Any) -> tuple[Any, Any]:
    """
    Two matrices whose distances are asked for, moved by one vector where float32 would lose the
    digits of their differences.

    Args:
        base, queries: [n, d] and [q, d], NumPy, torch or lists.

    Returns:
        both as float32; or both as they were, where nothing would be lost, or where they are no
        finite matrices of one width.
    """
    both = [_as_array(base), _as_array(queries)]
    if all(array is None or not _has_more_digits(array) for array in both):
        return base, queries
    arrays = [array for array in both if array is not None and array.ndim == 2]
    if len(arrays) < 2 or arrays[0].shape[1] != arrays[1].shape[1] or not len(arrays[0]):
        return base, queries
    wide = [array.astype(np.float64, copy=False) for array in arrays]
    if not all(np.isfinite(array).all() for array in wide):
        return base, queries
    center = far_middles(wide[0])
    if not center.any():
        return base, queries
    return about(wide[0], center), about(wide[1], center)


def _as_array(values: Any) -> npt.NDArray[Any] | None:
    """None where the values are no array of numbers."""
    if hasattr(values, "detach"):  # a tensor; NumPy has no bfloat16
        if str(values.dtype) == "torch.bfloat16":
            return None
        values = values.detach().cpu()
    try:
        array = np.asarray(values)
    except ValueError:  # ragged
        return None
    return array if array.dtype.kind in "fiu" else None


def _has_more_digits(array: npt.NDArray[Any]) -> bool:
    return array.dtype.itemsize > (4 if array.dtype.kind == "f" else 2)
