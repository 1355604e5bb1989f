"""Sampling strategies: any value, on any counts; where one is taken, counts come out as asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from fuzzing.choices import ODD, Choices
from fuzzing.contract import named, right
from hf_oversample.oversamplers.random import RandomOversampler
from hf_oversample.oversamplers.strategy import STRATEGY_NAMES, children_per_class, class_counts

VALUES: tuple[list[Any], ...] = (
    ["ham", "spam"],
    ["a", "b", "c"],
    [0, 1],
    [-1, 7, 2**62],
    [False, True],
    ["1", "2", "10"],
    ["only"],
)
MOST = 3000  # rows that are made; more are asked of the plan alone


def seeds() -> list[bytes]:
    """A strategy of each kind."""
    return [bytes([values, 9, 3, 5, kind, 1, 1, 30]) for values in range(7) for kind in range(6)]


def run(data: bytes, folder: Path) -> None:
    """A strategy on a few rows: planned, and made where it is small."""
    choices = Choices(data)
    values = choices.one(VALUES)
    counts = [choices.below(12) for _ in values]
    labels = [value for value, n in zip(values, counts, strict=True) for _ in range(n)]
    strategy = _strategy(choices, values)
    names = ("sampling_strategy", "class", "seed")
    present = {code: n for code, n in enumerate(counts) if n}
    asked = named(lambda: children_per_class(strategy, present, None, values), names=names)
    if asked is not None:
        right(set(asked) == set(present), "classes of the plan")
        right(all(type(n) is int and n >= 0 for n in asked.values()), "children are counts")
        if isinstance(strategy, dict):
            for key, final in strategy.items():
                code = values.index(key) if key in values else int(key)
                right(asked[code] + present[code] == final, "a final count")
    if not labels:
        return
    if (asked is not None and sum(asked.values()) > MOST) or choices.below(3):
        return
    dataset = Dataset.from_dict({"label": labels})
    seed = choices.one((0, 7, -1, 2**70, *ODD))
    names = (*names, "label")
    balanced = named(
        lambda: RandomOversampler(sampling_strategy=strategy, seed=seed).balance(dataset),
        names=names,
    )
    if balanced is not None and asked is not None:
        made = class_counts(np.array([values.index(one) for one in balanced["label"][:]]))
        right(made == {code: asked[code] + present[code] for code in present}, "balanced counts")


def _strategy(choices: Choices, values: list[Any]) -> Any:
    kind = choices.below(8)
    if kind == 0:
        return choices.one(STRATEGY_NAMES)
    if kind == 1:
        return choices.below(256) / 200
    if kind in (2, 3):
        keys = [choices.one((*values, 0, 1, True, 1.0, "1", "")) for _ in range(choices.below(4))]
        return {key: choices.one((choices.below(40), choices.value())) for key in keys}
    if kind == 4:
        counts = {value: choices.below(40) for value in values}
        return lambda labels: counts
    if kind == 5:
        value = choices.value()
        return lambda labels: value
    if kind == 6:
        return choices.one((np.float32(0.5), np.int64(1), np.nan, 1j, b"auto", (1, 2), {"a"}))
    return choices.value()
