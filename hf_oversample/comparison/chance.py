"""Whether a model is shown to rank rows better than chance: what a gain has to rest on.

On rows that hold nothing to learn, whoever guesses the minority more often has the higher F1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from hf_oversample.comparison.problem import Problem
from hf_oversample.comparison.records import Cell
from hf_oversample.metrics.statistics import paired_test

OF_ALL_CLASSES = (
    *("macro_f1", "macro_f1_tuned", "balanced_accuracy"),
    *("macro_average_precision", "macro_roc_auc"),
)
"""Measures of several classes that the minority alone does not decide."""


@dataclass(frozen=True)
class ChanceTest:
    """A ROC AUC against 0.5.

    Attributes:
        area: its mean over the runs.
        half_width: half of the 95 % interval around it.
        p_value: one-sided, of an area above 0.5.
    """

    area: float
    half_width: float
    p_value: float


def area_behind(problem: Problem, metric: str) -> tuple[str, str | None]:
    """The ROC AUC that a gain in a measure has to rest on, and whose it is.

    Returns:
        The AUC's name among a cell's metrics, and the class that it tells from the others: the
        minority, the class of `f1/NAME` and `recall/NAME`, or None for the mean over the classes,
        which answers for macro averages of several classes.
    """
    minority = problem.class_names[problem.minority]
    if problem.is_binary:
        return "roc_auc", minority
    _, slash, name = metric.partition("/")
    if slash:
        return f"roc_auc/{name}", name
    return ("macro_roc_auc", None) if metric in OF_ALL_CLASSES else ("roc_auc", minority)


def chance_test(problem: Problem, cells: Sequence[Cell], metric: str) -> ChanceTest | None:
    """Tests whether a remedy's models rank rows better than chance; None for fewer than two runs.

    Runs on the same test rows all err alike there: an area of 0.54 in each of them may be those
    rows' chance. They are held against what labels drawn at random would give, whose variance is
    known (Mann and Whitney 1947). Runs with test rows of their own are held against each other, by
    the t-test of :func:`~hf_oversample.metrics.statistics.paired_test`.

    Args:
        problem: the rows.
        cells: of one classifier and remedy.
        metric: what a gain would be in.
    """
    name, label = area_behind(problem, metric)
    areas = [cell.metrics[name] for cell in cells if name in cell.metrics]
    if len(areas) < 2:
        return None
    area = float(np.mean(areas))
    if _share_test_rows(problem):
        code = None if label is None else problem.class_names.index(label)
        error = chance_sd(problem.splits[0].test.labels, code)
        p_value = float(stats.norm.sf((area - 0.5) / error))
        return ChanceTest(area, float(stats.norm.ppf(0.975)) * error, p_value)
    test = paired_test(areas, [0.5] * len(areas), problem.overlap)
    if test.is_constant:
        return ChanceTest(area, 0.0, 0.0 if test.mean > 0 else 1.0)
    p_value = test.p_value / 2 if test.mean > 0 else 1 - test.p_value / 2
    return ChanceTest(area, test.half_width, p_value)


def chance_sd(labels: np.ndarray, code: int | None = None) -> float:
    """Standard deviation of a ROC AUC over labels in random order: √((n + m + 1) / (12 n m)) of n
    rows of a class and m others (Mann and Whitney 1947).

    Args:
        labels: `[n + m]` class ids; or bool `[n + m, labels]`.
        code: the class; None: of the mean over the classes that have rows, at most.
    """
    if labels.ndim == 2:
        kinds = labels if code is None else labels[:, [code]]
        kinds = kinds[:, kinds.any(axis=0) & ~kinds.all(axis=0)]
        having = kinds.sum(axis=0).astype(float)
        return float(np.sqrt((len(labels) + 1) / (12 * having * (len(labels) - having))).mean())
    present = np.unique(labels) if code is None else [code]
    own = np.array([(labels == one).sum() for one in present], float)
    return float(np.sqrt((len(labels) + 1) / (12 * own * (len(labels) - own))).mean())


def _share_test_rows(problem: Problem) -> bool:
    first, *others = [split.test.texts for split in problem.splits] or [[]]
    return bool(others) and all(one == first for one in others)
