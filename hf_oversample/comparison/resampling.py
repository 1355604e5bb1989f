"""Remedies that change the training rows: weights, edits, anchors, made embeddings."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import numpy as np
from datasets import Dataset

from hf_oversample.comparison.base import Training
from hf_oversample.comparison.classifiers import pretrained_word_vectors, training_vocabulary
from hf_oversample.comparison.fold import Fold, MadeVectors, matrix_digest
from hf_oversample.comparison.remedies import VECTOR_METHODS
from hf_oversample.data.labeled_texts import Texts
from hf_oversample.numeric import noise
from hf_oversample.oversamplers import OVERSAMPLERS
from hf_oversample.oversamplers.emco import EmcoOversampler
from hf_oversample.text.edits import Neighbors, eda, neighbor_edit, word_neighbors

EDITS_A_ROW = 10


def duplicates(fold: Fold) -> Training:
    """Rows of every class drawn equally often."""
    return Training(row_weights=balanced_rows(fold))


def balanced_rows(fold: Fold) -> np.ndarray:
    """Weights `[n]` of the training rows by which every class is drawn equally often."""
    return (1 / np.maximum(fold.counts, 1))[fold.train.labels]


def eda_edits(fold: Fold, seed: int) -> Training:
    """Easy data augmentation of the rare classes' texts (Wei and Zou 2019)."""
    return half_new(fold, eda_texts(fold, seed))


def eda_texts(fold: Fold, seed: int) -> Texts:
    """The edits of `eda_edits`."""
    return _edited(fold, seed, None)


def synonym_edits(fold: Fold, seed: int) -> Training:
    """Words of the rare classes' texts replaced by neighbours in the encoder's word table."""
    return half_new(fold, synonym_texts(fold, seed))


def synonym_texts(fold: Fold, seed: int) -> Texts:
    """The edits of `synonym_edits`."""

    def make() -> Neighbors:
        vocabulary = training_vocabulary(fold)
        words = vocabulary.convert_ids_to_tokens(list(range(len(vocabulary))))
        matrix = pretrained_word_vectors(fold, scale=None).numpy()
        return word_neighbors(words, matrix, fold.segmenter)

    return _edited(fold, seed, fold.cache.get("word neighbors", make))


def emco(fold: Fold, seed: int) -> Training:
    """Texts of Markov chains of words, partly learnt from the other classes (EMCO)."""
    return half_new(fold, emco_texts(fold, seed))


def emco_texts(fold: Fold, seed: int) -> Texts:
    """The texts of `emco`, as many as there are edits."""
    wanted, counts = _edits_wanted(fold), fold.counts
    oversampler = EmcoOversampler(
        sampling_strategy={int(k): int(counts[k] + wanted[k]) for k in np.flatnonzero(wanted)},
        seed=seed,
        language=fold.segmenter.language,
        user_dictionary=fold.segmenter.user_dictionary or None,
    )
    rows = {"text": fold.train.texts, "label": fold.train.labels}
    oversampler.fit(Dataset.from_dict(rows))
    labels = np.asarray(oversampler.label_values_)[oversampler.fitted_plan().label]
    return Texts(oversampler.texts_, labels.astype(np.int64))


def _edits_wanted(fold: Fold) -> np.ndarray:
    """`[classes]` new texts of each class: those asked for, or ten a row, to the largest class."""
    if fold.edits is not None:
        return fold.edits
    return np.minimum(EDITS_A_ROW * fold.counts, fold.counts.max() - fold.counts)


def _edited(fold: Fold, seed: int, neighbors: Neighbors | None) -> Texts:
    """Edits of rare rows, each row as often."""
    wanted = _edits_wanted(fold)
    texts: list[str] = []
    labels: list[int] = []
    for label in np.flatnonzero(wanted):
        rows = np.flatnonzero(fold.train.labels == label)
        for number in range(int(wanted[label])):
            row = int(rows[number % len(rows)])
            rng = noise.generator(seed, noise.stream("edit"), row, number // len(rows))
            text = fold.train.texts[row]
            if neighbors is None:
                new = eda(text, fold.segmenter, rng, protection=fold.protection)
            else:
                new = neighbor_edit(
                    text, fold.segmenter, rng, neighbors, protection=fold.protection
                )
            texts.append(new)
            labels.append(int(label))
    return Texts(texts, np.asarray(labels, np.int64))


def anchors(fold: Fold, seed: int) -> Training:
    """Anchors of the fold's MISO generator, half of each rare class's draws."""
    return half_new(fold, made_anchors(fold, seed))


def anchors_once(fold: Fold, seed: int) -> Training:
    """The same anchors and the real rows, each once a pass: no class is drawn more often."""
    return Training(made=fold.admit(made_anchors(fold, seed)))


def made_anchors(fold: Fold, seed: int) -> Texts:
    """The fold's anchors.

    Raises:
        ValueError: the fold has no generator, or no anchor came out of it.
    """
    if fold.generator is None:
        raise ValueError("this fold has no MISO generator to make anchors with")
    texts = fold.generator.anchors(fold, seed)
    if not len(texts):
        raise ValueError("the generator made no anchor that its gate let through")
    return texts


def written(fold: Fold, seed: int) -> Training:
    """Texts that a language model wrote, half of each rare class's draws."""
    return half_new(fold, written_texts(fold, seed))


def written_once(fold: Fold, seed: int) -> Training:
    """The same texts and the real rows, each once a pass: no class is drawn more often."""
    return Training(made=fold.admit(written_texts(fold, seed)))


def written_texts(fold: Fold, seed: int) -> Texts:
    """What the fold's language model writes.

    Raises:
        ValueError: the fold has none, or nothing that it wrote was let through.
    """
    if fold.writer is None:
        raise ValueError("this fold has no language model to write texts with")
    return fold.writer.anchors(fold, seed)


def half_new(fold: Fold, made: Texts) -> Training:
    """Every class drawn as often; of a class with new texts, half real rows and half new ones."""
    return half_of_each(fold, fold.admit(made))


def half_of_each(fold: Fold, made: Texts, weights: np.ndarray | None = None) -> Training:
    """The same of texts that the fold has admitted; `weights` `[m]` say in what proportions those
    of a class are drawn (default: alike)."""
    own = np.ones(len(made)) if weights is None else weights
    added = np.bincount(made.labels, own, minlength=len(fold.counts))
    share = np.where(added > 0, 0.5, 1.0)
    real = (share / np.maximum(fold.counts, 1))[fold.train.labels]
    new = own * 0.5 / added[made.labels]
    return Training(made=made, row_weights=np.concatenate([real, new]))


def made_embeddings(method: str) -> Callable[[Fold, int], Training]:
    """A remedy: embeddings made by one of `VECTOR_METHODS`, classes grown to the largest.

    The oversampler has its defaults, but for neighbours of methods that ask for more of them than
    the rarest class has rows.
    """

    def make(fold: Fold, seed: int) -> MadeVectors:
        module, _, name = OVERSAMPLERS[VECTOR_METHODS[method]].partition(":")
        kind = getattr(importlib.import_module(module), name)
        fewest = int(fold.counts[fold.counts > 0].min())
        usual = kind().get_params()
        options = {
            name: fewest - 1
            for name in ("k_neighbors", "n_neighbors")
            if usual.get(name, 0) >= fewest > 1
        }
        oversampler = kind(seed=seed, **options)
        x, y = fold.embedded("train"), fold.train.labels
        made, labels, _, parents = oversampler.fit_arrays(x, y).new_rows()
        return MadeVectors(made, labels.astype(np.int64), parents, matrix_digest(x, y))

    def train(fold: Fold, seed: int) -> Training:
        key = ("made embeddings", method, seed)
        return Training(made_vectors=fold.cache.get(key, lambda: make(fold, seed)))

    return train
