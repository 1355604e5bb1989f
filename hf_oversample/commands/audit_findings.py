"""What an audit found, in words: the same for one class a row and for any number of labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from hf_oversample.data.auditing import Leak
from hf_oversample.data.classes import lookalike_advice

_SHOWN = 60


def finding_lines(
    *,
    lookalikes: Sequence[Mapping[str, int]],
    leaks: Sequence[Leak],
    contradicted: str,
    examples: Mapping[str, Mapping[str, int]],
    shown: Callable[[Mapping[str, int]], str],
    problems: Sequence[str],
    next_steps: Sequence[str],
) -> list[str]:
    """
    The lines of the findings and of the next steps.

    Args:
        lookalikes: groups of names that look like one, name → rows.
        leaks: texts of one part that stand in another.
        contradicted: how many texts stand under several classes, in words; "" for none.
        examples: the first of these, text → class → rows.
        shown: the classes of an example and their rows, in words.
        problems: what cannot be worked on.
        next_steps: what to do, the first first.
    """
    found = [f"Warning: {lookalike_advice(group)}" for group in lookalikes]
    for leak in leaks:
        texts = "".join(f"\n      {cut(text)}" for text in leak.examples)
        found.append(f"{leak.rows} {leak.part} rows have a text that stands in {leak.other}{texts}")
    if contradicted:
        texts = "".join(f"\n      {cut(text)}: {shown(rows)}" for text, rows in examples.items())
        found.append(f"{contradicted}{texts}")
    found += problems
    return [
        *("", "findings"),
        *(f"  - {one}" for one in found or ["none"]),
        *("", "next steps"),
        *(f"  {number}. {one}" for number, one in enumerate(next_steps, start=1)),
    ]


def cut(text: str) -> str:
    """A text in quotation marks, 60 characters of it at most."""
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")
