from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hf_oversample.oversamplers.strategy import (
    children_per_class,
    class_counts,
    spread,
    spread_by_class,
)

COUNTS = {0: 10, 1: 3, 2: 10, 3: 6}
NAMES = ["a", "b", "c", "d"]


def test_class_counts() -> None:
    assert class_counts([1, 0, 1, 3]) == {0: 1, 1: 2, 3: 1}
    assert class_counts([1, 0, 1], num_classes=3) == {0: 1, 1: 2, 2: 0}
    assert class_counts(np.array([0, 0], dtype=np.int8), names=["x", "y"]) == {0: 2, 1: 0}
    with pytest.raises(ValueError, match=r"label 2 in row 1 is outside the 2 classes \['x', 'y'\]"):
        class_counts([0, 2], names=["x", "y"])
    with pytest.raises(ValueError, match="one-dimensional array of integers"):
        class_counts([0.5, 1.0])


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("auto", {0: 0, 1: 7, 2: 0, 3: 4}),
        ("not majority", {0: 0, 1: 7, 2: 0, 3: 4}),
        ("minority", {0: 0, 1: 7, 2: 0, 3: 0}),
        ("not minority", {0: 0, 1: 0, 2: 0, 3: 4}),
        ("all", {0: 0, 1: 7, 2: 0, 3: 4}),
        ({1: 5, "d": 20}, {0: 0, 1: 2, 2: 0, 3: 14}),
        ({0: 11}, {0: 1, 1: 0, 2: 0, 3: 0}),
        (lambda y: {1: Counter(y.tolist())[3]}, {0: 0, 1: 3, 2: 0, 3: 0}),
    ],
)
def test_strategies(strategy: object, expected: dict[int, int]) -> None:
    assert children_per_class(strategy, COUNTS, NAMES) == expected


def test_classes_without_rows_are_left_alone() -> None:
    assert children_per_class("auto", {0: 4, 1: 0, 2: 1}) == {0: 0, 2: 3}


def test_values_stand_for_labels() -> None:
    counts, values = {0: 5, 1: 2}, [3, 7]
    assert children_per_class({7: 4}, counts, ["3", "7"], values) == {0: 0, 1: 2}
    assert children_per_class(lambda y: {y[-1]: len(y)}, counts, ["3", "7"], values) == {0: 0, 1: 5}
    with pytest.raises(ValueError, match="class 1 has no rows"):
        children_per_class({1: 4}, counts, ["3", "7"], values)


@settings(deadline=None, max_examples=60)
@given(
    counts=st.lists(st.integers(1, 50), min_size=2, max_size=5),
    strategy=st.sampled_from(["auto", "minority", "not minority", "not majority", "all"]),
    ratio=st.floats(0.01, 1.0),
)
@example(counts=[1, 4], strategy="auto", ratio=0.25)
def test_equals_imbalanced_learn(counts: list[int], strategy: str, ratio: float) -> None:
    utils = pytest.importorskip("imblearn.utils")
    labels = np.repeat(np.arange(len(counts)), counts)
    ours = children_per_class(strategy, class_counts(labels))
    theirs = utils.check_sampling_strategy(strategy, labels, "over-sampling")
    assert {k: n for k, n in ours.items() if n} == {k: n for k, n in theirs.items() if n}
    if len(counts) == 2 and counts[0] != counts[1]:
        try:
            theirs = utils.check_sampling_strategy(ratio, labels, "over-sampling")
        except ValueError:
            if int(max(counts) * ratio) == min(counts):  # met already: they refuse, we add none
                assert not any(children_per_class(ratio, class_counts(labels)).values())
                return
            with pytest.raises(ValueError, match="removes no rows"):
                children_per_class(ratio, class_counts(labels))
        else:
            ours = children_per_class(ratio, class_counts(labels))
            assert {k: n for k, n in ours.items() if n} == {k: n for k, n in theirs.items() if n}


@pytest.mark.parametrize(
    ("strategy", "counts", "message"),
    [
        ("auto", {0: 5}, r"found 1 class\(es\) with rows \(0: 5 rows\), need at least 2"),
        ("auto", {0: 5, 1: 0}, "found 1 class"),
        ("majority", {0: 5, 1: 2}, "'majority' is unknown: give one of 'auto'"),
        (0.5, {0: 5, 1: 2, 2: 2}, "3 classes have rows"),
        (0.0, {0: 5, 1: 2}, r"outside \(0, 1\]"),
        (1.5, {0: 5, 1: 2}, r"outside \(0, 1\]"),
        (float("nan"), {0: 5, 1: 2}, r"outside \(0, 1\]"),
        (0.2, {0: 5, 1: 2}, "asks for 1 minority rows, below those present"),
        ({9: 7}, {0: 5, 1: 2}, "class 9 has no rows; the classes that have are 0: 5 rows"),
        ({"z": 7}, {0: 5, 1: 2}, "class 'z' has no rows"),
        ({1: 1}, {0: 5, 1: 2}, "asks for 1 rows, but 2 are present"),
        ({1: 2.5}, {0: 5, 1: 2}, "must be integers"),
    ],
)
def test_errors(strategy: object, counts: dict[int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        children_per_class(strategy, counts)


def test_more_errors() -> None:
    with pytest.raises(ValueError, match="names class 'b' twice"):
        children_per_class({1: 5, "b": 6}, COUNTS, NAMES)
    for strategy in (None, [1], True):
        with pytest.raises(TypeError, match="sampling_strategy is"):
            children_per_class(strategy, COUNTS)
    with pytest.raises(TypeError, match="callable sampling_strategy must return a dict"):
        children_per_class(len, COUNTS)


@settings(deadline=None, max_examples=60)
@given(
    total=st.integers(0, 100),
    rows=st.lists(st.integers(0, 1000), min_size=1, max_size=20, unique=True),
    seed=st.integers(0, 5),
)
def test_spread_is_even(total: int, rows: list[int], seed: int) -> None:
    shares = spread(total, rows, seed)
    assert shares.sum() == total
    assert shares.max() - shares.min() <= 1
    # Which rows get more does not depend on the order in which they are given.
    backwards = spread(total, rows[::-1], seed)
    np.testing.assert_array_equal(shares, backwards[::-1])


def test_spread_uses_the_seed_and_fails_without_rows() -> None:
    rows = np.arange(100)
    chosen = [tuple(spread(10, rows, seed)) for seed in range(5)]
    assert len(set(chosen)) == 5
    assert not np.array_equal(spread(10, rows, 0, 1), spread(10, rows, 0, 2))
    assert spread(0, [], 0).shape == (0,)
    with pytest.raises(ValueError, match="5 children from no rows"):
        spread(5, [], 0)
    with pytest.raises(ValueError, match="at least 0"):
        spread(-1, [1], 0)


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=40),
    st.lists(st.integers(0, 30), min_size=6, max_size=6),
    st.integers(),
)
def test_spread_by_class_is_that_of_each_class(
    labels: list[int], totals: list[int], seed: int
) -> None:
    codes = np.array(labels, np.int8)
    children = {code: totals[code] for code in set(labels)}
    shares = spread_by_class(children, codes, seed)
    for code, total in children.items():
        own = np.flatnonzero(codes == code)
        assert shares[own].tolist() == spread(total, own, seed).tolist()
    assert shares.sum() == sum(children.values())
    if len(missing := set(range(6)) - set(labels)):
        with pytest.raises(ValueError, match="cannot make 3 children from no rows"):
            spread_by_class({min(missing): 3}, codes, seed)


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (10**400, "sampling_strategy=1000*… is outside"),
        (10**5000, "sampling_strategy=an integer of thousands of digits is outside"),
        ({0: 10**30}, r"sampling_strategy\[0\] asks for 10+ rows, more than can be made"),
        ({0: -(10**5000)}, "asks for an integer of thousands of digits rows, but 5 are present"),
        ("x" * 10**6, "sampling_strategy 'x{199}… is unknown"),
    ],
    ids=["400 digits", "5000 digits", "a large count", "a small count", "a long name"],
)
def test_values_that_no_number_or_message_holds(strategy: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        children_per_class(strategy, {0: 5, 1: 2})
    assert len(str(raised.value)) < 1000


def test_messages_name_some_of_many_classes() -> None:
    counts = dict.fromkeys(range(50_000), 2)
    with pytest.raises(ValueError, match="19: 2 rows and 49980 more") as raised:
        children_per_class({-1: 3}, counts)
    assert len(str(raised.value)) < 1000
    final = {f"class {code}": 3 for code in counts}
    names = list(final)
    assert children_per_class(final, counts, names) == dict.fromkeys(counts, 1)
