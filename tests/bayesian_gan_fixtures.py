"""Data with known factors, for the tests of the Bayesian-network GAN."""

from __future__ import annotations

import numpy as np

from hf_oversample.bayesian_network import BayesianNetwork
from hf_oversample.models.bayesian_gan.modeling_bayesian_gan import BayesianGanModel
from hf_oversample.training.bayesian_gan import new_bayesian_gan

NAMES = ("rare", "common")
TINY = {"hidden_size": 16, "noise_size": 4, "num_hidden_layers": 1}


def linear_gaussian(
    counts: tuple[int, ...] = (80, 520), factors: int = 3, width: int = 10, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Rows that are linear in Gaussian factors, shifted by their class: [n, width], labels [n]."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    loadings = rng.normal(size=(factors, width))
    centers = 2 * rng.normal(size=(len(counts), width))
    hidden = rng.normal(size=(len(labels), factors))
    rows = hidden @ loadings + centers[labels] + 0.1 * rng.normal(size=(len(labels), width))
    return rows.astype(np.float32), labels


def tiny_model(rows: np.ndarray, **settings) -> BayesianGanModel:
    """A small new model for rows of two classes."""
    network = settings.pop("network", BayesianNetwork.disentangled(2))
    return new_bayesian_gan(rows, NAMES, network, **{**TINY, **settings})
