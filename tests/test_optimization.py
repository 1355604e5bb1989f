"""What optimisers decay: matrices; no bias and no normalisation layer, in any training."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
    T5Config,
    T5ForSequenceClassification,
    XLNetConfig,
    XLNetForSequenceClassification,
)

from hf_oversample.models.classifiers.textcnn import TextCnnConfig, TextCnnForSequenceClassification
from hf_oversample.models.classifiers.textrnn import TextRnnConfig, TextRnnForSequenceClassification
from hf_oversample.training.classifier import train_classifier
from hf_oversample.training.heads import train_head
from hf_oversample.training.optimization import decay_groups
from miso_fixtures import arguments, make_corpus, make_generator, make_trainer

PROJECT = Path(__file__).resolve().parent.parent
SMALL = {"vocab_size": 30, "num_hidden_layers": 1, "hidden_size": 8, "intermediate_size": 16}
NETWORKS = {
    "textcnn": lambda: TextCnnForSequenceClassification(
        TextCnnConfig(vocab_size=30, embedding_size=8, num_filters=4)
    ),
    "textrnn": lambda: TextRnnForSequenceClassification(
        TextRnnConfig(vocab_size=30, embedding_size=8, hidden_size=8)
    ),
    "bert": lambda: BertForSequenceClassification(BertConfig(**SMALL, num_attention_heads=2)),
    "roberta": lambda: RobertaForSequenceClassification(
        RobertaConfig(**SMALL, num_attention_heads=2)
    ),
    "xlnet": lambda: XLNetForSequenceClassification(
        XLNetConfig(vocab_size=30, d_model=8, n_layer=1, n_head=2, d_inner=16)
    ),
    "t5": lambda: T5ForSequenceClassification(
        T5Config(vocab_size=30, d_model=8, d_kv=4, d_ff=16, num_layers=1, num_heads=2)
    ),
}


@pytest.fixture
def stepped() -> Iterator[dict[int, torch.optim.Optimizer]]:
    """Every optimiser that makes a step in a test, by its id."""
    seen: dict[int, torch.optim.Optimizer] = {}

    def see(optimizer: torch.optim.Optimizer, *_: object) -> None:
        seen[id(optimizer)] = optimizer

    handle = register_optimizer_step_pre_hook(see)
    yield seen
    handle.remove()


def decays(optimizer: torch.optim.Optimizer) -> dict[int, float]:
    """id of a parameter → its weight decay."""
    return {
        id(parameter): group["weight_decay"]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }


def check(model: nn.Module, found: dict[int, float], decay: float) -> None:
    """Biases and normalisation layers have none, everything else all of it."""
    normalisation = {
        id(parameter)
        for module in model.modules()
        if "norm" in type(module).__name__.lower()
        for parameter in module.parameters(recurse=False)
    }
    checked = 0
    for name, parameter in model.named_parameters():
        if id(parameter) not in found:
            continue
        checked += 1
        plain = "bias" in name or id(parameter) in normalisation
        assert found[id(parameter)] == (0.0 if plain else decay), name
    assert checked == len(found) > 0


@pytest.mark.parametrize("kind", NETWORKS)
def test_matrices_decay_and_nothing_else(kind: str) -> None:
    model = NETWORKS[kind]()
    groups = decay_groups(model, 0.3, lr=0.7)
    found = decays(torch.optim.SGD(groups))
    assert len(found) == len(list(model.parameters()))
    check(model, found, 0.3)
    assert {group["lr"] for group in groups} == {0.7}


def test_groups_of_some_parameters() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2), nn.Linear(2, 2))
    model[0].weight.requires_grad_(False)
    every = [p for group in decay_groups(model, 0.1) for p in group["params"]]
    assert {id(p) for p in every} == {id(p) for p in model.parameters() if p.requires_grad}
    some = decay_groups(model, 0.1, model[1].parameters())
    assert [group["weight_decay"] for group in some] == [0.0]  # no group is empty
    assert {id(p) for p in some[0]["params"]} == {id(p) for p in model[1].parameters()}


@pytest.mark.parametrize("kind", ["textcnn", "textrnn", "bert", "roberta"])
def test_classifiers_are_trained_so(kind: str, stepped: dict[int, torch.optim.Optimizer]) -> None:
    model = NETWORKS[kind]()
    texts = [[3 + row % 7, 4, 5] for row in range(8)]
    train_classifier(model, texts, [0, 1] * 4, steps=2, batch_size=4, weight_decay=0.02)
    (optimizer,) = stepped.values()
    check(model, decays(optimizer), 0.02)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_heads_are_trained_so(optimizer: str, stepped: dict[int, torch.optim.Optimizer]) -> None:
    head = train_head(
        np.eye(4),
        [0, 1, 0, 1],
        num_labels=2,
        hidden_size=3,
        epochs=1,
        min_steps=1,
        optimizer=optimizer,
        weight_decay=0.02,
        standardize=False,
    )
    (one,) = stepped.values()
    check(head, decays(one), 0.02)


def test_every_player_of_miso_is_trained_so() -> None:
    texts, labels = make_corpus((20, 10))
    model = make_generator(texts)
    trainer = make_trainer(model, texts, labels, arguments(weight_decay=0.02))
    found: dict[int, float] = {}
    for optimizer in trainer.players.optimizers.values():
        found |= decays(optimizer.optimizer)
    assert set(found) == {id(parameter) for parameter in model.parameters()}
    check(model, found, 0.02)
    # SFM's rate keeps its own schedule, by whatever place its groups have
    trainer.players.set_rates("adversarial", 0.9)
    groups = trainer.players.optimizers["generator"].param_groups
    fusion = {id(p) for p in model.miso.fusion.parameters()}
    for group in groups:
        is_fusion = id(group["params"][0]) in fusion
        assert all((id(p) in fusion) == is_fusion for p in group["params"])
        full = trainer.arguments.fusion_learning_rate
        assert (group["lr"] == full) == is_fusion


def optimizer_calls() -> Iterator[tuple[str, ast.Call]]:
    """Where a torch optimiser is made, outside of tests: its place, and the call."""
    names = {
        name
        for name, value in vars(torch.optim).items()
        if isinstance(value, type) and issubclass(value, torch.optim.Optimizer)
    }
    for folder in ("hf_oversample", "recipes", "benchmarks"):
        for path in sorted((PROJECT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in names:
                    yield f"{path.relative_to(PROJECT)}:{node.lineno}", node


def test_no_optimiser_decays_without_groups() -> None:
    """AdamW decays by default, the others where they are told to."""
    places = []
    for place, call in optimizer_calls():
        told = any(keyword.arg == "weight_decay" for keyword in call.keywords)
        if told or ast.unparse(call.func).endswith("AdamW") or "decay" in ast.unparse(call):
            places.append(place)
            assert "decay_groups(" in ast.unparse(call.args[0]), place
            assert not told, f"{place}: the groups hold the decay"
    files = {place.split(":")[0] for place in places}
    assert files == {
        "benchmarks/throughput.py",
        "hf_oversample/training/classifier.py",
        "hf_oversample/training/heads.py",
        "hf_oversample/training/players.py",
        "hf_oversample/training/reembedding.py",
        "hf_oversample/training/writer.py",
    }


@pytest.mark.parametrize(("schedule", "warmup", "expected"), [
    ("constant", 0.0, [1, 1, 1, 1, 1, 1]),
    ("constant", 0.5, [0.25, 0.5, 0.75, 1, 1, 1]),
    ("cosine", 0.0, [1, 0.9330127, 0.75, 0.5, 0.25, 0.0669873]),
    ("cosine", 0.5, [0.25, 0.5, 0.75, 1, 0.75, 0.25]),
])  # fmt: skip
def test_the_rate_rises_and_falls(schedule: str, warmup: float, expected: list[float]) -> None:
    rates: list[float] = []

    def see(optimizer: torch.optim.Optimizer, *_: object) -> None:
        rates.append(optimizer.param_groups[0]["lr"])

    handle = register_optimizer_step_pre_hook(see)
    try:
        train_classifier(
            NETWORKS["textcnn"](),
            [[3, 4], [5, 6]],
            [0, 1],
            steps=6,
            learning_rate=0.01,
            schedule=schedule,
            warmup=warmup,
        )
    finally:
        handle.remove()
    assert rates == pytest.approx([0.01 * one for one in expected])


@pytest.mark.parametrize("warmup", [-0.1, 1.0])
def test_a_warmup_is_a_share(warmup: float) -> None:
    with pytest.raises(ValueError, match=f"warmup={warmup} is a share of the updates"):
        train_classifier(NETWORKS["textcnn"](), [[3], [4]], [0, 1], steps=2, warmup=warmup)
