"""How alike generated texts are, as an `evaluate` measurement."""

from __future__ import annotations

from collections.abc import Sequence

import datasets
import evaluate

from hf_oversample.metrics.texts import self_bleu

_DESCRIPTION = """Mean BLEU-4 of each text against the others: 1 where all are alike. It depends on
how many texts are compared: compare equal samples only."""
_INPUTS = """
Args:
    data: list of texts, at least two.
    sample: how many to draw; all where there are fewer. Default 200.
    seed: of the draw; default 0.
    language: "en" or "zh"; default "en".
Returns:
    self_bleu
"""
_CITATION = """@inproceedings{zhu2018texygen,
  title={Texygen: A Benchmarking Platform for Text Generation Models},
  author={Zhu, Yaoming and Lu, Sidi and Zheng, Lei and Guo, Jiaxian and Zhang, Weinan and Wang, Jun
    and Yu, Yong}, booktitle={SIGIR}, year={2018}}"""


class SelfBleu(evaluate.Measurement):
    """`self_bleu` of :mod:`hf_oversample.metrics.texts`."""

    def _info(self) -> evaluate.MeasurementInfo:
        return evaluate.MeasurementInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features({"data": datasets.Value("string")}),
        )

    def _compute(
        self, data: Sequence[str], sample: int = 200, seed: int = 0, language: str = "en"
    ) -> dict[str, float]:
        value = self_bleu(data, sample, seed, language=language)  # type: ignore[arg-type]
        return {"self_bleu": value}
