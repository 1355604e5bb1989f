"""Callbacks for the Trainer of transformers, for imbalanced classes."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hf_oversample.training.trainer_losses import TrainerLoss


class DeferredReweighting(TrainerCallback):
    """Tells a loss how far the training is, so that its class weights count from its ``start`` on
    (DRW: Cao et al. 2019, algorithm 1). A resumed training goes on where it was: the share is read
    from the Trainer's state at every update.

    Args:
        loss: the object that the Trainer got as ``compute_loss_func``.
    """

    def __init__(self, loss: TrainerLoss) -> None:
        self.loss = loss

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Share 0, or that of the checkpoint."""
        self.loss.progress = state.global_step / state.max_steps

    def on_step_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """The share of all updates that are done."""
        self.loss.progress = state.global_step / state.max_steps
