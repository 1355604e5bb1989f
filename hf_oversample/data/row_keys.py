"""Keys of whole rows: by them a row of a batch is known to be the row that was fitted.

They cover the columns that look the same however a batch comes (Arrow, lists, NumPy, torch):
strings, numbers, booleans, and lists of numbers of one length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from hf_oversample.data.columns import as_list
from hf_oversample.data.digests import vector_keys
from hf_oversample.data.embeddings import vectors_of

if TYPE_CHECKING:
    from datasets import Features

Keys = npt.NDArray[np.uint64]
_NULL = np.uint64(0x5851F42D4C957F2D)


def key_columns(features: Features) -> list[str]:
    """The columns that keys cover, of all in a data set."""
    return [name for name, feature in features.items() if _kind(feature) is not None]


def record_keys(values: Callable[[str], Any], features: Features, names: Sequence[str]) -> Keys:
    """
    A 64-bit key of each row: equal for equal values, and else hardly ever.

    Args:
        values: from a column's name to its n values: an Arrow array, a list, NumPy or torch.
        features: of the data set.
        names: the columns, at least one, among `key_columns`.

    Raises:
        ValueError: a column's values are not of its type.
    """
    total: Keys | None = None
    for name in names:
        weight = np.uint64(xxhash.xxh3_64_intdigest(name.encode()) | 1)
        keys = _column_keys(values(name), str(_kind(features[name])), name) * weight
        total = keys if total is None else total + keys
    assert total is not None, "there is a label column in every data set"
    return total


def _kind(feature: Any) -> str | None:
    from datasets import ClassLabel, LargeList, List, Value

    if isinstance(feature, ClassLabel):
        return "int"
    if isinstance(feature, Value):
        if feature.dtype in ("string", "large_string"):
            return "text"
        if feature.dtype.startswith(("int", "uint", "bool")):
            return "int"
        return "float" if feature.dtype in ("float32", "float64") else None
    if isinstance(feature, List | LargeList) and isinstance(feature.feature, Value):
        length = getattr(feature, "length", -1)
        is_float = feature.feature.dtype in ("float32", "float64")
        return "vector" if is_float and length > 0 else None
    return None


def _column_keys(values: Any, kind: str, name: str) -> Keys:
    if kind == "vector":
        matrix = vectors_of(values)
        if matrix is not None:
            return _mixed(vector_keys(matrix))
    if isinstance(values, pa.Array | pa.ChunkedArray):
        listed = values.to_pylist()
    else:
        listed = as_list(values)
    try:
        if kind == "text":
            pairs = [_NULL if v is None else xxhash.xxh3_64_intdigest(v.encode()) for v in listed]
            return np.array(pairs, np.uint64)
        if kind == "int":  # torch has no null: an integer column with nulls comes as floats
            known = [None if v is None or v != v else int(v) for v in listed]
            wrapped = np.array([0 if v is None else v % 2**64 for v in known], np.uint64)
            return np.where([v is None for v in known], _NULL, _mixed(wrapped))
        if kind == "float":  # in float32, as which torch shows float64, too
            numbers = np.array([np.nan if v is None else v for v in listed], np.float64)
            with np.errstate(over="ignore"):
                bits = numbers.astype(np.float32).view(np.uint32).astype(np.uint64)
            return np.where(np.isnan(numbers), _NULL, _mixed(bits))
        flat = [xxhash.xxh3_64_intdigest(np.asarray(v, np.float32).tobytes()) for v in listed]
        return np.array(flat, np.uint64)
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(
            f"column {name!r} holds values of another type than when fitted: fit on this data set"
        ) from error


def _mixed(keys: Keys) -> Keys:
    """Keys whose every bit depends on every bit (the finisher of SplitMix64): sums of small numbers
    would meet."""
    keys = (keys + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))
