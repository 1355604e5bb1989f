"""Repeatable trainings: resumed runs, seeds, checkpoints, two processes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from hf_oversample.models.loading import SUMS_FILE, write_sums
from hf_oversample.models.miso.modeling_miso import MisoForAnchorGeneration
from miso_fixtures import arguments, encode, make_corpus, make_generator, make_trainer
from miso_training_runs import LABELS, OPPONENTS, TEXTS, different, player_of, train
from two_processes import run_two_processes


@pytest.mark.parametrize(
    ("stop_at", "options"),
    [
        (2, {}),
        (4, {}),
        (5, {}),
        (8, {}),
        (10, {}),
        (2, {"encoder_is_pretrained": False}),
        (6, {"encoder_is_pretrained": False}),
        (9, {"settings": {"share_decoder": False, "critic_bound": "jsd"}}),
        (6, {"training": arguments(gradient_accumulation_steps=2)}),
        (10, {"training": arguments(mixed_precision="bf16")}),
    ],
)
def test_a_resumed_run_ends_as_an_uninterrupted_one(
    stop_at: int, options: dict[str, Any], tmp_path: Path
) -> None:
    # other texts: the evaluations are part of the record
    more, other = make_corpus((10, 6), seed=4)
    options = {**options, "validation": encode(more), "validation_labels": other}
    expected, whole = train(**options)
    _, stopped = train(**options, output_dir=tmp_path, stop_at=stop_at)
    assert stopped.record.stopped_at == stop_at
    assert [path.name for path in tmp_path.iterdir()] == [f"checkpoint-{stop_at}"]
    weights, resumed = train(
        **options, output_dir=tmp_path, resume=tmp_path / f"checkpoint-{stop_at}"
    )
    assert different(expected, weights) == []
    assert resumed.record.history == whole.record.history
    assert resumed.record.losses == whole.record.losses
    assert resumed.record.steps == whole.record.steps


def test_the_same_seed_gives_the_same_weights() -> None:
    one, _ = train()
    torch.randn(5)  # whatever was drawn before
    two, _ = train()
    assert different(one, two) == []
    other, _ = train(arguments(seed=1))
    assert different(one, other)


def test_checkpoints_every_few_steps(tmp_path: Path) -> None:
    training = arguments(save_steps=4, save_total_limit=0)
    expected, _ = train(training, output_dir=tmp_path)
    names = {"checkpoint-4", "checkpoint-8", "checkpoint-12"}
    assert {path.name for path in tmp_path.iterdir()} == names
    # from an earlier one, over the later ones
    weights, _ = train(training, output_dir=tmp_path, resume=tmp_path / "checkpoint-4")
    assert different(expected, weights) == []
    assert {path.name for path in tmp_path.iterdir()} == names
    # from the last, nothing is left to do
    weights, _ = train(training, output_dir=tmp_path, resume=tmp_path / "checkpoint-12")
    assert different(expected, weights) == []


def test_resuming_with_other_arguments_is_refused(tmp_path: Path) -> None:
    train(output_dir=tmp_path, stop_at=2)
    folder = tmp_path / "checkpoint-2"
    with pytest.raises(ValueError, match=r"other data: batch_size was 12 and is 13\. Resume"):
        train(arguments(batch_size=13), resume=folder)
    # what does not change the weights may differ
    train(arguments(logging_steps=2, evaluation_steps=7), resume=folder)
    state = json.loads((folder / "trainer.json").read_text())
    (folder / "trainer.json").write_text(json.dumps({**state, "processes": 2}))
    (folder / SUMS_FILE).unlink()
    write_sums(folder, "*")
    with pytest.raises(ValueError, match="made by 2 processes, and there are 1 now"):
        train(resume=folder)
    with pytest.raises(ValueError, match=r"is no checkpoint of this trainer"):
        train(resume=tmp_path)


def test_resuming_another_model_or_data_is_refused(tmp_path: Path) -> None:
    """None of these changes the shape of a weight."""
    train(output_dir=tmp_path, stop_at=2)
    folder = tmp_path / "checkpoint-2"
    for settings in ({"use_sfm": False}, {"use_mi": False}, {"critic_bound": "jsd"}):
        (name,) = settings
        with pytest.raises(ValueError, match=rf"model\.{name} was .* and is {settings[name]}"):
            train(settings=settings, resume=folder)
    for texts, labels in ((TEXTS, LABELS[::-1]), ([*TEXTS[1:], TEXTS[0]], LABELS)):
        trainer = make_trainer(make_generator(TEXTS), texts, labels, arguments())
        with pytest.raises(ValueError, match="the training rows or their labels are others"):
            trainer.train(resume_from_checkpoint=folder)


def test_a_stop_inside_an_optimiser_step_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"stop_at is 5, no multiple of .*steps \(2\)"):
        train(arguments(gradient_accumulation_steps=2), output_dir=tmp_path, stop_at=5)


def test_nowhere_to_write() -> None:
    with pytest.raises(ValueError, match="save_steps and report_to need an output_dir"):
        train(arguments(save_steps=2))


# ---- two processes ------------------------------------------------------------------------------

# what discriminators read is drawn by each process for itself
READ_NOISE = ("discriminators", "adversarial")
HALVES = {
    "batch_size": 6,
    "pair_batch_size": 3,
    "decoder_rows": 4,
    "adversarial_rows": 2,
    "latent_noise": 0.0,
    "adversarial_weight": 0.0,
}
WHOLE = HALVES | {name: 2 * HALVES[name] for name in list(HALVES)[:4]}


def without_dropout(texts: Sequence[str]) -> MisoForAnchorGeneration:
    """A generator of two decoders for which each process draws nothing."""
    model = make_generator(texts, share_decoder=False)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


TWO_PROCESSES = """
import sys
from pathlib import Path
from typing import Any

import torch
from miso_fixtures import arguments, make_corpus, make_generator, make_trainer
from test_miso_resume import HALVES, without_dropout

out, phase = Path(sys.argv[1]), sys.argv[2]
texts, labels = make_corpus((40, 12))
model = make_generator(texts)
still = without_dropout(texts)
trainer = make_trainer(model, texts, labels, arguments(), output_dir=out)
assert trainer.accelerator.num_processes == 2
if phase == "resumed":
    trainer.train(resume_from_checkpoint=out / "checkpoint-10")
else:
    trainer.train()
    first = make_trainer(make_generator(texts), texts, labels, arguments(), output_dir=out)
    first.train(stop_at=10)
    share = make_trainer(still, texts, labels, arguments(**HALVES))
    share.train()
    torch.save(share.record.history, out / f"share-{trainer.process}.pt")
state = {"weights": model.state_dict(), "history": trainer.record.history}
torch.save(state, out / f"{phase}-{trainer.process}.pt")
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_agree(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(TWO_PROCESSES)
    one, two = run_two_processes(script, tmp_path, "whole")
    assert different(one["weights"], two["weights"]) == []
    # each had its share of the batches
    assert one["history"] != two["history"]
    in_one = make_trainer(without_dropout(TEXTS), TEXTS, LABELS, arguments(**WHOLE))
    in_one.train()
    shares = [torch.load(tmp_path / f"share-{rank}.pt") for rank in range(2)]
    for whole, *halves in zip(in_one.record.history, *shares, strict=True):
        for name, value in whole.items():
            if isinstance(value, float) and name not in READ_NOISE:
                mean = sum(half[name] for half in halves) / 2
                assert mean == pytest.approx(value, rel=1e-4, abs=1e-6), (whole["step"], name)
    alone, _ = train()
    assert different(alone, one["weights"])
    trained = {
        player_of(name) for name in different(make_generator(TEXTS).state_dict(), one["weights"])
    }
    assert trained == {"generator", *OPPONENTS}
    resumed = run_two_processes(script, tmp_path, "resumed")
    for rank in resumed:
        assert different(rank["weights"], one["weights"]) == []
