"""MNIST made imbalanced, and the two classifiers of it in the table of the Bayesian-network GAN.

`LatentClassifier` ("DGC-like") is an end-to-end classifier after Wang et al. (2020): a variational
autoencoder whose latents are classified, with as many latents drawn for each class.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

Rows = tuple[np.ndarray, np.ndarray]


def read_mnist(folder: Path, split: str) -> Rows:
    """Pixels [n, 784] float32 in 0 … 1, and digits [n]."""
    with np.load(folder / f"{split}.npz") as data:
        x, y = data["x"], data["y"]
    return x.reshape(len(x), -1).astype(np.float32) / 255, y.astype(np.int64)


def thinned(x: np.ndarray, y: np.ndarray, digit: int, ratio: float, most: int, seed: int) -> Rows:
    """At most `most` rows a class, and of `digit` the largest class's rows ÷ ratio."""
    rng = np.random.default_rng(seed)
    rows = [rng.permutation(np.flatnonzero(y == c))[: most or None] for c in range(10)]
    rows[digit] = rows[digit][: max(2, round(max(map(len, rows)) / ratio))]
    chosen = rng.permutation(np.concatenate(rows))
    return x[chosen], y[chosen]


def convolutions() -> nn.Sequential:
    """The body of both classifiers: images → [n, 1568]."""
    return nn.Sequential(
        nn.Unflatten(1, (1, 28, 28)),
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
    )


class Cnn(nn.Module):
    """A plain small CNN."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(convolutions(), nn.Linear(1568, 128), nn.ReLU())
        self.head = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(self(x), y)


class LatentClassifier(nn.Module):
    """DGC-like: latents are drawn, classified and decoded; rows come with classes drawn evenly."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.body = nn.Sequential(convolutions(), nn.Linear(1568, 128), nn.ReLU())
        self.latent = nn.Linear(128, 2 * width)
        self.decoder = nn.Sequential(nn.Linear(width, 256), nn.ReLU(), nn.Linear(256, 784))
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.latent(self.body(x)).chunk(2, dim=1)[0])

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        mean, log_variance = self.latent(self.body(x)).chunk(2, dim=1)
        drawn = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        rebuilt = F.mse_loss(self.decoder(drawn).sigmoid(), x)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
        return F.cross_entropy(self.head(drawn), y) + rebuilt + 0.01 * divergence


def train_cnn(method: str, x: np.ndarray, y: np.ndarray, steps: int, seed: int) -> nn.Module:
    """Either classifier, by Adam at 0.001 with batches of 128."""
    torch.manual_seed(seed)
    model = LatentClassifier() if method == "DGC-like" else Cnn()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    rows, labels = torch.from_numpy(x), torch.from_numpy(y)
    counts = torch.bincount(labels, minlength=10).double()
    weights = 1 / counts[labels] if method == "DGC-like" else torch.ones(len(y)).double()
    for _ in range(steps):
        chosen = torch.multinomial(weights, 128, replacement=True)
        loss = model.loss(rows[chosen], labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


@torch.no_grad()
def predictions(model: nn.Module, x: np.ndarray) -> np.ndarray:
    """Classes of rows, 1000 at a time."""
    parts = torch.from_numpy(x).split(1000)
    return torch.cat([model(part).argmax(dim=1) for part in parts]).numpy()
