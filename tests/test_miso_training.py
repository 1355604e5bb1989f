"""Training: what is learnt, what is repeatable, what is refused, and two processes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hf_oversample.training.miso as miso_training
from hf_oversample.models.miso.modeling_miso import MisoForAnchorGeneration
from hf_oversample.training.arguments import MisoTrainingArguments
from hf_oversample.training.batches import MisoPairs
from hf_oversample.training.miso import MisoTrainer
from hf_oversample.training.miso_objectives import GeneratorObjective
from miso_fixtures import (
    arguments,
    encode,
    make_corpus,
    make_generator,
    make_trainer,
)

TEXTS, LABELS = make_corpus((40, 12))
Weights = dict[str, torch.Tensor]


def train(
    training: MisoTrainingArguments | None = None,
    *,
    settings: dict[str, Any] | None = None,
    resume: Path | None = None,
    stop_at: int | None = None,
    **options: Any,
) -> tuple[Weights, MisoTrainer]:
    """A new generator, trained in a new trainer; its weights."""
    model = make_generator(TEXTS, **(settings or {}))
    trainer = make_trainer(model, TEXTS, LABELS, training or arguments(), **options)
    trainer.train(resume_from_checkpoint=resume, stop_at=stop_at)
    return {name: value.clone() for name, value in model.state_dict().items()}, trainer


def different(one: Weights, two: Weights) -> list[str]:
    assert one.keys() == two.keys()
    return [name for name in one if not torch.equal(one[name], two[name])]


# ---- what each phase trains ---------------------------------------------------------------------

OPPONENTS = ("minority_critic", "majority_critic", "minority_disc", "majority_disc")


def start(name: str) -> str:
    return next((part for part in OPPONENTS if name.startswith(part)), "generator")


def test_each_phase_trains_its_players() -> None:
    untrained = make_generator(TEXTS).state_dict()
    first, _ = train(arguments(critic_steps=0, adversarial_steps=0))
    changed = different(untrained, first)
    assert {start(name) for name in changed} == {"generator"}
    assert {"miso.surrogate_fusion.narrow.weight", "fill_head.dense.weight"} <= set(changed)
    assert not any(name.startswith("miso.fusion.") for name in changed)

    second, trainer = train(arguments(adversarial_steps=0))
    assert {start(name) for name in different(first, second)} == set(OPPONENTS[:2])
    assert trainer.record.steps == {"pretrain": 4, "critics": 4}

    third, trainer = train()
    changed = different(second, third)
    assert {start(name) for name in changed} == {*OPPONENTS, "generator"}
    assert {"miso.fusion.narrow.weight", "miso.encoder.embeddings.word_embeddings.weight"} <= set(
        changed
    )
    assert third["miso.bank_is_filled"].tolist() == [False, True]
    assert set(trainer.record.losses["adversarial"]) >= {
        "I(K)", "I(Q)", "reconstruction", "filling", "adversarial", "discriminators", "tau",
        "alpha", "z/spread", "z/rank", "proximity",
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
    assert any(start(name) == "minority_critic" for name in changed) == uses_mi
    assert any(name.startswith("miso.fusion.") for name in changed) == uses_sfm
    assert trainer.record.steps.get("critics", 0) == (4 if uses_mi else 0)
    losses = trainer.record.losses["adversarial"]
    assert ("I(K)" in losses) == uses_mi
    assert ("proximity" in losses) == uses_sfm


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


# ---- overfitting --------------------------------------------------------------------------------


@torch.no_grad()
def share_of_tokens_rebuilt(
    model: MisoForAnchorGeneration, texts: list[str], labels: np.ndarray, shift: int = 0
) -> float:
    """Share of tokens that are the most likely ones given the text so far and its latent.

    With a shift, given the latent of another text of the same class.
    """
    model.eval()
    right = total = 0
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        encoded = [torch.from_numpy(text.input_ids) for text in encode([texts[r] for r in rows])]
        latents = torch.cat([model.miso(ids[None]).latents for ids in encoded]).roll(shift, 0)
        for ids, latent in zip(encoded, latents, strict=True):
            logits = model.decode_logits(ids[None, :-1], latent[None], torch.tensor([int(label)]))
            best = model.output_tokens[logits[0].argmax(-1)]
            right += int((best == ids[1:]).sum())
            total += len(ids) - 1
    return right / total


@pytest.mark.slow
@pytest.mark.parametrize("share_decoder", [True, False])
def test_fifty_texts_are_rebuilt(share_decoder: bool) -> None:
    texts, labels = make_corpus((38, 12), seed=9)
    model = make_generator(
        texts, dropout=0.0, num_latent_heads=8, latent_size=32, share_decoder=share_decoder
    )
    training = arguments(
        pretrain_steps=700,
        critic_steps=0,
        adversarial_steps=0,
        batch_size=50,
        decoder_rows=50,
        learning_rate=3e-3,
        encoder_learning_rate=3e-3,
        logging_steps=100,
    )
    make_trainer(model, texts, labels, training).train()
    assert share_of_tokens_rebuilt(model, texts, labels) >= 0.95
    # it is the latent that tells: from another text's, the decoder writes the other text
    assert share_of_tokens_rebuilt(model, texts, labels, shift=1) < 0.85


# ---- resuming -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stop_at", "options"),
    [
        (2, {}),
        (4, {}),
        (5, {}),
        (8, {}),
        (10, {}),
        (2, {"encoder_is_pretrained": False}),
        (6, {"encoder_is_pretrained": False}),
        (9, {"settings": {"share_decoder": False, "critic_bound": "jsd"}}),
        (6, {"training": arguments(gradient_accumulation_steps=2)}),
        (10, {"training": arguments(mixed_precision="bf16")}),
    ],
)
def test_a_resumed_run_ends_as_an_uninterrupted_one(
    stop_at: int, options: dict[str, Any], tmp_path: Path
) -> None:
    # other texts: the evaluations are part of the record
    more, other = make_corpus((10, 6), seed=4)
    options = {**options, "validation": encode(more), "validation_labels": other}
    expected, whole = train(**options)
    _, stopped = train(**options, output_dir=tmp_path, stop_at=stop_at)
    assert stopped.record.stopped_at == stop_at
    assert [path.name for path in tmp_path.iterdir()] == [f"checkpoint-{stop_at}"]
    weights, resumed = train(
        **options, output_dir=tmp_path, resume=tmp_path / f"checkpoint-{stop_at}"
    )
    assert different(expected, weights) == []
    assert resumed.record.history == whole.record.history
    assert resumed.record.losses == whole.record.losses
    assert resumed.record.steps == whole.record.steps


def test_the_same_seed_gives_the_same_weights() -> None:
    one, _ = train()
    torch.randn(5)  # whatever was drawn before
    two, _ = train()
    assert different(one, two) == []
    other, _ = train(arguments(seed=1))
    assert different(one, other)


def test_checkpoints_every_few_steps(tmp_path: Path) -> None:
    training = arguments(save_steps=4)
    expected, _ = train(training, output_dir=tmp_path)
    names = {"checkpoint-4", "checkpoint-8", "checkpoint-12"}
    assert {path.name for path in tmp_path.iterdir()} == names
    # from an earlier one, over the later ones
    weights, _ = train(training, output_dir=tmp_path, resume=tmp_path / "checkpoint-4")
    assert different(expected, weights) == []
    assert {path.name for path in tmp_path.iterdir()} == names
    # from the last, nothing is left to do
    weights, _ = train(training, output_dir=tmp_path, resume=tmp_path / "checkpoint-12")
    assert different(expected, weights) == []


def test_resuming_with_other_arguments_is_refused(tmp_path: Path) -> None:
    train(output_dir=tmp_path, stop_at=2)
    folder = tmp_path / "checkpoint-2"
    with pytest.raises(ValueError, match=r"other arguments: batch_size was 12 and is 13.*same arg"):
        train(arguments(batch_size=13), resume=folder)
    # what does not change the weights may differ
    train(arguments(logging_steps=2, evaluation_steps=7), resume=folder)
    state = json.loads((folder / "trainer.json").read_text())
    (folder / "trainer.json").write_text(json.dumps({**state, "processes": 2}))
    with pytest.raises(ValueError, match="made by 2 processes, and there are 1 now"):
        train(resume=folder)
    with pytest.raises(ValueError, match=r"is no checkpoint of this trainer"):
        train(resume=tmp_path)


def test_nowhere_to_write() -> None:
    with pytest.raises(ValueError, match="save_steps and report_to need an output_dir"):
        train(arguments(save_steps=2))


# ---- divergence ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phase", "step", "part", "term"),
    [
        ("pretrain", 2, "reconstruction", "reconstruction"),
        ("pretrain", 2, "filling", "filling"),
        ("adversarial", 9, "filling", "filling"),
    ],
)
def test_a_loss_that_is_not_finite_stops_training(
    phase: str, step: int, part: str, term: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    original = getattr(GeneratorObjective, phase)

    def poisoned(self: Any, batch: Any, *inputs: Any) -> Any:
        calls.append(phase)
        losses = original(self, batch, *inputs)
        if len(calls) == (step - 8 if phase == "adversarial" else step) + 1:
            losses[part] = losses[part] * float("nan")
            losses["loss"] = losses.get("loss", 0.0) + losses[part]
        return losses

    monkeypatch.setattr(GeneratorObjective, phase, poisoned)
    with pytest.raises(
        FloatingPointError, match=f"{term}' is nan at step {step} of phase '{phase}'"
    ):
        train(arguments(save_steps=20), output_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("phase", ["pretrain", "critics", "adversarial"])
def test_weights_that_are_not_finite_stop_training(
    phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = getattr(MisoTrainer, f"_{phase.removesuffix('s')}_step")

    def poisoned(self: MisoTrainer, step: int, progress: float) -> Any:
        with torch.no_grad():
            self.model.miso.pooling.value.weight[0, 0] = float("nan")
            self.model.minority_critic.layers[0].weight[0, 0] = float("nan")
        return original(self, step, progress)

    monkeypatch.setattr(MisoTrainer, f"_{phase.removesuffix('s')}_step", poisoned)
    with pytest.raises(FloatingPointError, match=f"of phase '{phase}': training diverged"):
        train()


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
    once, _ = train()
    assert different(once, weights)


@pytest.mark.parametrize("changes", [
    {"pretrain_steps": 3}, {"critic_steps": 5}, {"adversarial_steps": 1}, {"save_steps": 3},
])  # fmt: skip
def test_a_phase_ends_with_an_optimiser_step(changes: dict[str, int]) -> None:
    (name,) = changes
    with pytest.raises(ValueError, match=f"{name} is .*, no multiple of gradient_acc"):
        arguments(gradient_accumulation_steps=2, **changes)


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
    assert all(0 < steps[phase] < steps["pretrain"] for phase in ("critics", "adversarial"))
    # the schedule is that of a whole run
    assert trainer.record.losses["adversarial"]["tau"] == 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pretrain_steps": -1}, "pretrain_steps is -1; it must not be negative"),
        ({"batch_size": 0}, "batch_size is 0; it must be positive"),
        ({"pair_batch_size": 1}, "pair_batch_size is 1; mutual information needs at least 2"),
        ({"mask_share": 1.5}, "mask_share is 1.5; it is a share, from 0 to 1"),
        ({"mixed_precision": "fp8"}, "mixed_precision is 'fp8'"),
        ({"max_train_seconds": -2.0}, "max_train_seconds is -2.0"),
    ],
)
def test_argument_errors(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        arguments(**changes)


def test_every_default_has_a_source() -> None:
    table = MisoTrainingArguments.describe().splitlines()
    assert len(table) == 2 + len(MisoTrainingArguments().to_dict())
    for row in table[2:]:
        name, default, meaning, source = (
            cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]
        )
        assert str(MisoTrainingArguments().to_dict()[name.strip("`")]) == default
        assert meaning
        assert source


# ---- pairs --------------------------------------------------------------------------------------


def test_pairs_are_difficult_first_with_their_nearest_neighbours(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.asarray([0] * 30 + [1] * 8)
    embeddings = rng.normal(size=(38, 5)).astype(np.float32) + 1.5 * labels[:, None]
    pairs = MisoPairs.find(embeddings, labels, [1], arguments())
    distances = np.linalg.norm(embeddings[:, None] - embeddings[None], axis=-1)
    difficulty = {}
    for row in np.flatnonzero(labels == 1):
        near = [other for other in np.argsort(distances[row]) if other != row][:5]
        difficulty[row] = np.mean(labels[near] == 0)
    assert sorted(pairs.rows[1].tolist()) == sorted(difficulty)
    shares = [difficulty[row] for row in pairs.rows[1]]
    assert pairs.difficulty[1] == pytest.approx(shares)
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0
    for row, neighbors in zip(pairs.rows[1], pairs.neighbors[1], strict=True):
        assert neighbors.tolist() == np.argsort(distances[row][:30], kind="stable")[:5].tolist()
    assert pairs.counts == {1: (8, 30)}

    own, other = pairs.reference(1, 20)
    assert own.tolist() == (pairs.rows[1].tolist() * 3)[:20]
    assert other[:8].tolist() == pairs.neighbors[1][:, 0].tolist()
    assert other[8:16].tolist() == pairs.neighbors[1][:, 1].tolist()

    label, drawn, partners = pairs.draw(arguments(), 3, 0, 6)
    again = pairs.draw(arguments(), 3, 0, 6)
    assert label == 1
    assert (drawn == again[1]).all()
    assert (partners == again[2]).all()
    assert len(set(drawn.tolist())) == 6  # no row twice where there are enough
    for step, process in ((4, 0), (3, 1)):
        assert pairs.draw(arguments(), step, process, 6)[1].tolist() != drawn.tolist()
    for row, partner in zip(drawn, partners, strict=True):
        place = int(np.flatnonzero(pairs.rows[1] == row)[0])
        assert partner in pairs.neighbors[1][place]

    pairs.save(tmp_path / "pairs.safetensors")
    loaded = MisoPairs.load(tmp_path / "pairs.safetensors")
    assert loaded.counts == pairs.counts
    for name in ("rows", "neighbors", "difficulty"):
        assert np.array_equal(getattr(loaded, name)[1], getattr(pairs, name)[1])


# ---- a real run ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_information_moves_the_right_way() -> None:
    """I(K; Q̄) falls and I(Q; Q̄) rises while SFM and encoder train against the critics."""
    texts, labels = make_corpus((300, 60))
    model = make_generator(texts)
    training = arguments(
        pretrain_steps=150,
        critic_steps=40,
        adversarial_steps=120,
        batch_size=32,
        pair_batch_size=64,
        learning_rate=2e-3,
        encoder_learning_rate=1e-3,
        # with the defaults α ends at 0.9 and the last steps move z back to q
        alpha_maximum=0.5,
        proximity=0.3,
    )
    trainer = make_trainer(model, texts, labels, training)
    trainer.train()
    reports = [h for h in trainer.record.history if h["phase"] == "adversarial"]
    assert len(reports) == 120
    early, late = (
        {name: np.mean([h[name] for h in part]) for name in ("I(K)", "I(Q)", "z/spread")}
        for part in (reports[:30], reports[-30:])
    )
    assert late["I(K)"] < early["I(K)"] - 0.3
    assert late["I(Q)"] > early["I(Q)"] + 0.3
    assert late["z/spread"] > 0.3  # and not because all z became one


# ---- two processes ------------------------------------------------------------------------------

TWO_PROCESSES = """
import sys
from pathlib import Path

import torch
from miso_fixtures import arguments, make_corpus, make_generator, make_trainer

out, phase = Path(sys.argv[1]), sys.argv[2]
texts, labels = make_corpus((40, 12))
model = make_generator(texts)
trainer = make_trainer(model, texts, labels, arguments(), output_dir=out)
assert trainer.accelerator.num_processes == 2
if phase == "whole":
    trainer.train()
elif phase == "first":
    trainer.train(stop_at=10)
else:
    trainer.train(resume_from_checkpoint=out / "checkpoint-10")
state = {"weights": model.state_dict(), "history": trainer.record.history}
torch.save(state, out / f"{phase}-{trainer.process}.pt")
torch.distributed.destroy_process_group()
"""


def run_two_processes(script: Path, folder: Path, phase: str) -> list[dict[str, Any]]:
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    answer = subprocess.run(
        [sys.executable, *command, str(script), str(folder), phase],
        capture_output=True,
        text=True,
        timeout=300,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parent),
            "OMP_NUM_THREADS": "1",
            "ACCELERATE_USE_CPU": "true",
            "CUDA_VISIBLE_DEVICES": "",
        },
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    return [torch.load(folder / f"{phase}-{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.slow
def test_two_processes_agree(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(TWO_PROCESSES)
    one, two = run_two_processes(script, tmp_path, "whole")
    assert different(one["weights"], two["weights"]) == []
    # each drew batches of its own
    assert one["history"] != two["history"]
    alone, _ = train()
    assert different(alone, one["weights"])
    trained = {
        start(name) for name in different(make_generator(TEXTS).state_dict(), one["weights"])
    }
    assert trained == {"generator", *OPPONENTS}
    run_two_processes(script, tmp_path, "first")
    resumed = run_two_processes(script, tmp_path, "resumed")
    for rank in resumed:
        assert different(rank["weights"], one["weights"]) == []
