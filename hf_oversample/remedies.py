"""A task that a classifier is trained on, and the rows that each remedy trains it on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hf_oversample import noise
from hf_oversample.edits import Neighbors, eda, neighbor_edit, word_neighbors
from hf_oversample.labeled_texts import Texts
from hf_oversample.neighbors import difficult_samples
from hf_oversample.text import Segmenter
from hf_oversample.training.classifier import word_vectors, word_vocabulary

REMEDIES = (
    "none",
    "class weights",
    "logit adjustment",
    "duplicates",
    "EDA edits",
    "synonym edits",
    "anchors",
    "anchors once + logit adjustment",
)
ADDS_TEXTS = ("EDA edits", "synonym edits", "anchors", "anchors once + logit adjustment")


@dataclass
class Task:
    """A split data set, and what the remedies need of it.

    Args:
        train, validation, test: the parts; validation chooses, test is reported.
        class_names: in the order of the class codes.
        segmenter: the language's.
        minority: the rare class of a binary task; None compares all classes.
        anchors: new texts of the rare classes, if there are any.
        embed: texts → `[n, d]` embeddings of a frozen encoder, for the linear head and for which
            test rows are difficult.
        encoder: a pretrained encoder and its tokenizer, for word vectors.
    """

    train: Texts
    validation: Texts
    test: Texts
    class_names: list[str]
    segmenter: Segmenter
    minority: int | None = 1
    anchors: Texts | None = None
    embed: Callable[[Sequence[str]], np.ndarray] | None = None
    encoder: tuple[PreTrainedModel, PreTrainedTokenizerBase] | None = None
    cache: dict[str, Any] = field(default_factory=dict)

    @property
    def counts(self) -> np.ndarray:
        """Training rows of each class: `[classes]`."""
        return np.bincount(self.train.labels, minlength=len(self.class_names))

    def embedded(self, part: str) -> np.ndarray:
        """Embeddings of a part ("train", "validation", "test", "anchors"), computed once."""
        if self.embed is None:
            raise ValueError("This task has no encoder to embed texts with.")
        key = f"embedded {part}"
        if key not in self.cache:
            self.cache[key] = self.embed(getattr(self, part).texts)
        return self.cache[key]

    def difficult_test_rows(self) -> np.ndarray | None:
        """Test rows with another class among their 5 nearest test rows, in the frozen encoder."""
        if self.embed is None:
            return None
        if "difficult" not in self.cache:
            mask = np.zeros(len(self.test), bool)
            targets = [self.minority] if self.minority is not None else None
            found = difficult_samples(
                self.embedded("test"), self.test.labels, k=5, minority=targets
            )
            mask[found.rows] = found.is_difficult
            self.cache["difficult"] = mask
        return self.cache["difficult"]


def _edited(task: Task, remedy: str, seed: int) -> Texts:
    """As many edits of rare rows as there are anchors (without, ten a row), each row as often."""
    counts = task.counts
    texts: list[str] = []
    labels: list[int] = []
    wanted = (
        np.bincount(task.anchors.labels, minlength=len(counts))
        if task.anchors is not None
        else np.where(counts < counts.max(), np.minimum(10 * counts, counts.max() - counts), 0)
    )
    neighbors = _neighbors(task) if remedy == "synonym edits" else None
    for label in np.flatnonzero(wanted):
        rows = np.flatnonzero(task.train.labels == label)
        for number in range(int(wanted[label])):
            row = int(rows[number % len(rows)])
            rng = noise.generator(seed, noise.stream("edit"), row, number // len(rows))
            text = task.train.texts[row]
            if neighbors is None:
                texts.append(eda(text, task.segmenter, rng))
            else:
                texts.append(neighbor_edit(text, task.segmenter, rng, neighbors))
            labels.append(int(label))
    return Texts(texts, np.asarray(labels, np.int64))


def _neighbors(task: Task) -> Neighbors:
    if task.encoder is None:
        raise ValueError("Synonym edits need a pretrained encoder's word table (task.encoder).")
    if "neighbors" not in task.cache:
        vocabulary = word_vocabulary(task.train.texts, task.segmenter)
        matrix = word_vectors(vocabulary, *task.encoder, scale=None).numpy()
        words = vocabulary.convert_ids_to_tokens(list(range(len(vocabulary))))
        task.cache["neighbors"] = word_neighbors(words, matrix, task.segmenter)
    return task.cache["neighbors"]


def training_rows(task: Task, remedy: str, seed: int) -> tuple[Texts, np.ndarray | None]:
    """
    Texts that a remedy trains on, and in what proportions their rows are drawn.

    Args:
        task: the data.
        remedy: among `REMEDIES`.
        seed: of the edits.

    Returns: the texts, the task's own first, and weights `[n]`; None: each row once a pass.
    """
    if remedy not in ADDS_TEXTS:
        if remedy != "duplicates":
            return task.train, None
        return task.train, (1 / task.counts)[task.train.labels]
    extra = task.anchors if remedy.startswith("anchors") else _edited(task, remedy, seed)
    if extra is None:
        raise ValueError(f"The remedy {remedy!r} adds anchors, but the task has none.")
    joined = Texts(
        task.train.texts + extra.texts, np.concatenate([task.train.labels, extra.labels])
    )
    if remedy.startswith("anchors once"):
        return joined, None
    # every class as often; of a class with new texts, half real rows and half new ones
    added = np.bincount(extra.labels, minlength=len(task.counts))
    share = np.where(added > 0, 0.5, 1.0)
    real = (share / np.maximum(task.counts, 1))[task.train.labels]
    new = (0.5 / np.maximum(added, 1))[extra.labels]
    return joined, np.concatenate([real, new])
