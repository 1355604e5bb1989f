"""Texts as Markov chains of words whose transitions are partly another class's (EMCO).

Avela and Ilmonen, *Extrapolated Markov Chain Oversampling Method for Imbalanced Text
Classification*, JMLR 27(18), 2026, as the authors' code computes it. A class's words go on as they
do in its own texts, and, counted γ times, as they do in the texts of others; so a chain reaches
words that only others have, and comes back from them by the class's own word frequencies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from hf_oversample.numeric import noise

IntArray = npt.NDArray[np.int64]
Words = Sequence[str]


@dataclass(frozen=True, eq=False)
class MarkovChain:
    """
    A class's chain. States are v words and, last, the gap between two texts.

    Args:
        words: v words: first the `own` ones that the class has, then those that only others have.
        own: how many words the class has.
        probabilities: `[own + 2, v + 1]`, each row of sum 1: of each own word, then of every word
            that only others have, then of the gap.
    """

    words: list[str]
    own: int
    probabilities: sparse.csr_array

    @classmethod
    def fit(cls, own: Sequence[Words], others: Sequence[Words], gamma: float = 1.0) -> Self:
        """
        The chain of a class's texts.

        Args:
            own: its texts as words; those without a word do not count.
            others: the texts of all other classes.
            gamma: γ, what a transition in them counts; 0: they have no part in it.

        Raises:
            ValueError: γ is negative or no number, or the class has no word.
        """
        if not 0 <= gamma < np.inf:  # also false for NaN
            raise ValueError(f"gamma={gamma} must be a number of at least 0")
        own = [text for text in own if len(text)]
        if not own:
            raise ValueError("there is no text with a word to make a chain of")
        codes: dict[str, int] = {}
        for word in chain.from_iterable(own):
            codes.setdefault(word, len(codes))
        number = len(codes)
        if gamma > 0:
            for word in chain.from_iterable(others):
                codes.setdefault(word, len(codes))
        gap = len(codes)
        # A gap stands before, between and behind the texts, and begins and ends each of them.
        first, second = _transitions(own, codes, gap)
        weights = np.ones(len(first))
        if gamma > 0:
            start, end = _transitions(others, codes, gap)
            # Only the class's own texts tell how its texts begin and end.
            taken = (start < number) & (end != gap)
            first, second = np.append(first, start[taken]), np.append(second, end[taken])
            weights = np.append(weights, np.full(int(taken.sum()), gamma))
        rows = np.where(first == gap, number + 1, first)
        counts = sparse.coo_array((weights, (rows, second)), shape=(number + 2, gap + 1))
        frequency = np.bincount([codes[word] for word in chain.from_iterable(own)])
        returns = sparse.coo_array(
            (frequency, (np.full(number, number), np.arange(number))), shape=counts.shape
        )
        table = sparse.csr_array(counts + returns, dtype=np.float64)
        table.sum_duplicates()
        table.data /= np.repeat(table.sum(axis=1), np.diff(table.indptr))
        return cls(list(codes), number, table)

    def sample(self, lengths: IntArray, seed: int, *counters: IntArray) -> list[list[str]]:
        """
        Texts, each a function of the seed, its own counters and the chain.

        Args:
            lengths: `[m]` words of each text, at least 1. A chain that comes to its end before
                goes on as a text begins.
            seed: of all draws.
            counters: `[m]` each; they tell a text from all others.

        Returns:
            m texts as words.

        Raises:
            ValueError: a length below 1.
        """
        wanted = np.asarray(lengths, np.int64)
        if (wanted < 1).any():
            raise ValueError(f"lengths has {int(wanted.min())}; a text has 1 word at least")
        if not len(wanted):
            return []
        gap, address = len(self.words), noise.stream("markov chain")
        # Row r's chances are the stretch [starts[r], ends[r]) of these sums, which all rows share.
        sums, indptr = np.cumsum(self.probabilities.data), self.probabilities.indptr.astype(int)
        ends = sums[indptr[1:] - 1]
        starts = np.append(0.0, ends[:-1])
        left, state = wanted.copy(), np.full(len(wanted), gap)
        text, word = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        going, draw = np.flatnonzero(left), 0
        while len(going):
            row = np.where(state[going] == gap, self.own + 1, np.minimum(state[going], self.own))
            u = noise.uniform(seed, address, *(counter[going] for counter in counters), draw)
            places = np.searchsorted(sums, starts[row] + u * (ends[row] - starts[row]), "right")
            places = np.clip(places, indptr[row], indptr[row + 1] - 1)  # sums are rounded
            state[going] = self.probabilities.indices[places]
            drawn = going[state[going] != gap]
            text.append(drawn)
            word.append(state[drawn])
            left[drawn] -= 1
            going, draw = going[left[going] > 0], draw + 1
        order = np.argsort(np.concatenate(text), kind="stable")
        parts = np.split(np.concatenate(word)[order], np.cumsum(wanted)[:-1])
        return [[self.words[code] for code in part.tolist()] for part in parts]


def _transitions(
    texts: Sequence[Words], codes: dict[str, int], gap: int
) -> tuple[IntArray, IntArray]:
    """From what to what each step of the texts goes; a word that stands twice is no step."""
    steps = [gap]
    for text in texts:
        if len(text):
            steps += [codes[word] for word in text]
            steps.append(gap)
    states = np.asarray(steps, np.int64)
    moves = states[:-1] != states[1:]
    return states[:-1][moves], states[1:][moves]
