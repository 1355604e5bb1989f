"""Short trainings of MISO on one corpus, and what of their weights differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from hf_oversample.training.arguments import MisoTrainingArguments
from hf_oversample.training.miso import MisoTrainer
from miso_fixtures import arguments, make_corpus, make_generator, make_trainer

TEXTS, LABELS = make_corpus((40, 12))
Weights = dict[str, torch.Tensor]

# names of the critics' and discriminators' weights begin so
OPPONENTS = ("minority_critic", "majority_critic", "minority_disc", "majority_disc")


def train(
    training: MisoTrainingArguments | None = None,
    *,
    settings: dict[str, Any] | None = None,
    resume: Path | None = None,
    stop_at: int | None = None,
    **options: Any,
) -> tuple[Weights, MisoTrainer]:
    """A new generator, trained in a new trainer; its weights."""
    model = make_generator(TEXTS, **(settings or {}))
    trainer = make_trainer(model, TEXTS, LABELS, training or arguments(), **options)
    trainer.train(resume_from_checkpoint=resume, stop_at=stop_at)
    return {name: value.clone() for name, value in model.state_dict().items()}, trainer


def different(one: Weights, two: Weights) -> list[str]:
    assert one.keys() == two.keys()
    return [name for name in one if not torch.equal(one[name], two[name])]


def player_of(name: str) -> str:
    """The critic or discriminator that a weight belongs to, or "generator"."""
    return next((part for part in OPPONENTS if name.startswith(part)), "generator")
