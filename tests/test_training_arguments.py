"""Training arguments: ranges, choices, steps that fit the accumulation, sources."""

from __future__ import annotations

import re
from typing import Any

import pytest

from hf_oversample.training.arguments import MisoTrainingArguments
from hf_oversample.training.bayesian_gan_arguments import BayesianGanTrainingArguments
from miso_fixtures import arguments

# ---- MISO


@pytest.mark.parametrize("changes", [
    {"pretrain_steps": 3}, {"critic_steps": 5}, {"adversarial_steps": 1}, {"save_steps": 3},
])  # fmt: skip
def test_a_phase_ends_with_an_optimiser_step(changes: dict[str, int]) -> None:
    (name,) = changes
    with pytest.raises(ValueError, match=f"{name} is .*, no multiple of gradient_acc"):
        arguments(gradient_accumulation_steps=2, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pretrain_steps": -1}, "pretrain_steps is -1; it must not be negative"),
        ({"batch_size": 0}, "batch_size is 0; it must be positive"),
        ({"pair_batch_size": 1}, "pair_batch_size is 1; mutual information needs at least 2"),
        ({"mask_share": 1.5}, "mask_share is 1.5; it is a share, from 0 to 1"),
        ({"mixed_precision": "fp8"}, "mixed_precision is 'fp8'"),
        ({"train_word_embeddings": "on"}, "is 'on'; it must be one of 'auto', 'yes', 'no'"),
        ({"learning_rate": float("nan")}, "learning_rate is nan; it must be positive"),
        ({"gradient_accumulation_steps": 0}, "gradient_accumulation_steps is 0; it must be pos"),
        ({"max_train_seconds": -2.0}, "max_train_seconds is -2.0"),
    ],
)
def test_argument_errors(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        arguments(**changes)


def test_every_default_has_a_source() -> None:
    table = MisoTrainingArguments.describe().splitlines()
    assert len(table) == 2 + len(MisoTrainingArguments().to_dict())
    for row in table[2:]:
        name, default, meaning, source = (
            cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]
        )
        assert str(MisoTrainingArguments().to_dict()[name.strip("`")]) == default
        assert meaning
        assert source


# ---- the Bayesian-network GAN


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": -1}, "steps"),
        ({"batch_size": 3}, "at least 4"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"ema_decay": 1.5}, "share"),
        ({"steps": 7, "gradient_accumulation_steps": 2}, "no multiple"),
    ],
)
def test_bad_arguments_of_the_gan_say_what_is_wrong(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BayesianGanTrainingArguments(**changes)


def test_every_argument_of_the_gan_has_a_source() -> None:
    table = BayesianGanTrainingArguments.describe().splitlines()
    assert len(table) == 2 + len(BayesianGanTrainingArguments.__dataclass_fields__)
    assert all(line.rstrip(" |").split("|")[-1].strip() for line in table[2:])
