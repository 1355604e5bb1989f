"""Callbacks for the Trainer of transformers, for imbalanced classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from transformers import (
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from hf_oversample.data.class_counts import class_ids
from hf_oversample.data.columns import require_columns
from hf_oversample.neighbors.difficult import DifficultSamples, difficult_samples
from hf_oversample.training.classifier import text_features

if TYPE_CHECKING:
    from datasets import Dataset


class Deferred(Protocol):
    """A loss that is told how far the training is, such as `TrainerLoss`."""

    progress: float | None


class DeferredReweighting(TrainerCallback):
    """Tells a loss how far the training is, so that its class weights count from its ``start`` on
    (DRW: Cao et al. 2019, algorithm 1). A resumed training goes on where it was: the share is read
    from the Trainer's state at every update.

    Args:
        loss: the object that the Trainer got as ``compute_loss_func``.
    """

    def __init__(self, loss: Deferred) -> None:
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


class DifficultRows(TrainerCallback):
    """Looks for difficult rows anew after every epoch, where the classifier's head sees them, and
    logs their share to the Trainer's trackers: ``difficult_share`` and ``outvoted_share`` of
    `hf_oversample.difficult_samples`.

    ``trainer.add_callback(DifficultRows(trainer, tokenized))``

    Args:
        trainer: whose ``log`` gets the shares, and whose model is looked at.
        rows: tokenised rows, with ``input_ids``.
        label_column: of class ids.
        minority: classes whose rows are looked at; default: those with fewer rows than the largest.
        k: neighbours of a row.

    Attributes:
        found: the latest `DifficultSamples`; None before the first epoch ends.

    Raises:
        ValueError: unknown columns, or labels that are no class ids.
    """

    def __init__(
        self,
        trainer: Trainer,
        rows: Dataset,
        label_column: str = "label",
        *,
        minority: Sequence[int] | None = None,
        k: int = 5,
    ) -> None:
        require_columns(rows, "input_ids", label_column)
        self.trainer, self.minority, self.k = trainer, minority, k
        self.labels, _ = class_ids(rows, label_column)
        self.encoded = rows.with_format(None)["input_ids"][:]
        self.found: DifficultSamples | None = None

    def on_epoch_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Embed, look, log; on the first process alone."""
        if not state.is_world_process_zero:
            return
        model = self.trainer.accelerator.unwrap_model(self.trainer.model)
        vectors = text_features(model, self.encoded)
        self.found = difficult_samples(vectors, self.labels, k=self.k, minority=self.minority)
        self.trainer.log(
            {
                "difficult_share": self.found.share(),
                "outvoted_share": self.found.outvoted_share(),
            }
        )
