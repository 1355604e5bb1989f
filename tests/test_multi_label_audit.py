"""The audit of rows with any number of labels: by values counted by hand, in every form."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from hf_oversample.commands.audit import run_audit
from hf_oversample.commands.audit_arguments import AuditArguments
from hf_oversample.commands.main import main
from hf_oversample.commands.multi_label_audit import MultiLabelAuditReport, audit_multi_label
from hf_oversample.data.label_sets import with_label_lists

NAMES = ["toxic", "insult", "threat"]
TEXTS = [
    "you fool",
    "You  FOOL",
    "get lost",
    "I will find you",
    "have a good day",
    None,
    "get lost",
]
SETS = [["toxic", "insult"], ["toxic"], ["toxic"], ["toxic", "threat"], [], ["toxic"], ["toxic"]]
TEST = {"text": ["get lost", "see you"], "labels": [["toxic"], ["spam"]]}


@pytest.fixture(scope="module")
def report() -> MultiLabelAuditReport:
    features = Features({"text": Value("string"), "labels": List(Value("string"))})
    train = Dataset.from_dict({"text": TEXTS, "labels": SETS}, features=features)
    return audit_multi_label({"train": train, "test": Dataset.from_dict(TEST, features=features)})


def test_values(report: MultiLabelAuditReport) -> None:
    texts, labels = report.parts["train"].texts, report.parts["train"].labels
    assert labels is not None
    assert {name: label.rows for name, label in labels.labels.items()} == {
        "insult": 1,
        "threat": 1,
        "toxic": 6,
    }
    assert labels.labels["threat"].imbalance_ratio == 6
    assert labels.labels["threat"].share == pytest.approx(1 / 7)
    assert labels.mean_imbalance_ratio == pytest.approx(13 / 3)
    assert [name for name, label in labels.labels.items() if label.is_minority] == [
        "insult",
        "threat",
    ]
    assert labels.cardinality == pytest.approx(8 / 7)
    assert labels.density == pytest.approx(8 / 21)
    assert (labels.without_label, labels.label_sets) == (1, 4)
    mixed = 1 - np.sqrt(6) / 3.5
    assert labels.labels["insult"].scumble == pytest.approx(mixed)
    assert labels.labels["toxic"].scumble == pytest.approx(2 * mixed / 6)
    assert labels.scumble == pytest.approx(2 * mixed / 7)
    assert [(pair.labels, pair.rows) for pair in labels.pairs] == [
        (("insult", "toxic"), 1),
        (("threat", "toxic"), 1),
    ]
    assert (texts.rows, texts.null_texts, texts.repeated) == (7, 1, 2)
    assert report.contradictions == 1
    assert report.contradiction_examples == {"you fool": {"insult, toxic": 1, "toxic": 1}}
    (leak,) = report.leaks
    assert (leak.part, leak.other, leak.rows) == ("test", "train", 1)


def test_it_is_told_to_people_and_to_programs(report: MultiLabelAuditReport) -> None:
    told = report.text()
    for line in (
        "train: 7 rows",
        "'threat'         1   14.3 %     6.00     0.300  rare",
        "without a label: 1 rows; 4 sets of labels",
        "labels a row: 1.143 (cardinality), 0.381 of all (density)",
        "MeanIR 4.33; SCUMBLE 0.086",
        "together: 'insult' and 'toxic' 1, 'threat' and 'toxic' 1",
        "1 test rows have a text that stands in train",
        "'you fool': [insult, toxic] 1, [toxic] 1",
        "train: 1 of 7 rows have no text (null)",
        "train: too few rows to learn from, choose by and report on: 'insult' 1, 'threat' 1",
        "test: labels that no training row has: 'spam'",
        "see what helps the 2 rare labels",
    ):
        assert line in told, line
    values = json.loads(json.dumps(report.to_dict()))
    assert values["task"] == "multi-label"
    assert values["parts"]["train"]["labels"]["labels"]["toxic"]["rows"] == 6


def test_all_forms_give_the_same_report() -> None:
    lists = Dataset.from_dict({"text": TEXTS, "labels": SETS})
    names = ["insult", "threat", "toxic"]
    numbers = with_label_lists(lists, "labels", "labels")
    assert numbers.features["labels"] == List(ClassLabel(names=names))
    hot = with_label_lists(lists, "labels", "labels", multi_hot=True)
    columns = {n: [int(n in labels) for labels in SETS] for n in names}
    apart = Dataset.from_dict({"text": TEXTS, **columns})
    own = audit_multi_label(lists).parts
    assert audit_multi_label(numbers).parts == own
    assert audit_multi_label(hot, label_names=names).parts == own
    assert audit_multi_label(apart, names).parts == own


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.csv"
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["comment", *NAMES])
        for text, labels in zip(TEXTS, SETS, strict=True):
            writer.writerow([text or "", *(int(name in labels) for name in NAMES)])
    words = ["audit", str(file), "--text", "comment", "--label", ",".join(NAMES)]
    assert main([*words, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["task"] == "multi-label"
    assert found["parts"]["train"]["labels"]["mean_imbalance_ratio"] == pytest.approx(13 / 3)
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "MeanIR 4.33" in told
    assert f"hf-oversample compare {file} --text comment --label toxic,insult,threat -o" in told
    file.write_text(file.read_text(encoding="utf-8").replace("get lost,1", "get lost,2"))
    assert main(words) == 2
    error = capsys.readouterr().err
    assert "train: column 'toxic' is '2' in row 2 (2 such values)" in error


def test_what_cannot_be_audited_is_named(tmp_path: Path) -> None:
    rows = Dataset.from_dict({"text": TEXTS, "labels": SETS})
    with pytest.raises(ValueError, match="no parts to audit"):
        audit_multi_label({})
    with pytest.raises(ValueError, match=r"no column 'label'; there are \['text', 'labels'\]"):
        audit_multi_label(rows, "label")
    bad = Dataset.from_dict({"text": ["a"], "labels": [["toxic", "toxic"]]})
    with pytest.raises(ValueError, match="test: column 'labels' has label 'toxic' twice in row 0"):
        audit_multi_label({"train": rows, "test": bad})
    # a further part may lack the labels
    unlabelled = audit_multi_label({"train": rows, "test": rows.remove_columns("labels")})
    assert "test: the label columns are not there" in unlabelled.text()
    rows.to_parquet(str(tmp_path / "a.parquet"))
    arguments = AuditArguments(train_file=str(tmp_path / "a.parquet"), label_column="labels")
    assert isinstance(run_audit(arguments), MultiLabelAuditReport)
    with pytest.raises(ValueError, match="strip_labels and lowercase_labels are for one class"):
        run_audit(dataclasses.replace(arguments, strip_labels=True))
