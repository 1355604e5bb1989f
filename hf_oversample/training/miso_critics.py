"""The critics' part of MISO's trainer: their pairs, and their own optimiser steps in phase 3."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from hf_oversample.models.miso.losses_miso import critic_pairs
from hf_oversample.numeric import noise
from hf_oversample.training.arguments import MisoTrainingArguments
from hf_oversample.training.miso_objectives import Pairs
from hf_oversample.training.players import Players


class CriticSteps:
    """
    What the critics are trained on: latents of pairs, and derangements drawn by the seed.

    Args:
        players: update the critics.
        arguments: of the training.
        mode: which pairs are joint and which product; see `critic_pairs`.
    """

    def __init__(
        self,
        players: Players,
        arguments: MisoTrainingArguments,
        mode: Literal["class", "pair", "instance"],
    ) -> None:
        self.players, self.arguments = players, arguments
        self.mode: Literal["class", "pair", "instance"] = mode
        # step and (q, k, z) of each micro-step since the last `update`
        self._waiting: list[tuple[int, tuple[Tensor, Tensor, Tensor]]] = []

    @property
    def learn_from_z(self) -> bool:
        """Whether the critics' own pairs hold z: those of classes are of texts alone."""
        return self.mode != "class"

    def pairs(self, q: Tensor, k: Tensor, z: Tensor | None, step: int, draw: int) -> Pairs:
        """
        The critics' pairs of a micro-step.

        Args:
            q, k, z: latents of a class, of its majority neighbours, and fused: `[n, h, d]`, of all
                processes; z may
                be None for critics that do not learn from it.
            step, draw: address the derangement, with the seed; it is the same in all processes.
        """
        stream = noise.stream("derangement")
        # 0 as in `MisoPairs.draw`
        key = int(noise.hash_counters(self.arguments.seed, stream, step, 0, draw))
        generator = torch.Generator().manual_seed(key % 2**63)
        return critic_pairs(self.mode, q, k, z, generator)

    def add(self, q: Tensor, k: Tensor, z: Tensor, step: int) -> None:
        """Keep a micro-step's latents, without their gradients, for the next `update`."""
        self._waiting.append((step, (q.detach(), k.detach(), z.detach())))

    def update(self) -> float:
        """
        `critic_updates` optimiser steps, each over all micro-steps that were added.

        Returns: the critics' loss before the last of them.

        Raises:
            ValueError: if this is not the last micro-step of an optimiser step.
        """
        updates = [
            [self.pairs(*latents, step, draw) for step, latents in self._waiting]
            for draw in range(self.arguments.critic_updates)
        ]
        self._waiting.clear()
        return self.players.update_critics(updates)
