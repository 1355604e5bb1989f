"""AMO on the fly in the Trainer of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor
from transformers import (
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    default_data_collator,
)

from hf_oversample.oversamplers.amo.collator import AmoCollator


class AmoForTrainer(TrainerCallback):
    """An `AmoCollator` as a Trainer's ``data_collator`` and one of its callbacks, which tells it
    the step of a training that is resumed, and gives each process draws of its own.

    ::

        amo = AmoForTrainer(AmoCollator(vectors, labels, g, f, start_step=200))
        rows = Dataset.from_dict({"row": range(len(labels)), "label": labels})
        MinorityTrainer(
            f, TrainingArguments(..., remove_unused_columns=False), train_dataset=rows,
            train_sampler=MinoritySampler(rows), data_collator=amo.collate, callbacks=[amo],
        )

    The Trainer fetches a batch ahead, so that f is as it was one update before; the first batch
    after a resumption is made with f as it was saved. Needs ``dataloader_num_workers=0``.

    Args:
        collator: of all training rows; its f is the Trainer's model.
    """

    def __init__(self, collator: AmoCollator) -> None:
        self.collator, self.seed = collator, collator.seed

    def collate(self, features: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Rows of a batch → ``embeddings`` [batch, d] and ``labels`` [batch].

        Args:
            features: with ``row``, its number among the collator's; evaluation rows have
                ``embeddings`` and ``label`` instead, and stay as they are.

        Raises:
            ValueError: a row has neither.
        """
        if "row" in features[0]:
            numbers = np.array([feature["row"] for feature in features], dtype=np.int64)
            vectors, labels = self.collator(numbers)
            return {"embeddings": vectors, "labels": labels}
        if "embeddings" not in features[0]:
            raise ValueError(
                f"a row has {list(features[0])}: training rows need their number as 'row', "
                "evaluation rows 'embeddings'; set remove_unused_columns=False"
            )
        batch: dict[str, Tensor] = default_data_collator(list(features))
        return batch

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Batches so far, of a resumed training."""
        batches = (state.epoch or 0.0) * len(kwargs["train_dataloader"])
        self.collator.step = round(batches)
        self.collator.seed = self.seed + args.process_index
