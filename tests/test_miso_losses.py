"""Critics, discriminators and the estimators behind them, against values known in closed form."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hf_oversample.models.miso.losses_miso import (
    CriticObjective,
    MutualInformationCritic,
    SurfaceDiscriminator,
    adversarial_loss,
    critic_pairs,
    derangement,
    discriminator_loss,
    donsker_varadhan,
    effective_rank,
    jensen_shannon,
    score_shares,
    straight_through_embeddings,
)

# ---- mutual information of Gaussians ------------------------------------------------------------


def correlated(n: int, width: int, rho: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    a, noise = (torch.randn(n, width, generator=generator) for _ in range(2))
    return a, rho * a + math.sqrt(1 - rho * rho) * noise


def scores_of(
    critic: MutualInformationCritic, a: Tensor, b: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Those of the pairs, and of pairs of what does not belong together; in one pass, for time."""
    shuffled = b[derangement(len(b), generator)]
    joint, product = critic(a.repeat(2, 1), torch.cat([b, shuffled])).chunk(2)
    return joint, product


def estimate(
    width: int, rho: float, bound: str, steps: int, batch: int = 256, hidden: int = 64
) -> float:
    """Train a critic on fresh samples, and return its Donsker–Varadhan value on others."""
    generator = torch.Generator().manual_seed(width)
    torch.manual_seed(0)
    critic = MutualInformationCritic(width, hidden)
    objective = CriticObjective(bound)
    optimizer = torch.optim.Adam(critic.parameters(), 2e-3, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        a, b = correlated(batch, width, rho, generator)
        loss = objective(*scores_of(critic, a, b, generator))
        assert math.isfinite(loss.item())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(critic.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        a, b = correlated(50_000, width, rho, generator)
        return float(donsker_varadhan(*scores_of(critic, a, b, generator)))


def information(width: int, rho: float) -> float:
    """−(d/2)·ln(1 − ρ²) nats."""
    return -width / 2 * math.log(1 - rho * rho)


slow = pytest.mark.slow


@pytest.mark.parametrize(
    ("width", "nats", "bound", "steps"),
    [
        (1, 0.8, "dv", 600),
        (1, 0.8, "jsd", 600),
        (5, 1.0, "dv", 1200),
        pytest.param(1, 2.0, "dv", 3000, marks=slow),
        pytest.param(5, 0.5, "jsd", 3000, marks=slow),
        pytest.param(20, 2.0, "dv", 4000, marks=slow),
    ],
)
def test_information_of_gaussians(width: int, nats: float, bound: str, steps: int) -> None:
    rho = math.sqrt(1 - math.exp(-2 * nats / width))
    assert information(width, rho) == pytest.approx(nats)
    assert estimate(width, rho, bound, steps) == pytest.approx(nats, rel=0.1)


@pytest.mark.parametrize(
    ("width", "bound"), [(1, "dv"), (5, "jsd"), pytest.param(20, "dv", marks=slow)]
)
def test_independent_data_have_no_information(width: int, bound: str) -> None:
    assert abs(estimate(width, 0.0, bound, steps=600 if width < 20 else 3000)) < 0.05


@pytest.mark.slow
@pytest.mark.parametrize(("limit", "steps"), [(5.0, 10_000), (0.0, 1_500)])
def test_critic_stays_finite_in_many_dimensions(limit: float, steps: int) -> None:
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    critic, objective = MutualInformationCritic(128, 64, limit), CriticObjective("dv")
    optimizer = torch.optim.Adam(critic.parameters(), 1e-3, fused=True)
    for step in range(steps):
        # 119 nats: far above ln 64, what a batch of 64 can show
        a, b = correlated(64, 128, 0.92, generator)
        joint, product = scores_of(critic, a, b, generator)
        loss = objective(joint, product)
        value = donsker_varadhan(joint, product)
        assert torch.isfinite(loss + value), step
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(critic.parameters(), 1.0)
        optimizer.step()
        if limit:
            # E[T] ≤ limit, and −log E[e^T] ≤ limit
            assert -2 * limit <= value <= 2 * limit
    assert all(torch.isfinite(weight).all() for weight in critic.parameters())
    assert value > 1  # and it learnt something


# ---- estimators by hand -------------------------------------------------------------------------


def test_bounds_by_hand() -> None:
    joint, product = torch.tensor([1.0, 3.0]), torch.tensor([0.0, math.log(3.0)])
    assert donsker_varadhan(joint, product).item() == pytest.approx(2 - math.log((1 + 3) / 2))

    def softplus(x: float) -> float:
        return math.log(1 + math.exp(x))

    expected = -(softplus(-1) + softplus(-3)) / 2 - (softplus(0) + softplus(math.log(3))) / 2
    assert jensen_shannon(joint, product).item() == pytest.approx(expected)
    # a constant critic knows nothing
    same = torch.full((7,), 2.5)
    assert donsker_varadhan(same, same).item() == pytest.approx(0, abs=1e-6)
    assert jensen_shannon(0 * same, 0 * same).item() == pytest.approx(-2 * math.log(2))


def test_donsker_varadhan_of_large_scores_is_finite() -> None:
    large = torch.tensor([1e4, 1e4])
    assert donsker_varadhan(large, large).item() == pytest.approx(0, abs=1e-3)


def test_gradient_is_divided_by_the_moving_average() -> None:
    objective = CriticObjective("dv", decay=0.9)
    average = None
    for scores in ([0.0, 1.0, 2.0], [3.0, 1.0, -1.0], [0.5, 0.5, 0.5]):
        joint = torch.zeros(4, requires_grad=True)
        product = torch.tensor(scores, requires_grad=True)
        objective(joint, product).backward()
        powers = torch.tensor(scores).exp()
        now = powers.mean()
        average = now if average is None else 0.9 * average + 0.1 * now
        torch.testing.assert_close(product.grad, powers / 3 / average)
        torch.testing.assert_close(joint.grad, torch.full((4,), -0.25))
        torch.testing.assert_close(objective.log_average.exp(), average)
    before = objective.log_average.clone()
    objective.eval()(torch.zeros(4), torch.full((3,), 9.0))
    assert torch.equal(objective.log_average, before)


def test_first_gradient_and_jsd_have_no_correction() -> None:
    scores = torch.tensor([0.3, -1.0, 2.0])
    for bound, value in (("dv", donsker_varadhan), ("jsd", jensen_shannon)):
        grads = []
        for function in (CriticObjective(bound), lambda j, p, value=value: -value(j, p)):
            joint, product = (scores.clone().requires_grad_() for _ in range(2))
            function(joint, product).backward()
            grads.append((joint.grad, product.grad))
        torch.testing.assert_close(grads[0], grads[1])


def test_unknown_bound() -> None:
    with pytest.raises(ValueError, match="bound is 'nwj'; it must be 'dv' or 'jsd'"):
        CriticObjective("nwj")


def test_scores_are_bounded_softly() -> None:
    torch.manual_seed(0)
    critic = MutualInformationCritic(4, 8, score_limit=2.0)
    free = MutualInformationCritic(4, 8, score_limit=0.0)
    free.load_state_dict(critic.state_dict())
    a, b = 100 * torch.randn(50, 4), 100 * torch.randn(50, 4)
    assert free(a, b).abs().max() > 2
    assert critic(a, b).shape == (50,)
    torch.testing.assert_close(critic(a, b), 2 * torch.tanh(free(a, b) / 2))


# ---- derangements and pairs ---------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(n=st.integers(2, 200), seed=st.integers(0, 2**32))
def test_a_derangement_moves_everything(n: int, seed: int) -> None:
    order = derangement(n, torch.Generator().manual_seed(seed))
    assert order.sort().values.tolist() == list(range(n))
    assert not (order == torch.arange(n)).any()
    assert torch.equal(order, derangement(n, torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_for_a_derangement(n: int) -> None:
    with pytest.raises(ValueError, match=f"batch of {n} has no derangement: .* at least 2 pairs"):
        derangement(n)


def latents_of_pairs(n: int = 6, heads: int = 3, size: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """q, k and z whose values tell which they are: 100s for q, 200s for k, 300s for z."""
    row = torch.arange(n * heads * size, dtype=torch.float32).view(n, heads, size)
    return 100 + row, 200 + row, 300 + row


def test_pairs_of_instances() -> None:
    q, k, z = latents_of_pairs()
    pairs = critic_pairs("instance", q, k, z, torch.Generator().manual_seed(0))
    assert set(pairs) == {"minority", "majority", "minority_of_z", "majority_of_z"}
    for name, own in (("minority", q), ("majority", k)):
        a, b, c, d = pairs[name]
        assert {x.shape for x in (a, b, c, d)} == {(18, 2)}
        assert torch.equal(a, own.flatten(0, 1))
        assert torch.equal(c, a)
        assert torch.equal(b, z.flatten(0, 1))
        # negatives: every z once more, of the same head and another text
        moved = ((d - b) / 6).round()[:, 0].view(6, 3)
        assert (moved != 0).all()
        assert (moved == moved[:, :1]).all()
        assert torch.equal(d.sort(0).values, b.sort(0).values)
        assert all(
            torch.equal(x, y) for x, y in zip(pairs[name], pairs[f"{name}_of_z"], strict=True)
        )


def test_pairs_of_classes() -> None:
    q, k, z = latents_of_pairs(n=40)
    pairs = critic_pairs("class", q, k, z, torch.Generator().manual_seed(0))
    for name, own in (("minority", q), ("majority", k)):
        own = own.flatten(1)
        a, b, c, d = pairs[name]
        assert {x.shape for x in (a, b, c, d)} == {(40, 6)}
        assert torch.equal(a, own)
        assert torch.equal(c, own)
        # a text is paired with another of its class, and against the mixture of both classes
        assert not (a == b).all(1).any()
        assert torch.equal(b.sort(0).values, own.sort(0).values)
        from_majority = (d.unsqueeze(1) == k.flatten(1)).all(-1).any(1)
        from_minority = (d.unsqueeze(1) == q.flatten(1)).all(-1).any(1)
        assert (from_majority ^ from_minority).all()
        assert 8 < from_majority.sum() < 32
        assert not ((c == d).all(1)).any()
        first, scored, third, fourth = pairs[f"{name}_of_z"]
        assert torch.equal(scored, z.flatten(1))
        assert torch.equal(first, b)
        assert torch.equal(third, c)
        assert torch.equal(fourth, d)


def test_pairs_of_classes_and_texts() -> None:
    q, k, z = latents_of_pairs(n=40)
    generator = torch.Generator().manual_seed
    of_class = critic_pairs("class", q, k, z, generator(0))
    pairs = critic_pairs("pair", q, k, z, generator(0))
    assert pairs.keys() == of_class.keys()
    for name, own in (("minority", q), ("majority", k)):
        for side in (name, f"{name}_of_z"):
            # the class's half, and then a text with its own z against another text's
            halves = [(part[:40], part[40:]) for part in pairs[side]]
            for (first, _), expected in zip(halves, of_class[side], strict=True):
                assert torch.equal(first, expected)
            a, b, c, d = (second for _, second in halves)
            assert torch.equal(a, own.flatten(1))
            assert torch.equal(b, z.flatten(1))
            assert torch.equal(c, a)
            assert not (d == b).all(1).any()
            assert torch.equal(d.sort(0).values, b.sort(0).values)


def test_critics_of_classes_learn_without_z() -> None:
    q, k, z = latents_of_pairs()
    pairs = critic_pairs("class", q, k, None, torch.Generator().manual_seed(0))
    assert set(pairs) == {"minority", "majority"}
    whole = critic_pairs("class", q, k, z, torch.Generator().manual_seed(0))
    for name, parts in pairs.items():
        assert all(torch.equal(x, y) for x, y in zip(parts, whole[name], strict=True))
    for mode in ("pair", "instance"):
        with pytest.raises(ValueError, match=f"mode '{mode}' learn from z, and none is given"):
            critic_pairs(mode, q, k, None)


@pytest.mark.parametrize("bound", [donsker_varadhan, jensen_shannon])
@pytest.mark.parametrize("side", ["minority", "majority"])
@pytest.mark.parametrize("mode", ["class", "pair"])
def test_what_moves_z_moves_nothing_else(mode: str, side: str, bound: Any) -> None:
    """q and k normalise the critics' scores of z: through the normaliser they would be moved to
    make it small, which says nothing of z."""
    torch.manual_seed(0)
    q, k, z = (torch.randn(6, 2, 3, requires_grad=True) for _ in range(3))
    pairs = critic_pairs(mode, q, k, z, torch.Generator().manual_seed(7))
    critic = MutualInformationCritic(6, 8)
    a, b, c, d = pairs[f"{side}_of_z"]
    bound(critic(a, b), critic(c, d)).backward()
    assert q.grad is None
    assert k.grad is None
    assert (z.grad.flatten(1).norm(dim=1) > 0).all()
    # critics have both sides' gradients still: of their own pairs all parts are what they are
    assert all(x.requires_grad for x in pairs[side][:2])


def test_shares_of_a_critics_scores_by_hand() -> None:
    a = torch.tensor([1.0, -1.0]).view(2, 1, 1)
    z, k = torch.tensor([3.0, -3.0]).view(2, 1, 1), torch.tensor([1.0, -1.0]).view(2, 1, 1)

    def shares(score: Any) -> tuple[float, float]:
        return score_shares(score, "pair", a, [z, k])

    assert shares(lambda x, y: x[..., 0]) == pytest.approx((0, 0))
    assert shares(lambda x, y: y[..., 0]) == pytest.approx((0, 0))
    assert shares(lambda x, y: (x * y)[..., 0]) == pytest.approx((0, 1))
    assert shares(lambda x, y: (y[..., 0].abs() > 2).float()) == pytest.approx((1, 0))
    assert shares(lambda x, y: 0 * y[..., 0]) == (0, 0)
    # variances: of the class 1, of the pair 5 (the mean of 9 and 1)
    found = shares(lambda x, y: 2 * (y[..., 0].abs() > 2).float() + (x * y)[..., 0])
    assert found == pytest.approx((1 / 6, 5 / 6))
    assert score_shares(lambda x, y: (x * y)[..., 0], "instance", a, [z, k]) == (0, 1)


@pytest.mark.parametrize("mode", ["instance", "class", "pair"])
def test_pairs_reach_z_and_are_repeatable(mode: str) -> None:
    q, k, z = (torch.randn(5, 2, 3, requires_grad=True) for _ in range(3))
    one, two = (critic_pairs(mode, q, k, z, torch.Generator().manual_seed(7)) for _ in range(2))
    for name in one:
        assert all(torch.equal(x, y) for x, y in zip(one[name], two[name], strict=True))
    critic = MutualInformationCritic(3 if mode == "instance" else 6, 8)
    a, b, c, d = one["minority_of_z"]
    donsker_varadhan(critic(a, b), critic(c, d)).backward()
    assert z.grad is not None
    assert (z.grad.flatten(1).norm(dim=1) > 0).all()


# ---- discriminators -----------------------------------------------------------------------------


def test_straight_through_takes_the_best_token_and_has_a_gradient() -> None:
    torch.manual_seed(0)
    logits, embeddings = torch.randn(7, 11, requires_grad=True), torch.randn(11, 5)
    chosen = straight_through_embeddings(logits, embeddings, temperature=0.7)
    torch.testing.assert_close(chosen, embeddings[logits.argmax(-1)])
    (chosen * torch.randn(7, 5)).sum().backward()
    assert logits.grad is not None
    assert (logits.grad.abs().sum(1) > 1e-3).all()
    # the softmax's gradient: adding a constant to a row changes nothing
    torch.testing.assert_close(logits.grad.sum(1), torch.zeros(7), atol=1e-6, rtol=0)

    noise = torch.zeros(7, 11)
    noise[:, 3] = 100
    noisy = straight_through_embeddings(logits, embeddings, 0.7, noise)
    torch.testing.assert_close(noisy, embeddings[3].expand(7, 5))


def test_discriminator_ignores_padding() -> None:
    torch.manual_seed(0)
    discriminator = SurfaceDiscriminator(4, 8)
    embeddings, mask = torch.randn(3, 6, 4), torch.tensor([[1] * 6, [1] * 2 + [0] * 4, [0] * 6])
    other = embeddings.clone()
    other[mask == 0] = 1e3
    assert torch.equal(discriminator(embeddings, mask), discriminator(other, mask))
    alone = discriminator(embeddings[1:2, :2], mask[1:2, :2])
    torch.testing.assert_close(discriminator(embeddings, mask)[1:2], alone)
    assert discriminator(embeddings, mask).shape == (3,)


def test_adversarial_losses_by_hand() -> None:
    real, generated = torch.tensor([2.0]), torch.tensor([-1.0])

    def sigmoid(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    expected = -math.log(sigmoid(2)) - math.log(1 - sigmoid(-1))
    assert discriminator_loss(real, generated).item() == pytest.approx(expected)
    assert adversarial_loss(generated).item() == pytest.approx(-math.log(sigmoid(-1)))


def test_effective_rank() -> None:
    torch.manual_seed(0)
    assert effective_rank(torch.ones(9, 2, 3)).item() == pytest.approx(1)
    line = torch.randn(30, 1) * torch.randn(1, 8)
    assert effective_rank(line).item() == pytest.approx(1, abs=1e-2)
    spread = effective_rank(torch.linalg.qr(torch.randn(400, 8) - 0.0).Q).item()
    assert 7.5 < spread <= 8
