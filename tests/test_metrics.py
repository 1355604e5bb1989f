from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import average_precision_score, f1_score

from hf_oversample.metrics.classification import (
    average_precision_at,
    best_threshold,
    binary_report,
    expected_calibration_error,
    multiclass_report,
)
from hf_oversample.metrics.statistics import holm, paired_test, pooled_test
from hf_oversample.metrics.texts import (
    copy_rate,
    distinct_n,
    distinct_share,
    passage_overlap,
    self_bleu,
)

LABELS = [0, 0, 0, 1, 1]
SCORES = [0.1, 0.6, 0.2, 0.9, 0.4]


class TestBinary:
    def test_by_hand(self):
        # Predicted minority: rows 1 (wrong) and 3 (right); row 4 is missed.
        report = binary_report(LABELS, SCORES)
        assert report["precision"] == report["recall"] == report["f1"] == 0.5
        assert report["macro_f1"] == pytest.approx((0.5 + 2 / 3) / 2)
        assert report["balanced_accuracy"] == pytest.approx((0.5 + 2 / 3) / 2)
        # Ranked 3, 1, 4, …: precision 1 at recall 1/2, 2/3 at recall 1. 5 of 6 pairs are in order.
        assert report["average_precision"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
        assert report["roc_auc"] == pytest.approx(5 / 6)
        assert "f1_difficult" not in report

    def test_threshold(self):
        assert binary_report(LABELS, SCORES, threshold=0.7)["precision"] == 1.0
        assert binary_report(LABELS, SCORES, threshold=1.1)["f1"] == 0.0

    def test_difficult_rows_share_the_majority(self):
        report = binary_report(LABELS, SCORES, difficult=[True, True, False, False, True])
        assert report["f1_difficult"] == 0.0  # row 4 is missed
        assert report["f1_other"] == pytest.approx(2 / 3)  # row 3 found, row 1 a false alarm
        none = binary_report(LABELS, SCORES, difficult=[False] * 5)
        assert math.isnan(none["f1_difficult"])
        assert none["f1_other"] == none["f1"]

    @pytest.mark.parametrize(
        ("labels", "scores", "message"),
        [
            ([0, 1], [0.5], "must both be"),
            ([0, 0], [0.5, 0.5], "rows of both classes"),
            ([0, 2], [0.5, 0.5], "rows of both classes"),
            ([0, 1], [0.5, math.nan], "score of row 1 is nan"),
        ],
    )
    def test_errors(self, labels, scores, message):
        with pytest.raises(ValueError, match=message):
            binary_report(labels, scores)
        with pytest.raises(ValueError, match="difficult has shape"):
            binary_report(LABELS, SCORES, difficult=[True])


@settings(max_examples=60, deadline=None)
@given(
    labels=st.lists(st.integers(0, 1), min_size=4, max_size=30).filter(
        lambda x: 0 < sum(x) < len(x)
    ),
    data=st.data(),
)
def test_best_threshold_is_the_best_of_all(labels, data):
    scores = data.draw(
        st.lists(
            st.integers(0, 9).map(lambda x: x / 10), min_size=len(labels), max_size=len(labels)
        )
    )
    found = f1_score(labels, np.array(scores) >= best_threshold(labels, scores))
    every = [f1_score(labels, np.array(scores) >= t) for t in np.arange(0, 1.05, 0.05)]
    assert found == pytest.approx(max(every))


def test_best_threshold_lies_between_scores():
    assert best_threshold(LABELS, [0.1, 0.2, 0.3, 0.9, 0.7]) == pytest.approx(0.5)


def test_average_precision_at_a_prevalence_is_that_of_repeated_rows():
    # Majority rows 18 times over: 2 of 56 rows are minority.
    labels = np.concatenate([LABELS, np.zeros(17 * 3, int)])
    scores = np.concatenate([SCORES, np.tile(SCORES[:3], 17)])
    expected = average_precision_score(labels, scores)
    assert average_precision_at(LABELS, SCORES, 2 / 56) == pytest.approx(expected)
    assert average_precision_at(LABELS, SCORES, 0.4) == pytest.approx(
        binary_report(LABELS, SCORES)["average_precision"]
    )
    with pytest.raises(ValueError, match="prevalence=1"):
        average_precision_at(LABELS, SCORES, 1.0)


class TestCalibration:
    def test_by_hand(self):
        # Bin of 0.25: stated 0.25, observed 0.5; bin of 0.75: stated 0.75, observed 1.
        assert expected_calibration_error(
            [0, 1, 1, 1], [0.25, 0.25, 0.75, 0.75], bins=2
        ) == pytest.approx(0.25)

    def test_perfect_and_worst(self):
        assert expected_calibration_error([0, 1], [0.0, 1.0]) == 0.0
        assert expected_calibration_error([1, 0], [0.0, 1.0]) == 1.0

    def test_errors(self):
        with pytest.raises(ValueError, match=r"in \[0, 1\]"):
            expected_calibration_error([1], [1.5])
        with pytest.raises(ValueError, match="shapes"):
            expected_calibration_error([1, 0], [0.5])


class TestMulticlass:
    def test_by_hand(self):
        probabilities = [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1]]
        report = multiclass_report([0, 1, 1], probabilities, ["a", "b", "c"])
        assert report["accuracy"] == pytest.approx(2 / 3)
        assert report["f1/a"] == report["f1/b"] == pytest.approx(2 / 3)
        assert report["recall/b"] == 0.5
        assert report["balanced_accuracy"] == 0.75
        assert report["macro_average_precision"] == 1.0
        assert "f1/c" not in report

    def test_errors(self):
        with pytest.raises(ValueError, match=r"need \(1, 2\)"):
            multiclass_report([0], [[1.0]], ["a", "b"])
        with pytest.raises(ValueError, match="labels must be 0 to 1"):
            multiclass_report([2], [[0.5, 0.5]], ["a", "b"])


class TestCopies:
    def test_exact_near_and_new(self):
        reference = ["the food was good here", "bad service", "win a prize"]
        texts = ["The FOOD was  good here", "the food was so good here", "win it", "zzz"]
        copies = copy_rate(texts, reference)
        assert copies.exact.tolist() == [True, False, False, False]
        np.testing.assert_allclose(copies.similarity, [1, 5 / 6, 1 / 4, 0])
        assert copies.nearest.tolist() == [0, 0, 2, -1]
        assert copies.near.tolist() == [True, True, False, False]
        assert (copies.exact_rate, copies.near_rate) == (0.25, 0.5)

    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.text(alphabet="abc ", min_size=1), min_size=1, max_size=8))
    def test_similarity_is_the_largest_jaccard(self, texts):
        own, other = texts[: (len(texts) + 1) // 2], texts
        if not "".join(texts).strip():
            return
        copies = copy_rate(own, other)
        for text, similarity in zip(own, copies.similarity, strict=True):
            tokens = set(text.split())
            expected = max(
                len(tokens & set(t.split())) / max(len(tokens | set(t.split())), 1) for t in other
            )
            assert similarity == pytest.approx(expected)

    def test_chinese(self):
        copies = copy_rate(["我喜欢这个手机吗"], ["我喜欢这个手机", "别的"], 0.7, language="zh")
        assert copies.near.tolist() == [True]

    def test_blocks_change_nothing(self, monkeypatch):
        texts = [f"word{index % 7} word{index % 3} x" for index in range(50)]
        whole = copy_rate(texts[:20], texts[20:])
        monkeypatch.setattr("hf_oversample.metrics.texts._CHUNK", 3)
        blocks = copy_rate(texts[:20], texts[20:])
        np.testing.assert_array_equal(whole.similarity, blocks.similarity)
        np.testing.assert_array_equal(whole.nearest, blocks.nearest)

    def test_errors(self):
        with pytest.raises(ValueError, match="none may be empty"):
            copy_rate([], ["a"])
        with pytest.raises(ValueError, match="threshold=0"):
            copy_rate(["a"], ["a"], threshold=0)


class TestDiversity:
    def test_distinct_by_hand(self):
        assert distinct_n(["a b a", "a b"], 1) == 2 / 5
        assert distinct_n(["a b a", "a b"], 2) == 2 / 3
        assert math.isnan(distinct_n(["a"], 2))
        assert distinct_share(["A b", "a  b", "c"]) == 2 / 3
        with pytest.raises(ValueError, match="n=0"):
            distinct_n(["a"], 0)

    def test_self_bleu(self):
        same = self_bleu(["the food was very good"] * 3)
        other = self_bleu(["the food was very good", "we never saw any waiter", "win a big prize"])
        assert same == pytest.approx(1.0)
        assert other < 0.1
        texts = [f"w{index} w{index % 5} w{index % 3} here" for index in range(40)]
        assert self_bleu(texts, sample=10, seed=1) == self_bleu(texts, sample=10, seed=1)
        with pytest.raises(ValueError, match="at least two"):
            self_bleu(["a"])


class TestStatistics:
    def test_paired_by_hand(self):
        # Differences 1, 2, 3: mean 2, sd 1, t = 2·√3 with 2 degrees of freedom.
        result = paired_test([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
        assert (result.mean, result.sd, result.wins, result.runs) == (2.0, 1.0, 3, 3)
        assert result.p_value == pytest.approx(0.0741799, abs=1e-6)

    def test_equal_differences_have_no_p(self):
        assert math.isnan(paired_test([1.1, 2.1], [1.0, 2.0]).p_value)

    def test_errors(self):
        with pytest.raises(ValueError, match="two pairs"):
            paired_test([1.0], [2.0])
        with pytest.raises(ValueError, match="run 1 is not finite"):
            paired_test([1.0, math.nan], [2.0, 1.0])

    def test_pooled_by_hand(self):
        """The mean of the tasks' means, with the error of independent means and Satterthwaite's
        degrees of freedom; equal spreads and numbers add up to those of Student's test."""
        one = paired_test([3.0, 4.0, 5.0], [1.0, 1.0, 1.0])  # mean 3, sd 1
        two = paired_test([1.0, 3.0, 5.0], [2.0, 2.0, 2.0])  # mean 1, sd 2
        found = pooled_test([one, two])
        assert (found.mean, found.tasks, found.runs) == (2.0, 2, 6)
        error = math.sqrt(1 / 3 + 4 / 3) / 2
        freedom = (1 / 3 + 4 / 3) ** 2 / ((1 / 3) ** 2 / 2 + (4 / 3) ** 2 / 2)
        assert found.p_value == pytest.approx(2 * stats.t.sf(2 / error, freedom))
        assert found.half_width == pytest.approx(stats.t.ppf(0.975, freedom) * error)
        assert pooled_test([one]).p_value == pytest.approx(one.p_value)
        assert pooled_test([one]).half_width == pytest.approx(one.half_width)
        shared = pooled_test([one], [0.5])
        assert shared.half_width == pytest.approx(one.half_width * math.sqrt(1 + 0.5 * 3))
        assert found.is_within(2 + found.half_width + 1e-9)
        assert not found.is_within(2 + found.half_width - 1e-9)
        same = paired_test([1.0, 2.0], [1.0, 2.0])
        assert math.isnan(pooled_test([same, same]).p_value)
        assert not pooled_test([same]).is_within(1.0)
        for tests, overlaps in (([], None), ([one], [0.1, 0.2])):
            with pytest.raises(ValueError, match="one each"):
                pooled_test(tests, overlaps)

    def test_holm_by_hand(self):
        assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
        assert holm([0.6, 0.7]) == [1.0, 1.0]
        assert holm([]) == []
        with pytest.raises(ValueError, match="p-values"):
            holm([1.2])


@given(st.lists(st.text("ab c", max_size=30), min_size=1, max_size=6), st.integers(1, 3))
@settings(deadline=None, max_examples=40)
def test_the_overlap_of_passages_is_that_of_their_n_grams(texts: list[str], n: int) -> None:
    reference = ["a b a c b a", "c c c", *texts[:1]]

    def grams(text: str) -> set[tuple[str, ...]]:
        words = text.split()
        return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}

    expected = [
        max(
            len(grams(text) & grams(other)) / smaller
            if (smaller := min(len(grams(text)), len(grams(other)))) >= 2
            else 0.0
            for other in reference
        )
        for text in texts
    ]
    assert passage_overlap(texts, reference, n=n, fewest=2) == pytest.approx(expected)
    with pytest.raises(ValueError, match="none may be empty"):
        passage_overlap([], reference)
    with pytest.raises(ValueError, match="must be at least 1"):
        passage_overlap(texts, reference, n=0)
