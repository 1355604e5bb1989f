from __future__ import annotations

import logging
import pickle
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from datasets import ClassLabel, Dataset, Features, List, Value
from datasets.fingerprint import Hasher
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch.utils.data import DataLoader, WeightedRandomSampler

from hf_oversample.models.classifiers.mlp import MlpForEmbeddingClassification
from hf_oversample.oversamplers.amo import AmoOversampler, rejection_probability
from hf_oversample.oversamplers.amo_translation import (
    Head,
    Penalty,
    TranslationSettings,
    objective,
    translate,
)
from hf_oversample.plan import RESAMPLED, SYNTHETIC
from hf_oversample.training.amo_collator import AmoCollator
from hf_oversample.training.heads import head_logits, new_head, train_head
from hf_oversample.training.losses import deferred_row_weights

COUNTS = (400, 150, 40)
WIDTH = 8
QUICK: dict[str, Any] = {
    "hidden_size": 16,
    "epochs": 3,
    "head_options": {"min_steps": 250},
    "beta": 0.99,
    "step_size": 0.3,
}


def blobs(
    counts: tuple[int, ...] = COUNTS, width: int = WIDTH, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    centers = 2 * rng.normal(size=(len(counts), width))
    rows = centers[labels] + rng.normal(size=(len(labels), width))
    return rows.astype(np.float32), labels


def dataset(rows: np.ndarray, labels: np.ndarray) -> Dataset:
    features = Features(
        {
            "embedding": List(Value("float32"), length=rows.shape[1]),
            "label": ClassLabel(names=["a", "b", "c"][: labels.max() + 1]),
        }
    )
    return Dataset.from_dict({"embedding": rows.tolist(), "label": labels}, features=features)


def heads(hidden_size: int, width: int = WIDTH, seed: int = 0) -> tuple:
    return tuple(new_head(width, 3, hidden_size, seed=seed + part) for part in (0, 1))


class TestCore:
    @pytest.mark.parametrize("sizes", [(0, 0), (12, 12), (0, 12), (12, 0)])
    @pytest.mark.parametrize("penalty", [0.0, 0.5])
    def test_gradient_equals_autograd(self, sizes: tuple[int, int], penalty: float) -> None:
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
        self, hidden_size, width, penalty, acceptance, project, precision, step_length
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

    def test_accepted_rows_exist_and_have_moved(self) -> None:
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

    def test_bfloat16_is_near(self) -> None:
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

    def test_start_noise_has_the_asked_length_and_its_address_alone_counts(self) -> None:
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

    def test_wrong_classifiers(self) -> None:
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


class TestFormulas:
    def test_rejection_by_hand(self) -> None:
        got = rejection_probability(0.5, [3, 5, 8], 5)
        np.testing.assert_allclose(got, [1, 1, 0.125])
        np.testing.assert_array_equal(rejection_probability(0.0, [5, 6], 5), [1, 0])

    def fitted(self, beta: float, counts: tuple[int, ...], children: int) -> AmoOversampler:
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

    def test_seed_classes_and_rejections_follow_equations_3_and_4(self) -> None:
        counts, beta, children = (900, 500, 300, 200), 0.997, 100_000
        method = self.fitted(beta, counts, children)
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

    def test_seeds_are_even_over_a_class_and_so_are_repeats(self) -> None:
        method = self.fitted(0.99, (40, 10), 100_000)
        plan = method.fitted_plan()
        for origin, code, rows in ((SYNTHETIC, 0, 40), (RESAMPLED, 1, 10)):
            parents = plan.parent[plan.extra["origin"] == origin]
            assert (method.labels_[parents] == code).all()
            numbers = np.unique(parents, return_counts=True)[1]
            assert len(numbers) == rows
            assert chisquare(numbers).pvalue > 1e-3


class TestOversampler:
    @pytest.mark.parametrize(
        ("strategy", "expected"),
        [
            ("auto", [400, 400, 400]),
            ("minority", [400, 150, 400]),
            ("all", [400, 400, 400]),
            ({2: 77, 0: 410}, [410, 150, 77]),
        ],
    )
    def test_counts_and_provenance(self, strategy: Any, expected: list[int]) -> None:
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

    def test_the_largest_class_repeats_real_rows(self) -> None:
        rows, labels = blobs()
        method = AmoOversampler(sampling_strategy={0: 430}, **QUICK).fit_arrays(rows, labels)
        made, classes, origin, parent = method.new_rows()
        assert len(made) == 30
        assert (classes == 0).all()
        assert (origin == RESAMPLED).all()
        assert method.acceptance_ == []

    def test_two_equal_classes(self) -> None:
        rows, labels = blobs((20, 20, 5))
        strategy = {0: 30, 1: 25}
        method = AmoOversampler(sampling_strategy=strategy, **QUICK).fit_arrays(rows, labels)
        _, _, origin, _ = method.new_rows()
        assert len(origin) == 15
        assert (origin == RESAMPLED).all()

    def test_nothing_to_make(self) -> None:
        rows, labels = blobs((20, 20, 20))
        method = AmoOversampler(**QUICK).fit_arrays(rows, labels)
        assert method.new_rows()[0].shape == (0, WIDTH)

    def test_clean_gives_the_seeds_of_the_same_translations(self) -> None:
        rows, labels = blobs()
        one = AmoOversampler(**QUICK).fit_arrays(rows, labels)
        clean = AmoOversampler(clean=True, **QUICK).fit_arrays(rows, labels)
        assert one.acceptance_ == clean.acceptance_
        made, _, origin, parent = clean.new_rows()
        np.testing.assert_array_equal(made, rows[parent])
        moved = one.new_rows()[0]
        assert (np.abs(moved - made).sum(axis=1) > 0)[origin == SYNTHETIC].all()

    def test_without_penalty_there_is_no_receiving_classifier(self) -> None:
        rows, labels = blobs()
        method = AmoOversampler(penalty=0.0, **QUICK).fit_arrays(rows, labels)
        assert method.receiving_classifier_ is None
        with_f = AmoOversampler(**QUICK).fit_arrays(rows, labels)
        assert not np.array_equal(method.made_, with_f.made_)

    @pytest.mark.parametrize(("asked", "projected"), [("auto", True), (True, True), (False, False)])
    def test_unit_rows_stay_on_their_sphere(self, asked: Any, projected: bool) -> None:
        rows, labels = blobs()
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        method = AmoOversampler(project_to_sphere=asked, **QUICK).fit_arrays(rows, labels)
        made, _, origin, _ = method.new_rows()
        lengths = np.linalg.norm(made[origin == SYNTHETIC], axis=1)
        assert (np.abs(lengths - 1) < 1e-5).all() == projected
        assert not method.settings(2 * rows).project or asked is True

    def test_lengths_are_relative_to_the_rows(self) -> None:
        rows, labels = blobs()
        median = float(np.median(np.linalg.norm(rows, axis=1)))
        found = AmoOversampler(step_size=0.2, noise_scale=0.1).settings(rows)
        assert found.step_length == pytest.approx(0.2 * median)
        assert found.noise_length == pytest.approx(0.1 * median)

    def test_warns_of_a_generating_classifier_that_accepts_nothing(
        self, caplog: pytest.LogCaptureFixture
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

    def test_same_seed_same_rows(self) -> None:
        rows, labels = blobs()
        one, two, other = (
            AmoOversampler(seed=seed, **QUICK).fit_arrays(rows, labels) for seed in (1, 1, 2)
        )
        np.testing.assert_array_equal(one.made_, two.made_)
        assert not np.array_equal(one.fitted_plan().parent, other.fitted_plan().parent)

    def test_map_save_load_and_pickle(self, tmp_path) -> None:
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
            data.map(one, batched=True, with_indices=True, new_fingerprint=name).with_format(
                "numpy"
            )[:]
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

    def test_given_classifiers_as_models_or_folders(self, tmp_path) -> None:
        rows, labels = blobs()
        g, f = (
            train_head(rows, labels, num_labels=3, hidden_size=8, min_steps=60, seed=n)
            for n in (0, 1)
        )
        g.save_pretrained(tmp_path / "g")
        f.save_pretrained(tmp_path / "f")
        models = AmoOversampler(
            **QUICK, generating_classifier=g, receiving_classifier=f
        ).fit_arrays(rows, labels)
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
        with pytest.raises(ValueError, match="give generating_classifier again"):
            loaded.fit_arrays(rows, labels)
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
        ],
    )
    def test_wrong_values(self, params: dict[str, Any]) -> None:
        (name,) = params
        with pytest.raises(ValueError, match=f"{name}="):
            AmoOversampler(**params)


class TestCollator:
    def collator(
        self, start_step: int = 0, **options: Any
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

    @staticmethod
    def batch(labels: np.ndarray) -> np.ndarray:
        """100 rows of each class, in turn."""
        picks = [np.resize(np.flatnonzero(labels == k), 100) for k in range(3)]
        return np.stack(picks, axis=1).reshape(-1)

    def test_plain_before_the_start(self) -> None:
        collator, rows, labels, _ = self.collator(start_step=1)
        batch = self.batch(labels)
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

    def test_what_is_put_in_is_taken_for_its_class(self) -> None:
        collator, rows, labels, _ = self.collator()
        batch = self.batch(labels)
        x, y = collator(batch)
        changed = torch.from_numpy((x.numpy() != rows[batch]).any(axis=1))
        with torch.no_grad():
            shares = collator.generating(x[changed]).logits.softmax(dim=1)
        own = shares.gather(1, y[changed][:, None])
        assert float(own.min()) >= 0.9 - 1e-5

    def test_clean_puts_in_rows_of_the_batch(self) -> None:
        collator, rows, labels, _ = self.collator(clean=True)
        batch = self.batch(labels)
        x, y = collator(batch)
        known = {row.tobytes(): int(k) for row, k in zip(rows, labels, strict=True)}
        real = np.array([known[row.tobytes()] for row in x.numpy()])
        assert (real < y.numpy()).sum() == collator.accepted > 0

    def test_draws_depend_on_seed_and_step_and_the_live_classifier(self) -> None:
        collator, _, labels, f = self.collator()
        batch = self.batch(labels)
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

    def test_in_a_data_loader(self) -> None:
        collator, rows, labels, f = self.collator(start_step=5)
        update = torch.optim.SGD(f.parameters(), lr=0.1)
        for epoch in range(2):
            weights = deferred_row_weights(labels, epoch, 1)
            sampler = WeightedRandomSampler(weights.tolist(), 320)
            loader = DataLoader(
                range(len(rows)), batch_size=64, sampler=sampler, collate_fn=collator
            )
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

    def test_in_train_head(self) -> None:
        collator, rows, labels, f = self.collator(start_step=6)
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

    def test_wrong_sizes(self) -> None:
        g, f = heads(0)
        with pytest.raises(ValueError, match=r"\[n, d\] and \[n\]"):
            AmoCollator(np.zeros((3, 8)), [0, 1], g, f)
