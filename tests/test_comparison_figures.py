"""The comparison's pictures: nothing cut off, no dot for a handful of rows; the answer's words."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from comparison_fixtures import CLASSIFIERS, made_up
from hf_oversample.comparison.answer import EQUAL
from hf_oversample.comparison.decision import decide
from hf_oversample.comparison.figures import classifier_panels, comparison_figure, joined_bins
from hf_oversample.comparison.findings import table
from hf_oversample.comparison.page import write_page
from hf_oversample.comparison.protocol import Comparison
from hf_oversample.comparison.wording import classifier_lines, overall_lines, verdict


def figures(comparison: Comparison) -> list[Figure]:
    panels = [panel for kind in CLASSIFIERS for panel in classifier_panels(comparison, kind)]
    assert len({panel.alt for panel in panels}) == 3 * len(CLASSIFIERS)
    return [comparison_figure(comparison), *(panel.figure for panel in panels)]


def test_nothing_is_cut_off() -> None:
    for figure in figures(made_up()):
        figure.canvas.draw()
        drawn = figure.get_tightbbox()
        width, height = figure.get_size_inches()
        assert drawn.x0 >= 0, figure
        assert drawn.y0 >= 0, figure
        assert drawn.x1 <= width, figure
        assert drawn.y1 <= height, figure


@pytest.mark.parametrize(
    ("remedies", "folds", "said"),
    [
        (["none"], 20, "no remedy was run beside none"),
        (["none", "SMOTE"], 1, "one run has no interval"),
    ],
)
def test_a_panel_without_differences_says_why(remedies: list[str], folds: int, said: str) -> None:
    comparison = made_up()
    kept = {split.key for split in comparison.problem.splits[:folds]}
    cells = [c for c in comparison.cells if c.remedy in remedies and c.fold in kept]
    comparison = dataclasses.replace(comparison, cells=cells)
    drawn = figures(comparison)
    assert any(a.get_title() == "Difference to none" for f in drawn for a in f.axes)
    for figure in drawn:
        texts = [text.get_text() for axes in figure.axes for text in axes.texts]
        titles = [axes.get_title() for axes in figure.axes]
        assert (said in texts) == ("Difference to none" in titles)


def test_bins_are_joined_until_each_holds_enough_rows() -> None:
    bins = np.array([[90, 4, 1], [3, 0.5, 1], [0, 0, 0], [17, 6, 8], [5, 2, 1]], dtype=float)
    assert joined_bins(bins, 20).tolist() == [[90, 4, 1], [25, 8.5, 10]]
    assert joined_bins(bins[1:2], 20).tolist() == [[3, 0.5, 1]]
    assert joined_bins(bins[2:3], 20).shape == (0, 3)


def test_the_answer_is_its_classifiers_answers_and_the_notes() -> None:
    comparison = made_up()
    told = decide(comparison)
    lines = [
        f"{one.title}: {line}" for one in told.classifiers for line in classifier_lines(told, one)
    ]
    assert verdict(comparison) == [*overall_lines(told), *lines, *told.notes]
    assert [one.title for one in told.classifiers] == list(CLASSIFIERS.values())
    for one in told.classifiers:
        assert classifier_lines(told, one)[0].startswith(
            "train with SMOTE and move the threshold to 0.2: +2"
        )
        assert [r.remedy for r in one.with_outcome(EQUAL)] == ["threshold moving"]


def test_a_tie_says_whether_runs_were_enough() -> None:
    comparison = made_up()
    cells = [cell for cell in comparison.cells if cell.remedy in ("none", "class weights")]
    close = " ".join(verdict(dataclasses.replace(comparison, cells=cells)))
    assert "cannot tell from none: class weights" in close
    assert "may hide" not in close
    wide = [
        dataclasses.replace(cell, metrics=cell.metrics | {"f1_tuned": 0.2 * (i % 5)})
        for i, cell in enumerate(cells)
    ]
    assert "may hide a real gain" in " ".join(verdict(dataclasses.replace(comparison, cells=wide)))


def test_a_difference_is_of_the_better_even_where_smaller_is_better() -> None:
    comparison = made_up()
    cells = [
        dataclasses.replace(cell, metrics=cell.metrics | {"ece": 1 - cell.metrics["f1"]})
        for cell in comparison.cells
    ]
    comparison = dataclasses.replace(comparison, cells=cells)
    assert "ECE, better than none by" in table(comparison, "ece")
    of_smote = next(line for line in table(comparison, "ece").splitlines() if "SMOTE" in line)
    assert "| +" in of_smote
    assert "**better**" in of_smote


def test_without_results_there_is_nothing_to_draw(tmp_path: Path) -> None:
    comparison = made_up()
    refused = [
        dataclasses.replace(cell, refused="too few rows") if cell.classifier == "linear" else cell
        for cell in comparison.cells
    ]
    with pytest.raises(ValueError, match="'linear' has no results"):
        classifier_panels(dataclasses.replace(comparison, cells=refused), "linear")
    page = write_page(dataclasses.replace(comparison, cells=refused), tmp_path / "page.html")
    assert page.read_text(encoding="utf-8").count("<img") == 3
    refused = [dataclasses.replace(cell, refused="too few rows") for cell in comparison.cells]
    with pytest.raises(ValueError, match="no classifier has results"):
        write_page(dataclasses.replace(comparison, cells=refused), tmp_path / "page.html")
