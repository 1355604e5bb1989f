"""Training of MISO: what each phase trains, variants, schedule, accumulation, precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import hf_oversample.training.miso as miso_training
from hf_oversample.models.miso.losses_miso import critic_pairs
from hf_oversample.training.miso_critics import CriticSteps
from hf_oversample.training.miso_objectives import SIDES, Pairs, surrogate_latents
from miso_fixtures import arguments, make_corpus, make_generator, make_trainer
from miso_training_runs import LABELS, OPPONENTS, TEXTS, different, player_of, train


def test_each_phase_trains_its_players() -> None:
    untrained = make_generator(TEXTS).state_dict()
    first, _ = train(arguments(critic_steps=0, adversarial_steps=0))
    changed = different(untrained, first)
    assert {player_of(name) for name in changed} == {"generator"}
    assert {"miso.surrogate_fusion.narrow.weight", "fill_head.dense.weight"} <= set(changed)
    assert not any(name.startswith("miso.fusion.") for name in changed)

    second, trainer = train(arguments(adversarial_steps=0))
    assert {player_of(name) for name in different(first, second)} == set(OPPONENTS[:2])
    assert trainer.record.steps == {"pretrain": 4, "critics": 4}

    third, trainer = train()
    changed = different(second, third)
    assert {player_of(name) for name in changed} == {*OPPONENTS, "generator"}
    assert {"miso.fusion.narrow.weight", "miso.encoder.embeddings.word_embeddings.weight"} <= set(
        changed
    )
    assert third["miso.bank_is_filled"].tolist() == [False, True]
    assert set(trainer.record.losses["adversarial"]) >= {
        "I(K)", "I(Q)", "reconstruction", "filling", "adversarial", "discriminators", "tau",
        "alpha", "z/spread", "z/rank", "proximity", "z/swap", "attention/pairs",
        "attention/features", "critic/class", "critic/pair",
    }  # fmt: skip
    assert len(trainer.record.history) == 12
    assert all(parameter.requires_grad for parameter in trainer.players.critics.parameters())


@pytest.mark.parametrize(("choice", "pretrained", "trained"), [
    ("auto", True, False), ("auto", False, True), ("no", False, False), ("yes", True, True),
])  # fmt: skip
def test_word_embeddings(choice: str, pretrained: bool, trained: bool) -> None:
    training = arguments(train_word_embeddings=choice)
    weights, _ = train(training, encoder_is_pretrained=pretrained)
    name = "miso.encoder.embeddings.word_embeddings.weight"
    assert (name in different(make_generator(TEXTS).state_dict(), weights)) == trained


@pytest.mark.parametrize(
    "settings",
    [
        {"use_mi": False, "use_sfm": False},
        {"use_mi": False},
        {"use_sfm": False},
        {"critic_mode": "instance"},
        {"critic_mode": "pair"},
        {"critic_bound": "jsd"},
        {"share_decoder": False},
        {"latent_dropout": 0.2, "critic_mode": "instance", "critic_bound": "jsd"},
    ],
)
def test_variants(settings: dict[str, Any]) -> None:
    weights, trainer = train(settings=settings)
    assert all(torch.isfinite(value).all() for value in weights.values())
    changed = different(make_generator(TEXTS, **settings).state_dict(), weights)
    uses_mi, uses_sfm = settings.get("use_mi", True), settings.get("use_sfm", True)
    assert any(player_of(name) == "minority_critic" for name in changed) == uses_mi
    assert any(name.startswith("miso.fusion.") for name in changed) == uses_sfm
    assert trainer.record.steps.get("critics", 0) == (4 if uses_mi else 0)
    losses = trainer.record.losses["adversarial"]
    assert ("I(K)" in losses) == uses_mi
    assert ("proximity" in losses) == uses_sfm


@pytest.mark.parametrize(("mode", "learns"), [("class", False), ("pair", True)])
def test_the_stand_in_of_fusion_is_computed_where_it_is_read(
    mode: str, learns: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[int] = []

    def surrogate(model: Any, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        computed.append(len(q))
        return surrogate_latents(model, q, k)

    monkeypatch.setattr(miso_training, "surrogate_latents", surrogate)
    _, trainer = train(arguments(adversarial_steps=0), settings={"critic_mode": mode})
    assert len(computed) == (4 if learns else 0)
    assert ("I(K)" in trainer.record.losses["critics"]) == learns


def test_several_target_classes() -> None:
    texts, labels = make_corpus((30, 10, 8))
    model = make_generator(texts, classes=3, targets=(1, 2))
    trainer = make_trainer(model, texts, labels, arguments(adversarial_steps=12))
    trainer.train()
    assert model.miso.bank_is_filled.tolist() == [False, True, True]
    assert {trainer.pairs.counts[c] for c in (1, 2)} == {(10, 30), (8, 30)}
    # both classes come up: each has a temperature of its own, 30/10 and 30/8 at first
    taus = {h["tau"] for h in trainer.record.history if h["phase"] == "adversarial"}
    assert len(taus) > 8


# ---- the schedule -------------------------------------------------------------------------------


def test_temperature_runs_from_the_imbalance_ratio_to_one() -> None:
    _, trainer = train(arguments(adversarial_steps=10, temperature_steps=0.5, alpha_maximum=0.8))
    reports = [h for h in trainer.record.history if h["phase"] == "adversarial"]
    taus, alphas = ([h[name] for h in reports] for name in ("tau", "alpha"))
    assert taus[0] == pytest.approx(40 / 12)
    assert taus == sorted(taus, reverse=True)
    # t_e grows linearly from 0 to n₋ − n₊ over half of the steps
    assert taus[:5] == pytest.approx([40 / (12 + share * 28) for share in (0, 0.2, 0.4, 0.6, 0.8)])
    assert taus[5:] == [1.0] * 5
    assert alphas == pytest.approx([min(0.8, max(0.3, 1 / tau)) for tau in taus])


# ---- accumulation, precision, limits ------------------------------------------------------------


def test_gradient_accumulation() -> None:
    weights, trainer = train(arguments(gradient_accumulation_steps=2))
    assert all(torch.isfinite(value).all() for value in weights.values())

    def optimizer_steps(player: str) -> set[int]:
        states = trainer.players.optimizers[player].optimizer.state.values()
        return {int(state["step"]) for state in states}

    # of 12 micro-steps: phases 1 and 3, at most; two critic updates a micro-step of phase 3
    assert max(optimizer_steps("generator")) == 4
    assert max(optimizer_steps("discriminators")) == 2
    # two in phase 2, and two updates in each of the two steps of phase 3
    assert optimizer_steps("critics") == {6}
    once, _ = train()
    assert different(once, weights)


def random_pairs(seed: int) -> Pairs:
    generator = torch.Generator().manual_seed(seed)
    q, k, z = torch.randn(3, 6, 4, 16, generator=generator)
    return critic_pairs("class", q, k, z, generator)


def test_each_critic_step_averages_its_micro_steps() -> None:
    """Two updates over three micro-batches each are two updates over the batches of all three."""
    apart = [[random_pairs(10 * update + number) for number in range(3)] for update in range(2)]
    together = [
        [
            {
                name: tuple(map(torch.cat, zip(*(p[name] for p in parts), strict=True)))
                for name in SIDES
            }
        ]
        for parts in apart
    ]
    results = []
    for micro_steps, updates in ((3, apart), (1, together)):
        # the Jensen–Shannon bound is a mean: that of a batch is the mean of its parts'
        model = make_generator(TEXTS, critic_bound="jsd")
        training = arguments(
            pretrain_steps=3,
            critic_steps=3,
            adversarial_steps=3,
            gradient_accumulation_steps=micro_steps,
        )
        trainer = make_trainer(model, TEXTS, LABELS, training)
        players, weights = trainer.players, trainer.players.critics.parameters()
        # Adam's steps would enlarge the last bits of small gradients
        players.optimizers["critics"] = trainer.accelerator.prepare(torch.optim.SGD(weights, 0.5))
        for number in range(micro_steps):
            with players.accumulate():
                if number + 1 == micro_steps:
                    loss = players.update_critics(updates)
                else:
                    with pytest.raises(ValueError, match="before the last micro-step of a step"):
                        players.update_critics(updates)
        results.append((loss, {n: v.clone() for n, v in players.critics.named_parameters()}))
    (loss, weights), (expected, whole) = results
    assert loss == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(weights, whole, rtol=1e-5, atol=1e-6)
    untrained = make_generator(TEXTS).state_dict()
    names = [f"{side}_critic.layers.0.weight" for side in SIDES]
    moved = [weights[name.replace("_critic", "")] - untrained[name] for name in names]
    assert all(change.abs().max() > 1e-3 for change in moved)
    with pytest.raises(ValueError, match=r"pairs of \[3\] micro-steps at the last .* averages 1"):
        players.update_critics(apart)


def test_critics_see_every_micro_step_in_each_update(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[int, int]] = []
    pairs_of = CriticSteps.pairs

    def observed(critics: CriticSteps, *latents_step_draw: Any) -> Pairs:
        drawn.append(latents_step_draw[-2:])
        return pairs_of(critics, *latents_step_draw)

    monkeypatch.setattr(CriticSteps, "pairs", observed)
    train(arguments(gradient_accumulation_steps=2))
    # phase 3 has the steps 8 to 11; the generator's own draw is number 2 of each
    assert drawn[-12:] == [
        (8, 2), (8, 0), (9, 0), (8, 1), (9, 1), (9, 2),
        (10, 2), (10, 0), (11, 0), (10, 1), (11, 1), (11, 2),
    ]  # fmt: skip


def test_bfloat16_trains_float32_weights() -> None:
    weights, trainer = train(arguments(mixed_precision="bf16"))
    plain, _ = train()
    for name, value in weights.items():
        assert value.dtype == plain[name].dtype
        assert torch.isfinite(value).all()
    assert different(weights, plain)
    for phase, losses in trainer.record.losses.items():
        assert all(np.isfinite(list(losses.values()))), phase


def test_a_time_limit_ends_each_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(np.arange(10_000) * 0.5)
    monkeypatch.setattr(miso_training.time, "perf_counter", lambda: float(next(clock)))
    many = {"pretrain_steps": 1000, "critic_steps": 1000, "adversarial_steps": 1000}
    _, trainer = train(arguments(max_train_seconds=20.0, temperature_steps=0.5, **many))
    steps = trainer.record.steps
    assert 2 <= steps["pretrain"] <= 30
    assert trainer.record.cut_short == dict.fromkeys(steps, 1000)
    assert all(0 < steps[phase] < steps["pretrain"] for phase in ("critics", "adversarial"))
    # the schedule is that of a whole run
    assert trainer.record.losses["adversarial"]["tau"] == 1.0


def test_a_time_limit_ends_no_phase_inside_an_optimiser_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    training = arguments(
        pretrain_steps=300,
        critic_steps=300,
        adversarial_steps=300,
        gradient_accumulation_steps=3,
        max_train_seconds=30.0,
    )
    # whatever micro-step of a step the time is up in
    for tick in (0.4, 0.5, 0.6):
        clock = iter(np.arange(10_000) * tick)
        monkeypatch.setattr(
            miso_training.time, "perf_counter", lambda clock=clock: float(next(clock))
        )
        _, trainer = train(training)
        assert 0 < trainer.record.steps["pretrain"] < 300
        assert all(steps % 3 == 0 for steps in trainer.record.steps.values())
        assert not any(p.grad is not None and p.grad.any() for p in trainer.model.parameters())
