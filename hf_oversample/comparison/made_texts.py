"""What texts that a remedy made are like: copies, variety, and whether they are of their class."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from sklearn.linear_model import LogisticRegression

from hf_oversample.comparison.fold import Fold
from hf_oversample.data.labeled_texts import Texts
from hf_oversample.metrics.screening import screen_classes
from hf_oversample.metrics.texts import label_agreement, text_report
from hf_oversample.numeric import noise
from hf_oversample.training.classifier import linear_head

SAMPLE = 200
"""Rows that are looked at: variety falls with the number of texts, and is compared at one."""


@dataclass(frozen=True)
class MadeTexts:
    """What made texts are like.

    Attributes:
        metrics: by name.
        giveaways: what tells the texts of the class that is told best from real ones, the strongest
            first; empty where nothing can be said.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    giveaways: list[str] = field(default_factory=list)


def made_texts_of(fold: Fold, made: Texts, seed: int) -> MadeTexts:
    """`made_text_metrics` of at least one text, and whether it is told from real ones: with
    ``two_sample_auc`` (left out where there are too few rows) and ``unknown_words``, the share of
    texts with a word that no training text has (:mod:`hf_oversample.metrics.screening`)."""
    screen = screen_classes(
        fold.train.texts,
        fold.train.labels,
        made.texts,
        made.labels,
        fold.class_names,
        language=fold.segmenter.language,
        seed=seed,
    )
    found = made_text_metrics(fold, made, seed) | {"unknown_words": screen["unknown_words"]}
    told = [one for one in screen["classes"].values() if one["auc"] is not None]
    if not told:
        return MadeTexts(found)
    found["two_sample_auc"] = screen["auc"]
    return MadeTexts(found, max(told, key=lambda one: one["auc"])["giveaways"])


def made_text_metrics(fold: Fold, made: Texts, seed: int) -> dict[str, float]:
    """What made texts are like.

    Args:
        fold: its training part is what may be copied; its embedder serves the judge.
        made: at least one text.
        seed: of the sample.

    Returns:
        ``exact_copies``, ``near_copies``, ``distinct``, ``distinct_1``, ``distinct_2``,
        ``self_bleu`` (:func:`~hf_oversample.metrics.texts.text_report`) of a sample of them, and,
        where there is an embedder, ``label_agreement`` with their classes and
        ``label_agreement_real``, that of the validation rows of the same classes, if any, which
        also chose the judge's penalty. Their
        judge, logistic regression with balanced classes on the training part's embeddings, never
        saw a made text, but it did see their parents, and MISO's gate is such a judge of the same
        embeddings: an edit's agreement is high by construction, an anchor's more so, and only a low
        one tells something.
    """
    rows = noise.generator(seed, noise.stream("made texts")).permutation(len(made))[:SAMPLE]
    texts, labels = [made.texts[row] for row in rows.tolist()], made.labels[rows]
    found = text_report(texts, fold.train.texts, fold.segmenter.language)
    if fold.embed is not None:
        judge = fold.cache.get("judge of made texts", lambda: _judge(fold))
        told = judge.predict(fold.embedder()(texts))
        found["label_agreement"] = label_agreement(told, labels)["label_agreement"]
        real = np.isin(fold.validation.labels, labels)
        if real.any():  # a validation file may lack the classes that grow
            told = judge.predict(fold.embedded("validation")[real])
            agrees = label_agreement(told, fold.validation.labels[real])
            found["label_agreement_real"] = agrees["label_agreement"]
    return found


def _judge(fold: Fold) -> LogisticRegression:
    return linear_head(
        fold.embedded("train"),
        fold.train.labels,
        fold.embedded("validation"),
        fold.validation.labels,
        class_weight="balanced",
        minority=fold.minority,
    )
