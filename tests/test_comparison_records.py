"""The file of a comparison's cells: what a run goes on from, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hf_oversample.comparison.fold import Fold
from hf_oversample.comparison.miso import GivenAnchors, MisoSource
from hf_oversample.comparison.problem import Problem, repeated_folds
from hf_oversample.comparison.protocol import compare
from hf_oversample.comparison.records import Cell, CellKey, Records
from hf_oversample.data.labeled_texts import Texts
from hf_oversample.training.arguments import MisoTrainingArguments
from miso_fixtures import CLASS_NAMES, make_corpus


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


def test_a_file_of_something_else_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    for line in ('{"my": "only line"}\n', "a line of text\n", '{"my": "only line"}', "{"):
        path.write_text(line)
        if line == "{":  # as far as it goes, the first line of a run that was killed
            assert len(Records(path, {"seed": 1})) == 0
            continue
        with pytest.raises(ValueError, match="no record of a comparison"):
            Records(path, {"seed": 1})
        assert path.read_text() == line


def test_a_cell_that_was_refused_is_tried_again_and_written_once(tmp_path: Path) -> None:
    path, key = tmp_path / "records.jsonl", CellKey("linear", "none", "a")
    refused = replace(cell("a"), refused="sentencepiece is not installed")
    Records(path, {"seed": 1}).add(refused)
    records = Records(path, {"seed": 1})
    assert key not in records
    assert list(records) == [refused]
    before = path.read_bytes()
    records.add(replace(refused, seconds=3.0))
    assert path.read_bytes() == before
    records.add(cell("a", f1=0.5))
    again = Records(path, {"seed": 1})
    assert key in again
    assert [c.metrics for c in again] == [{"f1": 0.5}]


def test_a_run_goes_on_where_what_refused_it_is_mended(tmp_path: Path) -> None:
    calls: list[int] = []

    def embed(texts: list[str]) -> np.ndarray:
        calls.append(len(texts))
        if len(calls) == 2:  # the first call tells these embeddings from others
            raise ValueError("the tokenizer needs a package that is not installed")
        return np.array([[len(text), text.count("e"), 1] for text in texts], np.float32)

    options: dict[str, Any] = {"remedies": ["none"], "classifiers": ["linear"], "embed": embed}
    options["records"] = tmp_path / "records.jsonl"
    first = compare(make_problem(), **options)
    assert [bool(c.refused) for c in first.cells] == [True, False]
    assert not any(c.refused for c in compare(make_problem(), **options).cells)


class Diverges:
    """A generator whose training does not stay finite."""

    has_backbone = False
    trainings = 0

    def identity(self) -> str:
        return "diverges"

    def anchors(self, fold: Fold, seed: int) -> Texts:
        def make() -> Texts:
            self.trainings += 1
            raise FloatingPointError("the loss is nan")

        return fold.cache.get("generator", make)

    def backbone(self, fold: Fold) -> Path:
        raise ValueError("there is none")


def test_a_generator_that_diverges_is_a_finding_and_trained_once(tmp_path: Path) -> None:
    source, options = Diverges(), dict[str, Any](records=tmp_path / "records.jsonl")
    options |= {"remedies": ["anchors", "anchors once + logit adjustment"], "steps": 2}
    options |= {"classifiers": ["linear", "mlp"], "generator": source}
    problem = make_problem()
    first = compare(problem, **options)
    assert {c.refused for c in first.cells if c.remedy != "none"} == {"the loss is nan"}
    assert source.trainings == len(problem.splits)
    again = compare(problem, **options)
    assert source.trainings == len(problem.splits)
    assert again.cells == first.cells


def make_problem() -> Problem:
    texts, labels = make_corpus((60, 20))
    return repeated_folds(Texts(texts, labels), list(CLASS_NAMES[:2]), folds=2, language="en")


def test_anchors_of_two_sources_are_not_put_in_one_table(tmp_path: Path) -> None:
    problem, records = make_problem(), tmp_path / "records.jsonl"
    options: dict[str, Any] = {"classifiers": ["linear"], "records": records}
    rare = problem.minority
    one, other = (
        GivenAnchors(Texts([f"win {word} now", f"{word} prize !"], np.array([rare, rare])))
        for word in ("the", "a")
    )
    # cells without anchors go on, whatever the generator
    compare(problem, remedies=["class weights"], **options)
    compare(problem, remedies=["class weights", "anchors"], generator=one, **options)
    compare(problem, remedies=["anchors"], generator=one, **options)
    compare(problem, remedies=["class weights"], generator=other, **options)
    with pytest.raises(ValueError, match="from another source of anchors"):
        compare(problem, remedies=["anchors"], generator=other, **options)


def test_what_a_generator_is_a_function_of_is_its_identity(tmp_path: Path) -> None:
    usual = MisoTrainingArguments()
    source = MisoSource(tmp_path, usual)
    same = MisoSource(tmp_path / "b", replace(usual, logging_steps=3, save_steps=5))
    assert source.identity() == same.identity()
    for changed in (
        MisoSource(tmp_path, replace(usual, pretrain_steps=100)),
        MisoSource(tmp_path, usual, seed=3),
        MisoSource(tmp_path, usual, settings={"use_mi": False}),
        MisoSource(tmp_path, usual, options={"guidance": 0.0}),
    ):
        assert changed.identity() != source.identity()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"comparison": "x"}', "line 1, is no record .*'comparison' is 'x', not an object"),
        ('{"classifier": [], "remedy": "none", "fold": "a"}', "line 2.*'classifier' is '\\[\\]'"),
        ('{"classifier": "a", "remedy": "b", "fold": "c", "metrics": 3}', "line 2.*'metrics' is"),
        ('{"classifier": "a", "remedy": "b", "fold": "c", "made": true}', "line 2.*'made' is"),
        ("[" * 100_000, "line 2, is no record"),
    ],
    ids=["header", "key", "metrics", "made", "nested"],
)
def test_lines_that_no_run_wrote(line: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    first = '{"comparison": {"seed": 1}}'
    lines = [line, first] if "comparison" in line else [first, line]
    path.write_text("\n".join([*lines, ""]))
    with pytest.raises(ValueError, match=message):
        Records(path, {"seed": 1})


@pytest.mark.parametrize(
    "other",
    [[float("nan")], [float("inf")], [[1.0]], ["a"], [10**400]],
    ids=["nan", "inf", "list", "string", "400 digits"],
)
def test_embeddings_that_are_no_numbers_are_others(other: list[Any], tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    Records(path, {"embeddings": other}).add(cell("a", f1=0.5))
    with pytest.raises(ValueError, match="cells of another comparison"):
        Records(path, {"embeddings": [1.0]})
