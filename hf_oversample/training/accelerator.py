"""The processes of a launch, and the accelerator of a trainer: accumulation, where it writes."""

from __future__ import annotations

import atexit
import os
from pathlib import Path

import torch
import torch.distributed
from accelerate import Accelerator, DistributedDataParallelKwargs, PartialState
from accelerate.utils import AutocastKwargs, ProjectConfiguration, parse_flag_from_env

CPU_FLAG = "ACCELERATE_USE_CPU"
SPLIT_WEIGHTS = {
    "FSDP": "ACCELERATE_USE_FSDP",
    "DeepSpeed": "ACCELERATE_USE_DEEPSPEED",
    "Megatron-LM": "ACCELERATE_USE_MEGATRON_LM",
}
"""What splits weights over processes, and how `accelerate launch` says it."""


def process_state() -> PartialState:
    """
    Which of how many processes this is. It is to be asked for here alone: a plain `PartialState()`
    takes each of several processes on CPUs for the only one, for good, and all would write the same
    files.
    """
    launched = int(os.environ.get("WORLD_SIZE", "1")) > 1
    if launched and not torch.accelerator.is_available():
        os.environ[CPU_FLAG] = "true"  # as `accelerate launch --cpu` says it; torchrun does not
    state = PartialState(cpu=parse_flag_from_env(CPU_FLAG))
    if launched:
        atexit.unregister(_leave)  # once, however often this is asked
        atexit.register(_leave)
    return state


def _leave() -> None:
    """
    Leave the processes of a launch. Threads of gloo that still run when an interpreter ends
    abort it now and then ("terminate called without an active exception"), after all work is done.
    """
    if torch.distributed.is_initialized() and torch.distributed.get_backend() == "gloo":
        torch.distributed.destroy_process_group()


def shows_progress(accelerator: Accelerator) -> bool:
    """Whether this process shows bars: the main one does, unless tqdm's own variable forbids them,
    which a bar that is told whether to show does not read."""
    return accelerator.is_main_process and os.environ.get("TQDM_DISABLE", "") in ("", "0")


def new_accelerator(
    output_dir: Path | None,
    *,
    gradient_accumulation_steps: int,
    save_steps: int,
    report_to: str,
) -> Accelerator:
    """
    An accelerator for one training.

    accelerate keeps one precision for all accelerators of a process, and refuses a second one. A
    trainer's is its own: modules choose it in their forward, and no accelerator, launcher or
    earlier training has a say in it.

    Args:
        output_dir: where checkpoints and trackers write; needed for either.
        gradient_accumulation_steps, save_steps, report_to: those of the training arguments.

    Raises:
        ValueError: if checkpoints or a tracker are asked for without an `output_dir`, or the launch
            asks for weights that are split over processes.
    """
    for name, flag in SPLIT_WEIGHTS.items():
        if parse_flag_from_env(flag):
            raise ValueError(
                f"The launch asks for {name}, which splits weights over processes ({flag}); the "
                "players of a step share theirs, which must be whole: take --multi_gpu, or a "
                "configuration of recipes/accelerate"
            )
    if (save_steps or report_to) and output_dir is None:
        raise ValueError("save_steps and report_to need an output_dir to write to.")
    process_state()
    return Accelerator(
        gradient_accumulation_steps=gradient_accumulation_steps,
        log_with=report_to or None,
        project_config=ProjectConfiguration(
            project_dir=str(output_dir) if output_dir else None,
            logging_dir=str(output_dir / "logs") if output_dir else None,
        ),
        kwargs_handlers=[
            # a step uses some parts of a module and not others
            DistributedDataParallelKwargs(find_unused_parameters=True),
            # where another accelerator of the process has set a precision, it is not ours
            AutocastKwargs(enabled=False),
        ],
    )
