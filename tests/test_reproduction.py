"""The papers' tables, run again: what is printed around them, how they go on, and the recipe."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.papers.paper_table import cell, chosen_names, difference
from benchmarks.papers.records import JsonlRecords
from benchmarks.papers.run import TABLES, table_named

PROJECT = Path(__file__).resolve().parent.parent
RECIPE = str(PROJECT / "recipes" / "reproduce.py")


def call(*arguments: str) -> int:
    try:
        return runpy.run_path(RECIPE)["main"](list(arguments))
    except SystemExit as stop:  # argparse's own refusals
        return int(stop.code or 0)


# ---- records ------------------------------------------------------------------------------------


def test_records_are_found_by_their_names_whatever_the_order_of_a_setting(tmp_path: Path) -> None:
    path = tmp_path / "new" / "records.jsonl"
    records = JsonlRecords(path, ("task", "settings"))
    assert list(records) == []
    assert not path.exists()
    records.add({"task": "a", "settings": {"x": 1, "y": 2.0}, "f1": 0.5})
    again = JsonlRecords(path, ("task", "settings"))
    found = again.find({"settings": {"y": 2.0, "x": 1}, "task": "a"})
    assert found is not None
    assert found["f1"] == 0.5
    assert again.find({"task": "a", "settings": {"x": 1, "y": 3.0}}) is None


def test_a_result_of_other_inputs_is_not_taken_for_one_of_these(tmp_path: Path) -> None:
    records = JsonlRecords(tmp_path / "records.jsonl", ("task",))
    records.add({"task": "a", "inputs": "0123", "f1": 0.5})
    records.add({"task": "a", "inputs": "0123", "f1": 0.5})  # there already
    assert len(records.path.read_text().splitlines()) == 1
    assert records.find({"task": "a", "inputs": "0123"}) is not None
    for other in ({"task": "a", "inputs": "4567"}, {"task": "a"}):
        with pytest.raises(ValueError, match=r"from other data or another encoder.* --output"):
            records.find(other)


def test_a_line_that_a_killed_run_left_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text('{"task": "a"}\n{"task": "b", "f')
    records = JsonlRecords(path, ("task",))
    assert [record["task"] for record in records] == ["a"]
    assert path.read_text().endswith('"f'), "reading alone changes nothing"
    records.add({"task": "b"})
    records.add({"task": "c"})
    assert [json.loads(line)["task"] for line in path.read_text().splitlines()] == ["a", "b", "c"]


@pytest.mark.parametrize("line", ["no JSON", '{"other": 1}', "[]"])
def test_a_file_of_something_else_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text(f'{{"task": "a"}}\n{line}\n')
    with pytest.raises(ValueError, match="line 2, is no result"):
        JsonlRecords(path, ("task",))


# ---- cells --------------------------------------------------------------------------------------


def test_a_cell_has_ours_and_the_papers() -> None:
    assert cell([80.0, 82.0], 79.5, 1) == "81.0 ± 1.4 (79.5)"
    assert cell([0.25], None, 3) == "0.250"
    assert cell([], 79.5, 1) == "– (79.5)"


def test_a_difference_is_over_the_runs_of_both() -> None:
    ours, theirs = {0: 3.0, 1: 5.0, 2: 4.0}, {0: 1.0, 1: 4.0, 9: 0.0}
    assert difference(ours, theirs, 1) == "+1.5 (p 0.20)"  # t = 1.5 / 0.5, one degree of freedom
    assert difference(ours, {0: 1.0}, 1) == "–"


def test_names_are_chosen_whole_or_by_a_part() -> None:
    known = ["AMO", "LDAM", "LDAM + AMO"]
    assert chosen_names((), known, "methods") == known
    assert chosen_names(("amo",), known, "methods") == ["AMO"]
    assert chosen_names(("+", "AMO"), known, "methods") == ["AMO", "LDAM + AMO"]
    with pytest.raises(ValueError, match=r"unknown methods \['SMOTE'\]; there are"):
        chosen_names(("SMOTE",), known, "methods")


# ---- the tables and the recipe ------------------------------------------------------------------


@pytest.mark.parametrize("name", TABLES)
def test_every_table_says_what_it_is(name: str) -> None:
    table = table_named(name)
    assert table.known_tasks
    assert table.known_methods
    assert table.left_open
    assert name.rstrip("0123456789") in table.title.casefold()
    assert f"Table {name[-1]}" in table.title


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--table", "amo3", "--tasks", "cifar"], "unknown tasks ['cifar']; there are"),
        (["--table", "amo3", "--methods", "none such"], "unknown methods ['none such']"),
        (["--table", "amo3"], "this table reads reuters_r52: name the folder that holds it"),
        (["--table", "amo3", "--data_dir", "DATA"], "no folder 'reuters_r52'; it has ['letters']"),
        (["--table", "miso4", "--data_dir", "DATA"], "it has ['letters']"),
        (["--table", "simpor3", "--data_dir", "nowhere"], "data_dir 'nowhere' is not a folder"),
        (["--table", "bayesian1", "--data_dir", "DATA"], "no folder 'mnist'"),
        (["--table", "amo3", "--seeds", "0"], "seeds is 0"),
        (["--table", "amo9"], "invalid choice: 'amo9' (choose from"),
    ],
)
def test_what_the_user_can_put_right_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    (tmp_path / "data" / "letters").mkdir(parents=True)
    given = [str(tmp_path / "data") if word == "DATA" else word for word in arguments]
    output = tmp_path / "records.jsonl"
    assert call(*given, "--output", str(output)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not output.exists()


@pytest.mark.parametrize("name", TABLES)
def test_without_a_run_the_page_says_what_there_would_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    output = tmp_path / "records.jsonl"
    arguments = ["--table", name, "--output", str(output), "--sizes", "reduced"]
    assert call(*arguments, "--records_only") == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"# {table_named(name).title}\n")
    runs = table_named(name).runs_of_the_paper
    assert f"Sizes: reduced. Runs of a cell: 2 (the paper: {runs})." in shown
    assert f"- Runs of a cell: 2; the paper has {runs}." in shown
    for head in ("Smaller than the paper's:", "In the paper, and not run here:", "leaves open"):
        assert head in shown
    assert "No cell of these sizes has been run yet." in shown
    assert not output.exists()


def test_help_needs_no_torch() -> None:
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['reproduce.py', '--help']\n"
        f"try: runpy.run_path({RECIPE!r}, run_name='__main__')\n"
        "except SystemExit as stop: assert not stop.code\n"
        "assert 'torch' not in sys.modules and 'datasets' not in sys.modules"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    for name in (*TABLES, "--data_dir", "--output", "--seeds", "--sizes"):
        assert name in answer.stdout
