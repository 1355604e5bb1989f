"""Records of arms over tasks and seeds as a table: means, and differences pooled over the tasks.

A record is a line of JSON with `task`, `seed`, `arm`, `test_at_prior` (a share) and `rows`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tasks import INDEPENDENT

from hf_oversample.hub.tables import markdown_table
from hf_oversample.metrics.statistics import PooledTest, holm, paired_test, pooled_test

EQUAL = 1.0
"""Points within which two arms are called equal."""


def pooled_table(lines: Sequence[dict[str, Any]], arms: Sequence[str], base: str) -> str:
    """Mean and spread over the seeds, an arm a line, a task a column; then differences from the
    base, pooled over the tasks, with Holm's correction for their number."""
    tasks, values = of_tasks(lines, arms)
    pooled = {
        arm: found
        for arm in arms
        if arm != base and (found := pooled_over(tasks, lines, values, arm, base)) is not None
    }
    p_values = [1.0 if math.isnan(one.p_value) else one.p_value for one in pooled.values()]
    corrected = dict(zip(pooled, holm(p_values), strict=True))
    cells = []
    for arm in arms:
        if not any(values[task, arm] for task in tasks):
            continue
        row = [arm]
        for task in tasks:
            own = list(values[task, arm].values())
            spread = f" ± {np.std(own, ddof=1):.1f}" if len(own) > 1 else ""
            row.append(f"{np.mean(own):.1f}{spread}" if own else "–")
        if arm in pooled:
            one = pooled[arm]
            row += [
                f"{one.mean:+.1f} ± {one.half_width:.1f}",
                "< 0.001" if corrected[arm] < 0.001 else f"{corrected[arm]:.3f}",
            ]
            row.append("yes" if one.is_within(EQUAL) else "no")
        else:
            row += ["", "", ""]
        cells.append(row)
    seeds = [max(len(values[task, arm]) for arm in arms) for task in tasks]
    heads = [f"{task} ({number})" for task, number in zip(tasks, seeds, strict=True)]
    last = [
        f"less {base}, over tasks of two seeds or more",
        "p (Holm)",
        f"equal within ± {EQUAL:g}",
    ]
    return markdown_table(["arm", *heads, *last], cells)


def of_tasks(
    lines: Sequence[dict[str, Any]], arms: Sequence[str]
) -> tuple[list[str], dict[tuple[str, str], dict[int, float]]]:
    """The tasks, and task and arm → seed → points."""
    tasks = list(dict.fromkeys(line["task"] for line in lines))
    values: dict[tuple[str, str], dict[int, float]] = {
        (task, arm): {} for task in tasks for arm in arms
    }
    for line in lines:
        if (line["task"], line["arm"]) in values:
            values[line["task"], line["arm"]][line["seed"]] = 100 * line["test_at_prior"]
    return tasks, values


def pooled_over(
    tasks: Sequence[str],
    lines: Sequence[dict[str, Any]],
    values: dict[tuple[str, str], dict[int, float]],
    arm: str,
    base: str,
) -> PooledTest | None:
    """An arm less the base, over the tasks that have two seeds or more of both; None without."""
    tests, overlaps = [], []
    for task in tasks:
        own, other = values[task, arm], values[task, base]
        seeds = sorted(set(own) & set(other))
        if len(seeds) < 2:
            continue
        rows = next(line["rows"] for line in lines if line["task"] == task)
        # seeds that split the same rows anew share most of them
        overlap = 0.0 if task in INDEPENDENT else rows["test"][0] / rows["train"][0]
        tests.append(paired_test([own[s] for s in seeds], [other[s] for s in seeds], overlap))
        overlaps.append(overlap)
    return pooled_test(tests, overlaps) if tests else None


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of a file, the last one of each task, seed and arm."""
    found = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            one = json.loads(line)
            found[one["task"], one["seed"], one["arm"]] = one
    return list(found.values())
