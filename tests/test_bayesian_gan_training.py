"""Training of the Bayesian-network GAN: exact resume, errors, what it learns."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bayesian_gan_fixtures import (
    NAMES,
    QUICK,
    QUICK_OVERSAMPLER,
    TINY,
    dataset,
    explained,
    linear_gaussian,
    linear_gaussian_factors,
    tiny_model,
    trainer,
)
from benchmarks.papers.shapes import FACTORS, SHAPES, draw_shapes, random_factors
from hf_oversample.models.bayesian_gan.modeling_bayesian_gan import BayesianGanModel
from hf_oversample.models.bayesian_gan.network import BayesianNetwork
from hf_oversample.oversamplers.bayesian_gan import BayesianGanOversampler
from hf_oversample.training.bayesian_gan import BayesianGanTrainer, new_bayesian_gan
from hf_oversample.training.bayesian_gan_arguments import BayesianGanTrainingArguments
from hf_oversample.training.bayesian_gan_batches import class_shares
from two_processes import run_two_processes


def weights(model: BayesianGanModel) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("loss", ["bounded", "infogan"])
def test_a_resumed_run_ends_with_the_same_weights(loss: str, tmp_path: Path) -> None:
    rows, labels = linear_gaussian((10, 30))
    options = {"structure_loss": loss}
    whole = trainer(rows, labels, **options)
    record = whole.train()
    first = trainer(rows, labels, tmp_path, **options)
    assert first.train(stop_at=3).stopped_at == 3
    second = trainer(rows, labels, tmp_path, **options)
    resumed = second.train(resume_from_checkpoint=tmp_path / "checkpoint-3")
    for name, value in weights(whole.model).items():
        assert torch.equal(value, second.model.state_dict()[name]), name
    assert resumed.losses == record.losses
    assert [entry["step"] for entry in resumed.history] == [2, 4, 6]
    assert not list(tmp_path.glob(".*"))
    other = trainer(rows, labels, tmp_path, arguments={"batch_size": 16})
    with pytest.raises(ValueError, match="batch_size was 8 and is 16"):
        other.train(resume_from_checkpoint=tmp_path / "checkpoint-3")
    with pytest.raises(ValueError, match="no checkpoint"):
        other.train(resume_from_checkpoint=tmp_path)


def test_images_train_with_shifts_and_accumulated_steps() -> None:
    images = draw_shapes(np.arange(30) % 2, random_factors(30), side=8)
    one = trainer(
        images,
        np.arange(30) % 2,
        kind="image",
        num_channels=4,
        arguments={"max_translation": 1, "gradient_accumulation_steps": 2, "save_steps": 0},
    )
    before = weights(one.model)
    record = one.train()
    assert record.steps == 6
    assert all(math.isfinite(value) for value in record.losses.values())
    assert {"discriminator", "generator", "structure", "leakage"} <= set(record.losses)
    changed = {n for n, v in weights(one.model).items() if not torch.equal(v, before[n])}
    assert {name.split(".")[0] for name in changed} == {"generator", "discriminator"}
    made = one.model.generate("rare", n=3)
    assert made.min() >= images.min() - 1e-6
    assert made.max() <= images.max() + 1e-6


def test_each_discriminator_update_sees_every_micro_step(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, labels = linear_gaussian((10, 30))
    settings = {"gradient_accumulation_steps": 2, "discriminator_updates": 2, "save_steps": 0}
    one = trainer(rows, labels, arguments={**settings, "steps": 4})
    drawn: list[tuple[int, int]] = []
    terms_of, optimizer = one._discriminator_terms, one.optimizers["discriminator"]

    def observed(step: int, update: int) -> dict[str, torch.Tensor]:
        drawn.append((step, update))
        return terms_of(step, update)

    monkeypatch.setattr(one, "_discriminator_terms", observed)
    one.train()
    assert drawn == [(0, 0), (1, 0), (0, 1), (1, 1), (2, 0), (3, 0), (2, 1), (3, 1)]
    state = optimizer.state_dict()["state"]
    assert {int(values["step"]) for values in state.values()} == {4}
    with pytest.raises(ValueError, match="stop_at is 3, no multiple"):
        one.train(stop_at=3)


def test_classes_that_are_made_have_their_share_of_the_rows() -> None:
    def shares(targets: list[int] | None, **values: float) -> list[float]:
        arguments = BayesianGanTrainingArguments(**values)
        return class_shares(np.array([10.0, 40.0, 0.0, 50.0]), arguments, targets).tolist()

    third = 1 / 3
    assert shares(None) == pytest.approx([third, third, 0, third])
    assert shares([0]) == pytest.approx([0.5, 0.25, 0, 0.25])
    assert shares([0, 1]) == pytest.approx([third, third, 0, third])  # they have more already
    assert shares([0, 1], target_share=0.8) == pytest.approx([0.4, 0.4, 0, 0.2])
    assert shares([0], class_smoothing=1.0) == pytest.approx([0.5, 2 / 9, 0, 2.5 / 9])
    assert shares([0], target_share=0.0, class_smoothing=1.0) == pytest.approx([0.1, 0.4, 0, 0.5])
    assert shares([0], target_share=1.0) == pytest.approx([1, 0, 0, 0])
    rows, labels = linear_gaussian((10, 20, 20))
    model = new_bayesian_gan(rows, ("a", "b", "c"), BayesianNetwork.disentangled(2), **TINY)
    arguments = BayesianGanTrainingArguments(batch_size=4000)
    batches = BayesianGanTrainer(model, rows, labels, arguments, targets=[0]).batches
    drawn = np.bincount(batches.real(0, 0)[1].numpy()) / 4000
    assert drawn == pytest.approx([0.5, 0.25, 0.25], abs=0.03)


def test_an_oversampler_tells_its_trainer_what_it_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    class Observed(BayesianGanTrainer):
        def __init__(self, *given: Any, **options: Any) -> None:
            seen.append(options["targets"])
            super().__init__(*given, **options)

    monkeypatch.setattr("hf_oversample.oversamplers.bayesian_gan.BayesianGanTrainer", Observed)
    rows, labels = linear_gaussian((10, 20, 20))
    one = BayesianGanOversampler(**QUICK_OVERSAMPLER)
    one.fit_arrays(rows, labels)
    assert seen == [[0]]


def test_the_regulariser_grows_from_nothing() -> None:
    rows, labels = linear_gaussian((10, 30))
    terms = {"structure": 10.0, "leakage": 1.0, "information": 100.0}
    names = ("generator", "noise", "class of made rows")
    given = {
        **dict.fromkeys(names, torch.tensor(0.0)),
        **{k: torch.tensor(v) for k, v in terms.items()},
    }
    arguments = {"steps": 8, "structure_weight": 2.0, "information_weight": 0.01}
    one = trainer(rows, labels, arguments=arguments)
    found = [float(one._weighted(given, "generator", step)) for step in range(8)]
    assert found == pytest.approx([1 + share * 22 for share in (0.5, 1, 1, 1, 1, 1, 1, 1)])
    one = trainer(rows, labels, arguments={**arguments, "structure_warmup": 0.0})
    assert float(one._weighted(given, "generator", 0)) == pytest.approx(23)


def test_unit_rows_are_trained_as_they_are_made() -> None:
    rows, labels = linear_gaussian((10, 30))
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    model = tiny_model(unit)
    made = model.generator(torch.randn(5, 4), torch.randn(5, 2), torch.zeros(5, dtype=torch.int64))
    lengths = model.to_data_units(model.as_data(made)).norm(dim=1)
    assert torch.allclose(lengths, torch.ones(5), atol=1e-5)
    seen = model.to_data_units(made)  # what is used
    assert torch.allclose(model.as_data(made), model.to_model_units(seen), atol=1e-5)
    assert torch.equal(tiny_model(rows).as_data(made), made)


def test_shifts_move_whole_pixels() -> None:
    images = np.zeros((8, 64), dtype=np.float32)
    images[:, 3 * 8 + 3] = 1.0
    images[0, 0] = 0.5
    one = trainer(
        images, np.arange(8) % 2, kind="image", num_channels=4, arguments={"max_translation": 2}
    )
    moved = one.batches.moved(torch.from_numpy(images), 0, 0).numpy()
    places = moved.reshape(8, 8, 8) == 1.0
    assert (places.sum(axis=(1, 2)) == 1).all()
    down, across = np.nonzero(places)[1:]
    assert down.min() >= 1
    assert across.max() <= 5
    assert len(set(zip(down.tolist(), across.tolist(), strict=True))) > 1


def test_divergence_names_the_term_and_saves_nothing(tmp_path: Path) -> None:
    rows, labels = linear_gaussian((10, 30))
    one = trainer(rows, labels, tmp_path, arguments={"save_steps": 4, "learning_rate": 1e30})
    with pytest.raises(FloatingPointError, match=r"The term '.+' is .*(nan|inf) at step [0-3]"):
        one.train()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("save_steps", [0, 1])
def test_an_update_that_ruins_the_weights_is_told(save_steps: int, tmp_path: Path) -> None:
    """Its losses, taken before it, are finite."""
    rows, labels = linear_gaussian((10, 30))
    settings = {"save_steps": save_steps, "learning_rate": 1e30, "steps": 1}
    one = trainer(rows, labels, tmp_path, arguments=settings)
    with pytest.raises(FloatingPointError, match=r"The term 'made rows' is (nan|inf) at step 1"):
        one.train()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows, labels: (rows, labels * 0), "All rows are of class 'rare'"),
        (lambda rows, labels: (rows, labels + 1), "classes 0 to 1"),
        (lambda rows, labels: (rows[:, :4], labels), "4 numbers and the model reads 10"),
        (lambda rows, labels: (rows[:3], labels), "3 rows and labels"),
        (lambda rows, labels: (rows[0], labels), "matrix"),
        (lambda rows, labels: (rows, labels + 0.5), "type float64; class ids are whole"),
        (lambda rows, labels: (np.where(rows == rows[2, 1], np.nan, rows), labels), "row 2, pos"),
    ],
)
def test_bad_rows_say_what_is_wrong(change, message: str) -> None:
    rows, labels = linear_gaussian((10, 30))
    model = tiny_model(rows)
    with pytest.raises(ValueError, match=message):
        BayesianGanTrainer(model, *change(rows, labels), BayesianGanTrainingArguments(**QUICK))


def test_a_class_that_is_made_needs_rows() -> None:
    rows, labels = linear_gaussian((10, 30))
    model = new_bayesian_gan(rows, ("rare", "common", "absent"), **TINY)
    with pytest.raises(ValueError, match="Rows of class 'absent' are to be made"):
        BayesianGanTrainer(
            model, rows, labels, BayesianGanTrainingArguments(**QUICK), targets=[0, 2]
        )
    with pytest.raises(ValueError, match="steps is 0"):
        BayesianGanTrainingArguments(steps=0)


def test_a_checkpoint_needs_a_place_and_a_vector_no_shifts() -> None:
    rows, labels = linear_gaussian((10, 30))
    with pytest.raises(ValueError, match="output_dir"):
        trainer(rows, labels, arguments={"save_steps": 2})
    with pytest.raises(ValueError, match="cannot be shifted"):
        trainer(rows, labels, arguments={"max_translation": 1})
    with pytest.raises(ValueError, match="divisible by 4"):
        new_bayesian_gan(rows, NAMES, kind="image")


# ---- two processes

TWO_PROCESSES = """
import sys
from pathlib import Path

import torch
from bayesian_gan_fixtures import QUICK, QUICK_OVERSAMPLER, dataset, linear_gaussian, trainer
from hf_oversample import BayesianGanOversampler

out, phase = Path(sys.argv[1]), sys.argv[2]
one = trainer(*linear_gaussian((10, 30)), out)
assert one.accelerator.num_processes == 2
rank = one.accelerator.process_index
if phase == "resumed":
    one.train(resume_from_checkpoint=out / "checkpoint-3")
else:
    one.train()
    trainer(*linear_gaussian((10, 30)), out).train(stop_at=3)
state = {"weights": one.model.state_dict(), "history": one.record.history}
if phase == "whole":
    halves = {"batch_size": QUICK["batch_size"] // 2}
    half = trainer(*linear_gaussian((10, 30)), arguments=halves)
    half.train()
    state["halves"] = half.record.history
if phase == "whole" and rank == 0:  # while the other one waits
    fitted = BayesianGanOversampler(**QUICK_OVERSAMPLER).fit(dataset())
    state["made"] = torch.from_numpy(fitted.made_)
torch.save(state, out / f"{phase}-{rank}.pt")
one.accelerator.wait_for_everyone()
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_agree_and_an_oversampler_fits_in_one_alone(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(TWO_PROCESSES)
    one, two = run_two_processes(script, tmp_path, "whole")
    for name, value in one["weights"].items():
        assert torch.equal(value, two["weights"][name]), name
    assert one["history"] != two["history"]  # each had its share of the batches
    rows, labels = linear_gaussian((10, 30))
    alone = trainer(rows, labels)
    alone.train()
    assert not all(torch.equal(v, one["weights"][k]) for k, v in weights(alone.model).items())
    # two halves of a batch are the batch
    for whole, *halves in zip(alone.record.history, one["halves"], two["halves"], strict=True):
        for name, value in whole.items():
            assert np.mean([half[name] for half in halves]) == pytest.approx(value, rel=1e-4), name
    for rank in run_two_processes(script, tmp_path, "resumed"):
        for name, value in one["weights"].items():
            assert torch.equal(value, rank["weights"][name]), name
    made = BayesianGanOversampler(**QUICK_OVERSAMPLER).fit(dataset()).made_
    assert np.array_equal(one["made"].numpy(), made)


# ---- what is learnt


@pytest.mark.slow
def test_the_structure_of_a_known_network_is_learnt() -> None:
    """Edges, non-edges, and the data's own factors in the codes that are read from real rows; and
    the regulariser's gradient is still there after 1000 steps."""
    rows, labels, factors = linear_gaussian_factors((80, 520))
    network = BayesianNetwork.disentangled(3)
    model = new_bayesian_gan(rows, NAMES, network, hidden_size=64, noise_size=8)
    rates = {"learning_rate": 1e-3, "discriminator_learning_rate": 1e-3}
    BayesianGanTrainer(
        model, rows, labels, BayesianGanTrainingArguments(steps=1500, **rates)
    ).train()
    found = model.structure(2000)
    assert min(code["r_squared"] for code in found.codes) >= 0.9
    assert max(edge["correlation"] ** 2 for edge in found.non_edges) <= 0.05
    with torch.no_grad():
        codes = model(torch.from_numpy(rows)).codes.numpy()
    for label in range(2):
        # Turned against each other, as Gaussian factors may be: but all of them, and nothing else.
        own = labels == label
        assert explained(codes[own], factors[own]).min() >= 0.9
        assert explained(factors[own], codes[own]).min() >= 0.9
        made, real = model.generate(label, n=500).numpy(), rows[own]
        assert np.abs(made.mean(0) - real.mean(0)).max() < 0.7 * real.std(0).mean()
        assert (made.std(0) > 0.6 * real.std(0)).all()
    z, c = torch.randn(64, 8), torch.randn(64, 3)
    y = torch.arange(64) % 2
    model.zero_grad()
    sum(
        model.regularizer(c, y, model.discriminator(model.generator(z, c, y), y)).values()
    ).backward()
    gradients = [p.grad for p in model.generator.parameters()]
    assert all(torch.isfinite(g).all() for g in gradients)
    assert sum(float(g.abs().sum()) for g in gradients) > 0


@pytest.mark.slow
def test_an_entangled_structure_is_learnt() -> None:
    rows, labels = linear_gaussian((80, 520))
    network = BayesianNetwork.entangled({"both": ["c1", "c2"]}, ["c1", "c2", "c3"])
    model = new_bayesian_gan(rows, NAMES, network, hidden_size=64, noise_size=8)
    rates = {"learning_rate": 1e-3, "discriminator_learning_rate": 1e-3}
    BayesianGanTrainer(
        model, rows, labels, BayesianGanTrainingArguments(steps=600, **rates)
    ).train()
    found = model.structure(2000)
    by_code = {code["code"]: code for code in found.codes}
    assert min(code["r_squared"] for code in by_code.values()) >= 0.9
    assert max(edge["correlation"] ** 2 for edge in found.non_edges) <= 0.05
    # a child of two codes has nothing in common with the third, and something with one at least
    edges = {e["parent"]: abs(e["weight"]) for e in found.edges if e["child"] == "both"}
    assert set(edges) == {"c1'", "c2'"}
    assert max(edges.values()) >= 0.5


@pytest.mark.slow
def test_moving_a_code_moves_the_image_and_not_the_class() -> None:
    """On images with known factors, judged by networks that saw no made image."""
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    n, rare = 1500, 100
    kinds = np.concatenate([np.zeros(n, int), np.ones(rare, int)])
    images = draw_shapes(kinds, random_factors(len(kinds)), side=12)
    model = new_bayesian_gan(
        images,
        SHAPES[:2],
        BayesianNetwork.disentangled(3),
        kind="image",
        num_channels=16,
        hidden_size=64,
        noise_size=8,
    )
    arguments = BayesianGanTrainingArguments(
        steps=1000, learning_rate=1e-3, discriminator_learning_rate=1e-3
    )
    BayesianGanTrainer(model, images, kinds, arguments).train()
    # Judges that never saw a made image, on balanced data of their own
    factors, of_judges = random_factors(4000, seed=1), np.arange(4000) % 2
    judged = draw_shapes(of_judges, factors, side=12)
    judge = MLPClassifier((64,), max_iter=60, random_state=0).fit(judged, of_judges)
    reader = MLPRegressor(hidden_layer_sizes=(64,), max_iter=60, random_state=0).fit(
        judged, factors
    )
    agreements, changes, effects = [], [], []
    for label in (0, 1):
        for variable in ("c1", "c2", "c3"):
            moved = model.traverse(variable, label, (-1.5, -0.5, 0.5, 1.5), n=50).numpy()
            agreements.append((judge.predict(moved.reshape(-1, 144)) == label).mean())
            seen = reader.predict(moved.reshape(-1, 144)).reshape(50, 4, len(FACTORS))
            changes.append(np.abs(seen[:, -1] - seen[:, 0]).mean(axis=0).max())
            effects.append((seen[:, -1] - seen[:, 0]).mean(axis=0))
    # of each class, the rare one too
    assert min(np.mean(agreements[:3]), np.mean(agreements[3:])) >= 0.95, agreements
    assert min(changes) >= 0.3, changes  # of factors that run from -1 to 1
    # Which factor a code takes is not ours to choose, nor whether it takes one or turns several
    # against each other: but no two take the same, and each takes the same in both classes.
    common, uncommon = np.array(effects[:3]), np.array(effects[3:])
    assert min(np.linalg.svd(m)[1].min() for m in (common, uncommon)) >= 0.2, effects
    cosines = (common * uncommon).sum(1) / np.linalg.norm(common, axis=1)
    assert (cosines / np.linalg.norm(uncommon, axis=1)).min() >= 0.8, effects
    # No other code moves with it.
    found = model.structure(500)
    assert min(code["r_squared"] for code in found.codes) >= 0.9
    assert max(edge["correlation"] ** 2 for edge in found.non_edges) <= 0.05
