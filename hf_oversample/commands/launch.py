"""Several processes of one command on this machine, by the launcher that accelerate uses too."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

import torch
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from hf_oversample.commands.cores import free_cores
from hf_oversample.commands.environment import environment
from hf_oversample.commands.guard import STOPPED, USERS
from hf_oversample.commands.messages import say
from hf_oversample.training.accelerator import CPU_FLAG

FLAG = "--num_processes"


def launch(words: Sequence[str], processes: int) -> int:
    """
    Run a command in several processes that train together.

    Args:
        words: those after `hf-oversample`; the processes know by their environment that they are
            launched, and launch no more.
        processes: how many; with GPUs each takes one.

    Returns:
        The exit status: that of the process that failed first, or 0; 130 after Ctrl-C.
    """
    gpus = torch.cuda.device_count()
    if gpus and processes > gpus:
        say(f"error: {FLAG} is {processes}, and there are {gpus} GPUs.")
        return USERS
    chosen = {} if gpus else {CPU_FLAG: "true"}
    if "OMP_NUM_THREADS" not in os.environ:
        chosen["OMP_NUM_THREADS"] = str(max(1, free_cores() // processes))
    # the processes say themselves what went wrong
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id="hf-oversample",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        monitor_interval=0.2,
    )
    module = ["-m", "hf_oversample.commands.main"]
    try:
        with environment(chosen):
            elastic_launch(config, sys.executable)(*module, *words)
    except (SignalException, KeyboardInterrupt):
        return STOPPED  # the first process has said how to go on
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        return int(failure.exitcode)
    return 0
