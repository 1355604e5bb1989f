"""An audit of rows that have any number of labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from datasets import Dataset

from hf_oversample.commands.audit_findings import finding_lines
from hf_oversample.data.auditing import (
    LONG_TEXT_WORDS,
    Leak,
    Rows,
    audit_part,
    contradictions,
    leaks,
)
from hf_oversample.data.classes import lookalike_classes
from hf_oversample.data.label_auditing import (
    LabelSetsAudit,
    MultiLabelPartAudit,
    audit_label_sets,
)
from hf_oversample.data.label_sets import LabelSets, read_label_sets
from hf_oversample.text.words import Language, Segmenter, guess_language

_PAIRS = 20
HIGH_SCUMBLE = 0.1
"""Above it, the advice says that rare labels come with frequent ones. Charte et al. (2014) found
that the higher it is, the less resampling can do; where the line is, is a choice."""


@dataclass(frozen=True)
class MultiLabelAuditReport:
    """
    What an audit of multi-label rows found.

    Args:
        label_columns: that the labels are in.
        parts: part ("train", "validation", "test") → its counts and measures.
        contradictions: texts under several sets of labels, of all parts together.
        contradiction_examples: the first of them, text → set of labels → rows.
        leaks: texts of one part that stand in another.
        lookalikes: groups of labels that look like one, label → training rows.
        problems: what cannot be worked on.
        language: "en" or "zh".
        next_steps: what to do, the first first.
    """

    label_columns: list[str]
    parts: dict[str, MultiLabelPartAudit]
    contradictions: int
    contradiction_examples: dict[str, dict[str, int]]
    leaks: list[Leak]
    lookalikes: list[dict[str, int]]
    problems: list[str]
    language: Language
    next_steps: list[str]

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON; "task" is "multi-label"."""
        return {"task": "multi-label", **asdict(self)}

    def text(self) -> str:
        """The same for people."""
        lines: list[str] = []
        for name, part in self.parts.items():
            lines += _part_lines(name, part)
        lines += finding_lines(
            lookalikes=self.lookalikes,
            leaks=self.leaks,
            contradicted=f"{self.contradictions} texts stand under several sets of labels"
            if self.contradictions
            else "",
            examples=self.contradiction_examples,
            shown=_counts,
            problems=self.problems,
            next_steps=self.next_steps,
        )
        return "\n".join(lines)


def audit_multi_label(
    parts: Dataset | Mapping[str, Dataset],
    label_columns: str | Sequence[str] = "labels",
    *,
    text_column: str = "text",
    label_names: Sequence[str] | None = None,
    language: Language | None = None,
    examples: int = 3,
    source: str = "DATA",
) -> MultiLabelAuditReport:
    """
    Audit rows that have any number of labels.

    Args:
        parts: the training rows, or part → rows, the training rows first.
        label_columns, label_names: as `hf_oversample.data.label_sets.read_label_sets` reads them. A
            further part may lack them.
        text_column: of the texts.
        language: "en" or "zh"; found from the texts by default.
        examples: of each finding.
        source: the words that name the data on a command line, for the next steps.

    Returns:
        What was found. Texts are counted as they are; labels must be readable.

    Raises:
        ValueError: there are no parts, the training rows have no such columns, or labels that
            cannot be read; the part and the row are named.
    """
    if isinstance(parts, Dataset):
        parts = {"train": parts}
    if not parts:
        raise ValueError("there are no parts to audit: give the training rows at least")
    columns = [label_columns] if isinstance(label_columns, str) else list(label_columns)
    first = next(iter(parts))
    wanted = [text_column, *columns]
    if missing := [c for c in wanted if c not in parts[first].column_names]:
        raise ValueError(
            f"there is no column {' or '.join(map(repr, missing))}; there are "
            f"{parts[first].column_names}. Name yours with --text and --label."
        )
    sets = {name: _sets_of(name, part, columns, label_names) for name, part in parts.items()}
    rows = {name: _rows(part, text_column, sets[name]) for name, part in parts.items()}
    language = language or guess_language([t for t in rows[first].texts if t is not None])
    segmenter = Segmenter(language)
    audited = {
        name: MultiLabelPartAudit(
            audit_part(part, segmenter),
            None if (own := sets[name]) is None else audit_label_sets(own, _PAIRS),
        )
        for name, part in rows.items()
    }
    contradicted = contradictions(rows)
    found = leaks(rows, examples)
    training = audited[first].labels
    assert training is not None, "the training rows have the columns"
    lookalikes = lookalike_classes({name: one.rows for name, one in training.labels.items()})
    problems = [one for name, part in audited.items() for one in _problems(name, part, training)]
    return MultiLabelAuditReport(
        label_columns=columns,
        parts=audited,
        contradictions=len(contradicted),
        contradiction_examples=dict(list(contradicted.items())[:examples]),
        leaks=found,
        lookalikes=lookalikes,
        problems=problems,
        language=language,
        next_steps=_next_steps(training, bool(lookalikes), len(contradicted), bool(found), source),
    )


def _sets_of(
    name: str, part: Dataset, columns: list[str], label_names: Sequence[str] | None
) -> LabelSets | None:
    if any(column not in part.column_names for column in columns):
        return None
    try:
        return read_label_sets(part, columns, label_names)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _rows(part: Dataset, text_column: str, sets: LabelSets | None) -> Rows:
    """The rows, each set of labels as one class."""
    texts: list[str | None] = [None] * len(part)
    if text_column in part.column_names:
        values = part.with_format(None)[text_column][:]
        texts = [v if v is None or isinstance(v, str) else str(v) for v in values]
    if sets is None:
        return Rows(texts, [None] * len(part))
    named = [[sets.names[k] for k in np.flatnonzero(row).tolist()] for row in sets.matrix]
    return Rows(texts, [", ".join(labels) or "no label" for labels in named])


def _problems(name: str, part: MultiLabelPartAudit, training: LabelSetsAudit) -> list[str]:
    texts = part.texts
    told = {
        "have no text (null)": texts.null_texts,
        "have a text of white space only": texts.empty_texts,
        f"have more than {LONG_TEXT_WORDS} words, which encoders cut": texts.long_texts,
        "repeat the text of an earlier row": texts.repeated,
        "have the words of an earlier row, in another order or with other marks or numbers": (
            texts.near_repeated
        ),
    }
    problems = [f"{name}: {n} of {texts.rows} rows {what}" for what, n in told.items() if n]
    labels = part.labels
    if labels is None:
        return [*problems, f"{name}: the label columns are not there"]
    own = labels.labels
    if labels is training:
        few = [f"{one!r} {label.rows}" for one, label in own.items() if label.rows < 3]
        if few:
            problems.append(
                f"{name}: too few rows to learn from, choose by and report on: {', '.join(few)}"
            )
        if all_rows := [one for one, label in own.items() if label.share == 1]:
            problems.append(f"{name}: every row has {', '.join(map(repr, all_rows))}")
        return problems
    known = {one for one, label in training.labels.items() if label.rows}
    if unknown := [one for one, label in own.items() if label.rows and one not in known]:
        problems.append(f"{name}: labels that no training row has: {', '.join(map(repr, unknown))}")
    return problems


def _next_steps(
    training: LabelSetsAudit, has_lookalikes: bool, contradicted: int, leaked: bool, source: str
) -> list[str]:
    steps = []
    if has_lookalikes:
        steps.append("decide which labels are one, and write them alike")
    if contradicted:
        steps.append("look at the texts that stand under several sets of labels, and label once")
    if leaked:
        steps.append("take texts that stand in two parts out of one")
    rare = [name for name, label in training.labels.items() if label.is_minority]
    steps.append(
        f"see what helps the {len(rare)} rare labels (IRLbl above MeanIR), or whether a threshold "
        f"for each label does as much: hf-oversample compare {source} -o compared"
    )
    if rare and training.scumble > HIGH_SCUMBLE:
        steps.append(
            f"expect little of repeated rows: SCUMBLE is {training.scumble:.2f}, so that rare "
            "labels stand beside frequent ones, and to repeat a row repeats both"
        )
    return steps


def _part_lines(name: str, part: MultiLabelPartAudit) -> list[str]:
    lines = [f"{name}: {part.texts.rows} rows"]
    labels = part.labels
    if labels is not None:
        width = max(len(repr(one)) for one in labels.labels)
        lines.append(f"  {'label':<{width}}      rows            IRLbl   SCUMBLE")
        for one, label in labels.labels.items():
            ratio = "-" if label.imbalance_ratio is None else f"{label.imbalance_ratio:.2f}"
            lines.append(
                f"  {one!r:<{width}}  {label.rows:>8}  {100 * label.share:5.1f} %  {ratio:>7}  "
                f"{label.scumble:>8.3f}{'  rare' if label.is_minority else ''}"
            )
        lines += [
            f"  without a label: {labels.without_label} rows; {labels.label_sets} sets of labels",
            f"  labels a row: {labels.cardinality:.3f} (cardinality), {labels.density:.3f} of all "
            "(density)",
            f"  MeanIR {labels.mean_imbalance_ratio:.2f}; SCUMBLE {labels.scumble:.3f} (0: rare "
            "labels stand alone; near 1: beside frequent ones)",
        ]
        if labels.pairs:
            shown = ", ".join(
                f"{a!r} and {b!r} {pair.rows}"
                for pair in labels.pairs[:5]
                for a, b in [pair.labels]
            )
            lines.append(f"  together: {shown}")
    if part.texts.words:
        spread = ", ".join(f"{what} {value:g}" for what, value in part.texts.words.items())
        lines.append(f"  words a text: {spread}")
    return lines


def _counts(sets: Mapping[str, int]) -> str:
    return ", ".join(f"[{names}] {rows}" for names, rows in sets.items())
