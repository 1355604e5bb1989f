"""Class names: their order, and those that look like one."""

from __future__ import annotations

import pytest

from hf_oversample.data.classes import in_class_order, lookalike_advice, lookalike_classes


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["10", "2", "-1", "-10", "0", "2"], ["-10", "-1", "0", "2", "10"]),
        (["10", "2", "01"], ["01", "10", "2"]),
        (["b", "a", "10", "9"], ["10", "9", "a", "b"]),
        (["1" + "0" * 5000, "2"], ["2", "1" + "0" * 5000]),
        ([], []),
    ],
)
def test_order(names: list[str], expected: list[str]) -> None:
    assert in_class_order(names) == expected


def test_names_that_look_alike_are_grouped_with_their_rows() -> None:
    counts = {"ham": 9, "spam": 2, "Ham": 1, "ham ": 3, "spam\u200b": 4, "other": 5, "not ham": 1}
    assert lookalike_classes(counts) == [
        {"ham": 9, "Ham": 1, "ham ": 3},
        {"spam": 2, "spam\u200b": 4},
    ]
    assert lookalike_classes({"é": 1, "e\u0301": 2, "ｈａｍ": 3, "ham": 4}) == [
        {"é": 1, "e\u0301": 2},
        {"ｈａｍ": 3, "ham": 4},
    ]
    numbers = {"1": 1, "01": 2, "1.0": 3, "10": 4, "-1": 5, "0": 6, "-0.0": 7, "True": 8, "true": 9}
    assert [list(group) for group in lookalike_classes(numbers)] == [
        ["1", "01", "1.0"],
        ["0", "-0.0"],
        ["True", "true"],
    ]
    assert lookalike_classes({"ham": 1, "spam": 1}) == []


@pytest.mark.parametrize(
    ("names", "advice"),
    [
        (["ham", "ham "], "--strip_labels makes them one"),
        (["ham", "Ham"], "--lowercase_labels makes them one"),
        (["ham", "Ham "], "--strip_labels with --lowercase_labels makes them one"),
        (["1", "01"], "if they are one, write it in one way in the data"),
    ],
)
def test_the_advice_makes_them_one(names: list[str], advice: str) -> None:
    told = lookalike_advice(dict.fromkeys(names, 5))
    assert told.endswith(f"; {advice}")
    assert f"{names[0]!r} (5 rows), {names[1]!r} (5 rows)" in told
