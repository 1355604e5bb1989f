"""What is said of rows that were given, beside what training with them is worth."""

from __future__ import annotations

from typing import Any

import numpy as np

from hf_oversample.comparison.given_rows import WHY, withheld_words
from hf_oversample.comparison.protocol import Comparison
from hf_oversample.comparison.records import Cell
from hf_oversample.comparison.row_judgement import cost_words, judgement_lines


def given_rows_summary(comparison: Comparison) -> dict[str, dict[str, Any]]:
    """Name of given rows → their judgement and, under "runs", what each run left out."""
    return {
        name: {**one, "runs": {cell.fold: cell.withheld for cell in _cells(comparison, name)}}
        for name, one in comparison.made.items()
    }


def given_rows_notes(comparison: Comparison) -> list[str]:
    """What limits the figures of given rows, and what the rows are like: sentences."""
    lines = []
    for name, one in comparison.made.items():
        if why := too_good(comparison, name):
            lines.append(why)
        sums = _withheld(comparison, name)
        runs = "folds" if comparison.problem.overlap else "seeds"
        lines.append(
            f"{name}: left out of training, summed over the {runs}: {withheld_words(sums)}."
        )
        lines += [f"{name}: {line}" for line in judgement_lines(one)]
    return lines


def too_good(comparison: Comparison, name: str) -> str | None:
    """Why the figures of given rows may be too good; None where no reason is known."""
    one = comparison.made[name]
    untold = one["rows"] - one["with_parent"]
    if not untold:
        return None
    which = "its rows do" if untold == one["rows"] else f"{untold} of its {one['rows']} rows do"
    if comparison.problem.overlap:
        return (
            f"Warning: the figures of {name} may be too good: {which} not say which rows they were "
            "made from, so a fold's held-out rows may be among these, and copies alone were left "
            "out. Without doubt: name the column of parents (--made_parent), or make rows of a "
            "training file alone and give --test_file and --validation_file."
        )
    first, *others = [split.validation.texts for split in comparison.problem.splits]
    if any(texts != first for texts in others):  # drawn from the training rows, anew for each seed
        return (
            f"{name}: {which} not say which rows they were made from, and validation rows were "
            "drawn from the training rows: what they choose, a threshold for one, may be off. "
            "Without doubt: give --validation_file."
        )
    return None


def given_rows_table(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of the table of given rows; no rows where none were given."""
    heads = [
        *("rows", "made", "trained on", "parent held out", "equal held-out", "nearly"),
        *("exact copies, %", "near copies, %", "repeats", "of their class, %", "of real, %"),
        *("told from real ones (AUC, %)", "cost of making"),
    ]
    rows = []
    for name, one in comparison.made.items():
        sums, cells = _withheld(comparison, name), _cells(comparison, name)
        used = [one["rows"] - sum(cell.withheld.values()) for cell in cells]
        texts, area = one["texts"], one["screen"]["auc"]
        rows.append(
            [
                name,
                str(one["rows"]),
                f"{np.mean(used):.0f}" if used else "–",
                *map(str, sums.values()),
                *(f"{100 * texts[key]:.1f}" for key in ("exact_copies", "near_copies")),
                str(one["repeats"]),
                *(_share(one[key].get("")) for key in ("label_agreement", "label_agreement_real")),
                _share(area),
                cost_words(one["cost"]),
            ]
        )
    return heads, rows


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _cells(comparison: Comparison, name: str) -> list[Cell]:
    """One of each fold: all classifiers have the same rows."""
    return list({cell.fold: cell for cell in comparison.cells if cell.remedy == name}.values())


def _withheld(comparison: Comparison, name: str) -> dict[str, int]:
    cells = _cells(comparison, name)
    return {reason: sum(cell.withheld.get(reason, 0) for cell in cells) for reason in WHY}
