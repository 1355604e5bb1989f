"""Oversamplers: one base class, one method a file.

A method is added by its file and one line below; the contract checks of
``tests/oversampler_checks.py`` then run on it.
"""

from __future__ import annotations

OVERSAMPLERS: dict[str, str] = {
    "RandomOversampler": "hf_oversample.oversamplers.random:RandomOversampler",
    "SmoteOversampler": "hf_oversample.oversamplers.smote:SmoteOversampler",
    "BorderlineSmoteOversampler": (
        "hf_oversample.oversamplers.borderline_smote:BorderlineSmoteOversampler"
    ),
    "AdasynOversampler": "hf_oversample.oversamplers.adasyn:AdasynOversampler",
    "AmoOversampler": "hf_oversample.oversamplers.amo.oversampler:AmoOversampler",
    "SimporOversampler": "hf_oversample.oversamplers.simpor.oversampler:SimporOversampler",
    "BayesianGanOversampler": "hf_oversample.oversamplers.bayesian_gan:BayesianGanOversampler",
    "EmcoOversampler": "hf_oversample.oversamplers.emco:EmcoOversampler",
    "MisoOversampler": "hf_oversample.oversamplers.miso.oversampler:MisoOversampler",
    "LanguageModelOversampler": (
        "hf_oversample.oversamplers.language_model.oversampler:LanguageModelOversampler"
    ),
}
"""Where each oversampler's class is, by name. Strings, so that none is imported before its use."""

MULTI_LABEL_OVERSAMPLERS: dict[str, str] = {
    "MlsmoteOversampler": "hf_oversample.oversamplers.mlsmote:MlsmoteOversampler",
    "MlRosOversampler": "hf_oversample.oversamplers.ml_ros:MlRosOversampler",
}
"""The same, of those for rows that have any number of labels."""
