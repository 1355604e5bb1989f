"""Whether made texts look like their class to an independent judge, as an `evaluate` metric."""

from __future__ import annotations

from collections.abc import Sequence

import datasets
import evaluate

from hf_oversample.metrics.texts import label_agreement

_DESCRIPTION = """Share of made rows that a classifier places with the class they were made for. The
classifier must not have seen made rows. Real rows of the classes, judged alike, say how high the
share can be."""
_INPUTS = """
Args:
    predictions: list of the class ids (integers) that the judge names.
    references: list of the class ids that the rows were made for.
Returns:
    label_agreement: over all rows.
    label_agreement/CLASS: for each class that rows were made for.
"""


class LabelAgreement(evaluate.Metric):
    """`label_agreement` of :mod:`hf_oversample.metrics.texts`."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description=_INPUTS,
            features=datasets.Features(
                {
                    "predictions": datasets.Value("int64"),
                    "references": datasets.Value("int64"),
                }
            ),
        )

    def _compute(self, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
        return label_agreement(predictions, references)
