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


@dataclass(frozen=True)
class PooledTest:
    """Difference of two methods over several tasks.

    Attributes:
        mean: of the tasks' mean differences a − b; every task counts alike.
        p_value: two-sided, of Welch's t-test of that mean; NaN where all differences of every task
            are equal.
        half_width: half of its 95 % interval.
        tasks: their number.
        runs: pairs in all.
    """

    mean: float
    p_value: float
    half_width: float
    tasks: int
    runs: int

    def is_within(self, margin: float) -> bool:
        """Whether the 95 % interval lies within ± `margin`: a region of practical equivalence. A
        difference that is not significant may be of any size; one that is within it is none."""
        return not math.isnan(self.p_value) and abs(self.mean) + self.half_width <= margin


def pooled_test(tests: Sequence[PairedTest], overlaps: Sequence[float] | None = None) -> PooledTest:
    """A stratified test: the mean over tasks of paired differences, each task with a spread of its
    own (Welch 1947, with Satterthwaite's degrees of freedom). It speaks of these tasks, not of
    others that might have been drawn.

    Args:
        tests: of each task, see :func:`paired_test`.
        overlaps: of each task, as there; default 0.

    Raises:
        ValueError: no task, or another number of overlaps.
    """
    shared = [0.0] * len(tests) if overlaps is None else list(overlaps)
    if not tests or len(shared) != len(tests):
        raise ValueError(f"{len(tests)} tests and {len(shared)} overlaps: one each is needed")
    variances = np.asarray(
        [t.sd**2 * (1 / t.runs + part) for t, part in zip(tests, shared, strict=True)]
    )
    mean, runs = float(np.mean([t.mean for t in tests])), sum(t.runs for t in tests)
    if all(t.is_constant for t in tests):
        return PooledTest(mean, float("nan"), 0.0, len(tests), runs)
    error = float(np.sqrt(variances.sum())) / len(tests)
    freedom = variances.sum() ** 2 / sum(
        v**2 / (t.runs - 1) for v, t in zip(variances, tests, strict=True)
    )
    p_value = float(2 * stats.t.sf(abs(mean) / error, freedom))
    half_width = float(stats.t.ppf(0.975, freedom)) * error
    return PooledTest(mean, p_value, half_width, len(tests), runs)


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
