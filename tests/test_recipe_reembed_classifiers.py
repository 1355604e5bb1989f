"""The classifier of a run: alone, a mean, frozen, and of the better of two rates."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.metrics import f1_score
from transformers import AutoModel, AutoModelForSequenceClassification, pipeline

from hf_oversample.commands.answers import report
from hf_oversample.commands.folder_arguments import ReportArguments
from hf_oversample.commands.guard import STOPPED
from hf_oversample.commands.main import main
from hf_oversample.commands.reembed_arguments import ReembedRunArguments
from hf_oversample.commands.reembed_data import read_reembed_data
from hf_oversample.training.averaging import FROZEN
from hf_oversample.training.reembedder import Reembedded, Reembedder
from reembedding_fixtures import forget_accelerate, messages, words


@pytest.fixture(autouse=True)
def fresh_accelerate() -> None:
    forget_accelerate()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return messages(tmp_path_factory.mktemp("data"))


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
    flags = ["--average", "true", "--validation_share", "0"]
    assert main(["reembed", *words(file, output, *flags)]) == 2
    assert "average brings scores to the scale of chances by validation" in capsys.readouterr().err
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
    run = ReembedRunArguments(
        train_file=str(file), text_column="text", label_column="label", output_dir="", language="en"
    )
    test = read_reembed_data(run).texts["test"]
    told = pipeline("text-classification", str(output / "classifier"))(test.texts)
    found = f1_score(test.labels, [one["label"] == "spam" for one in told])
    assert found > 0.5
    assert record["metrics"]["mean of plain and frozen with n-grams"]["f1"] == pytest.approx(found)
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
    # of one training; what it was asked for lies a folder deeper
    assert len(list((tmp_path / "whole" / "logs" / "reembedding").glob("events.*"))) == 1
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
