"""The mean of models of one encoder: plainly fine-tuned, otherwise fine-tuned, and frozen with a
head that reads n-grams too; or the last alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from hf_oversample.data.labeled_texts import Texts
from hf_oversample.models.classifiers.averaged import (
    AveragedConfig,
    AveragedForSequenceClassification,
)
from hf_oversample.models.classifiers.pooled_encoder import PooledEncoderForSequenceClassification
from hf_oversample.training.ngram_heads import LENGTH, solve_ngram_head, text_scores
from hf_oversample.training.reembedder import Reembedded, Reembedder
from hf_oversample.training.reembedding_heads import calibration, rare_precision

FROZEN = "frozen, with n-grams"
PLAIN = "plain"
MEMBERS = (PLAIN, "re-embedded", FROZEN)
PLAIN_RATES = (5e-5, 1e-4)
"""Learning rates of the plain member, of which validation rows choose."""

NewReembedder = Callable[..., Reembedder]


@dataclass
class Averaged:
    """
    What `average`, `plain_and_ngrams` and `frozen_alone` leave.

    Args:
        model: the mean of the members.
        tokenizer: the encoder's.
        max_length: longest text in tokens.
        plain: the plain member alone, where it was trained beside another; else None.
        frozen: the frozen member alone, whose head reads n-grams beside the vector.
        record: of each member its average precision of the rare classes on validation rows, and
            that of the mean; how the frozen member's head shares its penalty between vector and
            n-grams; and where `plain` is one, its rate, what each rate was worth, and its steps.
    """

    model: AveragedForSequenceClassification
    tokenizer: PreTrainedTokenizerBase
    max_length: int
    plain: Reembedded | None
    frozen: PooledEncoderForSequenceClassification
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

    The frozen one's head reads the text's n-grams beside its vector. Each member's scores are
    standardised by validation rows, whose labels fit a factor and a term a class that make the mean
    log-odds again.

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
    found, failures = [], []
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
    frozen, record = _frozen_with_ngrams(reembedded, train)
    members = (plain.model, reembedded.model, frozen)
    record |= {
        "plain_learning_rate": rate,
        "plain_steps": plain.record["steps"],
        "validation_of_rates": {str(one[1]): one[0] for one in found},
    }
    named = dict(zip(MEMBERS, members, strict=True))
    return _mean_of(named, reembedded, validation, plain, record)


def plain_and_ngrams(reembedded: Reembedded, train: Texts, validation: Texts) -> Averaged:
    """
    Average a plainly fine-tuned encoder with what it began with, whose head reads n-grams too.

    Args:
        reembedded: the plainly fine-tuned one.
        train: the training rows.
        validation: rows that give the scales.
    """
    frozen, record = _frozen_with_ngrams(reembedded, train)
    members = {PLAIN: reembedded.model, FROZEN: frozen}
    return _mean_of(members, reembedded, validation, None, record)


def frozen_alone(reembedded: Reembedded, train: Texts, validation: Texts) -> Averaged:
    """
    The frozen member as a classifier of its own, its scores made log-odds by validation rows: an
    encoder that nothing is trained of, and a head that reads n-grams beside its vector.

    Args:
        reembedded: what it began with is the encoder.
        train: the training rows.
        validation: rows that give the scale.
    """
    frozen, record = _frozen_with_ngrams(reembedded, train)
    return _mean_of({FROZEN: frozen}, reembedded, validation, None, record)


def _frozen_with_ngrams(
    reembedded: Reembedded, train: Texts
) -> tuple[PooledEncoderForSequenceClassification, dict[str, Any]]:
    """The encoder before training, with a head on vectors and n-grams; and what was chosen."""
    frozen = PooledEncoderForSequenceClassification(reembedded.model.config)
    frozen.load_state_dict(reembedded.before)
    frozen.eval().to(reembedded.model.device)
    head = solve_ngram_head(
        reembedded.frozen_vectors,
        reembedded.encode(train.texts),
        train.labels,
        classes=reembedded.model.config.num_labels,
        targets=reembedded.targets,
        seed=reembedded.seed,
    )
    return head.classifier(frozen), {"frozen_vector_scale": head.scale}


def _mean_of(
    members: dict[str, PooledEncoderForSequenceClassification],
    reembedded: Reembedded,
    validation: Texts,
    plain: Reembedded | None,
    record: dict[str, Any],
) -> Averaged:
    """The mean of members, on the scale that validation rows give."""
    config, targets = reembedded.model.config, reembedded.targets
    encoded = reembedded.encode(validation.texts)
    scores = [text_scores(one, encoded) for one in members.values()]
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
    model = AveragedForSequenceClassification(
        AveragedConfig(
            encoder=config.get_encoder_config().to_dict(),
            pooling=config.pooling,
            pad_token_id=config.pad_token_id,
            members=list(members),
            ngram_buckets=[one.config.ngram_buckets for one in members.values()],
            ngram_length=LENGTH,
            id2label=config.id2label,
            label2id=config.label2id,
            centers=[one.tolist() for one in centers],
            spreads=[one.tolist() for one in spreads],
            scale=scale,
            bias=bias.tolist(),
        )
    )
    for place, member in enumerate(members.values()):
        model.members[place].load_state_dict(member.state_dict())
    worth = {
        name: rare_precision(validation.labels, one, targets)
        for name, one in zip(members, scores, strict=True)
    }
    record = {
        "members": list(members),
        **record,
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
        members[FROZEN],
        record,
    )
