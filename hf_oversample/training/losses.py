"""Losses and class weights for imbalanced classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


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


class LdamLoss(nn.Module):
    """Label-distribution-aware margin loss (Cao et al. 2019, "Learning Imbalanced Datasets with
    Label-Distribution-Aware Margin Loss", equations 11 to 13).

    The score of a row's own class is lowered by the margin Δ_k = C / n_k^(1/4) before the
    cross-entropy of all scores times ``scale``: the rarer a class, the further its rows must be
    from the border. The authors' scores are cosines (a last layer with normalised weights and
    inputs), which their scale of 30 belongs to; for scores without bounds take ``scale=1``.

    Args:
        counts: rows of each class in training.
        max_margin: margin of the rarest class; it sets C.
        scale: the factor s.
        reduction: ``"mean"`` gives a number, ``"none"`` a loss of each row.

    Raises:
        ValueError: a count is below 1, or ``max_margin`` or ``scale`` is not positive.
    """

    margins: Tensor

    def __init__(
        self,
        counts: Sequence[int],
        max_margin: float = 0.5,
        scale: float = 30.0,
        reduction: Literal["mean", "none"] = "mean",
    ) -> None:
        super().__init__()
        _check_counts(counts)
        if not (max_margin > 0 and scale > 0):
            raise ValueError(f"max_margin={max_margin} and scale={scale} must be positive")
        margins = torch.tensor(counts, dtype=torch.float64) ** -0.25
        self.register_buffer("margins", (margins * (max_margin / margins.max())).float())
        self.scale, self.reduction = scale, reduction

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits [n, classes] and class ids [n] → the loss, or [n] losses."""
        _check_classes(len(self.margins), logits)
        margins = self.margins.to(logits)
        lowered = logits - F.one_hot(labels, logits.shape[-1]) * margins
        return F.cross_entropy(self.scale * lowered, labels, reduction=self.reduction)


class FocalLoss(nn.Module):
    """−α_k (1 − p_k)^γ · ln p_k of a row's own class k (Lin et al. 2017, "Focal Loss for Dense
    Object Detection", equations 4 and 5, with a softmax over the classes).

    Rows that are right already count less; γ = 0 is cross-entropy.

    Args:
        gamma: strength γ; the paper's 2.
        alpha: [classes] weights α; default 1.
        reduction: ``"mean"`` gives a number (the plain mean), ``"none"`` a loss of each row.

    Raises:
        ValueError: ``gamma`` is negative; when called, if ``alpha`` does not fit the classes.
    """

    def __init__(
        self,
        gamma: float = 2.0,
        alpha: Sequence[float] | None = None,
        reduction: Literal["mean", "none"] = "mean",
    ) -> None:
        super().__init__()
        if not gamma >= 0:
            raise ValueError(f"gamma={gamma} must not be negative")
        self.gamma, self.reduction = gamma, reduction
        self.alpha = None if alpha is None else list(alpha)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits [n, classes] and class ids [n] → the loss, or [n] losses."""
        own = logits.log_softmax(dim=-1).gather(-1, labels.unsqueeze(-1)).squeeze(-1)
        # expm1 and the bound keep 1 − p above 0, where the power's gradient has a value.
        doubt = (-torch.expm1(own)).clamp(min=torch.finfo(own.dtype).tiny)
        losses = -(doubt**self.gamma) * own
        if self.alpha is not None:
            _check_classes(len(self.alpha), logits)
            losses = losses * torch.tensor(self.alpha, dtype=torch.float64).to(logits)[labels]
        return losses.mean() if self.reduction == "mean" else losses


class SelfAdjustingDiceLoss(nn.Module):
    """1 − DSC of every class, averaged (Li et al. 2020, "Dice Loss for Data-imbalanced NLP Tasks",
    section 3.4).

    DSC = (2 (1 − p)^α p · y + γ) / ((1 − p)^α p + y + γ). The paper has two classes and scores the
    positive one; here p is the softmax of each class against the rest, y whether the row is of it,
    and the mean is over the classes.

    Args:
        alpha: strength of (1 − p)^α, which takes weight from rows that are right already. The
            default is that of the authors' scripts. It must stay well below 1: at 1 the loss of a
            row of two classes is the same for p and 1 − p, and cannot tell right from wrong.
        smoothing: γ; it gives rows outside of a class a share in its score.
        reduction: ``"mean"`` gives a number, ``"none"`` a loss of each row.

    Raises:
        ValueError: ``alpha`` is not in [0, 1), or ``smoothing`` not positive.
    """

    def __init__(
        self,
        alpha: float = 0.01,
        smoothing: float = 1.0,
        reduction: Literal["mean", "none"] = "mean",
    ) -> None:
        super().__init__()
        if not (0 <= alpha < 1 and smoothing > 0):
            raise ValueError(f"alpha={alpha} must be in [0, 1) and smoothing={smoothing} positive")
        self.alpha, self.smoothing, self.reduction = alpha, smoothing, reduction

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits [n, classes] and class ids [n] → the loss, or [n] losses."""
        shares = logits.softmax(dim=-1)
        own = F.one_hot(labels, logits.shape[-1]).to(shares)
        doubt = (1 - shares).clamp(min=torch.finfo(shares.dtype).tiny)
        adjusted = doubt**self.alpha * shares
        scores = (2 * adjusted * own + self.smoothing) / (adjusted + own + self.smoothing)
        losses = (1 - scores).mean(dim=-1)
        return losses.mean() if self.reduction == "mean" else losses


def class_balanced_weights(counts: Sequence[int], beta: float = 0.9999) -> np.ndarray:
    """Weights (1 − β) / (1 − β^n_k), the inverse of a class's "effective number" of rows (Cui et
    al. 2019, "Class-Balanced Loss Based on Effective Number of Samples", equations 2 and 11).

    Args:
        counts: rows of each class in training.
        beta: β in [0, 1); 0 weighs all classes alike, near 1 by 1 / n_k. AMO's CB-RW has 0.9999.

    Returns:
        [classes] float64 that sum to the number of classes, as in the paper.

    Raises:
        ValueError: a count is below 1, or ``beta`` outside [0, 1).
    """
    _check_counts(counts)
    if not 0 <= beta < 1:
        raise ValueError(f"beta={beta} must be in [0, 1)")
    weights = (1 - beta) / (1 - np.power(beta, np.asarray(counts, dtype=np.float64)))
    return weights * (len(weights) / weights.sum())


def _check_counts(counts: Sequence[int]) -> None:
    if len(counts) < 2 or min(counts) < 1:
        raise ValueError(f"counts={list(counts)}: at least two classes with a row each are needed")


def _log_shares(counts: Sequence[int], logits: Tensor) -> Tensor:
    _check_counts(counts)
    _check_classes(len(counts), logits)
    shares = torch.tensor(counts, dtype=torch.float64)
    return (shares / shares.sum()).log().to(logits)


def _check_classes(number: int, logits: Tensor) -> None:
    if number != logits.shape[-1]:
        raise ValueError(f"{number} counts, but logits of {logits.shape[-1]} classes")
