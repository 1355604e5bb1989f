"""Does it help? Small classifiers trained with and without anchors, on the same budget of steps.

Every choice (the best step, the threshold) is made on validation texts; test texts are scored once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed

from hf_oversample.labeled_texts import Texts
from hf_oversample.metrics.classification import (
    average_precision_at,
    best_threshold,
    binary_report,
    multiclass_report,
)
from hf_oversample.models.classifiers.textcnn import (
    TextCnnConfig,
    TextCnnForSequenceClassification,
)
from hf_oversample.models.classifiers.textrnn import (
    TextRnnConfig,
    TextRnnForSequenceClassification,
)
from hf_oversample.neighbors import difficult_samples
from hf_oversample.remedies import REMEDIES, Task, training_rows
from hf_oversample.training.classifier import (
    encode_words,
    linear_head,
    predict,
    text_features,
    train_classifier,
    word_vectors,
    word_vocabulary,
)
from hf_oversample.training.losses import balanced_class_weights

__all__ = ["REMEDIES", "Classifier", "Task", "Texts", "compare", "new_classifier"]

Classifier = Literal["textcnn", "textrnn", "linear"]


def compare(
    task: Task,
    *,
    classifier: Classifier = "textcnn",
    pretrained_words: bool = False,
    remedies: Sequence[str] = REMEDIES,
    steps: int = 400,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Train one classifier per remedy and report each on the test part.

    Args:
        task: the data.
        classifier: "textcnn", "textrnn", or "linear" (logistic regression on frozen embeddings).
        pretrained_words: start the word vectors from the task's encoder instead of at random.
        remedies: among `REMEDIES`; those that add anchors need `task.anchors`.
        steps: updates of each training, the same for all.
        seed: of the weights, batches and edits.

    Returns: remedy → metrics, those of `binary_report` (at 0.5), `f1_tuned` (threshold from
        validation), `average_precision_at_train` (at the training part's prevalence) and
        `difficult_share`; for several classes those of `multiclass_report`.

    Raises:
        ValueError: for an unknown remedy or classifier, or anchors that are missing.
    """
    unknown = [remedy for remedy in remedies if remedy not in REMEDIES]
    if unknown:
        raise ValueError(f"Unknown remedies {unknown}; there are {list(REMEDIES)}.")
    wants_anchors = any(remedy.startswith("anchors") for remedy in remedies)
    if wants_anchors and (task.anchors is None or not len(task.anchors)):
        raise ValueError("Remedies with anchors were asked for, but the task has no anchors.")
    train = _linear if classifier == "linear" else _neural(classifier, pretrained_words, steps)
    results: dict[str, dict[str, float]] = {}
    trained: dict[str, _Scores] = {}
    for remedy in remedies:
        # logit adjustment is the plain model, its scores moved
        key = "none" if remedy == "logit adjustment" else remedy
        if key not in trained:
            trained[key] = train(task, key, seed)
        scores = trained[key]
        if remedy == "logit adjustment":
            scores = scores.adjusted(task.counts)
        elif remedy == "anchors once + logit adjustment":
            texts, _ = training_rows(task, remedy, seed)
            scores = scores.adjusted(np.bincount(texts.labels, minlength=len(task.class_names)))
        results[remedy] = _report(task, scores)
    return results


@dataclass
class _Scores:
    """Class probabilities of validation and test rows, and the test rows' features."""

    validation: np.ndarray
    test: np.ndarray
    features: np.ndarray | None

    def adjusted(self, counts: np.ndarray) -> _Scores:
        """Post-hoc logit adjustment (Menon et al., 2021): probabilities over class priors."""
        prior = np.maximum(counts, 1) / counts.sum()

        def adjust(probabilities: np.ndarray) -> np.ndarray:
            raised = probabilities / prior
            return raised / raised.sum(1, keepdims=True)

        return _Scores(adjust(self.validation), adjust(self.test), self.features)


def _report(task: Task, scores: _Scores) -> dict[str, float]:
    if task.minority is None:
        report = multiclass_report(task.test.labels, scores.test, task.class_names)
    else:
        truth = (task.test.labels == task.minority).astype(int)
        validation = (task.validation.labels == task.minority).astype(int)
        own, chosen = scores.test[:, task.minority], scores.validation[:, task.minority]
        report = binary_report(truth, own, difficult=task.difficult_test_rows())
        threshold = best_threshold(validation, chosen)
        report["f1_tuned"] = binary_report(truth, own, threshold=threshold)["f1"]
        prevalence = float(task.counts[task.minority] / task.counts.sum())
        report["average_precision_at_train"] = average_precision_at(truth, own, prevalence)
    if scores.features is not None:
        targets = [task.minority] if task.minority is not None else None
        found = difficult_samples(scores.features, task.test.labels, k=5, minority=targets)
        report["difficult_share"] = found.share()
    return {name: value for name, value in report.items() if isinstance(value, float)}


# ---- classifiers


def _neural(kind: str, pretrained_words: bool, steps: int) -> Callable[[Task, str, int], _Scores]:
    if kind not in ("textcnn", "textrnn"):
        raise ValueError(f"classifier is {kind!r}; it must be 'textcnn', 'textrnn' or 'linear'.")

    def train(task: Task, remedy: str, seed: int) -> _Scores:
        texts, weights = training_rows(task, remedy, seed)
        # one vocabulary for all remedies: that of the real rows
        if "vocabulary" not in task.cache:
            task.cache["vocabulary"] = word_vocabulary(task.train.texts, task.segmenter)
            for part in ("validation", "test"):
                task.cache[f"encoded {part}"] = encode_words(
                    task.cache["vocabulary"], getattr(task, part).texts, task.segmenter
                )
        vocabulary = task.cache["vocabulary"]
        set_seed(seed)
        model = new_classifier(kind, vocabulary, len(task.class_names), task, pretrained_words)
        encoded = encode_words(vocabulary, texts.texts, task.segmenter)
        train_classifier(
            model,
            encoded,
            texts.labels,
            steps=steps,
            row_weights=weights,
            class_weights=balanced_class_weights(task.counts.tolist())
            if remedy == "class weights"
            else None,
            validation=(task.cache["encoded validation"], task.validation.labels),
            eval_every=max(1, steps // 5),
            seed=seed,
        )
        return _Scores(
            predict(model, task.cache["encoded validation"]),
            predict(model, task.cache["encoded test"]),
            text_features(model, task.cache["encoded test"]),
        )

    return train


def new_classifier(
    kind: str,
    vocabulary: PreTrainedTokenizerBase,
    num_labels: int,
    task: Task,
    pretrained_words: bool,
) -> PreTrainedModel:
    """A TextCNN or TextRNN for a task, word vectors at random or from the task's encoder."""
    matrix: Tensor | None = None
    options: dict[str, Any] = {"vocab_size": len(vocabulary), "num_labels": num_labels}
    if pretrained_words:
        if task.encoder is None:
            raise ValueError("Pretrained word vectors need an encoder (task.encoder).")
        if "vectors" not in task.cache:
            task.cache["vectors"] = word_vectors(vocabulary, *task.encoder)
        matrix = task.cache["vectors"]
        options["embedding_size"] = matrix.shape[1]
    model: Any
    if kind == "textcnn":
        model = TextCnnForSequenceClassification(TextCnnConfig(**options))
    else:
        model = TextRnnForSequenceClassification(TextRnnConfig(**options))
    if matrix is not None:
        model.load_word_vectors(matrix)
    return model


def _linear(task: Task, remedy: str, seed: int) -> _Scores:
    """Logistic regression on frozen embeddings; copies and proportions become sample weights."""
    texts, weights = training_rows(task, remedy, seed)
    x = task.embedded("train")
    if len(texts) > len(task.train):
        key = "anchors" if remedy.startswith("anchors") else None
        new = task.embedded(key) if key else task.embed(texts.texts[len(x) :])  # type: ignore[misc]
        x = np.concatenate([x, new])
    if remedy == "class weights":
        weights = balanced_class_weights(task.counts.tolist())[texts.labels]
    head = linear_head(
        x,
        texts.labels,
        task.embedded("validation"),
        task.validation.labels,
        sample_weight=None if weights is None else weights / weights.mean(),
    )
    full = len(task.class_names)

    def probabilities(part: str) -> np.ndarray:
        result = np.zeros((len(getattr(task, part)), full))
        result[:, head.classes_] = head.predict_proba(task.embedded(part))
        return result

    return _Scores(probabilities("validation"), probabilities("test"), None)
