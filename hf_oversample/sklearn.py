"""The oversamplers of arrays as imbalanced-learn samplers, for scikit-learn's pipelines.

    from imblearn.pipeline import make_pipeline
    from hf_oversample.sklearn import SmoteSampler
    model = make_pipeline(SmoteSampler(k_neighbors=5), LogisticRegression())

Each is a `BaseOverSampler` over the very core of the method's oversampler: the same rows come out
as of its `fit` and `balance` on a data set with the same embeddings, labels and seed.
"""

from __future__ import annotations

import inspect
import numbers
from copy import deepcopy
from typing import Any, ClassVar

try:
    from imblearn.over_sampling.base import BaseOverSampler
    from imblearn.utils import check_target_type
except ImportError as error:
    raise ImportError(
        "hf_oversample.sklearn needs imbalanced-learn, which is not installed: "
        "pip install hf_oversample[imblearn]"
    ) from error

import numpy as np
import numpy.typing as npt
from datasets import Dataset
from scipy import sparse
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from hf_oversample.oversamplers.adasyn import AdasynOversampler
from hf_oversample.oversamplers.amo.oversampler import AmoOversampler
from hf_oversample.oversamplers.base import Oversampler
from hf_oversample.oversamplers.bayesian_gan import BayesianGanOversampler
from hf_oversample.oversamplers.borderline_smote import BorderlineSmoteOversampler
from hf_oversample.oversamplers.embedding import EmbeddingOversampler
from hf_oversample.oversamplers.plan import ORIGINS, REAL, RESAMPLED
from hf_oversample.oversamplers.random import RandomOversampler
from hf_oversample.oversamplers.simpor.oversampler import SimporOversampler
from hf_oversample.oversamplers.smote import SmoteOversampler

__all__ = [
    "AdasynSampler",
    "AmoSampler",
    "BayesianGanSampler",
    "BorderlineSmoteSampler",
    "RandomSampler",
    "SimporSampler",
    "SmoteSampler",
]

_SEED_LIMIT = 2**31 - 1


class OversamplerSampler(BaseOverSampler):
    """
    What the samplers share. A sampler's parameters are those of its oversampler, with the same
    defaults, but for `copy_columns`, which arrays have no use for, and `seed`, which is
    `random_state` here: an int (default 0), a `RandomState`, or None for other draws at every call.

    Rows are made in float32 and cast to the type of `X`; real rows are never touched. For integer
    features they are rounded, and kept within the type's range. A sparse `X` is made dense for the
    method (n · d · 4 bytes) and the result is sparse again.

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
        labels = _plain(y)
        classes, first = np.unique(labels, return_index=True)
        added = {_plain(np.asarray([k])).item(): int(n) for k, n in self.sampling_strategy_.items()}
        present = {value.item(): int((labels == value).sum()) for value in classes}
        params = {
            # grids are often NumPy arrays, and the oversamplers take Python's numbers alone
            k: v.item() if isinstance(v, np.generic) else v
            for k, v in self.get_params(deep=False).items()
            if k != "random_state"
        }
        params["sampling_strategy"] = {value: present[value] + n for value, n in added.items()}
        self.oversampler_ = self.oversampler(seed=_seed(self.random_state), **params)
        made, made_labels, origin, parent = self._children(self.oversampler_, X, labels)
        real = np.full(len(y), REAL)
        self.origin_ = np.asarray(ORIGINS)[np.concatenate([real, origin])]
        self.parent_ = np.concatenate([np.full(len(y), -1, dtype=np.int64), parent])
        # The classes' own values, whatever their type.
        made_y = y[first[np.searchsorted(classes, made_labels)]]
        return _stacked(X, made), np.concatenate([y, made_y])

    def _children(
        self, oversampler: Any, X: Any, labels: npt.NDArray[Any]
    ) -> tuple[Any, npt.NDArray[Any], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Rows, labels, origins and parents of the children."""
        assert isinstance(oversampler, EmbeddingOversampler)
        dense = X.toarray() if sparse.issparse(X) else X
        values, made_labels, origin, parent = oversampler.fit_arrays(dense, labels).new_rows()
        made = _cast(values, dense.dtype)
        copies = np.flatnonzero(origin == RESAMPLED)
        made[copies] = dense[parent[copies]]  # exact, where a row is a copy
        return made, made_labels, origin, parent


class SmoteSampler(OversamplerSampler, method=SmoteOversampler):
    """
    SMOTE (Chawla et al. 2002); parameters: see
    :class:`~hf_oversample.oversamplers.smote.SmoteOversampler`, and `random_state`.

    Example:
        >>> import numpy as np
        >>> X = np.arange(20.0).reshape(10, 2)
        >>> y = np.array(["rare"] * 3 + ["common"] * 7)
        >>> X_new, y_new = SmoteSampler(k_neighbors=2).fit_resample(X, y)
        >>> X_new.shape, int((y_new == "rare").sum())
        ((14, 2), 7)
    """


class BorderlineSmoteSampler(OversamplerSampler, method=BorderlineSmoteOversampler):
    """
    Borderline-SMOTE (Han et al. 2005); parameters: see
    :class:`~hf_oversample.oversamplers.borderline_smote.BorderlineSmoteOversampler`, and
    `random_state`.
    """


class AdasynSampler(OversamplerSampler, method=AdasynOversampler):
    """
    ADASYN (He et al. 2008); parameters: see
    :class:`~hf_oversample.oversamplers.adasyn.AdasynOversampler`, and `random_state`.
    """


class AmoSampler(OversamplerSampler, method=AmoOversampler):
    """
    Adversarial minority over-sampling by major-to-minor translation; parameters: see
    :class:`~hf_oversample.oversamplers.amo.oversampler.AmoOversampler`, and `random_state`.
    """


class SimporSampler(OversamplerSampler, method=SimporOversampler):
    """
    Synthetic neighbours of maximum posterior ratio; parameters: see
    :class:`~hf_oversample.oversamplers.simpor.oversampler.SimporOversampler`, and `random_state`.
    """


class BayesianGanSampler(OversamplerSampler, method=BayesianGanOversampler):
    """
    A GAN whose codes follow a Bayesian network; parameters: see
    :class:`~hf_oversample.oversamplers.bayesian_gan.BayesianGanOversampler`, and `random_state`.
    """


class RandomSampler(OversamplerSampler, method=RandomOversampler):
    """
    Repeated rows, spread evenly over a class; any features, strings and NaN too. Parameters: see
    :class:`~hf_oversample.oversamplers.random.RandomOversampler`, and `random_state`.

    Attributes (besides those of all samplers):
        sample_indices_: `[n + m]` int64, the row of `X` that each row of the result is.
    """

    def _check_X_y(self, X: Any, y: Any, accept_sparse: Any = ("csr", "csc")) -> Any:
        y, binarize_y = check_target_type(y, indicate_one_vs_all=True)
        options = {"dtype": None, "ensure_all_finite": False, "accept_sparse": accept_sparse}
        X, y = validate_data(self, X=X, y=y, reset=True, **options)
        return X, y, binarize_y

    def _children(
        self, oversampler: Any, X: Any, labels: npt.NDArray[Any]
    ) -> tuple[Any, npt.NDArray[Any], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        plan = oversampler.fit(Dataset.from_dict({"label": labels})).fitted_plan()
        self.sample_indices_ = np.concatenate([np.arange(len(labels)), plan.parent])
        return X[plan.parent], labels[plan.parent], np.full(len(plan), RESAMPLED), plan.parent

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = tags.input_tags.allow_nan = True
        tags.sampler_tags.sample_indices = True
        return tags


def _plain(y: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Labels as the integers or strings that a data set's column would hold."""
    # A float is an integer here: imbalanced-learn refuses continuous targets.
    return y.astype(np.int64) if y.dtype.kind in "iubf" else y.astype(str)


def _seed(random_state: Any) -> int:
    if isinstance(random_state, numbers.Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(_SEED_LIMIT))


def _cast(values: npt.NDArray[np.float32], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    if dtype.kind not in "iu":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    # Through float64, which alone holds the limits of 32 bits.
    return np.clip(np.rint(values.astype(np.float64)), limits.min, limits.max).astype(dtype)


def _stacked(X: Any, made: Any) -> Any:
    """Real rows, then the children, in the format of `X`."""
    if sparse.issparse(X):
        return sparse.vstack([X, made], format=X.format)
    result = np.empty((len(X) + len(made), X.shape[1]), dtype=X.dtype)
    result[: len(X)], result[len(X) :] = X, made
    return result
