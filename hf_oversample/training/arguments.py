"""MISO's training arguments: each default declared once, with where it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

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

PAPER = "paper, section 6"
MEASURED = "measured, benchmarks/miso.md"
NOTED = "prototype, PAPERS.md"
TIME = "choice: time on two cores"


@dataclass(frozen=True)
class MisoTrainingArguments(CheckedArguments):
    """
    How a MISO generator is trained (section 5, Algorithm 1).

    `MisoTrainingArguments.describe()` lists every field, its default and where that comes from;
    PAPERS.md holds the list. Steps are counted over micro-batches, weights and rates are plain
    factors, lengths are in tokens and times in seconds.

    Raises:
        ValueError: if a value cannot work; the message names the field.
    """

    pretrain_steps: int = micro_steps(
        240, "steps of phase 1, the encoder–decoders and the filler (Alg. 1, 1–2)", TIME
    )
    critic_steps: int = micro_steps(100, "steps of phase 2, the critics alone (Alg. 1, 3–4)", TIME)
    adversarial_steps: int = micro_steps(30, "steps of phase 3, all parts (Alg. 1, 5–9)", TIME)
    max_train_seconds: float = not_negative(
        0.0,
        "stop each phase at its share of this time (runs, resumed ones too, then differ in their "
        "bits); 0: no limit",
        "choice",
    )
    batch_size: int = positive(64, "texts in a step, per process", PAPER)
    pair_batch_size: int = argument(
        32, "pairs (difficult text, majority neighbour) in a step of phase 3", "choice"
    )
    decoder_rows: int = positive(
        16, "texts of a phase-1 batch that the decoders also rebuild", "choice"
    )
    adversarial_rows: int = positive(
        8, "texts of a phase-3 batch that the discriminators see", "choice"
    )
    gradient_accumulation_steps: int = positive(1, "micro-steps per optimiser step", "choice")
    learning_rate: float = positive(
        1e-3, "AdamW, decoders, heads and Q̃", MEASURED + " (paper: 1e-4)"
    )
    encoder_learning_rate: float = argument(
        5e-4, "AdamW, the shared encoder", MEASURED + " (paper: 1e-4)"
    )
    fusion_learning_rate: float = argument(2e-3, "AdamW, the semantic fusion module", MEASURED)
    critic_learning_rate: float = argument(1e-3, "AdamW, critics", "choice (paper: 1e-4)")
    discriminator_learning_rate: float = argument(1e-4, "AdamW, discriminators", PAPER)
    train_word_embeddings: Literal["auto", "yes", "no"] = argument(
        "auto", "train the word embeddings; auto: only those that start from scratch", TIME
    )
    weight_decay: float = argument(0.01, "AdamW", "Loshchilov & Hutter, 2019")
    warmup_share: float = share(
        0.06, "share of the steps in which learning rates rise", "Liu et al., 2019"
    )
    max_grad_norm: float = argument(1.0, "gradient clipping, each optimiser", "choice")
    mask_share: float = share(0.5, "share of words masked when the filler is trained", NOTED)
    class_dropout: float = share(0.1, "share of texts filled as 'no class'", "Ho & Salimans, 2022")
    latent_noise: float = argument(
        1.0, "sd of the noise on z where the filler is trained with it", "choice"
    )
    class_smoothing: float = argument(0.5, "classes are drawn in proportion to rows ** this", NOTED)
    critic_updates: int = positive(2, "critic steps per phase-3 step", NOTED)
    proximity: float = argument(0.3, "weight of |z − q|² per value", MEASURED)
    adversarial_weight: float = argument(0.1, "weight of the discriminators' term", NOTED)
    alpha_minimum: float = argument(0.3, "lower bound of α_e = 1/τ_e", NOTED)
    alpha_maximum: float = argument(0.9, "upper bound of α_e", NOTED)
    temperature_steps: float = share(0.6, "share of phase 3 after which τ_e is 1", NOTED)
    gumbel_temperature: float = argument(
        1.0, "first temperature of the discriminators' soft tokens", "choice"
    )
    gumbel_temperature_final: float = positive(
        0.5, "last temperature of the discriminators' soft tokens", "choice"
    )
    neighbors: int = positive(
        5, "k of the difficult samples", "SMOTE's usual k; section 7.1 gives none"
    )
    max_length: int = positive(64, "longest text in tokens", "choice")
    evaluation_steps: int = positive(
        120, "steps between evaluations on the validation split", "choice"
    )
    save_steps: int = micro_steps(0, "steps between checkpoints; 0: none", "choice")
    save_total_limit: int = not_negative(
        2, "checkpoints that are kept, the newest ones; 0: all", "choice"
    )
    logging_steps: int = positive(10, "steps between reports to the trackers", "choice")
    mixed_precision: Literal["auto", "no", "bf16"] = argument(
        "auto", "precision of training; auto: bf16 where the machine computes in it", MEASURED
    )
    report_to: str = argument(
        "", "a tracker of accelerate, such as tensorboard; empty: none", "choice"
    )
    seed: int = argument(0, "seed of everything", "choice")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pair_batch_size < 2:
            raise ValueError(
                f"pair_batch_size is {self.pair_batch_size}; mutual information needs at least 2 "
                "pairs."
            )

    def resolved_precision(self, device: str | torch.device | None = None) -> Literal["no", "bf16"]:
        """`mixed_precision`, with "auto" decided for a device, as `has_fast_bfloat16`."""
        return chosen_precision(self.mixed_precision, device)
