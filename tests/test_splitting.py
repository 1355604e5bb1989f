from __future__ import annotations

from collections import Counter

import pytest
from datasets import ClassLabel, Dataset, Features, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_oversample.data import splitting as data
from hf_oversample.text.words import normalized


def labelled(labels, texts=None, names=None):
    names = names or [f"class{index}" for index in range(max(labels) + 1)]
    return Dataset.from_dict(
        {"text": texts or [f"text {row}" for row in range(len(labels))], "label": list(labels)},
        features=Features({"text": Value("string"), "label": ClassLabel(names=names)}),
    )


class TestImbalance:
    def test_count_order_and_seed(self):
        dataset = labelled([0, 1] * 200)
        thin = data.make_imbalanced(dataset, "label", 0.05, minority="class1", seed=3)
        assert Counter(thin["label"][:]) == {0: 200, 1: 10}
        rows = [int(text.split()[1]) for text in thin["text"]]
        assert rows == sorted(rows)
        again = data.make_imbalanced(dataset, "label", 0.05, minority=1, seed=3)
        other = data.make_imbalanced(dataset, "label", 0.05, minority=1, seed=4)
        assert again["text"][:] == thin["text"][:] != other["text"][:]

    def test_smallest_class_is_the_default_and_the_last_of_equals(self):
        rarer = data.make_imbalanced(labelled([0] * 5 + [1] * 10 + [2] * 8), "label", 0.3)
        assert Counter(rarer["label"][:]) == {0: 3, 1: 10, 2: 8}
        equal = data.make_imbalanced(labelled([0, 1] * 10), "label", 0.2)
        assert Counter(equal["label"][:]) == {0: 10, 1: 2}

    @pytest.mark.parametrize(
        ("labels", "options", "message"),
        [
            ([0, 1] * 10, {"ratio": 0.0}, "ratio=0.0 must be above 0"),
            ([0, 1] * 10, {"ratio": 1.5}, "at most 1"),
            ([0, 1] * 10, {"ratio": 0.1}, "at least 2"),
            ([0] * 20 + [1] * 4, {"ratio": 0.5}, "asks for 10 rows of class 'class1'.*has 4"),
            ([0, 1] * 10, {"ratio": 0.5, "minority": "x"}, "minority='x' is no class"),
            ([0, 0], {"ratio": 0.5}, "one class only"),
        ],
    )
    def test_errors(self, labels, options, message):
        with pytest.raises(ValueError, match=message):
            data.make_imbalanced(labelled(labels), "label", **options)

    def test_needs_class_labels(self):
        with pytest.raises(ValueError, match="prepare_labels"):
            data.make_imbalanced(Dataset.from_dict({"label": ["a", "b"]}), "label", 0.5)


class TestSplit:
    @settings(max_examples=40, deadline=None)
    @given(
        labels=st.lists(st.integers(0, 2), min_size=20, max_size=80),
        repeats=st.integers(1, 30),
        seed=st.integers(0, 3),
    )
    def test_rows_once_and_texts_in_one_part(self, labels, repeats, seed):
        distinct = len(labels) + 1 - repeats % len(labels)
        texts = [f"Text  {row % distinct}" for row in range(len(labels))]
        texts = [text.upper() if row % 2 else text for row, text in enumerate(texts)]
        dataset = labelled(labels, texts).add_column("row", list(range(len(labels))))
        parts = data.stratified_split(dataset, fractions=(0.6, 0.2, 0.2), seed=seed)
        rows = [part["row"][:] for part in parts]
        assert sorted(row for part in rows for row in part) == list(range(len(labels)))
        assert all(part == sorted(part) for part in rows)
        found = [{normalized(text) for text in part["text"]} for part in parts]
        assert sum(map(len, found)) == len(set.union(*found))

    def test_sizes_and_shares_are_exact_without_repeats(self):
        dataset = labelled([0] * 900 + [1] * 100)
        parts = data.stratified_split(dataset, fractions=(0.7, 0.2, 0.1))
        assert [Counter(part["label"][:])[1] for part in parts] == [70, 20, 10]
        assert [len(part) for part in parts] == [700, 200, 100]
        sized = data.stratified_split(dataset, fractions=(100, 50))
        assert [len(part) for part in sized] == [100, 50]
        assert [Counter(part["label"][:])[1] for part in sized] == [10, 5]

    def test_a_rare_class_is_in_each_part(self):
        parts = data.stratified_split(labelled([0] * 300 + [1] * 3), seed=1)
        assert [Counter(part["label"][:])[1] for part in parts] == [1, 1, 1]

    def test_seed_decides(self):
        dataset = labelled([0, 1] * 50)
        first, again, other = (
            data.stratified_split(dataset, seed=seed)[1]["text"][:] for seed in (0, 0, 1)
        )
        assert first == again != other

    @pytest.mark.parametrize("fractions", [(0.8, 0.3), (0.5, 0.0), (), (90, 20)])
    def test_bad_fractions(self, fractions):
        with pytest.raises(ValueError, match="must be above 0 and sum to at most"):
            data.stratified_split(labelled([0, 1] * 50), fractions=fractions)


def test_duplicates_are_dropped_but_for_the_first():
    dataset = labelled([0, 1, 0, 1], ["A  b", "c", "a b", "C "])
    kept, dropped = data.drop_duplicate_texts(dataset)
    assert kept["text"][:] == ["A  b", "c"]
    assert dropped == 2
