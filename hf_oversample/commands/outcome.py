"""What a command found, for people and for programs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SHOWN = (
    "f1",
    "macro_f1",
    "average_precision",
    "f1_tuned",
    "f1_outvoted",
    "f1_not_outvoted",
    "outvoted_share",
)
"""Metrics of a run's table; run.json has every metric."""


@dataclass(frozen=True)
class Outcome:
    """
    What came out of a command.

    Args:
        record: all of it, as JSON holds it.
        text: for people.
        hints: commands that come next.
    """

    record: dict[str, Any]
    text: str
    hints: list[str] = field(default_factory=list)
