"""Class names: their order, and those that look like one class written in several ways."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal

_INTEGER = re.compile(r"0|-?[1-9][0-9]*")
_NUMBER = re.compile(r"([+-]?)0*([0-9]+)(?:\.([0-9]*))?")


def in_class_order(names: Iterable[str]) -> list[str]:
    """The different names in ascending order; by value where all are integers, as 2 before 10."""
    found = set(names)
    if all(_INTEGER.fullmatch(name) for name in found):
        return sorted(found, key=Decimal)  # of any number of digits
    return sorted(found)


def lookalike_classes(counts: Mapping[str, int]) -> list[dict[str, int]]:
    """
    Classes that are perhaps one, written in several ways: their names differ in case, white space,
    invisible characters or the form of Unicode only, or are the same number ("1", "01", "1.0").

    Args:
        counts: class → rows.

    Returns:
        Groups of two classes or more, each from name to rows, in the order of `counts`.
    """
    groups: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for name, rows in counts.items():
        groups[_likeness(name)][name] = rows
    return [group for group in groups.values() if len(group) > 1]


def lookalike_advice(group: Mapping[str, int]) -> str:
    """
    What to say of a group of `lookalike_classes`: the names, their rows, and what makes them one.
    """
    told = ", ".join(f"{name!r} ({rows} rows)" for name, rows in group.items())
    stripped = {name.strip() for name in group}
    lowered = {name.lower() for name in group}
    both = {name.strip().lower() for name in group}
    if len(stripped) == 1:
        advice = "--strip_labels makes them one"
    elif len(lowered) == 1:
        advice = "--lowercase_labels makes them one"
    elif len(both) == 1:
        advice = "--strip_labels with --lowercase_labels makes them one"
    else:
        advice = "if they are one, write it in one way in the data"
    return f"the classes {told} look like one, and are {len(group)}; {advice}"


def _likeness(name: str) -> str:
    """Equal for names that look alike."""
    text = unicodedata.normalize("NFKC", name).casefold()
    visible = "".join(one for one in text if unicodedata.category(one) != "Cf")
    words = " ".join(visible.split())
    number = _NUMBER.fullmatch(words)
    if number is None:
        return words
    sign, whole, fraction = number.groups()
    fraction = (fraction or "").rstrip("0")
    value = f"{whole}.{fraction}" if fraction else whole
    return value if value == "0" or sign != "-" else f"-{value}"
