"""AMO's translation of rows: its gradient, what is true of every result, precision, noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from amo_fixtures import WIDTH, blobs, heads
from hf_oversample.oversamplers.amo.translation import (
    Head,
    Penalty,
    TranslationSettings,
    objective,
    translate,
)
from hf_oversample.training.heads import head_logits, new_head, train_head


@pytest.mark.parametrize("sizes", [(0, 0), (12, 12), (0, 12), (12, 0)])
@pytest.mark.parametrize("penalty", [0.0, 0.5])
def test_gradient_equals_autograd(sizes: tuple[int, int], penalty: float) -> None:
    rows = torch.randn(50, WIDTH, dtype=torch.float64, requires_grad=True)
    source, target = torch.arange(50) % 3, (torch.arange(50) + 1) % 3
    g, f = (new_head(WIDTH, 3, size, seed=n).double() for n, size in enumerate(sizes))
    losses = F.cross_entropy(g(rows).logits, target, reduction="none")
    own = f(rows).logits.gather(1, source[:, None]).squeeze(1)
    # The heads compute their losses in float32, whatever the products are.
    expected = losses + penalty * own
    (gradient,) = torch.autograd.grad(expected.sum(), rows)
    term = Penalty.build(Head(f), source, penalty) if penalty else None
    with torch.no_grad():
        total, of_g, got = objective(rows.detach(), target, Head(g), term)
        quick, _, none = objective(rows.detach(), target, Head(g), term, with_gradient=False)
    assert got is not None
    assert none is None
    torch.testing.assert_close(total, expected.float(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(of_g, losses.float(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(quick, total)
    torch.testing.assert_close(got, gradient, rtol=1e-5, atol=1e-5)


@settings(deadline=None, max_examples=25)
@given(
    hidden_size=st.sampled_from([0, 16]),
    width=st.sampled_from([1, 3, 8, 33]),
    penalty=st.sampled_from([0.0, 0.1, 0.5, 5.0]),
    acceptance=st.sampled_from([0.0, 0.4, 0.9]),
    project=st.booleans(),
    precision=st.sampled_from(["float32", "bfloat16"]),
    step_length=st.sampled_from([0.05, 0.5, 5.0]),
)
def test_what_is_true_of_every_translation(
    hidden_size, width, penalty, acceptance, project, precision, step_length
) -> None:
    rows, labels = blobs((60, 30, 20), width)
    g, f = heads(hidden_size, width)
    seeds, source = torch.from_numpy(rows), torch.from_numpy(labels)
    target = (source + 1) % 3
    kept = seeds.clone()
    moved = translate(
        seeds,
        source,
        target,
        g,
        f,
        TranslationSettings(
            penalty=penalty,
            acceptance=acceptance,
            project=project,
            precision=precision,
            step_length=step_length,
        ),
        seed=3,
        counters=(np.arange(len(rows)),),
    )
    assert torch.equal(seeds, kept)
    with torch.no_grad():
        before = F.cross_entropy(g(seeds).logits, target, reduction="none")
        after = F.cross_entropy(g(moved.rows).logits, target, reduction="none")
    torch.testing.assert_close(moved.loss_before, before, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(moved.loss_after, after, rtol=1e-4, atol=1e-5)
    taken = moved.accepted
    assert (moved.loss_after <= moved.loss_before).all()
    assert (torch.exp(-moved.loss_after[taken]) >= acceptance - 1e-6).all()
    assert torch.equal(moved.rows[~taken], seeds[~taken])
    if project:
        torch.testing.assert_close(moved.rows.norm(dim=1), seeds.norm(dim=1))


def test_accepted_rows_exist_and_have_moved() -> None:
    rows, labels = blobs()
    g, f = (
        train_head(rows, labels, num_labels=3, hidden_size=32, min_steps=400, seed=n)
        for n in (0, 1)
    )
    seeds = torch.from_numpy(rows[labels == 0])
    zeros = torch.zeros(len(seeds), dtype=torch.int64)
    options = TranslationSettings(step_length=0.8, penalty=0.1)
    moved = translate(
        seeds, zeros, zeros + 2, g, f, options, seed=0, counters=(np.arange(len(seeds)),)
    )
    assert moved.accepted.float().mean() > 0.9
    assert (head_logits(g, moved.rows.numpy()).argmax(1) == 2)[moved.accepted.numpy()].all()
    lengths = (moved.rows - seeds).norm(dim=1)[moved.accepted]
    assert lengths.min() > 0.5
    assert lengths.max() <= 10 * 0.8 + 0.2
    # The penalty makes f's score of the class that was left smaller.
    alone = translate(
        seeds,
        zeros,
        zeros + 2,
        g,
        None,
        TranslationSettings(step_length=0.8, penalty=0.0),
        seed=0,
        counters=(np.arange(len(seeds)),),
    )
    both = (moved.accepted & alone.accepted).numpy()
    with_f, without = (head_logits(f, one.rows.numpy())[both, 0] for one in (moved, alone))
    assert with_f.mean() < without.mean()


def test_bfloat16_is_near() -> None:
    rows, labels = blobs()
    g, f = heads(16)
    results = [
        translate(
            torch.from_numpy(rows),
            torch.from_numpy(labels),
            torch.from_numpy((labels + 1) % 3),
            g,
            f,
            TranslationSettings(precision=precision, acceptance=0.0),
            seed=0,
            counters=(np.arange(len(rows)),),
        )
        for precision in ("float32", "bfloat16")
    ]
    apart = (results[0].rows - results[1].rows).norm(dim=1)
    assert float(apart.median()) < 0.05


def test_start_noise_has_the_asked_length_and_its_address_alone_counts() -> None:
    rows = torch.zeros(3000, 33)
    options = TranslationSettings(penalty=0, steps=0, noise_length=0.5, acceptance=0.0)
    classes = torch.zeros(3000, dtype=torch.int64)
    g = new_head(33, 3)
    g.classifier.weight.data.zero_()  # all rows fit alike: the start is taken

    def start(numbers: np.ndarray) -> torch.Tensor:
        n = len(numbers)
        return translate(
            rows[:n], classes[:n], classes[:n], g, None, options, seed=1, counters=(7, numbers)
        ).rows

    whole = start(np.arange(3000))
    squares = whole.square().sum(dim=1)
    assert float(squares.mean().sqrt()) == pytest.approx(0.5, rel=0.01)
    assert float(whole.mean()) == pytest.approx(0, abs=1e-3)
    assert len(np.unique(whole.numpy())) > 30_000
    torch.testing.assert_close(start(np.arange(1500, 1600)), whole[1500:1600])


def test_wrong_classifiers() -> None:
    g, f = heads(0)
    rows, codes = torch.zeros(2, WIDTH), torch.tensor([0, 3])
    common = {"seed": 0, "counters": (np.arange(2),)}
    with pytest.raises(ValueError, match="no receiving classifier"):
        translate(rows, codes * 0, codes * 0, g, None, TranslationSettings(), **common)
    with pytest.raises(ValueError, match="knows 3 classes, but class code 3"):
        translate(rows, codes * 0, codes, g, f, TranslationSettings(), **common)
    with pytest.raises(ValueError, match="reads 8 numbers, the rows have 2"):
        translate(rows[:, :2], codes * 0, codes * 0, g, f, TranslationSettings(), **common)
    with pytest.raises(TypeError, match="train_head"):
        Head(torch.nn.Linear(2, 2))
