"""Which texts MISO's anchors start from, and how many each gives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hf_oversample.neighbors.difficult import DifficultSamples, difficult_samples
from hf_oversample.oversamplers.anchors.judge import LinearJudge
from hf_oversample.oversamplers.plan import Plan
from hf_oversample.oversamplers.strategy import spread

# kinds of children in a plan
OWN_ANCHOR, MAJORITY_ANCHOR, COPY = range(3)
SOURCES = ("outvoted", "minority", "majority")
"""By default: rows that other classes outvote, then all rows of the class, and rows of others."""
ALL_SOURCES = ("outvoted", "difficult", "minority", "majority")


class AnchorPlanner:
    """
    Draws up the children of the classes that grow, one class after the other.

    A row of another class is the source of one anchor in all.

    Args:
        embeddings: `[n, d]` of the data set's rows, the space of neighbours (section 7.1).
        labels: `[n]`, class codes.
        judge: says which rows of other classes are next to a class.
        k: neighbours that say what is difficult.
        sources: among `ALL_SOURCES`. "outvoted" and "difficult" are rows of the class as
            :class:`~hf_oversample.neighbors.difficult.DifficultSamples` tells them; the most
            outvoted come first in any case.
        anchor_share: share of a class's children that are anchors.
        max_anchors_per_source: anchors that one row of the class gives at most.
        majority_share: share of the anchors that starts from rows of other classes.
        seed: chooses the rows that are repeated once more than others.

    Attributes:
        difficult_share: class code → share of its rows that have a neighbour of another class.
        outvoted_share: class code → share of its rows that other classes outvote.
    """

    def __init__(
        self,
        embeddings: np.ndarray,
        labels: np.ndarray,
        judge: LinearJudge,
        *,
        k: int,
        sources: Sequence[str],
        anchor_share: float,
        max_anchors_per_source: int,
        majority_share: float,
        seed: int,
    ):
        self.embeddings, self.labels, self.judge = embeddings, labels, judge
        self.k, self.sources, self.seed = min(k, len(labels) - 1), tuple(sources), seed
        self.anchor_share, self.majority_share = anchor_share, majority_share
        self.max_anchors_per_source = max_anchors_per_source
        self.difficult_share: dict[int, float] = {}
        self.outvoted_share: dict[int, float] = {}
        self.used: set[int] = set()
        # parent, label, kind, class to avoid
        self.entries: list[tuple[int, int, int, int]] = []

    def add_class(self, code: int, total: int) -> None:
        """
        `total` children of class `code`: anchors of its own rows (the most outvoted first),
        anchors of other classes' rows, and repeated rows.
        """
        samples = difficult_samples(self.embeddings, self.labels, k=self.k, minority=[code])
        self.difficult_share[code] = samples.share()
        self.outvoted_share[code] = samples.outvoted_share()
        rows, own = samples.rows, self._own_sources(samples)
        # the class that most of a row's confusers are of, else the largest other class
        counts = np.bincount(self.labels)
        largest = int(np.argmax(np.where(np.arange(len(counts)) == code, -1, counts)))
        avoid = [
            int(np.bincount(self.labels[row[row >= 0]]).argmax()) if (row >= 0).any() else largest
            for row in samples.confusers
        ]
        anchors = round(self.anchor_share * total)
        capacity = len(own) * self.max_anchors_per_source
        entries: list[tuple[int, int, int, int]] = []
        if "majority" in self.sources:
            wanted = anchors - min(capacity, round(anchors * (1 - self.majority_share)))
            for row in self._other_sources(code, wanted).tolist():
                self.used.add(row)
                entries.append((row, code, MAJORITY_ANCHOR, int(self.labels[row])))
        # a first anchor for each source, then a second …
        for number in range(min(capacity, anchors - len(entries))):
            place = own[number % len(own)]
            entries.append((int(rows[place]), code, OWN_ANCHOR, avoid[place]))
        repeats = spread(total - len(entries), rows, self.seed)
        for row, count in zip(rows.tolist(), repeats.tolist(), strict=True):
            entries += [(row, code, COPY, largest)] * count
        self.entries += entries

    def _own_sources(self, samples: DifficultSamples) -> np.ndarray:
        """Places among the samples, the most outvoted first."""
        own = np.argsort(-samples.weighted_other_share, kind="stable")
        if "minority" in self.sources:
            return own
        chosen = np.zeros(len(own), bool)
        if "outvoted" in self.sources:
            chosen |= samples.is_outvoted
        if "difficult" in self.sources:
            chosen |= samples.is_difficult
        return own[chosen[own]]

    def _other_sources(self, code: int, wanted: int) -> np.ndarray:
        """
        Rows of other classes nearest to the class by the judge's margin, at most `wanted`.

        Those that the judge places with the class are left out: they are noisy labels more often
        than not.
        """
        others = np.flatnonzero(self.labels != code)
        others = others[[row not in self.used for row in others.tolist()]]
        margin = self.judge.margin(self.embeddings[others], np.full(len(others), code))
        below = np.flatnonzero(margin < 0)
        order = below[np.argsort(-margin[below], kind="stable")]
        return np.sort(others[order[:wanted]])

    def plan(self) -> Plan:
        """All children; `extra` holds each one's `kind` and the class that it is led away from."""
        columns = np.asarray(self.entries, np.int64).reshape(-1, 4)
        columns = columns[np.argsort(columns[:, 0], kind="stable")]
        parent, label, kind, avoid = columns.T
        child = np.arange(len(parent)) - np.searchsorted(parent, parent)
        return Plan.build(parent, child, label, {"kind": kind, "avoid": avoid})
