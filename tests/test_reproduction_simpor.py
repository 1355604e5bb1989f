"""The SIMPOR paper's tables."""

from __future__ import annotations

from pathlib import Path

import datasets
import numpy as np
import pytest

pytest.importorskip("imblearn", reason="the extra imblearn is not installed")

from benchmarks.papers import simpor
from benchmarks.papers.arguments import ReproduceArguments
from benchmarks.papers.run import run_reproduce
from benchmarks.papers.simpor_trials import (
    Task,
    breast_cancer,
    credit_card,
    distinct_transactions,
    moons,
)


def test_rows_have_the_papers_ratios(tmp_path: Path) -> None:
    for rows, expected in (
        (moons, [1500, 500]),
        (breast_cancer(120), [357, 120]),
        (breast_cancer(50), [357, 50]),
    ):
        assert np.bincount(rows(0)[1]).tolist() == expected
    rng = np.random.default_rng(0)
    for split, labels in {"train": [0] * 30 + [1] * 3, "test": [0] * 10 + [1] * 2}.items():
        values = rng.normal(size=(len(labels), 2))
        values[-1] = 5.0  # the last fraud of both files is the same
        columns = {"a": values[:, 0], "b": values[:, 1], "label": labels}
        datasets.Dataset.from_dict(columns).to_parquet(str(tmp_path / f"{split}.parquet"))
    x, y = credit_card(distinct_transactions(tmp_path), 3)(1)
    assert np.bincount(y).tolist() == [12, 4]
    assert len(np.unique(x, axis=0)) == 16


def test_columns_of_the_printed_tables_fit() -> None:
    known = simpor.SimporTable2.known_tasks + simpor.SimporTable3.known_tasks
    assert set(simpor.PRINTED) == set(known)
    for blocks in simpor.PRINTED.values():
        assert set(blocks) <= set(simpor.MEASURES)
        assert all(len(figures) == len(simpor.COLUMNS) for figures in blocks.values())


def test_a_run_goes_on_and_prints_the_papers_figures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def few_rows(seed: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        y = np.repeat([0, 1], [60, 20])
        return rng.normal(size=(80, 3)) + y[:, None], y

    small = Task(few_rows, units=4, epochs=3, batch_size=16)
    monkeypatch.setattr(simpor.SimporTable, "task_named", lambda self, name: small)
    output = tmp_path / "records.jsonl"

    def call(*methods: str, seeds: int = 2) -> str:
        arguments = ReproduceArguments(
            "simpor2",
            output=str(output),
            sizes="reduced",
            seeds=seeds,
            tasks=("breast cancer 3:1",),
            methods=methods,
        )
        return run_reproduce(arguments, progress=lambda line: None)

    call("none", "SMOTE")
    first = output.read_text().splitlines()
    page = call("none", "SMOTE", "SIMPOR")
    lines = output.read_text().splitlines()
    assert lines[: len(first)] == first
    assert len(lines) == 3 * 2  # "SMOTE" is a whole name: Borderline-SMOTE is not meant
    assert call("none", "SMOTE", "SIMPOR") == page
    assert "(0.953)" in page  # SIMPOR's F1 in the paper
    assert "F1, SIMPOR less this" in page
    assert "- Runs of a cell: 2; the paper has 5 trials." in page
    assert "- Not asked for, of the data sets: moons 3:1, breast cancer 7:1." in page
    assert "- The noise of its moons: 0.3." in page
    output.write_text("".join(f"{line}\n" for line in lines[:3]))
    assert call("none", "SMOTE", "SIMPOR") == page
    assert sorted(output.read_text().splitlines()) == sorted(lines)
    assert "| none | 1 |" in call("none", seeds=1)


def write_transactions(folder: Path, frauds: int, others: int, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat([0, 1], [others, frauds]))
    values = rng.normal(size=(len(labels), 3)) + 2.0 * labels[:, None]
    columns = {**{f"v{i}": values[:, i] for i in range(3)}, "label": labels}
    rows = datasets.Dataset.from_dict(columns).train_test_split(0.2, seed=0)
    for split, part in rows.items():
        part.to_parquet(str(folder / f"{split}.parquet"))


def test_results_of_other_transactions_are_refused_and_rows_are_counted(tmp_path: Path) -> None:
    write_transactions(tmp_path / "creditcard", 20, 100, 0)

    def call(method: str = "none") -> str:
        arguments = ReproduceArguments(
            "simpor3",
            data_dir=str(tmp_path),
            output=str(tmp_path / "records.jsonl"),
            seeds=1,
            tasks=("credit card 3:1",),
            methods=(method,),
        )
        return run_reproduce(arguments, progress=lambda line: None)

    page = call()
    assert "20 and 100 are left of its 492 frauds and 284,315 other rows." in page
    assert call() == page
    write_transactions(tmp_path / "creditcard", 21, 110, 1)
    for method in ("none", "SMOTE"):  # also where none of its own results are there
        with pytest.raises(ValueError, match="from other data"):
            call(method)
