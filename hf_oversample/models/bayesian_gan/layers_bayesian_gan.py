"""The two players of the Bayesian-network GAN, as perceptrons or small convolutional networks."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from .configuration_bayesian_gan import BayesianGanConfig

SLOPE = 0.2
# log σ² of InfoGAN's Q(c | x): a code that is all but exact would make its bound grow for ever.
LOG_VARIANCE_LIMIT = 6.0


class DiscriminatorOutput(NamedTuple):
    """What a discriminator sees in n rows: `scores` `[n]` (None without classes), `codes`,
    `logits` of the classes, `noise` (z'), and `log_variances` `[codes]` of InfoGAN's Q(c | x)."""

    scores: Tensor | None
    codes: Tensor
    logits: Tensor
    noise: Tensor
    log_variances: Tensor

    def rows(self, part: slice) -> DiscriminatorOutput:
        """What was seen in some of the rows."""
        scores = None if self.scores is None else self.scores[part]
        parts = self.codes[part], self.logits[part], self.noise[part]
        return DiscriminatorOutput(scores, *parts, self.log_variances)

    def float(self) -> DiscriminatorOutput:
        """The same in float32."""
        scores = None if self.scores is None else self.scores.float()
        parts = self.codes.float(), self.logits.float(), self.noise.float()
        return DiscriminatorOutput(scores, *parts, self.log_variances.float())


class Generator(nn.Module):
    """G([z, c], class) → rows in the networks' units, `[n, input_size]`."""

    def __init__(self, config: BayesianGanConfig) -> None:
        super().__init__()
        self.num_labels = config.num_labels
        network = config.network or {}
        width = config.noise_size + len(network["observed"]) + config.num_labels
        self.body = _image_body(config, width) if config.kind == "image" else _body(config, width)

    def forward(self, noise: Tensor, observed: Tensor, labels: Tensor) -> Tensor:
        """Rows of z `[n, noise_size]`, c `[n, variables]` and class ids `[n]`."""
        one_hot = F.one_hot(labels, self.num_labels).to(noise.dtype)
        return self.body(torch.cat([noise, observed, one_hot], dim=1)).flatten(1)


def _body(config: BayesianGanConfig, width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(config.num_hidden_layers):
        layers += [nn.Linear(width, config.hidden_size), nn.LeakyReLU(SLOPE)]
        width = config.hidden_size
    return nn.Sequential(*layers, nn.Linear(width, config.input_size))


def _image_body(config: BayesianGanConfig, width: int) -> nn.Sequential:
    side, channels = config.image_side // 4, config.num_channels
    # GroupNorm, not BatchNorm: a row must not depend on the rows that are made beside it.
    return nn.Sequential(
        nn.Linear(width, 4 * channels * side * side),
        nn.Unflatten(1, (4 * channels, side, side)),
        nn.GroupNorm(1, 4 * channels),
        nn.ReLU(),
        nn.ConvTranspose2d(4 * channels, 2 * channels, 4, stride=2, padding=1),
        nn.GroupNorm(1, 2 * channels),
        nn.ReLU(),
        nn.ConvTranspose2d(2 * channels, 1, 4, stride=2, padding=1),
        nn.Tanh(),
    )


class Discriminator(nn.Module):
    """
    D and the feature extractor F, which share their body (section 3.1): F gives [z', c'] and the
    class's code; D's score is conditional on the class by projection (Miyato & Koyama, 2018).

    The heads of the codes have no spectral normalisation: it would bound the class's logits.
    """

    def __init__(self, config: BayesianGanConfig) -> None:
        super().__init__()
        norm = spectral_norm if config.spectral_norm else _unchanged
        network = config.network or {}
        self.num_labels = config.num_labels
        self.side = config.image_side if config.kind == "image" else 0
        width, layers = config.input_size, list[nn.Module]()
        if self.side:
            for before, after in ((1, 1), (1, 2)):
                inputs = 1 if not layers else before * config.num_channels
                outputs = after * config.num_channels
                layers += [norm(nn.Conv2d(inputs, outputs, 4, stride=2, padding=1))]
                layers += [nn.LeakyReLU(SLOPE)]
            layers += [nn.Flatten()]
            width = 2 * config.num_channels * (self.side // 4) ** 2
            hidden_layers = 1
        else:
            hidden_layers = config.num_hidden_layers
        for _ in range(hidden_layers):
            layers += [norm(nn.Linear(width, config.hidden_size)), nn.LeakyReLU(SLOPE)]
            width = config.hidden_size
        self.body = nn.Sequential(*layers)
        self.score = norm(nn.Linear(width, 1))
        self.class_projection = norm(nn.Linear(config.num_labels, width, bias=False))
        self.codes = nn.Sequential(
            nn.Linear(width, width), nn.LeakyReLU(SLOPE), nn.Linear(width, len(network["latent"]))
        )
        self.classes = nn.Linear(width, config.num_labels)
        self.noise = nn.Linear(width, config.noise_size)
        self.log_variances = nn.Parameter(torch.zeros(len(network["latent"])))

    def forward(self, rows: Tensor, labels: Tensor | None = None) -> DiscriminatorOutput:
        """What is seen in rows `[n, input_size]`, in the networks' units, of classes `[n]`."""
        if self.side:
            rows = rows.unflatten(1, (1, self.side, self.side))
        features = self.body(rows)
        scores = None
        if labels is not None:
            one_hot = F.one_hot(labels, self.num_labels).to(features.dtype)
            scores = self.score(features)[:, 0] + (features * self.class_projection(one_hot)).sum(1)
        limited = LOG_VARIANCE_LIMIT * (self.log_variances / LOG_VARIANCE_LIMIT).tanh()
        return DiscriminatorOutput(
            scores, self.codes(features), self.classes(features), self.noise(features), limited
        )


def _unchanged(module: nn.Module) -> nn.Module:
    return module
