"""The Bayesian-network GAN's training arguments: each default once, with where it comes from."""

from __future__ import annotations

from dataclasses import dataclass

from hf_oversample.training.argument_fields import (
    CheckedArguments,
    argument,
    micro_steps,
    not_negative,
    positive,
    share,
)

CODE = "InfoGAN and the paper's code"


@dataclass(frozen=True)
class BayesianGanTrainingArguments(CheckedArguments):
    """
    How a Bayesian-network GAN is trained (section 3).

    `BayesianGanTrainingArguments.describe()` lists every field, its default and where that comes
    from. Steps are counted over micro-batches, weights and rates are plain factors. The precision
    is float32 always: the players are small, and a batch's least squares needs it.

    Raises:
        ValueError: if a value cannot work; the message names the field.
    """

    steps: int = micro_steps(3000, "steps of the generator", "choice: time on two cores")
    batch_size: int = argument(64, "rows in a step, per process", CODE)
    learning_rate: float = positive(2e-4, "Adam, the generator", CODE)
    discriminator_learning_rate: float = positive(
        2e-4, "Adam, the discriminator and the feature extractor", CODE
    )
    adam_beta1: float = share(0.5, "Adam, both", CODE)
    adam_beta2: float = share(0.999, "Adam, both", CODE)
    discriminator_updates: int = positive(1, "discriminator steps per step", CODE)
    gradient_accumulation_steps: int = positive(1, "micro-steps per optimiser step", "choice")
    max_grad_norm: float = positive(10.0, "gradient clipping, each player", "choice")
    decay_start: float = share(
        0.5,
        "share of the steps after which both rates fall to 0: the averaged generator and the "
        "extractor then agree on the codes",
        "measured on a linear-Gaussian network",
    )
    structure_weight: float = not_negative(1.0, "λ, the regulariser's weight (Eq. 1)", "choice")
    structure_warmup: float = share(
        0.25,
        "share of the steps over which λ grows from 0: at its full weight from the start, codes "
        "hide in rows that look like no data",
        "measured on linear-Gaussian rows and generated shapes",
    )
    information_weight: float = not_negative(
        0.1, "InfoGAN's λ", "Chen et al., 2016: smaller than 1 for continuous codes"
    )
    class_weight: float = not_negative(
        1.0, "weight of the class code's cross-entropy", "Odena et al., 2017"
    )
    noise_weight: float = not_negative(
        0.1, "weight of |z − z'|² per value, against rows that are all alike", "choice"
    )
    class_smoothing: float = share(
        0.0, "classes are drawn in proportion to rows ** this; 0: evenly", "choice"
    )
    target_share: float = share(
        0.5,
        "of a step's rows, at least so much is of the classes that are to be made",
        "choice",
    )
    max_translation: int = not_negative(
        0, "images: shifted by up to so many pixels before the discriminator", "Zhao et al., 2020"
    )
    ema_decay: float = share(
        0.999, "of the averaged generator, which is kept", "Yazıcı et al., 2019"
    )
    save_steps: int = micro_steps(0, "steps between checkpoints; 0: none", "choice")
    save_total_limit: int = not_negative(
        2, "checkpoints that are kept, the newest ones; 0: all", "choice"
    )
    logging_steps: int = positive(50, "steps between reports to the trackers", "choice")
    report_to: str = argument(
        "", "a tracker of accelerate, such as tensorboard; empty: none", "choice"
    )
    seed: int = argument(0, "seed of everything", "choice")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps < 1:
            raise ValueError(f"steps is {self.steps}; a generator needs at least one.")
        if self.batch_size < 4:
            raise ValueError(
                f"batch_size is {self.batch_size}; the correlations of a batch need at least 4 "
                "rows."
            )
