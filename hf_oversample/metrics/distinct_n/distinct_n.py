"""Different n-grams per n-gram, as an `evaluate` measurement."""

from __future__ import annotations

from collections.abc import Sequence

import datasets
import evaluate

from hf_oversample.metrics.texts import distinct_n, distinct_share

_DESCRIPTION = """Diversity of generated texts: different n-grams per n-gram over all texts (Li et
al. 2016), and different texts per text. It falls as the number of texts grows: compare equally
large collections only."""
_INPUTS = """
Args:
    data: list of texts.
    orders: list of n; default [1, 2].
    language: "en" or "zh"; default "en".
Returns:
    distinct: different texts per text.
    distinct_1, distinct_2, ...: for each n; NaN where no text has so many tokens.
"""
_CITATION = """@inproceedings{li2016diversity,
  title={A Diversity-Promoting Objective Function for Neural Conversation Models},
  author={Li, Jiwei and Galley, Michel and Brockett, Chris and Gao, Jianfeng and Dolan, Bill},
  booktitle={NAACL}, year={2016}}"""


class DistinctN(evaluate.Measurement):
    """`distinct_n` of :mod:`hf_oversample.metrics.texts`."""

    def _info(self) -> evaluate.MeasurementInfo:
        return evaluate.MeasurementInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features({"data": datasets.Value("string")}),
        )

    def _compute(
        self, data: Sequence[str], orders: Sequence[int] = (1, 2), language: str = "en"
    ) -> dict[str, float]:
        values = {
            f"distinct_{n}": distinct_n(data, n, language=language)  # type: ignore[arg-type]
            for n in orders
        }
        return {"distinct": distinct_share(data), **values}
