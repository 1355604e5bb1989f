"""Rows that somebody made: judged, compared as a remedy, kept from what a fold holds out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict
from hypothesis import given, settings
from hypothesis import strategies as st

from comparison_fixtures import made_up
from hf_oversample import RandomOversampler
from hf_oversample.commands.main import main
from hf_oversample.comparison import as_given_rows, compare, given_splits, judge_rows
from hf_oversample.comparison.advice import given_lines
from hf_oversample.comparison.answer import USE_REMEDY
from hf_oversample.comparison.decision import decide
from hf_oversample.comparison.embedders import LatentSemanticEmbedder
from hf_oversample.comparison.fold import Fold
from hf_oversample.comparison.given_rows import GivenRows, leaks, used_rows
from hf_oversample.comparison.resampling import half_of_each
from hf_oversample.comparison.wording import verdict
from hf_oversample.data.labeled_texts import Texts
from hf_oversample.text.words import Segmenter, normalized
from miso_fixtures import CLASS_NAMES, make_corpus

NAMES = list(CLASS_NAMES[:2])
TEXTS, LABELS = make_corpus((60, 20))
SPAM = np.flatnonzero(LABELS == 1).tolist()
TRAIN = Dataset.from_dict({"text": TEXTS, "label": [NAMES[code] for code in LABELS]})
# New texts, which share few words with any row
PHRASES = [f"your parcel {n} waits behind door {n + 7}, pay the fee {n + 3}" for n in range(12)]


def made(texts: Sequence[str], label: str = "spam", **columns: Any) -> Dataset:
    return Dataset.from_dict({"text": list(texts), "label": [label] * len(texts), **columns})


def rotated(row: int) -> str:
    """A text made of a row: its words, with others on both sides."""
    return f"listen well, {TEXTS[row]} and so it goes from here on"


def run(*words: str) -> int:
    return main(["compare", *words, "--classifiers", "linear", "--encoder_name", "scratch"])


# ---- the command, end to end --------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of two makers, one that tells parents and one that tells nothing and copied some, and a
    comparison of both."""
    path = tmp_path_factory.mktemp("made")
    TRAIN.to_csv(str(path / "train.csv"))
    told = made([rotated(row) for row in SPAM], parent=SPAM, tokens=[12] * len(SPAM))
    told.to_json(str(path / "told.jsonl"))
    copies = [f" {TEXTS[row].upper()}  " for row in SPAM[:5]]
    blind = made([*PHRASES, *copies, " "], usd=[0.25] * 18)
    blind.save_to_disk(str(path / "blind"))
    given = ["--made", str(path / "told.jsonl"), "--made", f"copied={path / 'blind'}"]
    words = [str(path / "train.csv"), *given, "--folds", "2", "--methods", "duplicates"]
    assert run(*words, "-o", str(path / "out")) == 0
    return path


def records(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "comparison.jsonl").read_text().splitlines()[1:]]


def test_made_rows_get_the_verdict_of_a_remedy(folder: Path) -> None:
    out = folder / "out"
    cells = {(cell["remedy"], cell["fold"]): cell for cell in records(out)}
    assert {remedy for remedy, _ in cells} == {"none", "duplicates", "told", "copied"}
    told = json.loads((out / "verdict.json").read_text())
    outcomes = {one["remedy"]: one["outcome"] for one in told["classifiers"][0]["remedies"]}
    assert {"told", "copied", "duplicates"} == set(outcomes)
    assert "no result" not in outcomes.values()
    for fold in ("repeat0-fold0", "repeat0-fold1"):
        cell = cells["copied", fold]
        # every spam row is of the training part, or held out: a copy is a leak in the second case
        assert 0 < cell["withheld"]["equal"] <= 5
        assert cell["made"] == 17 - sum(cell["withheld"].values())
        assert cell["left_out"] == cell["withheld"]["equal"] + cell["withheld"]["near"]
        cell = cells["told", fold]
        assert cell["withheld"]["parent"] >= 10  # half are of the test part, others of validation
        assert cell["made"] == len(SPAM) - sum(cell["withheld"].values())
    held_out = sum(cells["copied", fold]["withheld"]["equal"] for _, fold in list(cells)[:2])
    assert held_out >= 5  # each row is of the test part once


def test_the_verdict_says_what_limits_it_and_what_the_rows_are_like(folder: Path) -> None:
    out = folder / "out"
    told = json.loads((out / "verdict.json").read_text())
    notes = "\n".join(told["notes"])
    assert "Warning: the figures of copied may be too good: its rows do not say which" in notes
    assert "--test_file and --validation_file" in notes
    assert "figures of told" not in notes
    assert "told: 20 made rows (20 spam); cost of making them: 240 tokens." in notes
    assert "copied: 17 made rows (17 spam), besides 1 without a text; cost of making" in notes
    assert "copied: left out of training, summed over the folds: 0 of a parent outside" in notes
    assert told["made"]["copied"]["cost"] == {"usd": 4.25}  # of the rows that have a text
    assert told["made"]["copied"]["texts"]["exact_copies"] == pytest.approx(5 / 17)
    assert set(told["made"]["told"]["runs"]) == {"repeat0-fold0", "repeat0-fold1"}
    assert "happened to equal a held-out text" not in notes  # told with each set of rows
    table = (out / "table.md").read_text()
    assert "### Rows that were given" in table
    assert "| told | 20 |" in table
    page = (out / "report.html").read_text()
    assert "<h2>Rows that were given</h2>" in page
    assert "the figures of copied may be too good" in page


def test_the_report_is_made_again_from_the_record(folder: Path) -> None:
    out = folder / "out"
    before = {
        name: (out / name).read_bytes() for name in ("verdict.json", "verdict.md", "table.md")
    }
    assert main(["report", str(out)]) == 0
    assert before == {name: (out / name).read_bytes() for name in before}


def test_other_rows_under_a_name_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    other = tmp_path / "told.jsonl"
    made([*PHRASES[:6]]).to_json(str(other))
    words = [str(folder / "train.csv"), "--folds", "2", "--methods", "none"]
    out = tmp_path / "out"
    shutil.copytree(folder / "out", out)
    before = records(out)
    assert run(*words, "--made", str(other), "-o", str(out)) == 2
    error = capsys.readouterr().err
    assert "holds cells of 'told' from another source" in error
    assert "--made NAME=path" in error
    assert records(out) == before
    # the same rows in a file of another kind go on: nothing is trained again
    again = tmp_path / "again.parquet"
    Dataset.from_json(str(folder / "told.jsonl")).to_parquet(str(again))
    both = ["--made", f"told={again}", "--made", f"others={other}"]
    assert run(*words, *both, "-o", str(out)) == 0
    assert records(out)[: len(before)] == before
    assert {cell["remedy"] for cell in records(out)[len(before) :]} == {"others"}


BAD: dict[str, tuple[Dataset, list[str], str]] = {
    "no text column": (
        made(PHRASES).rename_column("text", "generation"),
        [],
        "no text column 'text'; there are ['generation', 'label']",
    ),
    "no label column": (
        made(PHRASES).remove_columns("label"),
        [],
        "no label column 'label'; there are ['text']",
    ),
    "no parent column": (made(PHRASES), ["--made_parent", "seed"], "no parent column 'seed'"),
    "texts of another type": (made(range(3)), [], "'text' is of type int64, not string"),
    "unknown classes": (
        Dataset.from_dict({"text": PHRASES[:3], "label": ["spam", "Spam", "phishing"]}),
        [],
        "2 of 3 made rows are of ['Spam', 'phishing'], and the classes of the training rows are "
        "['ham', 'spam']",
    ),
    "a label that is null": (
        Dataset.from_dict({"text": PHRASES[:2], "label": ["spam", None]}),
        [],
        "row 1: the label is null",
    ),
    "a parent that is no row": (
        made(PHRASES, parent=[3] * 11 + [80]),
        [],
        "'parent' holds 80, and the rows that it counts are 0 to 79",
    ),
    "parents of other data": (
        made(PHRASES, seed=["a persona"] * 12),
        ["--made_parent", "seed"],
        "none of the 12 parents that are told is a row of 'train', the first is 'a persona'",
    ),
    "a parent that is no number": (made(PHRASES, parent=[0.5] * 12), [], "holds 0.5, a float"),
    "a weight of nothing": (
        made(PHRASES, weight=[1.0] * 11 + [0.0]),
        [],
        "holds 0.0 (1 such rows)",
    ),
    "nothing in it": (made([" ", ""]), [], "of 2, {'without a text': 2} were left out"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_rows_are_named(
    case: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, more, said = BAD[case]
    rows.to_parquet(str(tmp_path / "rows.parquet"))
    words = [str(folder / "train.csv"), "--made", str(tmp_path / "rows.parquet"), *more]
    assert run(*words, "--folds", "2", "-o", str(tmp_path / "out")) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "rows" in error.split("error: ")[1]  # which of several sets
    assert not (tmp_path / "out" / "comparison.jsonl").exists() or not records(tmp_path / "out")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("nowhere.jsonl", "nowhere.jsonl is not a file"),
        ("EDA-edits=rows.jsonl", "there is a remedy of that name"),
        ("folder", "is a folder, and no saved data set"),
        ("rows=", "write a file, a folder, or NAME=ROWS"),
    ],
)
def test_bad_sources_are_named(
    source: str,
    said: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    made(PHRASES).to_json("rows.jsonl")
    Path("folder").mkdir()
    assert run(str(folder / "train.csv"), "--made", source, "--dry-run") == 2
    assert said in capsys.readouterr().err
    twice = ["--made", "rows.jsonl", "--made", "rows=rows.jsonl"]
    assert run(str(folder / "train.csv"), *twice, "--dry-run") == 2
    assert "--made has two sets called 'rows'" in capsys.readouterr().err
    assert run(str(folder / "train.csv"), "--made", "rows.jsonl", "--dry-run") == 0
    assert "11 remedies" not in (told := capsys.readouterr().out)
    assert "10 remedies" in told


# ---- leaks --------------------------------------------------------------------------------------


def test_what_counts_as_a_leak() -> None:
    train = ["the cat sat on the mat today", "win a prize now"]
    held_out = ["call me back in the evening please", "the cat sat on the mat tonight"]
    texts = [
        "Call me  back in the EVENING please",  # but for case and spaces
        "please call me back in the late evening",  # most of the words
        "the cat sat on the mat today ok",  # nearer to a training row
        "hello my dear, will you call me back in the evening please or do you not want to",
        "something else altogether",
    ]
    equal, near = leaks(texts, train, held_out)
    assert equal.tolist() == [True, False, False, False, False]
    assert near.tolist() == [False, True, False, True, False]

    def meaning(rows: Sequence[str]) -> np.ndarray:
        return np.array([[1.0, 0.1 * ("else" in row)] if "e" in row else [0, 1] for row in rows])

    train, held_out = ["a b c", "x y z"], ["else e"]
    _, near = leaks(["something else", "e f g", "u v w"], train, held_out, embed=meaning)
    assert near.tolist() == [True, True, False]


@given(st.lists(st.integers(-1, len(TEXTS) - 1), min_size=1, max_size=30), st.integers(0, 3))
@settings(deadline=None, max_examples=25)
def test_a_fold_trains_on_no_child_of_what_it_holds_out(parents: list[int], seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(TEXTS))
    parts = [
        Texts([TEXTS[row] for row in rows], LABELS[rows]) for rows in np.split(order, [50, 60])
    ]
    fold = Fold(*parts, class_names=NAMES, segmenter=Segmenter("en"))
    texts = [f"{PHRASES[n % 12]} number {n}" for n in range(len(parents))]
    rows = as_given_rows(made(texts, parent=parents), train=TEXTS)
    used = used_rows(rows, rows.coded(NAMES), fold)
    own = {normalized(text) for text in fold.train.texts}
    may = [n for n, row in enumerate(parents) if row < 0 or normalized(TEXTS[row]) in own]
    assert used.texts.texts == [texts[n] for n in may]
    assert used.withheld == {"parent": len(texts) - len(may), "equal": 0, "near": 0}


def test_a_decision_for_made_rows_says_how_and_what_limits_it(folder: Path) -> None:
    """As if the remedy that helps in made-up results had been rows without parents."""
    told = json.loads((folder / "out" / "verdict.json").read_text())["made"]["copied"]
    comparison = made_up()
    cells = [
        replace(cell, remedy="copied") if cell.remedy == "SMOTE" else cell
        for cell in comparison.cells
    ]
    found = decide(replace(comparison, cells=cells, made={"copied": told}))
    for one in found.classifiers:
        assert (one.recommendation.action, one.recommendation.remedy) == (USE_REMEDY, "copied")
        assert given_lines() in str(one.recommendation.python)
        assert any("the figures of copied may be too good" in line for line in one.warnings)
    assert found.made["copied"]["identity"] == told["identity"]


# ---- what a data set says -----------------------------------------------------------------------


def test_parents_as_numbers_texts_and_lists() -> None:
    told = [(TEXTS[4],), (), (TEXTS[0],)]
    for values in ([4, None, 0], [4.0, -1.0, 0.0], ["4", "", "0"], [TEXTS[4], None, TEXTS[0]]):
        assert as_given_rows(made(PHRASES[:3], parent=values), train=TEXTS).parents == told
    several = as_given_rows(
        made(PHRASES[:2], seeds=[[1, 2], []]), parent_column="seeds", train=TEXTS
    )
    assert several.parents == [(TEXTS[1], TEXTS[2]), ()]
    with pytest.raises(ValueError, match="give the texts of these rows"):
        as_given_rows(made(PHRASES[:1], parent=[3]))


def test_a_balanced_set_gives_its_made_rows_and_counts_its_own() -> None:
    coded = TRAIN.cast_column("label", ClassLabel(names=NAMES))
    balanced = RandomOversampler(seed=0).balance(coded)
    rows = as_given_rows(balanced)
    assert rows.left_out == {"real rows": 80}
    assert set(rows.classes) == {"spam"}
    assert len(rows) == 40
    assert [parents[0] for parents in rows.parents] == rows.texts  # they are repeated


def test_cost_in_columns_and_as_distilabel_writes_it() -> None:
    meta = {"statistics_text_generation_0": {"input_tokens": 30, "output_tokens": 12}}
    rows = made(PHRASES[:3], distilabel_metadata=[meta] * 3, seconds=[0.5, None, 1.0])
    assert as_given_rows(rows).cost == {"tokens": 126, "seconds": 1.5}
    rows = made(PHRASES[:2], total_tokens=["7", "8"], completion_tokens=["1", "2"], cost=[1, 2])
    assert as_given_rows(rows).cost == {"tokens": 15, "cost": 3}
    assert as_given_rows(made(PHRASES[:2])).cost == {}


def test_the_identity_is_that_of_what_is_trained_on() -> None:
    rows = as_given_rows(made(PHRASES, weight=[1.0] * 12))
    same = replace(rows, cost={"usd": 3.0}, left_out={"without a text": 2})
    assert rows.identity() == same.identity()
    others = [
        replace(rows, texts=[*PHRASES[1:], PHRASES[0]]),
        replace(rows, classes=["ham"] * 12),
        replace(rows, parents=[(TEXTS[0],)] * 12),
        replace(rows, weights=None),
    ]
    assert len({one.identity() for one in (rows, *others)}) == 5


def test_weights_are_proportions_within_a_class() -> None:
    fold = make_fold()
    texts = Texts(PHRASES[:4], np.array([1, 1, 1, 0]))
    training = half_of_each(fold, texts, np.array([1.0, 1.0, 2.0, 5.0]))
    assert training.row_weights is not None
    assert training.row_weights[-4:] == pytest.approx([0.125, 0.125, 0.25, 0.5])
    real = training.row_weights[:-4]
    assert [real[fold.train.labels == code].sum() for code in (0, 1)] == pytest.approx([0.5, 0.5])
    alike = half_of_each(fold, texts).row_weights
    assert alike is not None
    assert alike[-4:] == pytest.approx([1 / 6, 1 / 6, 1 / 6, 0.5])


def make_fold() -> Fold:
    parts = [Texts([TEXTS[row] for row in rows], LABELS[rows]) for rows in (range(0, 50), [50, 51])]
    return Fold(*parts, Texts(TEXTS[52:], LABELS[52:]), class_names=NAMES, segmenter=Segmenter())


# ---- in Python ----------------------------------------------------------------------------------


def test_rows_are_judged_without_a_training() -> None:
    texts = [*PHRASES, PHRASES[0].upper(), TEXTS[SPAM[0]], "w " * 200]
    found = judge_rows(TRAIN, made(texts), held_out=made([PHRASES[1]]), language="en")
    assert (found.rows, found.repeats) == (15, 1)
    longest = max(map(len, TEXTS))
    assert found.too_long == sum(len(text) > longest for text in texts) > 1
    assert (found.equal, found.near) == (1, 0)
    assert found.texts["exact_copies"] == pytest.approx(1 / 15)
    assert found.screen["classes"]["spam"]["auc"] is None  # fewer than 20
    said = "\n".join(found.lines())
    assert "15 made rows (15 spam); cost of making them: not stated." in said
    assert "1 equal a held-out row, 0 nearly do." in said
    assert "15 made and 20 real texts are too few" in said
    json.dumps(found.to_dict(), allow_nan=False)
    with pytest.raises(ValueError, match=r"12 of 12 made rows are of \['news'\]"):
        judge_rows(TRAIN, made(PHRASES, "news"))


def test_agreement_is_that_of_judges_which_have_not_seen_the_source() -> None:
    copies = [f"{TEXTS[row]} {TEXTS[row]}" for row in SPAM]
    found = judge_rows(TRAIN, made(copies), language="en")
    # what they say of a copy is what they say of the row, held out
    shares = [one["spam"] for one in (found.label_agreement, found.label_agreement_real)]
    assert shares[0] == pytest.approx(shares[1], abs=0.1)
    wrong = judge_rows(TRAIN, made(copies, "ham"), language="en")
    assert wrong.label_agreement["ham"] == pytest.approx(1 - shares[0])
    real = judge_rows(TRAIN, made(copies, parent=SPAM), language="en")
    assert real.with_parent == len(SPAM)
    assert real.label_agreement == found.label_agreement
    # no judge has missed what is made of everything
    assert judge_rows(TRAIN, made(PHRASES[:1], parent=[[*range(80)]])).label_agreement == {}


def test_given_test_rows_leave_no_doubt(tmp_path: Path) -> None:
    test, held = make_corpus((40, 14), seed=1), make_corpus((40, 12), seed=2)
    parts = {"train": Texts(TEXTS, LABELS), "test": Texts(*test)}
    rows = {"phrases": as_given_rows(made([*PHRASES, test[0][np.flatnonzero(test[1])[0]]]))}
    quick = {"remedies": [], "classifiers": ["linear"], "made": rows}
    problem = given_splits(**parts, class_names=NAMES, validation=Texts(*held), seeds=2)
    found = compare(problem, **quick, records=tmp_path / "given.jsonl")
    notes = "\n".join(verdict(found))
    assert "may be too good" not in notes
    assert "Without doubt" not in notes
    assert found.made["phrases"]["equal"] == 1
    assert all(cell.withheld["equal"] == 1 for cell in found.cells if cell.remedy == "phrases")
    drawn = given_splits(**parts, class_names=NAMES, seeds=2)
    notes = "\n".join(verdict(compare(drawn, **quick, records=tmp_path / "drawn.jsonl")))
    assert "phrases: its rows do not say which rows they were made from, and validation" in notes


def test_a_fold_that_may_train_on_none_has_no_result(tmp_path: Path) -> None:
    test = make_corpus((40, 14), seed=1)
    problem = given_splits(Texts(TEXTS, LABELS), Texts(*test), NAMES, seeds=2)
    rows = {"stolen": as_given_rows(made([problem.splits[0].test.texts[-1]]))}
    found = compare(
        problem, remedies=[], classifiers=["linear"], made=rows, records=tmp_path / "cells.jsonl"
    )
    said = "this fold may train on none of the 1 made rows (0 of a parent outside the training rows"
    assert all(said in cell.refused for cell in found.cells if cell.remedy == "stolen")
    assert said in "\n".join(verdict(found))


def test_an_encoder_tells_leaks_in_other_words(tmp_path: Path) -> None:
    """With embeddings given, texts that mean the same are found; the stand-in for none is not asked
    for any."""
    fold = make_fold()
    held_out = fold.test.texts[0]

    def embed(texts: Sequence[str]) -> np.ndarray:
        return np.array([[1, 0] if text in (held_out, PHRASES[0]) else [0, 1] for text in texts])

    rows = GivenRows(PHRASES[:2], ["spam"] * 2, [(), ()])
    knows = replace(fold, embed=embed)
    assert used_rows(rows, rows.coded(NAMES), knows).withheld == {
        "parent": 0,
        "equal": 0,
        "near": 1,
    }
    words = replace(fold, embed=LatentSemanticEmbedder(fold.train.texts, Segmenter("en")))
    assert used_rows(rows, rows.coded(NAMES), words).withheld["near"] == 0


def test_the_lines_that_train_with_given_rows_run() -> None:
    coded = TRAIN.cast_column("label", ClassLabel(names=NAMES))
    names = {"train": coded, "made": made(PHRASES).cast(coded.features)}
    exec(given_lines(), names)
    assert np.bincount(names["balanced"]["label"]).tolist() == [60, 60]  # type: ignore[index]


def test_a_saved_set_of_splits_gives_its_training_split(folder: Path, tmp_path: Path) -> None:
    DatasetDict({"train": made(PHRASES), "test": made(PHRASES[:2])}).save_to_disk(tmp_path / "both")
    words = [str(folder / "train.csv"), "--made", str(tmp_path / "both"), "--dry-run"]
    assert run(*words) == 0
