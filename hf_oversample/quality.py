"""The quality gate: which generated texts are kept, and why the others are not."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from transformers import PreTrainedModel

from hf_oversample import noise
from hf_oversample.encoding import SMALLEST_BATCH, EncodedText, pad, token_budget_batches
from hf_oversample.models.miso.modeling_miso import MisoForAnchorGeneration
from hf_oversample.neighbors import nearest_neighbors
from hf_oversample.text import Segmenter, normalized

REASONS = ("unchanged", "empty", "repeats", "copy", "near copy", "sibling", "wrong class")
NEIGHBORS_OF_VOTE = 5
# padded tokens of a batch
TOKEN_BUDGET = 8192


@lru_cache(maxsize=200_000)
def _hashed(word: str) -> int:
    return noise.stream(word)


def words_of(text: str, segmenter: Segmenter) -> list[str]:
    """A text's words in folded case, without punctuation and numbers."""
    folded = text.casefold()
    return [folded[a:b] for a, b in segmenter.spans(folded) if segmenter.is_word(folded[a:b])]


class CopyIndex:
    """
    Finds exact and near copies of the rows of a data set, from hashes alone (8 bytes a word and
    row).

    Exact: the same text but for case and spaces. Near: the sets of words (folded case, no
    punctuation, no numbers) have a Jaccard similarity of at least `threshold`, and differ by at
    most one word added, left out or replaced. Sets that differ by one word share the hash of the
    set without it; hashes are sums, so leaving a word out is a subtraction.

    Args:
        exact: sorted unique int64 hashes of texts.
        sets: those of word sets with each word left out in turn.
        full: those of whole word sets.
        threshold: Jaccard similarity of a near copy.
    """

    def __init__(
        self, exact: np.ndarray, sets: np.ndarray, full: np.ndarray, threshold: float = 0.8
    ):
        self.exact, self.sets, self.full, self.threshold = exact, sets, full, threshold

    @classmethod
    def build(cls, texts: Sequence[str], segmenter: Segmenter, threshold: float = 0.8) -> CopyIndex:
        """The index of n texts."""
        exact = np.asarray([_hashed(normalized(text)) for text in texts], np.int64)
        parts, full = [], []
        for text in texts:
            total, hashes = cls._set_hash(text, segmenter)
            full.append(total)
            parts.append(total - hashes)
        sets = np.concatenate(parts) if parts else np.empty(0, np.int64)
        return cls(
            np.unique(exact), np.unique(sets), np.unique(np.asarray(full, np.int64)), threshold
        )

    @staticmethod
    def _set_hash(text: str, segmenter: Segmenter) -> tuple[np.int64, np.ndarray]:
        hashes = np.asarray(
            [_hashed(word) for word in sorted(set(words_of(text, segmenter)))], np.int64
        )
        with np.errstate(over="ignore"):
            return hashes.sum(dtype=np.int64), hashes

    @staticmethod
    def _among(values: np.ndarray, table: np.ndarray) -> bool:
        if not len(table) or not len(values):
            return False
        places = np.minimum(np.searchsorted(table, values), len(table) - 1)
        return bool((table[places] == values).any())

    def is_copy(self, text: str) -> bool:
        """Whether a row is the same but for case and spaces."""
        return self._among(np.asarray([_hashed(normalized(text))], np.int64), self.exact)

    def is_near_copy(self, text: str, segmenter: Segmenter) -> bool:
        """Whether a row has the same words, or all but one added, left out or replaced."""
        total, hashes = self._set_hash(text, segmenter)
        n = len(hashes)
        if not n:
            return False
        whole = np.asarray([total], np.int64)
        if self._among(whole, self.full):
            return True
        with np.errstate(over="ignore"):
            without = total - hashes
        added = (n - 1) / n >= self.threshold and self._among(without, self.full)
        left_out = n / (n + 1) >= self.threshold and self._among(whole, self.sets)
        replaced = (n - 1) / (n + 1) >= self.threshold and self._among(without, self.sets)
        return added or left_out or replaced


def is_degenerate(text: str, source: str, segmenter: Segmenter) -> bool:
    """
    Whether a text repeats itself as its source does not: a word twice in a row, or one word more
    than twice as often as in the source and in over a third of the text.
    """
    words, before = words_of(text, segmenter), words_of(source, segmenter)
    doubled = {a for a, b in pairwise(before) if a == b}
    if any(a == b and a not in doubled for a, b in pairwise(words)):
        return True
    for word in set(words):
        count = words.count(word)
        if count > 2 and count > 2 * before.count(word) and count > len(words) / 3:
            return True
    return False


def surface_reason(text: str, source: str, index: CopyIndex, segmenter: Segmenter) -> str | None:
    """
    Why a text is rejected for its surface: one of `REASONS`, or None.

    Args:
        text: the generated text.
        source: the text that it was made from.
        index: of the texts that may not be copied.
        segmenter: the language's.
    """
    if not text.strip() or not words_of(text, segmenter):
        return "empty"
    if normalized(text) == normalized(source):
        return "unchanged"
    if is_degenerate(text, source, segmenter):
        return "repeats"
    if index.is_copy(text):
        return "copy"
    if index.is_near_copy(text, segmenter):
        return "near copy"
    return None


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


@torch.no_grad()
def critic_evidence(
    model: MisoForAnchorGeneration,
    rows: Sequence[np.ndarray],
    classes: np.ndarray,
    *,
    padding: int,
) -> np.ndarray:
    """
    The critics' pointwise mutual information of texts with a class against the majority (section
    4.2): positive where the critics place a text with the class.

    Args:
        model: the generator, with its reference bank.
        rows: n texts as token ids.
        classes: `[n]`, labels of the generator.
        padding: id of the padding token.

    Returns: `[n]` float32, in nats; a text's value does not depend on the others.
    """
    result = np.empty(len(rows), np.float32)
    for batch, length in token_budget_batches([len(row) for row in rows], TOKEN_BUDGET):
        order = [*batch, *[batch[0]] * max(0, SMALLEST_BATCH - len(batch))]
        ids, mask = pad([rows[i] for i in order], padding, model.device, length)
        labels = torch.as_tensor(classes[order], device=model.device)
        values = model.evidence(model.miso(ids, mask).latents, labels)
        result[batch] = values[: len(batch)].float().cpu().numpy()
    return result
