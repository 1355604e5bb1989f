"""The AMO paper's table on text: what it prints beside ours, and how it measures."""

from __future__ import annotations

from pathlib import Path

import datasets
import numpy as np
import pytest

from benchmarks.papers import amo, amo_data
from benchmarks.papers.amo_methods import METHODS, MadeRows, Training, class_accuracies
from benchmarks.papers.arguments import ReproduceArguments
from benchmarks.papers.run import run_reproduce


def test_printed_averages_are_those_of_major_and_minor_classes() -> None:
    wrong = []
    for task, (major, minor) in {"reuters": (2, 34), "twitter": (5, 18)}.items():
        assert set(amo.PRINTED[task]) <= set(METHODS)
        for method, (of_major, of_minor, average) in amo.PRINTED[task].items():
            mean = (major * of_major + minor * of_minor) / (major + minor)
            if average != pytest.approx(mean, abs=0.11):
                wrong.append((task, method, average))
    assert wrong == [("twitter", "SMOTE", 70.7)], "the paper's own slip: its parts come to 71.2"


def test_accuracies_are_means_over_classes() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 2])
    logits = np.eye(4)[[0, 0, 0, 1, 1, 2, 2]]
    # 5 of 11 rows are no majority; with the second class's 3 they are. Class 3 has no test row.
    found = class_accuracies(logits, labels, np.array([5, 3, 2, 1]))
    assert found == pytest.approx({"major": 62.5, "minor": 100.0, "average": 75.0})


def test_made_rows_keep_the_classes_and_start_late() -> None:
    x, y = np.zeros((6, 2), np.float32), np.array([0, 0, 0, 0, 1, 1])
    made = np.full((2, 2), 7, np.float32), np.array([1, 1])
    training = Training(x, y, 0, 3, {}, False)
    collator = MadeRows(training, made, start_step=1)
    rows = np.tile([0, 4], 100)
    assert not collator(rows)[0].any()
    values, labels = collator(rows)
    assert labels.tolist() == y[rows].tolist()
    assert not values[labels == 0].any()
    # Two of the four rows of class 1 are made ones.
    assert 0.3 < (values[labels == 1] == 7).all(dim=1).float().mean() < 0.7


def write_reuters(folder: Path, split: str, texts: list[str], labels: list[int]) -> None:
    folder.mkdir(exist_ok=True)
    rows = datasets.Dataset.from_dict({"text": texts, "label": labels})
    rows.to_parquet(str(folder / f"{split}.parquet"))


def test_small_classes_and_test_texts_are_left_out_of_the_training_rows(tmp_path: Path) -> None:
    folder = tmp_path / "reuters_r52"
    test = [f"test {number}" for number in range(12)]
    write_reuters(folder, "test", test, [3] * 5 + [7] * 6 + [1])  # class 1 has one test row
    train = ["Test  0", *(f"train {number}" for number in range(11))]
    write_reuters(folder, "train", train, [3, 3, 3, 3, 3, 7, 7, 7, 7, 7, 7, 1])
    data = amo_data.reuters(tmp_path, 1.0, lambda parts: [np.zeros((len(p), 2)) for p in parts])
    assert data.left_out == 1  # but for case and spaces
    assert data.train[1].tolist() == [0] * 4 + [1] * 6
    assert data.test[1].tolist() == [0] * 5 + [1] * 6
    kept: list[list[str]] = []

    def vectors(parts: list[list[str]]) -> list[np.ndarray]:
        kept.extend(parts)
        return [np.zeros((len(part), 2)) for part in parts]

    assert amo_data.reuters(tmp_path, 0.5, vectors).train[1].tolist() == [0] * 2 + [1] * 3
    assert kept[0] == ["train 0", "train 1", "train 4", "train 5", "train 6"]


def test_a_tokens_window_ends_where_its_tweet_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "twitter_pos"
    folder.mkdir()
    for split, words in {"train": "a b c d", "dev": "e f g h", "test": "i j k l"}.items():
        columns = {"text": words.split(), "label": [2, 2, 2, 5], "tweet": [1, 1, 2, 2]}
        rows = datasets.Dataset.from_dict({**columns, "position": [0, 1, 0, 2]})
        rows.to_parquet(str(folder / f"{split}.parquet"))
    monkeypatch.setattr(amo_data, "LEAST_TEST_ROWS", 1)
    monkeypatch.setattr(
        amo_data, "word_vectors", lambda words: {w: np.float32([ord(w)]) for w in words}
    )
    data = amo_data.twitter(tmp_path, 1.0)
    a, b, c, d = map(ord, "abcd")
    # The last two tokens are of one tweet, but not beside each other.
    assert data.train[0].tolist() == [[0, a, b], [a, b, 0], [0, c, 0], [0, d, 0]]
    assert data.validation is not None
    assert data.test[1].tolist() == [0, 0, 0, 1]
    assert amo_data.tweets(amo_data.read_columns(folder / "train.parquet"))[0] == "a b"


def test_a_run_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [60, 20, 10])
    vectors = (np.eye(4)[labels] + rng.normal(scale=0.2, size=(90, 4))).astype(np.float32)
    rows = vectors, labels
    data = amo_data.Data(rows, rows, None, False, 0)
    name = "reuters, a few rows"
    monkeypatch.setattr(amo, "TASKS", {name: lambda folder, share: data})
    monkeypatch.setattr(amo.AmoTable3, "known_tasks", (name,))
    monkeypatch.setattr(amo, "SCALES", (1.0,))
    monkeypatch.setattr(
        amo, "CANDIDATES", {"beta": (0.9,), "penalty": (0.1, 0.5), "acceptance": (0.5,)}
    )
    monkeypatch.setitem(amo.SIZES, "reduced", amo.AmoSizes(epochs=3, share=0.5))
    (tmp_path / "reuters_r52").mkdir()
    output = tmp_path / "records.jsonl"

    def call(*methods: str, **options: object) -> str:
        arguments = {"data_dir": str(tmp_path), "output": str(output), "sizes": "reduced"}
        return run_reproduce(
            ReproduceArguments("amo3", methods=methods, **{**arguments, **options}),  # type: ignore[arg-type]
            progress=lambda line: None,
        )

    call("ERM", "SMOTE")
    first = output.read_text().splitlines()
    everything = ("ERM", "SMOTE", "AMO", "AMO, made before")
    page = call(*everything)
    lines = output.read_text().splitlines()
    assert lines[: len(first)] == first
    # ERM for the scale, AMO for each penalty, and four methods for two seeds.
    assert len(lines) == 1 + 2 + 4 * 2
    assert call(*everything) == page
    assert output.read_text().splitlines() == lines

    # Killed in the middle of a line: the same table again, but for the seconds in the records.
    output.write_text("\n".join(lines[:6]) + "\n" + lines[6][:20])
    assert call(*everything) == page
    assert len(output.read_text().splitlines()) == len(lines)

    assert "| AMO, made before |" in page
    assert "(66.3)" in page  # the paper's average of AMO on Reuters
    assert "- Training rows: the first 50 % of each class's" in page
    assert "- Epochs: 3; the paper has 15." in page
    assert "- Runs of a cell: 2; the paper has 3 trials." in page
    assert "- Not asked for, of the methods: RS, RW" in page
    # Records of other sizes are not put into the table.
    assert "No cell of these sizes" in call(*everything, sizes="full", records_only=True)
    with pytest.raises(ValueError, match="unknown methods"):
        call("none such")
