"""What a gain has to rest on: rows that are ranked better than chance."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from hf_oversample.comparison.chance import area_behind, chance_sd, chance_test
from hf_oversample.comparison.findings import findings
from hf_oversample.comparison.problem import Problem, Split, given_splits
from hf_oversample.comparison.protocol import Comparison, compare
from hf_oversample.comparison.records import Cell
from hf_oversample.comparison.wording import verdict
from hf_oversample.data.labeled_texts import Texts
from miso_fixtures import CLASS_NAMES, make_corpus

NAMES = list(CLASS_NAMES[:2])


def areas(values: list[float], name: str = "roc_auc") -> list[Cell]:
    return [Cell("linear", "none", f"seed{i}", {name: value}) for i, value in enumerate(values)]


def on_the_same_rows(labels: np.ndarray, runs: int = 5) -> Problem:
    rows = Texts([str(i) for i in range(len(labels))], labels)
    splits = [Split(f"seed{i}", i, rows, rows, rows) for i in range(runs)]
    return Problem("made up", NAMES, "en", 1, splits)


def test_the_spread_of_a_chance_area_is_that_over_all_orders_of_the_labels() -> None:
    labels, scores = np.array([0, 0, 0, 0, 1, 1]), np.arange(6.0)
    found = [roc_auc_score(order, scores) for order in set(permutations(labels.tolist()))]
    assert chance_sd(labels, 1) == pytest.approx(np.std(found))
    assert chance_sd(np.array([0, 0, 0, 1, 1, 2, 2])) == pytest.approx(
        np.mean([chance_sd(np.array([0] * (7 - n) + [1] * n), 1) for n in (3, 2, 2)])
    )


def test_runs_on_the_same_test_rows_do_not_confirm_each_other() -> None:
    """Scores at random, nearly the same in every run: one in twenty may pass, not one in three."""
    rng, labels = np.random.default_rng(0), np.array([0] * 120 + [1] * 30)
    shared = on_the_same_rows(labels)
    own_rows = Problem("made up", NAMES, "en", 1, [])
    passed = {"shared": 0, "own rows": 0}
    for _ in range(300):
        common = rng.normal(size=150)
        runs = [roc_auc_score(labels, common + 0.3 * rng.normal(size=150)) for _ in range(5)]
        for name, problem in (("shared", shared), ("own rows", own_rows)):
            test = chance_test(problem, areas(runs), "f1")
            assert test is not None
            passed[name] += test.p_value < 0.05
    assert passed["shared"] <= 0.07 * 300
    assert passed["own rows"] > 0.25 * 300  # what the t-test over such runs would say


def test_an_area_that_is_the_same_in_every_run() -> None:
    shared = on_the_same_rows(np.array([0] * 120 + [1] * 30))
    weak, strong = (chance_test(shared, areas([area] * 5), "f1") for area in (0.54, 0.9))
    assert weak is not None
    assert strong is not None
    assert weak.p_value > 0.2
    assert strong.p_value < 1e-6
    assert chance_test(shared, areas([0.9]), "f1") is None


def test_a_gain_rests_on_the_area_of_its_own_classes() -> None:
    two = Problem("", ["ham", "spam"], "en", 1, [])
    assert area_behind(two, "macro_f1") == ("roc_auc", "spam")
    many = Problem("", ["ham", "spam", "a/b"], "en", 1, [])
    assert area_behind(many, "f1") == ("roc_auc", "spam")
    assert area_behind(many, "macro_f1") == ("macro_roc_auc", None)
    assert area_behind(many, "recall/a/b") == ("roc_auc/a/b", "a/b")


def test_a_rare_class_that_is_not_learnt_does_not_hide_what_others_gain() -> None:
    """Five topics of which the rarest has a test row or two: its ROC AUC is anything."""
    cells = [
        Cell(
            "linear",
            remedy,
            f"fold{i}",
            metrics={
                **dict.fromkeys(("f1", "f1_tuned", "average_precision"), 0.1 * (i % 2)),
                "macro_f1": 0.6 + gain + 0.005 * (-1) ** i,
                "roc_auc": (0.9, 0.4, 1.0, 0.7, 0.95)[i],
                "macro_roc_auc": 0.85 + 0.01 * i,
            },
            seconds=1.0,
        )
        for remedy, gain in (("none", 0.0), ("class weights", 0.1), ("SMOTE", 0.001))
        for i in range(5)
    ]
    # a little different in every fold: the same difference everywhere is no test
    cells = [
        Cell(
            c.classifier,
            c.remedy,
            c.fold,
            c.metrics
            | dict.fromkeys(
                ("macro_f1", "macro_f1_tuned", "macro_average_precision"),
                c.metrics["macro_f1"] + e,
            ),
        )
        for c, e in zip(cells, np.random.default_rng(0).normal(size=15) * 0.004, strict=True)
    ]
    names = ["a", "b", "c", "d", "rare"]
    comparison = Comparison(
        Problem("topics", names, "en", 4, [], 0.29), {}, cells, [], {"linear": "Linear"}
    )
    found = {f.remedy: f.verdict for f in findings(comparison, "macro_f1")}
    assert found == {"none": "baseline", "class weights": "better", "SMOTE": "cannot tell"}
    of_all = verdict(comparison, "macro_f1")[0]
    assert "train with class weights" in of_all
    of_the_minority = verdict(comparison, "f1")[0]
    assert "is shown to rank rows of rare better than chance" in of_the_minority


@pytest.mark.parametrize("shuffle", range(6))
@pytest.mark.parametrize("with_validation", [False, True])
def test_on_given_splits_with_shuffled_labels_nothing_helps(
    tmp_path: Path, shuffle: int, with_validation: bool
) -> None:
    texts, labels = make_corpus((240, 60))
    rng = np.random.default_rng(shuffle)
    order, codes = rng.permutation(len(texts)), rng.permutation(labels)
    rows = Texts([texts[row] for row in order], np.asarray(codes))
    parts = [
        Texts(rows.texts[start:end], rows.labels[start:end])
        for start, end in ((0, 120), (120, 170), (170, 300))
    ]
    problem = given_splits(
        parts[0], parts[2], NAMES, validation=parts[1] if with_validation else None, language="en"
    )
    comparison = compare(
        problem,
        remedies=["threshold moving", "logit adjustment", "class weights", "duplicates", "SMOTE"],
        classifiers=["linear"],
        records=tmp_path / "records.jsonl",
    )
    assert "better" not in {f.verdict for f in findings(comparison)}
    assert "train with" not in " ".join(verdict(comparison))
