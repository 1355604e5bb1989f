"""Votes weighted by class size: by hand, against chance, and at every ratio of classes."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_oversample.metrics.difficult import difficult_report
from hf_oversample.neighbors.difficult import difficult_samples
from hf_oversample.neighbors.votes import (
    difficult_by_chance,
    outvoted_by_chance,
    weighted_votes,
)


def test_votes_by_hand() -> None:
    # Ten rows: two of class 1, eight of class 0. Of a row of class 1 the others are one of its own
    # among nine, and eight of class 0: lifts are (m/2) / (1/9) and (m/2) / (8/9).
    labels = np.array([0] * 8 + [1] * 2)
    around = np.array([[0, 0], [1, 0]])
    votes = weighted_votes(np.array([1, 1]), around, labels)
    assert votes.own_lift.tolist() == pytest.approx([0, 4.5])
    # the second: own 9/2, other 9/16, of which the other is 1/9 in all
    assert votes.other_share.tolist() == pytest.approx([1, 1 / 9])
    assert votes.is_outvoted.tolist() == [True, False]


def test_votes_of_three_classes_by_hand() -> None:
    # sizes 6, 3, 3; of a row of class 2 there are two others of its own among eleven
    labels = np.array([0] * 6 + [1] * 3 + [2] * 3)
    around = np.array([[2, 1, 0, 0], [2, 1, 1, 0], [2, 2, 1, 0]])
    votes = weighted_votes(np.array([2, 2, 2]), around, labels)
    # own 1/4 : 2/11 = 1.375; class 1 has 1/4 : 3/11; class 0 has 2/4 : 6/11, both 0.9167
    assert votes.own_lift.tolist() == pytest.approx([1.375, 1.375, 2.75])
    assert votes.other_share[0] == pytest.approx(2 * 11 / 12 / (11 / 8 + 2 * 11 / 12))
    # the second: class 1 has 2/4 : 3/11 = 1.83, above its own, though each class has fewer rows
    assert votes.is_outvoted.tolist() == [False, True, False]


def test_as_many_votes_as_the_own_class_outvote_it() -> None:
    # two others of either class: one vote each is a tie
    labels = np.array([0, 0, 1, 1, 1])
    assert weighted_votes(np.array([1]), np.array([[0, 1]]), labels).is_outvoted.tolist() == [True]


def test_a_row_alone_in_its_class_is_outvoted() -> None:
    votes = weighted_votes(np.array([1]), np.array([[0, 0]]), np.array([0, 0, 0, 1]))
    assert (votes.own_lift.tolist(), votes.other_share.tolist()) == ([0.0], [1.0])
    assert votes.is_outvoted.tolist() == [True]
    assert outvoted_by_chance([3, 1], 1, 2) == difficult_by_chance([3, 1], 1, 2) == 1.0


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 4), min_size=2, max_size=3).filter(lambda x: 3 <= sum(x) <= 6),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_chance_is_the_mean_over_all_labelings(
    sizes: list[int], seed: int, data: st.DataObject
) -> None:
    """The same rows with their labels in every order: the means are what is stated of chance."""
    k = data.draw(st.integers(1, sum(sizes) - 1))
    own = data.draw(st.integers(0, len(sizes) - 1))
    points = np.random.default_rng(seed).normal(size=(sum(sizes), 2))
    orders = sorted(set(permutations(np.repeat(np.arange(len(sizes)), sizes).tolist())))
    found = [difficult_samples(points, list(order), k=k, minority=[own]) for order in orders]
    outvoted = np.concatenate([one.is_outvoted for one in found]).mean()
    difficult = np.concatenate([one.is_difficult for one in found]).mean()
    assert outvoted == pytest.approx(outvoted_by_chance(sizes, own, k))
    assert difficult == pytest.approx(difficult_by_chance(sizes, own, k))
    assert found[0].outvoted_by_chance == pytest.approx([outvoted] * sizes[own])
    lift = np.concatenate([one.own_lift for one in found]).mean()
    assert lift == pytest.approx(1.0 if sizes[own] > 1 else 0.0)


RATIOS = {"1:1": (200, 200), "1:10": (2000, 200), "1:1000": (20000, 20)}


@pytest.mark.parametrize("sizes", RATIOS.values(), ids=RATIOS)
def test_at_any_ratio_rows_among_their_own_are_told_from_the_others(sizes: tuple[int, int]) -> None:
    """A tenth of the rare rows lies amid the majority; the others lie in places of their own, six
    and a majority row in each. By the paper's measure all are difficult."""
    many, few = sizes
    amid, places = few // 10, (few - few // 10) // 6
    crowd = np.arange(many - places, dtype=float)
    strays = np.arange(amid) * (len(crowd) // amid) + 4.5
    centres = -1000.0 - 100 * np.arange(places)
    groups = (centres[:, None] + [0, 0.1, 0.2, 0.3, 0.4, 0.5]).ravel()
    points = np.concatenate([crowd, centres + 0.25, strays, groups])[:, None]
    found = difficult_samples(points, np.repeat([0, 1], [many, few]), k=5)
    assert found.share() == 1.0
    assert found.is_outvoted.tolist() == [True] * amid + [False] * (few - amid)
    assert found.outvoted_share() == found.outvoted_share(1) == 0.1
    # four of five are its own, where chance gives the class's share of all other rows
    own = 0.8 / ((few - 1) / (many + few - 1))
    assert found.own_lift[amid:] == pytest.approx([own] * (few - amid))
    assert found.own_lift[:amid].tolist() == [0.0] * amid


@pytest.mark.parametrize("sizes", RATIOS.values(), ids=RATIOS)
def test_chance_level_data_have_the_stated_share(sizes: tuple[int, int]) -> None:
    """Labels that say nothing of places: about as many outvoted rows as stated."""
    rng = np.random.default_rng(1)
    rounds = 30 if sizes[1] < 100 else 4
    points = rng.normal(size=(sum(sizes), 3)).astype(np.float32)
    labels = np.repeat([0, 1], sizes)
    found = [
        difficult_samples(points, rng.permutation(labels), k=5, minority=1) for _ in range(rounds)
    ]
    expected = outvoted_by_chance(sizes, 1, 5)
    seen = np.mean([one.outvoted_share() for one in found])
    rows = rounds * sizes[1]
    assert seen == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / rows) + 1e-3)
    assert np.mean([one.share() for one in found]) == pytest.approx(
        difficult_by_chance(sizes, 1, 5), abs=0.02
    )


def test_what_chance_gives_at_three_ratios() -> None:
    # 1 : 1, five neighbours: three of five or more are of the other class, of 199 and 200 others
    assert outvoted_by_chance([200, 200], 1, 5) == pytest.approx(0.505, abs=0.01)
    # 1 : 10: one neighbour of its own is more than a tenth; none of 199 among 2,199 is (1 − 1/11)⁵
    assert outvoted_by_chance([2000, 200], 1, 5) == pytest.approx((10 / 11) ** 5, abs=0.005)
    assert outvoted_by_chance([20000, 20], 1, 5) == pytest.approx(0.99526, abs=1e-4)
    # the paper's measure is there near 1 whatever the data are
    assert difficult_by_chance([2000, 200], 1, 5) > 0.9999


def test_the_report_has_both_measures_and_their_chance() -> None:
    # On a line: rare rows in a group of three, each with a majority row closer than the third, and
    # one rare row far away in the crowd.
    places = [0.0, 0.3, 0.6, 10.0, 0.31, 10.1, 10.2, 10.3, 10.4, 10.5, 10.6, 10.7]
    labels = [1] * 4 + [0] * 8
    predicted = [1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1]
    report = difficult_report(predicted, labels, [[x] for x in places], k=3)
    assert report["difficult_share"] == 1.0
    assert report["outvoted_share"] == 0.25
    assert report["f1_difficult"] == pytest.approx(2 * 2 / (4 + 4))
    assert np.isnan(report["f1_other"])
    assert report["f1_outvoted"] == 0.0
    assert report["f1_not_outvoted"] == pytest.approx(2 * 2 / (3 + 4))
    assert report["outvoted_share_by_chance"] == outvoted_by_chance([8, 4], 1, 3)
    assert report["difficult_share_by_chance"] == difficult_by_chance([8, 4], 1, 3)
    # two of three neighbours of the first three rows are theirs, where three of eleven would be
    assert report["own_lift"] == pytest.approx((3 * (2 / 3) / (3 / 11) + 0) / 4)
