"""Whether made texts are told from real ones by their surface, as an `evaluate` measurement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate

from hf_oversample.metrics.screening import two_sample_auc

_DESCRIPTION = """Area under the ROC curve of a classifier that tells made texts from real ones of
the same class by words, characters, lengths, punctuation and case, on held-out rows: 0.5 is chance.
"""
_INPUTS = """
Args:
    data: list of made texts.
    reference: list of real texts of the same class.
    known: list of further real texts, whose words are known; default none.
    language: "en" or "zh"; default "en".
    seed: of the folds; default 0.
Returns:
    auc: None where there are fewer than 20 texts of either kind.
    unknown_made: share of made texts with a word that no real text has.
    unknown_real: share of real texts with a word that no other real text has.
    giveaways: list of what tells most, in words.
    made, real: texts compared.
"""


class TwoSample(evaluate.Measurement):
    """`two_sample_auc` of :mod:`hf_oversample.metrics.screening`."""

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
        known: Sequence[str] = (),
        language: str = "en",
        seed: int = 0,
    ) -> dict[str, Any]:
        found = two_sample_auc(
            reference,
            data,
            known=known,
            language=language,  # type: ignore[arg-type]
            seed=seed,
        )
        return found.to_dict()
