"""What a writer is asked for, of each child of a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from hf_oversample.models.writers.encoding import start_of
from hf_oversample.models.writers.requests import WritingRequest
from hf_oversample.neighbors.difficult import nearest_neighbors
from hf_oversample.numeric import noise
from hf_oversample.oversamplers.anchors.plan import OWN_ANCHOR
from hf_oversample.oversamplers.plan import Plan
from hf_oversample.text.words import Segmenter


@dataclass
class RequestMaker:
    """
    Makes the requests of a plan; each is a function of the seed, the row, the child and the try.

    Args:
        texts, labels, places: `n` rows, their class codes and their embeddings.
        segmenter: the language's words.
        codes: of a class code, the writer's own.
        seed: of every draw.
        least_kept, most_kept: share of its source's words that a text keeps, between these.
        least_words: of a source that a text keeps: 0 where its latent says what it is about.
        examples: texts of the class that a prompt shows; None for a writer that is not prompted,
            which keeps a start instead.
    """

    texts: Sequence[str]
    labels: np.ndarray
    places: np.ndarray
    segmenter: Segmenter
    codes: Sequence[int]
    seed: int
    least_kept: float
    most_kept: float
    least_words: int
    examples: int | None
    _neighbors: dict[tuple[int, int], str] = field(default_factory=dict)

    def __call__(self, plan: Plan, i: int, attempt: int) -> WritingRequest:
        """The request of entry `i` of the plan, at a try."""
        row, child = int(plan.parent[i]), int(plan.child[i])
        label, avoid = int(plan.label[i]), int(plan.extra["avoid"][i])
        key = (row, child, attempt)
        source, kept, neighbor = self.texts[row], 0, ""
        examples: tuple[str, ...] = ()
        is_own = int(plan.extra["kind"][i]) == OWN_ANCHOR
        if self.examples is None:
            drawn = float(noise.uniform(self.seed, noise.stream("kept start"), *key))
            share = self.least_kept + (self.most_kept - self.least_kept) * drawn
            kept = start_of(source, self.segmenter, share, len(source), self.least_words)
        else:
            examples = self._examples(label, row, key)
            neighbor = self._neighbor(row, avoid) if is_own else source
        return WritingRequest(
            source,
            kept,
            label=self.codes[label],
            avoid=self.codes[avoid],
            key=key,
            is_own=is_own,
            neighbor=neighbor,
            examples=examples,
        )

    def _examples(self, label: int, row: int, key: tuple[int, ...]) -> tuple[str, ...]:
        own = np.flatnonzero(self.labels == label)
        own = own[own != row]
        order = noise.generator(self.seed, noise.stream("examples"), *key).permutation(own)
        return tuple(self.texts[other] for other in order[: self.examples].tolist())

    def _neighbor(self, row: int, avoid: int) -> str:
        if (row, avoid) not in self._neighbors:
            others = np.flatnonzero(self.labels == avoid)
            _, found = nearest_neighbors(self.places[[row]], self.places[others], 1)
            self._neighbors[row, avoid] = self.texts[int(others[int(found[0, 0])])]
        return self._neighbors[row, avoid]
