"""What limits the answer of a comparison: how it was tested, what was left out and why."""

from __future__ import annotations

import numpy as np

from hf_oversample.comparison import answer as a
from hf_oversample.comparison.answer import ClassifierAnswer
from hf_oversample.comparison.findings import (
    ALPHA,
    ROPE,
    TITLES,
    Finding,
    between,
    points,
    signed_points,
)
from hf_oversample.comparison.given_rows_report import given_rows_notes, too_good
from hf_oversample.comparison.protocol import Comparison
from hf_oversample.comparison.records import Cell
from hf_oversample.comparison.registry import CLASSIFIERS
from hf_oversample.comparison.remedies import CONTROL, REMEDIES
from hf_oversample.metrics.screening import LEVEL

WIDE = 0.05
"""Half an interval as wide as this leaves a tie open: a gain worth having would not show."""
FITTED = 0.9
"""A network that finds fewer of its own rare training rows may have had too few updates."""
GIVEAWAYS = 4
"""Marks of made texts that are named."""
FAR_APART = 2.0
"""Thresholds of two runs whose odds differ by more than this factor are not one threshold."""


def notes(comparison: Comparison) -> list[str]:
    """How it was tested, and what was left out and why: sentences."""
    if comparison.problem.overlap:
        how = "the corrected resampled t-test (Nadeau and Bengio) over runs that share rows"
    else:
        how = "a paired t-test over seeds, which speak for these splits alone"
    lines = [
        f"Tested by {how}, with Holm's correction over the remedies of a classifier, at "
        f"{100 * ALPHA:.0f}\N{NO-BREAK SPACE}%. Equal means that the 95\N{NO-BREAK SPACE}% "
        f"interval of the difference lies within ± {100 * ROPE:.0f} point; where it is wider and "
        "no difference is shown, nobody can tell."
    ]
    reasons: dict[tuple[str, str], list[str]] = {}
    for kind, remedy, why in comparison.skipped:
        reasons.setdefault((kind, why), []).append(remedy)
    lines += [
        f"{comparison.classifiers[kind]}: left out because {why}: {', '.join(remedies)}."
        for (kind, why), remedies in reasons.items()
    ]
    lines += [
        f"{comparison.classifiers[kind]}: no result of {remedy}: {why}."
        for (kind, remedy), why in _refused(comparison).items()
    ]
    lines += [
        f"left out before splitting: {rows} {reason}."
        for reason, rows in comparison.problem.removed.items()
        if rows
    ]
    # the same texts are made for every classifier
    by_remedy: dict[tuple[str, str], int] = {}
    for cell in comparison.cells:
        if cell.remedy in comparison.made:
            continue  # they have lines of their own
        key = (cell.remedy, cell.fold)
        by_remedy[key] = max(by_remedy.get(key, 0), cell.left_out)
    left_out = sum(by_remedy.values())
    if left_out:
        lines.append(f"{left_out} made texts happened to equal a held-out text and were left out.")
    return lines + _told_from_real(comparison) + given_rows_notes(comparison)


def _told_from_real(comparison: Comparison) -> list[str]:
    """Remedies whose texts show that they were made, and by what."""
    by_remedy: dict[str, dict[str, Cell]] = {}
    for cell in comparison.cells:  # the same texts for every classifier
        if "two_sample_auc" in cell.texts and cell.remedy not in comparison.made:
            by_remedy.setdefault(cell.remedy, {})[cell.fold] = cell
    lines = []
    for remedy, cells in by_remedy.items():
        areas = {fold: cell.texts["two_sample_auc"] for fold, cell in cells.items()}
        mean = float(np.mean(list(areas.values())))
        if mean > LEVEL:
            by = ", ".join(cells[max(areas, key=areas.__getitem__)].giveaways[:GIVEAWAYS])
            lines.append(
                f"Warning: the texts of {remedy} are told from real ones by their surface "
                f"(AUC {mean:.2f}; 0.5 is chance, above {LEVEL:.2f} is warned of), by {by}: a "
                "classifier may learn the mark in place of the class."
            )
    return lines


def _refused(comparison: Comparison) -> dict[tuple[str, str], str]:
    """Classifier and remedy → why it has no result, and on how many runs."""
    runs: dict[tuple[str, str], list[str | None]] = {}
    for cell in comparison.cells:
        runs.setdefault((cell.classifier, cell.remedy), []).append(cell.refused)
    return {
        key: f"{next(filter(None, why))} ({sum(one is not None for one in why)} of {len(why)})"
        for key, why in runs.items()
        if any(one is not None for one in why)
    }


def warnings(
    comparison: Comparison,
    kind: str,
    own: dict[str, dict[str, Finding]],
    names: tuple[str, str, str],
    answer: ClassifierAnswer | None,
) -> list[str]:
    """What limits the answer for one classifier: sentences.

    Args:
        comparison: the cells.
        kind: the classifier.
        own: measure → remedy → what was found.
        names: of the measures of ranking and of F1, tuned and usual.
        answer: without its warnings; None where none has no result.
    """
    if answer is None:
        measures = " nor ".join(TITLES.get(name, name) for name in names[:2])
        return [f"none has no {measures}: nothing is compared."]
    lines = []
    missing = [name for name in names[:2] if name not in answer.means]
    if missing:
        title = TITLES.get(missing[0], missing[0])
        lines.append(f"there is no {title}: the answer rests on the other measure alone.")
    if answer.runs < 2:
        lines.append("one run shows no difference: ask for more folds or seeds.")
    moving = answer.moving
    if (
        answer.recommendation.action == a.MOVE_THRESHOLD
        and moving is not None
        and moving.outcome == "cannot tell"
        and moving.half_width is not None
    ):
        lines.append(
            f"that a moved threshold adds {signed_points(moving.difference)} ± "
            f"{100 * moving.half_width:.1f} points is not shown to hold beyond these runs; it "
            "costs nothing to try."
        )
    chosen = answer.recommendation.remedy
    if chosen in comparison.made and (why := too_good(comparison, chosen)):
        lines.append(why)
    lines += _far_thresholds(comparison, kind, answer)
    lines += _not_fitted(comparison, own)
    lines += _against_control(comparison, kind, own)
    open_ = answer.with_outcome(a.CANNOT_TELL)
    widths = [c.half_width or 0.0 for one in open_ for c in one.contrasts.values()]
    if max(widths, default=0.0) >= WIDE:
        lines.append(
            "intervals that wide may hide a real gain or harm: more rows or runs narrow them."
        )
    if answer.with_outcome(a.SAME_IN_EVERY_RUN):
        lines.append(
            "no test is possible of a difference that is the same in every run."
            + (
                ""
                if comparison.problem.overlap
                else " That is this split's; whether others would show it, folds or other splits "
                "can tell."
            )
        )
    return lines


def _far_thresholds(comparison: Comparison, kind: str, answer: ClassifierAnswer) -> list[str]:
    bounds = answer.recommendation.thresholds
    if bounds is None or not 0 < bounds[0] <= bounds[1] < 1:
        return []
    low, high = (one / (1 - one) for one in bounds)
    if high <= FAR_APART * low:
        return []
    return [
        f"the runs chose thresholds from {bounds[0]:.2g} to {bounds[1]:.2g}: choose yours on "
        "validation rows of your own."
    ]


def _not_fitted(comparison: Comparison, own: dict[str, dict[str, Finding]]) -> list[str]:
    """Whether the plain network has not even learnt its own rare rows: a remedy that makes them
    count for more then does what more updates may do."""
    recall = next(iter(own.values()))["none"].means.get("train_recall", 1.0)
    if recall >= FITTED:
        return []
    return [
        f"the plain network places only {100 * recall:.0f}\N{NO-BREAK SPACE}% of the rare rows "
        f"that it was trained on in their class (--steps {comparison.header['steps']}): it has not "
        "fitted them, and a part of what remedies gain here may be had by more updates."
    ]


def _against_control(
    comparison: Comparison, kind: str, own: dict[str, dict[str, Finding]]
) -> list[str]:
    """Averages of two models against the average of two plain ones."""
    measure, found = next(iter(own.items()))
    lines = []
    for name in found:
        if name not in REMEDIES or REMEDIES[name].control is None:
            continue
        if CONTROL in found:
            test = between(comparison, found[name], found[CONTROL], measure)
            if test is not None:
                p = "no test" if test.is_constant else f"p {test.p_value:.2g}"
                lines.append(
                    f"{name} less {CONTROL}, which has no anchors: {points(test)} points of "
                    f"{TITLES.get(measure, measure)} ({p}): what is beyond that difference comes "
                    "from averaging."
                )
        elif CLASSIFIERS[kind].is_network:  # others have no second plain model that would differ
            lines.append(
                f"{name} averages two models, which gains by itself: how much was not asked; add "
                f'"{CONTROL}".'
            )
    return lines
