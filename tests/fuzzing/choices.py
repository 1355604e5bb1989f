"""Bytes read as choices: what a fuzzer mutates becomes structured input."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, TypeVar

T = TypeVar("T")


def nested(depth: int) -> Any:
    """A list in a list, and so on."""
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


# What stands where something else is expected.
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 7, 2**31, -(2**31), 2**63, 2**64, 10**30, 10**400),
    *(0.5, -0.0, 1e-320, 1e308, float("nan"), float("inf"), float("-inf")),
    *("", " ", "x", "auto", "ham", "1", "text", "nan", "\0", "\ud800", "é" * 40, "a" * 70_000),
    *("../outside", "/etc/hostname", "~", "..", ".", "a/b", "-", "%s", "{0}"),
    *([], [[]], [None], [1, 2], ["a", 1], [0.5, "b"], {}, {"a": 1}, {"": None}, {"ham": 40}),
    *(nested(60), nested(400)),
)


class Choices:
    """Choices made by bytes; those after the last byte are the first of what there is to choose.

    Args:
        data: consumed from the front.
    """

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def below(self, limit: int) -> int:
        """A number from 0 to below a limit of at most 65,536."""
        size = 1 if limit <= 256 else 2
        taken = self.data[self.place : self.place + size]
        self.place += size
        return int.from_bytes(taken, "big") % max(1, limit)

    def one(self, values: Sequence[T]) -> T:
        """One of several."""
        return values[self.below(len(values))]

    def rest(self) -> bytes:
        """All bytes that are left."""
        taken = self.data[self.place :]
        self.place = len(self.data)
        return taken

    def value(self, depth: int = 0) -> Any:
        """Anything that JSON can hold, and some of what only Python can."""
        kind = self.below(12)
        if kind == 0 and depth < 3:
            return [self.value(depth + 1) for _ in range(self.below(4))]
        if kind == 1 and depth < 3:
            return {self.word(): self.value(depth + 1) for _ in range(self.below(4))}
        if kind == 2:
            return self.below(65_536) - 300
        if kind == 3:
            return self.below(65_536) / 7 - 100
        return copy.deepcopy(self.one(ODD))

    def word(self) -> str:
        """A key."""
        words = ("text", "label", "a", "b", "", "ham", "spam", "1", "é", "a.b", "\0", "\ud800")
        return self.one(words)

    def changed(self, value: Any, foreign: Sequence[str] = ()) -> Any:
        """A copy of a JSON value with one place changed, removed, doubled or added.

        Args:
            value: of dicts, lists and plain values.
            foreign: further keys to add.
        """
        value = copy.deepcopy(value)
        parent: Any = None
        key: Any = None
        here = value
        while isinstance(here, dict | list) and here and (parent is None or self.below(4)):
            parent = here
            key = self.one(sorted(here)) if isinstance(here, dict) else self.below(len(here))
            here = here[key]
        if parent is None:
            return self.value()
        what = self.below(6)
        if what == 0:
            del parent[key]
        elif what == 1 and isinstance(parent, list):
            parent.insert(key, copy.deepcopy(self.one(parent)))
        elif what == 1:
            parent[self.one((*foreign, self.word()))] = self.value()
        elif what == 2 and isinstance(here, int) and not isinstance(here, bool):
            parent[key] = here + self.one((1, -1, 1000, 10**12))
        elif what == 3 and isinstance(here, str):
            parent[key] = here + self.one(("x", "\0", "/..", " "))
        elif what == 4 and isinstance(here, dict | list):
            parent[key] = type(here)()
        else:
            parent[key] = self.value()
        return value
