"""Heads on frozen embeddings: logistic regression, and a network of two layers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from hf_oversample.comparison.base import Classifier, Trained, Training
from hf_oversample.comparison.classifiers import best_rate
from hf_oversample.comparison.fold import Fold
from hf_oversample.models.classifiers.mlp import MlpForEmbeddingClassification
from hf_oversample.training.classifier import linear_head
from hf_oversample.training.heads import head_logits, new_head, train_head
from hf_oversample.training.hidden_states import MixedVectors, use_cosine_head

BATCH_SIZE = 64


class Head(Classifier):
    """What heads on frozen embeddings share: the training matrix."""

    reads_vectors = True
    has_backbone = True

    def needs(self, fold: Fold) -> str | None:
        return "there is no encoder to embed texts with" if fold.embed is None else None

    def _matrix(self, fold: Fold, training: Training) -> tuple[np.ndarray, np.ndarray]:
        """Vectors `[n + m, d]` and class ids of the real and the made rows."""
        rows = training.rows(fold)
        if training.real is None:
            vectors = fold.embedded("train", training.backbone)
        else:
            vectors = fold.embedder(training.backbone)(training.real.texts)
        labels = rows.labels
        if training.made is not None and len(training.made):
            made = fold.embedder(training.backbone)(training.made.texts)
            vectors = np.concatenate([vectors, made])
        if training.made_vectors is not None:
            vectors = np.concatenate([vectors, training.made_vectors.vectors])
            labels = np.concatenate([labels, training.made_vectors.labels])
        return vectors, labels


class _TrainedLinear(Trained):
    def __init__(self, weight: np.ndarray, bias: np.ndarray, embedded: dict[str, np.ndarray]):
        self.weight, self.bias, self.embedded = weight, bias, embedded

    def logits(self, part: str) -> np.ndarray:
        return self.embedded[part] @ self.weight.T + self.bias

    def features(self, part: str) -> np.ndarray:
        return self.embedded[part]

    def head(self) -> tuple[np.ndarray, np.ndarray]:
        return self.weight, self.bias


class Linear(Head):
    """Logistic regression by scikit-learn; the strength of its penalty comes from validation rows.

    Copies and proportions become weights of the rows. It is solved, not trained in steps: losses of
    other shapes and deferred schedules do not apply.
    """

    kind, title = "linear", "frozen encoder + logistic regression"
    is_network = False
    shows_features = False  # they are the frozen embeddings, whatever the remedy

    def __init__(self, steps: int = 0) -> None:
        """``steps`` is without effect."""

    def train(self, fold: Fold, training: Training, seed: int) -> Trained:
        vectors, labels = self._matrix(fold, training)
        weights = np.ones(len(labels))
        if training.row_weights is not None:
            weights = weights * training.row_weights
        if training.class_weights is not None:
            weights = weights * training.class_weights[labels]
        embedded = {p: fold.embedded(p, training.backbone) for p in ("validation", "test")}
        head = linear_head(
            vectors,
            labels,
            embedded["validation"],
            fold.validation.labels,
            sample_weight=weights / weights.mean(),
            minority=fold.minority,
        )
        weight, bias = head.coef_, head.intercept_
        if len(weight) == 1:  # two classes: one score, for the second
            weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
        # A class without training rows is never predicted.
        full = np.zeros((len(fold.class_names), vectors.shape[1]))
        floor = np.full(len(full), -1e4)
        full[head.classes_], floor[head.classes_] = weight, bias
        return _TrainedLinear(full, floor, embedded)


class _TrainedMlp(Trained):
    def __init__(
        self, model: MlpForEmbeddingClassification, embedded: Callable[[str], np.ndarray]
    ) -> None:
        self.model, self.embedded = model, embedded

    def logits(self, part: str) -> np.ndarray:
        return head_logits(self.model, self.embedded(part))

    def features(self, part: str) -> np.ndarray:
        with torch.no_grad():
            return self.model.features(torch.from_numpy(self.embedded(part))).numpy()

    def head(self) -> tuple[np.ndarray, np.ndarray]:
        layer = self.model.classifier
        bias = np.zeros(len(layer.weight)) if layer.bias is None else layer.bias.detach().numpy()
        return layer.weight.detach().numpy(), bias


class Mlp(Head):
    """Two layers with ReLU, trained for a fixed number of updates: those of 15 passes over the real
    rows, whatever a remedy adds to them. Validation rows choose among two learning rates.

    Embeddings are centred and scaled by the training part's mean and spread.

    Args:
        steps: fewest updates; few rows get more passes than 15 until there are so many.
        hidden_size: units of the hidden layer.
    """

    kind, title = "mlp", "frozen encoder + two layers"
    epochs = 15
    learning_rates = (1e-3, 3e-3)

    def __init__(self, steps: int = 400, hidden_size: int = 128) -> None:
        self.steps, self.hidden_size = steps, hidden_size

    def train(self, fold: Fold, training: Training, seed: int) -> Trained:
        vectors, labels = self._matrix(fold, training)

        def trained(rate: float) -> Trained:
            return self._trained(fold, training, vectors, labels, rate, seed)

        return best_rate(fold, self.learning_rates, trained)

    def _trained(
        self,
        fold: Fold,
        training: Training,
        vectors: np.ndarray,
        labels: np.ndarray,
        rate: float,
        seed: int,
    ) -> Trained:
        own = fold.embedded("train", training.backbone)
        center = own.mean(axis=0)
        spread = float(np.sqrt(np.square(own - center).mean())) or 1.0

        def scaled(values: np.ndarray) -> np.ndarray:
            return np.ascontiguousarray((values - center) / spread, np.float32)

        rows, loss = scaled(vectors), training.loss
        is_deferred = training.row_weights is not None and training.deferred > 0
        batches = None
        if training.mix_hidden or (training.row_weights is not None and not is_deferred):
            batches = MixedVectors(
                rows,
                labels,
                row_weights=training.row_weights,
                mix=training.mix_hidden,
                seed=seed,
            )
            loss = batches.loss if training.mix_hidden else loss
        updates = max(self.steps, self.epochs * -(-len(own) // BATCH_SIZE))
        epochs = max(1, round(updates / -(-len(rows) // BATCH_SIZE)))
        model = new_head(rows.shape[1], len(fold.class_names), self.hidden_size, seed)
        if training.cosine_scale is not None:
            use_cosine_head(model, training.cosine_scale)
        model = train_head(
            rows,
            labels,
            num_labels=len(fold.class_names),
            model=model,
            epochs=epochs,
            batch_size=BATCH_SIZE,
            learning_rate=rate,
            standardize=False,
            min_steps=0,
            loss=loss,
            class_weights=training.class_weights,
            # The only deferred row weights are those of DRS: every class as often.
            sampling="balanced" if is_deferred else "rows",
            deferred_start=round(training.deferred * epochs),
            collator=batches,
            seed=seed,
        )
        return _TrainedMlp(model, lambda part: scaled(fold.embedded(part, training.backbone)))
