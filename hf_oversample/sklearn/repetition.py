"""Repeated rows, the control."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from datasets import Dataset
from imblearn.utils import check_target_type
from sklearn.utils.validation import validate_data

from hf_oversample.oversamplers.plan import RESAMPLED
from hf_oversample.oversamplers.random import RandomOversampler
from hf_oversample.sklearn.base import OversamplerSampler


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
