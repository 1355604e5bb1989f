"""What a run reads and writes: its data, its folder, its arguments on the command line."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Value
from transformers import AutoModel, AutoTokenizer

from hf_oversample.commands import miso, oversample
from hf_oversample.commands.balancing import BalancingRun
from hf_oversample.commands.command import run_command
from hf_oversample.commands.data import at_revision, check_parts, read_data
from hf_oversample.commands.miso_arguments import MisoRunArguments
from hf_oversample.commands.output import OutputFolder
from hf_oversample.commands.oversample_arguments import OversampleRunArguments
from hf_oversample.commands.parser import add_fields, chosen_fields
from hf_oversample.commands.run import Run
from hf_oversample.data.labeled_texts import Texts
from hf_oversample.hub.push import push_folder
from hf_oversample.models.loading import write_sums
from hf_oversample.training.arguments import MisoTrainingArguments
from miso_fixtures import CLASS_NAMES, encoder_folder, make_corpus
from miso_fixtures import arguments as few_steps


def test_a_finished_run_is_kept_unless_asked(tmp_path: Path) -> None:
    OutputFolder(tmp_path).write("run.json", "{}")
    with pytest.raises(FileExistsError, match="finished run"):
        OutputFolder(tmp_path)
    OutputFolder(tmp_path, overwrite=True).write("run.json", "[]")
    assert (tmp_path / "run.json").read_text() == "[]"


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_nothing_is_half_written(tmp_path: Path, kind: str) -> None:
    output = OutputFolder(tmp_path)

    def write(text: str, fail: bool) -> None:
        with getattr(output, kind)("out") as path:
            (path / "part" if kind == "folder" else path).write_text(text)
            if fail:
                raise RuntimeError("stopped")

    written = tmp_path / "out" / "part" if kind == "folder" else tmp_path / "out"
    write("first", fail=False)
    with pytest.raises(RuntimeError, match="stopped"):
        write("second", fail=True)
    assert written.read_text() == "first"
    write("third", fail=False)
    assert written.read_text() == "third"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_checkpoint_to_resume_from(tmp_path: Path) -> None:
    output = OutputFolder(tmp_path)
    assert output.checkpoint(None) is None
    assert output.checkpoint("elsewhere") == Path("elsewhere")
    with pytest.raises(FileNotFoundError, match="save_steps"):
        output.checkpoint("last")
    for step in (5, 40, 100):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer.json").write_text("{}")
        write_sums(tmp_path / f"checkpoint-{step}", "*")
    for other in ("checkpoint-best", "checkpoint-500"):  # not ours
        (tmp_path / other).mkdir()
    assert output.checkpoint("last") == tmp_path / "checkpoint-100"


def write_csv(folder: Path, counts: tuple[int, ...] = (30, 12)) -> str:
    texts, labels = make_corpus(counts)
    rows = {"text": texts, "label": [CLASS_NAMES[label] for label in labels]}
    Dataset.from_dict(rows).to_csv(str(folder / "messages.csv"))
    return str(folder / "messages.csv")


@pytest.mark.parametrize("seeds", [0, 1])
def test_the_data_of_a_run(tmp_path: Path, seeds: int) -> None:
    arguments = MisoRunArguments(
        str(tmp_path / "out"), train_file=write_csv(tmp_path), evaluation_seeds=seeds
    )
    data = read_data(arguments)
    assert (data.name, data.rows, data.language) == ("messages", 42, "en")
    assert data.class_names == ["ham", "spam"]
    assert data.targets == [1]
    assert set(data.texts) == ({"train", "validation", "test"} if seeds else {"train"})
    assert sum(len(texts) for texts in data.texts.values()) == 42
    assert data.train.texts == data.parts["train"]["text"][:]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text_column": "body"}, "no column 'body'.*--text and --label"),
        ({"imbalance_ratio": 0.1, "minority_class": "eggs"}, "minority_class is 'eggs'"),
    ],
)
def test_data_that_a_run_cannot_use(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    arguments = MisoRunArguments(str(tmp_path / "out"), train_file=write_csv(tmp_path), **changes)
    with pytest.raises(ValueError, match=message):
        read_data(arguments)


@pytest.mark.parametrize(
    ("spam", "found"),
    [(1, "1 in train, 0 in validation, 0 in test"), (2, "1 in train, 0 in validation, 1 in test")],
)
def test_a_class_too_small_to_be_measured(tmp_path: Path, spam: int, found: str) -> None:
    """Said before anything is trained, with the ways out; without measures it is no matter."""
    file = write_csv(tmp_path, (30, spam))
    with pytest.raises(ValueError, match=f"'spam' .* {found} .*--evaluation_seeds 0.*_share"):
        read_data(MisoRunArguments(str(tmp_path / "out"), train_file=file))
    data = read_data(MisoRunArguments(str(tmp_path / "out"), train_file=file, evaluation_seeds=0))
    assert (np.bincount(data.train.labels).tolist(), data.targets) == ([30, spam], [1])


def test_parts_to_measure_on(tmp_path: Path) -> None:
    names = ["ham", "spam", "news"]
    rows = Texts(list("abcdef"), np.array([0, 1] * 3))
    texts = {"train": rows, "validation": rows, "test": rows}
    check_parts(texts, names)
    texts["test"] = Texts(list("abcde"), np.array([0, 1, 0, 1, 0]))
    with pytest.raises(ValueError, match=r"test part has 5 rows.*at least 6:.*--test_share"):
        check_parts(texts, names)
    texts["validation"] = Texts(["a", "c"], np.array([0, 2]))
    with pytest.raises(ValueError, match=r"'spam' has too few rows .* 3 in train, 0 in validation"):
        check_parts(texts, names)


@pytest.mark.parametrize(("neighbors", "is_enough"), [(3, True), (4, False)])
def test_rows_for_the_neighbors_of_the_training(
    tmp_path: Path, neighbors: int, is_enough: bool
) -> None:
    common: dict[str, Any] = {
        "train_file": write_csv(tmp_path, (3, 1)),
        "training": MisoTrainingArguments(neighbors=neighbors),
    }
    arguments = MisoRunArguments(str(tmp_path / "out"), evaluation_seeds=0, **common)
    if is_enough:
        assert len(read_data(arguments).train) == 4
        return
    with pytest.raises(ValueError, match=r"has 4 rows, .* the 4 nearest.*--neighbors to 3 or less"):
        read_data(arguments)
    common |= {"method": "miso", "generator": "given"}  # which is not trained here
    assert len(read_data(OversampleRunArguments(str(tmp_path / "out"), **common)).train) == 4


@pytest.mark.parametrize(("counts", "seeds"), [((12, 1), 0), ((30, 3), 1)])
def test_a_class_with_one_row_to_train_on(
    tmp_path: Path, counts: tuple[int, ...], seeds: int
) -> None:
    """Fewer rows than neighbours, and as few as are needed to be measured: both work."""
    run = MisoRunArguments(
        str(tmp_path / "out"),
        train_file=write_csv(tmp_path, counts),
        encoder_name=str(encoder_folder()),
        evaluation_seeds=seeds,
        evaluation_steps_of_classifiers=2,
        training=few_steps(pretrain_steps=2, critic_steps=2, adversarial_steps=2),
    )
    record = miso.run_miso(run)
    assert record["counts"]["before"]["spam"] == 1
    assert len(set(record["counts"]["after"].values())) == 1
    assert bool(record["metrics"]) == bool(seeds)
    assert (tmp_path / "out" / "run.json").is_file()


def test_texts_of_a_data_set() -> None:
    features = Features({"body": Value("string"), "kind": ClassLabel(names=["a", "b"])})
    rows = Dataset.from_dict({"body": ["x", "y"], "kind": [1, 0]}, features=features)
    texts = Texts.of(rows, "body", "kind")
    assert (texts.texts, texts.labels.tolist(), len(texts)) == (["x", "y"], [1, 0], 2)


def test_every_field_of_a_run_is_on_the_command_line() -> None:
    parser = argparse.ArgumentParser()
    add_fields(parser, MisoRunArguments, skip=("training",))
    assert chosen_fields(parser.parse_args(["--output_dir", "out"]), MisoRunArguments) == {
        "output_dir": "out"
    }
    words = "--output_dir out --demo sms --use_mi false --push_to_hub --gate critics,neighbors"
    words += " --gate_quantile 0.3"
    options = parser.parse_args([*words.split(), "--anchor_share", "0.25"])
    assert chosen_fields(options, MisoRunArguments) == {
        "output_dir": "out",
        "demo": "sms",
        "use_mi": False,
        "push_to_hub": True,
        "gate": ("critics", "neighbors"),
        "gate_quantile": 0.3,
        "anchor_share": 0.25,
    }
    assert "the demo extra's MiniLM for English" in " ".join(parser.format_help().split())


def test_critics_that_no_training_makes_are_refused() -> None:
    common: dict[str, Any] = {"demo": "sms", "gate": ("critics",), "use_mi": False}
    with pytest.raises(ValueError, match="gate has 'critics' and use_mi is false"):
        MisoRunArguments("out", **common)
    with pytest.raises(ValueError, match="gate has 'critics' and use_mi is false"):
        OversampleRunArguments("out", method="smote", **common)
    # the generator that is given says itself whether it has critics
    OversampleRunArguments("out", method="smote", generator="given", **common)


GATE = {"gate": ("critics",), "gate_quantile": 0.3, "guidance": 2.0}


def test_the_gate_of_a_miso_run(tmp_path: Path) -> None:
    arguments = MisoRunArguments(str(tmp_path / "out"), train_file=write_csv(tmp_path), **GATE)
    oversampler = miso.new_oversampler(Run(arguments))
    assert {name: getattr(oversampler, name) for name in GATE} == GATE
    assert oversampler.generator == str(tmp_path / "out" / "generator")


@pytest.mark.parametrize("method", ["miso", "smote"])
def test_the_gate_of_a_run_of_any_method(tmp_path: Path, method: str) -> None:
    arguments = OversampleRunArguments(
        str(tmp_path / "out"),
        train_file=write_csv(tmp_path),
        generator="given",
        max_tries=2,
        method=method,  # type: ignore[arg-type]
        **GATE,
    )
    run = BalancingRun(arguments)
    maker: Any = run.new_decoder()
    if method == "miso":
        maker = oversample.new_oversampler(arguments, run)
    assert {name: getattr(maker, name) for name in GATE} == GATE
    assert (maker.generator, maker.max_tries) == ("given", 2)


def test_a_run_knows_where_its_generator_will_be(tmp_path: Path) -> None:
    common: dict[str, Any] = {"train_file": write_csv(tmp_path), "method": "smote"}
    run = BalancingRun(OversampleRunArguments(str(tmp_path / "out"), **common))
    assert run.generator == str(tmp_path / "out" / "generator")
    common |= {"embeddings_only": True, "encoder_name": "an encoder"}
    run = BalancingRun(OversampleRunArguments(str(tmp_path / "out"), **common))
    assert run.generator is None


def test_a_command_says_what_came_out_and_what_went_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--output_dir", str(tmp_path), "--demo", "sms", "--seed", "3", "--resume", "last"]

    def answer(arguments: MisoRunArguments, resume: str | None) -> str:
        return f"seed {arguments.training.seed}, from {resume}"

    def diverged(arguments: MisoRunArguments, resume: str | None) -> str:
        raise FloatingPointError("the loss is nan")

    assert run_command(words, MisoRunArguments, answer, description="A run.") == 0
    assert capsys.readouterr().out == "seed 3, from last\n"
    assert run_command(words, MisoRunArguments, diverged, description="A run.") == 2
    assert capsys.readouterr().err == "error: the loss is nan\n"
    assert run_command(words[:2], MisoRunArguments, answer, description="A run.") == 2
    assert "exactly one of" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run_command(words, MisoRunArguments, answer, description="A run.", resumes=False)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"text,label\nhello, there,ham\n", "line 2: the row has 3 fields"),
        ("a.csv", b"", "is empty"),
        ("a.csv", b'text,label\n"hello,ham\n', "line 2: a quotation mark opens here"),
        ("a.csv", "text,label\ncafé,b\n".encode("latin-1"), "line 2, column 4 (byte 15"),
        ("a.csv", "text,label\na,b\n".encode("utf-16"), "--encoding utf-16"),
        ("a.jsonl", b'{"text": "\\ud800", "label": "a"}', "line 1: 'text' holds"),
        ("a.parquet", b"text", "is not a whole parquet file"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line_and_status_2(
    name: str, content: bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(content)
    words = ["--output_dir", str(tmp_path), "--train_file", str(tmp_path / name)]

    def run(arguments: MisoRunArguments, resume: str | None) -> str:
        return str(read_data(arguments))

    assert run_command(words, MisoRunArguments, run, description="A run.") == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {tmp_path / name}")
    assert said in error
    assert error.count("\n") == 1


def test_the_encoding_is_named_on_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("text,label\n" + "café noir,a\n" * 9 + "thé vert,b\n" * 4, encoding="cp1252")
    arguments = MisoRunArguments(
        "out", train_file=str(file), encoding="cp1252", evaluation_seeds=0, training=few_steps()
    )
    assert set(read_data(arguments).train.texts) == {"café noir", "thé vert"}
    with pytest.raises(ValueError, match="encoding is 'cp1252', which goes with train_file"):
        MisoRunArguments("out", demo="sms", encoding="cp1252")


def test_classes_that_look_alike_are_named_and_become_one_where_that_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = ["ham"] * 9 + ["ham "] * 5 + ["Ham"] * 4 + ["spam"] * 3
    rows = {"text": [f"text {i} hello" for i in range(len(labels))], "label": labels}
    Dataset.from_dict(rows).to_csv(str(tmp_path / "a.csv"))

    def classes(**options: bool) -> tuple[list[str], str]:
        data = read_data(
            MisoRunArguments(
                "out",
                train_file=str(tmp_path / "a.csv"),
                evaluation_seeds=0,
                training=few_steps(),
                **options,
            )
        )
        return data.class_names, capsys.readouterr().err

    names, said = classes()
    assert names == ["Ham", "ham", "ham ", "spam"]
    assert "'Ham' (4 rows), 'ham' (9 rows), 'ham ' (5 rows) look like one" in said
    names, said = classes(strip_labels=True)
    assert names == ["Ham", "ham", "spam"]
    assert "'Ham' (4 rows), 'ham' (14 rows)" in said
    names, said = classes(strip_labels=True, lowercase_labels=True)
    assert names == ["ham", "spam"]
    assert "look like one" not in said


# ---- an encoder's revision ----------------------------------------------------------------------


def test_an_encoder_at_a_revision_is_one_folder(hub: Any, tmp_path: Path) -> None:
    model = AutoModel.from_pretrained(encoder_folder())
    commits = []
    for number in range(2):
        torch.nn.init.constant_(model.embeddings.word_embeddings.weight, float(number))
        shutil.copytree(encoder_folder(), tmp_path / f"encoder-{number}")
        folder = tmp_path / f"encoder-{number}"
        model.save_pretrained(folder)
        (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\nAn encoder.\n")
        commits.append(push_folder(folder, "someone/encoder").oid)
    for number, commit in enumerate(commits):
        there = at_revision("someone/encoder", commit)
        words = AutoModel.from_pretrained(there).embeddings.word_embeddings.weight
        assert (words == number).all()
        assert len(AutoTokenizer.from_pretrained(there)) > 5
    assert at_revision("someone/encoder", None) == "someone/encoder"
    with pytest.raises(ValueError, match="encoder_revision is 'main', with no encoder_name"):
        at_revision(None, "main")
    with pytest.raises(ValueError, match="encoder_revision is 'main', with the folder"):
        at_revision(str(tmp_path), "main")
