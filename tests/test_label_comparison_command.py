"""`hf-oversample compare` on rows with any number of labels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hf_oversample.commands.main import main
from multi_label_fixtures import NAMES, labelled_texts


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file of texts with lists of labels, and the same in columns."""
    path = tmp_path_factory.mktemp("rows") / "complaints.jsonl"
    with path.open("w", encoding="utf-8") as out:
        for text, own in zip(*labelled_texts(120), strict=True):
            labels = [name for name, has in zip(NAMES, own.tolist(), strict=True) if has]
            columns = {name: int(name in labels) for name in NAMES}
            out.write(json.dumps({"text": text, "labels": labels, **columns}) + "\n")
    return str(path)


QUICK = ["--encoder_name", "scratch", "--folds", "2", "--language", "en"]


def test_from_a_file_to_a_verdict(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "compared"
    words = ["compare", file, "--label", "labels", *QUICK, "-o", str(out)]
    assert main([*words, "--methods", "threshold-moving,ml-ros,mlsmote"]) == 0
    printed = capsys.readouterr().out
    told = json.loads(printed.splitlines()[-1].removeprefix("VERDICT: "))
    assert told["ranking"] == "macro_average_precision"
    (answer,) = told["classifiers"]
    assert {one["remedy"] for one in answer["remedies"]} == {
        "threshold moving",
        "ML-ROS",
        "MLSMOTE",
    }
    assert "report.png" not in printed
    names = sorted(path.name for path in out.iterdir())
    assert names == [
        "comparison.json",
        "comparison.jsonl",
        "table.md",
        "verdict.json",
        "verdict.md",
    ]
    table = (out / "table.md").read_text(encoding="utf-8")
    assert "macro-averaged average precision" in table.splitlines()[2]
    # the report again, from the record alone
    (out / "table.md").unlink()
    assert main(["report", str(out)]) == 0
    assert (out / "table.md").read_text(encoding="utf-8") == table
    capsys.readouterr()
    # the same rows in columns are the same comparison, which goes on: nothing is left to do
    columns = ["compare", file, "--label", ",".join(sorted(NAMES)), *QUICK, "-o", str(out)]
    assert main([*columns, "--methods", "mlsmote", "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {cell["remedy"] for cell in document["cells"]} == {"none", "MLSMOTE"}
    assert document["header"]["labels"] == sorted(NAMES)


def test_dry_run(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compare", file, "--label", "labels", *QUICK, "-o", str(tmp_path / "out")]
    assert main([*words, "--dry-run"]) == 0
    assert "10 cells of 4 logistic regressions each" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--label", "toxic,threat"], "there is no column 'toxic'"),
        (["--methods", "smote"], "there is no remedy 'smote' for rows with any number of labels"),
        (["--classifiers", "textcnn"], "compared with linear alone"),
        (["--minority_class", "threat"], "minority_class cannot be used where rows have any"),
        (["--made", "rows.jsonl"], "made cannot be used where rows have any number of labels"),
        (
            ["--metric", "roc_auc"],
            "there is no metric 'roc_auc'; there are macro_average_precision",
        ),
        (["--folds", "30"], "different texts; 30 folds need at least 33"),
        (["--text", "labels"], "column 'labels' is of type"),
    ],
)
def test_what_cannot_be_compared_is_told_in_one_line(
    words: list[str],
    message: str,
    file: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = ["compare", file, *QUICK, "--label", "labels", *words, "-o", str(tmp_path / "out")]
    assert main(given) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_other_commands_name_the_way(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "balance",
        file,
        "--label",
        "labels",
        "--method",
        "random",
        "-o",
        str(tmp_path / "out"),
    ]
    assert main(words) == 2
    assert "MlRosOversampler, MlsmoteOversampler" in capsys.readouterr().err
