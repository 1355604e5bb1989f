"""Remedies for rare labels on folds: records, measures and verdict, on texts to learn from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

import miso_fixtures
from hf_oversample.comparison import decide, repeated_folds, table, verdict_text
from hf_oversample.comparison.advice import multi_label_lines
from hf_oversample.comparison.chance import chance_sd
from hf_oversample.comparison.multi_label import REMEDIES, LabelFold, compare_multi_label
from hf_oversample.comparison.multi_label_problem import multi_label_folds
from hf_oversample.comparison.problem import Problem
from hf_oversample.comparison.problem_record import problem_record, recorded_problem
from hf_oversample.comparison.protocol import Comparison
from hf_oversample.comparison.records import CellKey
from hf_oversample.data.labeled_texts import Texts
from multi_label_fixtures import NAMES, labelled_dataset, labelled_texts

METRIC = "macro_average_precision"


@pytest.fixture(scope="module")
def problem() -> Problem:
    return multi_label_folds(*labelled_texts(), NAMES, folds=3, name="complaints")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compared")


@pytest.fixture(scope="module")
def comparison(problem: Problem, folder: Path) -> Comparison:
    return compare_multi_label(problem, records=folder / "cells.jsonl")


def test_folds_hold_each_text_once_and_every_label(problem: Problem) -> None:
    texts, _ = labelled_texts()
    assert sorted(text for split in problem.splits for text in split.test.texts) == sorted(texts)
    for split in problem.splits:
        parts = (split.train, split.validation, split.test)
        assert sum(map(len, parts)) == len(texts)
        assert all(part.labels.any(axis=0).all() for part in parts)
    assert problem.class_names[problem.minority] == "threat"
    assert not problem.is_binary
    again = recorded_problem(json.loads(json.dumps(problem_record(problem))))
    assert again.multi_label
    assert np.array_equal(again.splits[0].test.labels, problem.splits[0].test.labels)


def test_cells_hold_what_each_remedy_did(comparison: Comparison, problem: Problem) -> None:
    assert [cell.remedy for cell in comparison.cells[:5]] == list(REMEDIES)
    assert len(comparison.cells) == 15
    by = {(cell.remedy, cell.fold): cell for cell in comparison.cells}
    for split in problem.splits:
        none, moved = by["none", split.key], by["threshold moving", split.key]
        assert none.metrics[METRIC] == moved.metrics[METRIC]
        assert moved.metrics["macro_f1"] == none.metrics["macro_f1_tuned"]
        assert none.metrics["macro_roc_auc"] > 0.7
        own = [none.metrics[f"average_precision/{name}"] for name in NAMES]
        assert none.metrics[METRIC] == pytest.approx(np.mean(own))
        rare = [none.metrics[f"average_precision/{name}"] for name in ("refund", "threat")]
        assert none.metrics["rare_average_precision"] == pytest.approx(np.mean(rare))
        counts = split.train.labels.sum(axis=0)
        assert by["MLSMOTE", split.key].made == counts[2] + counts[3]
        assert 0 < by["ML-ROS", split.key].made <= len(split.train) // 4
        assert by["class weights", split.key].made == 0


def test_the_verdict_and_the_table(comparison: Comparison) -> None:
    told = decide(comparison, METRIC)
    assert (told.ranking, told.tuned) == (METRIC, "macro_f1_tuned")
    (answer,) = told.classifiers
    assert answer.runs == 3
    assert {one.remedy for one in answer.remedies} == set(REMEDIES) - {"none"}
    assert {one.remedy for one in answer.remedies if one.is_free} == {
        "threshold moving",
        "class weights",
    }
    json.dumps(told.to_dict(), allow_nan=False)
    shown = table(comparison, METRIC)
    assert "latent semantic analysis + logistic regressions, one a label" in shown
    assert "average precision, rare labels" in shown
    assert "| MLSMOTE |" in shown
    text = verdict_text(comparison, METRIC)
    assert "choose_label_decision" in text or "without a remedy" in text
    # whatever the metric of the tables, it rests on all labels
    assert decide(comparison, "micro_f1").ranking == METRIC


def test_a_run_goes_on_and_others_are_refused(
    comparison: Comparison, problem: Problem, folder: Path
) -> None:
    told: list[str] = []
    again = compare_multi_label(problem, records=folder / "cells.jsonl", progress=told.append)
    assert told == []
    assert again.cells == comparison.cells
    fewer = compare_multi_label(problem, remedies=["MLSMOTE"], records=folder / "cells.jsonl")
    assert {cell.remedy for cell in fewer.cells} == {"none", "MLSMOTE"}
    other = multi_label_folds(*labelled_texts(seed=1), NAMES, folds=3)
    with pytest.raises(ValueError, match="holds cells of another comparison"):
        compare_multi_label(other, records=folder / "cells.jsonl")


def test_the_same_cell_every_time(problem: Problem, comparison: Comparison) -> None:
    fold = LabelFold(problem, problem.splits[0], None)
    for remedy in ("MLSMOTE", "ML-ROS"):
        cell = fold.cell(CellKey("linear", remedy, problem.splits[0].key))
        (first,) = [c for c in comparison.cells if c.key == cell.key]
        assert cell.metrics == first.metrics


def test_a_remedy_that_cannot_work_is_a_finding(tmp_path: Path) -> None:
    problem = multi_label_folds(*labelled_texts(60), NAMES, folds=2)
    split = problem.splits[0]
    labels = split.train.labels.copy()
    labels[np.flatnonzero(labels[:, 3])[1:], 3] = False  # one row of the rarest label is left
    fold = LabelFold(problem, split, None)
    fold.y["train"] = labels
    cell = fold.cell(CellKey("linear", "MLSMOTE", split.key))
    assert cell.refused is not None
    assert "has 1 row" in cell.refused


def test_a_given_embedder_and_repeats(tmp_path: Path) -> None:
    texts, labels = labelled_texts(80)
    doubled = [*texts, texts[0].upper()]
    problem = multi_label_folds(doubled, [*labels, ~labels[0]], NAMES, folds=2, repeats=2)
    assert problem.removed["repeats of a text with another label than its first one's"] == 1
    assert [split.key for split in problem.splits][-1] == "repeat1-fold1"
    assert problem.splits[0].test.texts != problem.splits[2].test.texts

    def embed(texts: Sequence[str]) -> np.ndarray:
        return np.array([[text.count(word) for word in "aeiou"] for text in texts], np.float32)

    done = compare_multi_label(problem, remedies=[], embed=embed, records=tmp_path / "cells.jsonl")
    assert len(done.header["embeddings"]) == 36
    assert done.classifiers["linear"].startswith("frozen encoder + ")


def test_what_cannot_be_compared_is_named(tmp_path: Path) -> None:
    texts, labels = labelled_texts(60)
    with pytest.raises(ValueError, match=r"'refund' is on \d+ of 60 different texts; 12 folds"):
        multi_label_folds(texts, labels, NAMES, folds=12)
    with pytest.raises(ValueError, match=r"labels have shape \(60, 4\): 0 or 1 for each of 60"):
        multi_label_folds(texts, labels, NAMES[:3])
    with pytest.raises(ValueError, match="folds=1 must be at least 2"):
        multi_label_folds(texts, labels, NAMES, folds=1)
    with pytest.raises(ValueError, match="validation_share=0"):
        multi_label_folds(texts, labels, NAMES, validation_share=0)
    problem = multi_label_folds(texts, labels, NAMES, folds=2)
    with pytest.raises(ValueError, match="there is no remedy 'SMOTE' for labels"):
        compare_multi_label(problem, remedies=["SMOTE"], records=tmp_path / "cells.jsonl")
    plain = repeated_folds(Texts(texts, labels[:, 0].astype(np.int64)), ["a", "b"], folds=2)
    with pytest.raises(ValueError, match="one class a row: use compare"):
        compare_multi_label(plain, records=tmp_path / "cells.jsonl")


def test_chance_of_several_labels_is_the_mean_of_each() -> None:
    labels = np.zeros((50, 3), bool)
    labels[:10, 0] = labels[:25, 1] = True  # the third is on no row
    each = [chance_sd(labels[:, k].astype(int), 1) for k in (0, 1)]
    assert chance_sd(labels) == pytest.approx(np.sqrt(np.mean(np.square(each))), rel=0.05)


@pytest.mark.parametrize("remedy", REMEDIES)
def test_the_lines_of_the_advice_run(remedy: str) -> None:
    rng = np.random.default_rng(0)
    validation = rng.normal(size=(60, 4))
    names: dict[str, Any] = {
        "train": labelled_dataset(80),
        "encoder": str(miso_fixtures.encoder_folder()),
        "validation_logits": validation,
        "validation_labels": rng.random((60, 4)) < expit(validation),
        "logits": rng.normal(size=(9, 4)),
    }
    exec(multi_label_lines(remedy), names)
    assert names["taken"].shape == (9, 4)
    if remedy in ("ML-ROS", "MLSMOTE"):
        assert len(names["balanced"]) > 80
