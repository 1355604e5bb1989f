"""Which words of a source an edit prefers to replace: those that pull it to the other class."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hf_oversample.oversamplers.anchors.judge import LinearJudge
from hf_oversample.oversamplers.anchors.plan import MAJORITY_ANCHOR, OWN_ANCHOR
from hf_oversample.oversamplers.miso.models import MisoModels
from hf_oversample.oversamplers.plan import IntArray, Plan
from hf_oversample.text.encoding import EncodedText


def focus_weights(
    models: MisoModels,
    judge: LinearJudge,
    plan: Plan,
    positions: IntArray,
    encoded: Mapping[int, EncodedText],
    *,
    majority: float,
    own: float,
) -> dict[int, np.ndarray]:
    """
    Log-weights with which the words of sources are drawn to be replaced.

    A word's weight is how much it pulls the judge to the class that the anchor is led away from,
    standardised over its text's words, times a strength. Words of an anchor's own class thus tend
    to stay, and those that confuse it go.

    Args:
        models: whose states the judge reads.
        judge: fitted on what `models.embed` gives.
        plan: n children.
        positions: `[n]`, which text each child starts from.
        encoded: position → the text; children of other positions have no weights.
        majority: strength in texts of other classes; 0 draws words evenly.
        own: strength in texts of the anchors' own class; 0 draws words evenly.

    Returns: child → `[words]`. Children whose words are drawn evenly are left out, as are those of
    one word, and those whose words pull alike.
    """
    kinds, strengths = plan.extra["kind"], {MAJORITY_ANCHOR: majority, OWN_ANCHOR: own}
    wanted = [
        i
        for i, kind in enumerate(kinds.tolist())
        if strengths.get(kind) and int(positions[i]) in encoded
    ]
    # children of one text share its pulls
    keys = {i: (int(positions[i]), int(plan.extra["avoid"][i]), int(plan.label[i])) for i in wanted}
    distinct = list(dict.fromkeys(keys.values()))
    if not distinct:
        return {}
    places, toward, away = zip(*distinct, strict=True)
    sources = [encoded[place] for place in places]
    pulls = models.word_pulls(judge, sources, np.asarray(toward), np.asarray(away))
    by_key = dict(zip(distinct, pulls, strict=True))
    result = {}
    for i, key in keys.items():
        pull = by_key[key]
        deviation = pull.std()
        if len(pull) > 1 and deviation > 0:
            result[i] = strengths[int(kinds[i])] * (pull - pull.mean()) / deviation
    return result
