"""Losses of rows that have any number of labels, where most labels are rare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hf_oversample.data.class_counts import check_label_counts


def positive_weights(counts: Sequence[int], rows: int) -> np.ndarray:
    """Rows without a label over rows with it: what `BCEWithLogitsLoss` calls ``pos_weight``.

    Args:
        counts: rows that have each label.
        rows: all rows.

    Returns:
        [labels] float64.

    Raises:
        ValueError: a label that no row has, or that all have.
    """
    having = _checked(counts, rows)
    return (rows - having) / having


class PositiveWeightLoss(nn.Module):
    """Binary cross-entropy of every label, in which rows that have a label count ``weights`` times.

    Args:
        weights: [labels], see `positive_weights`.
        reduction: ``"mean"`` gives a number, ``"none"`` a loss of each row and label.

    Raises:
        ValueError: a weight is not finite, or negative; or all are 0.
    """

    def __init__(
        self, weights: Sequence[float], reduction: Literal["mean", "none"] = "mean"
    ) -> None:
        super().__init__()
        values = np.asarray(weights, dtype=np.float64)
        if not np.isfinite(values).all() or (values < 0).any() or not values.any():
            raise ValueError(
                f"pos_weight={values.tolist()}: finite weights are needed, none negative and not "
                "all 0"
            )
        self.weights, self.reduction = values.tolist(), reduction

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits and 0 or 1 [n, labels] → the loss, or [n, labels] losses."""
        weights = torch.tensor(self.weights, dtype=torch.float64).to(logits)
        return F.binary_cross_entropy_with_logits(
            logits, labels.to(logits), pos_weight=weights, reduction=self.reduction
        )


class DistributionBalancedLoss(nn.Module):
    """Re-balanced weights and negative-tolerant regularisation (Wu et al. 2020,
    "Distribution-Balanced Loss for Multi-Label Classification in Long-Tailed Datasets").

    A row that has a frequent label comes in with it as often as it has: r = P^C / P^I weighs each
    of a row's labels by how often it would be drawn by that label alone, over how often it is by
    all of its labels, smoothed to α + σ(β (r − μ)) (section 3.1). The score of
    a label is lowered by ν = κ · ln(1 / p − 1), and where a row does not have it, is counted λ
    times as steep and 1 / λ as much, so that many easy negatives do not push it down for ever
    (section 3.2).

    Args:
        counts: rows that have each label.
        rows: all rows; p = counts / rows.
        alpha, beta, mu: of the smoothing. Defaults, of λ and κ too: those of the authors' scripts
            for COCO-MLT.
        scale: λ.
        kappa: κ.
        reduction: ``"mean"`` gives a number, ``"none"`` a loss of each row and label.

    Raises:
        ValueError: a label that no row has, or that all have; ``scale`` is not positive.
    """

    def __init__(
        self,
        counts: Sequence[int],
        rows: int,
        alpha: float = 0.1,
        beta: float = 10.0,
        mu: float = 0.2,
        scale: float = 2.0,
        kappa: float = 0.05,
        reduction: Literal["mean", "none"] = "mean",
    ) -> None:
        super().__init__()
        having = _checked(counts, rows)
        if not scale > 0:
            raise ValueError(f"scale={scale} must be positive")
        self.inverse = (1 / having).tolist()
        self.shift = (kappa * np.log(rows / having - 1)).tolist()  # ν
        self.alpha, self.beta, self.mu, self.scale = alpha, beta, mu, scale
        self.reduction = reduction

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits and 0 or 1 [n, labels] → the loss, or [n, labels] losses."""
        truth = labels.to(logits)
        inverse = torch.tensor(self.inverse, dtype=torch.float64).to(logits)
        shifted = logits - torch.tensor(self.shift, dtype=torch.float64).to(logits)
        # A row without labels is drawn by none: r is infinite, and its weight α + 1.
        ratio = inverse / (truth @ inverse).unsqueeze(-1)
        weights = self.alpha + torch.sigmoid(self.beta * (ratio - self.mu))
        positive = F.softplus(-shifted)
        negative = F.softplus(self.scale * shifted) / self.scale
        losses = weights * torch.where(truth > 0, positive, negative)
        return losses.mean() if self.reduction == "mean" else losses


def _checked(counts: Sequence[int], rows: int) -> np.ndarray:
    having = np.asarray(counts, dtype=np.int64)
    check_label_counts(having, rows, "training")
    return having.astype(np.float64)
