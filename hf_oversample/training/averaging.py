"""The mean of three models of one encoder: plainly fine-tuned, re-embedded, and frozen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import logsumexp
from transformers import PreTrainedTokenizerBase

from hf_oversample.data.labeled_texts import Texts
from hf_oversample.models.classifiers.averaged_encoders import (
    AveragedEncodersConfig,
    AveragedEncodersForSequenceClassification,
)
from hf_oversample.models.classifiers.pooled_encoder import PooledEncoderForSequenceClassification
from hf_oversample.training.reembedder import Reembedded, Reembedder
from hf_oversample.training.reembedding_heads import head_scores, rare_precision, text_vectors

MEMBERS = ("plain", "re-embedded", "frozen")
PLAIN_RATES = (5e-5, 1e-4)
"""Learning rates of the plain member, of which validation rows choose."""

NewReembedder = Callable[..., Reembedder]


@dataclass
class Averaged:
    """
    What `average` leaves.

    Args:
        model: the mean of the members.
        tokenizer: the encoder's.
        max_length: longest text in tokens.
        plain: the plain member alone.
        record: of each member its average precision of the rare classes on validation rows, and
            that of the mean; the rate of the plain member, and what each was worth.
    """

    model: AveragedEncodersForSequenceClassification
    tokenizer: PreTrainedTokenizerBase
    max_length: int
    plain: Reembedded
    record: dict[str, Any] = field(default_factory=dict)


def average(
    reembedded: Reembedded,
    new: NewReembedder,
    train: Texts,
    validation: Texts,
    *,
    rates: Sequence[float] = PLAIN_RATES,
) -> Averaged:
    """
    Fine-tune the encoder plainly too, and average it with the re-embedded and the frozen one.

    Each member's scores are standardised by validation rows, whose labels fit a factor and a term a
    class that make the mean log-odds again.

    Args:
        reembedded: the re-embedded member; the frozen one is what it began with.
        new: makes a `Reembedder` of the same encoder, with some arguments changed.
        train: the training rows.
        validation: rows that choose the plain member's rate, and give the scales.
        rates: of the plain member.

    Raises:
        FloatingPointError: plain training diverged at every rate.
        ValueError: no rates, or as `Reembedder.fit`.
    """
    if not rates:
        raise ValueError("rates is empty: the plain member needs a learning rate.")
    targets, found, failures = reembedded.targets, [], []
    for rate in rates:
        try:
            plain = new(objective="classification", learning_rate=rate).fit(train, validation)
        except FloatingPointError as error:
            failures.append(error)
            continue
        found.append((float(plain.record["validation_average_precision"]), rate, plain))
    if not found:
        raise failures[-1]
    _, rate, plain = max(found, key=lambda one: (one[0], -one[1]))
    encoded = reembedded.encode(validation.texts)
    states = [plain.model.state_dict(), reembedded.model.state_dict(), _frozen(reembedded)]
    config = reembedded.model.config
    shared: dict[str, Any] = {
        "encoder": config.get_encoder_config().to_dict(),
        "pooling": config.pooling,
        "pad_token_id": config.pad_token_id,
        "members": list(MEMBERS),
        "id2label": config.id2label,
        "label2id": config.label2id,
    }
    members = []
    for state in states:
        member = PooledEncoderForSequenceClassification(config)
        member.load_state_dict(state)
        members.append(member.eval().to(reembedded.model.device))
    scores = [head_scores(one, text_vectors(one, encoded)) for one in members]
    centred = [one - one.mean(axis=1, keepdims=True) for one in scores]
    centers = [one.mean(axis=0) for one in centred]
    spreads = [np.where(one.std(axis=0) > 0, one.std(axis=0), 1.0) for one in centred]
    mean = np.mean(
        [
            (one - center) / spread
            for one, center, spread in zip(centred, centers, spreads, strict=True)
        ],
        axis=0,
    )
    scale, bias = calibration(mean, validation.labels)
    model = AveragedEncodersForSequenceClassification(
        AveragedEncodersConfig(
            **shared,
            centers=[one.tolist() for one in centers],
            spreads=[one.tolist() for one in spreads],
            scale=scale,
            bias=bias.tolist(),
        )
    )
    for place, state in enumerate(states):
        model.members[place].load_state_dict(state)
    worth = {
        name: rare_precision(validation.labels, one, targets)
        for name, one in zip(MEMBERS, scores, strict=True)
    }
    record = {
        "members": list(MEMBERS),
        "plain_learning_rate": rate,
        "validation_of_rates": {str(one[1]): one[0] for one in found},
        "validation_of_members": worth,
        "validation_of_mean": rare_precision(validation.labels, mean, targets),
        "scale": scale,
        "bias": bias.tolist(),
    }
    return Averaged(
        model.eval().to(reembedded.model.device),
        reembedded.tokenizer,
        reembedded.max_length,
        plain,
        record,
    )


def _frozen(reembedded: Reembedded) -> dict[str, torch.Tensor]:
    """The weights before training, with the head of balanced logistic regression on them."""
    model = reembedded.model
    after = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(reembedded.before)
    model.set_head(*reembedded.frozen_head.tensors())
    state = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(after)
    return state


def calibration(scores: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """
    A factor and a term a class that make scores log-odds: Platt's scaling (1999) of several classes
    with one factor, by least cross-entropy, with Platt's targets, which no class has all of.

    Args:
        scores: `[n, classes]`.
        labels: `[n]`, class ids.

    Returns: the factor, above 0, and `[classes]` float64; a class without rows is as unlikely as
        one of `n + classes` rows.
    """
    n, classes = scores.shape
    wanted = np.full((n, classes), 1.0 / (n + classes))
    wanted[np.arange(n), labels] += 1.0 - classes / (n + classes)
    values = scores.astype(np.float64)

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        factor, bias = np.exp(parameters[0]), parameters[1:]
        logits = factor * values + bias
        log_p = logits - logsumexp(logits, axis=1, keepdims=True)
        # a trace of a penalty: adding a number to every term changes nothing
        value = -(wanted * log_p).sum() / n + 1e-6 * (bias**2).sum()
        error = (np.exp(log_p) - wanted) / n
        slope = np.concatenate([[factor * (error * values).sum()], error.sum(axis=0) + 2e-6 * bias])
        return float(value), slope

    found = minimize(loss, np.zeros(classes + 1), jac=True, method="L-BFGS-B")
    return float(np.exp(found.x[0])), found.x[1:]
