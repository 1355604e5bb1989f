"""AMO's oversampler: equations 3 and 4, and what each setting does to the rows that are made."""

from __future__ import annotations

import logging
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, List, Value
from datasets.fingerprint import Hasher
from scipy.stats import chisquare

from amo_fixtures import QUICK, WIDTH, blobs
from hf_oversample.oversamplers.amo.oversampler import AmoOversampler, rejection_probability
from hf_oversample.oversamplers.plan import RESAMPLED, SYNTHETIC
from hf_oversample.training.heads import head_logits, new_head, train_head


def dataset(rows: np.ndarray, labels: np.ndarray) -> Dataset:
    features = Features(
        {
            "embedding": List(Value("float32"), length=rows.shape[1]),
            "label": ClassLabel(names=["a", "b", "c"][: labels.max() + 1]),
        }
    )
    return Dataset.from_dict({"embedding": rows.tolist(), "label": labels}, features=features)


# ---- equations 3 and 4 --------------------------------------------------------------------------


def test_rejection_by_hand() -> None:
    got = rejection_probability(0.5, [3, 5, 8], 5)
    np.testing.assert_allclose(got, [1, 1, 0.125])
    np.testing.assert_array_equal(rejection_probability(0.0, [5, 6], 5), [1, 0])


def accepting_all(beta: float, counts: tuple[int, ...], children: int) -> AmoOversampler:
    """Accepts all that equation 3 lets pass: the seed already fits, γ is 0."""
    rows, labels = blobs(counts, 2)
    g = new_head(2, len(counts))
    g.classifier.weight.data.zero_()
    smallest = len(counts) - 1
    method = AmoOversampler(
        sampling_strategy={smallest: counts[-1] + children},
        beta=beta,
        acceptance=0.0,
        penalty=0.0,
        steps=0,
        generating_classifier=g,
        seed=5,
    )
    return method.fit_arrays(rows, labels)


def test_seed_classes_and_rejections_follow_equations_3_and_4() -> None:
    counts, beta, children = (900, 500, 300, 200), 0.997, 100_000
    method = accepting_all(beta, counts, children)
    by_source = {one["source"]: one for one in method.acceptance_}
    assert set(by_source) == {"0", "1", "2"}  # never the class itself
    gaps = np.array([700, 300, 100])
    kept = 1 - beta**gaps
    drawn = [by_source[name]["drawn"] for name in "012"]
    assert sum(drawn) == children
    assert chisquare(drawn, children * kept / kept.sum()).pvalue > 1e-3
    for name, share in zip("012", kept, strict=True):
        n, accepted = by_source[name]["drawn"], by_source[name]["accepted"]
        assert by_source[name]["translated"] == accepted
        expected = [n * share, n * (1 - share)]
        assert chisquare([accepted, n - accepted], expected).pvalue > 1e-3


def test_seeds_are_even_over_a_class_and_so_are_repeats() -> None:
    method = accepting_all(0.99, (40, 10), 100_000)
    plan = method.fitted_plan()
    for origin, code, rows in ((SYNTHETIC, 0, 40), (RESAMPLED, 1, 10)):
        parents = plan.parent[plan.extra["origin"] == origin]
        assert (method.labels_[parents] == code).all()
        numbers = np.unique(parents, return_counts=True)[1]
        assert len(numbers) == rows
        assert chisquare(numbers).pvalue > 1e-3


# ---- the rows that are made ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("auto", [400, 400, 400]),
        ("minority", [400, 150, 400]),
        ("all", [400, 400, 400]),
        ({2: 77, 0: 410}, [410, 150, 77]),
    ],
)
def test_counts_and_provenance(strategy: Any, expected: list[int]) -> None:
    rows, labels = blobs()
    method = AmoOversampler(sampling_strategy=strategy, **QUICK).fit_arrays(rows, labels)
    made, classes, origin, parent = method.new_rows()
    assert np.bincount(np.concatenate([labels, classes])).tolist() == expected
    assert made.dtype == np.float32
    assert np.isfinite(made).all()
    repeated = origin == RESAMPLED
    np.testing.assert_array_equal(made[repeated], rows[parent[repeated]])
    np.testing.assert_array_equal(labels[parent[repeated]], classes[repeated])
    sizes = np.bincount(labels)
    assert (sizes[labels[parent[~repeated]]] > sizes[classes[~repeated]]).all()
    assert (~repeated).any()
    g = method.generating_classifier_
    logits = torch.from_numpy(head_logits(g, made[~repeated])).softmax(dim=1)
    own = logits.gather(1, torch.from_numpy(classes[~repeated])[:, None])
    assert float(own.min()) >= 0.9 - 1e-5
    assert sum(one["accepted"] for one in method.acceptance_) == (~repeated).sum()


def test_the_largest_class_repeats_real_rows() -> None:
    rows, labels = blobs()
    method = AmoOversampler(sampling_strategy={0: 430}, **QUICK).fit_arrays(rows, labels)
    made, classes, origin, parent = method.new_rows()
    assert len(made) == 30
    assert (classes == 0).all()
    assert (origin == RESAMPLED).all()
    assert method.acceptance_ == []


def test_two_equal_classes() -> None:
    rows, labels = blobs((20, 20, 5))
    strategy = {0: 30, 1: 25}
    method = AmoOversampler(sampling_strategy=strategy, **QUICK).fit_arrays(rows, labels)
    _, _, origin, _ = method.new_rows()
    assert len(origin) == 15
    assert (origin == RESAMPLED).all()


def test_nothing_to_make() -> None:
    rows, labels = blobs((20, 20, 20))
    method = AmoOversampler(**QUICK).fit_arrays(rows, labels)
    assert method.new_rows()[0].shape == (0, WIDTH)


def test_clean_gives_the_seeds_of_the_same_translations() -> None:
    rows, labels = blobs()
    one = AmoOversampler(**QUICK).fit_arrays(rows, labels)
    clean = AmoOversampler(clean=True, **QUICK).fit_arrays(rows, labels)
    assert one.acceptance_ == clean.acceptance_
    made, _, origin, parent = clean.new_rows()
    np.testing.assert_array_equal(made, rows[parent])
    moved = one.new_rows()[0]
    assert (np.abs(moved - made).sum(axis=1) > 0)[origin == SYNTHETIC].all()


def test_without_penalty_there_is_no_receiving_classifier() -> None:
    rows, labels = blobs()
    method = AmoOversampler(penalty=0.0, **QUICK).fit_arrays(rows, labels)
    assert method.receiving_classifier_ is None
    with_f = AmoOversampler(**QUICK).fit_arrays(rows, labels)
    assert not np.array_equal(method.made_, with_f.made_)


@pytest.mark.parametrize(("asked", "projected"), [("auto", True), (True, True), (False, False)])
def test_unit_rows_stay_on_their_sphere(asked: Any, projected: bool) -> None:
    rows, labels = blobs()
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    method = AmoOversampler(project_to_sphere=asked, **QUICK).fit_arrays(rows, labels)
    made, _, origin, _ = method.new_rows()
    lengths = np.linalg.norm(made[origin == SYNTHETIC], axis=1)
    assert (np.abs(lengths - 1) < 1e-5).all() == projected
    assert not method.settings(2 * rows).project or asked is True


def test_lengths_are_relative_to_the_rows() -> None:
    rows, labels = blobs()
    median = float(np.median(np.linalg.norm(rows, axis=1)))
    found = AmoOversampler(step_size=0.2, noise_scale=0.1).settings(rows)
    assert found.step_length == pytest.approx(0.2 * median)
    assert found.noise_length == pytest.approx(0.1 * median)


def test_warns_of_a_generating_classifier_that_accepts_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rows, labels = blobs()
    blind = new_head(WIDTH, 3)
    blind.classifier.weight.data.zero_()
    method = AmoOversampler(**QUICK, generating_classifier=blind)
    with caplog.at_level(logging.WARNING, "hf_oversample"):
        method.fit_arrays(rows, labels)
    assert "'2': 0 of 360" in caplog.text
    assert "too weak" in caplog.text
    assert (method.new_rows()[2] == RESAMPLED).all()


def test_same_seed_same_rows() -> None:
    rows, labels = blobs()
    one, two, other = (
        AmoOversampler(seed=seed, **QUICK).fit_arrays(rows, labels) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one.made_, two.made_)
    assert not np.array_equal(one.fitted_plan().parent, other.fitted_plan().parent)


def test_map_save_load_and_pickle(tmp_path) -> None:
    data = dataset(*blobs((120, 60, 12)))
    method = AmoOversampler(**QUICK).fit(data)
    assert method.acceptance_
    expected = data.map(
        method, batched=True, with_indices=True, new_fingerprint="amo-whole"
    ).with_format("numpy")[:]
    small = data.map(
        method, batched=True, with_indices=True, batch_size=7, new_fingerprint="amo-7"
    ).with_format("numpy")[:]
    method.save_pretrained(tmp_path / "amo")
    loaded = AmoOversampler.from_pretrained(tmp_path / "amo")
    pickled = pickle.loads(pickle.dumps(method))
    assert Hasher.hash(pickled) == Hasher.hash(method)
    again = [
        data.map(one, batched=True, with_indices=True, new_fingerprint=name).with_format("numpy")[:]
        for one, name in ((loaded, "amo-loaded"), (pickled, "amo-pickled"))
    ]
    for other in (small, *again):
        for name, values in expected.items():
            np.testing.assert_array_equal(other[name], values)
    assert np.bincount(expected["label"]).tolist() == [120, 120, 120]
    assert loaded.get_params() == method.get_params()
    assert loaded.acceptance_ == method.acceptance_
    x = np.asarray(data["embedding"][:], dtype=np.float32)
    for name in ("generating_classifier_", "receiving_classifier_"):
        one, two = (head_logits(getattr(m, name), x) for m in (method, loaded))
        np.testing.assert_array_equal(one, two)


def test_given_classifiers_as_models_or_folders(tmp_path) -> None:
    rows, labels = blobs()
    g, f = (
        train_head(rows, labels, num_labels=3, hidden_size=8, min_steps=60, seed=n) for n in (0, 1)
    )
    g.save_pretrained(tmp_path / "g")
    f.save_pretrained(tmp_path / "f")
    models = AmoOversampler(**QUICK, generating_classifier=g, receiving_classifier=f).fit_arrays(
        rows, labels
    )
    folders = AmoOversampler(
        **QUICK,
        generating_classifier=str(tmp_path / "g"),
        receiving_classifier=tmp_path / "f",
    ).fit_arrays(rows, labels)
    np.testing.assert_array_equal(models.made_, folders.made_)
    models.save_pretrained(tmp_path / "amo")
    loaded = AmoOversampler.from_pretrained(tmp_path / "amo")
    np.testing.assert_array_equal(loaded.new_rows()[0], models.new_rows()[0])
    np.testing.assert_array_equal(
        head_logits(loaded.generating_classifier_, rows), head_logits(g, rows)
    )
    # the process that was given the models still has them
    np.testing.assert_array_equal(loaded.fit_arrays(rows, labels).made_, models.made_)
    with pytest.raises(ValueError, match="the data set has 5 and 3"):
        AmoOversampler(generating_classifier=g).fit_arrays(rows[:, :5], labels)


@pytest.mark.parametrize(
    "params",
    [
        {"beta": 1.0},
        {"penalty": -1.0},
        {"acceptance": 1.5},
        {"steps": -1},
        {"step_size": 0.0},
        {"noise_scale": -0.1},
        {"project_to_sphere": "yes"},
        {"hidden_size": -1},
        {"epochs": 0},
        {"precision": "float16"},
        {"clean": "no"},
        {"beta": float("nan")},
        {"penalty": float("inf")},
        {"project_to_sphere": 1},
    ],
)
def test_wrong_values(params: dict[str, Any]) -> None:
    (name,) = params
    with pytest.raises(ValueError, match=f"{name}="):
        AmoOversampler(**params)


@pytest.mark.parametrize(
    "params",
    [
        {"steps": 2.5},
        {"steps": True},
        {"hidden_size": "8"},
        {"epochs": 1.0},
        {"beta": "x"},
        {"penalty": None},
        {"acceptance": [0.9]},
        {"step_size": "0.1"},
        {"noise_scale": np.float32(0.1)},
        {"head_options": "batch_size"},
        {"generating_classifier": 3},
    ],
)
def test_values_of_another_type(params: dict[str, Any]) -> None:
    (name,) = params
    with pytest.raises(TypeError, match=rf"^{name} (must be|is a int; it must be)"):
        AmoOversampler(**params)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"rate": 0.1}, ValueError, r"head_options has \['rate'\]; it takes .*'batch_size'"),
        ({"seed": 1}, ValueError, r"head_options has \['seed'\]"),
        ({"model": None}, ValueError, r"head_options has \['model'\]"),
        ({"optimizer": "adam"}, ValueError, r"'optimizer'\]='adam' must be one of \['adamw'"),
        ({"batch_size": 2.5}, TypeError, r"'batch_size'\] must be an int"),
        ({"batch_size": 0}, ValueError, r"'batch_size'\]=0 must be at least 1"),
        ({"learning_rate": "fast"}, TypeError, r"'learning_rate'\] must be a plain number"),
        ({"weight_decay": -1.0}, ValueError, r"'weight_decay'\]=-1.0 must be at least 0"),
        ({"standardize": 1}, ValueError, r"'standardize'\]=1 must be a bool"),
    ],
)
def test_wrong_head_options(options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        AmoOversampler(head_options=options)


def test_head_options_that_train_head_takes() -> None:
    options = {"optimizer": "sgd", "learning_rate": None, "batch_size": 32, "standardize": False}
    assert AmoOversampler(head_options=options).head_options == options
