"""How a writer's adapters are trained: each default declared once, with where it comes from."""

from __future__ import annotations

from dataclasses import dataclass

from hf_oversample.training.argument_fields import (
    CheckedArguments,
    argument,
    not_negative,
    positive,
    share,
)

PROTOTYPE = "prototype, PAPERS.md"


@dataclass(frozen=True)
class WriterTrainingArguments(CheckedArguments):
    """
    How an adapter a class is trained on a pretrained language model.

    `WriterTrainingArguments.describe()` lists every field, its default and where that comes from.
    Updates are optimiser steps, lengths are in tokens.

    Raises:
        ValueError: if a value cannot work; the message names the field.
    """

    max_updates: int = positive(60, "updates of a class's adapter at most", "choice: time")
    max_passes: int = positive(6, "passes over a class's texts at most", PROTOTYPE)
    patience: int = positive(
        2, "evaluations without a lower held-out loss before the training ends", "choice"
    )
    evaluation_updates: int = positive(5, "updates between evaluations", "choice")
    held_out_share: float = share(
        0.1, "share of a class's texts that the training stops by", "choice"
    )
    held_out_texts: int = positive(64, "held-out texts of a class at most", "choice: time")
    batch_size: int = positive(32, "texts in a micro-step", "choice")
    gradient_accumulation_steps: int = positive(1, "micro-steps per update", "choice")
    learning_rate: float = positive(1e-3, "AdamW, constant after the warm-up", PROTOTYPE)
    warmup_updates: int = not_negative(3, "updates in which the learning rate rises", "choice")
    weight_decay: float = not_negative(0.0, "AdamW", "choice: training stops early")
    max_grad_norm: float = positive(1.0, "gradient clipping", "choice")
    rank: int = positive(16, "r of LoRA, on all linear layers", PROTOTYPE)
    alpha: float = positive(32.0, "α of LoRA, whose scale is α / r", "Hu et al., 2022: 2 r")
    from_largest: bool = argument(
        True,
        "adapters start as copies of the largest class's, which has seen most texts of this kind; "
        "otherwise each from nothing",
        "choice",
    )
    latent_noise: float = not_negative(
        0.5, "sd of the noise on a text's latent, where latents are read", "choice"
    )
    latent_dropout: float = share(
        0.2,
        "share of texts that are learnt without their latent, where latents are read",
        "choice",
    )
    seed: int = argument(0, "seed of everything", "choice")
