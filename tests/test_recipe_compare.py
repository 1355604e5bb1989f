"""The recipe as a user starts it: a file in, a verdict, a table and pictures out."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import pytest

from hf_oversample.commands.compare import read_problem
from hf_oversample.commands.compare_arguments import CompareRunArguments
from miso_fixtures import CLASS_NAMES, make_corpus

PROJECT = Path(__file__).resolve().parent.parent
KEEP = "train on the rows as they are"
RECIPE = str(PROJECT / "recipes" / "compare.py")


def call(*arguments: str) -> int:
    try:
        return runpy.run_path(RECIPE)["main"](list(arguments))
    except SystemExit as stop:  # argparse's own refusals
        return int(stop.code or 0)


def write_csv(path: Path, counts: tuple[int, ...] = (80, 20), seed: int = 0) -> str:
    texts, labels = make_corpus(counts, seed)
    names = [CLASS_NAMES[label] for label in labels]
    datasets.Dataset.from_dict({"message": texts, "kind": names}).to_csv(str(path))
    return str(path)


def columns() -> list[str]:
    return ["--text_column", "message", "--label_column", "kind", "--classifiers", "linear"]


def test_it_answers_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    base = ["--train_file", write_csv(tmp_path / "rows.csv"), *columns()]
    base += ["--output_dir", str(out), "--folds", "2"]
    assert call(*base, "--methods", "none,class-weights,focal-loss") == 0
    shown = capsys.readouterr()
    assert "### latent semantic analysis + logistic regression" in shown.out
    assert "left out because it is solved, not trained in steps" in shown.out
    assert "[2/6]" in shown.err
    values = verdict_of(shown.out)
    assert values["recommendation"]["action"] in ("move the threshold", KEEP)
    assert (values["minority"], values["classifier"]) == ("spam", "linear")
    assert json.loads((out / "verdict.json").read_text()) == {
        name: value for name, value in values.items() if name != "headline"
    }
    records = [json.loads(line) for line in (out / "comparison.jsonl").read_text().splitlines()]
    assert all(0 < cell["threshold"] < 1 for cell in records[1:])
    written = ("comparison.jsonl", "table.md", "verdict.md", "verdict.json")
    for name in (*written, "report.html", "report.png"):
        assert (out / name).stat().st_size > 0, name
    assert (out / "report.png").read_bytes().startswith(b"\x89PNG")
    lines = (out / "comparison.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["comparison"]["minority"] == "spam"
    assert len(lines) == 1 + 2 * 2

    assert call(*base, "--methods", "duplicates", "--metric", "f1") == 0
    shown = capsys.readouterr()
    assert verdict_of(shown.out)["ranking"] == "average_precision"
    assert "the verdict rests on average precision and tuned F1" in shown.out
    assert "class weights" not in shown.out
    assert shown.err.count("duplicates") == 2
    assert "none, repeat" not in shown.err  # those cells were there
    assert (out / "comparison.jsonl").read_text().splitlines()[: len(lines)] == lines


def test_what_cannot_be_reported_is_told_before_the_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    base = ["--train_file", write_csv(tmp_path / "rows.csv"), *columns()]
    base += ["--output_dir", str(out), "--folds", "2", "--methods", "none"]
    assert call(*base, "--metric", "f2") == 2
    assert "there is no metric 'f2'; there are f1, precision" in capsys.readouterr().err
    assert call(*base, "--metric", "macro_average_precision") == 2  # of several classes
    assert call(*base, "--metric", "difficult_share") == 2  # a frozen encoder's is one for all
    assert "told by what a classifier's head reads" in capsys.readouterr().err
    monkeypatch.setattr("hf_oversample.commands.compare.find_spec", lambda name: None)
    assert call(*base) == 2
    assert "need matplotlib" in capsys.readouterr().err
    assert not out.exists()


def test_help_names_every_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    from hf_oversample.comparison.remedies import REMEDIES

    assert call("--help") == 0
    shown = "".join(capsys.readouterr().out.split())  # lines are broken at spaces and hyphens
    assert ",".join(name.replace(" ", "-") for name in REMEDIES) in shown


def verdict_of(stdout: str) -> dict:
    """The verdict in one line, which is the last."""
    *_, last = stdout.rstrip("\n").split("\n")
    assert last.startswith("VERDICT: {")
    return json.loads(last.removeprefix("VERDICT: "))


def test_a_run_that_is_refused_leaves_the_report_of_the_one_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, table = tmp_path / "out", write_csv(tmp_path / "rows.csv")
    base = ["--train_file", table, *columns(), "--folds", "2", "--methods", "class weights"]
    assert call(*base, "--output_dir", str(out)) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert {"report.html", "report.png", "table.md", "verdict.md", "verdict.json"} < set(before)
    assert call(*base, "--output_dir", str(out), "--steps", "99") == 2
    assert "steps: 400 there, 99 now" in capsys.readouterr().err
    # other folds are told in words, and training of generators that nobody asked for is nothing
    assert call(*base, "--output_dir", str(out), "--folds", "3") == 2
    error = capsys.readouterr().err
    assert "its rows, or how they are split, are others" in error
    assert "--overwrite" in error
    assert call(*base, "--output_dir", str(out), "--batch_size", "32") == 0
    renamed = shutil.copy(table, tmp_path / "renamed.csv")
    assert call(*base[2:], "--train_file", str(renamed), "--output_dir", str(out)) == 0
    assert {path.name for path in out.iterdir()} == set(before)
    assert (out / "comparison.jsonl").read_bytes() == before["comparison.jsonl"]


def test_given_test_rows_and_several_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = write_csv(tmp_path / "train.csv", (60, 24, 16))
    test = write_csv(tmp_path / "test.csv", (40, 20, 12), seed=1)
    arguments = ["--train_file", train, "--test_file", test, *columns(), "--seeds", "2"]
    arguments += ["--minority_class", "spam", "--methods", "threshold moving"]
    assert call(*arguments, "--output_dir", str(tmp_path / "out")) == 0
    shown = capsys.readouterr()
    assert "a paired t-test over seeds" in shown.out
    assert "language: English, guessed" in shown.err
    line = " training rows whose text is a test or validation text"
    assert re.search(f"left out before splitting: [0-9]+{line}", shown.err)
    assert re.search(f"left out before splitting: [0-9]+{line}", shown.out)


def test_three_files_and_a_classifier_without_chance(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = {"train": (80, 20), "validation": (30, 10), "test": (40, 12)}
    parts = {}
    for seed, (name, rows) in enumerate(counts.items()):
        texts, labels = make_corpus(rows, seed)
        wrong = np.random.default_rng(seed).permutation(len(labels))[: len(labels) // 6]
        kinds = [CLASS_NAMES[1 - y if row in wrong else y] for row, y in enumerate(labels)]
        parts[name] = str(tmp_path / f"{name}.csv")
        datasets.Dataset.from_dict({"message": texts, "kind": kinds}).to_csv(parts[name])
    arguments = [f"--{name}_file={path}" for name, path in parts.items()]
    out = tmp_path / "out"
    arguments += [*columns(), "--seeds", "2", "--methods", "class weights"]
    assert call(*arguments, "--output_dir", str(out)) == 0
    assert "no test" in capsys.readouterr().out
    assert (out / "report.png").stat().st_size
    assert "in every run" in (out / "report.html").read_text(encoding="utf-8")


def test_names_without_rows_are_no_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a filter leaves them: two classes with rows are a problem of two classes."""
    texts, labels = make_corpus((60, 20))
    names = ["eggs", *CLASS_NAMES[:2]]
    features = datasets.Features(
        {"message": datasets.Value("string"), "kind": datasets.ClassLabel(names=names)}
    )
    rows = {"message": texts, "kind": [label + 1 for label in labels]}
    path = tmp_path / "rows.parquet"
    datasets.Dataset.from_dict(rows, features=features).to_parquet(str(path))
    arguments = ["--train_file", str(path), *columns(), "--folds", "2"]
    arguments += ["--methods", "class weights", "--output_dir", str(tmp_path / "out")]
    assert call(*arguments) == 0
    shown = capsys.readouterr()
    assert "classes without rows are left out: eggs" in shown.err
    assert "no result of class weights" not in shown.out
    records = (tmp_path / "out" / "comparison.jsonl").read_text().splitlines()
    assert json.loads(records[0])["comparison"]["minority"] == "spam"


def test_parts_of_other_types_mean_the_same_classes(tmp_path: Path) -> None:
    """Names against codes of the same names in another order, texts of another string type."""
    texts, labels = make_corpus((80, 30))
    texts, labels = list(texts), labels.tolist()
    names = [CLASS_NAMES[1], CLASS_NAMES[0]]
    features = datasets.Features(
        {"message": datasets.Value("large_string"), "kind": datasets.ClassLabel(names=names)}
    )
    train = {"message": texts[::2], "kind": [1 - label for label in labels[::2]]}
    test = {"message": texts[1::2], "kind": [CLASS_NAMES[label] for label in labels[1::2]]}
    paths = [str(tmp_path / "train.parquet"), str(tmp_path / "test.csv")]
    datasets.Dataset.from_dict(train, features=features).to_parquet(paths[0])
    datasets.Dataset.from_dict(test).to_csv(paths[1])
    problem = read_problem(
        CompareRunArguments(
            train_file=paths[0],
            test_file=paths[1],
            text_column="message",
            label_column="kind",
            output_dir=str(tmp_path / "out"),
        )
    )
    assert problem.class_names == names
    split = problem.splits[0]
    for part in (split.train, split.validation, split.test):
        own = dict(zip(texts, labels, strict=True))
        assert [1 - own[text] for text in part.texts] == part.labels.tolist()


def test_looks_of_classes_are_compared_across_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def write(name: str, ham: str, encoding: str = "utf-8") -> str:
        lines = [f"café {i} {name} hello,{ham}\n" for i in range(12)]
        lines += [f"win a prize {i} {name},spam\n" for i in range(8)]
        (tmp_path / name).write_text("text,label\n" + "".join(lines), encoding=encoding)
        return str(tmp_path / name)

    files = {
        "train_file": write("a.csv", "ham", "cp1252"),
        "test_file": write("b.csv", "Ham ", "cp1252"),
    }
    with pytest.raises(ValueError, match=r"the test part has rows of \['Ham '\], of which"):
        read_problem(CompareRunArguments("out", encoding="cp1252", **files))
    said = capsys.readouterr().err
    assert "'Ham ' (12 rows), 'ham' (12 rows) look like one" in said
    assert "--strip_labels with --lowercase_labels" in said
    options = {"strip_labels": True, "lowercase_labels": True}
    problem = read_problem(CompareRunArguments("out", encoding="cp1252", **files, **options))
    assert problem.class_names == ["ham", "spam"]
    assert "look like one" not in capsys.readouterr().err


def test_codes_without_names_match_no_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts, labels = make_corpus((80, 30))
    rows = {
        "train": {"message": texts[::2], "kind": [CLASS_NAMES[label] for label in labels[::2]]},
        "test": {"message": texts[1::2], "kind": [int(label) for label in labels[1::2]]},
    }
    arguments = [*columns(), "--output_dir", str(tmp_path / "out")]
    for name, part in rows.items():
        path = str(tmp_path / f"{name}.csv")
        datasets.Dataset.from_dict(part).to_csv(path)
        arguments += [f"--{name}_file", path]
    assert call(*arguments) == 2
    error = capsys.readouterr().err
    assert (
        "The test rows have none of the classes of the train rows: their 'kind' is '0', " in error
    )
    assert "Codes without names match no names" in error


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--label_column", "nope"], "have the columns"),
        (["--methods", "magic"], "no remedy 'magic'"),
        (["--classifiers", "svm"], "no classifier 'svm'"),
        (["--minority_class", "eggs"], "the classes are"),
        (["--folds", "50"], "different texts; 50 folds"),
        (["--demo", "sms"], "exactly one"),
        (["--validation_file", "x.csv"], "validation_file goes with test_file"),
        (["--encoder_name", "no-such-encoder"], "the encoder 'no-such-encoder' cannot be loaded"),
    ],
)
def test_what_the_user_can_put_right_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: list[str], message: str
) -> None:
    base = ["--train_file", write_csv(tmp_path / "rows.csv"), *columns()]
    assert call(*base, "--output_dir", str(tmp_path / "out"), *changes) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_a_run_that_failed_before_its_first_cell_is_begun_anew(tmp_path: Path) -> None:
    base = ["--train_file", write_csv(tmp_path / "rows.csv"), *columns(), "--folds", "2"]
    base += ["--methods", "none", "--output_dir", str(tmp_path / "out")]
    assert call(*base, "--encoder_name", "no-such-encoder") == 2
    (tmp_path / "out").mkdir(exist_ok=True)
    (tmp_path / "out" / "comparison.jsonl").write_text('{"comparison": {"steps": 7}}\n')
    assert call(*base) == 0


def test_a_null_label_is_told_by_its_row_in_its_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, test = (write_csv(tmp_path / f"{name}.csv") for name in ("train", "test"))
    lines = Path(test).read_text().splitlines()
    lines[3] = "a text without a class,"
    Path(test).write_text("\n".join(lines) + "\n")
    arguments = ["--train_file", train, "--test_file", test, *columns()]
    assert call(*arguments, "--output_dir", str(tmp_path / "out")) == 2
    assert "The test rows: column 'kind', row 2: the label is null" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--help"], 0, "--methods"),
        (["--train_file", "no.csv", "--output_dir", "o"], 2, "train_file 'no.csv' is not a file"),
        (
            ["--train_file", RECIPE, "--test_file", "no.csv", "--output_dir", "o"],
            2,
            "test_file 'no.csv' is not a file",
        ),
    ],
)
def test_what_needs_no_torch_is_said_at_once(arguments: list[str], status: int, said: str) -> None:
    code = (
        "import runpy, sys\n"
        f"sys.argv = {['compare.py', *arguments]!r}\n"
        f"try: runpy.run_path({RECIPE!r}, run_name='__main__')\n"
        f"except SystemExit as stop: assert (stop.code or 0) == {status}\n"
        "assert 'torch' not in sys.modules and 'datasets' not in sys.modules"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert said in answer.stdout + answer.stderr
