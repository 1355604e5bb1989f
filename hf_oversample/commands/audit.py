"""An audit: what a data set has before anything is made of it, and what to do next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from datasets import Dataset

from hf_oversample.commands.audit_arguments import AuditArguments
from hf_oversample.commands.audit_data import read_parts, source_words
from hf_oversample.commands.audit_findings import finding_lines
from hf_oversample.commands.multi_label_audit import MultiLabelAuditReport, audit_multi_label
from hf_oversample.comparison.embedders import LatentSemanticEmbedder, pretrained_embedder
from hf_oversample.data.auditing import (
    LONG_TEXT_WORDS,
    Leak,
    PartAudit,
    Rows,
    audit_part,
    column_problems,
    contradictions,
    leaks,
)
from hf_oversample.data.classes import lookalike_classes
from hf_oversample.data.label_sets import multi_label_columns
from hf_oversample.neighbors.difficult import difficult_samples
from hf_oversample.text.words import Language, Segmenter, guess_language


@dataclass(frozen=True)
class Difficulty:
    """
    How the rare classes lie among the others: all but the largest class of the training rows.

    Args:
        measured_by: the embeddings, in words.
        rows: how many rows were looked at.
        neighbors: nearest rows that tell.
        classes: rare class → `difficult_share` (a row of another class is among the nearest; the
            paper's count), `outvoted_share` (other classes outvote its own, votes weighted by class
            size), each in [0, 1] and with what chance gives (`…_by_chance`), and `rows`.
        not_measured: why nothing was; None where it was.
    """

    measured_by: str
    rows: int
    neighbors: int
    classes: dict[str, dict[str, float]]
    not_measured: str | None = None


@dataclass(frozen=True)
class AuditReport:
    """
    What an audit found.

    Args:
        parts: part ("train", "validation", "test") → its counts.
        imbalance_ratio: training rows of the largest class over those of the smallest that has
            some; None for fewer than two classes.
        difficulty: of the rare classes' training rows.
        contradictions: texts under several classes, of all parts together.
        contradiction_examples: the first of them, text → class → rows.
        leaks: texts of one part that stand in another.
        lookalikes: groups of classes that look like one, class → rows of all parts.
        problems: what other commands refuse or cannot work on.
        language: "en" or "zh".
        next_steps: what to do, the first first.
    """

    parts: dict[str, PartAudit]
    imbalance_ratio: float | None
    difficulty: Difficulty
    contradictions: int
    contradiction_examples: dict[str, dict[str, int]]
    leaks: list[Leak]
    lookalikes: list[dict[str, int]]
    problems: list[str]
    language: Language
    next_steps: list[str]

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON; each part has the `shares` of its classes too."""
        values = asdict(self)
        for name, part in self.parts.items():
            values["parts"][name]["shares"] = part.shares
        return values

    def text(self) -> str:
        """The same for people."""
        lines = []
        for name, part in self.parts.items():
            lines += _part_lines(name, part)
        if self.imbalance_ratio is not None:
            lines.append(f"imbalance: {self.imbalance_ratio:.1f} rows of the largest class to one")
        lines += ["", *_difficulty_lines(self.difficulty)]
        lines += finding_lines(
            lookalikes=self.lookalikes,
            leaks=self.leaks,
            contradicted=f"{self.contradictions} texts stand under several classes"
            if self.contradictions
            else "",
            examples=self.contradiction_examples,
            shown=_counts,
            problems=self.problems,
            next_steps=self.next_steps,
        )
        return "\n".join(lines)


def run_audit(arguments: AuditArguments) -> AuditReport | MultiLabelAuditReport:
    """
    Read a data set and audit it. Rows that other commands refuse are counted.

    Where the label column holds lists, or several columns of 0 and 1 are named, rows have any
    number of labels (`audit_multi_label`).

    Raises:
        ValueError: a file or data set that cannot be read at all; the message names the line. Or
            labels of multi-label rows that cannot be read; the message names the row.
        FileNotFoundError: there is no such file.
    """
    a = arguments
    parts = read_parts(a)
    first = next(iter(parts.values()))
    columns = multi_label_columns(first.features, a.label_column)
    if columns is not None:
        if a.strip_labels or a.lowercase_labels:
            raise ValueError(
                "strip_labels and lowercase_labels are for one class a row, and these rows have "
                "lists of labels: mend the names in the file"
            )
        return audit_multi_label(
            parts,
            columns,
            text_column=a.text_column,
            language=a.language,
            examples=a.examples,
            # compare makes folds of the training rows here, and takes no other part
            source=source_words(replace(a, test_file=None, test_split=None)),
        )
    return audit(
        parts,
        text_column=a.text_column,
        label_column=a.label_column,
        strip_labels=a.strip_labels,
        lowercase_labels=a.lowercase_labels,
        language=a.language,
        encoder_name=a.encoder_name,
        neighbors=a.neighbors,
        difficult_rows=a.difficult_rows,
        examples=a.examples,
        seed=a.seed,
        source=source_words(a),
    )


def audit(
    parts: Dataset | Mapping[str, Dataset],
    *,
    text_column: str = "text",
    label_column: str = "label",
    strip_labels: bool = False,
    lowercase_labels: bool = False,
    language: Language | None = None,
    encoder_name: str | None = None,
    neighbors: int = 5,
    difficult_rows: int = 20_000,
    examples: int = 3,
    seed: int = 0,
    source: str = "DATA",
) -> AuditReport:
    """
    Audit a data set.

    Args:
        parts: the training rows, or part → rows, the training rows first.
        text_column, label_column, strip_labels, lowercase_labels, language, encoder_name,
            neighbors, difficult_rows, examples, seed: see `AuditArguments`.
        source: the words that name the data on a command line, for the next steps.

    Returns:
        What was found.

    Raises:
        ValueError: there are no parts, the training rows have no such columns, or there is no such
            encoder.
    """
    if isinstance(parts, Dataset):
        parts = {"train": parts}
    if not parts:
        raise ValueError("there are no parts to audit: give the training rows at least")
    first = next(iter(parts))
    if missing := [c for c in (text_column, label_column) if c not in parts[first].column_names]:
        raise ValueError(
            f"there is no column {' or '.join(map(repr, missing))}; there are "
            f"{parts[first].column_names}. Name yours with --text and --label."
        )
    options = {"strip": strip_labels, "lowercase": lowercase_labels}
    rows = {
        name: Rows.of(part, text_column, label_column, **options) for name, part in parts.items()
    }
    texts = [text for text in rows[first].texts if text is not None]
    language = language or guess_language(texts)
    segmenter = Segmenter(language)
    counted = {name: audit_part(part, segmenter) for name, part in rows.items()}
    every = Counter[str]()
    for part in counted.values():
        every.update(part.classes)
    contradicted = contradictions(rows)
    found = leaks(rows, examples)
    lookalikes = lookalike_classes(every)
    problems = [
        *_column_problems(parts, text_column, label_column),
        *(one for name, part in counted.items() for one in _row_problems(name, part)),
        *_class_problems(first, counted),
    ]
    ratio = _ratio(counted[first])
    near = _difficulty(rows[first], segmenter, encoder_name, neighbors, difficult_rows, seed)
    return AuditReport(
        parts=counted,
        imbalance_ratio=ratio,
        difficulty=near,
        contradictions=len(contradicted),
        contradiction_examples=dict(list(contradicted.items())[:examples]),
        leaks=found,
        lookalikes=lookalikes,
        problems=problems,
        language=language,
        next_steps=_next_steps(problems, lookalikes, len(contradicted), found, ratio, source),
    )


def _ratio(part: PartAudit) -> float | None:
    counts = part.classes.values()
    return max(counts) / min(counts) if len(counts) > 1 else None


def _difficulty(
    rows: Rows, segmenter: Segmenter, encoder_name: str | None, k: int, most: int, seed: int
) -> Difficulty:
    usable = [
        (text, name)
        for text, name in zip(rows.texts, rows.classes, strict=True)
        if text is not None and text.strip() and name is not None
    ]
    if len(usable) > most:
        drawn = np.random.default_rng(seed).choice(len(usable), most, replace=False)
        usable = [usable[row] for row in np.sort(drawn)]
    texts, named = [text for text, _ in usable], [name for _, name in usable]
    names = list(dict.fromkeys(named))
    by = encoder_name or "latent semantic analysis"
    if len(names) < 2 or len(usable) <= k:
        reason = (
            f"{len(usable)} rows of {len(names)} classes have a text and a class, and it takes two "
            f"classes and more than {k} rows"
        )
        return Difficulty(by, len(usable), k, {}, reason)
    embed = (
        LatentSemanticEmbedder(texts, segmenter)
        if encoder_name is None
        else pretrained_embedder(encoder_name)
    )
    codes = np.asarray([names.index(name) for name in named], np.int64)
    samples = difficult_samples(embed(texts), codes, k)
    classes = {}
    for code in np.unique(samples.labels).tolist():
        own = samples.labels == code
        classes[names[code]] = {
            "rows": int(own.sum()),
            "difficult_share": samples.share(code),
            "difficult_share_by_chance": float(samples.difficult_by_chance[own].mean()),
            "outvoted_share": samples.outvoted_share(code),
            "outvoted_share_by_chance": float(samples.outvoted_by_chance[own].mean()),
        }
    return Difficulty(by, len(usable), k, classes)


def _column_problems(parts: Mapping[str, Dataset], text: str, label: str) -> list[str]:
    return [
        f"{name}: {one}"
        for name, part in parts.items()
        for one in column_problems(part, text, label)
    ]


def _row_problems(name: str, part: PartAudit) -> list[str]:
    """Rows that other commands refuse, or cannot work on."""
    told = {
        "have no class (null, empty, or outside the ClassLabel)": part.without_class,
        "have no text (null)": part.null_texts,
        "have a text of white space only": part.empty_texts,
        "have one word or none, so that no word can be edited": part.one_word_texts,
        f"have more than {LONG_TEXT_WORDS} words, which encoders cut": part.long_texts,
        "repeat the text of an earlier row": part.repeated,
        "have the words of an earlier row, in another order or with other marks or numbers": (
            part.near_repeated
        ),
    }
    return [f"{name}: {rows} of {part.rows} rows {what}" for what, rows in told.items() if rows]


def _class_problems(first: str, parts: Mapping[str, PartAudit]) -> list[str]:
    """Classes that cannot be learnt from or measured."""
    own = parts[first].classes
    problems = []
    if len(own) < 2:
        problems.append(f"{first}: rows of {len(own)} classes; there must be two at least")
    few = {name: rows for name, rows in own.items() if rows < 3}
    if few and len(own) > 1:
        problems.append(
            f"{first}: too few rows to learn from, choose by and report on: {_counts(few)}"
        )
    for name, part in parts.items():
        unknown = {one: rows for one, rows in part.classes.items() if one not in own}
        if unknown and own:
            problems.append(f"{name}: classes that {first} does not have: {_counts(unknown)}")
    return problems


def _next_steps(
    problems: list[str],
    lookalikes: list[dict[str, int]],
    contradicted: int,
    found: list[Leak],
    ratio: float | None,
    source: str,
) -> list[str]:
    steps = []
    if lookalikes:
        steps.append("decide which classes are one: --strip_labels, --lowercase_labels")
    if any("no text" in one or "no class" in one or "white space only" in one for one in problems):
        steps.append("fill in, or filter out, the rows without a text or a class")
    if contradicted:
        steps.append("look at the texts that stand under several classes, and label each once")
    if found:
        steps.append("take texts that stand in two parts out of one (compare does so by itself)")
    if ratio is not None:
        steps.append(f"see what helps: hf-oversample compare {source} -o compared")
    return steps or ["name the columns of the texts and the classes, and audit again"]


def _part_lines(name: str, part: PartAudit) -> list[str]:
    lines = [f"{name}: {part.rows} rows"]
    width = max((len(repr(one)) for one in part.classes), default=0)
    for one, rows in part.classes.items():
        lines.append(f"  {one!r:<{width}}  {rows:>8}  {100 * part.shares[one]:5.1f} %")
    if part.words:
        spread = ", ".join(f"{what} {value:g}" for what, value in part.words.items())
        lines.append(f"  words a text: {spread}")
    return lines


def _difficulty_lines(difficulty: Difficulty) -> list[str]:
    d = difficulty
    if d.not_measured is not None:
        return [f"difficult rows: not measured, as {d.not_measured}"]
    lines = [
        f"difficult rows, by the {d.neighbors} nearest of {d.rows} rows; {d.measured_by}",
        "  class: rows outvoted by other classes (by chance); with one of another class near (by "
        "chance)",
    ]
    for name, share in d.classes.items():
        lines.append(
            f"  {name!r}: {100 * share['outvoted_share']:.0f} % "
            f"({100 * share['outvoted_share_by_chance']:.0f} %); "
            f"{100 * share['difficult_share']:.0f} % "
            f"({100 * share['difficult_share_by_chance']:.0f} %)"
        )
    return lines


def _counts(classes: Mapping[str, int]) -> str:
    return ", ".join(f"{name!r} {rows}" for name, rows in classes.items())
