"""The Bayesian-network GAN's training arguments: each default once, with where it comes from."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any


def _argument(default: Any, help: str, source: str) -> Any:
    """A field with its help and the source of its default; command lines and docs show both."""
    return field(default=default, metadata={"help": help, "source": source})


CODE = "InfoGAN and the paper's code"
_NOT_NEGATIVE = (
    "steps",
    "structure_weight",
    "class_weight",
    "noise_weight",
    "max_translation",
    "save_steps",
)
_POSITIVE = (
    "learning_rate",
    "discriminator_learning_rate",
    "discriminator_updates",
    "gradient_accumulation_steps",
    "logging_steps",
    "max_grad_norm",
)
_SHARES = ("adam_beta1", "adam_beta2", "class_smoothing", "ema_decay", "decay_start")


@dataclass(frozen=True)
class BayesianGanTrainingArguments:
    """
    How a Bayesian-network GAN is trained (section 3).

    `BayesianGanTrainingArguments.describe()` lists every field, its default and where that comes
    from. Steps are counted over micro-batches, weights and rates are plain factors. The precision
    is float32 always: the players are small, and a batch's least squares needs it.

    Raises:
        ValueError: if a value cannot work; the message names the field.
    """

    steps: int = _argument(3000, "steps of the generator", "choice: time on two cores")
    batch_size: int = _argument(64, "rows in a step, per process", CODE)
    learning_rate: float = _argument(2e-4, "Adam, the generator", CODE)
    discriminator_learning_rate: float = _argument(
        2e-4, "Adam, the discriminator and the feature extractor", CODE
    )
    adam_beta1: float = _argument(0.5, "Adam, both", CODE)
    adam_beta2: float = _argument(0.999, "Adam, both", CODE)
    discriminator_updates: int = _argument(1, "discriminator steps per step", CODE)
    gradient_accumulation_steps: int = _argument(1, "micro-steps per optimiser step", "choice")
    max_grad_norm: float = _argument(10.0, "gradient clipping, each player", "choice")
    decay_start: float = _argument(
        0.5,
        "share of the steps after which both rates fall to 0: the averaged generator and the "
        "extractor then agree on the codes",
        "measured on a linear-Gaussian network",
    )
    structure_weight: float = _argument(1.0, "λ, the regulariser's weight (Eq. 1)", "choice")
    class_weight: float = _argument(
        1.0, "weight of the class code's cross-entropy", "Odena et al., 2017"
    )
    noise_weight: float = _argument(
        0.1, "weight of |z − z'|² per value, against rows that are all alike", "choice"
    )
    class_smoothing: float = _argument(
        0.0, "classes are drawn in proportion to rows ** this; 0: evenly", "choice"
    )
    max_translation: int = _argument(
        0, "images: shifted by up to so many pixels before the discriminator", "Zhao et al., 2020"
    )
    ema_decay: float = _argument(
        0.999, "of the averaged generator, which is kept", "Yazıcı et al., 2019"
    )
    save_steps: int = _argument(0, "steps between checkpoints; 0: none", "choice")
    logging_steps: int = _argument(50, "steps between reports to the trackers", "choice")
    report_to: str = _argument(
        "", "a tracker of accelerate, such as tensorboard; empty: none", "choice"
    )
    seed: int = _argument(0, "seed of everything", "choice")

    def __post_init__(self) -> None:
        for name in _NOT_NEGATIVE:
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must not be negative.")
        for name in _POSITIVE:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be positive.")
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it is a share, from 0 to 1.")
        if self.batch_size < 4:
            raise ValueError(
                f"batch_size is {self.batch_size}; the correlations of a batch need at least 4 "
                "rows."
            )
        for name in ("steps", "save_steps"):
            if getattr(self, name) % self.gradient_accumulation_steps:
                raise ValueError(
                    f"{name} is {getattr(self, name)}, no multiple of gradient_accumulation_steps "
                    f"({self.gradient_accumulation_steps}): it would end inside an optimiser step."
                )

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values."""
        return asdict(self)

    @classmethod
    def describe(cls) -> str:
        """A Markdown table of the fields, their defaults, meaning and source."""
        rows = []
        for f in fields(cls):
            meaning = f.metadata["help"].replace("|", "\\|")  # a bar would end the cell
            rows.append(f"| `{f.name}` | {f.default} | {meaning} | {f.metadata['source']} |")
        return "\n".join(
            ["| argument | default | meaning | source of the default |", "|---|---|---|---|", *rows]
        )
