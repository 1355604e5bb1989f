"""Data, settings and classifiers of a small size, for AMO's tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from hf_oversample.training.heads import new_head

COUNTS = (400, 150, 40)
WIDTH = 8
QUICK: dict[str, Any] = {
    "hidden_size": 16,
    "epochs": 3,
    "head_options": {"min_steps": 250},
    "beta": 0.99,
    "step_size": 0.3,
}


def blobs(
    counts: tuple[int, ...] = COUNTS, width: int = WIDTH, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    centers = 2 * rng.normal(size=(len(counts), width))
    rows = centers[labels] + rng.normal(size=(len(labels), width))
    return rows.astype(np.float32), labels


def heads(hidden_size: int, width: int = WIDTH, seed: int = 0) -> tuple:
    return tuple(new_head(width, 3, hidden_size, seed=seed + part) for part in (0, 1))
