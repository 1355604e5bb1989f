"""What a run's data must have for what it is asked to make: told before any training."""

from __future__ import annotations

import numpy as np

from hf_oversample.commands.data import RunData
from hf_oversample.oversamplers.strategy import class_counts
from hf_oversample.text.words import Segmenter, is_negation

BETWEEN_ROWS = ("smote", "borderline_smote", "adasyn", "simpor")
"""Methods that make a row between, or at the distance of, rows of its class: they need two."""


def check_class_sizes(data: RunData, method: str) -> None:
    """
    Check that each class that grows has the rows that a method needs.

    Args:
        data: the run's.
        method: as `--method` names it.

    Raises:
        ValueError: a class has too few.
    """
    if method not in BETWEEN_ROWS:
        return
    counts = class_counts(data.train.labels, names=data.class_names)
    for code in data.targets:
        if counts[code] < 2:
            text = data.train.texts[int(np.flatnonzero(data.train.labels == code)[0])]
            raise ValueError(
                f"The class {data.class_names[code]!r} has 1 row ({text[:60]!r}) and is to grow, "
                f"but {method} makes rows out of two of a class: add rows of it, choose --method "
                "random or miso, or let other classes grow with --sampling_strategy."
            )


def check_words(data: RunData, generate: str) -> None:
    """
    Check that there is something to edit: a word, in at least one text.

    Args:
        data: the run's.
        generate: the arguments that choose the other realiser.

    Raises:
        ValueError: no text has a word that an edit may replace.
    """
    segmenter = Segmenter(data.language)
    for text in data.train.texts:
        if any(
            segmenter.is_word(word) and not is_negation(word, segmenter.language)
            for word in segmenter.words(text)
        ):
            return
    first = data.train.texts[0]
    raise ValueError(
        f"None of the {len(data.train)} training texts has a word that an edit may replace: "
        f"numbers, marks, addresses and negations stay. The first text is {first[:60]!r}. Check "
        f"--text_column and --language, or write whole new texts with {generate}."
    )
