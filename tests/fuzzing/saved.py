"""Saved oversamplers of every kind, and models, loaded from folders that were changed."""

from __future__ import annotations

import functools
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import BertConfig, PreTrainedModel

from fuzzing.choices import Choices
from fuzzing.contract import named, right
from fuzzing.folders import change, copied
from hf_oversample.models.bayesian_gan.configuration_bayesian_gan import BayesianGanConfig
from hf_oversample.models.bayesian_gan.modeling_bayesian_gan import BayesianGanModel
from hf_oversample.models.classifiers.averaged import (
    AveragedConfig,
    AveragedForSequenceClassification,
)
from hf_oversample.models.classifiers.mlp import MlpConfig, MlpForEmbeddingClassification
from hf_oversample.models.classifiers.pooled_encoder import (
    PooledEncoderConfig,
    PooledEncoderForSequenceClassification,
)
from hf_oversample.models.classifiers.textcnn import TextCnnConfig, TextCnnForSequenceClassification
from hf_oversample.models.classifiers.textrnn import TextRnnConfig, TextRnnForSequenceClassification
from hf_oversample.models.loading import load_complete, write_sums
from hf_oversample.models.miso.configuration_miso import MisoConfig
from hf_oversample.models.miso.modeling_miso import MisoForAnchorGeneration
from hf_oversample.oversamplers import OVERSAMPLERS
from hf_oversample.oversamplers.base import Oversampler
from hf_oversample.oversamplers.ml_ros import MlRosOversampler
from hf_oversample.oversamplers.mlsmote import MlsmoteOversampler
from multi_label_fixtures import labelled_dataset
from oversampler_checks import COUNTS, case_of, make_dataset

LARGE = ("MisoOversampler", "LanguageModelOversampler")
"""Those whose children are texts that a model writes: loaded, but not asked for them."""
KINDS = (*(name for name in sorted(OVERSAMPLERS) if name not in LARGE), "MlRos", "Mlsmote")


@functools.cache
def _root() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="hf_oversample_fuzzing_")


@functools.cache
def _template(kind: str) -> tuple[Path, Dataset]:
    """A saved oversampler of a kind, and the rows that it was fitted on."""
    folder = Path(_root().name) / kind
    if kind in OVERSAMPLERS:
        dataset = make_dataset(COUNTS)
        oversampler: Any = case_of(kind).fitted(dataset, seed=3)
    else:
        dataset = labelled_dataset(40)
        vectors = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
        dataset = dataset.add_column("embedding", vectors.tolist())
        method = MlRosOversampler if kind == "MlRos" else MlsmoteOversampler
        oversampler = method().fit(dataset, label_column="labels")
    oversampler.save_pretrained(folder)
    return folder, dataset


def seeds() -> list[bytes]:
    """A few changes of each kind."""
    draws = np.random.default_rng(0)
    return [
        bytes([kind, 0, *draws.integers(0, 256, 12).tolist()])
        for kind in range(len(KINDS))
        for _ in range(2)
    ]


def run(data: bytes, folder: Path) -> None:
    """Load it, and do with it what its owner would."""
    choices = Choices(data)
    _run(choices.one(KINDS), choices, folder)


def run_large(data: bytes, folder: Path) -> None:
    """The same of those that hold models."""
    choices = Choices(data)
    _run(choices.one(LARGE), choices, folder)


def _run(kind: str, choices: Choices, folder: Path) -> None:
    template, dataset = _template(kind)
    saved = folder / "saved"
    copied(template, saved)
    for _ in range(1 + choices.below(3)):
        change(choices, saved, ("params", "n_jobs", "__class__", "seed"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = named(
            lambda: Oversampler.from_pretrained(saved), names=("saved", "user_dictionary")
        )
        if loaded is None:
            return
        right(bool(repr(loaded)), "repr")
        right("someone/mine" in loaded.card("someone/mine").content, "a card")
        plan = loaded.fitted_plan()
        right(len(plan.parent) == len(plan.child) == len(plan.label), "arrays of the plan")
        named(lambda: loaded.save_pretrained(folder / "again"), names=("saved",))
        if kind in LARGE:
            return
        if loaded.difference(dataset) is not None:
            named(lambda: loaded.children(dataset), names=("another data set",))
            return
        children = named(lambda: loaded.children(dataset), names=("column", "rows?", "children"))
        if children is not None:
            right(len(children) == len(plan), "as many children as planned")


# ---- models --------------------------------------------------------------------------------------


def _bert() -> BertConfig:
    return BertConfig(
        vocab_size=40,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=16,
    )


MODELS: dict[type[PreTrainedModel], Any] = {
    MlpForEmbeddingClassification: lambda: MlpConfig(input_size=4, hidden_size=3),
    TextCnnForSequenceClassification: lambda: TextCnnConfig(
        vocab_size=20, embedding_size=4, num_filters=2
    ),
    TextRnnForSequenceClassification: lambda: TextRnnConfig(
        vocab_size=20, embedding_size=4, hidden_size=3
    ),
    BayesianGanModel: lambda: BayesianGanConfig(input_size=4, noise_size=2, hidden_size=4),
    PooledEncoderForSequenceClassification: lambda: PooledEncoderConfig(encoder=_bert()),
    AveragedForSequenceClassification: lambda: AveragedConfig(encoder=_bert(), members=["a", "b"]),
    MisoForAnchorGeneration: lambda: MisoConfig(
        encoder=_bert(),
        decoder=_bert(),
        num_latent_heads=2,
        latent_size=4,
        critic_hidden_size=4,
        discriminator_hidden_size=4,
        bank_size=2,
    ),
}


@functools.cache
def _model_template(kind: type[PreTrainedModel]) -> Path:
    folder = Path(_root().name) / kind.__name__
    kind(MODELS[kind]()).save_pretrained(folder)
    write_sums(folder)
    return folder


def model_seeds() -> list[bytes]:
    """A few changes of each model."""
    draws = np.random.default_rng(1)
    return [
        bytes([kind, *draws.integers(0, 256, 12).tolist()])
        for kind in range(len(MODELS))
        for _ in range(3)
    ]


def run_models(data: bytes, folder: Path) -> None:
    """A model of the package, by its configuration and weights."""
    choices = Choices(data)
    kind = choices.one(list(MODELS))
    saved = folder / "saved"
    copied(_model_template(kind), saved)
    own = tuple(MODELS[kind]().to_dict())
    for _ in range(1 + choices.below(3)):
        change(choices, saved, own)
    model = named(lambda: load_complete(kind, saved), names=("saved", kind.config_class.__name__))
    if model is not None:
        right(all(bool(w.isfinite().all()) for w in model.parameters()), "finite weights")
        model.save_pretrained(folder / "again")
