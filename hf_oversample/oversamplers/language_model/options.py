"""Which values of a language model's oversampler cannot work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_oversample.models.writers.adapters import is_saved_writer
from hf_oversample.models.writers.server import check_base_url
from hf_oversample.oversamplers.anchors.gate import check_gate
from hf_oversample.oversamplers.anchors.plan import ALL_SOURCES


def check_options(values: Mapping[str, Any]) -> None:
    """
    Check the constructor's values.

    Args:
        values: by name.

    Raises:
        ValueError: one cannot work, or two do not go together.
    """
    sources, gate = values["sources"], values["gate"]
    if not sources or [s for s in sources if s not in ALL_SOURCES]:
        raise ValueError(f"sources is {list(sources)}; it takes some of {list(ALL_SOURCES)}.")
    check_gate(
        gate, values["gate_quantile"], values["gate_ceiling"], max_cosine=values["max_cosine"]
    )
    if "critics" in gate:
        raise ValueError(
            "gate has 'critics', which a language model does not have: ask 'classifier', "
            "'neighbors' or 'influence'."
        )
    for name in ("anchor_share", "majority_share", "least_kept", "most_kept"):
        if not 0 <= values[name] <= 1:
            raise ValueError(f"{name} is {values[name]}; it is a share, from 0 to 1.")
    if values["least_kept"] > values["most_kept"]:
        raise ValueError(
            f"least_kept is {values['least_kept']}, above most_kept, {values['most_kept']}."
        )
    for name in ("max_anchors_per_source", "max_tries", "top_k", "k"):
        if values[name] < 1:
            raise ValueError(f"{name} is {values[name]}: it must be at least 1.")
    if not 0 < values["top_p"] <= 1 or values["temperature"] < 0 or values["guidance"] < 0:
        raise ValueError(
            f"top_p is {values['top_p']}, temperature {values['temperature']} and guidance "
            f"{values['guidance']}: top_p is above 0 and at most 1, the others are not negative."
        )
    if values["examples"] < 0:
        raise ValueError(f"examples is {values['examples']}: it must not be negative.")
    _check_prompting(values)


def _check_prompting(values: Mapping[str, Any]) -> None:
    if values["base_url"] is not None:
        check_base_url(values["base_url"])
        if values["embedder"] is None:
            raise ValueError(
                "base_url is given, but no embedder: a server's model does not say which texts are "
                "difficult, or which class a text seems to be of; name an encoder with embedder "
                "(--encoder_name)."
            )
    if values["prompting"] or values["base_url"] is not None:
        if values["latents"] is not None:
            raise ValueError(
                "latents is given, but a model that is prompted reads words alone: leave out "
                "latents, or prompting and base_url."
            )
        if values["training"]:
            raise ValueError(
                "training is given, but a model that is prompted is not trained: leave out "
                "training, or prompting and base_url."
            )
        if is_saved_writer(values["writer"]):
            raise ValueError(
                f"the writer {values['writer']} is one of trained adapters, which are not "
                "prompted: name the language model, or leave prompting out."
            )
