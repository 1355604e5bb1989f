"""SMOTE and its kin, which need neither torch's networks nor transformers."""

from __future__ import annotations

from hf_oversample.oversamplers.adasyn import AdasynOversampler
from hf_oversample.oversamplers.borderline_smote import BorderlineSmoteOversampler
from hf_oversample.oversamplers.smote import SmoteOversampler
from hf_oversample.sklearn.base import OversamplerSampler


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
