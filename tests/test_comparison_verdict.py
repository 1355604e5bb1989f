"""What results come to: paired tests, their correction, and the verdict in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from hf_oversample.comparison import answer
from hf_oversample.comparison.decision import decide
from hf_oversample.comparison.figures import write_figure
from hf_oversample.comparison.findings import findings, table
from hf_oversample.comparison.page import write_page
from hf_oversample.comparison.problem import Problem
from hf_oversample.comparison.protocol import Comparison
from hf_oversample.comparison.records import Cell
from hf_oversample.comparison.wording import verdict
from hf_oversample.metrics.screening import LEVEL
from hf_oversample.metrics.statistics import paired_test
from miso_fixtures import CLASS_NAMES

NAMES = list(CLASS_NAMES[:2])


def test_the_corrected_test_is_nadeau_and_bengios() -> None:
    a, b = np.array([0.8, 0.7, 0.9, 0.75, 0.85]), np.array([0.7, 0.65, 0.7, 0.74, 0.8])
    plain, corrected = paired_test(a, b), paired_test(a, b, overlap=0.25)
    assert plain.p_value == pytest.approx(stats.ttest_rel(a, b).pvalue)
    t = (a - b).mean() / np.sqrt((1 / 5 + 0.25) * (a - b).var(ddof=1))
    assert corrected.p_value == pytest.approx(2 * stats.t.sf(t, 4))
    interval = stats.t.interval(0.95, 4, (a - b).mean(), stats.sem(a - b))
    assert plain.mean + plain.half_width == pytest.approx(interval[1])
    with pytest.raises(ValueError, match="overlap"):
        paired_test(a, b, overlap=-1)


def made_up(values: dict[str, list[float]], auc: float = 0.9) -> Comparison:
    """A comparison of one classifier with these values of average precision and of F1 at the chosen
    threshold, fold by fold."""
    cells = [
        Cell(
            "linear",
            remedy,
            f"fold{i}",
            metrics={
                **{"f1": value, "f1_tuned": value, "average_precision": value},
                "roc_auc": auc + 0.01 * (-1) ** i,
            },
            seconds=2.0 if remedy == "none" else 6.0,
        )
        for remedy, row in values.items()
        for i, value in enumerate(row)
    ]
    problem = Problem("made up", NAMES, "en", 1, [], overlap=0.25)
    return Comparison(problem, {}, cells, classifiers={"linear": "Linear"})


NONE = [0.50, 0.52, 0.49, 0.51, 0.50]


def raised(points: float, wobble: float = 0.005) -> list[float]:
    return [f + points + wobble * (-1) ** i for i, f in enumerate(NONE)]


def test_the_verdict_says_that_what_is_free_does_as_well() -> None:
    comparison = made_up(
        {
            "none": NONE,
            "SMOTE": raised(0.20),
            "class weights": raised(0.202, 0.008),
            "EDA edits": raised(0.001, 0.03),
            "dice loss": raised(-0.2),
        }
    )
    text = " ".join(verdict(comparison))
    assert "train with class weights" in text
    assert (
        "better than none, but not shown to beat what is free, class weights for one, or lower "
        "than it: SMOTE (average precision +20.1 ± "
    ) in text
    assert "6.0 s, 3.0 times none" in text
    assert "cannot tell from none: EDA edits (" in text
    assert "worse than none: dice loss (" in text
    assert [f.remedy for f in findings(comparison)][-2:] == ["none", "dice loss"]


def test_the_verdict_says_what_beats_a_moved_threshold() -> None:
    comparison = made_up(
        {"none": NONE, "anchors": raised(0.3), "logit adjustment": raised(0.1, 0.006)}
    )
    text = " ".join(verdict(comparison))
    assert (
        "train with anchors and move the threshold: +30.1 points of average precision and +30.1 "
        "points of tuned F1 above a moved threshold alone, significantly more than all that is free"
    ) in text


def test_the_verdict_says_that_the_plain_network_was_trained_too_short() -> None:
    comparison = made_up({"none": NONE, "anchors": raised(0.3)})
    for recall, said in ((0.12, True), (0.8, True), (0.95, False)):
        cells = [
            replace(c, metrics=c.metrics | ({"train_recall": recall} if c.remedy == "none" else {}))
            for c in comparison.cells
        ]
        text = " ".join(verdict(replace(comparison, header={"steps": 300}, cells=cells)))
        line = f"{100 * recall:.0f}\N{NO-BREAK SPACE}% of the rare rows that it was trained on"
        assert (line in text and "--steps 300" in text) == said


def test_nothing_is_said_to_beat_what_is_free_where_that_is_not_shown() -> None:
    noisy = [f + d for f, d in zip(NONE, (0.4, -0.2, 0.3, -0.15, 0.1), strict=True)]
    comparison = made_up({"none": NONE, "anchors": raised(0.2), "class weights": noisy})
    (one,) = decide(comparison).classifiers
    assert {r.remedy: r.outcome for r in one.remedies} == {
        "anchors": answer.NOT_ABOVE_FREE,
        "class weights": answer.CANNOT_TELL,
    }
    small = made_up({"none": NONE, "anchors": raised(0.2), "class weights": raised(0.1, 0.09)})
    assert "train with" not in " ".join(verdict(small))


def test_what_is_free_without_runs_in_common_leaves_the_answer_open() -> None:
    values = {"none": NONE, "anchors": raised(0.2, 0.02), "class weights": raised(0.1, 0.012)}
    comparison = made_up(values)
    assert "train with anchors" in " ".join(verdict(comparison))
    kept = [c for c in comparison.cells if c.remedy != "class weights" or c.fold == "fold0"]
    text = " ".join(verdict(replace(comparison, cells=kept)))
    assert "train with" not in text
    assert "not shown to beat what is free" in text


def test_what_harms_and_ruins_the_ranking_is_worse() -> None:
    comparison = made_up({"none": NONE, "dice loss": raised(-0.4)})
    cells = [
        replace(c, metrics=c.metrics | {"roc_auc": 0.5 + 0.001 * i}) if c.remedy != "none" else c
        for i, c in enumerate(comparison.cells)
    ]
    text = " ".join(verdict(replace(comparison, cells=cells)))
    assert "worse than none: dice loss (average precision −39.9 ± " in text
    assert "cannot tell" not in text.split("Tested by")[0]


def test_the_same_difference_in_every_run_is_neither_a_tie_nor_a_test() -> None:
    comparison = made_up({"none": [0.5] * 5, "class weights": [0.7] * 5, "SMOTE": [0.5] * 5})
    text = " ".join(verdict(comparison))
    assert (
        "not tested, since every run gives the same: class weights (average precision +20.0 in "
        "every run" in text
    )
    assert "equal to none within ± 1 point: SMOTE" in text
    assert "+20.0 in every run (no test)" in table(comparison)


def test_where_every_run_gives_the_same_no_test_is_possible(tmp_path: Path) -> None:
    """Given splits and a classifier without chance: told before anything else, and drawn."""
    comparison = made_up({"none": [0.5] * 5, "class weights": [0.7] * 5})
    lines = verdict(comparison)
    assert "train with" not in lines[0]
    assert "Linear: no test is possible of a difference that is the same in every run." in lines
    page = write_page(comparison, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "+20.0 in every run" in page
    assert "no test" in page
    assert write_figure(comparison, tmp_path / "report.png").stat().st_size


def test_what_was_not_compared_is_not_called_a_tie() -> None:
    comparison = made_up({"none": NONE, "SMOTE": raised(0.001, 0.03), "anchors": raised(0.2)})
    kept = [c for c in comparison.cells if c.remedy != "anchors" or c.fold == "fold0"]
    comparison = replace(comparison, cells=kept)
    text = " ".join(verdict(comparison))
    assert "cannot tell from none: SMOTE (" in text
    assert "not compared, with fewer than two runs in common with none: anchors (1 run)." in text
    found = {f.remedy: f.verdict for f in findings(comparison)}
    assert found == {"none": "baseline", "SMOTE": "cannot tell", "anchors": "not compared"}


def test_a_classifier_without_the_metric_is_told_apart() -> None:
    comparison = made_up({"none": NONE, "SMOTE": raised(0.2)})
    cells = [replace(c, classifier="mlp", metrics={"ece": 0.1}) for c in comparison.cells]
    both = replace(
        comparison, cells=[*comparison.cells, *cells], classifiers={"linear": "L", "mlp": "M"}
    )
    lines = verdict(both)
    assert "M: none has no average precision nor tuned F1: nothing is compared." in lines
    assert not any("cannot tell" in line for line in lines if line.startswith("M"))


def test_every_rival_of_what_is_free_is_held_against_it() -> None:
    values = {"none": NONE, "class weights": raised(0.20, 0.004), "SMOTE": raised(0.202, 0.006)}
    # wide, though significantly better than none
    values["anchors"] = raised(0.19, 0.09)
    comparison = made_up(values)
    assert {f.remedy: f.verdict for f in findings(comparison)}["anchors"] == "better"
    (one,) = decide(comparison).classifiers
    assert one.recommendation.remedy == "class weights"
    free = [r.remedy for r in one.with_outcome(answer.NOT_ABOVE_FREE)]
    assert sorted(free) == ["SMOTE", "anchors"]


def test_the_control_is_neither_the_nearest_remedy_nor_a_hypothesis() -> None:
    values = {"none": NONE, "plain + plain": raised(0.03, 0.05), "SMOTE": raised(0.01, 0.009)}
    comparison = made_up(values)
    assert "plain + plain" not in {r.remedy for r in decide(comparison).classifiers[0].remedies}
    found = {f.remedy: f for f in findings(comparison)}
    assert found["SMOTE"].p_adjusted == found["SMOTE"].test.p_value  # the only hypothesis
    ranked = made_up({"none": NONE, "threshold moving": NONE, "SMOTE": raised(0.01, 0.009)})
    for measure in ("average_precision", "f1_tuned"):
        found = {f.remedy: f for f in findings(ranked, measure)}
        assert found["SMOTE"].p_adjusted == found["SMOTE"].test.p_value
        assert found["threshold moving"].verdict == "equal"


def test_averages_are_held_against_the_control_which_is_no_remedy() -> None:
    comparison = made_up(
        {"none": NONE, "plain + anchors": raised(0.05), "plain + plain": raised(0.049, 0.006)}
    )
    text = " ".join(verdict(comparison))
    assert "not shown to beat the average of two plain models: plain + anchors (" in text
    assert "plain + anchors less plain + plain, which has no anchors: +0.1 ± " in text


@pytest.mark.parametrize("kind", ["textcnn", "linear"])
def test_averages_without_the_control_say_so_where_there_is_one(kind: str) -> None:
    comparison = made_up({"none": NONE, "plain + anchors": raised(0.05)})
    comparison = replace(
        comparison,
        cells=[replace(c, classifier=kind) for c in comparison.cells],
        classifiers={kind: kind},
    )
    advice = 'how much was not asked; add "plain + plain"'
    assert (advice in " ".join(verdict(comparison))) == (kind == "textcnn")


def test_rows_that_may_be_learnable_are_not_called_unlearnable() -> None:
    comparison = made_up({"none": NONE, "class weights": raised(0.05, 0.2)})
    areas = [0.70, 0.82, 0.50, 0.66, 0.48]
    cells = [
        replace(c, metrics=c.metrics | {"roc_auc": areas[i % 5]})
        for i, c in enumerate(comparison.cells)
    ]
    text = " ".join(verdict(replace(comparison, cells=cells)))
    assert "nothing helps" not in text
    assert "too few rows or runs to tell" in text
    assert "63.2 ±" in text


def test_a_higher_f1_without_a_ranking_is_no_help() -> None:
    comparison = made_up({"none": [0.0] * 5, "class weights": raised(-0.2)}, auc=0.5)
    text = " ".join(verdict(comparison))
    assert "nothing helps" in text
    assert "better than chance" in text
    assert {f.verdict for f in findings(comparison)} == {"baseline", "cannot tell"}


def test_the_verdict_warns_of_texts_that_show_that_they_were_made(tmp_path: Path) -> None:
    comparison = made_up({"none": NONE, "EDA edits": raised(0.01), "anchors": raised(0.02)})

    def told(area: float, remedy: str = "EDA edits") -> Comparison:
        cells = [
            replace(
                cell,
                texts={"two_sample_auc": area + 0.01 * int(cell.fold[-1])},
                giveaways=[f'word "{letter}{cell.fold}" (1 made, 0 real)' for letter in "abcde"],
            )
            if cell.remedy == remedy
            else cell
            for cell in comparison.cells
        ]
        return replace(comparison, cells=cells)

    text = " ".join(verdict(told(LEVEL + 0.01)))
    assert "Warning: the texts of EDA edits are told from real ones by their surface" in text
    assert f"(AUC {LEVEL + 0.03:.2f}; 0.5 is chance, above {LEVEL:.2f} is warned of)" in text
    assert 'word "afold4" (1 made, 0 real)' in text  # of the run that tells best
    assert "efold4" not in text  # the first four
    assert "texts of anchors" not in text
    assert "Warning: the texts" not in " ".join(verdict(told(LEVEL - 0.05)))
    assert "Warning: the texts" not in " ".join(verdict(comparison))
    page = write_page(told(0.9), tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Warning: the texts of EDA edits are told from real ones" in page
