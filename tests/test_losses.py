from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_oversample.training.losses import (
    FocalLoss,
    LdamLoss,
    SelfAdjustingDiceLoss,
    class_balanced_weights,
)

COUNTS = [100, 30, 4]


def scores(rows: int = 12, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, len(COUNTS), generator=generator, dtype=torch.float64) * 3
    return logits, torch.arange(rows) % len(COUNTS)


def softmax(row: list[float]) -> list[float]:
    powers = [math.exp(value - max(row)) for value in row]
    return [power / sum(powers) for power in powers]


class TestLdam:
    def test_by_hand(self) -> None:
        logits, labels = scores()
        largest = 4**-0.25
        margins = [0.5 * n**-0.25 / largest for n in COUNTS]
        expected = []
        for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
            moved = [v - margins[k] if k == label else v for k, v in enumerate(row)]
            expected.append(-math.log(softmax([30 * v for v in moved])[label] or 5e-324))
        got = LdamLoss(COUNTS, reduction="none")(logits, labels)
        finite = np.array(expected) < 700  # beyond it the softmax by hand is 0
        assert finite.sum() > 6
        np.testing.assert_allclose(got.numpy()[finite], np.array(expected)[finite], rtol=1e-5)

    def test_margins_fall_with_the_fourth_root(self) -> None:
        margins = LdamLoss([160_000, 16, 1], max_margin=0.4).margins
        np.testing.assert_allclose(margins.numpy(), [0.02, 0.2, 0.4], rtol=1e-6)

    def test_of_equal_counts_and_no_scale_moves_all_alike(self) -> None:
        logits, labels = scores()
        moved = logits - 0.5 * F.one_hot(labels, 3)
        expected = F.cross_entropy(moved, labels)
        assert torch.allclose(LdamLoss([7, 7, 7], scale=1)(logits, labels), expected)

    def test_wrong_values(self) -> None:
        with pytest.raises(ValueError, match="max_margin=0"):
            LdamLoss(COUNTS, max_margin=0)
        with pytest.raises(ValueError, match="counts"):
            LdamLoss([3, 0])
        with pytest.raises(ValueError, match="2 counts, but logits of 3"):
            LdamLoss([3, 2])(*scores())


class TestFocal:
    @pytest.mark.parametrize("gamma", [0.5, 2.0, 5.0])
    def test_by_hand(self, gamma: float) -> None:
        logits, labels = scores()
        alpha = [0.2, 1.0, 3.0]
        expected = []
        for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
            p = softmax(row)[label]
            expected.append(-alpha[label] * (1 - p) ** gamma * math.log(p))
        got = FocalLoss(gamma, alpha, reduction="none")(logits, labels)
        np.testing.assert_allclose(got.numpy(), expected, rtol=1e-9)
        mean = FocalLoss(gamma, alpha)(logits, labels)
        assert float(mean) == pytest.approx(np.mean(expected))

    def test_gamma_0_is_cross_entropy(self) -> None:
        logits, labels = scores()
        assert torch.allclose(FocalLoss(0)(logits, labels), F.cross_entropy(logits, labels))

    @pytest.mark.parametrize("gamma", [0.5, 2.0])
    def test_sure_rows_have_finite_gradients(self, gamma: float) -> None:
        logits = torch.tensor([[200.0, 0, 0], [-200.0, 0, 0]], requires_grad=True)
        FocalLoss(gamma)(logits, torch.tensor([0, 0])).backward()
        assert logits.grad is not None
        assert torch.isfinite(logits.grad).all()

    def test_wrong_values(self) -> None:
        with pytest.raises(ValueError, match="gamma"):
            FocalLoss(-1)


class TestDice:
    @pytest.mark.parametrize(("alpha", "smoothing"), [(0.01, 1.0), (0.3, 0.1)])
    def test_by_hand(self, alpha: float, smoothing: float) -> None:
        logits, labels = scores()
        expected = []
        for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
            losses = []
            for k, p in enumerate(softmax(row)):
                weight, y = (1 - p) ** alpha * p, float(k == label)
                losses.append(1 - (2 * weight * y + smoothing) / (weight + y + smoothing))
            expected.append(sum(losses) / len(losses))
        loss = SelfAdjustingDiceLoss(alpha, smoothing, reduction="none")
        np.testing.assert_allclose(loss(logits, labels).numpy(), expected, rtol=1e-9)
        mean = SelfAdjustingDiceLoss(alpha, smoothing)(logits, labels)
        assert float(mean) == pytest.approx(np.mean(expected))

    def test_sure_rows_have_finite_gradients(self) -> None:
        logits = torch.tensor([[200.0, 0, 0]], requires_grad=True)
        SelfAdjustingDiceLoss(0.5)(logits, torch.tensor([0])).backward()
        assert logits.grad is not None
        assert torch.isfinite(logits.grad).all()

    def test_wrong_values(self) -> None:
        with pytest.raises(ValueError, match="smoothing=0"):
            SelfAdjustingDiceLoss(smoothing=0)
        with pytest.raises(ValueError, match="alpha=1"):
            SelfAdjustingDiceLoss(1.0)

    def test_it_falls_as_rows_of_two_classes_get_right(self) -> None:
        p = torch.tensor([0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
        logits = torch.stack([1 - p, p], dim=1).log()
        for label, order in ((1, [0, 1, 2, 3, 4, 5, 6]), (0, [6, 5, 4, 3, 2, 1, 0])):
            losses = SelfAdjustingDiceLoss(reduction="none")(logits, torch.full((7,), label))
            assert losses.argsort(descending=True).tolist() == order


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.integers(1, 10_000), min_size=2, max_size=8),
    st.floats(0, 0.9999),
)
def test_class_balanced_weights_by_the_geometric_sum(counts: list[int], beta: float) -> None:
    # The effective number is 1 + β + … + β^(n − 1).
    effective = [math.fsum(beta**i for i in range(n)) for n in counts]
    expected = np.array([1 / number for number in effective])
    got = class_balanced_weights(counts, beta)
    np.testing.assert_allclose(got, expected * len(counts) / expected.sum(), rtol=1e-6)
    assert got.sum() == pytest.approx(len(counts))


def test_class_balanced_weights_wrong_beta() -> None:
    with pytest.raises(ValueError, match="beta=1"):
        class_balanced_weights(COUNTS, 1.0)
