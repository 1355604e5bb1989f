"""SMOTE, Borderline-SMOTE and ADASYN: the lines, rows and counts of imbalanced-learn."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from imblearn.over_sampling import ADASYN, SMOTE, BorderlineSMOTE
from scipy import stats
from sklearn.neighbors import NearestNeighbors

from hf_oversample.oversamplers import OVERSAMPLERS
from hf_oversample.oversamplers.adasyn import AdasynOversampler, apportion
from hf_oversample.oversamplers.borderline_smote import BorderlineSmoteOversampler
from hf_oversample.oversamplers.embedding import EmbeddingOversampler
from hf_oversample.oversamplers.interpolation import Segments
from hf_oversample.oversamplers.plan import Plan
from hf_oversample.oversamplers.smote import SmoteOversampler
from oversampler_checks import make_dataset, rows_of

METHODS = (SmoteOversampler, BorderlineSmoteOversampler, AdasynOversampler)
SEEDS = range(25)


def mixture(counts: tuple[int, ...], width: int = 5, gap: float = 0.7, seed: int = 0) -> Any:
    """Overlapping Gaussian classes in mixed order: embeddings and labels."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    points = rng.normal(size=(len(labels), width)) + gap * labels[:, None]
    return points.astype(np.float32), labels


def lines_of(children: np.ndarray, points: np.ndarray) -> set[tuple[int, int]]:
    """The pairs of rows (lower number first) between which children lie, one for each child."""
    found = set()
    first, second = np.triu_indices(len(points), 1)
    start, along = points[first].astype(np.float64), (points[second] - points[first])
    for child in children.astype(np.float64):
        step = ((child - start) * along).sum(1) / (along**2).sum(1)
        gap = np.linalg.norm(start + step[:, None] * along - child, axis=1)
        gap[(step < -1e-6) | (step > 1 + 1e-6)] = np.inf
        place = int(gap.argmin())
        assert gap[place] < 1e-5
        # A child next to a row is on all lines of that row.
        if gap[np.arange(len(gap)) != place].min() > 1e-4:
            found.add((int(first[place]), int(second[place])))
    return found


def made(method: EmbeddingOversampler, points: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return method.fit_arrays(points, labels).new_rows()[0]


def theirs(sampler: Any, points: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return sampler.fit_resample(points, labels)[0][len(points) :]


def nearest(points: np.ndarray, among: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    """Row numbers of the k nearest of some rows, by scikit-learn, without the row itself."""
    search = NearestNeighbors(n_neighbors=k + 1).fit(points[among])
    return among[search.kneighbors(points[queries], return_distance=False)[:, 1:]]


@pytest.mark.parametrize(
    ("ours", "reference"),
    [
        (
            lambda seed: SmoteOversampler(k_neighbors=3, seed=seed),
            lambda seed: SMOTE(k_neighbors=3, random_state=seed),
        ),
        (
            lambda seed: BorderlineSmoteOversampler(k_neighbors=3, seed=seed),
            lambda seed: BorderlineSMOTE(k_neighbors=3, random_state=seed),
        ),
        (
            lambda seed: BorderlineSmoteOversampler(kind="borderline-2", k_neighbors=3, seed=seed),
            lambda seed: BorderlineSMOTE(kind="borderline-2", k_neighbors=3, random_state=seed),
        ),
        (
            lambda seed: AdasynOversampler(n_neighbors=3, seed=seed),
            lambda seed: ADASYN(n_neighbors=3, random_state=seed),
        ),
    ],
    ids=["smote", "borderline-1", "borderline-2", "adasyn"],
)
def test_the_lines_are_those_of_imbalanced_learn(ours: Any, reference: Any) -> None:
    points, labels = mixture((60, 14), width=4)
    found = [
        set().union(*(lines_of(rows(seed), points) for seed in SEEDS))
        for rows in (
            lambda seed: made(ours(seed), points, labels),
            lambda seed: theirs(reference(seed), points, labels),
        )
    ]
    assert len(found[0]) > 10
    assert found[0] == found[1]


@pytest.mark.parametrize("strategy", ["auto", "minority", "not minority", "all", {1: 33, 2: 21}])
def test_the_counts_are_those_of_imbalanced_learn(strategy: Any) -> None:
    points, labels = mixture((40, 30, 20), gap=0.3)
    expected = SMOTE(sampling_strategy=strategy, random_state=0).fit_resample(points, labels)[1]
    for method in METHODS:
        made_labels = method(sampling_strategy=strategy).fit_arrays(points, labels).new_rows()[1]
        counts = np.bincount(np.concatenate([labels, made_labels]))
        np.testing.assert_array_equal(counts, np.bincount(expected))


@pytest.mark.parametrize("method", METHODS)
def test_children_lie_between_their_parent_and_a_neighbor_of_its_class(
    method: type[EmbeddingOversampler],
) -> None:
    points, labels = mixture((50, 25, 15), gap=0.4)
    rows, made_labels, origin, parents = method().fit_arrays(points, labels).new_rows()
    assert (origin == 1).all()
    assert (labels[parents] == made_labels).all()
    for row, label, parent in zip(rows, made_labels, parents, strict=True):
        ends = points[nearest(points, np.flatnonzero(labels == label), np.array([parent]), 5)[0]]
        along, child = ends - points[parent], row - points[parent]
        step = (child * along).sum(1) / (along**2).sum(1)
        gaps = np.linalg.norm(step[:, None] * along - child, axis=1)
        assert gaps.min() < 1e-5
        assert -1e-6 < step[gaps.argmin()] < 1 + 1e-6


def test_smote_spreads_children_and_draws_evenly() -> None:
    points, labels = mixture((6000, 30))
    oversampler = SmoteOversampler(k_neighbors=4).fit_arrays(points, labels)
    plan = oversampler.fitted_plan()
    assert set(np.bincount(plan.parent, minlength=len(labels))[labels == 1]) == {199}
    ends, steps = oversampler.segments_.drawn(plan, 0)
    assert stats.kstest(steps, "uniform").pvalue > 1e-3
    columns = np.argmax(
        oversampler.segments_.ends[np.searchsorted(oversampler.segments_.starts, plan.parent)]
        == ends[:, None],
        axis=1,
    )
    assert stats.chisquare(np.bincount(columns)).pvalue > 1e-3


def test_classes_do_not_share_draws() -> None:
    # Two minority classes of the same shape, one far from the other.
    majority, one = mixture((20, 0))[0], mixture((6, 0), seed=1)[0]
    points = np.concatenate([majority, one + 50, one - 50]).astype(np.float32)
    labels = np.repeat([0, 1, 2], [20, 6, 6])
    reference = theirs(SMOTE(k_neighbors=3, random_state=0), points, labels).reshape(2, 14, -1)
    np.testing.assert_allclose(reference[0] - 50, reference[1] + 50, atol=1e-4)
    rows, made_labels, _, _ = SmoteOversampler(k_neighbors=3).fit_arrays(points, labels).new_rows()
    gaps = np.abs((rows[made_labels == 1] - 50)[:, None] - (rows[made_labels == 2] + 50)[None])
    assert gaps.max(axis=2).min() > 1e-4


def test_rows_in_danger_are_those_of_imbalanced_learn() -> None:
    points, labels = mixture((80, 40, 25), gap=0.9, seed=3)
    for m in (4, 7, 10):
        reference = BorderlineSMOTE(m_neighbors=m, random_state=0)
        reference.fit_resample(points, labels)
        expected = np.sort(np.concatenate(list(reference.in_danger_indices.values())))
        oversampler = BorderlineSmoteOversampler(m_neighbors=m).fit_arrays(points, labels)
        assert 0 < len(expected) < 65
        np.testing.assert_array_equal(oversampler.danger_rows_, expected)
        parents = np.bincount(oversampler.fitted_plan().parent, minlength=len(points))
        assert set(np.flatnonzero(parents)) <= set(expected)


def test_borderline_2_stays_on_its_own_side() -> None:
    points, labels = mixture((4000, 60), width=3)
    oversampler = BorderlineSmoteOversampler(kind="borderline-2").fit_arrays(points, labels)
    plan, segments = oversampler.fitted_plan(), oversampler.segments_
    rows = oversampler.new_rows()[0]
    ends = segments.drawn(plan, 0)[0]
    foreign = labels[ends] != 1
    assert 0.1 < foreign.mean() < 0.9
    along = points[ends].astype(np.float64) - points[plan.parent]
    steps = ((rows - points[plan.parent]) * along).sum(1) / (along**2).sum(1)
    assert stats.kstest(steps[foreign] * 2, "uniform").pvalue > 1e-3
    assert stats.kstest(steps[~foreign], "uniform").pvalue > 1e-3


@pytest.mark.parametrize("seed", range(5))
def test_adasyn_allocates_as_imbalanced_learn_up_to_the_exact_count(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    points, labels = mixture((300, 41), gap=1.1, seed=seed)
    quotas: list[np.ndarray] = []
    rint = np.rint
    monkeypatch.setattr(np, "rint", lambda values: quotas.append(values) or rint(values))
    theirs(ADASYN(random_state=0), points, labels)
    monkeypatch.undo()
    expected = rint(quotas[0]).astype(int)
    oversampler = AdasynOversampler().fit_arrays(points, labels)
    counts = np.bincount(oversampler.fitted_plan().parent, minlength=341)[labels == 1]
    assert counts.sum() == 259
    assert (np.abs(counts - quotas[0]) < 1).all()
    assert np.abs(counts - expected).sum() == abs(259 - expected.sum())


@settings(deadline=None, max_examples=100)
@given(
    total=st.integers(0, 500),
    weights=st.lists(st.integers(0, 7), min_size=1, max_size=30).filter(any),
    seed=st.integers(0, 99),
)
def test_apportion_is_exact_and_within_one(total: int, weights: list[int], seed: int) -> None:
    rows, given_weights = np.arange(len(weights)) * 3, np.array(weights)
    shares = apportion(total, given_weights, rows, seed)
    quotas = total * given_weights / given_weights.sum()
    assert shares.sum() == total
    assert (np.abs(shares - quotas) < 1).all()
    assert (shares[given_weights == 0] == 0).all()
    raised, kept = shares > np.floor(quotas + 1e-9), shares == np.floor(quotas + 1e-9)
    rest = quotas - np.floor(quotas + 1e-9)
    if raised.any() and kept.any():
        assert rest[raised].min() >= rest[kept].max() - 1e-9


@settings(deadline=None, max_examples=40)
@given(
    count=st.integers(2, 40),
    width=st.integers(1, 70),
    children=st.integers(0, 90),
    seed=st.integers(0, 999),
    block=st.sampled_from([1, 64, 2**17]),
    data=st.data(),
)
def test_points_do_not_depend_on_what_is_made_with_them(
    count: int, width: int, children: int, seed: int, block: int, data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(count, width)).astype(np.float32)
    starts = np.flatnonzero(rng.random(count) < 0.6)
    if not len(starts):
        starts = np.array([0])
    ends = (starts[:, None] + rng.integers(1, count, (len(starts), 3))) % count
    segments = Segments.build(points.__getitem__, [(starts, ends)])
    counts = rng.multinomial(children, np.full(len(starts), 1 / len(starts)))
    plan = Plan.from_counts(starts, counts, 1)
    drawn, steps = segments.drawn(plan, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hf_oversample.oversamplers.interpolation._BLOCK_VALUES", block)
        rows = segments.points(plan.parent, drawn, steps)
    step = steps.astype(np.float32)[:, None]
    np.testing.assert_array_equal(
        rows, points[plan.parent] + (points[drawn] - points[plan.parent]) * step
    )
    some = np.array(
        data.draw(st.lists(st.integers(0, children - 1), max_size=5)) if children else [],
        dtype=np.int64,
    )
    drawn, steps = segments.drawn(plan.take(some), seed)
    np.testing.assert_array_equal(segments.points(plan.parent[some], drawn, steps), rows[some])


@settings(deadline=None, max_examples=30)
@given(
    counts=st.lists(st.integers(2, 12), min_size=2, max_size=3),
    width=st.sampled_from([1, 2, 7, 1024]),
    copies=st.booleans(),
    method=st.sampled_from(METHODS),
    seed=st.integers(0, 99),
)
def test_any_small_classes(
    counts: list[int], width: int, copies: bool, method: type[EmbeddingOversampler], seed: int
) -> None:
    points, labels = mixture(tuple(counts), width, seed=seed)
    if copies:
        points[1:] = points[0]
    params = {} if method is SmoteOversampler else {"fallback": "smote"}
    oversampler = method(sampling_strategy="all", seed=seed, **params).fit_arrays(points, labels)
    rows, made_labels, _, parents = oversampler.new_rows()
    total = np.bincount(np.concatenate([labels, made_labels]))
    assert set(total) == {max(counts)}
    assert np.isfinite(rows).all()
    if copies:
        np.testing.assert_array_equal(rows, points[parents])


@pytest.mark.parametrize("method", METHODS)
def test_bfloat16_search_changes_nothing(method: type[EmbeddingOversampler]) -> None:
    points, labels = mixture((300, 30), width=20, gap=0.2)
    one = made(method(neighbor_dtype="float32"), points, labels)
    np.testing.assert_array_equal(one, made(method(neighbor_dtype="bfloat16"), points, labels))


@pytest.mark.parametrize("method", METHODS)
def test_through_a_data_set_and_a_folder(
    method: type[EmbeddingOversampler], tmp_path: Path
) -> None:
    dataset = make_dataset((23, 9, 6))
    oversampler = method(seed=4)
    balanced = oversampler.balance(dataset)
    rows = rows_of(balanced)
    assert [sum(row["label"] == label for row in rows) for label in (0, 1, 2)] == [23] * 3
    points = np.array(dataset["embedding"][:], dtype=np.float32)
    expected = made(method(seed=4), points, np.array(dataset["label"][:]))
    np.testing.assert_array_equal(
        np.array([row["embedding"] for row in rows[38:]], dtype=np.float32), expected
    )
    oversampler.save_pretrained(tmp_path / "saved")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(OVERSAMPLERS, method.__name__, f"{method.__module__}:{method.__name__}")
        loaded = method.from_pretrained(tmp_path / "saved")
    assert rows_of(loaded.children(dataset)) == rows[38:]
    assert isinstance(balanced, Dataset)


def test_small_classes_warn_and_single_rows_raise(caplog: pytest.LogCaptureFixture) -> None:
    points, labels = mixture((20, 3))
    with caplog.at_level(logging.WARNING):
        made(SmoteOversampler(), points, labels)
    assert "class '1' has 3 rows: each has 2 neighbours of its class, 5 were asked" in caplog.text
    caplog.clear()
    points, labels = mixture((20, 3, 4, 6))
    with caplog.at_level(logging.WARNING):
        made(SmoteOversampler(), points, labels)
    (told,) = caplog.messages
    assert "class '1' has 3 rows" in told
    assert told.endswith("; so it is for 2 classes")
    points, labels = mixture((20, 1))
    for method in METHODS:
        with pytest.raises(ValueError, match=r"class '1' has 1 row .* use RandomOversampler"):
            method().fit_arrays(points, labels)
    kept = SmoteOversampler(sampling_strategy={1: 9}).fit_arrays(*mixture((20, 4, 1)))
    assert len(kept.fitted_plan()) == 5


@pytest.mark.parametrize("method", [BorderlineSmoteOversampler, AdasynOversampler])
def test_a_class_far_from_the_others(
    method: type[EmbeddingOversampler], caplog: pytest.LogCaptureFixture
) -> None:
    points, labels = mixture((40, 15), gap=100)
    with pytest.raises(ValueError, match=r"no row of class '1' .*fallback='smote'"):
        method().fit_arrays(points, labels)
    with caplog.at_level(logging.WARNING):
        rows = made(method(fallback="smote", seed=2), points, labels)
    assert "no row of class '1'" in caplog.text
    np.testing.assert_array_equal(rows, made(SmoteOversampler(seed=2), points, labels))


def test_constructor_values_are_checked() -> None:
    with pytest.raises(ValueError, match="k_neighbors is 0"):
        SmoteOversampler(k_neighbors=0)
    with pytest.raises(TypeError, match=r"n_neighbors must be an int, got 2\.5"):
        AdasynOversampler(n_neighbors=2.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="neighbor_dtype is 'float16'"):
        SmoteOversampler(neighbor_dtype="float16")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="kind is 'borderline-3'"):
        BorderlineSmoteOversampler(kind="borderline-3")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="fallback is 'none'"):
        AdasynOversampler(fallback="none")  # type: ignore[arg-type]
    assert BorderlineSmoteOversampler(seed=3).get_params() == {
        "k_neighbors": 5,
        "m_neighbors": 10,
        "kind": "borderline-1",
        "fallback": "raise",
        "neighbor_dtype": "auto",
        "neighbor_search": "exact",
        "sampling_strategy": "auto",
        "seed": 3,
        "copy_columns": False,
    }
