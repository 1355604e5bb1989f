"""Checkpoints of the Bayesian-network GAN's training, and the average of its generator."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

# arguments that may differ when a run is resumed: they change no weight
FREE_ARGUMENTS = ("save_steps", "report_to", "logging_steps")


class MovingAverage:
    """
    An exponential moving average of a module's weights.

    Args:
        module: its weights are where the average starts.
        decay: share of the average that stays at an update; less in the first updates, which would
            otherwise keep the start's weights for long.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self.weights = {k: v.detach().clone() for k, v in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take in the module's present weights."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        for name, value in module.state_dict().items():
            self.weights[name].lerp_(value, 1 - decay)

    def copy_to(self, module: nn.Module) -> None:
        """Give the module the averaged weights."""
        module.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        """For checkpoints."""
        return {"updates": self.updates, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """From a checkpoint."""
        self.updates = state["updates"]
        weights: dict[str, Tensor] = state["weights"]
        for name, value in weights.items():
            self.weights[name].copy_(value)


def save_checkpoint(
    folder: Path,
    accelerator: Accelerator,
    *,
    step: int,
    arguments: dict[str, Any],
    record: dict[str, Any],
) -> None:
    """
    Everything needed to go on, in `folder`: written beside its place and then renamed.

    Args:
        folder: where it goes; what lies there is replaced.
        accelerator: holds the modules, optimisers and the average.
        step: steps done.
        arguments, record: the run's, as plain values.
    """
    temporary = folder.with_name(f".{folder.name}.part")
    accelerator.wait_for_everyone()
    accelerator.save_state(str(temporary))
    if accelerator.is_main_process:
        state = {
            "step": step,
            "arguments": arguments,
            "processes": accelerator.num_processes,
            "record": record,
        }
        (temporary / "trainer.json").write_text(json.dumps(state))
        # of a run that went further than the checkpoint that this one resumed from
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
    accelerator.wait_for_everyone()


def load_checkpoint(
    folder: Path, accelerator: Accelerator, arguments: dict[str, Any]
) -> tuple[int, dict[str, Any]]:
    """
    Load weights, optimisers and the average into what the accelerator prepared.

    Returns: steps done, and the record until then.

    Raises:
        ValueError: if the folder is no checkpoint, or was made with other arguments or another
            number of processes.
    """
    if not (folder / "trainer.json").is_file():
        raise ValueError(f"{folder} is no checkpoint of this trainer: it has no trainer.json.")
    state = json.loads((folder / "trainer.json").read_text())
    other = {
        name: (value, arguments.get(name))
        for name, value in state["arguments"].items()
        if name not in FREE_ARGUMENTS and arguments.get(name) != value
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
    return int(state["step"]), state["record"]
