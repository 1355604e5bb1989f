"""Arguments of re-embedding: each default declared once, with where it comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Self

from hf_oversample.numeric.precision import chosen_precision
from hf_oversample.training.argument_fields import (
    CheckedArguments,
    argument,
    micro_steps,
    not_negative,
    positive,
    share,
)

if TYPE_CHECKING:
    import torch

CHOICE = "choice"
PROTOTYPE = "prototype: one seed of Yelp, 1 % rare"
MEASURED = "measured: benchmarks/reembedding.md"
LEAST_STEPS = 300
"""Steps where they are not given and rows are drawn; and the fewest where all rows are read, of
which few make few updates."""


@dataclass(frozen=True)
class ReembeddingArguments(CheckedArguments):
    """
    How an encoder is fine-tuned for rare classes.

    `ReembeddingArguments.describe()` lists every field, its default and where that comes from.
    Steps are counted over micro-batches, lengths in tokens.

    Raises:
        ValueError: if a value cannot work; the message names the field.
    """

    objective: Literal["contrastive", "classification", "joint"] = argument(
        "classification",
        "what is descended: classification (cross-entropy), contrastive (rare texts to each other, "
        "away from their majority neighbours) or joint (both)",
        MEASURED,
    )
    head_first: bool = argument(
        False,
        "of classification and joint: begin with the head that logistic regression finds on the "
        "frozen encoder (LP-FT)",
        "Kumar et al., 2022",
    )
    interpolate: bool = argument(
        False,
        "keep the mean of the pretrained and the fine-tuned weights that ranks validation rows "
        "best (WiSE-FT)",
        "Wortsman et al., 2022",
    )
    steps: int | None = micro_steps(
        None,
        f"steps of training (default: of cross-entropy on all rows as many as passes takes, at "
        f"least {LEAST_STEPS}; else {LEAST_STEPS})",
        PROTOTYPE,
    )
    passes: float = positive(
        2.0, "passes of cross-entropy over all rows, where steps is not given", MEASURED
    )
    learning_rate: float = positive(5e-5, "AdamW", PROTOTYPE)
    warmup_share: float = share(
        0.06,
        "share of the steps in which the rate rises; then it falls, by cosine, to 0",
        "Liu et al., 2019",
    )
    weight_decay: float = not_negative(0.01, "AdamW", "Loshchilov & Hutter, 2019")
    max_grad_norm: float = positive(1.0, "gradient clipping", CHOICE)
    batch_size: int = positive(32, "texts of a batch of cross-entropy, per process", CHOICE)
    balanced: bool = argument(
        False,
        "of classification and joint: batches of cross-entropy hold rare_rows rare texts and "
        "majority_rows others, drawn as contrastive ones are, instead of batch_size of all texts",
        CHOICE,
    )
    balanced_hard_share: float = share(
        0.0, "share of the others in these batches that are nearest to the rare ones", MEASURED
    )
    rare_rows: int = argument(
        16,
        "rare texts of a contrastive or balanced batch, per process; of a contrastive one its "
        "queries and positives",
        PROTOTYPE,
    )
    majority_rows: int = positive(16, "texts of other classes in it, the negatives", PROTOTYPE)
    hard_share: float = share(
        0.5,
        "share of the negatives of a contrastive batch that are nearest to its rare texts",
        PROTOTYPE,
    )
    hard_neighbors: int = positive(
        10, "nearest rows of other classes that are a rare text's hard negatives", PROTOTYPE
    )
    neighbors: int = positive(
        5, "k of the difficult samples", "SMOTE's usual k; MISO's section 7.1 gives none"
    )
    anchor_share: float = share(
        0.5,
        "share of a contrastive batch's rare texts that are made ones, where there are any",
        CHOICE,
    )
    temperature: float = positive(0.1, "of the contrastive loss", PROTOTYPE)
    contrastive_weight: float = not_negative(
        0.5, "of the contrastive loss in the joint one", PROTOTYPE
    )
    class_smoothing: float = not_negative(
        0.5, "of several rare classes, a batch's is drawn in proportion to rows ** this", CHOICE
    )
    train_word_embeddings: bool = argument(
        True, "train the word embeddings too; false: a quarter of the time less", CHOICE
    )
    max_length: int = positive(
        128, "longest text in tokens; where the encoder has fewer places, as many as it has", CHOICE
    )
    mixed_precision: Literal["auto", "no", "bf16"] = argument(
        "auto", "precision of training; auto: bf16 where the machine computes in it", MEASURED
    )
    gradient_accumulation_steps: int = positive(1, "micro-steps per optimiser step", CHOICE)
    save_steps: int = micro_steps(100, "steps between checkpoints; 0: none", CHOICE)
    save_total_limit: int = not_negative(
        1, "checkpoints that are kept, the newest ones; 0: all", CHOICE
    )
    logging_steps: int = positive(10, "steps between records of the loss", CHOICE)
    report_to: str = argument(
        "", "a tracker of accelerate, such as tensorboard; empty: none", CHOICE
    )
    seed: int = argument(0, "seed of everything", CHOICE)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rare_rows < 2:
            raise ValueError(
                f"rare_rows is {self.rare_rows}; a query needs another rare text: at least 2."
            )
        if self.balanced and self.objective == "contrastive":
            raise ValueError(
                "balanced goes with objective 'classification' or 'joint': the contrastive "
                "objective's batches are balanced as they come."
            )
        if self.head_first and self.objective == "contrastive":
            raise ValueError(
                "head_first goes with objective 'classification' or 'joint': the contrastive "
                "objective trains no head, which is solved afterwards."
            )

    def of_rows(self, rows: int, processes: int = 1) -> Self:
        """
        The same with `steps` where it is not given: whole optimiser steps.

        Args:
            rows: training rows.
            processes: those that train together, each on a batch of its own.
        """
        if self.steps is not None:
            return self
        passes = self.steps_of_passes(self.passes, rows, processes) if self.reads_all_rows else 0
        whole = self.gradient_accumulation_steps
        return replace(self, steps=max(passes, math.ceil(LEAST_STEPS / whole) * whole))

    def steps_of_passes(self, passes: float, rows: int, processes: int = 1) -> int:
        """Steps of `batch_size` texts a process that read all rows so often: whole optimiser
        steps."""
        whole = self.gradient_accumulation_steps
        return math.ceil(passes * rows / (self.batch_size * processes) / whole) * whole

    @property
    def is_contrastive(self) -> bool:
        """Whether rare texts are held against their neighbours."""
        return self.objective != "classification"

    @property
    def trains_head(self) -> bool:
        """Whether the head is trained with the encoder, and not solved after it."""
        return self.objective != "contrastive"

    def resolved_precision(self, device: str | torch.device | None = None) -> Literal["no", "bf16"]:
        """`mixed_precision`, with "auto" decided for a device, as `has_fast_bfloat16`."""
        return chosen_precision(self.mixed_precision, device)

    @property
    def reads_all_rows(self) -> bool:
        """Whether cross-entropy reads all rows in turn."""
        return self.trains_head and not self.balanced

    @property
    def is_plain(self) -> bool:
        """Whether this is plain fine-tuning: cross-entropy on all rows, from a new head, with the
        weights as training leaves them."""
        of_rare = self.is_contrastive or self.balanced
        return not (of_rare or self.head_first or self.interpolate)

    @property
    def told_objective(self) -> str:
        """`objective`, and whether its batches were balanced where they need not be."""
        return self.objective + ", balanced" * self.balanced

    @property
    def texts_a_step(self) -> int:
        """How many texts a step reads, per process, where there are as many."""
        drawn = self.rare_rows + self.majority_rows
        rows = drawn if self.balanced else self.batch_size
        return drawn * self.is_contrastive + rows * self.trains_head
