"""The audit: what a data set has, by values counted by hand, and faults counted, not refused."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_oversample.commands.audit import AuditReport, audit, run_audit
from hf_oversample.commands.audit_arguments import AuditArguments
from hf_oversample.commands.compare import read_problem
from hf_oversample.commands.compare_arguments import CompareRunArguments
from hf_oversample.commands.main import parser_of
from hf_oversample.commands.parser import chosen_fields

TRAIN = {
    "text": [
        *("see you at noon", "See  you at NOON", "at noon, see you!", "call me now", "call me now"),
        *("win a prize", "hello", " ", None, "good morning to all"),
    ],
    "label": ["ham", "ham", "ham", "ham", "spam", "spam", "ham", "ham", "ham ", None],
}
TEST = {
    "text": ["win a prize", "WIN a prize", "nothing of this", "hello"],
    "label": ["spam", "spam", "Ham", "ham"],
}


@pytest.fixture(scope="module")
def report() -> AuditReport:
    parts = {"train": Dataset.from_dict(TRAIN), "test": Dataset.from_dict(TEST)}
    return audit(parts, neighbors=3, source="a.csv")


def test_counts(report: AuditReport) -> None:
    train = report.parts["train"]
    assert train.rows == 10
    assert train.classes == {"ham": 6, "ham ": 1, "spam": 2}
    assert train.shares == {"ham": 6 / 9, "ham ": 1 / 9, "spam": 2 / 9}
    assert (train.without_class, train.null_texts, train.empty_texts) == (1, 1, 1)
    assert train.one_word_texts == 1  # hello
    assert train.long_texts == 0
    # 4, 4, 4, 3, 3, 3, 1, 4 words
    assert train.words == {"least": 1, "median": 3.5, "95 %": 4, "most": 4}
    assert train.repeated == 2  # See you at NOON, the second "call me now"
    assert train.near_repeated == 1  # at noon, see you!
    assert report.imbalance_ratio == 6.0
    assert report.language == "en"


def test_texts_of_several_classes_and_parts(report: AuditReport) -> None:
    assert report.contradictions == 1
    assert report.contradiction_examples == {"call me now": {"ham": 1, "spam": 1}}
    (leak,) = report.leaks
    assert (leak.part, leak.other, leak.rows) == ("test", "train", 3)
    assert leak.examples == ["win a prize", "hello"]
    assert report.lookalikes == [{"ham": 7, "ham ": 1, "Ham": 1}]


def test_difficult_rows(report: AuditReport) -> None:
    # 8 rows have a text, of which 7 have a class; "ham " has none
    assert report.difficulty.rows == 7
    assert set(report.difficulty.classes) == {"spam"}
    spam = report.difficulty.classes["spam"]
    assert spam["rows"] == 2
    # 3 of 6 others are looked at, and one alone is of the class: another class is always near
    assert spam["difficult_share"] == spam["difficult_share_by_chance"] == 1.0


def test_difficult_rows_are_told_from_easy_ones() -> None:
    rare = ["win a prize call today", "win a prize call soon", "win a prize call us"]
    texts = [f"see you at the {place} " * 2 for place in "abcdefghijklmnopqrst"] + rare
    far = audit(Dataset.from_dict({"text": texts, "label": ["a"] * 20 + ["b"] * 3}), neighbors=2)
    assert far.difficulty.classes["b"]["difficult_share"] == 0.0
    assert far.difficulty.classes["b"]["outvoted_share"] == 0.0
    rows = {"text": texts, "label": ["a"] * 20 + ["b", "b", "c"]}
    mixed = audit(Dataset.from_dict(rows), neighbors=2)
    assert mixed.difficulty.classes["c"]["outvoted_share"] == 1.0
    drawn = audit(Dataset.from_dict(rows), neighbors=2, difficult_rows=15, seed=1)
    assert drawn.difficulty.rows == 15
    assert drawn == audit(Dataset.from_dict(rows), neighbors=2, difficult_rows=15, seed=1)


def test_it_is_told_to_people_and_to_programs(report: AuditReport) -> None:
    told = report.text()
    for line in (
        "train: 10 rows",
        "'ham'          6   66.7 %",
        "words a text: least 1, median 3.5, 95 % 4, most 4",
        "imbalance: 6.0 rows of the largest class to one",
        "3 test rows have a text that stands in train",
        "1 texts stand under several classes",
        "'call me now': 'ham' 1, 'spam' 1",
        "--strip_labels with --lowercase_labels makes them one",
        "train: 1 of 10 rows have no text (null)",
        "train: 1 of 10 rows have a text of white space only",
        "train: 1 of 10 rows have no class",
        "test: classes that train does not have: 'Ham' 1",
        "hf-oversample compare a.csv -o compared",
    ):
        assert line in told, line
    values = json.loads(json.dumps(report.to_dict()))
    assert values["parts"]["train"]["classes"]["ham"] == 6
    assert values["parts"]["test"]["shares"]["spam"] == 0.5
    assert values["leaks"][0]["rows"] == 3


def test_clean_data_have_no_findings() -> None:
    texts = [f"the word number {word} stands here" for word in "abcdefghijkl"]
    clean = audit(Dataset.from_dict({"text": texts, "label": ["x"] * 6 + ["y"] * 6}))
    assert clean.problems == []
    assert "findings\n  - none" in clean.text()
    assert clean.next_steps == ["see what helps: hf-oversample compare DATA -o compared"]


REFUSED: list[tuple[dict[str, list[Any]], str]] = [
    ({"text": [1, 2], "label": ["x", "y"]}, "column 'text' holds Value('int64'), not strings"),
    ({"text": ["a b", "c d"], "label": [0.5, 1.0]}, "'label' holds Value('float64'), which names"),
    ({"text": ["a b", "c d"], "label": [["x"], ["y"]]}, "which names no classes"),
    ({"text": [None, None], "label": [None, None]}, "2 of 2 rows have no class"),
    ({"text": [], "label": []}, "rows of 0 classes; there must be two at least"),
    ({"text": ["a b", "c d"], "label": ["x", "x"]}, "rows of 1 classes"),
    ({"text": ["word " * 600, "c d"], "label": ["x", "y"]}, "1 of 2 rows have more than 512 words"),
]


@pytest.mark.parametrize(("columns", "finding"), REFUSED)
def test_what_others_refuse_is_reported(columns: dict[str, list[Any]], finding: str) -> None:
    found = audit(Dataset.from_dict(columns))
    assert finding in found.text()
    assert found.difficulty.not_measured is not None
    assert found.next_steps


def test_columns_that_are_not_there_end_it() -> None:
    rows = Dataset.from_dict({"message": ["a b", "c d"], "label": ["x", "y"]})
    with pytest.raises(
        ValueError, match=r"no column 'text'; there are \['message', 'label'\]. Name"
    ):
        audit(rows)
    with pytest.raises(ValueError, match=r"no column 'kind'.*--text and --label"):
        audit(rows, text_column="message", label_column="kind")
    # a further part may lack the classes: it is reported, and the rest is audited
    test = Dataset.from_dict({"message": ["a b"]})
    assert "test" in audit({"train": rows, "test": test}, text_column="message").text()


def test_codes_outside_the_class_label_are_no_class() -> None:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["b", "a"])})
    rows = {"text": ["u v", "w x", "y z"], "label": [0, 1, 1]}
    dataset = Dataset.from_dict(rows, features=features)
    test = Dataset.from_dict({**rows, "label": [-1, 0, 1]}, features=features)
    found = audit({"train": dataset, "test": test})
    assert found.parts["train"].classes == {"a": 2, "b": 1}
    assert found.parts["test"].without_class == 1


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.none()
            | st.sampled_from(["", " ", "!", "1", "a", "A b", "热水器很好"])
            | st.text(max_size=9),
            st.none() | st.sampled_from(["x", "X", "y ", "", "1", "01"]),
        ),
        max_size=14,
    )
)
def test_no_rows_make_it_fail(rows: list[tuple[str | None, str | None]]) -> None:
    texts, labels = [text for text, _ in rows], [label for _, label in rows]
    features = Features({"text": Value("string"), "label": Value("string")})
    part = Dataset.from_dict({"text": texts, "label": labels}, features=features)
    found = audit({"train": part, "test": part}, neighbors=2)
    assert found.text()
    counted = found.parts["train"]
    assert sum(counted.classes.values()) + counted.without_class == counted.rows == len(rows)
    usable = sum(bool(text and text.strip()) for text in texts)
    assert counted.null_texts + counted.empty_texts + usable == len(rows)
    assert sum(leak.rows for leak in found.leaks) == usable  # each text stands in both parts


def write(path: Path, columns: dict[str, list[Any]]) -> str:
    Dataset.from_dict(columns).to_csv(str(path))
    return str(path)


def test_files_are_read_and_the_next_command_reads_the_same(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    words = ["red", "green", "blue", "one", "two", "three", "house", "tree", "river", "song"]
    texts = [" ".join(generator.permutation(words)[:6]) for _ in range(80)]
    kinds = ["a"] * 30 + ["b"] * 10
    arguments = AuditArguments(
        train_file=write(tmp_path / "my train.csv", {"message": texts[:40], "kind": kinds}),
        test_file=write(tmp_path / "test.csv", {"message": texts[40:], "kind": kinds}),
        text_column="message",
        label_column="kind",
    )
    found = run_audit(arguments)
    assert isinstance(found, AuditReport)
    assert found.parts["test"].classes == {"a": 30, "b": 10}
    assert found.imbalance_ratio == 3.0
    file, *words = shlex.split(found.next_steps[-1].partition("hf-oversample compare ")[2])
    assert file == arguments.train_file
    options = parser_of("compare", everything=False).parse([file, *words])
    values = chosen_fields(options, CompareRunArguments)
    problem = read_problem(CompareRunArguments(train_file=options.data, **values))
    assert problem.class_names == ["a", "b"]


def test_arguments_that_cannot_work_are_refused(tmp_path: Path) -> None:
    for options, message in (
        ({}, "The data come from nowhere"),
        ({"train_file": "a.csv", "demo": "sms"}, "give exactly one of"),
        ({"demo": "sms", "test_file": "a.csv"}, "test_file goes with train_file"),
        ({"train_file": "a.csv", "test_split": "test"}, "test_split goes with dataset_name"),
        ({"demo": "sms", "neighbors": 0}, "neighbors is 0; it must be at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            AuditArguments(**options)  # type: ignore[arg-type]
    broken = tmp_path / "a.csv"
    broken.write_text("text,label\nhello, there,ham\n")
    with pytest.raises(ValueError, match="line 2: the row has 3 fields"):
        run_audit(AuditArguments(train_file=str(broken)))
    with pytest.raises(ValueError, match="no parts to audit"):
        audit({})
