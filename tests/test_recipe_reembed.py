"""Re-embedding as a user starts it: a file in; a classifier, an encoder, triplets, a record out."""

from __future__ import annotations

import json
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import datasets
import pytest
from transformers import AutoModel, AutoModelForSequenceClassification

from hf_oversample.commands.answers import report
from hf_oversample.commands.folder_arguments import PushArguments, ReportArguments
from hf_oversample.commands.main import main
from hf_oversample.commands.push import plan_push
from hf_oversample.commands.reembed import steps_to_read_twice
from hf_oversample.hub.reembedding_card import reembedding_card
from hf_oversample.training.reembedding_arguments import LEAST_STEPS, ReembeddingArguments
from miso_fixtures import encoder_folder
from reembedding_fixtures import forget_accelerate, messages, rows, words, write

PROJECT = Path(__file__).resolve().parent.parent
RECIPE = PROJECT / "recipes" / "reembed.py"


@pytest.fixture(autouse=True)
def fresh_accelerate() -> None:
    forget_accelerate()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return messages(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def done(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("run") / "out"
    forget_accelerate()
    assert main(["reembed", *words(file, output, "--save_steps", "2", "--interpolate")]) == 0
    return output


def test_a_run_writes_all_that_it_says(done: Path) -> None:
    assert sorted(path.name for path in done.iterdir()) == [
        "classifier",
        "encoder",
        "run.json",
        "table.md",
        "triplets",
    ]
    record = json.loads((done / "run.json").read_text())
    assert record["kind"] == "reembedding"
    assert record["data"]["splits"] == {"train": 56, "validation": 8, "test": 16}
    assert record["arguments"]["training"]["steps"] == 6
    assert record["reembedding"]["targets"] == ["spam"]
    assert len(record["metrics"]) == 3
    for metrics in record["metrics"].values():
        assert 0 < metrics["average_precision"] <= 1
    model = AutoModelForSequenceClassification.from_pretrained(done / "classifier")
    assert model.config.label2id == {"ham": 0, "spam": 1}
    AutoModel.from_pretrained(done / "encoder")
    triplets = datasets.load_from_disk(str(done / "triplets"))["train"]
    assert triplets.column_names == ["anchor", "positive", "negative"]
    assert len(triplets) == record["triplets"] > 0
    parquet = datasets.Dataset.from_parquet(str(done / "triplets" / "train.parquet"))
    assert parquet[:] == triplets[:]


def test_cards_say_what_the_record_says_and_nothing_of_this_machine(done: Path) -> None:
    record = json.loads((done / "run.json").read_text())
    for part in ("classifier", "encoder", "triplets"):
        card = (done / part / "README.md").read_text()
        assert card.startswith("---\n")
        assert "`spam`" in card
        assert f"{100 * record['reembedding']['difficult_share']['spam']:.1f} %" in card
        assert "mean of both" in card
        assert str(encoder_folder()) not in card
        assert str(done.parent) not in card
    with pytest.raises(ValueError, match="is of kind None"):
        reembedding_card({}, "encoder")


def test_report_shows_a_run_again_and_push_takes_its_parts(done: Path) -> None:
    table, card = done / "table.md", done / "encoder" / "README.md"
    before = table.read_text(), card.read_text()
    table.unlink()
    card.unlink()
    said = report(ReportArguments(str(done)))
    assert "frozen encoder" in said.text
    assert (table.read_text(), card.read_text()) == before
    for part, kind in (("classifier", "model"), ("encoder", "model"), ("triplets", "dataset")):
        plan = plan_push(PushArguments(str(done / part), "user/name"))
        assert plan.record["repo_type"] == kind


@pytest.mark.parametrize(
    ("training", "is_frozen", "wanted"),
    [
        ({"objective": "classification"}, False, 64),
        ({"objective": "classification"}, True, None),
        ({"objective": "joint"}, False, 64),
        ({"objective": "joint", "gradient_accumulation_steps": 10}, False, 70),
        ({"objective": "classification", "steps": 64}, False, None),
        ({"objective": "classification", "balanced": True}, False, None),
        ({"objective": "contrastive"}, False, None),
    ],
)
def test_a_run_whose_cross_entropy_hardly_read_the_rows_says_how_many_steps_it_takes(
    training: dict, is_frozen: bool, wanted: int | None
) -> None:
    record = {
        "arguments": {
            "frozen": is_frozen,
            "training": ReembeddingArguments(
                **{"steps": 10, "save_steps": 0, "batch_size": 16, **training}
            ).to_dict(),
        },
        "data": {"splits": {"train": 1024}},
    }
    assert steps_to_read_twice(record, 2) == wanted


def test_all_rows_train_where_nothing_is_measured(file: Path, tmp_path: Path) -> None:
    none = ["--validation_share", "0", "--test_share", "0"]
    assert main(["reembed", *words(file, tmp_path / "out", *none)]) == 0
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["data"]["splits"] == {"train": 80}
    assert record["metrics"] == {}
    assert "Nothing was held out" in (tmp_path / "out" / "encoder" / "README.md").read_text()


def test_anchors_come_from_the_files_that_other_commands_write(file: Path, tmp_path: Path) -> None:
    known = rows((60, 20))
    own = known.texts[int(known.labels.argmax())]
    kinds = ["real", "synthetic", "synthetic"]
    made = write(
        tmp_path / "made.csv",
        ["nothing of this", "claim your free bonus now !", own],
        ["ham", "spam", "spam"],
        origin=kinds,
    )
    assert main(["reembed", *words(file, tmp_path / "out", "--anchors_file", str(made))]) == 0
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["data"]["anchors"] == 1  # neither the real row nor the copy of a row


def test_a_dry_run_trains_nothing(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reembed", *words(file, tmp_path / "out", "--dry-run")]) == 0
    assert "for 6 steps of 12 texts (contrastive)" in capsys.readouterr().out
    flags = words(file, tmp_path / "out", "--objective", "classification", "--dry-run")
    place = flags.index("--steps")
    assert main(["reembed", *flags[:place], *flags[place + 2 :], "--passes", "60"]) == 0
    said = capsys.readouterr().out
    assert "for 420 steps of 8 texts (classification, in one process, at two rates)" in said
    more = ["--passes", "60", "--average", "--format", "json"]
    flags = [*words(file, tmp_path / "out", "--dry-run")[:place], *flags[place + 2 :]]
    assert main(["reembed", *flags, "--objective", "contrastive", *more]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["steps"], plan["rates"], plan["plain_steps"]) == (LEAST_STEPS, 1, 420)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--target_classes", "sapm"], "target_classes has ['sapm']; the classes are"),
        (["--test_share", "1.2"], "test_share is 1.2"),
        (["--tune_rate", "--validation_share", "0"], "tune_rate chooses the learning rate by"),
        (["--tune_rate", "--frozen"], "and tune_rate would"),
        (["--validation_share", "0", "--interpolate"], "interpolate chooses between weights"),
        (["--encoder_name", "scratch"], "re-embedding fine-tunes a pretrained encoder"),
        (["--rare_rows", "1"], "rare_rows is 1"),
        (["--resume", "last"], "There is no checkpoint in"),
        (["--text", "body"], "have no column 'body'"),
        (["--anchors_file", "no.csv"], "anchors_file 'no.csv' is not a file"),
        (["--objective", "classification", "--anchors_file", "{file}"], "anchors_file goes with"),
        (["--anchors_file", "{file}"], "has texts of ['ham']"),
    ],
)
def test_errors_say_what_to_do(
    file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    message: str,
) -> None:
    more = [word.format(file=file) for word in more]
    assert main(["reembed", *words(file, tmp_path / "out", *more)]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out" / "run.json").exists()


def test_a_finished_run_is_not_replaced_unasked(
    done: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reembed", *words(file, done)]) == 2
    assert "holds a finished run" in capsys.readouterr().err


def test_the_recipe_takes_the_same_flags(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--train_file", *words(file, tmp_path / "out")]
    flags[flags.index("-o")] = "--output_dir"
    assert runpy.run_path(str(RECIPE))["main"](flags) == 0
    assert "The classifier:" in capsys.readouterr().out


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_as_if_it_had_not_been(file: Path, tmp_path: Path) -> None:
    """Killed by SIGKILL after its first checkpoint, then resumed: the same classifier's bits."""

    def run(output: Path, *more: str) -> subprocess.Popen[bytes]:
        flags = words(file, output, "--steps", "100", "--save_steps", "10", *more)
        command = [sys.executable, "-m", "hf_oversample.commands.main", "reembed", *flags]
        return subprocess.Popen(command, stderr=subprocess.PIPE)

    first = run(tmp_path / "killed")
    while first.poll() is None and not list((tmp_path / "killed").glob("checkpoint-*/*.json")):
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed" / "run.json").exists()
    for output, more in (("killed", ["--resume", "last"]), ("whole", [])):
        process = run(tmp_path / output, *more)
        _, said = process.communicate()
        assert process.returncode == 0, said.decode()
    models = [
        (tmp_path / name / "classifier" / "model.safetensors").read_bytes()
        for name in ("killed", "whole")
    ]
    assert models[0] == models[1]
    assert not list((tmp_path / "killed").glob("checkpoint-*"))


@pytest.mark.slow
def test_two_processes_train_together_and_one_writes(file: Path, tmp_path: Path) -> None:
    """On CPUs, by the command's own launcher."""
    output = tmp_path / "out"
    program = [sys.executable, "-m", "hf_oversample.commands.main", "reembed"]
    answer = subprocess.run(
        [*program, *words(file, output, "--num_processes", "2")], capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr
    assert json.loads((output / "run.json").read_text())["machine"]["processes"] == 2
    assert answer.stdout.count("The classifier:") == 1
    AutoModelForSequenceClassification.from_pretrained(output / "classifier")
