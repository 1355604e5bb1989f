"""The page of benchmarks/compare.py, on results that no training has made."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from comparison_fixtures import made_up
from hf_oversample.comparison.records import Records

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
METRIC = "average_precision_at_train"
GAINS = {"none": 0.0, "SMOTE": 0.1, "anchors": 0.3, "AMO": 0.101, "SIMPOR": -0.2}


@pytest.fixture(scope="module")
def compare() -> dict:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        return runpy.run_path(str(BENCHMARKS / "compare.py"))


def test_the_page_says_where_ours_win_tie_and_lose(compare: dict, tmp_path: Path) -> None:
    comparison = made_up()
    names = comparison.problem.class_names
    header = {"name": "made-up", "minority": names[1], "language": "en"}
    header["settings"] = {"class_names": names, "overlap": 0.0}
    records = Records(tmp_path / "made-up.jsonl", header)
    plain = [cell for cell in comparison.cells if cell.remedy == "none"]
    for place, (name, gain) in enumerate(GAINS.items()):
        for number, cell in enumerate(plain):
            score = cell.metrics["f1"] + gain + 0.002 * ((number + place) ** 2 % 5)
            records.add(replace(cell, remedy=name, metrics={**cell.metrics, METRIC: score}))
    read = compare["recorded"](tmp_path / "made-up.jsonl")
    found = {(one.classifier, one.ours): one for one in compare["outcomes"](read, METRIC)}
    words = {name: found["linear", name].word for name in ("anchors", "AMO", "SIMPOR")}
    assert words == {"anchors": "win", "AMO": "tie", "SIMPOR": "loss"}
    assert {one.best for one in found.values()} == {"SMOTE"}
    shown = compare["page"]({"sms-1%": read})
    assert "| anchors | ▲▲ |" in shown
    assert "| AMO | == |" in shown
    assert "| MISO backbone | ·· |" in shown
    assert "## sms-1% (4 seeds)" in shown
    by_remedy = [line for line in shown.splitlines() if line.startswith("| SIMPOR | ")]
    assert by_remedy[2].count("▼") == 2  # the first two are the overviews'
