"""Remedies that train a pretrained encoder otherwise than plainly: re-embedding and its kin.

Each has what the plainly fine-tuned encoder has: its updates, its rates, of which validation rows
choose, its batches of 32 texts. :mod:`hf_oversample.comparison.remedies` names the functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.preprocessing import normalize

from hf_oversample.comparison.base import Classifier, Trained, Training
from hf_oversample.comparison.classifiers import FineTuned
from hf_oversample.comparison.fold import Fold
from hf_oversample.comparison.remedy_fits import plain_model
from hf_oversample.comparison.resampling import made_anchors
from hf_oversample.comparison.scores import Scores
from hf_oversample.data.labeled_texts import Texts
from hf_oversample.text.encoding import token_ids
from hf_oversample.training.classifier import ranking_score
from hf_oversample.training.ngram_heads import solve_ngram_head
from hf_oversample.training.reembedder import Reembedded, Reembedder
from hf_oversample.training.reembedding_arguments import ReembeddingArguments
from hf_oversample.training.reembedding_heads import calibrated_mean, solve_head

# the longest text of a fine-tuned encoder, `FineTuned`, too
_MAX_LENGTH = 128
HELD = ("validation", "test")

Logits = list[np.ndarray]


def _new(fold: Fold, classifier: Classifier, seed: int, **settings: Any) -> Reembedder:
    settings = {"objective": "contrastive"} | settings
    if isinstance(classifier, FineTuned):
        settings |= {
            "steps": classifier.steps,
            "batch_size": classifier.batch_size,
            "warmup_share": classifier.warmup,
        }
    return Reembedder(
        str(fold.encoder_name),
        class_names=fold.class_names,
        target_classes=fold.growing or None,
        arguments=ReembeddingArguments(max_length=_MAX_LENGTH, save_steps=0, seed=seed, **settings),
    )


def _frozen_vectors(fold: Fold, part: str) -> np.ndarray:
    """`[n, d]`, of length 1, of a part by the encoder as it is: the fold's embedder, which embeds a
    text once for all folds."""
    vectors: np.ndarray = normalize(fold.embedded(part))
    return vectors


def frozen_scores(fold: Fold, classifier: Classifier, seed: int) -> Logits:
    """Class scores of the held-out parts by balanced logistic regression on the frozen encoder,
    whose penalty cross-validation over training rows chooses."""

    def make() -> Logits:
        head = solve_head(
            _frozen_vectors(fold, "train"),
            fold.train.labels,
            classes=len(fold.class_names),
            targets=fold.growing or [fold.minority],
            seed=seed,
        )
        return [head.logits(_frozen_vectors(fold, part)) for part in HELD]

    return fold.cache.get(("trained", classifier.kind, seed, "frozen head"), make)


def _ngram_scores(fold: Fold, classifier: Classifier, seed: int) -> Logits:
    """The same of a head on the frozen encoder's vectors and on n-grams of its tokens."""

    def make() -> Logits:
        encoder = _new(fold, classifier, seed)

        def encoded(part: str) -> list[np.ndarray]:
            return token_ids(encoder.tokenizer, fold.part(part).texts, encoder.max_length)

        Training().rows(fold)  # the guard: no held-out text is trained on
        head = solve_ngram_head(
            _frozen_vectors(fold, "train"),
            encoded("train"),
            fold.train.labels,
            classes=len(fold.class_names),
            targets=fold.growing or [fold.minority],
            seed=seed,
        )
        return [head.logits(_frozen_vectors(fold, part), encoded(part)) for part in HELD]

    return fold.cache.get(("trained", classifier.kind, seed, "n-grams"), make)


def _fitted(
    fold: Fold,
    classifier: Classifier,
    seed: int,
    name: str,
    made: Callable[[], Texts] | None = None,
    **settings: Any,
) -> tuple[Logits, np.ndarray, int]:
    """Of the rate whose scores rank validation rows best: the held-out parts' scores, what the head
    reads of test rows, and how many texts were added. Trained once a fold, seed and name."""

    def make() -> tuple[Logits, np.ndarray, int]:
        assert isinstance(classifier, FineTuned)
        anchors = None if made is None else made()
        training = Training(made=anchors)
        training.rows(fold)  # the guard: no held-out text is trained on
        held = fold.validation if settings.get("interpolate") else None
        found: list[tuple[float, Logits, np.ndarray]] = []
        for rate in classifier.learning_rates:
            try:
                result: Reembedded = _new(
                    fold, classifier, seed, learning_rate=rate, **settings
                ).fit(
                    fold.train,
                    held,
                    anchors,
                    embeddings=_frozen_vectors(fold, "train"),
                )
            except FloatingPointError:
                if rate == classifier.learning_rates[-1] and not found:
                    raise
                continue  # the other rate's encoder is the answer
            scores = [result.logits(fold.part(part).texts) for part in HELD]
            told = softmax(scores[0].astype(np.float64), axis=1)
            value = ranking_score(fold.validation.labels, told, fold.minority)
            found.append((value, scores, result.embed(fold.test.texts)))
        _, logits, features = max(found, key=lambda one: one[0])
        return logits, features, training.number_made

    return fold.cache.get(("trained", classifier.kind, seed, name), make)


def _scores(found: tuple[Logits, np.ndarray, int]) -> Scores:
    (validation, test), features, made = found
    return Scores.of_logits(validation, test, features, made)


def _averaged(fold: Fold, *models: Logits) -> Scores:
    validation, test = calibrated_mean(fold.validation.labels, *models)
    return Scores.of_logits(validation, test)


def _plain_logits(fold: Fold, classifier: Classifier, seed: int) -> Logits:
    model: Trained = plain_model(fold, classifier, seed)
    return [model.logits(part) for part in HELD]


# ---- the remedies -------------------------------------------------------------------------------


def reembedding(fold: Fold, classifier: Classifier, seed: int) -> Scores:
    """Mined contrastive training, then balanced logistic regression."""
    return _scores(_fitted(fold, classifier, seed, "re-embedding"))


def with_anchors(fold: Fold, classifier: Classifier, seed: int) -> Scores:
    """The same with half of the rare texts of a batch made by the fold's generator."""
    made = _fitted(
        fold,
        classifier,
        seed,
        "re-embedding with anchors",
        lambda: fold.admit(made_anchors(fold, seed)),
    )
    return _scores(made)


def with_duplicates(fold: Fold, classifier: Classifier, seed: int) -> Scores:
    """The control of `with_anchors`: the rare training texts themselves in place of anchors."""

    def repeated() -> Texts:
        rows = np.flatnonzero(np.isin(fold.train.labels, fold.growing))
        return Texts([fold.train.texts[row] for row in rows], fold.train.labels[rows])

    return _scores(_fitted(fold, classifier, seed, "re-embedding with duplicates", repeated))


def joint(fold: Fold, classifier: Classifier, seed: int) -> Scores:
    """Cross-entropy and half of the contrastive loss."""
    return _scores(_fitted(fold, classifier, seed, "joint re-embedding", objective="joint"))


def _lp_ft(fold: Fold, classifier: Classifier, seed: int) -> tuple[Logits, np.ndarray, int]:
    return _fitted(fold, classifier, seed, "LP-FT", objective="classification", head_first=True)


def lp_ft(fold: Fold, classifier: Classifier, seed: int) -> Scores:
    """Cross-entropy from the head that the frozen encoder has."""
    return _scores(_lp_ft(fold, classifier, seed))


def interpolated(fold: Fold, classifier: Classifier, seed: int) -> Scores:
    """The mean of LP-FT's weights and the pretrained ones that ranks validation rows best."""
    found = _fitted(
        fold,
        classifier,
        seed,
        "interpolated LP-FT",
        objective="classification",
        head_first=True,
        interpolate=True,
    )
    return _scores(found)


def plain_and_frozen(fold: Fold, classifier: Classifier, seed: int) -> Scores:
    """The mean of the standardised scores of the plain model and of the frozen encoder."""
    plain = _plain_logits(fold, classifier, seed)
    return _averaged(fold, plain, frozen_scores(fold, classifier, seed))


def frozen_with_ngrams(fold: Fold, classifier: Classifier, seed: int) -> Scores:
    """Balanced logistic regression on the frozen encoder's vectors and on n-grams of its tokens:
    what `hf-oversample reembed --frozen` writes."""
    validation, test = _ngram_scores(fold, classifier, seed)
    return Scores.of_logits(validation, test)


def plain_and_ngrams(fold: Fold, classifier: Classifier, seed: int) -> Scores:
    """The mean of the standardised scores of the plain model and of the frozen encoder with
    n-grams: what `hf-oversample reembed` writes, but for the plain model's updates and rates."""
    plain = _plain_logits(fold, classifier, seed)
    return _averaged(fold, plain, _ngram_scores(fold, classifier, seed))


def reembedding_and_frozen(fold: Fold, classifier: Classifier, seed: int) -> Scores:
    """The mean of the standardised scores of re-embedding and of the frozen encoder."""
    own = _fitted(fold, classifier, seed, "re-embedding")[0]
    return _averaged(fold, own, frozen_scores(fold, classifier, seed))


def plain_and_reembedding(fold: Fold, classifier: Classifier, seed: int) -> Scores:
    """The mean of the standardised scores of the plain model and of re-embedding."""
    plain = _plain_logits(fold, classifier, seed)
    own = _fitted(fold, classifier, seed, "re-embedding")[0]
    return _averaged(fold, plain, own)


def all_three(fold: Fold, classifier: Classifier, seed: int) -> Scores:
    """The mean of the standardised scores of the plain model, re-embedding and the frozen encoder
    with n-grams: what `hf-oversample reembed --objective contrastive --average` writes, but for its
    plain member's passes, which are as many here as the others'."""
    plain = _plain_logits(fold, classifier, seed)
    own = _fitted(fold, classifier, seed, "re-embedding")[0]
    return _averaged(fold, plain, own, _ngram_scores(fold, classifier, seed))
