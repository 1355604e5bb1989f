"""Checkpoints: complete or not there, with the trainer's own files and no other run's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from torch import nn

from hf_oversample.models.loading import SUMS_FILE, write_sums
from hf_oversample.training.checkpoints import (
    load_checkpoint,
    newest_whole,
    remove_checkpoints,
    save_checkpoint,
)
from two_processes import launch_two_processes

ARGUMENTS = {"seed": 3, "logging_steps": 5}


def prepared() -> tuple[nn.Module, Accelerator]:
    """A module of random weights, prepared by an accelerator of its own."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    accelerator = Accelerator(cpu=True)
    return accelerator.prepare(nn.Linear(3, 2)), accelerator


def save(folder: Path | None, accelerator: Accelerator, **changes: Any) -> None:
    values = {"step": 7, "arguments": ARGUMENTS, "record": {"losses": {"a": 0.5}}, "keep": 2}
    save_checkpoint(folder, accelerator, **{**values, **changes})


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    module, accelerator = prepared()
    save(tmp_path, accelerator, files={"own.txt": lambda path: path.write_text("own")})
    folder = tmp_path / "checkpoint-7"
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    assert (folder / "own.txt").read_text() == "own"
    expected, drawn = module.weight.clone(), torch.rand(3)
    other, accelerator = prepared()
    assert not torch.equal(other.weight, expected)
    # what changes no weight may differ
    step, record = load_checkpoint(folder, accelerator, {**ARGUMENTS, "logging_steps": 1})
    assert (step, record) == (7, {"losses": {"a": 0.5}})
    assert torch.equal(other.weight, expected)
    assert torch.equal(torch.rand(3), drawn)


def test_a_checkpoint_takes_the_place_of_another_runs(tmp_path: Path) -> None:
    """And nothing comes along of one that was killed while it wrote."""
    _, accelerator = prepared()
    for name in ("checkpoint-7", ".checkpoint-7.part"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pairs.safetensors").write_text("another run's")
    save(tmp_path, accelerator)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-7"]
    assert not (tmp_path / "checkpoint-7" / "pairs.safetensors").exists()


def test_a_file_that_cannot_be_written_leaves_no_checkpoint(tmp_path: Path) -> None:
    _, accelerator = prepared()

    def fail(path: Path) -> None:
        raise OSError(f"no room for {path.name}")

    with pytest.raises(OSError, match=r"no room for own\.txt"):
        save(tmp_path, accelerator, files={"own.txt": fail})
    assert not list(tmp_path.glob("checkpoint-*"))


@pytest.mark.parametrize(("keep", "left"), [(0, {1, 2, 3}), (1, {3}), (2, {2, 3})])
def test_the_newest_checkpoints_are_kept(keep: int, left: set[int], tmp_path: Path) -> None:
    _, accelerator = prepared()
    for step in (1, 2, 3):
        save(tmp_path, accelerator, step=step, keep=keep)
    assert {path.name for path in tmp_path.iterdir()} == {f"checkpoint-{step}" for step in left}


A_SLOW_PROCESS = """
import sys
import time
from pathlib import Path

import torch
from accelerate import Accelerator
from hf_oversample.training.checkpoints import save_checkpoint
from torch import nn

accelerator = Accelerator(cpu=True)
module = accelerator.prepare(nn.Linear(3, 2))
if not accelerator.is_main_process:  # weights are asked for before random states are written
    accelerator.unwrap_model(module).register_state_dict_post_hook(lambda *_: time.sleep(2))
save_checkpoint(Path(sys.argv[1]), accelerator, step=7, arguments={}, record={}, keep=2)
torch.distributed.destroy_process_group()
"""


def test_the_main_process_waits_for_what_the_others_write(tmp_path: Path) -> None:
    script = tmp_path / "save.py"
    script.write_text(A_SLOW_PROCESS)
    launch_two_processes(script, str(tmp_path / "run"))
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["checkpoint-7"]
    names = {path.name for path in (tmp_path / "run" / "checkpoint-7").iterdir()}
    assert {"random_states_0.pkl", "random_states_1.pkl"} <= names


def test_checkpoints_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    _, accelerator = prepared()
    with pytest.raises(ValueError, match="needs an output_dir"):
        save(None, accelerator)
    save(tmp_path, accelerator)
    folder = tmp_path / "checkpoint-7"
    with pytest.raises(ValueError, match=r"seed was 3 and is 4\. Resume with the same"):
        load_checkpoint(folder, accelerator, {**ARGUMENTS, "seed": 4})
    with pytest.raises(ValueError, match=r"it has no trainer\.json"):
        load_checkpoint(tmp_path, accelerator, ARGUMENTS)
    state = json.loads((folder / "trainer.json").read_text())
    (folder / "trainer.json").write_text(json.dumps({**state, "processes": 2}))
    (folder / SUMS_FILE).unlink()
    write_sums(folder, "*")
    with pytest.raises(ValueError, match="made by 2 processes, and there are 1 now"):
        load_checkpoint(folder, accelerator, ARGUMENTS)


def signed(folder: Path) -> None:
    """Sums of what is there, by somebody who changed it and knows how."""
    (folder / SUMS_FILE).unlink()
    write_sums(folder, "*")


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("{", "trainer.json is damaged"),
        ("[" * 100_000, "trainer.json is damaged"),
        ("[]", "is no state of a training: its 'step' is 'None'"),
        ('{"step": 1, "arguments": 3}', "its 'arguments' is '3'"),
        ('{"step": -1}', "its 'step' is '-1'"),
        ('{"step": 1.5}', "its 'step' is '1.5'"),
    ],
    ids=["torn", "nested", "list", "arguments", "negative", "fraction"],
)
def test_a_state_that_was_changed_is_refused(state: str, message: str, tmp_path: Path) -> None:
    _, accelerator = prepared()
    save(tmp_path, accelerator)
    (tmp_path / "checkpoint-7" / "trainer.json").write_text(state)
    signed(tmp_path / "checkpoint-7")
    with pytest.raises(ValueError, match=message):
        load_checkpoint(tmp_path / "checkpoint-7", accelerator, ARGUMENTS)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def with_another_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


DAMAGES = {"truncated": truncated, "bit": with_another_bit, "missing": Path.unlink}
FILES = ("model.safetensors", "random_states_0.pkl", "trainer.json", SUMS_FILE)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", sorted(DAMAGES))
def test_a_damaged_checkpoint_is_told_before_anything_is_loaded(
    name: str, damage: str, tmp_path: Path
) -> None:
    """And the last one that is whole takes its place, with a warning that names the damage."""
    module, accelerator = prepared()
    for step in (3, 5):
        save(tmp_path, accelerator, step=step)
    assert newest_whole(tmp_path, pytest.fail) == tmp_path / "checkpoint-5"
    DAMAGES[damage](tmp_path / "checkpoint-5" / name)
    module.weight.data.zero_()
    with pytest.raises(ValueError, match="checkpoint-5 is a damaged checkpoint: "):
        load_checkpoint(tmp_path / "checkpoint-5", accelerator, ARGUMENTS)
    assert not module.weight.any(), "something was loaded"
    said: list[str] = []
    assert newest_whole(tmp_path, said.append) == tmp_path / "checkpoint-3"
    assert len(said) == 1
    assert "checkpoint-5 is damaged" in said[0]
    assert name in said[0] or name == SUMS_FILE
    truncated(tmp_path / "checkpoint-3" / "trainer.json")
    with pytest.raises(ValueError, match=r"All 2 checkpoints .* are damaged"):
        newest_whole(tmp_path, said.append)


def test_what_killed_runs_left_goes_with_the_checkpoints(tmp_path: Path) -> None:
    _, accelerator = prepared()
    save(tmp_path, accelerator)
    for name in (".checkpoint-9.part", ".checkpoint-3.old", "checkpoint-best"):
        (tmp_path / name).mkdir()
    remove_checkpoints(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-best"], "not ours"
