"""The Trainer of transformers with a sampler: it has no argument for one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

from torch.utils.data import IterableDataset, Sampler
from transformers import (
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from hf_oversample.training.samplers import MinoritySampler

if TYPE_CHECKING:
    _Base: TypeAlias = Trainer
else:
    _Base = object


class MinoritySamplingMixin(_Base):
    """What draws a Trainer's rows by a sampler; put it before any subclass of Trainer.

    ``class MyTrainer(MinoritySamplingMixin, SomeTrainer): ...``

    Args:
        train_sampler: for the training rows; default: the Trainer's own.

    Raises:
        ValueError: another ``train_sampling_strategy`` than "random"; when the training starts,
            other rows than the sampler's, or a stream.
    """

    def __init__(
        self, *args: Any, train_sampler: MinoritySampler | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.train_sampler = train_sampler
        if train_sampler is None:
            return
        strategy = getattr(self.args, "train_sampling_strategy", "random")
        if strategy != "random":
            raise ValueError(
                f"train_sampling_strategy={strategy!r} and a train_sampler both say which rows "
                "come when: leave one of them out"
            )
        self.add_callback(_EpochOfSampler(train_sampler))

    def get_train_dataloader(self) -> Any:
        """As the Trainer's; it would read a stream without asking for a sampler."""
        if self.train_sampler is not None and isinstance(self.train_dataset, IterableDataset):
            raise ValueError(
                f"the training rows are a stream ({type(self.train_dataset).__name__}), which has "
                "no row numbers to draw: give train_dataset=MinorityStream(stream, counts) and no "
                "train_sampler"
            )
        return super().get_train_dataloader()

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int] | None:
        if self.train_sampler is None:
            own: Sampler[int] | None = super()._get_train_sampler(train_dataset)
            return own
        rows = self.train_dataset if train_dataset is None else train_dataset
        if len(rows) != len(self.train_sampler.labels):
            raise ValueError(
                f"the training set has {len(rows)} rows, and its sampler was made of "
                f"{len(self.train_sampler.labels)}: make it of the rows that are trained on"
            )
        return self.train_sampler


class MinorityTrainer(MinoritySamplingMixin, Trainer):
    """`transformers.Trainer` with one more argument, ``train_sampler``: a `MinoritySampler`."""


class _EpochOfSampler(TrainerCallback):
    """Tells the sampler the epoch. Where a training of several processes is resumed within an
    epoch, Accelerate's loader has one more wrapping, through which its own call does not come."""

    def __init__(self, sampler: MinoritySampler) -> None:
        self.sampler = sampler

    def on_epoch_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        self.sampler.set_epoch(math.floor(state.epoch or 0.0))
