"""What the samplers of arrays share."""

from __future__ import annotations

import inspect
from copy import deepcopy
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from imblearn.over_sampling.base import BaseOverSampler
from scipy import sparse

from hf_oversample.oversamplers.base import Oversampler
from hf_oversample.oversamplers.embedding import EmbeddingOversampler
from hf_oversample.oversamplers.plan import RESAMPLED
from hf_oversample.sklearn.labels import (
    drawn_seed,
    final_counts,
    joined_labels,
    plain_labels,
    provenance,
)


class OversamplerSampler(BaseOverSampler):
    """
    What the samplers share. A sampler's parameters are those of its oversampler, with the same
    defaults, but for `copy_columns`, which arrays have no use for, and `seed`, which is
    `random_state` here: an int (default 0), a `RandomState`, or None for other draws at every call.

    Rows are made in float32, or in float64 where `X` has more digits, and cast to the type of `X`;
    real rows are never touched. For integer features they are rounded, and kept within the type's
    range. A sparse `X` is made dense for the method (n · d numbers) and the result is sparse again.

    Attributes (after `fit_resample`, besides imbalanced-learn's own):
        oversampler_: the fitted oversampler, with what it reports.
        origin_: `[n + m]`, "real", "synthetic" or "resampled" for each row of the result.
        parent_: `[n + m]` int64, the row of `X` that each row was made from; −1 for real rows.
    """

    oversampler: ClassVar[type[Oversampler]]

    def __init_subclass__(cls, *, method: type[Oversampler] | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if method is None:
            return
        cls.oversampler = method
        # Each default is declared once, in the oversampler: scikit-learn reads this signature.
        values = {**method().get_params(), "random_state": 0}
        defaults = {k: v for k, v in values.items() if k not in ("seed", "copy_columns")}

        def __init__(self: Any, **params: Any) -> None:
            unknown = sorted(set(params) - set(defaults))
            if unknown:
                raise TypeError(f"{cls.__name__} has no parameters {unknown}; it has {defaults}")
            for name, value in (deepcopy(defaults) | params).items():  # some are dicts
                setattr(self, name, value)

        keyword = inspect.Parameter.KEYWORD_ONLY
        parameters = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
        parameters += [inspect.Parameter(n, keyword, default=v) for n, v in defaults.items()]
        __init__.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        cls.__init__ = __init__  # type: ignore[method-assign]
        # The oversampler checks its own values when it is made, and says more.
        known = BaseOverSampler._parameter_constraints
        cls._parameter_constraints = {n: known.get(n, "no_validation") for n in defaults}

    def _fit_resample(self, X: Any, y: npt.NDArray[Any]) -> tuple[Any, npt.NDArray[Any]]:
        labels = plain_labels(y)
        params = {
            # grids are often NumPy arrays, and the oversamplers take Python's numbers alone
            k: v.item() if isinstance(v, np.generic) else v
            for k, v in self.get_params(deep=False).items()
            if k != "random_state"
        }
        params["sampling_strategy"] = final_counts(self.sampling_strategy_, labels)
        self.oversampler_ = self.oversampler(seed=drawn_seed(self.random_state), **params)
        made, made_labels, origin, parent = self._children(self.oversampler_, X, labels)
        self.origin_, self.parent_ = provenance(len(y), origin, parent)
        return _stacked(X, made), joined_labels(y, labels, made_labels)

    def _children(
        self, oversampler: Any, X: Any, labels: npt.NDArray[Any]
    ) -> tuple[Any, npt.NDArray[Any], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Rows, labels, origins and parents of the children."""
        assert isinstance(oversampler, EmbeddingOversampler)
        dense = X.toarray() if sparse.issparse(X) else X
        lowest = _beyond_float64(dense) if oversampler._moves_rows() else None
        given = dense if lowest is None else dense - lowest
        values, made_labels, origin, parent = oversampler.fit_arrays(given, labels).new_rows()
        made = _cast(values, dense.dtype)
        if lowest is not None:
            made += lowest
        copies = np.flatnonzero(origin == RESAMPLED)
        made[copies] = dense[parent[copies]]  # exact, where a row is a copy
        return made, made_labels, origin, parent


def _cast(values: npt.NDArray[np.float32], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    if dtype.kind not in "iu":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    # Through float64, which alone holds the limits of 32 bits.
    return np.clip(np.rint(values.astype(np.float64)), limits.min, limits.max).astype(dtype)


def _beyond_float64(rows: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
    """The least value of each column of integers that float64 cannot tell apart (times in
    nanoseconds, ids), and 0 for the others; None where there is no such column."""
    if rows.dtype.kind not in "iu" or rows.dtype.itemsize < 8:
        return None
    lowest, highest = rows.min(axis=0), rows.max(axis=0)
    low, high = lowest.astype(np.float64), highest.astype(np.float64)
    is_beyond = (np.maximum(-low, high) > 2**53) & (high - low < 2**53)
    return np.where(is_beyond, lowest, 0).astype(rows.dtype) if is_beyond.any() else None


def _stacked(X: Any, made: Any) -> Any:
    """Real rows, then the children, in the format of `X`."""
    if sparse.issparse(X):
        return sparse.vstack([X, made], format=X.format)
    result = np.empty((len(X) + len(made), X.shape[1]), dtype=X.dtype)
    result[: len(X)], result[len(X) :] = X, made
    return result
