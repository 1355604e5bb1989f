"""What a comparison found: every remedy held against none, tested and corrected, as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hf_oversample.comparison.chance import ChanceTest, chance_test
from hf_oversample.comparison.given_rows_report import given_rows_table
from hf_oversample.comparison.protocol import Comparison
from hf_oversample.comparison.records import Cell
from hf_oversample.comparison.remedies import CONTROL, moves_scores
from hf_oversample.hub.tables import markdown_table
from hf_oversample.metrics.statistics import PairedTest, holm, paired_test

ALPHA = 0.05
ROPE = 0.01
"""Two results within one point are equal for all that matters (a region of practical equivalence,
Kruschke 2013): a tie is told from runs that are too few to tell."""
SHOWN = (
    "average_precision",
    "f1_tuned",
    "macro_average_precision",
    "macro_f1_tuned",
    "f1",
    "macro_f1",
    "rare_average_precision",
    "micro_f1_tuned",
    "micro_f1",
    "balanced_accuracy",
    "f1_outvoted",
    "f1_not_outvoted",
    "outvoted_share",
    "ece",
)
TITLES = {
    "f1": "F1 of the minority",
    "macro_f1": "macro-F1",
    "macro_f1_tuned": "tuned macro-F1",
    "micro_f1": "micro-F1",
    "micro_f1_tuned": "tuned micro-F1",
    "rare_average_precision": "average precision, rare labels",
    "balanced_accuracy": "balanced accuracy",
    "average_precision": "average precision",
    "average_precision_at_train": "average precision at the training prior",
    "macro_average_precision": "macro-averaged average precision",
    "roc_auc": "ROC AUC",
    "macro_roc_auc": "macro-averaged ROC AUC",
    "f1_tuned": "tuned F1",
    "f1_outvoted": "F1, outvoted rows",
    "f1_not_outvoted": "F1, other rows",
    "outvoted_share": "outvoted share",
    "f1_difficult": "F1, rows with a neighbour of another class",
    "f1_other": "F1, rows without one",
    "difficult_share": "share with a neighbour of another class",
    "ece": "ECE",
}
TEXT_TITLES = {
    "exact_copies": "exact copies",
    "near_copies": "near copies",
    "distinct_1": "distinct-1",
    "distinct_2": "distinct-2",
    "self_bleu": "self-BLEU",
    "unknown_words": "with unknown words",
    "two_sample_auc": "told from real ones (AUC)",
    "label_agreement": "of their class",
}
"""What :mod:`hf_oversample.comparison.made_texts` says of texts."""
SMALLER_IS_BETTER = ("ece", "outvoted_share", "difficult_share")
RANKING = (
    *("average_precision", "roc_auc", "average_precision_at_train"),
    *("macro_average_precision", "macro_roc_auc", "rare_average_precision"),
)
"""Measures that no threshold changes."""


@dataclass(frozen=True)
class Finding:
    """One remedy with one classifier, held against no remedy.

    Attributes:
        classifier, remedy: which.
        runs: number of folds or seeds with a result.
        means, sds: metric → mean and standard deviation over them.
        seconds: mean seconds.
        test: of the metric asked for against "none" on the same folds; None for "none" itself, or
            where fewer than two folds have both.
        p_adjusted: its p-value after Holm's correction over the classifier's remedies, of which
            the control is none, nor what cannot differ from none by construction (these have their
            own p-values); NaN without a test.
        chance: of the ROC AUC that a gain in the metric rests on; None where fewer than two folds
            have one.
        beats_chance: whether that is above 0.5, corrected alike.
        refused: why it cannot work on some folds, and on how many.
    """

    classifier: str
    remedy: str
    runs: int
    means: dict[str, float]
    sds: dict[str, float]
    seconds: float
    test: PairedTest | None
    p_adjusted: float
    chance: ChanceTest | None
    beats_chance: bool
    refused: str | None = None

    @property
    def verdict(self) -> str:
        """ "better", "worse", "equal" (the 95 % interval lies within ± `ROPE`), "cannot tell" (no
        difference is shown, and the interval is wider), "untested" (the same difference in every
        run), "not compared" (fewer than two runs in common with none, or no such metric) or
        "baseline"."""
        if self.remedy == "none":
            return "baseline"
        if self.test is None:
            return "not compared"
        # to guess the minority more often is no remedy
        return "cannot tell" if self.ranks_no_better else outcome_of(self.test, self.p_adjusted)

    @property
    def ranks_no_better(self) -> bool:
        """Whether it is significantly better in the metric and yet not called so: it is not shown
        to rank rows better than chance, so it may only guess the minority more often."""
        if self.test is None or self.beats_chance:
            return False
        return outcome_of(self.test, self.p_adjusted) == "better"


def outcome_of(test: PairedTest, p_value: float) -> str:
    """What a difference comes to: "equal", "better", "worse", "cannot tell" or "untested".

    Args:
        test: the difference, positive where the first is better.
        p_value: its own, or after a correction.
    """
    if test.is_constant:
        return "untested" if test.mean else "equal"
    if abs(test.mean) + test.half_width <= ROPE:
        return "equal"
    if not p_value < ALPHA:
        return "cannot tell"
    return "better" if test.mean > 0 else "worse"


def findings(comparison: Comparison, metric: str = "average_precision") -> list[Finding]:
    """Every classifier and remedy that has results, best first within a classifier.

    Args:
        comparison: finished cells.
        metric: what is tested and sorted by; a difference is positive where the remedy is better.

    Raises:
        ValueError: no cell has the metric; those that there are are listed.
    """
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in comparison.cells:
        groups.setdefault((cell.classifier, cell.remedy), []).append(cell)
    known = sorted({name for cell in comparison.cells for name in cell.metrics})
    if metric not in known:
        reasons = sorted({cell.refused for cell in comparison.cells if cell.refused is not None})
        why = f"; no result, since {'; '.join(reasons)}" if reasons and not known else ""
        raise ValueError(f"no cell has the metric {metric!r}; there are {known or 'none'}{why}")
    sign = -1.0 if metric in SMALLER_IS_BETTER else 1.0
    overlap = comparison.problem.overlap
    tests = {
        key: difference(cells, groups.get((key[0], "none"), []), metric, sign, overlap)
        for key, cells in groups.items()
        if key[1] != "none"
    }
    chances = {key: chance_test(comparison.problem, c, metric) for key, c in groups.items()}
    adjusted: dict[tuple[str, str], float] = {}
    above: dict[tuple[str, str], float] = {}
    for kind in comparison.classifiers:  # a family of tests is the remedies of one classifier
        own = {k: t.p_value for k, t in tests.items() if k[0] == kind and t is not None}
        apart = {k: p for k, p in own.items() if k[1] in _untestable(comparison, metric)}
        adjusted |= adjusted_p_values({k: p for k, p in own.items() if k not in apart})
        adjusted |= {k: 1.0 if math.isnan(p) else p for k, p in apart.items()}
        above |= adjusted_p_values(
            {k: c.p_value for k, c in chances.items() if k[0] == kind and c is not None}
        )
    found = []
    for key, cells in groups.items():
        done = [cell for cell in cells if cell.refused is None]
        refused = [cell.refused for cell in cells if cell.refused is not None]
        names = sorted({name for cell in done for name in cell.metrics})
        values = {n: [c.metrics[n] for c in done if n in c.metrics] for n in names}
        found.append(
            Finding(
                *key,
                runs=len(done),
                means={n: float(np.mean(v)) for n, v in values.items()},
                sds={n: float(np.std(v, ddof=1)) if len(v) > 1 else 0.0 for n, v in values.items()},
                seconds=float(np.mean([c.seconds for c in done])) if done else float("nan"),
                test=tests.get(key),
                p_adjusted=adjusted.get(key, float("nan")),
                chance=chances[key],
                beats_chance=above.get(key, 1.0) < ALPHA,
                refused=f"{refused[0]} ({len(refused)} of {len(cells)})" if refused else None,
            )
        )
    order = list(comparison.classifiers)
    return sorted(
        found,
        key=lambda f: (order.index(f.classifier), -sign * f.means.get(metric, -sign * math.inf)),
    )


def _untestable(comparison: Comparison, metric: str) -> tuple[str, ...]:
    """What is no hypothesis: the control, and of two classes or several labels, where ranking is
    measured or a threshold is chosen anyway, remedies that leave the ranking as it is. They would
    only make the others' tests weaker."""
    problem = comparison.problem
    leaves_ranks = problem.is_binary or problem.multi_label
    unmoved = leaves_ranks and metric in (*RANKING, "f1_tuned", "macro_f1_tuned")
    remedies = {cell.remedy for cell in comparison.cells}
    return (CONTROL, *(name for name in remedies if unmoved and moves_scores(name)))


def difference(
    cells: Sequence[Cell], others: Sequence[Cell], metric: str, sign: float, overlap: float
) -> PairedTest | None:
    """A remedy less another of the same classifier on the folds that both have; None where
    those are fewer than two."""
    theirs = {cell.fold: cell.metrics.get(metric) for cell in others}
    pairs = [
        (sign * cell.metrics[metric], sign * other)
        for cell in cells
        if metric in cell.metrics and (other := theirs.get(cell.fold)) is not None
    ]
    if len(pairs) < 2:
        return None
    return paired_test([a for a, _ in pairs], [b for _, b in pairs], overlap)


def adjusted_p_values(p_values: dict[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    """Holm's correction; the same difference in every run, where no test is possible, counts as
    p = 1."""
    values = [1.0 if math.isnan(p) else min(1.0, p) for p in p_values.values()]
    return dict(zip(p_values, holm(values), strict=True))


def table(comparison: Comparison, metric: str = "average_precision") -> str:
    """A Markdown table a classifier, sorted by the metric: means ± sd in percent, the difference to
    no remedy with its 95 % interval, the corrected p-value, rows made, seconds; and a table of the
    texts that were made, if any."""
    shown = [metric, *(name for name in SHOWN if name != metric)]
    found = findings(comparison, metric)
    made: dict[tuple[str, str], list[int]] = {}
    for cell in comparison.cells:
        if cell.refused is None:
            made.setdefault((cell.classifier, cell.remedy), []).append(cell.made)
    present = [name for name in shown if any(name in f.means for f in found)]
    blocks = []
    for kind, title in comparison.classifiers.items():
        rows = [
            [
                f.remedy,
                *(mean_and_sd(f, name) for name in present),
                _shown_difference(f),
                _rows_made(made[f.classifier, f.remedy]),
                f"{f.seconds:.1f}",
            ]
            for f in found
            if f.classifier == kind and f.runs
        ]
        if rows:
            head = ["remedy", *(TITLES.get(n, n) for n in present)]
            head += [f"{TITLES.get(metric, metric)}, better than none by", "rows made", "seconds"]
            blocks.append(f"### {title}\n\n{markdown_table(head, rows)}")
    heads, texts = made_texts_rows(comparison)
    if texts:
        blocks.append(f"### Texts that were made\n\n{markdown_table(heads, texts)}")
    heads, rows = given_rows_table(comparison)
    if rows:
        blocks.append(f"### Rows that were given\n\n{markdown_table(heads, rows)}")
    return "\n\n".join(blocks)


def made_texts_rows(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of the table of texts that remedies made, in percent, means over the runs that
    tell of them: a remedy's name is followed by their number where others have more. No rows where
    none were made."""
    groups: dict[str, dict[str, dict[str, float]]] = {}
    for cell in comparison.cells:  # the same texts for every classifier
        if cell.texts:
            groups.setdefault(cell.remedy, {})[cell.fold] = cell.texts
    known = {name for folds in groups.values() for one in folds.values() for name in one}
    present = [name for name in TEXT_TITLES if name in known]

    def mean(folds: dict[str, dict[str, float]], name: str) -> str:
        values = [one[name] for one in folds.values() if name in one]
        return f"{100 * float(np.mean(values)):.1f}" if values else "–"

    most = max(map(len, groups.values()), default=0)
    rows = [
        [
            remedy if len(folds) == most else f"{remedy} ({len(folds)})",
            *(mean(folds, name) for name in present),
        ]
        for remedy, folds in groups.items()
    ]
    if "label_agreement_real" in known:
        real = {f"{r} {fold}": one for r, folds in groups.items() for fold, one in folds.items()}
        blanks = ["–"] * (len(present) - 1)
        rows.append(["real validation texts", *blanks, mean(real, "label_agreement_real")])
    return ["texts", *(TEXT_TITLES[name] for name in present)], rows


def _rows_made(numbers: Sequence[int]) -> str:
    """Mean over the folds."""
    return f"{np.mean(numbers):.0f}" if any(numbers) else "–"


def mean_and_sd(finding: Finding, name: str) -> str:
    """A metric in percent: "81.2 ± 1.3", "81.2" of one run, "–" where there is none."""
    if name not in finding.means:
        return "–"
    spread = f" ± {100 * finding.sds[name]:.1f}" if finding.runs > 1 else ""
    return f"{100 * finding.means[name]:.1f}{spread}"


def _shown_difference(finding: Finding) -> str:
    test = finding.test
    if test is None:
        return "–"
    if finding.verdict == "untested":
        return f"{signed_points(test.mean)} in every run (no test)"
    if finding.ranks_no_better:
        return f"{points(test)} (p {finding.p_adjusted:.2g}, but ranks no better than chance)"
    mark = {"better": " **better**", "worse": " **worse**", "equal": " equal"}
    return f"{points(test)} (p {finding.p_adjusted:.2g}){mark.get(finding.verdict, '')}"


def points(test: PairedTest) -> str:
    """A difference and half its 95 % interval, in percentage points: "+1.2 ± 0.8"."""
    return f"{signed_points(test.mean)} ± {100 * test.half_width:.1f}"


def signed_points(share: float) -> str:
    """A difference in percentage points: "+1.2"."""
    rounded = round(100 * share, 1) + 0.0  # of what rounds to nothing no minus is left
    return f"{rounded:+.1f}".replace("-", "\N{MINUS SIGN}")


def between(comparison: Comparison, one: Finding, other: Finding, metric: str) -> PairedTest | None:
    """A remedy less another of the same classifier."""
    cells = [
        [c for c in comparison.cells if (c.classifier, c.remedy) == (f.classifier, f.remedy)]
        for f in (one, other)
    ]
    sign = -1.0 if metric in SMALLER_IS_BETTER else 1.0
    return difference(cells[0], cells[1], metric, sign, comparison.problem.overlap)
