"""The average of the Bayesian-network GAN's generator over its training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


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
