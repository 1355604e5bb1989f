"""Tiny classifiers and rows for the Trainer of transformers."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import ClassLabel, Dataset, Features, List, Value
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    Trainer,
    TrainingArguments,
    set_seed,
)

WIDTH, VOCABULARY = 5, 30
NAMES = ["ham", "spam", "scam"]


def rows_of(labels: Sequence[Any], *, names: Sequence[str] | None = tuple(NAMES)) -> Dataset:
    """Rows of random words with these labels: class ids, or lists of numbers."""
    words = np.random.default_rng(0).integers(1, VOCABULARY, (len(labels), WIDTH))
    kind: Any = ClassLabel(names=list(names)) if names else Value("int64")
    if not isinstance(labels[0], int | np.integer):
        kind = List(Value("float32"), length=len(labels[0]))
    features = Features({"input_ids": List(Value("int64")), "label": kind})
    return Dataset.from_dict({"input_ids": words, "label": list(labels)}, features=features)


def new_model(classes: int = 3, problem_type: str | None = None) -> BertForSequenceClassification:
    """The same small BERT at every call, without dropout."""
    set_seed(0)
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=VOCABULARY,
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=8,
            max_position_embeddings=WIDTH,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            num_labels=classes,
            problem_type=problem_type,
        )
    )


def arguments(folder: Path, **changes: Any) -> TrainingArguments:
    """Plain steps of SGD at a rate of 1: what changes is the gradient."""
    settings: dict[str, Any] = {
        "output_dir": str(folder),
        "optim": "sgd",
        "learning_rate": 1.0,
        "lr_scheduler_type": "constant",
        "max_grad_norm": 0.0,
        "max_steps": 1,
        "report_to": "none",
        "save_strategy": "no",
        "logging_strategy": "no",
        "disable_tqdm": True,
        "use_cpu": True,
        "seed": 0,
    }
    return TrainingArguments(**settings | changes)


def trained(
    rows: Dataset, folder: Path, *, trainer: type[Trainer] = Trainer, **options: Any
) -> Trainer:
    """A trainer after its training; options of `arguments`, and those of a Trainer in ``given``."""
    given = options.pop("given", {})
    model = options.pop("model", None) or new_model()
    resume = options.pop("resume", None)
    made = trainer(model, arguments(folder, **options), train_dataset=rows, **given)
    gc.freeze()  # a Trainer collects garbage, which takes a second where much is loaded
    try:
        made.train(resume_from_checkpoint=resume)
    finally:
        gc.unfreeze()
    return made


def gradient(rows: Dataset, folder: Path, loss: Any, **options: Any) -> torch.Tensor:
    """What one update of SGD subtracts from the weights, as one vector."""
    model = options.pop("model", None) or new_model()
    before = torch.cat([p.detach().clone().flatten() for p in model.parameters()])
    given = {"compute_loss_func": loss, **options.pop("given", {})}
    trained(rows, folder, model=model, given=given, **options)
    after = torch.cat([p.detach().cpu().flatten() for p in model.parameters()])
    return before - after
