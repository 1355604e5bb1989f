"""Whether two methods differ over the same seeds or folds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class PairedTest:
    """Difference of two methods over paired runs.

    Attributes:
        mean: mean of a − b.
        sd: standard deviation of a − b over the runs (n − 1).
        p_value: two-sided, of Student's paired t-test; NaN where all differences are equal, of
            which it has nothing to say.
        wins: runs in which a is above b.
        runs: number of pairs.
        half_width: half of the 95 % interval around the mean; 0 where all differences are equal.
    """

    mean: float
    sd: float
    p_value: float
    wins: int
    runs: int
    half_width: float = 0.0

    @property
    def is_constant(self) -> bool:
        """Whether all differences are equal, so that no test over the runs is possible."""
        return math.isnan(self.p_value)


def paired_test(a: Sequence[float], b: Sequence[float], overlap: float = 0.0) -> PairedTest:
    """Student's paired t-test, or the corrected resampled one (Nadeau and Bengio 2003).

    The folds of a cross-validation share most of their training rows, so their results differ less
    than those of new data would, and the plain test finds differences where there are none. The
    corrected one takes (1/n + overlap) · s² for the variance of the mean instead of s²/n.

    Args:
        a: the results of one method, a run each.
        b: those of the other, of the same seeds or folds in the same order.
        overlap: test rows over training rows of a fold (1/4 for five folds); 0: the plain test, for
            seeds on one split.

    Raises:
        ValueError: lengths differ, there are fewer than two runs, a result is not finite, or the
            overlap is negative.
    """
    if not overlap >= 0:
        raise ValueError(f"overlap={overlap} must be at least 0")
    first, second = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if first.shape != second.shape or first.ndim != 1 or len(first) < 2:
        raise ValueError(f"{first.shape} and {second.shape}: at least two pairs of runs are needed")
    differences = first - second
    if not np.isfinite(differences).all():
        raise ValueError(f"run {int(np.flatnonzero(~np.isfinite(differences))[0])} is not finite")
    sd = float(differences.std(ddof=1))
    # Rounding leaves a tiny spread in equal differences, which a t-test takes for certainty.
    constant = sd <= 1e-12 * max(1.0, float(np.abs(differences).max()))
    runs, mean = len(differences), float(differences.mean())
    p_value, half_width = float("nan"), 0.0
    if not constant:
        error = sd * float(np.sqrt(1 / runs + overlap))
        p_value = float(2 * stats.t.sf(abs(mean) / error, runs - 1))
        half_width = float(stats.t.ppf(0.975, runs - 1)) * error
    return PairedTest(mean, sd, p_value, int((differences > 0).sum()), runs, half_width)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number (Holm 1979), in the order given.

    Raises:
        ValueError: one is not in [0, 1].
    """
    values = np.asarray(p_values, dtype=float)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"p-values must be in [0, 1], found {values.tolist()}")
    order = np.argsort(values, kind="stable")
    steps = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(steps, 1.0)
    return [float(value) for value in adjusted]
