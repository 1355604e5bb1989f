"""What all cards share: their templates, and how values of a record are shown."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from hf_oversample.hub.tables import shown_inline

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
TEXT_SHOWN = 300
"""Characters of a made text that a card shows."""
UNNAMED = "the folder of this card"
"""What a card calls its repository as long as it has none; a push writes the name in its place."""


def rendered(template: str, **values: Any) -> str:
    """
    A card's text.

    Args:
        template: a file of `hf_oversample/hub/templates`.
        **values: what it asks for. A name that nobody gives raises, instead of leaving a gap.
    """
    environment = Environment(
        loader=PackageLoader("hf_oversample.hub"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(**values)


def rejections(run: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Why texts were rejected, and how many; a record counts those that were kept beside them."""
    return [(reason, n) for reason, n in run["rejections"].items() if reason != "kept"]


def environment_line(run: Mapping[str, Any]) -> str:
    """The versions and the machine of a run."""
    return (
        "Versions: "
        + ", ".join(f"{package} {version}" for package, version in run["versions"].items())
        + ". Machine: "
        + ", ".join(f"{key} {value}" for key, value in run["machine"].items())
        + "."
    )


def public(value: Any) -> Any:
    """An argument as a card shows it: of a path on the machine that made the run, its name."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    is_path = isinstance(value, str) and PurePath(value).is_absolute()
    return PurePath(value).name if is_path else value


def license_of(run: Mapping[str, Any]) -> str:
    """What is made of rows inherits their terms, which only who ran this can state."""
    return str(run["data"].get("license") or "unknown")


def repository_name(name: Any) -> str | None:
    """`name` if it is of the form "user/name", as repositories of the Hub are, and else None."""
    return name if isinstance(name, str) and _REPOSITORY.fullmatch(name) else None


def is_number(value: Any) -> bool:
    """Whether a record's value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def samples_list(samples: Sequence[Mapping[str, Any]], *, with_parents: bool) -> str:
    """
    Made texts as a Markdown list; empty without any.

    Args:
        samples: each has `label` and `text`, and for `with_parents` `parent_label` and
            `parent_text`.
        with_parents: show the real text that each was made from. A generator's card does not: who
            publishes one need not publish the rows.
    """
    lines = []
    for one in samples:
        lines.append(f"- {shown_inline(one['label'])}: {shown_inline(one['text'][:TEXT_SHOWN])}")
        if with_parents:
            parent = shown_inline(one["parent_text"][:TEXT_SHOWN])
            lines.append(f"  - from {shown_inline(one['parent_label'])}: {parent}")
    return "\n".join(lines)
