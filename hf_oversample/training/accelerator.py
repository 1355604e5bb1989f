"""The accelerator of a trainer: accumulation, and where it writes."""

from __future__ import annotations

from pathlib import Path

from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import AutocastKwargs, ProjectConfiguration


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
        ValueError: if checkpoints or a tracker are asked for without an `output_dir`.
    """
    if (save_steps or report_to) and output_dir is None:
        raise ValueError("save_steps and report_to need an output_dir to write to.")
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
