"""The texts of a plan: drafts that the gate lets through, and real rows where there are none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hf_oversample.models.writers.requests import Draft, Writer
from hf_oversample.oversamplers.anchors.drafts import class_rows, drawn_until_kept, stand_in
from hf_oversample.oversamplers.anchors.gate import TextGate
from hf_oversample.oversamplers.anchors.plan import COPY
from hf_oversample.oversamplers.base import RESAMPLED, SYNTHETIC
from hf_oversample.oversamplers.language_model.judging import JudgingModels
from hf_oversample.oversamplers.language_model.requests import RequestMaker
from hf_oversample.oversamplers.plan import IntArray, Plan


@dataclass
class Written:
    """
    What came of a plan of `m` entries.

    Args:
        texts: m texts.
        origins, parents: `[m]`, what each is, and the row that it is of.
        counts: the gate's reasons, "tries used up", and "kept".
    """

    texts: list[str]
    origins: IntArray
    parents: IntArray
    counts: Counter[str]


def written_texts(
    plan: Plan,
    texts: Sequence[str],
    labels: np.ndarray,
    gate: TextGate,
    models: JudgingModels,
    writer: Writer,
    request: RequestMaker,
    *,
    max_tries: int,
    seed: int,
) -> Written:
    """
    Write a plan's texts.

    Args:
        plan: what is asked for.
        texts, labels: of the data set's rows.
        gate, models: what lets a draft through, and what it judges with.
        writer: writes drafts of what `request` makes.
        max_tries: how often a text is drawn before a real row of its class takes its place.
        seed: of the choice of that row.
    """
    asked = np.flatnonzero(plan.extra["kind"] != COPY)

    def draw(places: list[int], attempt: int) -> list[Draft]:
        return writer([request(plan, i, attempt) for i in asked[places].tolist()])

    def judge(places: list[int], drafts: list[str]) -> list[str | None]:
        rows = asked[places]
        sources = [texts[row] for row in plan.parent[rows].tolist()]
        return gate.reasons(models, drafts, sources, plan.label[rows])

    kept, counts = drawn_until_kept(plan.parent[asked].tolist(), draw, judge, max_tries)
    made = [texts[row] for row in plan.parent.tolist()]
    origins = np.where(plan.extra["kind"] == COPY, RESAMPLED, SYNTHETIC)
    parents = plan.parent.copy()
    for i, text in zip(asked.tolist(), kept, strict=True):
        if text is not None:
            made[i] = text
            continue
        rows, own = class_rows(labels, texts, int(plan.label[i]))
        pick = stand_in(len(rows), seed, (int(plan.parent[i]), int(plan.child[i])))
        made[i], origins[i], parents[i] = own[pick], RESAMPLED, rows[pick]
    return Written(made, origins, parents, counts)
