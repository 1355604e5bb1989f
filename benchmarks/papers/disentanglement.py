"""How well single codes stand for single factors: the score of Kim and Mnih (ICML 2018, section 4).

The Bayesian-network GAN's paper reports it on dSprites (Figure 4b).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from hf_oversample.numeric import noise

# A code whose deviation is below this share of the largest one's is constant but for rounding. Not
# more: codes have units of their own.
_COLLAPSED = 1e-6

Encoder = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.floating]]


def kim_mnih_score(
    encode: Encoder,
    random_factors: Callable[[int, int], npt.NDArray[np.float64]],
    num_factors: int,
    *,
    votes: int = 800,
    rows_per_vote: int = 64,
    rows_for_scale: int = 2000,
    seed: int = 0,
) -> float:
    """Accuracy with which the code that varies least names the factor that was held fixed.

    For a vote, one factor is held at one value in ``rows_per_vote`` rows whose other factors are
    random; the code with the least variance, relative to its variance over all data, votes. A
    majority-vote classifier from codes to factors is fitted on half of the votes and scored on the
    other half (the paper scores it on those it was fitted on).

    Args:
        encode: factors [n, num_factors] → codes [n, codes] of rows that have them.
        random_factors: (n, seed) → factors [n, num_factors].
        num_factors: factors.
        votes: in all.
        rows_per_vote: rows of one vote.
        rows_for_scale: rows that the codes' variances are taken from.
        seed: of the draws.

    Returns:
        accuracy from 0 to 1; guessing gives 1 / num_factors.
    """
    scale = np.asarray(encode(random_factors(rows_for_scale, _seed(seed, 0)))).std(axis=0)
    alive = np.flatnonzero(scale > _COLLAPSED * scale.max())
    if not len(alive):
        return 1 / num_factors
    fixed = noise.integers(num_factors, seed, noise.stream("kim mnih"), np.arange(votes))
    factors = random_factors(votes * rows_per_vote, _seed(seed, 1)).reshape(
        votes, rows_per_vote, num_factors
    )
    for vote, factor in enumerate(fixed):
        factors[vote, :, factor] = factors[vote, 0, factor]
    codes = np.asarray(encode(factors.reshape(-1, num_factors))).reshape(votes, rows_per_vote, -1)
    spread = codes.std(axis=1)[:, alive] / scale[alive]
    chosen = spread.argmin(axis=1)
    table = np.zeros((len(alive), num_factors), dtype=np.int64)
    np.add.at(table, (chosen[::2], fixed[::2]), 1)
    return float((table.argmax(axis=1)[chosen[1::2]] == fixed[1::2]).mean())


def _seed(seed: int, use: int) -> int:
    return int(noise.hash_counters(seed, noise.stream("kim mnih rows"), use) >> np.uint64(1))
