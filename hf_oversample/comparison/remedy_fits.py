"""How each remedy is trained: a fold, a classifier and a seed in, scores out.

The table of remedies, :mod:`hf_oversample.comparison.remedies`, names the functions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from hf_oversample.comparison import resampling
from hf_oversample.comparison.base import Classifier, LossOfRows, Trained, Training
from hf_oversample.comparison.fold import Fold
from hf_oversample.comparison.remedies import Fit
from hf_oversample.comparison.scores import Scores
from hf_oversample.metrics.thresholds import tuned_offsets
from hf_oversample.training.heads import head_logits, train_head
from hf_oversample.training.losses import (
    FocalLoss,
    LdamLoss,
    LogitAdjustedLoss,
    SelfAdjustingDiceLoss,
    balanced_class_weights,
    class_balanced_weights,
)

# What is deferred begins after two thirds of the training: AMO's protocol on text, 10 of 15 epochs.
DEFERRED = 2 / 3
LDAM_SCALE = 30.0
TAUS = np.round(np.arange(0.0, 2.01, 0.1), 1)
CONTROL_SEED = 7919  # the second plain model of an average differs from the first by its seed

# ---- the plain model, which several remedies start from -----------------------------------------


def plain_model(fold: Fold, classifier: Classifier, seed: int) -> Trained:
    """The classifier trained on the rows as they are; once a fold, classifier and seed."""
    return fold.cache.get(
        ("trained", classifier.kind, seed), lambda: classifier.train(fold, Training(), seed)
    )


def plain(fold: Fold, classifier: Classifier, seed: int) -> Scores:
    """No remedy."""
    return fold.cache.get(
        ("trained", classifier.kind, seed, "scores"),
        lambda: classifier.scores_of(plain_model(fold, classifier, seed)),
    )


def none(fold: Fold, classifier: Classifier, seed: int) -> Scores:
    """The plain model, and whether it was trained long enough to fit the rows it was given."""
    scores = plain(fold, classifier, seed)
    if not classifier.is_network:
        return scores
    model = plain_model(fold, classifier, seed)

    def train_recall() -> float:
        rare = fold.train.labels == fold.minority
        return float((model.logits("train").argmax(axis=1)[rare] == fold.minority).mean())

    return replace(scores, train_recall=train_recall)


def threshold_moving(fold: Fold, classifier: Classifier, seed: int) -> Scores:
    """The plain model with the threshold that has the best F1 on validation rows."""
    scores = plain(fold, classifier, seed)
    return scores.moved(tuned_offsets(fold.validation.labels, scores.validation, fold.minority))


def logit_adjustment(fold: Fold, classifier: Classifier, seed: int) -> Scores:
    """The plain model's probabilities over the class shares in training."""
    return plain(fold, classifier, seed).adjusted(fold.counts)


def retrained_head(fold: Fold, classifier: Classifier, seed: int) -> Scores:
    """The plain model's features, and a new linear head trained on class-balanced draws."""
    model = plain_model(fold, classifier, seed)
    head = train_head(
        model.features("train"),
        fold.train.labels,
        num_labels=len(fold.class_names),
        sampling="balanced",
        batch_size=64,
        seed=seed,
    )
    x = {part: model.features(part) for part in ("validation", "test")}
    logits = {part: head_logits(head, values) for part, values in x.items()}
    return Scores.of_logits(logits["validation"], logits["test"], x["test"])


def tau_normalised(fold: Fold, classifier: Classifier, seed: int) -> Scores:
    """The plain model's head with each class's weights over their norm to the power τ, without
    biases; the τ with the largest macro-F1 on validation rows, the smallest of equals."""
    model = plain_model(fold, classifier, seed)
    weight, _ = model.head()
    norms = np.linalg.norm(weight, axis=1, keepdims=True)
    x = {part: model.features(part) for part in ("validation", "test")}
    labels = fold.validation.labels

    def macro_f1(tau: float) -> float:
        predicted = (x["validation"] @ (weight / norms**tau).T).argmax(axis=1)
        hits = [(predicted == k) & (labels == k) for k in np.unique(labels)]
        sizes = [(predicted == k).sum() + (labels == k).sum() for k in np.unique(labels)]
        return float(np.mean([2 * h.sum() / n for h, n in zip(hits, sizes, strict=True)]))

    best = TAUS[int(np.argmax([macro_f1(float(tau)) for tau in TAUS]))]
    logits = {part: values @ (weight / norms**best).T for part, values in x.items()}
    return Scores.of_logits(logits["validation"], logits["test"], x["test"])


# ---- other trainings ----------------------------------------------------------------------------


def _trained(make: Callable[[Fold], Training]) -> Fit:
    return lambda fold, classifier, seed: classifier.scores(fold, make(fold), seed)


def _seeded(make: Callable[[Fold, int], Training]) -> Fit:
    return lambda fold, classifier, seed: classifier.scores(fold, make(fold, seed), seed)


def _with_loss(make: Callable[[list[int]], LossOfRows]) -> Fit:
    return _trained(lambda fold: Training(loss=make(fold.counts.tolist())))


def ldam_drw(fold: Fold) -> Training:
    """LDAM, and class weights by effective numbers from two thirds of the training on."""
    counts = fold.counts.tolist()
    # The authors' scale of 30 is in the head, which gives probabilities too: 30 (cos − Δ).
    loss = LdamLoss(counts, max_margin=0.5 * LDAM_SCALE, scale=1.0, reduction="none")
    return Training(
        loss=loss,
        class_weights=class_balanced_weights(counts),
        deferred=DEFERRED,
        cosine_scale=LDAM_SCALE,
    )


class_weights = _trained(
    lambda fold: Training(class_weights=balanced_class_weights(fold.counts.tolist()))
)
effective_number_weights = _trained(
    lambda fold: Training(class_weights=class_balanced_weights(fold.counts.tolist()))
)
focal_loss = _with_loss(lambda counts: FocalLoss(reduction="none"))
dice_loss = _with_loss(lambda counts: SelfAdjustingDiceLoss(reduction="none"))
logit_adjusted_loss = _with_loss(lambda counts: LogitAdjustedLoss(counts, reduction="none"))
ldam = _trained(ldam_drw)
deferred_resampling = _trained(
    lambda fold: Training(row_weights=resampling.balanced_rows(fold), deferred=DEFERRED)
)
mixed_hidden_states = _trained(lambda fold: Training(mix_hidden=True))
duplicates = _trained(resampling.duplicates)
eda_edits = _seeded(resampling.eda_edits)
emco = _seeded(resampling.emco)
synonym_edits = _seeded(resampling.synonym_edits)


def made_embeddings(fold: Fold, classifier: Classifier, seed: int, method: str) -> Scores:
    """Training with embeddings made by an oversampler, by its name among ``VECTOR_METHODS``."""
    return classifier.scores(fold, resampling.made_embeddings(method)(fold, seed), seed)


def miso_backbone(fold: Fold, classifier: Classifier, seed: int) -> Scores:
    """The classifier started from the encoder of the fold's generator."""
    assert fold.generator is not None
    return classifier.scores(fold, Training(backbone=fold.generator.backbone(fold)), seed)


# ---- combinations -------------------------------------------------------------------------------


def anchors(fold: Fold, classifier: Classifier, seed: int) -> Scores:
    """Half of each rare class's draws are anchors."""
    return fold.cache.get(
        ("trained", classifier.kind, seed, "anchors"),
        lambda: classifier.scores(fold, resampling.anchors(fold, seed), seed),
    )


def anchors_once_adjusted(fold: Fold, classifier: Classifier, seed: int) -> Scores:
    """Each anchor once a pass, and logit adjustment."""
    training = resampling.anchors_once(fold, seed)
    counts = np.bincount(training.rows(fold).labels, minlength=len(fold.class_names))
    return classifier.scores(fold, training, seed).adjusted(counts)


written = _seeded(resampling.written)


def written_once_adjusted(fold: Fold, classifier: Classifier, seed: int) -> Scores:
    """Each text of the language model once a pass, and logit adjustment."""
    training = resampling.written_once(fold, seed)
    counts = np.bincount(training.rows(fold).labels, minlength=len(fold.class_names))
    return classifier.scores(fold, training, seed).adjusted(counts)


def _anchors_once_with_loss(fold: Fold, seed: int) -> Training:
    training = resampling.anchors_once(fold, seed)
    counts = np.bincount(training.rows(fold).labels, minlength=len(fold.class_names))
    return replace(training, loss=LogitAdjustedLoss(counts.tolist(), reduction="none"))


anchors_once_with_loss = _seeded(_anchors_once_with_loss)


def plain_and_plain(fold: Fold, classifier: Classifier, seed: int) -> Scores:
    """The mean of two plain models."""
    other = plain(fold, classifier, seed + CONTROL_SEED)
    return plain(fold, classifier, seed).averaged(other)


def plain_and_anchors(fold: Fold, classifier: Classifier, seed: int) -> Scores:
    """The mean of a plain model and one with anchors."""
    return plain(fold, classifier, seed).averaged(anchors(fold, classifier, seed))
