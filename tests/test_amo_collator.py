"""AMO during a classifier's training: rows that the collator puts in the place of others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, WeightedRandomSampler

from amo_fixtures import WIDTH, blobs, heads
from hf_oversample.models.classifiers.mlp import MlpForEmbeddingClassification
from hf_oversample.oversamplers.amo import collator as amo_collator
from hf_oversample.oversamplers.amo.collator import AmoCollator
from hf_oversample.oversamplers.amo.oversampler import AmoOversampler
from hf_oversample.oversamplers.amo.translation import Translated
from hf_oversample.training.heads import new_head, train_head
from hf_oversample.training.losses import balanced_class_weights


def new_collator(
    start_step: int = 0, **options: Any
) -> tuple[AmoCollator, np.ndarray, np.ndarray, MlpForEmbeddingClassification]:
    rows, labels = blobs()
    g = train_head(rows, labels, num_labels=3, hidden_size=16, min_steps=150)
    f = new_head(WIDTH, 3, 16, seed=9)
    method = AmoOversampler(beta=0.9, penalty=0.1, **options)
    return (
        AmoCollator(rows, labels, g, f, start_step=start_step, method=method, seed=4),
        rows,
        labels,
        f,
    )


def batch_of(labels: np.ndarray) -> np.ndarray:
    """100 rows of each class, in turn."""
    picks = [np.resize(np.flatnonzero(labels == k), 100) for k in range(3)]
    return np.stack(picks, axis=1).reshape(-1)


def test_plain_before_the_start() -> None:
    collator, rows, labels, _ = new_collator(start_step=1)
    batch = batch_of(labels)
    x, y = collator(batch)
    np.testing.assert_array_equal(x.numpy(), rows[batch])
    np.testing.assert_array_equal(y.numpy(), labels[batch])
    x, y = collator(batch.tolist())
    np.testing.assert_array_equal(y.numpy(), labels[batch])
    assert collator.accepted > 0
    assert collator.step == 2
    changed = (x.numpy() != rows[batch]).any(axis=1)
    assert changed.sum() == collator.accepted
    assert not changed[labels[batch] == 0].any()  # the largest class gives way to nothing
    assert changed[labels[batch] == 2].mean() > 0.25
    np.testing.assert_array_equal(rows, blobs()[0])


def test_what_is_put_in_is_taken_for_its_class() -> None:
    collator, rows, labels, _ = new_collator()
    batch = batch_of(labels)
    x, y = collator(batch)
    changed = torch.from_numpy((x.numpy() != rows[batch]).any(axis=1))
    with torch.no_grad():
        shares = collator.generating(x[changed]).logits.softmax(dim=1)
    own = shares.gather(1, y[changed][:, None])
    assert float(own.min()) >= 0.9 - 1e-5


def test_clean_puts_in_rows_of_the_batch() -> None:
    collator, rows, labels, _ = new_collator(clean=True)
    batch = batch_of(labels)
    x, y = collator(batch)
    known = {row.tobytes(): int(k) for row, k in zip(rows, labels, strict=True)}
    real = np.array([known[row.tobytes()] for row in x.numpy()])
    assert (real < y.numpy()).sum() == collator.accepted > 0


def test_draws_depend_on_seed_and_step_and_the_live_classifier() -> None:
    collator, _, labels, f = new_collator()
    batch = batch_of(labels)
    first, _ = collator(batch)
    second, _ = collator(batch)
    assert not torch.equal(first, second)
    collator.step = 0
    again, _ = collator(batch)
    assert torch.equal(first, again)
    with torch.no_grad():
        f.hidden.weight.neg_()
    collator.step = 0
    other, _ = collator(batch)
    assert not torch.equal(first, other)


def test_in_a_data_loader() -> None:
    collator, rows, labels, f = new_collator(start_step=5)
    update = torch.optim.SGD(f.parameters(), lr=0.1)
    for epoch in range(2):
        of_class = balanced_class_weights(np.bincount(labels)) if epoch else np.ones(3)
        weights = of_class[np.asarray(labels)]
        sampler = WeightedRandomSampler(weights.tolist(), 320)
        loader = DataLoader(range(len(rows)), batch_size=64, sampler=sampler, collate_fn=collator)
        losses = []
        for x, y in loader:
            loss = f(x, labels=y).loss
            update.zero_grad()
            loss.backward()
            update.step()
            losses.append(float(loss.detach()))
        assert (collator.accepted > 0) == (epoch == 1)
    assert losses[-1] < losses[0]
    workers = DataLoader(range(len(rows)), batch_size=8, collate_fn=collator, num_workers=1)
    with pytest.raises(RuntimeError, match="num_workers=0"):
        next(iter(workers))


def test_in_train_head() -> None:
    collator, rows, labels, f = new_collator(start_step=6)
    head = train_head(
        rows,
        labels,
        num_labels=3,
        batch_size=200,
        epochs=4,
        min_steps=0,
        model=f,
        standardize=False,
        sampling="balanced",
        deferred_start=2,
        collator=collator,
    )
    assert head is f
    assert collator.step == 12
    assert collator.accepted > 0


def test_rows_go_to_the_classifiers_device_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    collator, rows, labels, f = new_collator()
    batch = batch_of(labels)
    for model in (collator.generating, f):
        model.to("meta")

    def record(*inputs: Any, **_: Any) -> Translated:
        assert [one.device.type for one in inputs[:3]] == ["meta"] * 3
        number = len(inputs[0])  # as from another device: "meta" holds no values to bring back
        loss = torch.zeros(number)
        taken = torch.ones(number, dtype=torch.bool)
        return Translated(torch.ones(number, rows.shape[1]), taken, loss, loss)

    monkeypatch.setattr(amo_collator, "translate", record)
    x, y = collator(batch)
    assert (x.device.type, y.device.type) == ("cpu", "cpu")
    assert int((x == 1).all(dim=1).sum()) == collator.accepted > 0
    collator.generating.to_empty(device="cpu")
    with pytest.raises(RuntimeError, match="is on cpu, the receiving one on meta: move both"):
        collator(batch)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_classifiers_on_a_gpu() -> None:
    collator, rows, labels, f = new_collator()
    batch = batch_of(labels)
    for model in (collator.generating, f):
        model.to("cuda")
    x, y = collator(batch)
    assert (x.device.type, y.device.type) == ("cpu", "cpu")
    changed = (x.numpy() != rows[batch]).any(axis=1)
    assert changed.sum() == collator.accepted > 0


def test_wrong_sizes() -> None:
    g, f = heads(0)
    with pytest.raises(ValueError, match=r"\[n, d\] and \[n\]"):
        AmoCollator(np.zeros((3, 8)), [0, 1], g, f)
