"""Re-embedding as a user starts it: a file in; a classifier, an encoder, triplets, a record out."""

from __future__ import annotations

import csv
import json
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from accelerate.state import AcceleratorState, GradientState
from transformers import AutoModel, AutoModelForSequenceClassification, pipeline

from hf_oversample.commands.answers import report
from hf_oversample.commands.folder_arguments import PushArguments, ReportArguments
from hf_oversample.commands.guard import STOPPED
from hf_oversample.commands.main import main
from hf_oversample.commands.push import plan_push
from hf_oversample.commands.reembed import steps_to_read_twice
from hf_oversample.hub.reembedding_card import reembedding_card
from hf_oversample.training.averaging import FROZEN
from hf_oversample.training.reembedder import Reembedded, Reembedder
from hf_oversample.training.reembedding_arguments import LEAST_STEPS, ReembeddingArguments
from miso_fixtures import encoder_folder
from reembedding_fixtures import NAMES, QUICK, rows

PROJECT = Path(__file__).resolve().parent.parent
RECIPE = PROJECT / "recipes" / "reembed.py"
FLAGS = [word for name, value in QUICK.items() for word in (f"--{name}", str(value))]


@pytest.fixture(autouse=True)
def fresh_accelerate() -> None:
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def write(path: Path, texts: list[str], labels: list[str], **more: list[str]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", *more])
        writer.writerows(zip(texts, labels, *more.values(), strict=True))
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = rows((60, 20))
    path = tmp_path_factory.mktemp("data") / "messages.csv"
    return write(path, found.texts, [NAMES[code] for code in found.labels])


def words(file: Path, output: Path, *more: str) -> list[str]:
    encoder = ["--encoder_name", str(encoder_folder()), "--language", "en"]
    return [str(file), "-o", str(output), *encoder, *FLAGS, "--quiet", *more]


@pytest.fixture(scope="module")
def done(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("run") / "out"
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
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


def test_balanced_batches_are_the_re_embedded_member_where_they_are_asked_for(
    file: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    flags = ["--average", "true", "--objective", "classification", "--balanced", "true"]
    flags += ["--gradient_accumulation_steps", "3"]
    assert main(["reembed", *words(file, output, *flags)]) == 0
    record = json.loads((output / "run.json").read_text())
    assert "re-embedded (classification, balanced, weights 1)" in record["metrics"]
    assert record["average"]["plain_steps"] == 6  # what is given is given to all
    plain = record["average"]["validation_of_members"]["plain"]
    assert plain in record["average"]["validation_of_rates"].values()
    card = (output / "classifier" / "README.md").read_text()
    assert "Objective `classification, balanced`" in card
    members = AutoModelForSequenceClassification.from_pretrained(output / "classifier").members
    # the plain member's batches are not balanced: its encoder is another one
    name = "encoder.encoder.layer.0.attention.self.query.weight"
    assert not torch.equal(members[0].state_dict()[name], members[1].state_dict()[name])


def test_the_mean_of_three_models_is_one_classifier(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert main(["reembed", *words(file, output, "--average", "true")]) == 0
    record = json.loads((output / "run.json").read_text())
    assert record["average"]["members"] == ["plain", "re-embedded", FROZEN]
    assert set(record["metrics"]) >= {
        "mean of plain, re-embedded and frozen with n-grams",
        "frozen encoder, with n-grams",
        "mean of both",
    }
    assert len(record["metrics"]) == 6
    model = AutoModelForSequenceClassification.from_pretrained(output / "classifier")
    assert len(model.members) == 3
    card = (output / "classifier" / "README.md").read_text()
    assert "the mean of three models of one encoder" in card
    assert "The plain member was fine-tuned by cross-entropy for 6 steps at a" in card
    assert f"{record['average']['validation_of_mean']:.3f}" in card
    AutoModel.from_pretrained(output / "encoder")
    shutil.rmtree(output)
    for flags, said in (
        (
            ["--validation_share", "0"],
            "average brings scores to the scale of chances by validation",
        ),
    ):
        assert main(["reembed", *words(file, output, "--average", "true", *flags)]) == 2
        assert said in capsys.readouterr().err
        assert not output.exists()


def test_by_default_the_classifier_is_the_mean_of_the_plain_and_the_frozen_one(
    file: Path, tmp_path: Path
) -> None:
    output, flags = tmp_path / "out", ["--objective", "classification"]
    assert main(["reembed", *words(file, output, *flags)]) == 0
    record = json.loads((output / "run.json").read_text())
    assert record["average"]["members"] == ["plain", FROZEN]
    told = record["arguments"]
    assert (told["average"], told["tune_rate"], told["training"]["steps"]) == (True, True, 6)
    rates, rate = (
        record["reembedding"]["validation_of_rates"],
        record["reembedding"]["learning_rate"],
    )
    assert list(map(float, rates)) == [1e-3, 2e-3]
    assert rates[str(rate)] == record["reembedding"]["validation_average_precision"]
    assert rates[str(rate)] == max(rates.values())
    assert list(record["metrics"]) == [
        "frozen encoder, balanced logistic regression",
        f"plain fine-tuning (rate {rate:g})",
        "mean of both",
        "frozen encoder, with n-grams",
        "mean of plain and frozen with n-grams",
    ]
    model = AutoModelForSequenceClassification.from_pretrained(output / "classifier")
    assert len(model.members) == 2
    card = (output / "classifier" / "README.md").read_text()
    assert "the mean of two models of one encoder" in card
    assert f"at a learning rate of {rate:g}, which validation rows chose" in card
    assert "The plain member" not in card  # of which no other was trained
    assert "to tell the classes apart" in (output / "encoder" / "README.md").read_text()
    for name, more in (("alone", ["--average", "false"]), ("none", ["--validation_share", "0"])):
        assert main(["reembed", *words(file, tmp_path / name, *flags, *more)]) == 0
        record = json.loads((tmp_path / name / "run.json").read_text())
        assert record["average"] is None
        assert bool(record["reembedding"]["validation_of_rates"]) == (name == "alone")


PLAIN = ["--objective", "classification", "--average", "false"]


def test_a_rate_that_diverges_is_told_and_the_other_kept(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = Reembedder.fit

    def diverges_at_the_second(self: Reembedder, *rows: Any, **options: Any) -> Reembedded:
        if self.arguments.learning_rate > 1e-3:
            raise FloatingPointError("the loss is nan")
        return fit(self, *rows, **options)

    monkeypatch.setattr(Reembedder, "fit", diverges_at_the_second)
    assert main(["reembed", *words(file, tmp_path / "out", *PLAIN)]) == 0
    assert "Warning: at a rate of 0.002 training diverged" in capsys.readouterr().err
    found = json.loads((tmp_path / "out" / "run.json").read_text())["reembedding"]
    assert found["learning_rate"] == 1e-3
    assert found["validation_of_rates"]["0.002"] is None
    assert "0.002: it diverged" in (tmp_path / "out" / "classifier" / "README.md").read_text()


def test_what_is_stopped_at_the_second_rate_goes_on_and_a_tracker_sees_the_first(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = [*PLAIN, "--save_steps", "2", "--report_to", "tensorboard"]
    assert main(["reembed", *words(file, tmp_path / "whole", *flags)]) == 0
    fit, output = Reembedder.fit, tmp_path / "out"

    def stopped_at_the_second(self: Reembedder, *rows: Any, **options: Any) -> Reembedded:
        if self.arguments.learning_rate > 1e-3:
            raise KeyboardInterrupt
        return fit(self, *rows, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Reembedder, "fit", stopped_at_the_second)
        assert main(["reembed", *words(file, output, *flags)]) == STOPPED
    assert not (output / "run.json").exists()
    assert main(["reembed", *words(file, output, *flags, "--resume", "last")]) == 0
    one, other = (
        json.loads((folder / "run.json").read_text()) for folder in (tmp_path / "whole", output)
    )
    for key in ("learning_rate", "validation_of_rates", "validation_average_precision"):
        assert one["reembedding"][key] == other["reembedding"][key]
    weights = "classifier/model.safetensors"
    assert (tmp_path / "whole" / weights).read_bytes() == (output / weights).read_bytes()


def test_a_frozen_encoder_with_ngrams_is_a_classifier(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    flags = words(file, output, "--frozen", "true")
    place = flags.index("--objective")  # the default's head is trained, and here nothing is
    assert main(["reembed", *flags[:place], *flags[place + 2 :]]) == 0
    assert sorted(path.name for path in output.iterdir()) == ["classifier", "run.json", "table.md"]
    record = json.loads((output / "run.json").read_text())
    assert record["average"]["members"] == [FROZEN]
    assert record["reembedding"]["history"] == []
    assert record["reembedding"]["head_penalty"] == record["reembedding"]["frozen_head_penalty"]
    assert record["arguments"]["training"]["steps"] == 0
    assert list(record["metrics"]) == [
        "frozen encoder, balanced logistic regression",
        "frozen encoder, with n-grams",
    ]
    said = capsys.readouterr().out
    assert f"{output / 'classifier'}, {FROZEN}" in said
    assert "Triplets" not in said
    card = (output / "classifier" / "README.md").read_text()
    assert "of which nothing was trained" in card
    assert f"length {record['average']['frozen_vector_scale']} beside" in card
    assert "steps" not in card.split("## Training")[1].split("## Does")[0]
    classify = pipeline("text-classification", str(output / "classifier"))
    assert classify("claim your free bonus now !")[0]["label"] in {"ham", "spam"}
    (output / "table.md").unlink()
    report(ReportArguments(str(output)))
    assert not (output / "encoder").exists()
    shutil.rmtree(output)
    for flags, message in (
        (["--validation_share", "0"], "frozen brings scores to the scale of chances by validation"),
        (["--average", "true"], "frozen trains nothing of the encoder, and average would"),
        (["--interpolate", "true"], "and interpolate would"),
    ):
        assert main(["reembed", *words(file, output, "--frozen", "true", *flags)]) == 2
        assert message in capsys.readouterr().err
    assert main(["reembed", *words(file, output, "--frozen", "true", "--dry-run")]) == 0
    assert "solve a head on its vectors and on n-grams" in capsys.readouterr().out
    assert not output.exists()


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
