"""What a classifier of the comparison is, and what a remedy asks it to train on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from torch import Tensor

from hf_oversample.comparison.fold import Fold, MadeVectors
from hf_oversample.comparison.scores import Scores
from hf_oversample.data.labeled_texts import Texts

LossOfRows = Callable[[Tensor, Tensor], Tensor]


@dataclass(eq=False)
class Training:
    """What a remedy asks a classifier to train on, and how.

    Attributes:
        made: texts that the remedy made, after the training part's own rows.
        made_vectors: embeddings that it made instead, for heads on embeddings.
        row_weights: `[n + m]`, batches are drawn in these proportions.
        class_weights: `[classes]` weights of the loss.
        loss: logits and labels → `[batch]` losses; default cross-entropy.
        deferred: share of the training after which the weights begin.
        mix_hidden: train on mixtures of hidden states (TMix).
        cosine_scale: the head's scores are cosines times this, as LDAM has them; default: a plain
            linear head.
        backbone: folder of the encoder to start from, in place of the classifier's own.
        real: the real rows; default those of the fold's training part, and no others pass.
    """

    made: Texts | None = None
    made_vectors: MadeVectors | None = None
    row_weights: np.ndarray | None = None
    class_weights: np.ndarray | None = None
    loss: LossOfRows | None = None
    deferred: float = 0.0
    mix_hidden: bool = False
    cosine_scale: float | None = None
    backbone: Path | None = None
    real: Texts | None = None

    def rows(self, fold: Fold) -> Texts:
        """All training texts, real ones first, once the fold's guard has passed them.

        Raises:
            LeakError: one is held out, or a real one is not of the training part.
        """
        real, made = self.real or fold.train, self.made or Texts([], np.empty(0, np.int64))
        texts = Texts(real.texts + made.texts, np.concatenate([real.labels, made.labels]))
        fold.check_training(texts.texts, len(made))
        if self.made_vectors is not None:
            fold.check_vectors(self.made_vectors)
        return texts

    @property
    def number_made(self) -> int:
        """Rows that were added."""
        vectors = 0 if self.made_vectors is None else len(self.made_vectors.labels)
        return vectors + (0 if self.made is None else len(self.made))


class Trained(ABC):
    """A classifier after training: its scores, and what its linear head reads and holds."""

    @abstractmethod
    def logits(self, part: str) -> np.ndarray:
        """Scores `[n, classes]` of "train", "validation" or "test" rows."""

    @abstractmethod
    def features(self, part: str) -> np.ndarray:
        """What the head reads of a part's rows: `[n, width]`."""

    @abstractmethod
    def head(self) -> tuple[np.ndarray, np.ndarray]:
        """The head's weights `[classes, width]` and biases `[classes]`."""


class Classifier(ABC):
    """A kind of classifier.

    Attributes:
        kind: its name among the classifiers.
        title: its name for people.
        is_network: whether it is trained in steps, so that losses, deferred schedules and mixtures
            apply.
        reads_vectors: whether it reads frozen embeddings, so that oversamplers of embeddings apply.
        has_backbone: whether it starts from a pretrained encoder, which a remedy may replace.
        shows_features: whether remedies change what its head reads.
    """

    kind: ClassVar[str]
    title: ClassVar[str]
    is_network: ClassVar[bool] = True
    reads_vectors: ClassVar[bool] = False
    has_backbone: ClassVar[bool] = False
    shows_features: ClassVar[bool] = True

    def needs(self, fold: Fold) -> str | None:
        """Why it cannot be trained on a fold; None if it can."""
        return None

    @abstractmethod
    def train(self, fold: Fold, training: Training, seed: int) -> Trained:
        """Train it on a fold's training part as a remedy asks.

        Raises:
            LeakError: the training rows hold a validation or test row.
        """

    def scores(self, fold: Fold, training: Training, seed: int) -> Scores:
        """Train it, and score the held-out parts."""
        trained = self.train(fold, training, seed)
        return self.scores_of(trained, training.number_made)

    def scores_of(self, trained: Trained, made: int = 0) -> Scores:
        """The held-out parts' scores by a trained classifier."""
        features = trained.features("test") if self.shows_features else None
        return Scores.of_logits(
            trained.logits("validation"), trained.logits("test"), features, made
        )
