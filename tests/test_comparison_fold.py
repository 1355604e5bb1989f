"""What a remedy may see: leaks are refused, costs are shared out, moved scores are right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_oversample.comparison.base import Training
from hf_oversample.comparison.costs import Costs, SharedValues
from hf_oversample.comparison.embedders import (
    LatentSemanticEmbedder,
    RememberedEmbeddings,
    encoder_identity,
)
from hf_oversample.comparison.fold import (
    Fold,
    LeakError,
    MadeVectors,
    matrix_digest,
    refuse_leak,
)
from hf_oversample.comparison.registry import CLASSIFIERS, classifier_named
from hf_oversample.comparison.remedies import REMEDIES, Remedy, add_remedy, remedy_named
from hf_oversample.comparison.remedy_fits import plain
from hf_oversample.comparison.resampling import half_new
from hf_oversample.comparison.scores import Scores, cell_curves, cell_metrics
from hf_oversample.data.labeled_texts import Texts
from hf_oversample.metrics.classification import average_precision_at, best_threshold
from hf_oversample.metrics.thresholds import tuned_offsets
from hf_oversample.text.words import Segmenter
from miso_fixtures import CLASS_NAMES, make_corpus

SEGMENTER = Segmenter("en")


def parts_of(counts: tuple[int, ...], seed: int = 0) -> list[Texts]:
    """Training, validation and test rows, half, a quarter and a quarter of each class."""
    texts, labels = make_corpus(counts, seed)
    places = np.zeros(len(labels), int)
    for label in range(len(counts)):
        rows = np.flatnonzero(labels == label)
        places[rows] = np.arange(len(rows)) % 4
    kinds = (places < 2, places == 2, places == 3)
    return [
        Texts([texts[i] for i in np.flatnonzero(kind)], np.asarray(labels)[kind]) for kind in kinds
    ]


def make_fold(counts: tuple[int, ...] = (80, 24), seed: int = 0) -> Fold:
    train, validation, test = parts_of(counts, seed)
    embed = RememberedEmbeddings(LatentSemanticEmbedder(train.texts, SEGMENTER, width=16))
    names = list(CLASS_NAMES[: len(counts)])
    return Fold(train, validation, test, names, SEGMENTER, embed=embed)


def test_a_fold_refuses_held_out_texts_among_its_training_texts() -> None:
    train, validation, test = parts_of((40, 16))
    for held_out in (test, validation):
        leaking = Texts(
            [*train.texts, f"  {held_out.texts[3].upper()} "], np.append(train.labels, 0)
        )
        with pytest.raises(LeakError, match=r"1 of \d+ rows of the training part .* row"):
            Fold(leaking, validation, test, list(CLASS_NAMES[:2]), SEGMENTER)
    with pytest.raises(LeakError, match="the validation part"):
        Fold(train, test, test, list(CLASS_NAMES[:2]), SEGMENTER)


@given(st.lists(st.text(min_size=1), min_size=1, max_size=8), st.data())
@settings(deadline=None, max_examples=30)
def test_a_pool_with_any_held_out_text_is_refused(pool: list[str], data: st.DataObject) -> None:
    leaked = data.draw(st.sampled_from(pool))
    with pytest.raises(LeakError, match="validation or test rows"):
        refuse_leak(pool, ["another text of the test part", f" {leaked}\n"])


@pytest.mark.parametrize("kind", ["linear", "mlp", "textcnn"])
def test_no_classifier_trains_on_a_remedys_planted_leak(kind: str) -> None:
    fold = make_fold()
    classifier = classifier_named(kind, steps=1)
    both = Texts(
        fold.train.texts + fold.test.texts,
        np.concatenate([fold.train.labels, fold.test.labels]),
    )
    rows = fold.embedded("train")[:1]
    outside = np.array([len(fold.train) + 2])
    stranger = Texts([*fold.train.texts[1:], "a text of nobody"], fold.train.labels)
    plans = {
        "validation or test rows": Training(real=both),
        "of the training rows are validation": Training(made=fold.test),
        "given as real, but is none": Training(real=stranger),
    }
    if classifier.reads_vectors:
        x, y = fold.embedded("train"), fold.train.labels
        own = matrix_digest(x, y)
        one, inside = np.array([1]), np.array([0])
        leak = MadeVectors(rows, one, outside, own)
        plans["more than the training part was resampled"] = Training(made_vectors=leak)
        # the pool was training and test rows, in whatever order: no parent gives that away
        pool = np.concatenate([fold.embedded("test"), x])
        labels = np.concatenate([fold.test.labels, y])
        leak = MadeVectors(rows, one, inside, matrix_digest(pool, labels))
        plans["made of other rows than"] = Training(made_vectors=leak)
        leak = MadeVectors(fold.embedded("test"), fold.test.labels, y[: len(fold.test)] * 0, own)
        plans["are those of validation or test rows"] = Training(made_vectors=leak)
    for message, training in plans.items():
        if message == "of the training rows are validation":
            message = "the training rows are validation or test rows"
        with pytest.raises(LeakError, match=message):
            classifier.train(fold, training, seed=0)


def test_made_texts_that_equal_a_held_out_text_are_left_out_and_counted() -> None:
    fold = make_fold()
    made = Texts(["win a new thing now", fold.test.texts[0].upper()], np.array([1, 1]))
    training = half_new(fold, made)
    assert training.made is not None
    assert training.made.texts == ["win a new thing now"]
    assert fold.left_out == 1
    weights = training.row_weights
    assert weights is not None
    is_rare = np.append(fold.train.labels, 1) == 1
    assert weights[is_rare].sum() == pytest.approx(weights[~is_rare].sum())
    assert weights[-1] == 0.5


def test_a_shared_value_costs_each_remedy_its_time_once(monkeypatch: pytest.MonkeyPatch) -> None:
    cache, clock, calls = SharedValues(), [0.0], []
    monkeypatch.setattr("hf_oversample.comparison.costs.time.perf_counter", lambda: clock[0])

    def make(name: str, seconds: float, of: str | None = None, spared: float = 0.0) -> str:
        def work() -> str:
            calls.append(name)
            if of is not None:
                cache.get((of,), lambda: "never made here")
            if spared:
                cache.costs.spare(spared)
            clock[0] += seconds
            return name

        return cache.get((name,), work)

    cache.costs.start()
    assert make("part", 3.0) == "part"
    assert cache.costs.saved == 0.0  # its clock was running
    cache.costs.start()
    assert make("part", 3.0) == make("part", 3.0) == "part"
    assert cache.costs.saved == 3.0
    cache.costs.start()
    make("whole", 1.0, of="part")
    assert cache.costs.saved == 3.0
    for names in (("whole", "part"), ("part", "whole"), ("whole",)):
        cache.costs.start()
        for name in names:
            make(name, 9.0)
        assert cache.costs.saved == 4.0, names
    cache.costs.start()
    make("found", 1.0, spared=5.0)  # as a folder of an earlier run
    assert cache.costs.saved == 5.0
    cache.costs.start()
    make("found", 9.0)
    assert cache.costs.saved == 6.0
    assert calls == ["part", "whole", "found"]
    cache.drop("part")
    cache.costs.start()
    make("whole", 9.0)
    assert cache.costs.saved == 4.0
    assert make("part", 2.0) == "part"
    assert calls[-1] == "part"
    assert cache.costs.saved == 1.0  # two seconds of these were its making


def test_what_is_made_inside_another_value_costs_its_time_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache, clock = SharedValues(), [0.0]
    monkeypatch.setattr("hf_oversample.comparison.costs.time.perf_counter", lambda: clock[0])

    def tick(seconds: float) -> None:
        clock[0] += seconds

    cache.get("outer", lambda: (cache.get("inner", lambda: tick(3.0)), tick(1.0)))
    for names, spared in ((("inner",), 3.0), (("outer",), 4.0), (("inner", "outer"), 4.0)):
        cache.costs.start()
        for name in names:
            cache.get(name, lambda: None)
        assert cache.costs.saved == spared, names


def test_what_an_earlier_run_measured_stands_for_what_it_takes_to_make_it_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0.0]
    monkeypatch.setattr("hf_oversample.comparison.costs.time.perf_counter", lambda: clock[0])

    def tick(seconds: float) -> None:
        clock[0] += seconds

    first = SharedValues()
    first.costs.start()
    first.get(("whole",), lambda: (first.get("part", lambda: tick(3.0)), tick(1.0)))
    assert first.costs.made == {"'part'": 3.0, "('whole',)": 1.0}

    again = SharedValues(Costs(first.costs.made))  # on a machine that is ten times slower
    again.costs.start()
    begin = clock[0]
    again.get(("whole",), lambda: (again.get("part", lambda: tick(30.0)), tick(10.0)))
    assert clock[0] - begin + again.costs.saved == 4.0
    assert again.costs.made == first.costs.made
    for names, spared in ((("part",), 3.0), (("whole",), 4.0)):
        again.costs.start()
        for name in names:
            again.get((name,) if name == "whole" else name, lambda: None)
        assert again.costs.saved == spared
        assert again.costs.made == {}


def test_an_encoder_is_the_same_wherever_its_folder_is(tmp_path: Path) -> None:
    for place in ("here/encoder", "there/encoder", "other/encoder"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "config.json").write_text("{}" if "other" not in place else "[]")
    here, there, other = (
        encoder_identity(str(tmp_path / p / "encoder")) for p in ("here", "there", "other")
    )
    assert here == there != other
    assert str(here).startswith("encoder@")
    assert str(tmp_path) not in str(here)
    assert encoder_identity("user/encoder") == "user/encoder"
    assert encoder_identity(None) is None


def test_remembered_embeddings_embed_a_text_once() -> None:
    seen: list[str] = []

    def embed(texts: list[str]) -> np.ndarray:
        seen.extend(texts)
        return np.array([[len(text), 1.0] for text in texts], np.float32)

    remembered = RememberedEmbeddings(embed)  # type: ignore[arg-type]
    remembered(["a", "bb", "a"])
    found = remembered(["bb", "ccc"])
    assert seen == ["a", "bb", "ccc"]
    np.testing.assert_array_equal(found, [[2, 1], [3, 1]])


# ---- scores -------------------------------------------------------------------------------------


def test_a_moved_threshold_gives_the_tuned_f1_and_keeps_the_ranking() -> None:
    fold = make_fold((120, 30))
    classifier = classifier_named("linear")
    none = cell_metrics(fold, plain(fold, classifier, 0))
    moved = cell_metrics(fold, REMEDIES["threshold moving"].fit(fold, classifier, 0))
    adjusted = cell_metrics(fold, REMEDIES["logit adjustment"].fit(fold, classifier, 0))
    assert moved["f1"] == pytest.approx(none["f1_tuned"])
    for other in (moved, adjusted):
        assert other["average_precision"] == pytest.approx(none["average_precision"])
    assert adjusted["recall"] >= none["recall"]


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=20)
def test_the_tuned_offset_puts_the_best_threshold_at_one_half(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.append(rng.integers(0, 2, 30), [0, 1])
    own = rng.random(32)
    probabilities = np.column_stack([1 - own, own])
    threshold = best_threshold(labels, own)
    scores = Scores(probabilities, probabilities).moved(tuned_offsets(labels, probabilities, 1))
    np.testing.assert_array_equal(scores.test[:, 1] >= 0.5, own >= threshold)
    np.testing.assert_allclose(scores.test.sum(axis=1), 1)


def test_offsets_of_several_classes_raise_macro_f1() -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice(3, size=300, p=[0.8, 0.15, 0.05])
    logits = rng.normal(size=(300, 3)) + 1.5 * np.eye(3)[labels] + np.log([0.8, 0.15, 0.05])
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    offsets = tuned_offsets(labels, probabilities, 2)
    assert offsets[2] > offsets[0]

    def macro(scores: np.ndarray) -> float:
        from sklearn.metrics import f1_score

        return f1_score(labels, scores.argmax(axis=1), average="macro")

    assert macro(np.log(probabilities) + offsets) > macro(probabilities)


def test_the_curves_agree_with_the_metrics() -> None:
    fold = make_fold()
    scores = plain(fold, classifier_named("linear"), 0)
    curves = cell_curves(fold, scores)
    rows = np.array(curves["calibration"])
    assert rows[:, 0].sum() == len(fold.test)
    assert rows[:, 2].sum() == (fold.test.labels == 1).sum()
    assert np.diff(curves["precision"]).max() <= 0
    metrics = cell_metrics(fold, scores)
    truth = (fold.test.labels == 1).astype(int)
    prevalence = float((fold.train.labels == 1).mean())
    expected = average_precision_at(truth, scores.test[:, 1], prevalence)
    assert metrics["average_precision_at_train"] == expected


def test_a_cell_has_the_papers_difficult_rows_and_those_that_are_outvoted() -> None:
    """Six rare test rows of fifty, five by themselves with a row of the other class and one amid
    it: all are difficult by the paper's measure, one is outvoted."""
    places = np.concatenate([np.arange(43.0), [-100.25], -100 - 0.1 * np.arange(5), [20.5]])
    test = Texts([f"test {place}" for place in places], np.asarray([0] * 44 + [1] * 6))
    few = Texts(["a", "b"], np.asarray([0, 1]))
    others = Texts(["c", "d"], np.asarray([0, 1]))
    fold = Fold(
        few, others, test, ["ham", "spam"], SEGMENTER, minority=1,
        embed=lambda texts: np.asarray([[float(text.split()[1])] for text in texts]),
    )  # fmt: skip
    # one false alarm; the row amid the others is missed, as is one of the five
    own = np.asarray([0.9] + [0.1] * 43 + [0.8, 0.8, 0.8, 0.8, 0.2, 0.3])
    probabilities = np.stack([1 - own, own], 1)
    head_reads = places[:, None].astype(np.float32)
    scores = Scores(np.asarray([[0.8, 0.2], [0.1, 0.9]]), probabilities, features=head_reads)
    metrics = cell_metrics(fold, scores)
    assert (metrics["difficult_share"], metrics["outvoted_share"]) == (1.0, 1 / 6)
    assert metrics["f1_difficult"] == metrics["f1"] == pytest.approx(8 / 11)
    assert "f1_other" not in metrics  # there is no such row
    assert metrics["f1_outvoted"] == 0.0
    assert metrics["f1_not_outvoted"] == pytest.approx(8 / (5 + 4 + 1))


# ---- the registry -------------------------------------------------------------------------------


def test_names_may_have_hyphens_and_any_case() -> None:
    assert remedy_named("Threshold-Moving").name == "threshold moving"
    assert remedy_named("eda_edits").name == "EDA edits"
    assert remedy_named("anchors-once-+-logit-adjustment").name == "anchors once + logit adjustment"
    with pytest.raises(ValueError, match="no remedy 'magic'; there are none, threshold moving"):
        remedy_named("magic")
    with pytest.raises(ValueError, match="no classifier 'svm'; there are textcnn"):
        classifier_named("svm")
    with pytest.raises(ValueError, match="already"):
        add_remedy("none", "twice", plain)


@pytest.mark.parametrize("remedy", REMEDIES.values(), ids=list(REMEDIES))
def test_every_remedy_says_where_it_does_not_apply(remedy: Remedy) -> None:
    fold = make_fold()
    for kind in CLASSIFIERS:
        classifier = classifier_named(kind)
        refusal = remedy.refusal(fold, classifier)
        if kind in ("finetune", "textcnn-pretrained-words"):
            assert refusal is not None  # no encoder is named
            assert "encoder" in refusal
        elif remedy.name in ("none", "class weights", "duplicates", "EDA edits", "EMCO"):
            assert refusal is None
        elif remedy.name == "SMOTE":
            assert (refusal is None) == (kind in ("linear", "mlp"))
        elif remedy.name in ("focal loss", "cRT", "TMix"):
            assert (refusal is None) == (kind != "linear")
        elif "anchors" in remedy.name or remedy.name == "MISO backbone":
            assert refusal == "there is no MISO generator of these rows"
