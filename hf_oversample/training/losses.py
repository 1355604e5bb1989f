"""Losses for imbalanced classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def logit_adjust(logits: Tensor, counts: Sequence[int], tau: float = 1.0) -> Tensor:
    """Scores of a trained classifier, moved to where all classes are equally frequent.

    Menon et al. 2021, "Long-tail learning via logit adjustment", equation 9: subtracts τ · ln π,
    where π are the class shares in training. In a binary problem it moves the threshold, and leaves
    average precision and ROC AUC as they were.

    Args:
        logits: [n, classes].
        counts: rows of each class in training.
        tau: strength; 1 is right for calibrated scores.

    Raises:
        ValueError: the number of counts differs from the classes, or one is below 1.
    """
    return logits - tau * _log_shares(counts, logits)


class LogitAdjustedLoss(nn.Module):
    """Cross-entropy of logits to which τ · ln π was added (Menon et al. 2021, equation 10).

    The same correction during training: the logits themselves become right for equally frequent
    classes, so nothing is to be adjusted afterwards.

    Args:
        counts: rows of each class in training.
        tau: strength.
        reduction: ``"mean"`` gives a number, ``"none"`` a loss of each row.

    Raises:
        ValueError: a count is below 1; when called, if their number differs from the classes.
    """

    def __init__(
        self,
        counts: Sequence[int],
        tau: float = 1.0,
        reduction: Literal["mean", "none"] = "mean",
    ) -> None:
        super().__init__()
        _check_counts(counts)
        self.counts, self.tau, self.reduction = list(counts), tau, reduction

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits [n, classes] and class ids [n] → the loss, or [n] losses."""
        adjusted = logits + self.tau * _log_shares(self.counts, logits)
        return F.cross_entropy(adjusted, labels, reduction=self.reduction)


def balanced_class_weights(counts: Sequence[int]) -> np.ndarray:
    """Weight n / (classes · n_k) of each class: scikit-learn's ``class_weight="balanced"``.

    Returns:
        [classes] float64; their mean over the rows is 1.

    Raises:
        ValueError: a count is below 1.
    """
    _check_counts(counts)
    values = np.asarray(counts, dtype=np.float64)
    return values.sum() / (len(values) * values)


def _check_counts(counts: Sequence[int]) -> None:
    if len(counts) < 2 or min(counts) < 1:
        raise ValueError(f"counts={list(counts)}: at least two classes with a row each are needed")


def _log_shares(counts: Sequence[int], logits: Tensor) -> Tensor:
    _check_counts(counts)
    if len(counts) != logits.shape[-1]:
        raise ValueError(f"{len(counts)} counts, but logits of {logits.shape[-1]} classes")
    shares = torch.tensor(counts, dtype=torch.float64)
    return (shares / shares.sum()).log().to(logits)
