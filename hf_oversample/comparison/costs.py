"""Values that remedies share, each made once, and what each remedy would have cost alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

_T = TypeVar("_T")


@dataclass
class _Making:
    """A value that is being made: seconds that are not its own (`nested`), seconds of its own that
    were spared, and the values that it is made of."""

    nested: float = 0.0
    spared: float = 0.0
    parts: set[Hashable] = field(default_factory=set)


class Costs:
    """What a remedy would have cost had it made all that it uses itself.

    That is the seconds it took, less those that went into making shared values, plus the own
    seconds of each shared value that it uses, once for each, also where another value was made of
    it: :attr:`saved` is what to add.

    Args:
        known: `repr` of a key → seconds of its own that its value took an earlier run. They stand
            for those that it takes to make it again: the costs of a run that was stopped, on a
            machine that was busier, stay comparable.

    Attributes:
        made: `repr` of a key → seconds of its own, of the values made since `start`.
    """

    def __init__(self, known: Mapping[str, float] | None = None) -> None:
        self._known = dict(known or {})
        # kept where a value is dropped: another may have been made of it
        self._own: dict[Hashable, float] = {}
        self._parts: dict[Hashable, set[Hashable]] = {}
        self._stack: list[_Making] = []
        self.start()

    def start(self) -> None:
        """Begin to count for another remedy."""
        self._used: set[Hashable] = set()
        self._spent = self._spared = 0.0
        self.made: dict[str, float] = {}

    @property
    def saved(self) -> float:
        """Seconds to add to those that the remedy took since `start`."""
        return sum(self._own[key] for key in self._used) - self._spent + self._spared

    def use(self, key: Hashable) -> None:
        """Count a value that is there, and those that it was made of."""
        if self._stack:
            self._stack[-1].parts.add(key)
        waiting = [key]
        while waiting:
            one = waiting.pop()
            if one not in self._used:
                self._used.add(one)
                waiting += self._parts[one]

    @contextmanager
    def making(self, key: Hashable) -> Iterator[None]:
        """Measure the making of a value; one that fails is not counted as made."""
        making, begin = _Making(), time.perf_counter()
        self._stack.append(making)
        try:
            yield
        finally:
            self._stack.pop()
            whole = time.perf_counter() - begin
            if self._stack:
                self._stack[-1].nested += whole
            else:
                self._spent += whole
        name = repr(key)
        own = whole - making.nested + making.spared
        self._own[key] = self.made[name] = self._known.get(name, own)
        self._parts[key] = making.parts
        self.use(key)

    def spare(self, seconds: float) -> None:
        """Count seconds that what is being made now would have taken, had it not found a part of
        its value made before: they belong to that value."""
        if self._stack:
            self._stack[-1].spared += seconds
        else:
            self._spared += seconds


class SharedValues:
    """Values by key, each made once; and trainings that diverged, which fail once more.

    Args:
        costs: counts what they cost.
    """

    def __init__(self, costs: Costs | None = None) -> None:
        self.costs = costs or Costs()
        self._values: dict[Hashable, Any] = {}
        self._diverged: dict[Hashable, str] = {}

    def get(self, key: Hashable, make: Callable[[], _T]) -> _T:
        """The value of a key, made by ``make`` the first time.

        Raises:
            FloatingPointError: a training diverged, now or the first time.
        """
        if key in self._diverged:
            raise FloatingPointError(self._diverged[key])
        if key in self._values:
            self.costs.use(key)
            return self._values[key]
        try:
            with self.costs.making(key):
                self._values[key] = make()
        except FloatingPointError as error:
            self._diverged[key] = str(error)  # the error itself holds all that its training had
            raise
        return self._values[key]

    def drop(self, name: str) -> None:
        """Forget values whose key is a tuple that begins with a name."""
        for key in [k for k in self._values if isinstance(k, tuple) and k[0] == name]:
            del self._values[key]
