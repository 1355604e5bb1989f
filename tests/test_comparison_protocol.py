"""The comparison as a whole: folds, records that a killed run goes on from, what it tells."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_oversample.comparison.findings import findings, table
from hf_oversample.comparison.fold import Fold
from hf_oversample.comparison.made_texts import made_text_metrics
from hf_oversample.comparison.page import write_page
from hf_oversample.comparison.problem import Problem, given_splits, repeated_folds
from hf_oversample.comparison.protocol import Comparison, compare
from hf_oversample.comparison.records import Cell
from hf_oversample.comparison.wording import verdict
from hf_oversample.data.labeled_texts import Texts
from hf_oversample.text.words import Segmenter, normalized
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
        "validation rows whose text is a test text": 1,
        "training rows whose text is a test or validation text": 11,
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


# ---- runs that go on ----------------------------------------------------------------------------


# with what draws at random: weights, batches, mixtures, edits, neighbours
DRAWN = {"remedies": ["TMix", "EDA edits", "SMOTE", "threshold moving"]}
DRAWN |= {"classifiers": ["linear", "textcnn", "mlp"]}
_RUN = """
import sys
sys.path.insert(0, sys.argv[2])
from test_comparison_protocol import DRAWN, make_problem
from hf_oversample.comparison.protocol import Comparison, compare
compare(make_problem(), records=sys.argv[1], steps=5, **DRAWN)
"""


def figures(comparison: Comparison) -> list[dict[str, Any]]:
    """All cells but what they cost."""
    return [asdict(cell) | {"seconds": 0.0, "shared": {}} for cell in comparison.cells]


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """A run that nothing stops."""
    records = tmp_path_factory.mktemp("straight") / "records.jsonl"
    return compare(make_problem(), records=records, steps=5, **DRAWN)


@pytest.mark.parametrize("done_before", [2, 20])
def test_a_killed_run_goes_on_to_the_same_table(
    tmp_path: Path, straight: Comparison, done_before: int
) -> None:
    killed, total = tmp_path / "killed.jsonl", len(straight.cells)
    command = [sys.executable, "-c", _RUN, str(killed), str(Path(__file__).parent)]
    process = subprocess.Popen(command)
    deadline = time.monotonic() + 300
    while not (killed.exists() and killed.read_bytes().count(b"\n") > done_before):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    with killed.open("ab") as file:
        file.write(b'{"classifier": "lin')  # what a kill within a write leaves
    before = killed.read_bytes().count(b"\n") - 1
    assert done_before <= before < total
    done: list[str] = []
    went_on = compare(make_problem(), records=killed, steps=5, progress=done.append, **DRAWN)
    assert len(done) == total - before
    assert figures(went_on) == figures(straight)
    assert len(killed.read_bytes().splitlines()) == 1 + total  # no cell twice
    # as text, in which NaN equals NaN
    ignored = {"seconds": 0.0}
    first, second = ([vars(f) | ignored for f in findings(c)] for c in (went_on, straight))
    assert repr(first) == repr(second)


def test_a_run_that_goes_on_counts_what_cells_share_as_the_first_one_did(tmp_path: Path) -> None:
    path, problem = tmp_path / "records.jsonl", make_problem()
    compare(problem, remedies=[], classifiers=["linear"], steps=2, records=path)
    header, *cells = map(json.loads, path.read_text().splitlines())
    assert len(cells) == len(problem.splits)
    for cell in cells:
        assert cell["shared"]["('embedded', 'train')"] < 100
        cell["shared"]["('embedded', 'train')"] = 1000.0  # a machine that was very busy
    path.write_text("".join(json.dumps(line) + "\n" for line in (header, *cells)))
    again = compare(
        problem, remedies=["class weights"], classifiers=["linear"], steps=2, records=path
    )
    assert all(1000 < c.seconds < 1100 for c in again.cells if c.remedy == "class weights")


def test_machines_may_share_the_splits(tmp_path: Path) -> None:
    problem = make_problem()
    whole = compare(problem, records=tmp_path / "whole.jsonl", **QUICK)
    keys = [split.key for split in problem.splits]
    joined = b""
    for number, own in enumerate((keys[1:], keys[:1])):
        records = tmp_path / f"{number}.jsonl"
        compare(problem, records=records, folds=own, **QUICK)
        first, *cells = records.read_bytes().splitlines(keepends=True)
        joined = (joined or first) + b"".join(cells)
    (tmp_path / "joined.jsonl").write_bytes(joined)
    done: list[str] = []
    again = compare(problem, records=tmp_path / "joined.jsonl", progress=done.append, **QUICK)
    assert not done
    assert figures(again) == figures(whole)
    with pytest.raises(ValueError, match=r"no splits \['seed9'\]"):
        compare(problem, records=tmp_path / "other.jsonl", folds=["seed9"], **QUICK)


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


# ---- whole comparisons --------------------------------------------------------------------------


def test_names_of_classes_in_any_order_give_the_same_answer(tmp_path: Path) -> None:
    """Models are chosen by the minority's average precision, whichever code it has."""
    texts, found = noisy_corpus(seed=3), []
    for minority in (1, 0):
        codes = texts.labels if minority else 1 - texts.labels
        parts = [
            Texts(texts.texts[start:end], codes[start:end])
            for start, end in ((0, 170), (170, 240), (240, 340))
        ]
        problem = given_splits(
            parts[0], parts[2], ["a", "b"], validation=parts[1], seeds=1, language="en",
            minority=minority,
        )  # fmt: skip
        records = tmp_path / f"{minority}.jsonl"
        comparison = compare(
            problem, remedies=["class weights"], classifiers=["linear"], records=records
        )
        found.append({c.key: c.metrics["average_precision"] for c in comparison.cells})
    assert found[0] == pytest.approx(found[1], abs=1e-9)


def noisy_corpus(seed: int) -> Texts:
    """300 and 40 texts in mixed order, 30 of them with the other label: what is chosen matters."""
    texts, labels = make_corpus((300, 40), seed=seed)
    codes, rng = np.array(labels), np.random.default_rng(seed)
    wrong = rng.permutation(len(codes))[:30]
    codes[wrong] = 1 - codes[wrong]
    order = rng.permutation(len(codes))
    return Texts([texts[row] for row in order], codes[order])


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


def test_a_class_whose_texts_all_stand_under_another_is_named() -> None:
    texts, labels = make_corpus((40, 20))
    third = Texts([*texts, *texts[:9]], np.append(labels, np.full(9, 2)))
    with pytest.raises(ValueError, match=r"no training row is of \['eggs'\].* another label"):
        repeated_folds(third, [*NAMES, "eggs"], folds=2)
    test = Texts(["x y", "y z"], np.array([0, 1]))
    with pytest.raises(ValueError, match=r"no training row is of \['eggs'\]"):
        given_splits(third, test, [*NAMES, "eggs"])


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
    assert first["unknown_words"] == 0.0  # these edits write none
    assert "two_sample_auc" not in first  # nothing can be said of fewer than 20 rows
    assert first["label_agreement_real"] > 0.5
    text = table(comparison)
    assert "### Texts that were made" in text
    assert "| real validation texts | – | – | – | – | – |" in text
    page = write_page(comparison, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Texts that were made" in page
    edited = [c for c in comparison.cells if c.texts]
    other = replace(edited[0], remedy="synonym edits")
    text = table(replace(comparison, cells=[*comparison.cells, other]))
    assert "| EDA edits | " in text
    assert "| synonym edits (1) | " in text  # of fewer folds than others
    none = replace(comparison, cells=[c for c in comparison.cells if not c.texts])
    assert "Texts that were made" not in table(none)
    page = write_page(none, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Texts that were made" not in page


def test_a_remedy_that_makes_no_text_keeps_its_result(tmp_path: Path) -> None:
    """Classes of the same size: nothing grows."""
    texts, labels = make_corpus((60, 60))
    rows = np.argsort(labels, kind="stable").reshape(2, 3, 20)  # class, part, row
    parts = [
        Texts([texts[row] for row in part.ravel()], np.repeat([0, 1], 20))
        for part in rows.transpose(1, 0, 2)
    ]
    problem = given_splits(parts[0], parts[1], NAMES, validation=parts[2], seeds=2, language="en")
    comparison = compare(
        problem, remedies=["EDA edits"], classifiers=["linear"], records=tmp_path / "records.jsonl"
    )
    edits = [cell for cell in comparison.cells if cell.remedy == "EDA edits"]
    assert len(edits) == 2
    for cell in edits:
        assert (cell.refused, cell.made, cell.texts) == (None, 0, {})
        assert cell.metrics["f1"] > 0.5


def test_where_nothing_has_a_result_the_reason_is_told(tmp_path: Path) -> None:
    refused = [Cell("linear", "none", f"fold{i}", refused="no good") for i in range(2)]
    comparison = Comparison(make_problem(), {}, refused, [], {"linear": "Linear"})
    with pytest.raises(ValueError, match="there are none; no result, since no good"):
        findings(comparison)


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
