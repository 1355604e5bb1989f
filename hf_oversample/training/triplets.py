"""Rows of triplets: a rare anchor, a rare positive that is not difficult, a hard negative."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hf_oversample.numeric import noise
from hf_oversample.training.contrastive import RareClass

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Triplets:
    """
    Row numbers of t triplets.

    Args:
        anchor: `[t]` a rare row.
        positive: `[t]` another row of its class, or the number of a made text of it.
        negative: `[t]` a near row of another class.
        is_made: bool `[t]`, whether the positive is a made text.
    """

    anchor: IntArray
    positive: IntArray
    negative: IntArray
    is_made: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.anchor)


def draw_triplets(
    classes: Mapping[int, RareClass],
    made: Mapping[int, IntArray],
    *,
    per_text: int,
    made_share: float,
    seed: int,
) -> Triplets:
    """
    Triplets of each rare row, in the order of classes and rows.

    A row's triplets are a function of the seed, its number and its class's rows. Its positives
    repeat only when every one that it may have was drawn.

    Args:
        classes: each rare class's rows, which of them are difficult, and their hard negatives,
            nearest first.
        made: class → numbers of the made texts of it; none where there are none.
        per_text: triplets of each rare row; as many as it has hard negatives where that is less.
        made_share: chance that a positive is a made text, where its class has any.
        seed: of the positives.

    Returns: none of a row that is alone in its class and has no made text beside it.
    """
    anchors, positives, negatives, are_made = [], [], [], []
    for label, of in classes.items():
        written = made.get(label, np.empty(0, np.int64))
        for place, row in enumerate(of.rows.tolist()):
            rng = noise.generator(seed, noise.stream("triplets"), row)
            near = of.hard_negatives[place, :per_text]
            real = _pulled_to(of, place)
            if not len(real) and not len(written):
                continue
            is_made = rng.random(len(near)) < (made_share if len(real) else 1)
            is_made &= len(written) > 0
            chosen = np.empty(len(near), np.int64)
            chosen[~is_made] = _in_turn(real, int((~is_made).sum()), rng)
            chosen[is_made] = _in_turn(written, int(is_made.sum()), rng)
            anchors.append(np.full(len(near), row))
            positives.append(chosen)
            negatives.append(near)
            are_made.append(is_made)
    if not anchors:
        none = np.empty(0, np.int64)
        return Triplets(none, none, none, np.empty(0, bool))
    return Triplets(*map(np.concatenate, (anchors, positives, negatives, are_made)))


def _pulled_to(of: RareClass, place: int) -> IntArray:
    """The other rows of a class that are not difficult; all others where each is."""
    others = np.delete(np.arange(len(of.rows)), place)
    easy = others[~of.is_difficult[others]]
    return of.rows[easy if len(easy) else others]


def _in_turn(rows: IntArray, number: int, rng: np.random.Generator) -> IntArray:
    """`number` of the rows in shuffled order, over and over; the order is drawn in any case."""
    order = rng.permutation(rows)
    return np.resize(order, number) if number else order[:0]
