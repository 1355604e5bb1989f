"""Overlap of two classes (HDR), as an `evaluate` metric."""

from __future__ import annotations

from collections.abc import Sequence

import datasets
import evaluate

from hf_oversample.metrics.embeddings import hard_to_differentiate_ratio

_DESCRIPTION = """Hard-to-differentiate ratio (SIMPOR, section 6.4.2): overlap of the histograms of
two classes on the first principal component, divided by the minority's rows. 0: separate."""
_INPUTS = """
Args:
    predictions: list of embeddings, lists of floats of one length.
    references: list of labels, 1 for the minority, else 0.
    bins: bins of the histograms; default 50.
Returns:
    hard_to_differentiate
"""


class HardToDifferentiate(evaluate.Metric):
    """`hard_to_differentiate_ratio` of :mod:`hf_oversample.metrics.embeddings`."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description=_INPUTS,
            features=datasets.Features(
                {
                    "predictions": datasets.List(datasets.Value("float64")),
                    "references": datasets.Value("int64"),
                }
            ),
        )

    def _compute(
        self, predictions: Sequence[Sequence[float]], references: Sequence[int], bins: int = 50
    ) -> dict[str, float]:
        value = hard_to_differentiate_ratio(predictions, references, bins=bins)
        return {"hard_to_differentiate": value}
