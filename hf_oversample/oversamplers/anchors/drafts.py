"""Drawing texts again until they pass the gate, and the real rows that stand in for the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from hf_oversample.models.writers.requests import Draft, Refused
from hf_oversample.numeric import noise
from hf_oversample.text.words import normalized

TRIES_USED_UP = "tries used up"
Draw = Callable[[list[int], int], Sequence[Draft]]
Judge = Callable[[list[int], list[str]], Sequence["str | None"]]


def drawn_until_kept(
    families: Sequence[int], draw: Draw, judge: Judge, max_tries: int
) -> tuple[list[str | None], Counter[str]]:
    """
    Texts for n requests: each is drawn, and drawn again while its draft is rejected.

    Args:
        families: n, the row that each text is made from; of one row no text is kept twice.
        draw: places of requests and the number of the try → their drafts.
        judge: places and drafts → why each is rejected, or None.
        max_tries: drafts of a request at most.

    Returns: n texts, None where the tries are used up; and how many drafts were "kept", or
        rejected by each reason, with the requests whose "tries used up".
    """
    kept: list[str | None] = [None] * len(families)
    siblings: dict[int, set[str]] = {}
    counts: Counter[str] = Counter()
    pending = list(range(len(families)))
    for attempt in range(max_tries):
        if not pending:
            break
        drafts = dict(zip(pending, draw(pending, attempt), strict=True))
        written = {i: draft for i, draft in drafts.items() if isinstance(draft, str)}
        places = list(written)
        reasons = dict(zip(places, judge(places, list(written.values())), strict=True))
        rejected = []
        for i, draft in drafts.items():
            brothers = siblings.setdefault(int(families[i]), set())
            reason = draft.reason if isinstance(draft, Refused) else reasons[i]
            if reason is None and normalized(written[i]) in brothers:
                reason = "sibling"
            if reason is None:
                kept[i] = written[i]
                brothers.add(normalized(written[i]))
            else:
                rejected.append(i)
            counts["kept" if reason is None else reason] += 1
        pending = rejected
    counts[TRIES_USED_UP] += len(pending)
    return kept, counts


def stand_in(rows: int, seed: int, key: tuple[int, int]) -> int:
    """
    Which of a class's rows stands in for a text that was not made.

    Args:
        rows: how many there are.
        seed: of the draw.
        key: row and number of the child.
    """
    return int(noise.integers(rows, seed, noise.stream("resampled"), *key))


def class_rows(labels: np.ndarray, texts: Sequence[str], code: int) -> tuple[list[int], list[str]]:
    """A class's rows and their texts, which may stand in."""
    rows = np.flatnonzero(labels == code).tolist()
    return rows, [texts[row] for row in rows]
