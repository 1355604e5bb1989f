"""The mean of a plain, a re-embedded and a frozen encoder, or the last: what it is made of; that it
loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import approx_fprime
from scipy.special import log_softmax
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from hf_oversample.models.classifiers.averaged import AveragedConfig
from hf_oversample.training.averaging import (
    FROZEN,
    MEMBERS,
    Averaged,
    average,
    frozen_alone,
)
from hf_oversample.training.ngram_heads import text_scores
from hf_oversample.training.reembedder import Reembedded
from hf_oversample.training.reembedding_files import save_classifier
from hf_oversample.training.reembedding_heads import averaged_scores, calibration, rare_precision
from reembedding_fixtures import reembedder, split

TRAIN, HELD = split((50, 24))


@pytest.fixture(scope="module")
def made() -> tuple[Reembedded, Averaged]:
    reembedded = reembedder().fit(TRAIN, HELD)
    return reembedded, average(reembedded, reembedder, TRAIN, HELD, rates=(1e-3, 1e-2))


def logits(model: Any, tokenizer: Any, texts: list[str]) -> np.ndarray:
    encoded = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        found: np.ndarray = model(encoded["input_ids"], encoded["attention_mask"]).logits.numpy()
    return found


def test_it_ranks_as_the_mean_of_its_members(made: tuple[Reembedded, Averaged]) -> None:
    reembedded, averaged = made
    own, plain = reembedded.logits(HELD.texts), averaged.plain.logits(HELD.texts)
    for name, value in averaged.frozen.encoder.state_dict().items():
        assert torch.equal(value, reembedded.before[f"encoder.{name}"]), name
    frozen = text_scores(averaged.frozen, reembedded.encode(HELD.texts))
    mean = averaged_scores([plain], [own], [frozen])[0]
    found = logits(averaged.model, averaged.tokenizer, HELD.texts)
    scale, bias = averaged.record["scale"], averaged.record["bias"]
    np.testing.assert_allclose(found, scale * mean + bias, atol=2e-3)
    # each of them is in it
    for part in (plain, own, frozen):
        assert not np.allclose(found - found.mean(0), part - part.mean(0), atol=1e-2)
    record = averaged.record
    assert record["members"] == list(MEMBERS)
    assert record["validation_of_mean"] == pytest.approx(rare_precision(HELD.labels, mean, [1]))
    best = max(record["validation_of_rates"].values())
    assert record["validation_of_rates"][str(record["plain_learning_rate"])] == best
    assert record["validation_of_members"]["plain"] == best


def test_it_loads_as_any_classifier(made: tuple[Reembedded, Averaged], tmp_path: Path) -> None:
    _, averaged = made
    save_classifier(averaged, tmp_path)
    assert not list(tmp_path.glob("*.bin"))
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert model.config.id2label == {0: "ham", 1: "spam"}
    again = logits(model.eval(), tokenizer, HELD.texts[:6])
    assert np.array_equal(again, logits(averaged.model, averaged.tokenizer, HELD.texts[:6]))
    # padding beside longer texts changes nothing
    alone = logits(model, tokenizer, HELD.texts[:1])
    np.testing.assert_allclose(again[:1], alone, atol=1e-4)


def test_a_frozen_encoder_with_ngrams_is_a_classifier_of_its_own(tmp_path: Path) -> None:
    reembedded = reembedder(steps=0).fit(TRAIN, HELD)
    alone = frozen_alone(reembedded, TRAIN, HELD)
    save_classifier(alone, tmp_path)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert model.config.members == [FROZEN]
    assert model.members[0].ngrams.weight.abs().max() > 0
    found = logits(model, AutoTokenizer.from_pretrained(tmp_path), HELD.texts)
    assert np.array_equal(found, logits(alone.model, alone.tokenizer, HELD.texts))
    scores = text_scores(alone.frozen, reembedded.encode(HELD.texts))
    assert rare_precision(HELD.labels, found, [1]) == pytest.approx(
        rare_precision(HELD.labels, scores, [1])
    )
    # what it says are chances: on the rows that gave the scale, as many as there are
    chance = np.exp(log_softmax(found, axis=1))[:, 1]
    assert chance.mean() == pytest.approx((HELD.labels == 1).mean(), abs=0.05)


def test_a_rate_that_diverges_leaves_the_answer_to_the_other() -> None:
    reembedded = reembedder().fit(TRAIN, HELD)
    averaged = average(reembedded, reembedder, TRAIN, HELD, rates=(1e30, 1e-3))
    assert averaged.record["plain_learning_rate"] == 1e-3
    with pytest.raises(FloatingPointError):
        average(reembedded, reembedder, TRAIN, HELD, rates=(1e30,))
    with pytest.raises(ValueError, match="rates is empty"):
        average(reembedded, reembedder, TRAIN, HELD, rates=())


def test_scores_are_log_odds_again() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random(4000) < 0.1).astype(int)
    log_odds = rng.normal(size=4000) + 3 * labels - 3.5
    scores = np.stack([-log_odds, log_odds], 1)
    scores = (scores - scores.mean(0)) / scores.std(0)  # what standardising forgets
    scale, bias = calibration(scores, labels)
    chance = np.exp(log_softmax(scale * scores + bias, axis=1))[:, 1]
    for low, high in ((0, 0.1), (0.1, 0.5), (0.5, 1)):
        within = (chance >= low) & (chance < high)
        assert chance[within].mean() == pytest.approx(labels[within].mean(), abs=0.06)

    def loss(parameters: np.ndarray) -> float:
        told = log_softmax(np.exp(parameters[0]) * scores + parameters[1:], axis=1)
        wanted = np.full(scores.shape, 1 / 4002)
        wanted[np.arange(4000), labels] = 4001 / 4002
        return float(-(wanted * told).sum() / 4000)

    slope = approx_fprime(np.array([np.log(scale), *bias]), loss, 1e-6)
    assert np.abs(slope).max() < 1e-3
    scale, bias = calibration(rng.normal(size=(5, 3)), np.array([0, 0, 1, 1, 0]))
    assert scale > 0  # a class without rows has no infinite term
    assert np.isfinite(bias).all()


def test_numbers_that_do_not_fit_are_refused() -> None:
    AveragedConfig(members=["a", "b"])
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({"centers": [[0.0, 0.0]]}, "centers must have a row of 2"),
        ({"spreads": [[1.0], [1.0]]}, "spreads must have"),
        ({"spreads": [[1.0, 0.0], [1.0, 1.0]]}, "a spread is not positive"),
        ({"bias": [0.0]}, "bias has 1 numbers for 2"),
        ({"ngram_buckets": [0]}, "ngram_buckets has 1 numbers for 2"),
    )
    for values, message in wrong:
        with pytest.raises(ValueError, match=message):
            AveragedConfig(members=["a", "b"], **values)
