"""The answer of a comparison in plain words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from hf_oversample.comparison.chance import area_behind
from hf_oversample.comparison.findings import (
    ALPHA,
    FREE,
    RANKING,
    SMALLER_IS_BETTER,
    TITLES,
    Finding,
    adjusted_p_values,
    between,
    findings,
    points,
    signed_points,
)
from hf_oversample.comparison.protocol import Comparison
from hf_oversample.comparison.registry import CLASSIFIERS
from hf_oversample.comparison.remedies import CONTROL

WIDE = 0.05
"""Half an interval as wide as this leaves a tie open: a gain worth having would not show. What is
less than this better, with its interval, is no better."""
CHANCE_AUC = 0.65
"""Rows that are ranked with a ROC AUC below this, with its interval, hold nothing to learn."""

FITTED = 0.9
"""A network that finds fewer of its own rare training rows may have had too few updates."""


def verdict(comparison: Comparison, metric: str = "f1") -> list[str]:
    """The answer in plain words: a list of sentences, the classifiers' answers, then the notes."""
    answers = verdict_by_classifier(comparison, metric)
    lines = [
        f"{comparison.classifiers[kind]}: {line}" for kind, own in answers.items() for line in own
    ]
    return lines + verdict_notes(comparison, metric)


def verdict_by_classifier(comparison: Comparison, metric: str = "f1") -> dict[str, list[str]]:
    """The answer for each classifier that "none" has results with: kind → sentences, the first of
    which is the answer in short.

    A remedy helps where it is significantly better than none *and* ranks better than chance: on
    rows that hold nothing to learn, whoever guesses the minority more often has the higher F1.
    """
    found = findings(comparison, metric)
    answers = {}
    for kind in comparison.classifiers:
        own = {f.remedy: f for f in found if f.classifier == kind and f.runs}
        if "none" in own and metric in own["none"].means:
            answers[kind] = _of_classifier(comparison, own, metric)
        elif "none" in own:
            answers[kind] = [f"it has no {TITLES.get(metric, metric)}: nothing is compared."]
    return answers


def verdict_notes(comparison: Comparison, metric: str = "f1") -> list[str]:
    """How it was tested, and what was left out and why: sentences."""
    lines = []
    if comparison.problem.overlap:
        how = "the corrected resampled t-test (Nadeau and Bengio) over runs that share rows"
    else:
        how = "a paired t-test over seeds, which speak for these splits alone"
    lines.append(
        f"Tested by {how}, with Holm's correction over the remedies of a classifier, at "
        f"{100 * ALPHA:.0f}\N{NO-BREAK SPACE}%. A tie means that no difference was shown, not that "
        "there is none."
    )
    reasons: dict[tuple[str, str], list[str]] = {}
    for kind, remedy, why in comparison.skipped:
        reasons.setdefault((kind, why), []).append(remedy)
    lines += [
        f"{comparison.classifiers[kind]}: left out because {why}: {', '.join(remedies)}."
        for (kind, why), remedies in reasons.items()
    ]
    lines += [
        f"{comparison.classifiers[f.classifier]}: no result of {f.remedy}: {f.refused}."
        for f in findings(comparison, metric)
        if f.refused is not None
    ]
    lines += [
        f"left out before splitting: {rows} {reason}."
        for reason, rows in comparison.problem.removed.items()
        if rows
    ]
    # the same texts are made for every classifier
    by_remedy: dict[tuple[str, str], int] = {}
    for cell in comparison.cells:
        key = (cell.remedy, cell.fold)
        by_remedy[key] = max(by_remedy.get(key, 0), cell.left_out)
    left_out = sum(by_remedy.values())
    if left_out:
        lines.append(f"{left_out} made texts happened to equal a held-out text and were left out.")
    return lines


def _of_classifier(comparison: Comparison, own: dict[str, Finding], metric: str) -> list[str]:
    name = TITLES.get(metric, metric)
    none = own["none"]
    if none.runs < 2:
        return ["one run shows no difference: ask for more folds or seeds."]
    if (unlearnt := _not_learnt(comparison, own, metric)) is not None:
        return [unlearnt]
    verdicts: dict[str, list[Finding]] = {}
    for finding in own.values():
        if finding.remedy != CONTROL:
            verdicts.setdefault(finding.verdict, []).append(finding)
    better, worse = verdicts.get("better", []), verdicts.get("worse", [])
    tied, untested = verdicts.get("tied", []), verdicts.get("untested", [])
    missing = verdicts.get("not compared", [])
    number = len(own) - 1 - (CONTROL in own)
    folds = comparison.problem.overlap > 0
    if not number:
        return ["no remedy was asked for: there is nothing to compare."]
    lines = []
    if better:
        best = max(better, key=lambda f: f.test.mean if f.test else -math.inf)
        assert best.test is not None
        lines.append(
            f"{len(better)} of {number} remedies {'help' if len(better) > 1 else 'helps'}, "
            f"{best.remedy} the most ({points(best.test)} points); "
            + _against_free(comparison, own, better, metric)
        )
        lines.append(f"better than none in {name}: {_listed(better, none)}.")
    elif untested and all(f.test is None or f.test.is_constant for f in own.values()):
        lines.append(
            f"no test is possible: each remedy differs from none by the same in {name} in every "
            + (
                "fold."
                if folds
                else "run: nothing here is drawn at random, on splits that are given."
            )
        )
    else:
        lines.append(_nothing_shown(own, name))
    if tied:
        lines.append(f"tied with none: {', '.join(f.remedy for f in tied)}.")
    if worse:
        lines.append(f"worse than none: {_listed(worse, none)}.")
    if untested:
        line = f"not tested, since every run gives the same: {_listed(untested, none)}."
        if not folds:
            line += (
                " That is this split's; whether others would show it, folds or other splits can "
                "tell."
            )
        lines.append(line)
    if missing:
        runs = ", ".join(f"{f.remedy} ({f.runs} run{'s' * (f.runs != 1)})" for f in missing)
        lines.append(f"not compared, with fewer than two runs in common with none: {runs}.")
    lines += _not_fitted(none, comparison.header)
    lines += _against_control(comparison, own, metric)
    return lines


def _not_fitted(none: Finding, header: dict[str, Any]) -> list[str]:
    """Whether the plain network has not even learnt its own rare rows: a remedy that makes them
    count for more then does what more updates may do."""
    recall = none.means.get("train_recall", 1.0)
    if recall >= FITTED:
        return []
    return [
        f"the plain network places only {100 * recall:.0f}\N{NO-BREAK SPACE}% of the rare rows "
        f"that it was trained on in their class (--steps {header['steps']}): it has not fitted "
        "them, and a part of what remedies gain here may be had by more updates."
    ]


def _not_learnt(comparison: Comparison, own: dict[str, Finding], metric: str) -> str | None:
    """What to say where no model is shown to rank rows better than chance; None where one is."""
    tests = {f.remedy: f.chance for f in own.values() if f.chance and f.remedy != CONTROL}
    plain = tests.get("none")
    # One test, of the plain model alone, needs no correction for the number of remedies.
    learns = plain is not None and plain.p_value < ALPHA
    if not tests or learns or any(f.beats_chance for f in own.values()):
        return None
    best, test = max(tests.items(), key=lambda pair: pair[1].area)
    label = area_behind(comparison.problem, metric)[1]
    several = len(comparison.problem.class_names) > 2
    rows = f"rows of {label}" if several and label is not None else "the rows"
    shown = f"{100 * test.area:.1f} ± {100 * test.half_width:.1f} %"
    bounds = [test.area] + ([plain.area + plain.half_width] if plain else [])
    if max(bounds) < CHANCE_AUC:
        return (
            f"nothing helps. No remedy, nor the plain model, ranks {rows} better than chance (the "
            f"best ROC AUC is that of {best}, {shown}; guessing has 50 %): there is nothing here "
            "for it to learn from, and differences in F1 are those of guessing more or less often."
        )
    return (
        f"nothing is shown to help. No remedy, nor the plain model, is shown to rank {rows} "
        f"better than chance (the best ROC AUC is that of {best}, {shown}; guessing has 50 %). "
        "Either there is nothing to learn from, or these are too few rows or runs to tell."
    )


def _against_control(comparison: Comparison, own: dict[str, Finding], metric: str) -> list[str]:
    """Averages of two models against the average of two plain ones."""
    averaged = "plain + anchors"
    if averaged not in own:
        return []
    if CONTROL not in own:
        if not CLASSIFIERS[own[averaged].classifier].is_network:
            return []  # it has no second plain model that would differ
        return [
            f"{averaged} averages two models, which gains by itself: how much was not asked; add "
            f'"{CONTROL}".'
        ]
    test = between(comparison, own[averaged], own[CONTROL], metric)
    if test is None:
        return []
    p = "no test" if test.is_constant else f"p {test.p_value:.2g}"
    return [
        f"{averaged} less {CONTROL}, which has no anchors: {points(test)} points ({p}): what is "
        "beyond that difference comes from averaging."
    ]


def _nothing_shown(own: dict[str, Finding], name: str) -> str:
    """No remedy is better: which comes nearest, and whether the runs could have shown a gain."""
    line = f"nothing is shown to help: no remedy is significantly better than none in {name}"
    tested = [
        (f.test.mean, f)
        for f in own.values()
        if f.test and not f.test.is_constant and f.remedy != CONTROL
    ]
    _, nearest = max(tested, key=lambda pair: pair[0], default=(0.0, None))
    if nearest is None or nearest.test is None or nearest.test.mean <= 0:
        return f"{line}."
    line += f"; nearest is {nearest.remedy}, {points(nearest.test)} points."
    if nearest.ranks_no_better:
        line += (
            " It is not shown to rank rows better than chance: it may only guess the minority more "
            "often."
        )
    if nearest.test.half_width >= WIDE:
        line += " Intervals that wide may hide a real gain: more rows or runs narrow them."
    return line


def _listed(found: Sequence[Finding], none: Finding) -> str:
    """Remedies, the largest difference first, with what they cost."""
    shown = []
    for f in sorted(found, key=lambda f: -abs(f.test.mean) if f.test else 0.0):
        assert f.test is not None
        cost = f"{f.seconds:.1f} s, {f.seconds / max(none.seconds, 1e-9):.1f} times none"
        shown.append(f"{f.remedy} ({signed_points(f.test.mean)} points, {cost})")
    return "; ".join(shown)


def _against_free(
    comparison: Comparison, own: dict[str, Finding], better: list[Finding], metric: str
) -> str:
    """Whether a moved threshold does as well as what helps."""
    binary = len(comparison.problem.class_names) == 2
    if binary and metric in RANKING and all(f.remedy not in FREE for f in better):
        return "no moved threshold can do that: it leaves the ranking as it is."
    free = [own[name] for name in FREE if name in own and metric in own[name].means]
    if not free:
        return 'whether a moved threshold does as well was not asked: add "threshold moving".'
    sign = -1.0 if metric in SMALLER_IS_BETTER else 1.0
    best = max(free, key=lambda f: sign * f.means[metric])
    tuned_for = "f1" if binary else "macro_f1"
    moved = "a moved threshold"
    if best.remedy == FREE[0] and metric != tuned_for:
        moved = f"a threshold moved for the best {TITLES[tuned_for]}"
    rivals = [f for f in better if f.remedy not in FREE]
    tests = {f.remedy: between(comparison, f, best, metric) for f in rivals}
    p_values = adjusted_p_values({("", r): t.p_value for r, t in tests.items() if t is not None})
    ahead = [
        remedy
        for remedy, test in tests.items()
        if test is not None and test.mean > 0 and p_values["", remedy] < ALPHA
    ]
    gain = (
        f"{best.remedy}, {signed_points(sign * (best.means[metric] - own['none'].means[metric]))}"
    )
    if ahead:
        return f"significantly better than {moved} too ({gain}): {', '.join(ahead)}."
    if not rivals:
        return "it trains nothing, and nothing else helps."
    found = {remedy: test for remedy, test in tests.items() if test is not None}
    if not found:
        return f"none of these can be held against {moved}: they have no two runs in common."
    nearest, test = max(found.items(), key=lambda pair: pair[1].mean)
    most = max(test.mean + test.half_width for test in found.values())
    if best.verdict == "better" and most < WIDE:
        return (
            f"{moved} does as well ({gain}): none of these is significantly better than it (the "
            f"largest difference that the runs leave possible is {signed_points(most)} points), "
            "and it costs no training."
        )
    return (
        f"none of these is shown to beat {moved} ({gain}; {nearest} less it: {points(test)}), and "
        "more rows or runs may change that."
    )
