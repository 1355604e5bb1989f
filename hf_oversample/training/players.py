"""The three players of MISO's training: their weights, optimisers and learning rates."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from hf_oversample.models.miso.modeling_miso import MisoForAnchorGeneration
from hf_oversample.training.arguments import MisoTrainingArguments
from hf_oversample.training.miso_objectives import (
    Critics,
    Discriminators,
    GeneratorObjective,
    Pairs,
)
from hf_oversample.training.optimization import decay_groups

Player = Literal["generator", "critics", "discriminators"]


class Players:
    """
    The generator (ψ and σ), the critics (ω) and the discriminators (φ), each with its AdamW.

    Args:
        model: the generator, on its device.
        arguments: rates, weight decay, warm-up and clipping.
        accelerator: prepares and wraps modules and optimisers.
        train_word_embeddings: whether the shared encoder's word embeddings are trained.

    Attributes:
        objective: the wrapped generator.
        opponents: the wrapped critics and discriminators by player; none of an editor.
        optimizers: the wrapped optimisers by player.
    """

    def __init__(
        self,
        model: MisoForAnchorGeneration,
        arguments: MisoTrainingArguments,
        accelerator: Accelerator,
        *,
        train_word_embeddings: bool,
    ):
        self.arguments, self.accelerator = arguments, accelerator
        model.get_input_embeddings().weight.requires_grad_(train_word_embeddings)
        is_miso = model.config.parts == "miso"  # an editor has no opponents, and no fusion
        opponents: dict[Player, nn.Module] = {}
        if is_miso:
            opponents = {"critics": Critics(model), "discriminators": Discriminators(model)}
        encoder = list(model.miso.encoder.parameters())
        fusion = list(model.miso.fusion.parameters()) if is_miso else []
        others = [*encoder, *fusion, *(p for o in opponents.values() for p in o.parameters())]
        apart = {id(p) for p in others}
        rest = [p for p in model.parameters() if id(p) not in apart]
        decay, a = arguments.weight_decay, arguments
        optimizers: dict[Player, torch.optim.Optimizer] = {
            "generator": torch.optim.AdamW(
                [
                    *decay_groups(model, decay, encoder, lr=a.encoder_learning_rate),
                    *decay_groups(model, decay, rest, lr=a.learning_rate),
                    # SFM starts at nothing and is trained in the last phase alone: few steps
                    *decay_groups(model, decay, fusion, lr=a.fusion_learning_rate, is_fusion=True),
                ],
                fused=True,
            ),
        }
        rates = {"critics": a.critic_learning_rate, "discriminators": a.discriminator_learning_rate}
        for player, opponent in opponents.items():
            optimizers[player] = torch.optim.AdamW(decay_groups(opponent, decay), lr=rates[player])
        self.base_rates = {
            player: [group["lr"] for group in optimizer.param_groups]
            for player, optimizer in optimizers.items()
        }
        # data-parallel wrapping takes the weights that ask for gradients at this moment: each
        # wrapper only its own
        for opponent in opponents.values():
            opponent.requires_grad_(False)
        self.objective: nn.Module = accelerator.prepare(GeneratorObjective(model, arguments))
        self.opponents: dict[Player, nn.Module] = {}
        for player, opponent in opponents.items():
            opponent.requires_grad_(True)
            self.opponents[player] = accelerator.prepare(opponent)
        self.optimizers: dict[Player, Any] = {
            player: accelerator.prepare(optimizer) for player, optimizer in optimizers.items()
        }

    def accumulate(self) -> AbstractContextManager[None]:
        """One micro-step of all players: gradients are synchronised at the last of a step."""
        return self.accelerator.accumulate(self.objective, *self.opponents.values())

    @property
    def critics(self) -> nn.Module:
        """The critics, wrapped; an editor has none."""
        return self.opponents["critics"]

    @property
    def discriminators(self) -> nn.Module:
        """The discriminators, wrapped; an editor has none."""
        return self.opponents["discriminators"]

    def set_rates(self, phase: str, progress: float) -> None:
        """
        Linear warm-up and decay, over phases 1 and 3 apart; the critics' rate is constant, and
        SFM's but for the warm-up.

        Args:
            phase: "pretrain", "critics" or "adversarial".
            progress: share of the phase that is done, from 0 to 1.
        """
        warm = self.arguments.warmup_share
        factor = rising = min(1.0, (progress + 1e-3) / warm) if warm else 1.0
        if phase == "adversarial":
            factor *= 0.5 * (1 - 0.9 * progress)  # it fine-tunes what phase 1 learnt
        else:
            factor *= 1 - 0.9 * progress
        for player, optimizer in self.optimizers.items():
            rates = self.base_rates[player]
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                is_fusion = group.get("is_fusion", False)
                factors = {"critics": 1.0, "generator": rising if is_fusion else factor}
                group["lr"] = rate * factors.get(player, factor)

    def update(self, player: Player, loss: Tensor) -> None:
        """Backward of one micro-step, and at the last of a step an optimiser step of the player."""
        self.accelerator.backward(loss)
        self._step(player)

    def update_critics(self, updates: Sequence[Sequence[Pairs]]) -> float:
        """
        Several optimiser steps of the critics, one after the other, inside the last micro-step.

        `update`, called several times in each micro-step, would add the gradients of all updates of
        the earlier micro-steps to the first optimiser step.

        Args:
            updates: for each optimiser step, the pairs of every micro-step, as `critic_pairs` makes
                them; their gradients are averaged.

        Returns: the critics' loss before the last optimiser step, the mean over micro-steps.

        Raises:
            ValueError: if gradients are not synchronised now, or the pairs are not those of
                `gradient_accumulation_steps` micro-steps.
        """
        micro_steps = self.accelerator.gradient_accumulation_steps
        counts = {len(batches) for batches in updates}
        if not self.accelerator.sync_gradients or counts != {micro_steps}:
            raise ValueError(
                f"The critics were given pairs of {sorted(counts)} micro-steps "
                f"{'at' if self.accelerator.sync_gradients else 'before'} the last micro-step of a "
                f"step; a step averages {micro_steps}: call update_critics at the last micro-step, "
                "with the pairs of all."
            )
        for batches in updates:
            losses = []
            for number, pairs in enumerate(batches):
                is_last = number + 1 == micro_steps
                with nullcontext() if is_last else self.accelerator.no_sync(self.critics):
                    loss = self.critics(pairs)
                    self.accelerator.backward(loss)  # it divides by the number of micro-steps
                losses.append(loss.item())
            self._step("critics")
        return sum(losses) / len(losses)

    def _step(self, player: Player) -> None:
        """Clipping and one optimiser step; before the last micro-step of a step, neither."""
        modules = {"generator": self.objective, **self.opponents}
        if self.accelerator.sync_gradients:
            trained = [p for p in modules[player].parameters() if p.grad is not None]
            self.accelerator.clip_grad_norm_(trained, self.arguments.max_grad_norm)
        self.optimizers[player].step()
        self.optimizers[player].zero_grad()

    def train_opponents(self, train: bool) -> None:
        """Switch the critics' and discriminators' gradients on, or off for the generator's step."""
        for opponent in self.opponents.values():
            opponent.requires_grad_(train)
