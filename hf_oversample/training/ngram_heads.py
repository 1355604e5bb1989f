"""Linear heads that read a text's n-grams beside its vector: solved, and chosen."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from hf_oversample.models.classifiers.ngrams import NgramScores
from hf_oversample.models.classifiers.pooled_encoder import (
    PooledEncoderConfig,
    PooledEncoderForSequenceClassification,
)
from hf_oversample.training.reembedding_heads import (
    FOLDS,
    head_scores,
    of_all_classes,
    rare_precision,
    text_vectors,
)

BUCKETS, LENGTH = 2**18, 3
SCALES = (0.25, 0.5, 1.0)
"""Lengths of a text's vector where its n-grams have length 1, of which cross-validation chooses."""
PENALTY = 100.0
"""C, the inverse strength of the penalty: what is chosen is how it is shared."""
_BLOCK = 2048


@dataclass(frozen=True)
class NgramHead:
    """
    A linear head on a text's vector and its n-grams.

    Args:
        weight: `[classes, d]`, of vectors of length 1.
        bias: `[classes]`.
        ngram_weight: `[buckets, classes]`.
        idf: `[buckets]`, ln((1 + n) / (1 + texts with it)) + 1 of the training texts.
        scale: of :data:`SCALES`.
        left_out: `[n, classes]` scores of the training rows, each by a head of other folds; None
            where a class has a single row.
    """

    weight: np.ndarray
    bias: np.ndarray
    ngram_weight: np.ndarray
    idf: np.ndarray
    scale: float
    left_out: np.ndarray | None

    def logits(self, vectors: np.ndarray, encoded: Sequence[np.ndarray]) -> np.ndarray:
        """Class scores `[n, classes]` of texts by their vectors `[n, d]` and token ids."""
        ngrams = NgramScores(len(self.idf), LENGTH, len(self.bias))
        ngrams.idf.copy_(torch.from_numpy(self.idf))
        of_ngrams = ngram_matrix(encoded, ngrams) @ self.ngram_weight
        scores: np.ndarray = vectors.astype(np.float64) @ self.weight.T + of_ngrams + self.bias
        return scores

    def classifier(
        self, model: PooledEncoderForSequenceClassification
    ) -> PooledEncoderForSequenceClassification:
        """A copy of a model, in evaluation mode, that has this head in place of its own."""
        settings = model.config.to_dict() | {
            "ngram_buckets": len(self.idf),
            "ngram_length": LENGTH,
        }
        own = PooledEncoderForSequenceClassification(PooledEncoderConfig(**settings))
        own.encoder.load_state_dict(model.encoder.state_dict())
        own.set_head(torch.from_numpy(self.weight).float(), torch.from_numpy(self.bias).float())
        assert own.ngrams is not None
        with torch.no_grad():
            own.ngrams.weight.copy_(torch.from_numpy(self.ngram_weight))
            own.ngrams.idf.copy_(torch.from_numpy(self.idf))
        return own.eval().to(model.device)


def ngram_matrix(encoded: Sequence[np.ndarray], ngrams: NgramScores) -> sparse.csr_matrix:
    """The n-grams of texts as token ids: `[n, buckets]` float32, rows of length 1."""
    blocks = []
    for start in range(0, len(encoded), _BLOCK):
        block = encoded[start : start + _BLOCK]
        with torch.no_grad():
            rows, buckets, values = ngrams.features(*_padded(block))
        shape = (len(block), ngrams.buckets)
        blocks.append(sparse.csr_matrix((values, (rows, buckets)), shape=shape))
    return sparse.csr_matrix(sparse.vstack(blocks))


def _padded(encoded: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(one) for one in encoded], True)
    lengths = torch.tensor([len(one) for one in encoded])
    return ids, (torch.arange(ids.shape[1]) < lengths[:, None]).long()


def text_scores(
    model: PooledEncoderForSequenceClassification, encoded: Sequence[np.ndarray]
) -> np.ndarray:
    """Class scores `[n, classes]` of n texts as token ids, each whatever the others are."""
    scores = head_scores(model, text_vectors(model, encoded))
    if model.ngrams is not None:
        parts = []
        for start in range(0, len(encoded), _BLOCK):
            ids, mask = _padded(encoded[start : start + _BLOCK])
            with torch.no_grad():
                parts.append(model.ngrams(ids.to(model.device), mask.to(model.device)).cpu())
        scores = scores + torch.cat(parts).numpy()
    return scores


def solve_ngram_head(
    vectors: np.ndarray,
    encoded: Sequence[np.ndarray],
    labels: np.ndarray,
    *,
    classes: int,
    targets: Sequence[int],
    seed: int = 0,
    buckets: int = BUCKETS,
) -> NgramHead:
    """
    Balanced logistic regression on a text's vector and its n-grams, side by side.

    The penalty of both is one, so that the length of the vectors, where n-grams have length 1, says
    how it is shared: that with the largest average precision of the rare classes over rows that
    were left out.

    Args:
        vectors: `[n, d]`, of length 1.
        encoded: token ids of the same texts.
        labels: `[n]` class ids, of two classes at least.
        classes: how many there are, with those that have no rows.
        targets: the rare ones.
        seed: of the folds.
        buckets: of n-grams, a power of two.
    """
    ngrams = NgramScores(buckets, LENGTH, classes)
    texts_with = np.asarray((ngram_matrix(encoded, ngrams) > 0).sum(axis=0)).ravel()
    idf = np.log((1 + len(labels)) / (1 + texts_with)) + 1
    ngrams.idf.copy_(torch.from_numpy(idf))
    used = np.flatnonzero(texts_with)
    read = ngram_matrix(encoded, ngrams)[:, used]
    counts = np.bincount(labels, minlength=classes)
    folds = min(FOLDS, int(counts[counts > 0].min()))
    scale, found = SCALES[len(SCALES) // 2], dict[float, tuple[float, np.ndarray]]()
    if folds > 1:
        cut = StratifiedKFold(folds, shuffle=True, random_state=seed)
        parts = list(cut.split(vectors, labels))
        for value in SCALES:
            both, left_out = _beside(value, vectors, read), np.zeros((len(labels), classes))
            for train, held in parts:
                weight, bias = _solved(both[train], labels[train], classes)
                left_out[held] = both[held] @ weight.T + bias
            found[value] = (rare_precision(labels, left_out, targets), left_out)
        scale = max(found, key=lambda value: found[value][0])
    weight, bias = _solved(_beside(scale, vectors, read), labels, classes)
    width = vectors.shape[1]
    of_ngrams = np.zeros((buckets, classes), np.float32)
    of_ngrams[used] = weight[:, width:].T
    return NgramHead(
        weight[:, :width] * scale,
        bias,
        of_ngrams,
        idf.astype(np.float32),
        scale,
        found[scale][1] if found else None,
    )


def _beside(scale: float, vectors: np.ndarray, ngrams: sparse.csr_matrix) -> sparse.csr_matrix:
    return sparse.csr_matrix(sparse.hstack([scale * vectors.astype(np.float64), ngrams]))


def _solved(
    rows: sparse.csr_matrix, labels: np.ndarray, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    solver = LogisticRegression(C=PENALTY, class_weight="balanced", max_iter=1000, tol=1e-3)
    with warnings.catch_warnings():
        # what is not quite converged ranks as what is
        warnings.simplefilter("ignore", ConvergenceWarning)
        solver.fit(rows, labels)
    return of_all_classes(solver, classes)
