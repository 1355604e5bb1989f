"""A training has the precision that it was asked for, whatever else the process computes in."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState

from hf_oversample.numeric.precision import has_fast_bfloat16
from hf_oversample.training.accelerator import new_accelerator
from hf_oversample.training.arguments import MisoTrainingArguments
from hf_oversample.training.miso import MisoTrainer
from hf_oversample.training.reembedding_arguments import ReembeddingArguments
from miso_fixtures import arguments, encode, make_generator, tokenizer
from miso_training_runs import LABELS, TEXTS, different, train

PACKAGE = Path(__file__).resolve().parent.parent / "hf_oversample"
FEW = {"pretrain_steps": 2, "critic_steps": 1, "adversarial_steps": 2}


def trained(precision: str) -> dict[str, torch.Tensor]:
    """Weights of a training that does not reset what accelerate remembers."""
    model = make_generator(TEXTS)
    trainer = MisoTrainer(
        model,
        encode(TEXTS),
        LABELS,
        arguments(mixed_precision=precision, **FEW),
        padding=tokenizer().pad_token_id,
        mask_token=tokenizer().mask_token_id,
    )
    trainer.train()
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("earlier", ["no", "bf16"])
def test_a_training_does_not_depend_on_other_accelerators(earlier: str) -> None:
    expected = {
        precision: train(arguments(mixed_precision=precision, **FEW))[0]
        for precision in ("no", "bf16")
    }
    assert different(expected["no"], expected["bf16"])
    train(arguments(**FEW))  # resets the process
    states_of_accelerate(earlier)
    for precision in ("bf16", "no", "bf16"):
        assert different(trained(precision), expected[precision]) == []


def states_of_accelerate(precision: str) -> None:
    """What a user's own accelerator leaves in the process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    assert Accelerator(mixed_precision=precision, cpu=True).mixed_precision == precision


def test_an_accelerator_leaves_the_users_precision_alone() -> None:
    states_of_accelerate("bf16")
    new_accelerator(None, gradient_accumulation_steps=1, save_steps=0, report_to="")
    assert Accelerator().mixed_precision == "bf16"


def private_names() -> Iterator[str]:
    """Where the package reads a private name of accelerate, or of torch's processors."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
                owner = ast.unparse(node.value)
                if "State" in owner or "accelerat" in owner or owner.startswith("torch"):
                    yield f"{path.name}:{node.lineno} {owner}.{node.attr}"


def test_nothing_private_of_accelerate_or_torch_is_touched() -> None:
    assert list(private_names()) == []


@pytest.mark.parametrize("kind", [MisoTrainingArguments, ReembeddingArguments])
def test_a_trainings_precision_is_that_of_the_device_that_it_is_on(kind: type) -> None:
    """Not that of a GPU that the machine has too, and the training was told to leave alone."""
    on = {True: "bf16", False: "no"}[has_fast_bfloat16("cpu")]
    assert kind(mixed_precision="auto").resolved_precision("cpu") == on
    # no device that is known to be fast
    assert kind(mixed_precision="auto").resolved_precision("meta") == "no"
    for told in ("no", "bf16"):
        assert kind(mixed_precision=told).resolved_precision("meta") == told
