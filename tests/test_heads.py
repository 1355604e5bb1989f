from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hf_oversample.models.classifiers.mlp import MlpConfig, MlpForEmbeddingClassification
from hf_oversample.training.heads import _order, head_logits, new_head, train_head
from hf_oversample.training.losses import LdamLoss


def rings(rows: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A disc within a ring: two layers can tell them apart, one cannot."""
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % 2
    x = rng.normal(size=(rows, 2))
    x *= ((0.5 + labels) / np.linalg.norm(x, axis=1))[:, None]
    return x.astype(np.float32), labels


def blobs(counts: tuple[int, ...] = (90, 60, 30), seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    centers = 3 * rng.normal(size=(len(counts), 6))
    return (centers[labels] + rng.normal(size=(len(labels), 6))).astype(np.float32), labels


def accuracy(head: MlpForEmbeddingClassification, x: np.ndarray, y: np.ndarray) -> float:
    return float((head_logits(head, x).argmax(axis=1) == y).mean())


class TestModel:
    @pytest.mark.parametrize("hidden_size", [0, 5])
    def test_forward_by_hand(self, hidden_size: int) -> None:
        head = new_head(4, 3, hidden_size, seed=1)
        x, y = torch.randn(7, 4), torch.tensor([0, 1, 2, 0, 1, 2, 0])
        features = x
        if hidden_size:
            features = (x @ head.hidden.weight.T + head.hidden.bias).clamp(min=0)
        logits = features @ head.classifier.weight.T + head.classifier.bias
        output = head(x, labels=y, output_hidden_states=True)
        torch.testing.assert_close(output.logits, logits)
        torch.testing.assert_close(output.loss, F.cross_entropy(logits, y))
        torch.testing.assert_close(output.hidden_states[0], features)
        assert isinstance(head(x, return_dict=False), tuple)

    @pytest.mark.parametrize("hidden_size", [0, 5])
    def test_saved_and_loaded_is_equal(self, hidden_size: int, tmp_path) -> None:
        head = new_head(4, 3, hidden_size)
        head.save_pretrained(tmp_path)
        assert (tmp_path / "model.safetensors").exists()
        again = MlpForEmbeddingClassification.from_pretrained(tmp_path)
        x = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
        np.testing.assert_array_equal(head_logits(head, x), head_logits(again, x))

    def test_wrong_sizes(self) -> None:
        with pytest.raises(Exception, match="hidden_size=-1"):
            MlpConfig(hidden_size=-1)

    def test_start_depends_on_the_seed_alone(self) -> None:
        torch.manual_seed(5)
        one = new_head(4, 3, 6, seed=2)
        torch.manual_seed(6)
        state = torch.random.get_rng_state()
        two = new_head(4, 3, 6, seed=2)
        assert torch.equal(state, torch.random.get_rng_state())
        for a, b in zip(one.parameters(), two.parameters(), strict=True):
            assert torch.equal(a, b)
        assert not torch.equal(new_head(4, 3, 6, seed=3).hidden.weight, one.hidden.weight)


class TestTraining:
    @pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (1000.0, 0.0), (0.01, 5.0)])
    def test_learns_at_any_scale(self, scale: float, shift: float) -> None:
        x, y = rings()
        x = x * np.float32(scale) + np.float32(shift * scale)
        assert accuracy(train_head(x, y, num_labels=2, hidden_size=16), x, y) > 0.95
        assert accuracy(train_head(x, y, num_labels=2, min_steps=50), x, y) < 0.75

    def test_paper_protocol_learns(self) -> None:
        x, y = blobs()
        head = train_head(
            x,
            y,
            num_labels=3,
            hidden_size=16,
            batch_size=64,
            optimizer="sgd",
            schedule="step",
            standardize=False,
            min_steps=0,
        )
        assert accuracy(head, x, y) > 0.9

    def test_standardizing_is_undone_exactly(self) -> None:
        """The head reads raw vectors as it read standardised ones."""
        x, y = blobs()
        center = x.mean(axis=0)
        spread = np.sqrt(np.square(x - center).mean())
        options = {"num_labels": 3, "hidden_size": 8, "min_steps": 30, "seed": 4}
        raw = train_head(x, y, **options)
        inner = train_head((x - center) / spread, y, standardize=False, **options)
        np.testing.assert_allclose(
            head_logits(raw, x), head_logits(inner, (x - center) / spread), rtol=1e-3, atol=1e-3
        )

    def test_same_seed_same_head_and_the_global_generator_is_left_alone(self) -> None:
        x, y = blobs()
        torch.manual_seed(1)
        state = torch.random.get_rng_state()
        one = train_head(x, y, num_labels=3, hidden_size=8, min_steps=20, epochs=2, seed=3)
        assert torch.equal(state, torch.random.get_rng_state())
        torch.manual_seed(2)
        two = train_head(x, y, num_labels=3, hidden_size=8, min_steps=20, epochs=2, seed=3)
        np.testing.assert_array_equal(head_logits(one, x), head_logits(two, x))
        other = train_head(x, y, num_labels=3, hidden_size=8, min_steps=20, epochs=2, seed=4)
        assert not np.array_equal(head_logits(one, x), head_logits(other, x))

    def test_balanced_sampling_is_deferred(self) -> None:
        labels = np.repeat([0, 2], [900, 100])  # class 1 has no rows
        plain, late = (_order(labels, 0, 0, balanced=flag) for flag in (False, True))
        assert sorted(plain) == list(range(1000))
        assert 430 < (labels[late] == 2).sum() < 570
        x = np.random.default_rng(0).normal(size=(1000, 3)).astype(np.float32)
        calls = []

        def collator(rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
            calls.append(rows)
            return torch.from_numpy(x[rows]), torch.from_numpy(labels[rows])

        train_head(
            x,
            labels,
            num_labels=3,
            epochs=4,
            batch_size=500,
            min_steps=0,
            standardize=False,
            sampling="balanced",
            deferred_start=2,
            collator=collator,
        )
        shares = [(labels[rows] == 2).mean() for rows in calls]
        assert len(calls) == 8
        assert np.mean(shares[:4]) == pytest.approx(0.1)
        assert min(shares[4:]) > 0.4

    def test_class_weights_raise_recall_of_the_rare_class(self) -> None:
        rng = np.random.default_rng(0)
        y = np.repeat([0, 1], [950, 50])
        x = (rng.normal(size=(1000, 2)) + y[:, None]).astype(np.float32)
        options = {"num_labels": 2, "min_steps": 900, "schedule": "constant"}
        plain = head_logits(train_head(x, y, **options), x).argmax(axis=1)
        weights = [1.0, 19.0]
        weighted = train_head(x, y, class_weights=weights, deferred_start=10, **options)
        weighted_says = head_logits(weighted, x).argmax(axis=1)
        assert weighted_says[y == 1].mean() > plain[y == 1].mean() + 0.3

    def test_loss_can_be_given(self) -> None:
        x, y = blobs()
        loss = LdamLoss([90, 60, 30], scale=1, reduction="none")
        head = train_head(x, y, num_labels=3, loss=loss, min_steps=100)
        assert accuracy(head, x, y) > 0.9

    def test_validation_keeps_the_best_state(self) -> None:
        x, y = blobs()
        flipped = (x, (y + 1) % 3)  # the more is learnt, the worse
        head = train_head(x, y, num_labels=3, validation=flipped, min_steps=60)
        last = train_head(x, y, num_labels=3, min_steps=60)
        assert accuracy(head, *flipped) > accuracy(last, *flipped)
        # The state of a good epoch is kept in full, with the scale taken over.
        kept = train_head(x, y, num_labels=3, validation=(x, y), min_steps=60)
        assert accuracy(kept, x, y) > 0.9

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"num_labels": 2}, "labels run from 0 to 2"),
            ({"num_labels": 3, "epochs": 0}, "epochs=0"),
            ({"num_labels": 3, "batch_size": 0}, "batch_size=0"),
            ({"num_labels": 3, "optimizer": "lion"}, "optimizer='lion'"),
            ({"num_labels": 3, "schedule": "x"}, "schedule='x'"),
            ({"num_labels": 3, "sampling": "x"}, "sampling='x'"),
            ({"num_labels": 3, "class_weights": [1, 2]}, "3 positive numbers"),
            ({"num_labels": 3, "model": new_head(6, 3)}, "standardize=False"),
            ({"num_labels": 3, "model": new_head(5, 3), "standardize": False}, "reads 5 numbers"),
            ({"num_labels": 3, "learning_rate": 1e30, "optimizer": "sgd"}, "lower learning_rate"),
        ],
    )
    def test_wrong_values(self, options: dict, message: str) -> None:
        x, y = blobs()
        with pytest.raises(ValueError, match=message):
            train_head(x, y, **options)

    def test_wrong_vectors(self) -> None:
        x, y = blobs()
        x[7, 2] = np.nan
        with pytest.raises(ValueError, match="embedding 7 holds NaN"):
            train_head(x, y, num_labels=3)
        with pytest.raises(ValueError, match=r"\[n, d\] and \[n\]"):
            train_head(x[:5], y, num_labels=3)


def test_logits_do_not_depend_on_blocks() -> None:
    x, _ = blobs()
    head = new_head(6, 3, 8)
    whole = head_logits(head, x)
    assert whole.shape == (180, 3)
    assert whole.dtype == np.float32
    np.testing.assert_allclose(head_logits(head, x, block_rows=7), whole, rtol=1e-5, atol=1e-6)
