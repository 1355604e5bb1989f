"""The commands that redo the papers' tables: what they print beside ours, and how they measure."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.fixture
def amo(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import papers_amo

    return papers_amo


def test_printed_averages_are_those_of_major_and_minor_classes(amo: ModuleType) -> None:
    wrong = []
    for task, (major, minor) in {"reuters": (2, 34), "twitter": (5, 18)}.items():
        assert set(amo.PRINTED[task]) <= set(amo.METHODS)
        for method, (of_major, of_minor, average) in amo.PRINTED[task].items():
            mean = (major * of_major + minor * of_minor) / (major + minor)
            if average != pytest.approx(mean, abs=0.11):
                wrong.append((task, method, average))
    assert wrong == [("twitter", "SMOTE", 70.7)], "the paper's own slip: its parts come to 71.2"


def test_accuracies_are_means_over_classes(amo: ModuleType) -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 2])
    logits = np.eye(4)[[0, 0, 0, 1, 1, 2, 2]]
    # 5 of 11 rows are no majority; with the second class's 3 they are. Class 3 has no test row.
    found = amo.class_accuracies(logits, labels, np.array([5, 3, 2, 1]))
    assert found == pytest.approx({"major": 62.5, "minor": 100.0, "average": 75.0})


def test_made_rows_keep_the_classes_and_start_late(amo: ModuleType) -> None:
    x, y = np.zeros((6, 2), np.float32), np.array([0, 0, 0, 0, 1, 1])
    made = np.full((2, 2), 7, np.float32), np.array([1, 1])
    training = amo.Training(x, y, 0, 3, {}, False)
    collator = amo.MadeRows(training, made, start_step=1)
    rows = np.tile([0, 4], 100)
    assert not collator(rows)[0].any()
    values, labels = collator(rows)
    assert labels.tolist() == y[rows].tolist()
    assert not values[labels == 0].any()
    # Two of the four rows of class 1 are made ones.
    assert 0.3 < (values[labels == 1] == 7).all(dim=1).float().mean() < 0.7


def test_a_run_goes_on_where_it_was(
    amo: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [60, 20, 10])
    vectors = (np.eye(4)[labels] + rng.normal(scale=0.2, size=(90, 4))).astype(np.float32)
    rows = vectors, labels
    data = amo.Data(rows, rows, None, False, 0)
    monkeypatch.setattr(amo, "TASKS", {"reuters, a few rows": lambda folder, share: data})
    monkeypatch.setattr(amo, "SCALES", (1.0,))
    monkeypatch.setattr(
        amo, "CANDIDATES", {"beta": (0.9,), "penalty": (0.1, 0.5), "acceptance": (0.5,)}
    )
    output = tmp_path / "records.jsonl"
    command = ["run", "--data_dir", str(tmp_path), "--epochs", "3", "--seeds", "2"]
    command += ["--output", str(output), "--methods"]
    amo.main([*command, "ERM", "SMOTE"])
    first = output.read_text().splitlines()
    amo.main([*command, "ERM", "SMOTE", "AMO", "AMO, made before"])
    lines = output.read_text().splitlines()
    assert lines[: len(first)] == first
    # ERM for the scale, AMO for each penalty, and four methods for two seeds.
    assert len(lines) == 1 + 2 + 4 * 2
    amo.main([*command, "ERM", "SMOTE", "AMO", "AMO, made before"])
    assert output.read_text().splitlines() == lines
    capsys.readouterr()
    amo.main(["table", str(output)])
    printed = capsys.readouterr().out
    assert "| AMO, made before |" in printed
    assert "(66.3)" in printed  # the paper's average of AMO on Reuters
    with pytest.raises(SystemExit, match="unknown methods"):
        amo.main([*command, "none such"])
