from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_oversample.numeric import noise
from hf_oversample.oversamplers.base import RESAMPLED, SYNTHETIC
from hf_oversample.oversamplers.simpor import oversampler as simpor
from hf_oversample.oversamplers.simpor.densities import LogDensityRatio
from hf_oversample.oversamplers.simpor.oversampler import (
    SimporOversampler,
    informative_rows,
    predictive_entropy,
)
from hf_oversample.oversamplers.simpor.spheres import ascend, random_directions

QUICK: dict[str, Any] = {"query_rounds": 1, "hidden_size": 0, "steps": 8}


def two_clouds(
    seed: int, counts: tuple[int, ...] = (120, 24), width: int = 6, gap: float = 1.5
) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping normal clouds, a class each, in mixed order."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    rows = rng.normal(size=(len(labels), width)).astype(np.float32)
    rows[np.arange(len(labels)), labels % width] += np.where(labels > 0, gap, 0)
    return rows, labels


@st.composite
def units(draw: st.DrawFn, width: int) -> tuple[np.ndarray, float]:
    """Scale of every column [width] and an offset: up to one column that dwarfs the others, and
    rows up to a thousand times as far from the origin as they are wide."""
    scale = np.full(width, draw(st.sampled_from([1e-3, 1.0, 1e3])))
    scale[0] *= draw(st.sampled_from([1.0, 100.0, 50_000.0]))
    return scale, float(scale.max()) * draw(st.sampled_from([0.0, 10.0, -1000.0]))


def exact_log_ratio(points: Any, target: Any, other: Any, bandwidth: float) -> np.ndarray:
    """Eq. 12 with the minus sign, from plain differences in float64."""
    sums = []
    for rows in (target, other):
        differences = np.asarray(points, np.float64)[:, None] - np.asarray(rows, np.float64)[None]
        exponents = -(differences**2).sum(axis=2) / (2 * bandwidth**2)
        largest = exponents.max(axis=1)
        sums.append(np.log(np.exp(exponents - largest[:, None]).sum(axis=1)) + largest)
    return np.asarray(sums[0] - sums[1])


def spheres(seed: int, count: int, width: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    centers = torch.from_numpy(rng.normal(size=(count, width))).float()
    radii = torch.from_numpy(rng.uniform(0.01, 3.0, size=count)).float()
    rows = np.arange(count)
    return centers, radii, random_directions(width, seed, rows, rows)


# ---- Algorithm 1 --------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    width=st.sampled_from([1, 2, 5, 64]),
    bandwidth=st.sampled_from([0.05, 0.5, 3.0]),
    steps=st.integers(0, 30),
    step_angle=st.sampled_from([0.01, 0.5, 1.5]),
    precision=st.sampled_from(["float32", "judged"]),
    data=st.data(),
)
def test_points_stay_on_their_spheres_and_never_fall(
    seed: int,
    width: int,
    bandwidth: float,
    steps: int,
    step_angle: float,
    precision: str,
    data: st.DataObject,
) -> None:
    scale, offset = data.draw(units(width))
    bandwidth *= float(np.median(scale))
    rows = [two_clouds(s, (30, 0), width)[0] * scale + offset for s in (seed, seed + 1)]
    target, other = (torch.from_numpy(one).float() for one in rows)
    centers, radii, directions = spheres(seed, 12, width)
    centers = (centers * torch.from_numpy(scale) + offset).float()
    radii = (radii * float(np.median(scale))).float()
    radii[0] = 0
    ratio = LogDensityRatio(target, other, bandwidth)
    judge = None
    if precision == "judged" and ratio.dtype == torch.float32:
        # A judge of its own says so of any ratio, here of one for another bandwidth.
        ratio, judge = LogDensityRatio(target, other, 1.5 * bandwidth), ratio
    found = ascend(
        ratio, centers, radii, directions, steps=steps, step_angle=step_angle, judge=judge
    )
    assert torch.equal(found.points, torch.addcmul(centers, found.directions, radii[:, None]))
    distances = (found.points.double() - centers.double()).norm(dim=1)
    # A coordinate's own rounding is on top of the sphere's: it does not shrink with the radius.
    rounding = 2**-24 * found.points.double().norm(dim=1)
    assert ((distances - radii).abs() <= 1e-6 * radii + rounding).all()
    assert (found.directions.double().norm(dim=1) - 1).abs().max() < 1e-6
    assert (found.end >= found.start).all()
    starts = torch.addcmul(centers, directions, radii[:, None])
    before, after = (
        exact_log_ratio(points, target, other, bandwidth) for points in (starts, found.points)
    )
    assert (after >= before).all()
    assert torch.equal(found.directions[0], directions[0])
    assert 12 <= found.evaluations <= 12 * (steps + 1)


def test_a_column_that_dwarfs_the_others_costs_no_objective() -> None:
    """Credit Card Fraud has seconds of two days in its first column: float32 is 3.9 off."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(4040, 3)) + np.where(np.arange(4040) < 40, 1.0, 0.0)[:, None]
    rows[:, 0] = rng.uniform(0, 172_792, 4040)
    target, other = torch.from_numpy(rows).float().split([40, 4000])
    ratio = LogDensityRatio(target, other, 11.7)
    assert ratio.dtype == torch.float64
    directions = random_directions(3, 0, np.arange(40), np.arange(40))
    found = ascend(ratio, target, torch.linspace(1, 900, 40), directions)
    starts = torch.addcmul(target, directions, torch.linspace(1, 900, 40)[:, None])
    before, after = (exact_log_ratio(p, target, other, 11.7) for p in (starts, found.points))
    assert (after >= before).all()
    np.testing.assert_allclose(found.end.numpy(), after, rtol=1e-9, atol=1e-5)
    assert float(np.median(after - before)) > 1.0


def test_the_ascent_ends_at_a_maximum() -> None:
    """In the plane: no point of the circle, of 2000, is better than where the best start ended."""
    rows, labels = two_clouds(1, width=2)
    target, other = (torch.from_numpy(rows[labels == code]) for code in (1, 0))
    ratio = LogDensityRatio(target, other, 0.4)
    center, starts = target[:1].expand(16, 2), torch.linspace(0, 2 * np.pi, 17)[:16]
    directions = torch.stack([starts.cos(), starts.sin()], dim=1)
    found = ascend(ratio, center, torch.full((16,), 0.8), directions, steps=60)
    angles = torch.linspace(0, 2 * np.pi, 2000)
    circle = center[:1] + 0.8 * torch.stack([angles.cos(), angles.sin()], dim=1)
    best = ratio.value(circle)
    assert float(found.end.max()) == pytest.approx(float(best.max()), abs=1e-3)
    # And every start ended at some local maximum of the circle.
    local = best[(best >= best.roll(1)) & (best >= best.roll(-1))]
    assert (found.end[:, None] - local[None]).abs().min(dim=1).values.max() < 2e-2


def test_a_far_pair_is_solved_exactly() -> None:
    """One row a class: the ratio is linear, and its maximum on a sphere is towards b − a."""
    target, other = torch.tensor([[3.0, 0.0, 4.0]]), torch.zeros((1, 3))
    centers, radii, directions = spheres(0, 20, 3)
    found = ascend(LogDensityRatio(target, other, 1.0), centers, radii, directions, steps=20)
    expected = torch.tensor([0.6, 0.0, 0.8]).expand(20, 3)
    torch.testing.assert_close(found.directions, expected, rtol=0, atol=2e-3)


def test_bfloat16_never_ends_below_its_start() -> None:
    rows, labels = two_clouds(2, (400, 60), 48)
    target, other = (torch.from_numpy(rows[labels == code]) for code in (1, 0))
    exact = LogDensityRatio(target, other, 4.0)
    fast = LogDensityRatio(target, other, 4.0, precision="bfloat16")
    centers = target[:50]
    directions = random_directions(48, 0, np.arange(50), np.arange(50))
    radii = torch.linspace(0.1, 6, 50)
    found = ascend(fast, centers, radii, directions, judge=exact)
    reference = ascend(exact, centers, radii, directions)
    assert (found.end >= found.start).all()
    torch.testing.assert_close(found.start, reference.start)
    gains = (found.end - found.start).sum() / (reference.end - reference.start).sum()
    assert 0.95 < float(gains) < 1.02


def test_finite_in_1024_dimensions_at_a_small_bandwidth() -> None:
    rows, labels = two_clouds(3, (60, 12), 1024)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    oversampler = SimporOversampler(bandwidth=0.05, informative_fraction=1.0, **QUICK)
    made, _, origin, parent = oversampler.fit_arrays(rows, labels).new_rows()
    assert np.isfinite(made).all()
    assert made.shape == (48, 1024)
    assert (origin == SYNTHETIC).all()
    assert not np.array_equal(made, rows[parent])


def test_directions_are_uniform_and_addressed() -> None:
    rows = np.arange(20_000)
    directions = random_directions(3, 7, rows, np.zeros_like(rows))
    assert (directions.norm(dim=1) - 1).abs().max() < 1e-6
    # A coordinate of a uniform point on the sphere in 3 dimensions is uniform on −1 … 1.
    counts = np.histogram(directions[:, 0].numpy(), bins=10, range=(-1, 1))[0]
    assert ((counts - 2000) ** 2 / 2000).sum() < 33.7  # chi-square with 9 degrees at 1e-4
    part = random_directions(3, 7, rows[[5, 9]], np.zeros(2, dtype=np.int64))
    assert torch.equal(part, directions[[5, 9]])
    assert not torch.equal(random_directions(3, 8, rows[:2], rows[:2]), directions[:2])


# ---- the informative set ------------------------------------------------------------------------


def test_entropy_is_to_the_base_of_the_classes() -> None:
    logits = np.log(np.array([[1, 1, 1], [1, 1e-30, 1e-30], [1, 1, 1e-30]], dtype=np.float32))
    expected = [1.0, 0.0, np.log(2) / np.log(3)]
    np.testing.assert_allclose(predictive_entropy(logits), expected, atol=1e-6)


def test_informative_rows_are_those_between_the_classes() -> None:
    rng = np.random.default_rng(0)
    places = np.concatenate([rng.uniform(-1, 0.1, 400), rng.uniform(-0.1, 1, 60)])
    rows = np.stack([places, 0.1 * rng.normal(size=460)], axis=1).astype(np.float32)
    labels = np.repeat([0, 1], [400, 60])
    found = informative_rows(rows, labels, hidden_size=8)
    assert 5 < found.sum() < 120
    assert np.abs(places[found]).mean() < 0.75 * np.abs(places).mean()
    np.testing.assert_array_equal(found, informative_rows(rows, labels, hidden_size=8))
    share = informative_rows(rows, labels, hidden_size=8, fraction=0.2, rounds=4)
    assert share.sum() == 92
    assert np.abs(places[share]).mean() < 0.75 * np.abs(places).mean()
    assert informative_rows(rows, labels, fraction=1.0, rounds=2).all()


def test_separate_classes_have_no_informative_rows() -> None:
    rows, labels = two_clouds(4, (80, 20), gap=60.0)
    oversampler = SimporOversampler().fit_arrays(rows, labels)
    assert not oversampler.informative_.any()
    assert oversampler.bandwidths_ == {}
    assert len(oversampler.new_rows()[0]) == 60


# ---- Algorithm 2 --------------------------------------------------------------------------------


@settings(deadline=None, max_examples=12)
@given(
    seed=st.integers(0, 1000),
    counts=st.lists(st.integers(2, 25), min_size=2, max_size=3).map(tuple),
    width=st.sampled_from([1, 3, 40]),
    fraction=st.sampled_from([0.1, 0.5, 1.0]),
    data=st.data(),
)
def test_children_lie_on_spheres_around_their_parents(
    seed: int, counts: tuple[int, ...], width: int, fraction: float, data: st.DataObject
) -> None:
    rows, labels = two_clouds(seed, counts, width)
    scale, offset = data.draw(units(width))
    rows = (rows * scale + offset).astype(np.float32)
    oversampler = SimporOversampler(seed=seed, informative_fraction=fraction, **QUICK)
    made, made_labels, origin, parent = oversampler.fit_arrays(rows, labels).new_rows()
    final = np.bincount(np.concatenate([labels, made_labels]))
    np.testing.assert_array_equal(final, max(counts))
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made_labels, labels[parent])
    assert (origin == SYNTHETIC).all()
    plan = oversampler.fitted_plan()
    np.testing.assert_array_equal(plan.parent, parent)
    draws = noise.uniform(seed, noise.stream("simpor radius"), plan.parent, plan.child)
    exact = rows.astype(np.float64)
    for child, source, draw in zip(made.astype(np.float64), parent, draws, strict=True):
        own = labels == labels[source]
        own[source] = False
        reach = np.sort(np.linalg.norm(exact[own] - exact[source], axis=1))[:5].mean()
        # r itself, and not at most R; a coordinate's own rounding comes on top.
        rounding = 2**-24 * np.linalg.norm(child)
        distance = np.linalg.norm(child - exact[source])
        assert abs(distance - draw * reach) <= 2e-6 * draw * reach + rounding
        assert distance > 0
    repeat = SimporOversampler(seed=seed, informative_fraction=fraction, **QUICK)
    np.testing.assert_array_equal(repeat.fit_arrays(rows, labels).new_rows()[0], made)


def test_the_informative_set_is_balanced_first() -> None:
    rows, labels = two_clouds(5, (200, 40), gap=1.0)
    oversampler = SimporOversampler(informative_fraction=0.3, **QUICK).fit_arrays(rows, labels)
    unsure = oversampler.informative_
    missing = int((unsure & (labels == 0)).sum() - (unsure & (labels == 1)).sum())
    assert 0 < missing < 160
    parent = oversampler.new_rows()[3]
    assert int(unsure[parent].sum()) == missing
    assert int((~unsure[parent]).sum()) == 160 - missing
    # Parents take turns.
    shares = np.bincount(parent, minlength=len(rows))[labels == 1]
    for group in (unsure[labels == 1], ~unsure[labels == 1]):
        assert shares[group].max() - shares[group].min() <= 1


def test_informative_children_are_better_placed_than_random_ones() -> None:
    rows, labels = two_clouds(6, (300, 30), 16, gap=2.0)
    settings_: dict[str, Any] = {"informative_fraction": 1.0, "query_rounds": 1, "hidden_size": 0}
    climbed = SimporOversampler(**settings_).fit_arrays(rows, labels)
    started = SimporOversampler(**settings_, steps=0).fit_arrays(rows, labels)
    assert climbed.bandwidths_ == started.bandwidths_
    after, before = (
        exact_log_ratio(
            one.new_rows()[0], rows[labels == 1], rows[labels == 0], climbed.bandwidths_[1]
        )
        for one in (climbed, started)
    )
    assert (after >= before).all()
    assert float(np.median(after - before)) > 0.1


def test_each_class_is_set_against_the_largest_other() -> None:
    rows, labels = two_clouds(7, (50, 20, 12))
    oversampler = SimporOversampler(
        informative_fraction=1.0, sampling_strategy={0: 60, 1: 30, 2: 30}, **QUICK
    )
    seen: list[tuple[int, int]] = []
    original = LogDensityRatio

    def spy(target: torch.Tensor, other: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        seen.append((len(target), len(other)))
        return original(target, other, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simpor, "LogDensityRatio", spy)
        oversampler.fit_arrays(rows, labels)
    assert seen == [(50, 20), (20, 50), (12, 50)]
    assert set(oversampler.bandwidths_) == {0, 1, 2}


def test_children_do_not_depend_on_the_batch(tmp_path: Path) -> None:
    rows, labels = two_clouds(8, (40, 9))
    dataset = Dataset.from_dict({"embedding": rows.tolist(), "label": labels.tolist()})
    oversampler = SimporOversampler(informative_fraction=0.5, **QUICK)
    whole = oversampler.balance(dataset)
    for size in (1, 7):
        part = dataset.map(oversampler, batched=True, with_indices=True, batch_size=size)
        made = part.filter(lambda row: row["origin"] > 0)
        assert made["embedding"][:] == whole["embedding"][len(rows) :]
    oversampler.save_pretrained(tmp_path / "saved")
    loaded = SimporOversampler.from_pretrained(tmp_path / "saved")
    assert loaded.get_params() == oversampler.get_params()
    assert loaded.bandwidths_ == oversampler.bandwidths_
    np.testing.assert_array_equal(loaded.informative_, oversampler.informative_)
    assert loaded.balance(dataset)["embedding"][:] == whole["embedding"][:]


def test_blocks_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, labels = two_clouds(9, (90, 20))
    whole = SimporOversampler(informative_fraction=0.5, **QUICK).fit_arrays(rows, labels)
    monkeypatch.setattr(simpor, "_LARGEST_BLOCK_ROWS", 3)
    blocks = SimporOversampler(informative_fraction=0.5, **QUICK).fit_arrays(rows, labels)
    np.testing.assert_allclose(whole.new_rows()[0], blocks.new_rows()[0], atol=1e-2)


def test_copies_are_called_copies() -> None:
    rows, labels = two_clouds(10, (30, 2))
    rows[labels == 1] = 7.0
    oversampler = SimporOversampler(informative_fraction=0.1, bandwidth=1.0, **QUICK)
    made, _, origin, parent = oversampler.fit_arrays(rows, labels).new_rows()
    assert (origin == RESAMPLED).all()
    np.testing.assert_array_equal(made, rows[parent])


def test_errors() -> None:
    rows, labels = two_clouds(11, (12, 1))
    with pytest.raises(ValueError, match="class '1' has 1 row and is to get 11 more"):
        SimporOversampler(**QUICK).fit_arrays(rows, labels)
    SimporOversampler(**QUICK, sampling_strategy={0: 14}).fit_arrays(rows, labels)
    for values, message in (
        ({"k_neighbors": 0}, "k_neighbors=0 must be at least 1"),
        ({"steps": -1}, "steps=-1"),
        ({"informative_fraction": 0.0}, "informative_fraction=0.0"),
        ({"query_fraction": 1.5}, "query_fraction=1.5"),
        ({"entropy_threshold": 2.0}, "entropy_threshold=2.0"),
        ({"effective_neighbors": 1.0}, "effective_neighbors=1.0"),
        ({"bandwidth": -1.0}, "bandwidth=-1.0"),
        ({"step_angle": 3.0}, "step_angle=3.0"),
        ({"precision": "float16"}, "precision must be"),
    ):
        with pytest.raises(ValueError, match=message):
            SimporOversampler(**values)
    for name in ("k_neighbors", "query_rounds", "hidden_size", "steps"):
        with pytest.raises(TypeError, match=f"{name} must be an int, got 2.5"):
            SimporOversampler(**{name: 2.5})
    for name in ("effective_neighbors", "bandwidth", "step_angle", "informative_fraction"):
        with pytest.raises(ValueError, match=f"{name}=nan must be finite"):
            SimporOversampler(**{name: float("nan")})
        with pytest.raises(TypeError, match=f"{name} must be a plain number, got '1'"):
            SimporOversampler(**{name: "1"})
