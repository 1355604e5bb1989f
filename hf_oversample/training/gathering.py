"""Rows of all processes as one batch, through which gradients find their way back."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as distributed
from torch import Tensor


def gathered(rows: Tensor) -> Tensor:
    """
    The rows of all processes, in the order of the processes.

    A loss of all of them that every process computes, and whose gradients data-parallel training
    averages, has the gradient of one process with all rows: the gradient of a row is the sum of
    what each process's loss says of it.

    Args:
        rows: `[n, …]`, as many in each process.

    Returns: `[processes · n, …]`; `rows` itself in a process that is alone.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return rows
    if distributed.get_world_size() == 1:
        return rows
    result: Tensor = _Gathered.apply(rows)
    return result


class _Gathered(torch.autograd.Function):
    # torch.distributed.nn.functional.all_gather sends gradients by memory, not by value, over
    # gloo: those of an einsum, which are not contiguous, arrive in another order (torch 2.13)

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        rows = rows.contiguous()
        parts = [torch.empty_like(rows) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, rows)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total.chunk(distributed.get_world_size())[distributed.get_rank()]
