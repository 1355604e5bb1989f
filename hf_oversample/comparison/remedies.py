"""Every remedy under one interface: a name, what it applies to, and fit on a fold → scores.

``REMEDIES[name].fit(fold, classifier, seed)`` trains on the fold's training part, chooses on its
validation part and gives the probabilities of both held-out parts. ``refusal(fold, classifier)``
says in words why it does not apply to a classifier; what does not apply is left out and said so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from hf_oversample.comparison import resampling
from hf_oversample.comparison.classifiers import Classifier, LossOfRows, Trained, Training
from hf_oversample.comparison.fold import Fold
from hf_oversample.comparison.scores import Scores, tuned_offsets
from hf_oversample.data.labeled_texts import Texts
from hf_oversample.oversamplers import OVERSAMPLERS
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
CONTROL = "plain + plain"
"""No remedy: what averaging alone does, for "plain + anchors" to be held against."""
CONTROL_SEED = 7919  # the second plain model of an average differs from the first by its seed

Fit = Callable[[Fold, Classifier, int], Scores]
Refuse = Callable[[Fold, Classifier], str | None]


def _always(fold: Fold, classifier: Classifier) -> str | None:
    return None


@dataclass(frozen=True)
class Remedy:
    """
    A remedy for a rare class.

    Attributes:
        name: as tables show it; a command line may write hyphens for spaces, in any case.
        fit: trains on a fold and gives the scores of its held-out parts.
        source: where it is from.
        refuse: why it does not apply to a classifier on a fold; None where it does.
        texts: the texts that it makes of a fold's, by the seed; None where it makes none.
    """

    name: str
    fit: Fit
    source: str
    refuse: Refuse = _always
    texts: Callable[[Fold, int], Texts] | None = None

    @property
    def needs_generator(self) -> bool:
        """Whether it uses a MISO generator of the fold's training rows."""
        return self.refuse in (_needs_anchors, _needs_anchors_and_steps, _needs_backbone)

    def refusal(self, fold: Fold, classifier: Classifier) -> str | None:
        """Why it cannot be compared, in words; None where it can."""
        return classifier.needs(fold) or self.refuse(fold, classifier)


REMEDIES: dict[str, Remedy] = {}
"""Remedies by name, in the order of tables."""


def remedy_named(name: str) -> Remedy:
    """The remedy of a name, which may have hyphens or underscores for spaces, in any case.

    Raises:
        ValueError: there is none; those that there are are listed.
    """
    for known, remedy in REMEDIES.items():
        if _key(known) == _key(name):
            return remedy
    raise ValueError(f"there is no remedy {name!r}; there are {', '.join(REMEDIES)}")


def _key(name: str) -> str:
    return " ".join(name.casefold().replace("-", " ").replace("_", " ").replace("+", " + ").split())


def add_remedy(
    name: str,
    source: str,
    fit: Fit,
    refuse: Refuse = _always,
    texts: Callable[[Fold, int], Texts] | None = None,
) -> None:
    """Register a remedy.

    Raises:
        ValueError: the name is taken.
    """
    if name in REMEDIES:
        raise ValueError(f"there is a remedy {name!r} already")
    REMEDIES[name] = Remedy(name, fit, source, refuse, texts)


# ---- what applies where -------------------------------------------------------------------------


def _networks_only(fold: Fold, classifier: Classifier) -> str | None:
    if classifier.is_network:
        return None
    return "it is solved, not trained in steps (the two-layer head, mlp, is)"


def _vectors_only(fold: Fold, classifier: Classifier) -> str | None:
    if classifier.reads_vectors:
        return None
    return "they make embeddings, and it reads words"


def _needs_encoder(fold: Fold, classifier: Classifier) -> str | None:
    return None if fold.encoder_name else "no pretrained encoder is named"


def _needs_anchors(fold: Fold, classifier: Classifier) -> str | None:
    return None if fold.generator is not None else "there is no MISO generator of these rows"


def _needs_anchors_and_steps(fold: Fold, classifier: Classifier) -> str | None:
    return _needs_anchors(fold, classifier) or _networks_only(fold, classifier)


def _needs_backbone(fold: Fold, classifier: Classifier) -> str | None:
    if fold.generator is None or not fold.generator.has_backbone:
        return "there is no MISO generator of these rows"
    if not classifier.has_backbone:
        return "it starts from no encoder"
    return None


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


def _nothing(fold: Fold, classifier: Classifier, seed: int) -> Scores:
    """The plain model, and whether it was trained long enough to fit the rows it was given."""
    scores = plain(fold, classifier, seed)
    if not classifier.is_network:
        return scores
    model = plain_model(fold, classifier, seed)

    def train_recall() -> float:
        rare = fold.train.labels == fold.minority
        return float((model.logits("train").argmax(axis=1)[rare] == fold.minority).mean())

    return replace(scores, train_recall=train_recall)


def _moved_threshold(fold: Fold, classifier: Classifier, seed: int) -> Scores:
    scores = plain(fold, classifier, seed)
    return scores.moved(tuned_offsets(fold.validation.labels, scores.validation, fold.minority))


def _logit_adjustment(fold: Fold, classifier: Classifier, seed: int) -> Scores:
    return plain(fold, classifier, seed).adjusted(fold.counts)


def _retrained_head(fold: Fold, classifier: Classifier, seed: int) -> Scores:
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


def _tau_normalised(fold: Fold, classifier: Classifier, seed: int) -> Scores:
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


def _deferred_resampling(fold: Fold) -> Training:
    return Training(row_weights=resampling.balanced_rows(fold), deferred=DEFERRED)


def _backbone(fold: Fold, classifier: Classifier, seed: int) -> Scores:
    assert fold.generator is not None
    return classifier.scores(fold, Training(backbone=fold.generator.backbone(fold)), seed)


# ---- combinations -------------------------------------------------------------------------------


def _anchor_scores(fold: Fold, classifier: Classifier, seed: int) -> Scores:
    return fold.cache.get(
        ("trained", classifier.kind, seed, "anchors"),
        lambda: classifier.scores(fold, resampling.anchors(fold, seed), seed),
    )


def _anchors_once_adjusted(fold: Fold, classifier: Classifier, seed: int) -> Scores:
    training = resampling.anchors_once(fold, seed)
    counts = np.bincount(training.rows(fold).labels, minlength=len(fold.class_names))
    return classifier.scores(fold, training, seed).adjusted(counts)


def _anchors_once_with_loss(fold: Fold, seed: int) -> Training:
    training = resampling.anchors_once(fold, seed)
    counts = np.bincount(training.rows(fold).labels, minlength=len(fold.class_names))
    return replace(training, loss=LogitAdjustedLoss(counts.tolist(), reduction="none"))


def _plain_and_plain(fold: Fold, classifier: Classifier, seed: int) -> Scores:
    other = plain(fold, classifier, seed + CONTROL_SEED)
    return plain(fold, classifier, seed).averaged(other)


def _plain_and_anchors(fold: Fold, classifier: Classifier, seed: int) -> Scores:
    return plain(fold, classifier, seed).averaged(_anchor_scores(fold, classifier, seed))


add_remedy("none", "the classifier on the rows as they are", _nothing)
add_remedy("threshold moving", "threshold with the best F1 on validation", _moved_threshold)
add_remedy("logit adjustment", "Menon et al. 2021, equation 9", _logit_adjustment)
add_remedy(
    "class weights",
    'n / (classes · n_k), scikit-learn\'s "balanced"; in networks the weighted mean over a batch, '
    "as PyTorch's cross-entropy has it: batches without the rare class count in full",
    _trained(lambda fold: Training(class_weights=balanced_class_weights(fold.counts.tolist()))),
)
add_remedy(
    "effective number weights",
    "Cui et al. 2019, β 0.9999",
    _trained(lambda fold: Training(class_weights=class_balanced_weights(fold.counts.tolist()))),
)
add_remedy(
    "focal loss",
    "Lin et al. 2017, γ 2",
    _with_loss(lambda counts: FocalLoss(reduction="none")),
    _networks_only,
)
add_remedy(
    "dice loss",
    "Li et al. 2020, section 3.4, α 0.01",
    _with_loss(lambda counts: SelfAdjustingDiceLoss(reduction="none")),
    _networks_only,
)
add_remedy(
    "logit-adjusted loss",
    "Menon et al. 2021, equation 10",
    _with_loss(lambda counts: LogitAdjustedLoss(counts, reduction="none")),
    _networks_only,
)
add_remedy("LDAM-DRW", "Cao et al. 2019, Algorithm 1", _trained(ldam_drw), _networks_only)
add_remedy("DRS", "Cao et al. 2019, section 4", _trained(_deferred_resampling), _networks_only)
add_remedy("cRT", "Kang et al. 2020, section 4", _retrained_head, _networks_only)
add_remedy("tau normalisation", "Kang et al. 2020, section 4", _tau_normalised, _networks_only)
add_remedy(
    "TMix",
    "Chen et al. 2020, section 3.1",
    _trained(lambda fold: Training(mix_hidden=True)),
    _networks_only,
)
add_remedy("duplicates", "random oversampling", _trained(resampling.duplicates))
add_remedy(
    "EDA edits",
    "Wei and Zou 2019 without synonyms: words swapped, left out or put elsewhere",
    _seeded(resampling.eda_edits),
    texts=resampling.eda_texts,
)
add_remedy(
    "synonym edits",
    "neighbours in a word table",
    _seeded(resampling.synonym_edits),
    _needs_encoder,
    resampling.synonym_texts,
)
for _method, _class in resampling.VECTOR_METHODS.items():
    if _class in OVERSAMPLERS:
        _fit = _seeded(resampling.made_embeddings(_method))
        add_remedy(_method, "this library", _fit, _vectors_only)
add_remedy("anchors", "MISO", _anchor_scores, _needs_anchors, resampling.made_anchors)
add_remedy("MISO backbone", "the generator's encoder", _backbone, _needs_backbone)
add_remedy(
    "anchors once + logit adjustment", "a combination", _anchors_once_adjusted, _needs_anchors
)
add_remedy(
    "anchors once + logit-adjusted loss",
    "a combination",
    _seeded(_anchors_once_with_loss),
    _needs_anchors_and_steps,
)
add_remedy("plain + anchors", "mean of two models", _plain_and_anchors, _needs_anchors)
add_remedy(CONTROL, "control: mean of two plain models", _plain_and_plain, _networks_only)
