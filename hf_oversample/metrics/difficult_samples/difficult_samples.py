"""Difficult minority rows: their share and F1 on them, as an `evaluate` metric."""

from __future__ import annotations

from collections.abc import Sequence

import datasets
import evaluate

from hf_oversample.metrics.difficult import difficult_report

_DESCRIPTION = """Difficult samples (MISO, section 7.1): minority rows with a row of another class
among their k nearest neighbours. Their share, and F1 of the minority over the difficult ones and
over the others, each with all rows of other classes. With few minority rows nearly all are
difficult; the same for rows that other classes outvote, votes weighted by class size, means
something at any ratio."""
_INPUTS = """
Args:
    predictions: list of predicted class ids.
    references: list of true class ids.
    embeddings: list of embeddings, one a row: where neighbours are looked for.
    minority: the class; default 1.
    k: neighbours; default 5.
Returns:
    difficult_share, f1_difficult, f1_other: of rows with a neighbour of another class.
    outvoted_share, f1_outvoted, f1_not_outvoted: of rows that other classes outvote.
    difficult_share_by_chance, outvoted_share_by_chance: the shares, if labels were dealt at random.
    own_lift: neighbours of the own class over what chance gives; 1 is chance.
    F1 is NaN where there is no such row.
"""


class DifficultSamples(evaluate.Metric):
    """`difficult_report` of :mod:`hf_oversample.metrics.difficult`."""

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

    def _compute(
        self,
        predictions: Sequence[int],
        references: Sequence[int],
        embeddings: Sequence[Sequence[float]],
        minority: int = 1,
        k: int = 5,
    ) -> dict[str, float]:
        return difficult_report(predictions, references, embeddings, minority=minority, k=k)
