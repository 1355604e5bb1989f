"""Tasks on the workers of a cluster: a row of a Ray data set stands for each task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import ray.data

from hf_oversample.oversamplers.sharded.tasks import Task

Batch = dict[str, np.ndarray]


@dataclass(frozen=True)
class RayTasks:
    """An executor for :func:`~hf_oversample.oversamplers.sharded.balance_files`.

    Ray gives the tasks of a worker that died to another. What a task had written by then is not
    there: a file has its name once it is whole.

    Attributes:
        workers: tasks at a time at most; default: as many as there are processors (or GPUs).
        num_cpus, num_gpus: of a task. A search with a GPU computes there.
        keeps_models: tasks run in actors, which keep what they have loaded; ``workers`` is given.

    Raises (when called):
        ValueError, OSError: what a task raised, rows that are wrong or a disk that is full: of
            several the first task's.
    """

    workers: int | None = None
    num_cpus: float = 1
    num_gpus: float = 0
    keeps_models: bool = False

    def __call__(self, tasks: Sequence[Task]) -> None:
        if not tasks:
            return
        numbers = ray.data.from_items(list(range(len(tasks))), override_num_blocks=len(tasks))
        device = "cuda" if self.num_gpus else "cpu"
        compute: Any
        if self.keeps_models:
            compute = ray.data.ActorPoolStrategy(size=self.workers)
            how: dict[str, Any] = {"fn": _Worker, "fn_constructor_args": (list(tasks), device)}
        else:
            compute = ray.data.TaskPoolStrategy(size=self.workers)
            how = {"fn": partial(_run, list(tasks), device)}
        done = numbers.map_batches(
            **how,
            batch_size=1,
            compute=compute,
            num_cpus=self.num_cpus,
            num_gpus=self.num_gpus or None,
            udf_modifying_row_count=False,
        )
        failed = {row["item"]: row for row in done.iter_rows() if row["error"]}
        if failed:
            first = failed[min(failed)]
            raise (OSError if first["is_of_system"] else ValueError)(first["error"])


class _Worker:
    """An actor that keeps the tasks, and so the models that they hold, from one to the next."""

    def __init__(self, tasks: list[Task], device: str) -> None:
        self.tasks, self.device = tasks, device

    def __call__(self, batch: Batch) -> Batch:
        return _run(self.tasks, self.device, batch)


def _run(tasks: list[Task], device: str, batch: Batch) -> Batch:
    """Run the tasks of these numbers; what is wrong with rows or files comes back as a message: an
    error that leaves a task comes out of Ray in many lines, and of another type."""
    errors, of_system = [], []
    for number in batch["item"].tolist():
        error: Exception | None = None
        if not tasks[number].output.exists():
            try:
                tasks[number].run(device)
            except (ValueError, OSError) as raised:
                error = raised
        errors.append("" if error is None else str(error))
        of_system.append(isinstance(error, OSError))
    return {
        "item": batch["item"],
        "error": np.array(errors),
        "is_of_system": np.array(of_system),
    }
