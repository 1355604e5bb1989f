"""Data with known factors, for the tests of the Bayesian-network GAN."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from datasets import ClassLabel, Dataset, Features, List, Value

from hf_oversample.models.bayesian_gan.modeling_bayesian_gan import BayesianGanModel
from hf_oversample.models.bayesian_gan.network import BayesianNetwork
from hf_oversample.training.bayesian_gan import BayesianGanTrainer, new_bayesian_gan
from hf_oversample.training.bayesian_gan_arguments import BayesianGanTrainingArguments

NAMES = ("rare", "common")
TINY = {"hidden_size": 16, "noise_size": 4, "num_hidden_layers": 1}
QUICK = {"steps": 6, "batch_size": 8, "logging_steps": 2}
# arguments of an oversampler that trains for a moment
QUICK_OVERSAMPLER = {
    "training": {"steps": 4, "batch_size": 8},
    "model_options": {"hidden_size": 16, "noise_size": 4},
}


def linear_gaussian(
    counts: tuple[int, ...] = (80, 520), seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Rows that are linear in Gaussian factors, shifted by their class: [n, 10], labels [n]."""
    return linear_gaussian_factors(counts, seed)[:2]


def linear_gaussian_factors(
    counts: tuple[int, ...] = (80, 520), seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same rows and labels, and the factors, [n, 3]."""
    factors, width = 3, 10
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    loadings = rng.normal(size=(factors, width))
    centers = 2 * rng.normal(size=(len(counts), width))
    hidden = rng.normal(size=(len(labels), factors))
    rows = hidden @ loadings + centers[labels] + 0.1 * rng.normal(size=(len(labels), width))
    return rows.astype(np.float32), labels, hidden


def explained(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """R² of each column of y by ordinary least squares on x."""
    with_one = np.column_stack([np.ones(len(x)), x])
    weights = np.linalg.lstsq(with_one, y, rcond=None)[0]
    return 1 - (y - with_one @ weights).var(axis=0) / y.var(axis=0)


def tiny_model(rows: np.ndarray, **settings) -> BayesianGanModel:
    """A small new model for rows of two classes."""
    network = settings.pop("network", BayesianNetwork.disentangled(2))
    return new_bayesian_gan(rows, NAMES, network, **{**TINY, **settings})


def trainer(rows, labels, folder: Path | None = None, **settings) -> BayesianGanTrainer:
    """A trainer of a new small model; `arguments` are of the training, others of the model."""
    arguments = BayesianGanTrainingArguments(**{**QUICK, **settings.pop("arguments", {})})
    return BayesianGanTrainer(
        tiny_model(rows, **settings), rows, labels, arguments, output_dir=folder
    )


def dataset(counts: tuple[int, ...] = (12, 40)) -> Dataset:
    """Rows of `linear_gaussian` as a data set with the columns `label` and `embedding`."""
    rows, labels = linear_gaussian(counts)
    features = Features(
        {"label": ClassLabel(names=list(NAMES)), "embedding": List(Value("float32"), length=10)}
    )
    columns = {"label": labels.tolist(), "embedding": rows.tolist()}
    return Dataset.from_dict(columns, features=features)
