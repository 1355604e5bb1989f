"""Who says which class a text seems to be of: a linear model, and a vote of neighbours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from transformers import PreTrainedModel

from hf_oversample.neighbors.difficult import nearest_neighbors
from hf_oversample.numeric import noise
from hf_oversample.numeric.memory import work_in_batches
from hf_oversample.text.encoding import EncodedText, pad, token_budget_batches
from hf_oversample.training.classifier import ranking_score

NEIGHBORS_OF_VOTE = 5
FOLDS = 5
REGULARIZATIONS = (0.1, 1.0, 10.0, 100.0)
# padded tokens of a batch
TOKEN_BUDGET = 8192


class LinearJudge:
    """
    Balanced logistic regression on embeddings: the class that a text seems to be of, and how its
    words pull.

    Args:
        weights, bias: `[classes, d]` and `[classes]`; two classes have opposite rows.
    """

    def __init__(self, weights: np.ndarray, bias: np.ndarray):
        self.weights, self.bias = weights.astype(np.float32), bias.astype(np.float32)

    @classmethod
    def fit(
        cls,
        embeddings: np.ndarray,
        labels: np.ndarray,
        num_classes: int,
        regularization: float = 1.0,
    ) -> LinearJudge:
        """
        Fit it on embeddings `[n, d]` and labels `[n]`.

        Args:
            num_classes: classes without rows are never predicted.
            regularization: scikit-learn's C.
        """
        model = LogisticRegression(C=regularization, class_weight="balanced", max_iter=1000).fit(
            embeddings, labels
        )
        weights, bias = model.coef_, model.intercept_
        if len(model.classes_) == 2:
            weights, bias = (
                np.concatenate([-weights, weights]) / 2,
                np.concatenate([-bias, bias]) / 2,
            )
        full = np.zeros((num_classes, embeddings.shape[1]))
        shift = np.full(num_classes, -1e9)
        full[model.classes_], shift[model.classes_] = weights, bias
        return cls(full, shift)

    def logits(self, embeddings: np.ndarray) -> np.ndarray:
        """`[n, classes]` float32 of embeddings `[n, d]`, each row's independent of the others."""
        # one row at a time: a matrix product of another size may differ in the last bits
        logits = np.empty((len(embeddings), len(self.bias)), np.float32)
        for place, row in enumerate(embeddings):
            logits[place] = (self.weights * row).sum(1) + self.bias
        return logits

    def margin(self, embeddings: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """
        Logit of a class less the best other class's: positive where the class wins.

        Args:
            embeddings: `[n, d]`.
            labels: `[n]`, the classes.

        Returns: `[n]` float32; a row's margin does not depend on the others.
        """
        logits = self.logits(embeddings)
        rows = np.arange(len(logits))
        own = logits[rows, labels].copy()
        logits[rows, labels] = -np.inf
        return own - logits.max(1)

    @torch.no_grad()
    def word_pulls(
        self,
        encoder: PreTrainedModel,
        texts: Sequence[EncodedText],
        toward: np.ndarray,
        away: np.ndarray,
        *,
        padding: int,
    ) -> list[np.ndarray]:
        """
        How much each word of a text pulls to class `toward` from class `away`.

        The judge is linear in the mean of the token states, so its margin is, but for the scale of
        an embedding, a sum over tokens.

        Args:
            encoder: the model whose mean states the judge was fitted on.
            texts: n texts, encoded by its tokenizer.
            toward, away: `[n]`, classes.
            padding: id of the padding token.

        Returns: `[words]` per text.
        """
        direction = self.weights[toward] - self.weights[away]
        pulls = [np.zeros(len(text.spans)) for text in texts]

        def read(rows: np.ndarray, length: int) -> None:
            ids, mask = pad([texts[i].input_ids for i in rows], padding, encoder.device, length)
            states = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
            for i, state in zip(rows.tolist(), states.float().cpu().numpy(), strict=True):
                words = texts[i].word_index
                scores = (state[: len(words)] * direction[i]).sum(1)
                pulls[i] = np.zeros(len(texts[i].spans))
                np.add.at(pulls[i], words[words >= 0], scores[words >= 0])

        batches = token_budget_batches([len(text) for text in texts], TOKEN_BUDGET)
        work_in_batches(batches, read, what="weighing words of texts")
        return pulls


def out_of_fold_margins(
    embeddings: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    *,
    seed: int,
    folds: int = FOLDS,
    regularization: float = 1.0,
) -> np.ndarray:
    """
    Each row's margin by a judge that has not seen it: what unseen rows of its class can expect.

    Each class is spread over the folds; equal rows are held out together, or a copy would tell what
    its twin is. A class of fewer rows than folds is held out row by row, so that its judge learns
    from all its other rows.

    Args:
        embeddings: `[n, d]`.
        labels: `[n]`, the classes.
        num_classes: number of classes.
        seed: deals the rows out to the folds.
        folds: judges that are fitted, each on the rows of the others; at least 2.
        regularization: the judges' C.

    Returns: `[n]` float32; NaN where nothing can be said: no other row of the class, or of any
        other class, is left to learn from.
    """
    logits = _out_of_fold_logits(embeddings, labels, num_classes, seed, folds, regularization)
    rows = np.arange(len(labels))
    own = logits[rows, labels].copy()
    logits[rows, labels] = -np.inf
    return own - logits.max(1)


def _out_of_fold_logits(
    embeddings: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    seed: int,
    folds: int,
    regularization: float,
) -> np.ndarray:
    """`[n, classes]` float32; NaN in the rows of which nothing can be said."""
    fold = spread_over_folds(embeddings, labels, folds, seed)
    result = np.full((len(labels), num_classes), np.nan, np.float32)
    for number in range(folds):
        held, rest = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
        learnt = np.unique(labels[rest])
        held = held[np.isin(labels[held], learnt)]
        if len(held) and len(learnt) > 1:
            judge = LinearJudge.fit(embeddings[rest], labels[rest], num_classes, regularization)
            result[held] = judge.logits(embeddings[held])
    return result


def chosen_regularization(
    embeddings: np.ndarray, labels: np.ndarray, num_classes: int, *, seed: int, folds: int = FOLDS
) -> float:
    """
    The C of `REGULARIZATIONS` whose judges rank unseen rows best, as the frozen heads' is chosen
    (`training.classifier.linear_head`): by average precision out of fold, the mean over the
    classes (of two, the smaller one's), and among equals by cross-entropy.

    Args:
        embeddings, labels: `[n, d]` and `[n]`.
        num_classes: number of classes.
        seed: deals the rows out to the folds.
        folds: as for `out_of_fold_margins`.

    Returns: C; 1 where no class has rows that can be held out.
    """
    best, best_score = 1.0, (-1.0, 0.0)
    counts = np.bincount(labels, minlength=num_classes)
    present = np.flatnonzero(counts)
    minority = int(present[counts[present].argmin()])
    for strength in REGULARIZATIONS:
        logits = _out_of_fold_logits(embeddings, labels, num_classes, seed, folds, strength)
        known = np.isfinite(logits).all(axis=1)
        truth = labels[known]
        if len(np.unique(truth)) < 2:
            return best
        probabilities = softmax(logits[known].astype(np.float64), axis=1)
        likelihood = probabilities[np.arange(len(truth)), truth]
        entropy = -float(np.log(np.maximum(likelihood, np.finfo(float).tiny)).mean())
        precision = ranking_score(truth, probabilities[:, present], minority, present.tolist())
        if (precision, -entropy) > best_score:
            best, best_score = strength, (precision, -entropy)
    return best


def spread_over_folds(
    embeddings: np.ndarray, labels: np.ndarray, folds: int, seed: int
) -> np.ndarray:
    """The fold that each row is held out in `[n]`: each class is spread over the folds, and equal
    rows are held out together."""
    _, first, group = np.unique(embeddings, axis=0, return_index=True, return_inverse=True)
    shuffled = noise.generator(seed, noise.stream("folds")).permutation(len(first))
    by_class = shuffled[np.argsort(labels[first[shuffled]], kind="stable")]
    fold = np.empty(len(first), np.int64)
    fold[by_class] = np.arange(len(first)) % folds  # classes follow each other: folds are as large
    return fold[group.reshape(-1)]


def neighbor_majority(
    embeddings: np.ndarray,
    known: np.ndarray,
    labels: np.ndarray,
    excluded: Sequence[np.ndarray],
) -> np.ndarray:
    """
    The class that more than half of the 5 nearest known rows are of.

    Args:
        embeddings: `[n, d]`, of the texts to judge.
        known, labels: `[m, d]` and `[m]`, rows whose class is known.
        excluded: n arrays of rows that have no vote.

    Returns: `[n]`, classes; −1 where none has the majority.
    """
    most = max((len(rows) for rows in excluded), default=0)
    _, found = nearest_neighbors(embeddings, known, min(NEIGHBORS_OF_VOTE + most, len(known)))
    result = np.full(len(embeddings), -1, np.int64)
    for place, (nearest, without) in enumerate(zip(np.asarray(found), excluded, strict=True)):
        voters = nearest[~np.isin(nearest, without)][:NEIGHBORS_OF_VOTE]
        if len(voters):
            votes = np.bincount(labels[voters])
            if 2 * votes.max() > len(voters):
                result[place] = votes.argmax()
    return result
