"""Who says which class a text seems to be of: a linear model, and a vote of neighbours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from transformers import PreTrainedModel

from hf_oversample.neighbors.difficult import nearest_neighbors
from hf_oversample.text.encoding import EncodedText, pad, token_budget_batches

NEIGHBORS_OF_VOTE = 5
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

    def margin(self, embeddings: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """
        Logit of a class less the best other class's: positive where the class wins.

        Args:
            embeddings: `[n, d]`.
            labels: `[n]`, the classes.

        Returns: `[n]` float32; a row's margin does not depend on the others.
        """
        # one row at a time: a matrix product of another size may differ in the last bits
        logits = np.empty((len(embeddings), len(self.bias)), np.float32)
        for place, row in enumerate(embeddings):
            logits[place] = (self.weights * row).sum(1) + self.bias
        rows = np.arange(len(logits))
        own = logits[rows, labels].copy()
        logits[rows, labels] = -np.inf
        return own - logits.max(1)

    def least_margins(
        self, embeddings: np.ndarray, labels: np.ndarray, quantile: float
    ) -> np.ndarray:
        """
        The margin that a text of each class needs to seem as much of it as real rows do.

        Args:
            embeddings: `[n, d]`, real rows.
            labels: `[n]`, theirs.
            quantile: from 0 to 1, of the margins of a class's rows.

        Returns: `[classes]` float32, at least 0; 0 for a class without rows.
        """
        result = np.zeros(len(self.bias), np.float32)
        for label in np.unique(labels):
            rows = np.flatnonzero(labels == label)
            margins = self.margin(embeddings[rows], labels[rows])
            result[label] = max(0.0, float(np.quantile(margins, quantile)))
        return result

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
        for rows, length in token_budget_batches([len(text) for text in texts], TOKEN_BUDGET):
            ids, mask = pad([texts[i].input_ids for i in rows], padding, encoder.device, length)
            states = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
            for i, state in zip(rows.tolist(), states.float().cpu().numpy(), strict=True):
                words = texts[i].word_index
                scores = (state[: len(words)] * direction[i]).sum(1)
                np.add.at(pulls[i], words[words >= 0], scores[words >= 0])
        return pulls


def neighbor_vote(
    embeddings: np.ndarray, known: np.ndarray, labels: np.ndarray, num_classes: int
) -> np.ndarray:
    """
    The class of the 5 nearest known rows, every class with the same weight: not the number of its
    rows among them counts, but their number over its share of all rows.

    Args:
        embeddings: `[n, d]`, of the texts to judge.
        known, labels: `[m, d]` and `[m]`, rows whose class is known.
        num_classes: number of classes.

    Returns: `[n]`, classes.
    """
    _, found = nearest_neighbors(embeddings, known, min(NEIGHBORS_OF_VOTE, len(known)))
    votes = labels[np.asarray(found)]
    share = np.bincount(labels, minlength=num_classes) / len(labels)
    weighted = [(votes == c).mean(1) / max(share[c], 1e-9) for c in range(num_classes)]
    return np.stack(weighted, 1).argmax(1)
