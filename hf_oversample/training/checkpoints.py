"""Checkpoints of MISO's training, from which a run goes on as if it had not stopped."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from accelerate import Accelerator

from hf_oversample.training.arguments import MisoTrainingArguments
from hf_oversample.training.batches import MisoPairs

# arguments that may differ when a run is resumed: they change no weight
FREE_ARGUMENTS = ("save_steps", "report_to", "logging_steps", "evaluation_steps")


@dataclass
class MisoTrainingRecord:
    """
    What a training run leaves besides its weights.

    Args:
        losses: phase → term → last value; `validation/…` at the phase's end.
        history: what was reported, each entry with its phase and step.
        seconds, steps: phase → seconds and steps that it took.
        stopped_at: the step that the run was asked to stop after.
    """

    losses: dict[str, dict[str, float]] = field(default_factory=dict)
    history: list[dict[str, float | str]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    stopped_at: int | None = None


def save_checkpoint(
    folder: Path,
    accelerator: Accelerator,
    *,
    step: int,
    arguments: MisoTrainingArguments,
    record: MisoTrainingRecord,
    pairs: MisoPairs | None,
) -> None:
    """
    Everything needed to go on, in `folder`: written beside its place and then renamed.

    Args:
        folder: where it goes; what lies there is replaced.
        accelerator: holds the modules, optimisers and random states.
        step: steps done of all phases together.
        arguments, record, pairs: the run's.
    """
    temporary = folder.with_name(f".{folder.name}.part")
    accelerator.wait_for_everyone()
    accelerator.save_state(str(temporary))
    if accelerator.is_main_process:
        if pairs is not None:
            pairs.save(temporary / "pairs.safetensors")
        state = {
            "step": step,
            "arguments": arguments.to_dict(),
            "processes": accelerator.num_processes,
            "record": {
                "losses": record.losses,
                "history": record.history,
                "seconds": record.seconds,
                "steps": record.steps,
            },
        }
        (temporary / "trainer.json").write_text(json.dumps(state))
        # of a run that went further than the checkpoint that this one resumed from
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
    accelerator.wait_for_everyone()


def load_checkpoint(
    folder: Path, accelerator: Accelerator, arguments: MisoTrainingArguments
) -> tuple[int, MisoTrainingRecord, MisoPairs | None]:
    """
    Load weights, optimisers and random states into what the accelerator prepared.

    Returns: steps done, the record until then, and the pairs if they were found already.

    Raises:
        ValueError: if the folder is no checkpoint, or was made with other arguments or another
            number of processes.
    """
    if not (folder / "trainer.json").is_file():
        raise ValueError(f"{folder} is no checkpoint of this trainer: it has no trainer.json.")
    state = json.loads((folder / "trainer.json").read_text())
    ours = arguments.to_dict()
    other = {
        name: (value, ours.get(name))
        for name, value in state["arguments"].items()
        if name not in FREE_ARGUMENTS and ours.get(name) != value
    }
    if other:
        text = ", ".join(f"{name} was {a} and is {b}" for name, (a, b) in other.items())
        raise ValueError(
            f"{folder} was made with other arguments: {text}. Resume with the same arguments."
        )
    if state["processes"] != accelerator.num_processes:
        raise ValueError(
            f"{folder} was made by {state['processes']} processes, and there are "
            f"{accelerator.num_processes} now: batches are drawn per process, so the run would "
            "differ."
        )
    # a checkpoint holds optimiser states in pickles: only what this machine wrote may be loaded
    accelerator.load_state(str(folder))
    pairs = None
    if (folder / "pairs.safetensors").is_file():
        pairs = MisoPairs.load(folder / "pairs.safetensors")
    return int(state["step"]), MisoTrainingRecord(**state["record"]), pairs
