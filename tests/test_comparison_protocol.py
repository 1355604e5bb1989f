"""The comparison as a whole: folds, records that a killed run goes on from, tests, the verdict."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hf_oversample.comparison.figures import write_figure
from hf_oversample.comparison.findings import findings, table
from hf_oversample.comparison.fold import Fold
from hf_oversample.comparison.made_texts import made_text_metrics
from hf_oversample.comparison.page import write_page
from hf_oversample.comparison.problem import Problem, given_splits, repeated_folds
from hf_oversample.comparison.protocol import Comparison, compare
from hf_oversample.comparison.records import Cell, CellKey, Records
from hf_oversample.comparison.verdict import verdict
from hf_oversample.labeled_texts import Texts
from hf_oversample.metrics.statistics import paired_test
from hf_oversample.text import Segmenter, normalized
from miso_fixtures import CLASS_NAMES, make_corpus

NAMES = list(CLASS_NAMES[:2])
QUICK = {"remedies": ["class weights", "threshold moving", "duplicates"], "classifiers": ["linear"]}


def make_problem(counts: tuple[int, int] = (90, 24), folds: int = 3, **options: Any) -> Problem:
    texts, labels = make_corpus(counts)
    return repeated_folds(Texts(texts, labels), NAMES, folds=folds, language="en", **options)


# ---- the rows -----------------------------------------------------------------------------------


@given(st.integers(2, 4), st.integers(1, 2), st.integers(0, 5))
@settings(deadline=None, max_examples=12)
def test_folds_share_no_text_and_cover_all(folds: int, repeats: int, seed: int) -> None:
    texts, labels = make_corpus((40, 12))
    everything = Texts([*texts, texts[0].upper(), f"{texts[1]}  "], np.append(labels, labels[:2]))
    problem = repeated_folds(everything, NAMES, folds=folds, repeats=repeats, seed=seed)
    assert problem.removed == {"repeats of a text": 2}
    assert len(problem.splits) == folds * repeats
    assert problem.overlap == pytest.approx(1 / ((folds - 1) * 0.85))
    tested: list[str] = []
    for split in problem.splits:
        parts = [split.train, split.validation, split.test]
        keys = [{normalized(text) for text in part.texts} for part in parts]
        assert sum(map(len, keys)) == len(set.union(*keys)) == len(texts)
        assert all(set(part.labels.tolist()) == {0, 1} for part in parts)
        tested += split.test.texts
    assert sorted(tested) == sorted(texts * repeats)
    again = repeated_folds(everything, NAMES, folds=folds, repeats=repeats, seed=seed)
    assert again.digests() == problem.digests()
    assert len(set(problem.digests())) == len(problem.splits)


def test_a_text_with_two_labels_is_counted_apart() -> None:
    texts, labels = make_corpus((40, 12))
    everything = Texts([*texts, texts[0], texts[1]], np.append(labels, [labels[0], 1 - labels[1]]))
    problem = repeated_folds(everything, NAMES, folds=2)
    assert problem.removed == {
        "repeats of a text": 1,
        "repeats of a text with another label than its first one's": 1,
    }


def test_more_seeds_go_on_from_fewer(tmp_path: Path) -> None:
    texts, labels = make_corpus((60, 24))
    parts = Texts(texts[:60], labels[:60]), Texts(texts[60:], labels[60:])
    done: list[str] = []
    for seeds in (2, 3, 2):
        problem = given_splits(*parts, NAMES, seeds=seeds, language="en")
        comparison = compare(
            problem, records=tmp_path / "records.jsonl", progress=done.append, **QUICK
        )
        assert len(comparison.cells) == 4 * seeds
    assert len(done) == 4 * 3
    other = given_splits(*parts, NAMES, seeds=2, seed=1, language="en")
    with pytest.raises(ValueError, match="another comparison"):
        compare(other, records=tmp_path / "records.jsonl", **QUICK)


def test_given_splits_keep_the_test_rows_and_clean_the_others() -> None:
    texts, labels = make_corpus((40, 12))
    test = Texts(texts[:20], labels[:20])
    train = Texts([*texts[20:], texts[0], texts[21]], np.append(labels[20:], labels[[0, 21]]))
    validation = Texts([*texts[30:40], texts[5]], np.append(labels[30:40], labels[5]))
    problem = given_splits(train, test, NAMES, validation=validation, seeds=3, seed=4)
    assert problem.removed == {
        "repeats of a text": 1,
        "validation texts that are test texts": 1,
        "training texts that are held out": 11,
    }
    assert [split.seed for split in problem.splits] == [4, 5, 6]
    assert problem.splits[0].test.texts == texts[:20]
    assert problem.splits[0].validation.texts == texts[30:40]
    held_back = given_splits(train, test, NAMES, seeds=2)
    first, second = held_back.splits
    assert first.validation.texts != second.validation.texts
    assert not set(first.train.texts) & set(first.validation.texts)


def test_a_class_too_rare_for_the_folds_is_named() -> None:
    texts, labels = make_corpus((40, 5))
    with pytest.raises(ValueError, match="class 'spam' has 5 different texts; 5 folds need at"):
        repeated_folds(Texts(texts, labels), NAMES, folds=5)


# ---- records ------------------------------------------------------------------------------------


def cell(fold: str, remedy: str = "none", **metrics: float) -> Cell:
    return Cell("linear", remedy, fold, metrics=metrics, seconds=1.0)


def test_a_half_written_last_line_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    records = Records(path, {"seed": 1})
    records.add(cell("a", f1=0.5))
    records.add(cell("b", f1=0.6))
    whole = path.read_bytes()
    for length in (len(whole) - 1, len(whole) - 30, whole.index(b"\n", 30) + 2):
        path.write_bytes(whole[:length])
        again = Records(path, {"seed": 1})
        assert CellKey("linear", "none", "a") in again
        assert CellKey("linear", "none", "b") not in again
        again.add(cell("b", f1=0.6))
        assert path.read_bytes() == whole
    path.write_bytes(whole[:10])  # killed while the first line was written
    assert len(Records(path, {"seed": 1})) == 0


def test_records_of_another_run_or_damaged_ones_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    Records(path, {"seed": 1}).add(cell("a", f1=0.5))
    with pytest.raises(ValueError, match=r"another comparison \(seed: 1 there, 2 now"):
        Records(path, {"seed": 2})
    path.write_text(path.read_text() + "not json\n")
    with pytest.raises(ValueError, match="line 3"):
        Records(path, {"seed": 1})
    assert len(Records(path, {"seed": 2}, overwrite=True)) == 0


_RUN = """
import sys
sys.path.insert(0, sys.argv[2])
from test_comparison_protocol import QUICK, make_problem
from hf_oversample.comparison.protocol import compare
compare(make_problem(), records=sys.argv[1], steps=5, **QUICK)
"""


def figures(path: Path) -> dict[tuple[str, ...], Any]:
    """All cells but their seconds."""
    lines = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    found = {(c["classifier"], c["remedy"], c["fold"]): c | {"seconds": 0} for c in lines}
    assert len(found) == len(lines)
    return found


def test_a_killed_run_goes_on_to_the_same_table(tmp_path: Path) -> None:
    killed, whole = tmp_path / "killed.jsonl", tmp_path / "whole.jsonl"
    command = [sys.executable, "-c", _RUN, str(killed), str(Path(__file__).parent)]
    process = subprocess.Popen(command)
    deadline = time.monotonic() + 300
    while not (killed.exists() and killed.read_bytes().count(b"\n") >= 3):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    with killed.open("ab") as file:
        file.write(b'{"classifier": "lin')  # what a kill within a write leaves
    before = killed.read_bytes().count(b"\n") - 1
    assert before < 12
    done: list[str] = []
    went_on = compare(make_problem(), records=killed, steps=5, progress=done.append, **QUICK)
    assert len(done) == 12 - before
    straight = compare(make_problem(), records=whole, steps=5, **QUICK)
    assert figures(killed) == figures(whole)
    # as text, in which NaN equals NaN
    ignored = {"seconds": 0.0}
    first, second = ([vars(f) | ignored for f in findings(c)] for c in (went_on, straight))
    assert repr(first) == repr(second)


def test_a_remedy_that_refuses_is_recorded_and_said(tmp_path: Path) -> None:
    problem = make_problem()
    options: dict[str, Any] = {"classifiers": ["linear", "textcnn"], "steps": 2}
    records = tmp_path / "records.jsonl"
    comparison = compare(
        problem, remedies=["borderline-smote", "anchors"], records=records, **options
    )
    assert ("textcnn", "Borderline-SMOTE", "they make embeddings, and it reads words") in (
        comparison.skipped
    )
    # no encoder is named: what is read is said
    assert comparison.classifiers["linear"] == "latent semantic analysis + logistic regression"
    lines = verdict(comparison)
    assert any("left out because there is no MISO generator" in line for line in lines)
    refused = [c for c in comparison.cells if c.refused]
    assert all(f"no result of {c.remedy}" in " ".join(lines) for c in refused)
    again = compare(problem, remedies=["borderline-smote", "anchors"], records=records, **options)
    assert sorted(again.skipped) == sorted(comparison.skipped)
    with pytest.raises(ValueError, match=r"another comparison \(steps"):
        compare(problem, remedies=["none"], records=records, classifiers=["linear"], steps=3)


# ---- tests and words ----------------------------------------------------------------------------


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
    """A comparison of one classifier with these F1 values, fold by fold."""
    cells = [
        Cell(
            "linear",
            remedy,
            f"fold{i}",
            metrics={"f1": f1, "roc_auc": auc + 0.01 * (-1) ** i, "average_precision": 0.5},
            seconds=2.0 if remedy == "none" else 6.0,
        )
        for remedy, row in values.items()
        for i, f1 in enumerate(row)
    ]
    problem = Problem("made up", NAMES, "en", 1, [], overlap=0.25)
    return Comparison(problem, {}, cells, classifiers={"linear": "Linear"})


NONE = [0.50, 0.52, 0.49, 0.51, 0.50]


def raised(points: float, wobble: float = 0.005) -> list[float]:
    return [f + points + wobble * (-1) ** i for i, f in enumerate(NONE)]


def test_the_verdict_says_that_a_moved_threshold_does_as_well() -> None:
    comparison = made_up(
        {
            "none": NONE,
            "SMOTE": raised(0.20),
            "threshold moving": raised(0.199, 0.008),
            "EDA edits": raised(0.001, 0.03),
            "dice loss": raised(-0.2),
        }
    )
    text = " ".join(verdict(comparison))
    assert "better than none in F1 of the minority: SMOTE (+20.1 points, 6.0 s, 3.0 times" in text
    assert "a moved threshold does as well (threshold moving, +20.1)" in text
    assert "tied with none: EDA edits." in text
    assert "worse than none: dice loss" in text
    assert [f.remedy for f in findings(comparison)][-2:] == ["none", "dice loss"]


def test_the_verdict_says_what_beats_a_moved_threshold() -> None:
    comparison = made_up(
        {"none": NONE, "anchors": raised(0.3), "logit adjustment": raised(0.1, 0.006)}
    )
    text = " ".join(verdict(comparison))
    assert (
        "significantly better than a moved threshold too (logit adjustment, +10.1): anchors" in text
    )


def test_a_threshold_is_not_said_to_do_as_well_where_that_is_not_shown() -> None:
    noisy = [f + d for f, d in zip(NONE, (0.3, -0.3, 0.2, -0.25, 0.0), strict=True)]
    comparison = made_up({"none": NONE, "anchors": raised(0.2), "threshold moving": noisy})
    text = " ".join(verdict(comparison))
    assert "does as well" not in text
    assert "none of these is shown to beat a moved threshold (threshold moving, −1.0;" in text
    ranked = " ".join(verdict(comparison, "average_precision"))
    assert "no moved threshold" not in ranked  # nothing is better there
    small = made_up({"none": NONE, "anchors": raised(0.2), "threshold moving": raised(0.1, 0.09)})
    assert "does as well" not in " ".join(verdict(small))


def test_a_moved_threshold_without_runs_in_common_is_said() -> None:
    comparison = made_up(
        {"none": NONE, "anchors": raised(0.2), "threshold moving": raised(0.1, 0.02)}
    )
    kept = [c for c in comparison.cells if c.remedy != "threshold moving" or c.fold == "fold0"]
    text = " ".join(verdict(replace(comparison, cells=kept)))
    assert "none of these can be held against a moved threshold: they have no two runs" in text


def test_what_harms_and_ruins_the_ranking_is_worse() -> None:
    comparison = made_up({"none": NONE, "dice loss": raised(-0.4)})
    cells = [
        replace(c, metrics=c.metrics | {"roc_auc": 0.5 + 0.001 * i}) if c.remedy != "none" else c
        for i, c in enumerate(comparison.cells)
    ]
    text = " ".join(verdict(replace(comparison, cells=cells)))
    assert "worse than none: dice loss (−39.9 points" in text
    assert "tied" not in text.split("Tested by")[0]


def test_the_same_difference_in_every_run_is_neither_a_tie_nor_a_test() -> None:
    comparison = made_up({"none": [0.5] * 5, "class weights": [0.7] * 5, "SMOTE": [0.5] * 5})
    text = " ".join(verdict(comparison))
    assert "not tested, since every run gives the same: class weights (+20.0 points" in text
    assert "tied with none: SMOTE." in text
    assert "+20.0 in every run (no test)" in table(comparison)


def test_where_every_run_gives_the_same_no_test_is_possible(tmp_path: Path) -> None:
    """Given splits and a classifier without chance: told before anything else, and drawn."""
    comparison = made_up({"none": [0.5] * 5, "class weights": [0.7] * 5})
    line = verdict(comparison)[0]
    assert "no test is possible: every run gives the same F1 of the minority" in line
    page = write_page(comparison, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "+20.0 in every run" in page
    assert "no test" in page
    assert write_figure(comparison, tmp_path / "report.png").stat().st_size


def test_what_was_not_compared_is_not_called_a_tie() -> None:
    comparison = made_up({"none": NONE, "SMOTE": raised(0.001, 0.03), "anchors": raised(0.2)})
    kept = [c for c in comparison.cells if c.remedy != "anchors" or c.fold == "fold0"]
    comparison = replace(comparison, cells=kept)
    text = " ".join(verdict(comparison))
    assert "tied with none: SMOTE." in text
    assert "not compared, with fewer than two runs in common with none: anchors (1 run)." in text
    found = {f.remedy: f.verdict for f in findings(comparison)}
    assert found == {"none": "baseline", "SMOTE": "tied", "anchors": "not compared"}


def test_a_classifier_without_the_metric_is_told_apart() -> None:
    comparison = made_up({"none": NONE, "SMOTE": raised(0.2)})
    cells = [replace(c, classifier="mlp", metrics={"ece": 0.1}) for c in comparison.cells]
    both = replace(
        comparison, cells=[*comparison.cells, *cells], classifiers={"linear": "L", "mlp": "M"}
    )
    lines = verdict(both)
    assert "M: it has no F1 of the minority: nothing is compared." in lines
    assert not any("tied" in line for line in lines if line.startswith("M"))


def test_every_rival_of_a_moved_threshold_counts() -> None:
    """One whose interval reaches far above a moved threshold leaves the answer open."""
    values = {"none": NONE, "threshold moving": raised(0.20, 0.004), "SMOTE": raised(0.202, 0.006)}
    assert "a moved threshold does as well" in " ".join(verdict(made_up(values)))
    # wide, though significantly better than none
    values["anchors"] = raised(0.19, 0.09)
    comparison = made_up(values)
    assert {f.remedy: f.verdict for f in findings(comparison)}["anchors"] == "better"
    assert "does as well" not in " ".join(verdict(comparison))


def test_the_control_is_neither_the_nearest_remedy_nor_a_hypothesis() -> None:
    values = {"none": NONE, "plain + plain": raised(0.03, 0.05), "SMOTE": raised(0.01, 0.009)}
    comparison = made_up(values)
    text = " ".join(verdict(comparison))
    assert "nearest is SMOTE" in text
    found = {f.remedy: f for f in findings(comparison)}
    assert found["SMOTE"].p_adjusted == found["SMOTE"].test.p_value  # the only hypothesis
    ranked = made_up({"none": NONE, "threshold moving": NONE, "SMOTE": raised(0.01, 0.009)})
    cells = [replace(c, metrics=c.metrics | {"average_precision": c.metrics["f1"]})
             for c in ranked.cells]  # fmt: skip
    found = {f.remedy: f for f in findings(replace(ranked, cells=cells), "average_precision")}
    assert found["SMOTE"].p_adjusted == found["SMOTE"].test.p_value
    assert found["threshold moving"].verdict == "tied"


def test_names_of_classes_in_any_order_give_the_same_answer(tmp_path: Path) -> None:
    """Models are chosen by the minority's average precision, whichever code it has."""
    texts, labels = make_corpus((300, 40), seed=5)
    found = []
    for number, codes in enumerate((labels, 1 - np.asarray(labels))):
        problem = repeated_folds(
            Texts(texts, np.asarray(codes)), ["a", "b"], folds=3, language="en",
            minority=1 - number,
        )  # fmt: skip
        comparison = compare(
            problem, remedies=["class weights"], classifiers=["linear", "textcnn"], steps=20,
            records=tmp_path / f"{number}.jsonl",
        )  # fmt: skip
        found.append({c.key: c.metrics["average_precision"] for c in comparison.cells
                      if c.classifier == "linear"})  # fmt: skip
    assert found[0] == pytest.approx(found[1], abs=1e-6)


def test_embeddings_that_are_given_are_part_of_the_records(tmp_path: Path) -> None:
    problem, options = make_problem(), {"remedies": ["none"], "classifiers": ["linear"]}
    records = tmp_path / "records.jsonl"

    def embed(texts: Sequence[str], scale: int) -> np.ndarray:
        return np.array([[len(t) % scale, t.count("e"), 1] for t in texts], np.float32)

    compare(problem, records=records, embed=lambda texts: embed(texts, 7), **options)
    with pytest.raises(ValueError, match=r"another comparison \(embeddings"):
        compare(problem, records=records, embed=lambda texts: embed(texts, 5), **options)


def test_classes_that_training_lacks_are_refused() -> None:
    train = Texts(["a b", "b c", "c d", "d e"], np.array([0, 0, 1, 1]))
    test = Texts(["x y", "y z", "z x"], np.array([0, 1, 2]))
    with pytest.raises(
        ValueError, match=r"the test part has rows of \['eggs'\], of which the train"
    ):
        given_splits(train, test, ["ham", "spam", "eggs"])
    with pytest.raises(ValueError, match=r"validation_share=1\.5"):
        given_splits(train, test, ["ham", "spam", "eggs"], validation_share=1.5)


def test_averages_are_held_against_the_control_which_is_no_remedy() -> None:
    comparison = made_up(
        {"none": NONE, "plain + anchors": raised(0.05), "plain + plain": raised(0.049, 0.006)}
    )
    text = " ".join(verdict(comparison))
    assert "1 of 1 remedies helps, plain + anchors the most" in text
    assert "plain + anchors less plain + plain, which has no anchors: +0.1 ± " in text


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
    assert {f.verdict for f in findings(comparison)} == {"baseline", "tied"}


def test_on_shuffled_labels_nothing_helps(tmp_path: Path) -> None:
    texts, labels = make_corpus((300, 100))
    shuffled = np.random.default_rng(3).permutation(labels)
    problem = repeated_folds(Texts(texts, shuffled), NAMES, folds=4, language="en")
    comparison = compare(
        problem,
        remedies=["threshold moving", "logit adjustment", "class weights", "duplicates", "SMOTE"],
        classifiers=["linear"],
        records=tmp_path / "records.jsonl",
    )
    f1 = {f.remedy: f.means["f1"] for f in findings(comparison)}
    assert f1["class weights"] > f1["none"]  # guessing more often is no help
    text = " ".join(verdict(comparison))
    assert "nothing helps" in text
    assert "better than none" not in text
    assert "better" not in {f.verdict for f in findings(comparison)}


def test_what_made_texts_are_like_is_told(tmp_path: Path) -> None:
    problem = make_problem()
    comparison = compare(
        problem, remedies=["EDA edits", "duplicates"], classifiers=["linear", "textcnn"], steps=2,
        records=tmp_path / "records.jsonl",
    )  # fmt: skip
    for cell in comparison.cells:
        assert bool(cell.texts) == (cell.remedy == "EDA edits"), cell.key
    first, *others = [c.texts for c in comparison.cells if c.texts and c.fold == "repeat0-fold0"]
    assert others == [first]  # the same for every classifier
    assert 0 <= first["exact_copies"] <= first["near_copies"] <= 1
    assert 0 < first["distinct_1"] < first["distinct_2"] <= 1
    assert first["label_agreement"] > 0.5
    assert first["label_agreement_real"] > 0.5
    text = table(comparison)
    assert "### Texts that were made" in text
    assert "| real texts, held out | – | – | – | – | – |" in text
    page = write_page(comparison, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Texts that were made" in page
    none = replace(comparison, cells=[c for c in comparison.cells if not c.texts])
    assert "Texts that were made" not in table(none)
    page = write_page(none, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Texts that were made" not in page


def test_copies_are_told_by_the_metrics_of_made_texts() -> None:
    split = make_problem().splits[0]
    fold = Fold(split.train, split.validation, split.test, NAMES, Segmenter("en"))
    rare = split.train.labels == 1
    own = [text for text, is_rare in zip(split.train.texts, rare, strict=True) if is_rare]
    found = made_text_metrics(fold, Texts(own, np.ones(len(own), np.int64)), 0)
    assert found["exact_copies"] == found["near_copies"] == 1.0
    assert "label_agreement" not in found  # no embedder, no judge


def test_the_table_and_the_page_hold_every_remedy(tmp_path: Path) -> None:
    problem = make_problem()
    comparison = compare(problem, records=tmp_path / "records.jsonl", **QUICK)
    text = table(comparison, "average_precision")
    assert text.index("average precision") < text.index("F1 of the minority")
    page = write_page(comparison, tmp_path / "report.html").read_text(encoding="utf-8")
    for remedy in ("none", *QUICK["remedies"]):
        assert f"| {remedy} |" in text
        assert f"<td>{remedy}</td>" in page
    assert "data:image/png;base64," in page
    assert not any(link in page for link in ("http://", "https://", "<script", "<link"))
    with pytest.raises(ValueError, match="no cell has the metric 'f2'"):
        table(comparison, "f2")
