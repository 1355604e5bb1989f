"""The quality gate: each reason on cases made by hand, and the judges against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from hf_oversample.oversamplers.anchors.judge import (
    LinearJudge,
    chosen_regularization,
    neighbor_majority,
    out_of_fold_margins,
)
from hf_oversample.oversamplers.anchors.surface import REASONS, is_degenerate, surface_reason
from hf_oversample.text.copies import CopyIndex, words_of
from hf_oversample.text.words import Segmenter, normalized

SEGMENTER = Segmenter("en")
TRAINING = [
    "win a free phone now , call 8007 today and claim your big new prize",
    "see you at the station",
]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (" \n ", "empty"),
        ("8007 !!", "empty"),
        ("Your  prize is WAITING , reply", "unchanged"),
        ("your prize prize is waiting , reply", "repeats"),
        ("prize of prize is prize", "repeats"),
        ("see you at the station", "copy"),
        ("SEE you  at the Station", "copy"),
        # one of eleven words of the first text added, left out, replaced; or its numbers changed
        ("win a free phone now , call 9999 today and claim your big new prize", "near copy"),
        ("win a free phone now , call 8007 today and claim your big prize", "near copy"),
        ("win a free phone now , call 8007 today and claim your big new lovely prize", "near copy"),
        ("win a free phone now , call 8007 today and claim your big new camera", "near copy"),
        ("prize new big your claim and today call now phone free a win", "near copy"),
        # two of them, and one of five
        ("win a free phone now , call 8007 today and claim my old new prize", None),
        ("see you at the office", None),
        ("your prize is waiting , call", None),
    ],
)
def test_reasons(text: str, reason: str | None) -> None:
    index = CopyIndex.build(TRAINING, SEGMENTER)
    found = surface_reason(text, "Your prize is waiting , reply", index, SEGMENTER)
    assert found == reason
    assert found is None or found in REASONS


def test_a_source_may_repeat_itself() -> None:
    assert is_degenerate("go go now", "come here now", SEGMENTER)
    assert not is_degenerate("go go now", "go go home", SEGMENTER)
    assert is_degenerate("the dog and the cat and the cow", "a dog", SEGMENTER)
    assert not is_degenerate("the dog and the cat and all the cows", "a dog", SEGMENTER)
    assert is_degenerate("free the free a free", "free offer", SEGMENTER)
    assert not is_degenerate("free the free a free", "free free offer", SEGMENTER)
    assert is_degenerate("Win WIN now", "call now", SEGMENTER)
    assert not is_degenerate("", "", SEGMENTER)


# ---- copies, against their definition -----------------------------------------------------------

sentences = st.lists(st.sampled_from(list("abcdefghijkl7!")), max_size=12).map(" ".join)


def by_hand(text: str, training: list[str], threshold: float) -> bool:
    """Jaccard ≥ threshold, and at most one word added, left out or replaced."""
    words = set(words_of(text, SEGMENTER))
    for other in (set(words_of(row, SEGMENTER)) for row in training):
        if not words or not other:
            continue
        similarity = len(words & other) / len(words | other)
        if similarity >= threshold and len(words - other) <= 1 and len(other - words) <= 1:
            return True
    return False


@settings(deadline=None, max_examples=300)
@given(
    training=st.lists(sentences, min_size=0, max_size=5),
    text=sentences,
    threshold=st.sampled_from([0.5, 0.75, 0.8, 1.0]),
)
def test_near_copies_against_brute_force(training: list[str], text: str, threshold: float) -> None:
    index = CopyIndex.build(training, SEGMENTER, threshold)
    assert index.is_near_copy(text, SEGMENTER) == by_hand(text, training, threshold)
    assert index.is_copy(text) == (normalized(text) in {normalized(row) for row in training})


@settings(deadline=None, max_examples=100)
@given(
    words=st.lists(st.sampled_from("abcdefghijklmnop"), min_size=2, max_size=14, unique=True),
    edit=st.sampled_from(["same", "add", "leave out", "replace", "two"]),
    data=st.data(),
)
def test_near_copies_of_edited_rows(words: list[str], edit: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(words) - 1))
    changed = {
        "same": words,
        "add": [*words, "new"],
        "leave out": words[:place] + words[place + 1 :],
        "replace": [*words[:place], "new", *words[place + 1 :]],
        "two": ["new", "newer", *words[2:]],
    }[edit]
    index = CopyIndex.build([" ".join(words), "something else"], SEGMENTER)
    text = " ".join(reversed(changed))
    assert index.is_near_copy(text, SEGMENTER) == by_hand(text, [" ".join(words)], 0.8)


def test_an_index_holds_hashes_alone() -> None:
    index = CopyIndex.build(TRAINING, SEGMENTER)
    assert (len(index.exact), len(index.full), len(index.sets)) == (2, 2, 13 + 5)
    for table in (index.exact, index.full, index.sets):
        assert table.dtype == np.int64
        assert (np.diff(table) > 0).all()
    empty = CopyIndex.build([], SEGMENTER)
    assert not empty.is_copy("a")
    assert not empty.is_near_copy("a b", SEGMENTER)


# ---- the linear judge ---------------------------------------------------------------------------


def rows(classes: list[int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.repeat(classes, [40, 12, 7][: len(classes)])
    centres = rng.normal(size=(9, 6))
    return (centres[labels] + rng.normal(size=(len(labels), 6))).astype(np.float32), labels


def reference(embeddings: np.ndarray, labels: np.ndarray) -> LogisticRegression:
    return LogisticRegression(class_weight="balanced", max_iter=1000).fit(embeddings, labels)


@pytest.mark.parametrize("classes", [[0, 1], [1, 3], [0, 1, 2], [0, 2, 4]])
def test_judge_is_balanced_logistic_regression(classes: list[int]) -> None:
    embeddings, labels = rows(classes)
    judge = LinearJudge.fit(embeddings, labels, 5)
    decision = reference(embeddings, labels).decision_function(embeddings)
    if len(classes) == 2:
        decision = np.stack([-decision, decision], 1)
        scale = 2  # the two rows are opposite halves, so that their difference is the logit
    else:
        scale = 1
    logits = embeddings @ judge.weights.T + judge.bias
    np.testing.assert_allclose(scale * logits[:, classes], decision, atol=1e-3)
    for place, label in enumerate(classes):
        margin = judge.margin(embeddings, np.full(len(labels), label))
        own = decision[:, place] / scale
        others = np.delete(decision, place, 1).max(1) / scale
        np.testing.assert_allclose(margin, own - others, atol=1e-3)
        predicted = reference(embeddings, labels).predict(embeddings) == label
        assert ((margin > 0) == predicted).all()
    absent = next(label for label in range(5) if label not in classes)
    assert (judge.margin(embeddings, np.full(len(labels), absent)) < -1e6).all()


def test_a_margin_does_not_depend_on_the_other_rows() -> None:
    embeddings, labels = rows([0, 1, 2])
    judge = LinearJudge.fit(embeddings, labels, 3)
    together = judge.margin(embeddings, labels)
    for row in range(len(labels)):
        assert judge.margin(embeddings[row : row + 1], labels[row : row + 1])[0] == together[row]


# ---- out of fold --------------------------------------------------------------------------------


def shifted(counts: tuple[int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two classes that overlap, in more dimensions than the second has rows."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], counts)
    embeddings = rng.normal(size=(len(labels), 60))
    embeddings[:, 0] += 3.0 * labels
    return embeddings.astype(np.float32), labels


def test_a_quantile_of_margins_out_of_fold_is_that_of_unseen_rows() -> None:
    """Nine of ten unseen rows are above the tenth percentile; in-sample margins promise more."""
    shares: dict[str, list[float]] = {"out of fold": [], "in sample": []}
    for seed in range(5):
        embeddings, labels = shifted((300, 60), seed)
        judge = LinearJudge.fit(embeddings, labels, 2)
        fresh, kinds = shifted((1, 1000), 100 + seed)
        unseen = judge.margin(fresh[kinds == 1], np.ones(1000, np.int64))
        margins = {
            "out of fold": out_of_fold_margins(embeddings, labels, 2, seed=seed),
            "in sample": judge.margin(embeddings, labels),
        }
        for name, values in margins.items():
            least = np.quantile(values[labels == 1], 0.1, method="weibull")
            shares[name].append(float((unseen > least).mean()))
    assert 0.85 < np.mean(shares["out of fold"]) < 0.95
    assert np.mean(shares["in sample"]) < 0.75


def test_margins_out_of_fold_are_the_seeds() -> None:
    embeddings, labels = rows([0, 1, 2])
    first = out_of_fold_margins(embeddings, labels, 3, seed=1)
    np.testing.assert_array_equal(first, out_of_fold_margins(embeddings, labels, 3, seed=1))
    assert not np.array_equal(first, out_of_fold_margins(embeddings, labels, 3, seed=2))
    assert np.isfinite(first).all()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_penalty_is_chosen_by_rows_held_out(seed: int) -> None:
    """Where what tells classes is small beside what hardly does, a light penalty finds it; where
    all but one of many dimensions are noise, a heavy one keeps them out."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], [150, 40])
    plain = np.stack(
        [0.05 * (4.0 * labels + rng.normal(size=190)), rng.normal(size=190) + 0.5 * labels], axis=1
    )
    assert chosen_regularization(plain.astype(np.float32), labels, 2, seed=seed) >= 10
    noisy = rng.normal(size=(190, 60))
    noisy[:, 0] += 1.5 * labels
    assert chosen_regularization(noisy.astype(np.float32), labels, 2, seed=seed) == 0.1
    # nothing can be held out
    assert chosen_regularization(plain[[0, 189]], labels[[0, 189]], 2, seed=seed) == 1.0


def test_a_row_held_out_is_judged_by_all_rows_of_other_folds() -> None:
    """Each of three rows has a fold of its own, so that its judge has learnt from the other two."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [3, 3])
    embeddings = (rng.normal(size=(6, 4)) + 2 * labels[:, None]).astype(np.float32)
    margins = out_of_fold_margins(embeddings, labels, 2, seed=0, folds=6)
    for row in range(6):
        rest = np.delete(np.arange(6), row)
        judge = LinearJudge.fit(embeddings[rest], labels[rest], 2)
        assert margins[row] == judge.margin(embeddings[[row]], labels[[row]])[0]


@pytest.mark.parametrize(
    ("counts", "known"),
    [
        ((40, 1), (True, False)),  # nothing is left to learn the second class from
        ((40, 2), (True, True)),
        ((40, 4, 1), (True, True, False)),
        ((1, 1), (False, False)),
    ],
)
def test_classes_of_fewer_rows_than_folds(counts: tuple[int, ...], known: tuple[bool]) -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(counts)), counts)
    embeddings = rng.normal(size=(len(labels), 5)).astype(np.float32)
    margins = out_of_fold_margins(embeddings, labels, len(counts), seed=3)
    # rows held out together with the only row of the other class have nothing to be told from
    finite = [bool(np.isfinite(margins[labels == code]).any()) for code in range(len(counts))]
    assert finite == list(known)


def test_copies_are_held_out_together() -> None:
    """A class of one text, ten times, has no other row to learn from."""
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(50, 5)).astype(np.float32)
    labels = np.repeat([0, 1], [40, 10])
    embeddings[labels == 1] = 1.0
    margins = out_of_fold_margins(embeddings, labels, 2, seed=0)
    assert np.isnan(margins[labels == 1]).all()
    assert np.isfinite(margins[labels == 0]).any()


# ---- the vote of neighbours ---------------------------------------------------------------------


def test_a_majority_is_more_than_half_and_excluded_rows_have_no_vote() -> None:
    known = np.arange(10, dtype=np.float32)[:, None]
    labels = np.array([0, 1, 0, 1, 2, 0, 0, 0, 1, 1])
    none = np.empty(0, np.int64)

    def vote(place: float, without: np.ndarray = none) -> int:
        return int(neighbor_majority(np.float32([[place]]), known, labels, [without])[0])

    assert vote(0) == 0 - 1, "two of 0, two of 1, one of 2"
    assert vote(6.1) == 0, "rows 4 to 8: three of 0"
    # without rows 6 and 7: 3, 4, 5, 8, 9
    assert vote(6.1, np.array([6, 7])) == 1
    together = neighbor_majority(
        np.float32([[6.1], [6.1], [0]]), known, labels, [none, np.array([6, 7]), none]
    )
    assert together.tolist() == [0, 1, -1]
    # all that is left votes, were it fewer than five; nobody is no majority
    assert vote(0, np.arange(1, 10)) == 0
    assert vote(0, np.arange(10)) == -1
