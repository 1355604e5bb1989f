from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_oversample.densities import LogDensityRatio
from hf_oversample.neighbors import nearest_neighbors
from hf_oversample.oversamplers import simpor
from hf_oversample.oversamplers.base import RESAMPLED, SYNTHETIC
from hf_oversample.oversamplers.simpor import (
    SimporOversampler,
    informative_rows,
    predictive_entropy,
)
from hf_oversample.spheres import ascend, random_directions

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


def spheres(seed: int, count: int, width: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    centers = torch.from_numpy(rng.normal(size=(count, width))).float()
    radii = torch.from_numpy(rng.uniform(0.01, 3.0, size=count)).float()
    rows = np.arange(count)
    return centers, radii, random_directions(width, seed, rows, rows)


# ---- Algorithm 1 --------------------------------------------------------------------------------


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    width=st.sampled_from([1, 2, 5, 64]),
    bandwidth=st.sampled_from([0.05, 0.5, 3.0]),
    steps=st.integers(0, 30),
    step_angle=st.sampled_from([0.01, 0.5, 1.5]),
)
def test_points_stay_on_their_spheres_and_never_fall(
    seed: int, width: int, bandwidth: float, steps: int, step_angle: float
) -> None:
    target, other = (torch.from_numpy(two_clouds(s, (30, 0), width)[0]) for s in (seed, seed + 1))
    centers, radii, directions = spheres(seed, 12, width)
    radii[0] = 0
    exact = LogDensityRatio(target.double(), other.double(), bandwidth)
    found = ascend(
        LogDensityRatio(target, other, bandwidth),
        centers,
        radii,
        directions,
        steps=steps,
        step_angle=step_angle,
    )
    points = torch.addcmul(centers, found.directions, radii[:, None])
    distances = (points.double() - centers.double()).norm(dim=1)
    # A coordinate's own rounding is on top of the sphere's: it does not shrink with the radius.
    rounding = 1e-6 * centers.norm(dim=1)
    assert ((distances - radii).abs() <= 1e-5 * radii + rounding).all()
    assert (found.directions.double().norm(dim=1) - 1).abs().max() < 1e-5
    assert (found.end >= found.start).all()
    before = exact.value(torch.addcmul(centers, directions, radii[:, None]).double())
    after = exact.value(points.double())
    assert (after >= before - 1e-5 * before.abs() - 1e-4 / bandwidth).all()
    assert torch.equal(found.directions[0], directions[0])
    assert 12 <= found.evaluations <= 12 * (steps + 1)


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
)
def test_children_lie_on_spheres_around_their_parents(
    seed: int, counts: tuple[int, ...], width: int, fraction: float
) -> None:
    rows, labels = two_clouds(seed, counts, width)
    oversampler = SimporOversampler(seed=seed, informative_fraction=fraction, **QUICK)
    made, made_labels, origin, parent = oversampler.fit_arrays(rows, labels).new_rows()
    final = np.bincount(np.concatenate([labels, made_labels]))
    np.testing.assert_array_equal(final, max(counts))
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made_labels, labels[parent])
    assert (origin == SYNTHETIC).all()
    for child, source in zip(made, parent, strict=True):
        own = rows[labels == labels[source]]
        place = int(np.flatnonzero((own == rows[source]).all(axis=1))[0])
        nearest, _ = nearest_neighbors(
            rows[source][None], own, min(5, len(own) - 1), exclude=np.array([place])
        )
        distance = np.linalg.norm(child - rows[source])
        assert 0 < distance <= float(nearest.mean()) * (1 + 1e-5) + 1e-5
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
    target, other = (torch.from_numpy(rows[labels == code]).double() for code in (1, 0))
    exact = LogDensityRatio(target, other, climbed.bandwidths_[1])
    after, before = (
        exact.value(torch.from_numpy(one.new_rows()[0]).double()) for one in (climbed, started)
    )
    assert (after >= before - 1e-4).all()
    assert float((after - before).median()) > 0.1


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
