"""What to do, told from results.

The answer rests on two measures, for every remedy alike: how rows are ranked, which no threshold
changes, and F1 at the threshold that validation rows chose. F1 at one half mostly measures where
the threshold lies, which costs nothing to move. A remedy is recommended where it is significantly
better than none in one of the two, its mean is below that of none and of whatever else is free in
neither, and, if it is not free itself, it is significantly better than the best of those too.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from hf_oversample.comparison import answer as a
from hf_oversample.comparison.advice import (
    given_lines,
    multi_label_lines,
    remedy_lines,
    threshold_lines,
)
from hf_oversample.comparison.answer import (
    BestArea,
    ClassifierAnswer,
    Contrast,
    Recommendation,
    RemedyAnswer,
    Verdict,
)
from hf_oversample.comparison.chance import OF_ALL_CLASSES, area_behind
from hf_oversample.comparison.findings import (
    ALPHA,
    ROPE,
    TITLES,
    Finding,
    adjusted_p_values,
    between,
    findings,
    outcome_of,
)
from hf_oversample.comparison.given_rows_report import given_rows_summary
from hf_oversample.comparison.notes import notes, warnings
from hf_oversample.comparison.protocol import Comparison
from hf_oversample.comparison.records import Cell
from hf_oversample.comparison.remedies import CONTROL, REMEDIES, is_free
from hf_oversample.metrics.statistics import PairedTest, paired_test

CHANCE_AUC = 0.65
"""Rows that are ranked with a ROC AUC below this, with its interval, hold nothing to learn."""
_BINARY = ("average_precision", "f1_tuned", "f1")
_OF_ALL = ("macro_average_precision", "macro_f1_tuned", "macro_f1")

# measure → remedy → what was found
Own = dict[str, dict[str, Finding]]


def measures_of(comparison: Comparison, metric: str) -> tuple[str, str, str]:
    """The measures that an answer rests on: of ranking, of F1 at a chosen threshold, and F1 at the
    usual one. They are the minority's, but for several classes and a metric of all of them, and
    for rows with any number of labels."""
    problem = comparison.problem
    of_all = not problem.is_binary and metric in OF_ALL_CLASSES
    return _OF_ALL if of_all or problem.multi_label else _BINARY


def rests_on(comparison: Comparison, metric: str) -> str:
    """What to say beside a table that is sorted by a measure which the answer does not rest on;
    empty where it does."""
    ranking, tuned, usual = measures_of(comparison, metric)
    if metric in (ranking, tuned):
        return ""
    why = (
        f"{TITLES.get(metric, metric)} mostly measures where the threshold lies, which costs "
        "nothing to move; the"
        if metric in (usual, "f1", "macro_f1", "balanced_accuracy")
        else "The"
    )
    return (
        f"{why} verdict rests on {TITLES[ranking]} and {TITLES[tuned]}, whatever this table is "
        "sorted by."
    )


def decide(comparison: Comparison, metric: str = "average_precision") -> Verdict:
    """The answer of a comparison.

    Args:
        comparison: finished cells.
        metric: what the tables are sorted by. The answer does not rest on it, but where it is one
            of all of several classes, it rests on macro averages, not on the minority's measures.
    """
    ranking, tuned, usual = measures_of(comparison, metric)
    known = {name for cell in comparison.cells for name in cell.metrics}
    found = {name: findings(comparison, name) for name in (ranking, tuned) if name in known}
    answers = []
    for kind in comparison.classifiers:
        if not any(cell.classifier == kind for cell in comparison.cells):
            continue
        own = {
            name: {f.remedy: f for f in fs if f.classifier == kind} for name, fs in found.items()
        }
        answers.append(_of_classifier(comparison, kind, own, (ranking, tuned, usual)))
    ranked = sorted((one for one in answers if one.score is not None), key=_place)
    return Verdict(
        data=comparison.problem.name,
        minority=comparison.problem.class_names[comparison.problem.minority],
        ranking=ranking,
        tuned=tuned,
        alpha=ALPHA,
        rope=ROPE,
        classifier=ranked[0].classifier if ranked else None,
        classifiers=answers,
        notes=notes(comparison),
        made=given_rows_summary(comparison),
    )


def _place(one: ClassifierAnswer) -> tuple[bool, float]:
    """The best ranking first; what has learnt nothing last."""
    assert one.score is not None
    return one.recommendation.action == a.NOTHING_LEARNT, -one.score


def _of_classifier(
    comparison: Comparison, kind: str, own: Own, names: tuple[str, str, str]
) -> ClassifierAnswer:
    ranking, tuned, usual = names
    title = comparison.classifiers[kind]
    plain = [c for c in comparison.cells if (c.classifier, c.remedy) == (kind, "none")]
    plain = [c for c in plain if c.refused is None and c.metrics]
    measured = [name for name in (ranking, tuned) if "none" in own.get(name, {})]
    measured = [name for name in measured if name in own[name]["none"].means]
    if not plain or not measured:
        return ClassifierAnswer(
            kind,
            title,
            Recommendation(a.NO_ANSWER),
            warnings=warnings(comparison, kind, own, names, None),
        )
    own = {name: own[name] for name in measured}
    moving = _moving(comparison, plain, tuned, usual)
    remedies = _remedies(comparison, own)
    learnt = _not_learnt(comparison, own)
    free = {
        name: f.means[tuned]
        for name, f in own.get(tuned, {}).items()
        if tuned in f.means and is_free(name) and name != "none"
    }
    chosen = _recommended(comparison, kind, remedies, moving, learnt, names)
    best = own.get(ranking, {}).get(chosen.remedy)
    answer = ClassifierAnswer(
        kind,
        title,
        chosen,
        runs=len(plain),
        means={name: own[name]["none"].means[name] for name in measured},
        score=None if best is None else best.means.get(ranking),
        moving=moving,
        best_free=max(free, key=lambda name: free[name]) if free else None,
        learnt=learnt,
        remedies=remedies,
    )
    return replace(answer, warnings=warnings(comparison, kind, own, names, answer))


# ---- what each remedy is worth ------------------------------------------------------------------


def _remedies(comparison: Comparison, own: Own) -> list[RemedyAnswer]:
    """Each remedy against none, and, where it is better, against what is free."""
    names = list(dict.fromkeys(name for found in own.values() for name in found))
    told = [
        _against_none(name, {measure: found[name] for measure, found in own.items()}, own)
        for name in names
        if name not in ("none", CONTROL)
    ]
    better = [one.remedy for one in told if one.outcome == a.HELPS]
    kept = {name for name in better if _is_above_free(comparison, own, name)}
    kept -= _not_shown_above_free(comparison, own, kept)
    averages = {name for name in kept if not _is_above_control(comparison, own, name)}
    return [
        one
        if one.remedy not in better or one.remedy in kept - averages
        else replace(one, outcome=a.ONLY_AVERAGING if one.remedy in averages else a.NOT_ABOVE_FREE)
        for one in told
    ]


def _against_none(name: str, found: dict[str, Finding], own: Own) -> RemedyAnswer:
    first = next(iter(found.values()))
    contrasts = {
        measure: _contrast(f, own[measure]["none"], measure)
        for measure, f in found.items()
        if measure in f.means
    }
    none = next(iter(own.values()))["none"]
    return RemedyAnswer(
        name,
        _outcome(found, contrasts),
        contrasts,
        runs=first.runs,
        seconds=first.seconds if first.runs else None,
        cost=first.seconds / max(none.seconds, 1e-9) if first.runs else None,
        is_free=is_free(name),
        why=first.refused,
    )


def _contrast(f: Finding, none: Finding, measure: str) -> Contrast:
    test = f.test
    return Contrast(
        f.means[measure],
        none.means[measure],
        f.means[measure] - none.means[measure] if test is None else test.mean,
        None if test is None else test.half_width,
        None if test is None or math.isnan(f.p_adjusted) else f.p_adjusted,
        f.verdict,
    )


def _outcome(found: dict[str, Finding], contrasts: dict[str, Contrast]) -> str:
    """One word for both measures; "helps" for what is better than none and lower in neither."""
    told = [one.outcome for one in contrasts.values()]
    if not any(f.runs for f in found.values()):
        return a.FAILED
    if not told or set(told) == {"not compared"}:
        return a.NOT_COMPARED
    if "better" in told:
        lower = "worse" in told or any(one.difference < 0 for one in contrasts.values())
        return a.ONE_SIDED if lower else a.HELPS
    if "worse" in told:
        return a.WORSE
    if any(f.ranks_no_better for f in found.values()):
        return a.RANKS_NO_BETTER
    if "untested" in told:
        return a.SAME_IN_EVERY_RUN
    return a.EQUAL if set(told) == {"equal"} else a.CANNOT_TELL


def _rivals(own: Own, measure: str, name: str) -> list[Finding]:
    """What is free, none among it, but for the remedy itself."""
    return [
        f
        for other, f in own[measure].items()
        if other != name and is_free(other) and measure in f.means
    ]


def _less(comparison: Comparison, one: Finding, other: Finding, measure: str) -> float:
    """A remedy's mean less another's, over the runs that both have, if there are two."""
    test = between(comparison, one, other, measure)
    return one.means[measure] - other.means[measure] if test is None else test.mean


def _is_above_free(comparison: Comparison, own: Own, name: str) -> bool:
    """Whether its mean is below that of nothing free in either measure. One that is free itself
    may be above another in one measure and below it in the other: either can be recommended."""
    below: dict[str, int] = {}
    for measure, found in own.items():
        if measure in found[name].means:
            for rival in _rivals(own, measure, name):
                lower = _less(comparison, found[name], rival, measure) < -1e-12
                below[rival.remedy] = below.get(rival.remedy, 0) + lower
    allowed = len(own) - 1 if is_free(name) else 0
    return all(count <= allowed for count in below.values())


def _not_shown_above_free(comparison: Comparison, own: Own, names: set[str]) -> set[str]:
    """Of remedies that are not free, those that are not significantly better than the best of what
    is, in any measure in which they are better than none; Holm's correction is over all of them."""
    tests: dict[tuple[str, str], PairedTest] = {}
    for name in sorted(names):
        if is_free(name):
            continue
        for measure, found in own.items():
            best = max(_rivals(own, measure, name), key=lambda f: f.means[measure])
            if found[name].verdict == "better":
                test = between(comparison, found[name], best, measure)
                if test is not None:
                    tests[name, measure] = test
    p_values = adjusted_p_values({key: test.p_value for key, test in tests.items()})
    shown = {
        name
        for (name, measure), test in tests.items()
        if outcome_of(test, p_values[name, measure]) == "better"
    }
    return {name for name in names if not is_free(name)} - shown


def _is_above_control(comparison: Comparison, own: Own, name: str) -> bool:
    """Whether an average of two models is shown to be more than that; true of what is none."""
    if name not in REMEDIES or REMEDIES[name].control is None:
        return True
    for measure, found in own.items():
        if CONTROL in found and name in found:
            test = between(comparison, found[name], found[CONTROL], measure)
            if test is not None and outcome_of(test, test.p_value) == "better":
                return True
    return not any(CONTROL in found for found in own.values())


# ---- what to do ---------------------------------------------------------------------------------


def _moving(comparison: Comparison, plain: list[Cell], tuned: str, usual: str) -> Contrast | None:
    """F1 of none at the threshold that validation rows chose, against the usual one."""
    pairs = [
        (cell.metrics[tuned], cell.metrics[usual])
        for cell in plain
        if tuned in cell.metrics and usual in cell.metrics
    ]
    if not pairs:
        return None
    after, before = zip(*pairs, strict=True)
    mean, reference = float(np.mean(after)), float(np.mean(before))
    if len(pairs) < 2:
        return Contrast(mean, reference, mean - reference, None, None, "not compared")
    test = paired_test(after, before, comparison.problem.overlap)
    p_value = None if test.is_constant else test.p_value
    outcome = outcome_of(test, test.p_value)
    return Contrast(mean, reference, test.mean, test.half_width, p_value, outcome)


def _recommended(
    comparison: Comparison,
    kind: str,
    remedies: list[RemedyAnswer],
    moving: Contrast | None,
    learnt: BestArea | None,
    names: tuple[str, str, str],
) -> Recommendation:
    if learnt is not None:
        return Recommendation(a.NOTHING_LEARNT)
    helping = [one for one in remedies if one.outcome == a.HELPS]
    if helping:
        best = max(helping, key=lambda one: sum(c.difference for c in one.contrasts.values()))
        gain = {name: 100 * c.difference for name, c in best.contrasts.items()}
        chosen = Recommendation(a.USE_REMEDY, best.remedy, gain=gain)
        return _with_threshold(comparison, kind, chosen, names)
    if moving is None or moving.outcome in ("equal", "worse") or moving.difference <= 0:
        return Recommendation(a.KEEP)
    gain = {names[1]: 100 * moving.difference}
    return _with_threshold(comparison, kind, Recommendation(a.MOVE_THRESHOLD, gain=gain), names)


def _with_threshold(
    comparison: Comparison, kind: str, chosen: Recommendation, names: tuple[str, str, str]
) -> Recommendation:
    """The same with its threshold, and lines that do it."""
    problem, of_all = comparison.problem, names == _OF_ALL
    known = [
        cell.threshold
        for cell in comparison.cells
        if (cell.classifier, cell.remedy) == (kind, chosen.remedy) and cell.threshold is not None
    ]
    threshold = float(np.median(known)) if known and not of_all else None
    if problem.multi_label:
        return replace(chosen, python=multi_label_lines(chosen.remedy))
    lines = threshold_lines(problem.class_names, problem.minority, threshold, of_all)
    if chosen.remedy != "none":
        encoder = comparison.header.get("encoder")
        do = given_lines() if chosen.remedy in comparison.made else None
        lines = f"{do or remedy_lines(chosen.remedy, kind, encoder)}\n{lines}"
    return replace(
        chosen,
        threshold=threshold,
        thresholds=(min(known), max(known)) if threshold is not None else None,
        python=lines,
    )


def _not_learnt(comparison: Comparison, own: Own) -> BestArea | None:
    """The best ROC AUC, where no model is shown to rank rows better than chance."""
    measure, found = next(iter(own.items()))
    tests = {f.remedy: f.chance for f in found.values() if f.chance and f.remedy != CONTROL}
    plain = tests.get("none")
    # One test, of the plain model alone, needs no correction for the number of remedies.
    learns = plain is not None and plain.p_value < ALPHA
    if not tests or learns or any(f.beats_chance for f in found.values()):
        return None
    best, test = max(tests.items(), key=lambda pair: pair[1].area)
    bounds = [test.area] + ([plain.area + plain.half_width] if plain else [])
    several = not comparison.problem.is_binary
    label = area_behind(comparison.problem, measure)[1] if several else None
    return BestArea(best, test.area, test.half_width, label, max(bounds) < CHANCE_AUC)
