"""What a writer is asked for, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class WritingRequest:
    """
    One text to write.

    Args:
        source: the text that it starts from.
        kept: characters at the start of `source` that stay; 0 where it is written anew.
        label: code of the class that it is for.
        avoid: code of the class that it is led away from.
        key: counters that its randomness is a function of: (row, child, try).
        is_own: whether the source is of the class to write.
        neighbor: a text of the class to avoid that is close to the source, and `examples`, texts of
            the class to write: what a prompt shows.
    """

    source: str
    kept: int
    label: int
    avoid: int
    key: tuple[int, ...]
    is_own: bool = True
    neighbor: str = ""
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refused:
    """A draft that a writer did not finish, and why: `reason` is counted like the gate's."""

    reason: str


Draft = str | Refused


class PartlyWrittenError(OSError):
    """
    Not all drafts of a call could be had.

    Attributes:
        drafts: those of its requests, None where there is none.
    """

    drafts: Sequence[Draft | None] = ()


class Writer(Protocol):
    """What writes texts; `usage` says what it has cost."""

    usage: Any

    def __call__(self, requests: Sequence[WritingRequest]) -> list[Draft]:
        """A draft of each request, whatever the others are."""
        ...
