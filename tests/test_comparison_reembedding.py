"""Remedies that train an encoder otherwise: the rows, rates and updates of the plain one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hf_oversample.comparison import reembedding
from hf_oversample.comparison.classifiers import FineTuned
from hf_oversample.comparison.embedders import RememberedEmbeddings, pretrained_embedder
from hf_oversample.comparison.fold import Fold
from hf_oversample.comparison.miso import GivenAnchors
from hf_oversample.comparison.registry import classifier_named
from hf_oversample.comparison.remedies import CONTROL, REMEDIES
from hf_oversample.data.labeled_texts import Texts
from hf_oversample.text.encoding import token_ids
from hf_oversample.training.averaging import frozen_alone
from hf_oversample.training.ngram_heads import text_scores
from hf_oversample.training.reembedder import Reembedder
from hf_oversample.training.reembedding_arguments import ReembeddingArguments
from miso_fixtures import encoder_folder
from test_comparison_fold import make_fold

ALONE = ["re-embedding", "joint re-embedding", "LP-FT", "interpolated LP-FT"]
AVERAGES = [
    "plain + frozen",
    "re-embedding + frozen",
    "plain + re-embedding",
    "plain + frozen with n-grams",
    "plain + re-embedding + frozen with n-grams",
]


@pytest.fixture(scope="module")
def fold() -> Fold:
    encoder = str(encoder_folder())
    embed = RememberedEmbeddings(pretrained_embedder(encoder))
    return replace(make_fold((60, 20)), encoder_name=encoder, embed=embed)


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Reembedder, tuple[Any, ...]]]:
    """What was trained, with which rows."""
    found: list[tuple[Reembedder, tuple[Any, ...]]] = []
    fit = Reembedder.fit

    def observed(self: Reembedder, *rows: Any, **options: Any) -> Any:
        found.append((self, rows))
        return fit(self, *rows, **options)

    monkeypatch.setattr(Reembedder, "fit", observed)
    return found


@pytest.mark.parametrize("name", ALONE)
def test_each_has_the_updates_and_rates_of_the_plain_one(
    name: str, fold: Fold, fits: list[tuple[Reembedder, tuple[Any, ...]]]
) -> None:
    classifier = classifier_named("finetune", steps=4)
    scores = REMEDIES[name].fit(fold, classifier, 1)
    assert scores.test.shape == (len(fold.test), 2)
    np.testing.assert_allclose(scores.test.sum(axis=1), 1, rtol=1e-6)
    assert [one.arguments.learning_rate for one, _ in fits] == list(FineTuned.learning_rates)
    for one, (train, validation, anchors) in fits:
        assert one.arguments.steps == 4
        assert one.arguments.batch_size == FineTuned.batch_size
        assert one.arguments.seed == 1
        assert train is fold.train
        assert (validation is fold.validation) == (name == "interpolated LP-FT")
        assert anchors is None
    assert scores.features is not None
    assert len(scores.features) == len(fold.test)


def test_averages_train_nothing_anew_and_have_a_control(
    fold: Fold, fits: list[tuple[Reembedder, tuple[Any, ...]]]
) -> None:
    classifier = classifier_named("finetune", steps=3)
    found = {name: REMEDIES[name].fit(fold, classifier, 5).test for name in AVERAGES}
    assert len(fits) == 2  # re-embedding at two rates, once for all averages that read it
    own = REMEDIES["re-embedding"].fit(fold, classifier, 5).test
    assert len(fits) == 2
    plain = REMEDIES["none"].fit(fold, classifier, 5).test
    for name, scores in found.items():
        assert REMEDIES[name].control == CONTROL
        assert not np.allclose(scores, own)
        assert not np.allclose(scores, plain)
    frozen = reembedding.frozen_scores(fold, classifier, 5)[1]
    assert not np.allclose(found["plain + frozen"], frozen)
    assert not np.allclose(found["plain + frozen with n-grams"], found["plain + frozen"])


@pytest.mark.parametrize("kind", ["linear", "finetune"])
def test_a_frozen_encoder_with_ngrams_ranks_as_what_is_written(fold: Fold, kind: str) -> None:
    classifier = classifier_named(kind, steps=3)
    remedy = REMEDIES["frozen with n-grams"]
    assert remedy.refusal(fold, classifier) is None
    found = remedy.fit(fold, classifier, 2)
    encoder = Reembedder(
        encoder_folder(),
        class_names=fold.class_names,
        arguments=ReembeddingArguments(steps=0, save_steps=0, seed=2),
    )
    alone = frozen_alone(encoder.fit(fold.train), fold.train, fold.validation)
    encoded = token_ids(encoder.tokenizer, fold.test.texts, encoder.max_length)
    odds = np.diff(text_scores(alone.frozen, encoded))[:, 0]
    assert np.array_equal(np.argsort(odds), np.argsort(found.test[:, 1]))
    for other in ("textcnn", "mlp"):
        why = remedy.refusal(fold, classifier_named(other))
        assert why == "it reads a pretrained encoder (linear and finetune have one)"
    blank = replace(fold, encoder_name=None)
    assert remedy.refusal(blank, classifier_named("linear")) == "no pretrained encoder is named"


def test_anchors_and_their_control_are_positives(
    fold: Fold, fits: list[tuple[Reembedder, tuple[Any, ...]]]
) -> None:
    classifier = classifier_named("finetune", steps=2)
    held = fold.test.texts[0]
    made = Texts(["win a bonus", "claim it now", held], np.array([1, 1, 1]))
    with_made = replace(fold, generator=GivenAnchors(made))
    scores = REMEDIES["re-embedding with anchors"].fit(with_made, classifier, 0)
    assert scores.made == 2  # the held-out text is no anchor
    assert fits[0][1][2].texts == made.texts[:2]
    fits.clear()
    REMEDIES["re-embedding with duplicates"].fit(fold, classifier, 0)
    rare = [t for t, c in zip(fold.train.texts, fold.train.labels, strict=True) if c == 1]
    assert fits[0][1][2].texts == rare


def test_a_rate_that_diverges_leaves_the_answer_to_the_other(
    fold: Fold, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = classifier_named("finetune", steps=12)
    monkeypatch.setattr(FineTuned, "learning_rates", (2e-5, 1e30))
    assert np.isfinite(REMEDIES["LP-FT"].fit(fold, classifier, 7).test).all()
    monkeypatch.setattr(FineTuned, "learning_rates", (1e30,))
    with pytest.raises(FloatingPointError, match="training diverged"):
        REMEDIES["LP-FT"].fit(fold, classifier, 8)


def test_they_apply_to_fine_tuned_encoders_alone(fold: Fold) -> None:
    for name in [*ALONE, *AVERAGES, "re-embedding with duplicates"]:
        for kind in ("textcnn", "linear", "mlp"):
            refusal = REMEDIES[name].refusal(fold, classifier_named(kind))
            assert refusal == "it trains no pretrained encoder (finetune does)"
        assert REMEDIES[name].refusal(fold, classifier_named("finetune")) is None
