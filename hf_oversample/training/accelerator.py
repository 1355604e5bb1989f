"""The accelerator of a trainer: precision, accumulation, and where it writes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import AutocastKwargs, ProjectConfiguration

from hf_oversample.numeric.precision import leave_other_precision


def new_accelerator(
    output_dir: Path | None,
    mixed_precision: Literal["no", "bf16"],
    *,
    gradient_accumulation_steps: int,
    save_steps: int,
    report_to: str,
) -> Accelerator:
    """
    An accelerator for one training, whatever precision the process computed other models in.

    Args:
        output_dir: where checkpoints and trackers write; needed for either.
        mixed_precision: precision of training; "no" is float32 throughout.
        gradient_accumulation_steps, save_steps, report_to: those of the training arguments.

    Raises:
        ValueError: if checkpoints or a tracker are asked for without an `output_dir`.
    """
    if (save_steps or report_to) and output_dir is None:
        raise ValueError("save_steps and report_to need an output_dir to write to.")
    leave_other_precision(mixed_precision)
    return Accelerator(
        mixed_precision=mixed_precision,
        gradient_accumulation_steps=gradient_accumulation_steps,
        log_with=report_to or None,
        project_config=ProjectConfiguration(
            project_dir=str(output_dir) if output_dir else None,
            logging_dir=str(output_dir / "logs") if output_dir else None,
        ),
        kwargs_handlers=[
            # a step uses some parts of a module and not others
            DistributedDataParallelKwargs(find_unused_parameters=True),
            AutocastKwargs(enabled=mixed_precision != "no"),
        ],
    )
