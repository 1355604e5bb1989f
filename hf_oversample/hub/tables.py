"""Tables and lists of texts in Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hf_oversample.data.whole_files import whole


def anchors_markdown(
    rows: Iterable[Mapping[str, Any]],
    path: str | Path,
    title: str = "Texts and their anchors",
    lines: Sequence[str] = (),
) -> Path:
    """Writes source texts, each above its anchors, as a Markdown file.

    Args:
        rows: mappings with `source` (the text), `source_label` (its class's name) and `anchors`
            (a list of texts).
        path: the file to write; its folder must exist.
        title: the heading.
        lines: what is said of all of them, below the heading; a paragraph each.

    Returns:
        The path written.
    """
    written: list[str] = []
    for number, row in enumerate(rows, start=1):
        written += [
            f"## {number}. {shown_inline(row['source_label'])}",
            "",
            _quoted(row["source"]),
            "",
        ]
        anchors = list(row["anchors"])
        written += (
            [f"- {shown_inline(anchor)}" for anchor in anchors] if anchors else ["No anchors."]
        )
        written.append("")
    if not written:
        written = ["No anchors were made.", ""]
    said = [part for line in lines for part in (shown_inline(line), "")]
    text = "\n".join([f"# {title}", "", *said, *written])
    with whole(Path(path)) as scratch:
        scratch.write_text(text, encoding="utf-8")
    return Path(path)


def metrics_table(
    metrics: Mapping[str, Mapping[str, Any]], columns: Sequence[str] | None = None
) -> str:
    """A Markdown table of remedies (rows) and metrics (columns), the best of each column in bold.

    Shares between 0 and 1 are printed as percentages with one decimal. Larger is better, but for
    metrics whose name is or ends in `ece`, `error`, `loss`, `difficult_share` or
    `outvoted_share`.

    Args:
        metrics: `{remedy: {metric: value}}`; a value that is missing or not a number prints as "–".
        columns: metrics to show, in order, those that no remedy has left out; all by default.
    """
    present = list(dict.fromkeys(name for values in metrics.values() for name in values))
    columns = present if columns is None else [name for name in columns if name in present]
    best = {}
    for column in columns:
        values = [row[column] for row in metrics.values() if _is_number(row.get(column))]
        if len(values) > 1:
            smaller = column.endswith(("ece", "error", "loss", "difficult_share", "outvoted_share"))
            best[column] = min(values) if smaller else max(values)
    body = []
    for remedy, row in metrics.items():
        cells = []
        for column in columns:
            value = row.get(column)
            cell = _metric(value)
            cells.append(f"**{cell}**" if column in best and value == best[column] else cell)
        body.append((remedy, *cells))
    return markdown_table(["remedy", *columns], body)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table; the first column left, the others right aligned. No rows: "None."."""
    if not rows:
        return "None."
    lines = ["| " + " | ".join(map(_cell, head)) + " |"]
    lines.append("|---|" + "---:|" * (len(head) - 1))
    lines += ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
    return "\n".join(lines)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _metric(value: Any) -> str:
    if not _is_number(value):
        return "–"
    return f"{100 * value:.1f}" if isinstance(value, float) and 0 <= value <= 1 else f"{value:.4g}"


def _cell(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|")


def shown_inline(text: Any) -> str:
    """A text as one line of Markdown that shows as it is: line breaks become spaces."""
    line = " ".join(str(text).split())
    for character in "\\`*_<>[]#|":
        line = line.replace(character, "\\" + character)
    return line


def _quoted(text: Any) -> str:
    return f"> {shown_inline(text)}"
