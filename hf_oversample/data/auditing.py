"""What a labelled text data set has, faults included: nothing here refuses a row."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset

from hf_oversample.data.classes import in_class_order
from hf_oversample.text.copies import words_of
from hf_oversample.text.words import Segmenter, normalized

LONG_TEXT_WORDS = 512
"""Words above which a text counts as long: encoders of BERT's kind have 512 places for tokens, and
a word is one token at least."""


@dataclass(frozen=True)
class Rows:
    """
    A part's rows, with None where a row has no text or no class.

    Args:
        texts: n texts.
        classes: n names of classes.
    """

    texts: list[str | None]
    classes: list[str | None]

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        text_column: str,
        label_column: str,
        *,
        strip: bool = False,
        lowercase: bool = False,
    ) -> Rows:
        """
        Those of a data set, whatever its columns' types: values that are no strings are written as
        strings, codes outside a ClassLabel are no class, and a column that is missing gives None in
        each row.

        Args:
            dataset: the part.
            text_column: of the texts.
            label_column: of the classes.
            strip: take white space from both ends of classes' names.
            lowercase: write classes' names in lower case.
        """
        classes: list[str | None] = _values(dataset, label_column)
        feature = dataset.features.get(label_column)
        if isinstance(feature, ClassLabel):
            names = dict(enumerate(feature.names))
            codes = dataset.select_columns(label_column).with_format(None)[label_column][:]
            classes = [names.get(code) for code in codes]
        if strip:
            classes = [name and name.strip() for name in classes]
        if lowercase:
            classes = [name and name.lower() for name in classes]
        return cls(_values(dataset, text_column), [name or None for name in classes])

    def __len__(self) -> int:
        return len(self.texts)


def _values(dataset: Dataset, column: str) -> list[str | None]:
    if column not in dataset.column_names:
        return [None] * len(dataset)
    values = dataset.select_columns(column).with_format(None)[column][:]
    return [value if value is None or isinstance(value, str) else str(value) for value in values]


@dataclass(frozen=True)
class PartAudit:
    """
    One part of a data set.

    Args:
        rows: number of rows.
        classes: class → rows, in the classes' order.
        without_class: rows whose label is null, empty, or outside the ClassLabel.
        null_texts: rows without a text.
        empty_texts: rows whose text is white space only.
        one_word_texts: rows whose text has one word or none, so that no word can be edited.
        long_texts: rows of more than `LONG_TEXT_WORDS` words, which encoders cut.
        words: the least, the median, the 95th percentile and the largest number of words a text,
            marks and numbers left out; empty where there is no text.
        repeated: rows whose text stands in an earlier row, but for case and spaces.
        near_repeated: rows that have the same set of words as an earlier row and are not the same
            text: they differ in order, marks or numbers.
    """

    rows: int
    classes: dict[str, int]
    without_class: int
    null_texts: int
    empty_texts: int
    one_word_texts: int
    long_texts: int
    words: dict[str, float]
    repeated: int
    near_repeated: int

    @property
    def shares(self) -> dict[str, float]:
        """Class → its share of the rows that have a class."""
        total = sum(self.classes.values())
        return {name: rows / total for name, rows in self.classes.items()}


def audit_part(rows: Rows, segmenter: Segmenter) -> PartAudit:
    """Count what a part has."""
    counts = Counter(name for name in rows.classes if name is not None)
    texts = [text for text in rows.texts if text is not None and text.strip()]
    null = sum(text is None for text in rows.texts)
    lengths = np.zeros(len(texts), np.int64)
    same: set[str] = set()
    near: set[int] = set()  # hashes of sets of words
    repeated = near_repeated = 0
    for place, text in enumerate(texts):
        words = words_of(text, segmenter)
        lengths[place] = len(words)
        key, kind = normalized(text), hash(frozenset(words))
        if key in same:
            repeated += 1
        elif words and kind in near:
            near_repeated += 1
        same.add(key)
        near.add(kind)
    return PartAudit(
        rows=len(rows),
        classes={name: counts[name] for name in in_class_order(counts)},
        without_class=sum(name is None for name in rows.classes),
        null_texts=null,
        empty_texts=len(rows) - null - len(texts),
        one_word_texts=int((lengths < 2).sum()),
        long_texts=int((lengths > LONG_TEXT_WORDS).sum()),
        words=_spread(lengths),
        repeated=repeated,
        near_repeated=near_repeated,
    )


def _spread(lengths: np.ndarray) -> dict[str, float]:
    if not len(lengths):
        return {}
    return {
        "least": float(lengths.min()),
        "median": float(np.median(lengths)),
        "95 %": float(np.percentile(lengths, 95)),
        "most": float(lengths.max()),
    }


def contradictions(parts: Mapping[str, Rows]) -> dict[str, dict[str, int]]:
    """
    Texts that stand under several classes, in one part or across parts: the text as it is first
    written → class → rows. Texts that differ in case or spaces only count as the same.
    """
    first: dict[str, str] = {}
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for rows in parts.values():
        for text, name in zip(rows.texts, rows.classes, strict=True):
            if text is not None and text.strip() and name is not None:
                key = normalized(text)
                first.setdefault(key, text)
                found[key][name] += 1
    return {first[key]: dict(counts) for key, counts in found.items() if len(counts) > 1}


@dataclass(frozen=True)
class Leak:
    """
    Texts of one part that stand in another.

    Args:
        part: whose rows are counted, such as "test".
        other: where their texts stand too, such as "train".
        rows: how many rows of `part` there are.
        examples: their first texts, each once.
    """

    part: str
    other: str
    rows: int
    examples: list[str]


def leaks(parts: Mapping[str, Rows], examples: int) -> list[Leak]:
    """
    Texts that stand in two parts, but for case and spaces; each pair of parts that has some is
    there once, the later one's rows counted.

    Args:
        parts: part → rows, the training part first.
        examples: texts to show for each pair.
    """
    seen: dict[str, set[str]] = {}
    found = []
    for name, rows in parts.items():
        own: dict[str, str] = {}
        times = Counter[str]()
        for text in rows.texts:
            if text is not None and text.strip():
                own.setdefault(normalized(text), text)
                times[normalized(text)] += 1
        for other, known in seen.items():
            if shared := [key for key in own if key in known]:
                shown = [own[key] for key in shared[:examples]]
                found.append(Leak(name, other, sum(times[key] for key in shared), shown))
        seen[name] = set(own)
    return found


def column_problems(dataset: Dataset, text_column: str, label_column: str) -> list[str]:
    """What other commands say against the columns themselves; empty where nothing."""
    problems = []
    for column, option in ((text_column, "--text"), (label_column, "--label")):
        if column not in dataset.column_names:
            problems.append(
                f"there is no column {column!r}; there are {dataset.column_names}: name yours "
                f"with {option}"
            )
    kinds: dict[str, Any] = {
        name: getattr(dataset.features.get(name), "dtype", None)
        for name in (text_column, label_column)
    }
    if text_column in dataset.column_names and kinds[text_column] not in ("string", "large_string"):
        problems.append(
            f"column {text_column!r} holds {dataset.features[text_column]}, not strings: name "
            "another, or write the texts as strings"
        )
    kind = str(kinds[label_column])
    is_label = kind in ("string", "large_string", "bool") or kind.startswith(("int", "uint"))
    if label_column in dataset.column_names and not is_label:
        problems.append(
            f"column {label_column!r} holds {dataset.features[label_column]}, which names no "
            "classes: write them as strings or integers"
        )
    return problems
