"""What every optimiser of this project is given: parameters in groups, with and without decay."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import Any

from torch import nn

# Parts of a parameter's name. `Trainer` of transformers goes by the same names; what has one
# dimension is left out here besides, whatever it is called.
_NOT_DECAYED = re.compile(
    r"bias|layernorm|layer_norm|rmsnorm|(?:^|\.)norm(?:$|\.)|_norm(?:$|\.)", re.IGNORECASE
)
_NORMALISATIONS = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm)


def decay_groups(
    model: nn.Module,
    weight_decay: float,
    parameters: Iterable[nn.Parameter] | None = None,
    **options: Any,
) -> list[dict[str, Any]]:
    """
    Parameter groups for an optimiser: matrices decay; biases and normalisation layers do not.

    A bias or a LayerNorm's scale that is pulled to 0 is no simpler a model: it only moves what the
    next layer reads.

    Args:
        model: the network.
        weight_decay: of its matrices (and whatever else has two dimensions or more).
        parameters: those of the network to take; default all that ask for gradients.
        **options: of both groups: `lr` for one.

    Returns: at most two groups, decayed parameters first, none of them empty; each parameter is in
        one of them once, in the order of the network.
    """
    wanted = None if parameters is None else {id(parameter) for parameter in parameters}
    normalised = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, _NORMALISATIONS)
        for parameter in module.parameters(recurse=False)
    }
    decayed: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if (not parameter.requires_grad) if wanted is None else (id(parameter) not in wanted):
            continue
        is_plain = parameter.ndim < 2 or id(parameter) in normalised or _NOT_DECAYED.search(name)
        (others if is_plain else decayed).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": weight_decay, **options},
        {"params": others, "weight_decay": 0.0, **options},
    ]
    return [group for group in groups if group["params"]]


def rate_factor(schedule: str, warmup: float, steps: int) -> Callable[[int], float]:
    """
    Updates done → what the learning rate is multiplied with at the next.

    Args:
        schedule: "cosine", down to 0 after the warm-up, or "constant".
        warmup: share of the updates over which the factor rises linearly to 1.
        steps: updates in all.
    """
    rising = math.ceil(warmup * steps)

    def factor(done: int) -> float:
        if done < rising:
            return (done + 1) / (rising + 1)
        if schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * (done - rising) / max(1, steps - rising)))

    return factor
