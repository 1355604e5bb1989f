"""Scripts that two processes run together, as `torchrun` and `accelerate launch` start them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch


def launch_two_processes(script: Path, *arguments: str) -> None:
    """
    Run a script in two processes that know of each other. What they find they write to files: in
    what both print, words of one stand among those of the other.
    """
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    answer = subprocess.run(
        [sys.executable, *command, str(script), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parent),
            "OMP_NUM_THREADS": "1",
            "ACCELERATE_USE_CPU": "true",
            "CUDA_VISIBLE_DEVICES": "",
        },
    )
    assert answer.returncode == 0, answer.stderr[-3000:]


def run_two_processes(script: Path, folder: Path, phase: str) -> list[dict[str, Any]]:
    """Run a script that saves `{phase}-{rank}.pt` in a folder; what each process saved."""
    launch_two_processes(script, str(folder), phase)
    return [torch.load(folder / f"{phase}-{rank}.pt", weights_only=True) for rank in (0, 1)]
