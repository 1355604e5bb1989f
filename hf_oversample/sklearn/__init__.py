"""The oversamplers as imbalanced-learn samplers, for scikit-learn's pipelines.

    from imblearn.pipeline import make_pipeline
    from hf_oversample.sklearn import SmoteSampler
    model = make_pipeline(SmoteSampler(k_neighbors=5), LogisticRegression())

Each is a `BaseOverSampler` over the very core of the method's oversampler: the same rows come out
as of its `fit` and `balance` on a data set with the same embeddings, labels and seed. `TextSampler`
takes texts, before they become numbers; the others take arrays.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

try:
    import imblearn  # noqa: F401
except ImportError as error:
    raise ImportError(
        "hf_oversample.sklearn needs imbalanced-learn, which is not installed: "
        "pip install hf_oversample[imblearn]"
    ) from error

# Loaded when first used: SMOTE has no use for what AMO imports, which takes seconds.
_MODULE_OF = {
    "AdasynSampler": "interpolation",
    "AmoSampler": "networks",
    "BayesianGanSampler": "networks",
    "BorderlineSmoteSampler": "interpolation",
    "OversamplerSampler": "base",
    "RandomSampler": "repetition",
    "SimporSampler": "networks",
    "SmoteSampler": "interpolation",
    "TextSampler": "texts",
}

__all__ = [name for name in _MODULE_OF if name != "OversamplerSampler"]

if TYPE_CHECKING:  # the same names, for type checkers and editors; a test compares the two
    from hf_oversample.sklearn.base import OversamplerSampler as OversamplerSampler
    from hf_oversample.sklearn.interpolation import AdasynSampler as AdasynSampler
    from hf_oversample.sklearn.interpolation import BorderlineSmoteSampler as BorderlineSmoteSampler
    from hf_oversample.sklearn.interpolation import SmoteSampler as SmoteSampler
    from hf_oversample.sklearn.networks import AmoSampler as AmoSampler
    from hf_oversample.sklearn.networks import BayesianGanSampler as BayesianGanSampler
    from hf_oversample.sklearn.networks import SimporSampler as SimporSampler
    from hf_oversample.sklearn.repetition import RandomSampler as RandomSampler
    from hf_oversample.sklearn.texts import TextSampler as TextSampler


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})
