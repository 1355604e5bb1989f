"""Rows of all processes as one batch, through which gradients find their way back."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as distributed
from torch import Tensor


def gathered(rows: Tensor) -> Tensor:
    """
    The rows of all processes, by turns: the first of each process, then the second of each, as a
    batch was dealt to them (`own_share`).

    A loss of all of them that every process computes, and whose gradients data-parallel training
    averages, has the gradient of one process with all rows: the gradient of a row is the sum of
    what each process's loss says of it.

    Args:
        rows: `[n, …]`, as many in each process.

    Returns: `[processes · n, …]`; `rows` itself in a process that is alone.
    """
    if not _has_company():
        return rows
    result: Tensor = _Gathered.apply(rows)
    return result


def averaged(values: Tensor) -> Tensor:
    """
    The mean of a tensor over all processes, without gradients; itself in a process that is alone.

    A sum of losses that is divided by the averaged count, and whose gradients data-parallel
    training averages, is the mean over the rows or tokens of all processes.
    """
    if not _has_company():
        return values
    total = values.detach().clone()
    distributed.all_reduce(total)
    return total / distributed.get_world_size()


def own_share(rows: Any, process: int, processes: int) -> Any:
    """A process's rows of a batch that is dealt to all, one at a time: every `processes`-th."""
    return rows[process::processes]


def _has_company() -> bool:
    if not (distributed.is_available() and distributed.is_initialized()):
        return False
    return bool(distributed.get_world_size() > 1)


class _Gathered(torch.autograd.Function):
    # torch.distributed.nn.functional.all_gather sends gradients by memory, not by value, over
    # gloo: those of an einsum, which are not contiguous, arrive in another order (torch 2.13)

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        rows = rows.contiguous()
        parts = [torch.empty_like(rows) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, rows)
        return torch.stack(parts, dim=1).flatten(0, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return own_share(total, distributed.get_rank(), distributed.get_world_size())
