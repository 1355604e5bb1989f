"""Share of generated texts that are copies, as an `evaluate` measurement."""

from __future__ import annotations

from collections.abc import Sequence

import datasets
import evaluate

from hf_oversample.metrics.texts import copy_rate

_DESCRIPTION = """Share of texts that are in a reference collection already: exactly (but for
case and spaces), or nearly (the Jaccard similarity of the token sets reaches a threshold)."""
_INPUTS = """
Args:
    data: list of generated texts.
    reference: list of texts that they may be copied from.
    threshold: similarity of a near copy, in (0, 1]; default 0.8.
    language: "en" or "zh"; default "en".
Returns:
    exact_copies: share of exact copies.
    near_copies: share of exact and near copies.
"""


class CopyRate(evaluate.Measurement):
    """`copy_rate` of :mod:`hf_oversample.metrics.texts`."""

    def _info(self) -> evaluate.MeasurementInfo:
        return evaluate.MeasurementInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description=_INPUTS,
            features=datasets.Features({"data": datasets.Value("string")}),
        )

    def _compute(
        self,
        data: Sequence[str],
        reference: Sequence[str],
        threshold: float = 0.8,
        language: str = "en",
    ) -> dict[str, float]:
        copies = copy_rate(data, reference, threshold, language=language)  # type: ignore[arg-type]
        return {"exact_copies": copies.exact_rate, "near_copies": copies.near_rate}
