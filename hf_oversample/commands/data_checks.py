"""What a run's data must have for what it is asked to make: told before any training."""

from __future__ import annotations

import numpy as np

from hf_oversample.commands.data import RunData
from hf_oversample.oversamplers.strategy import class_counts
from hf_oversample.text.protection import Protection, replaceable_words
from hf_oversample.text.words import Segmenter

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


def check_words(data: RunData, segmenter: Segmenter, protection: Protection, generate: str) -> None:
    """
    Check that there is something to edit: a word, in at least one text.

    Args:
        data: the run's.
        segmenter: of its language.
        protection: what edits leave as it is.
        generate: the arguments that choose the other realiser.

    Raises:
        ValueError: no text has a word that an edit may replace.
    """
    for text in data.train.texts:
        if any(replaceable_words(text, segmenter.spans(text), segmenter, protection)):
            return
    first = data.train.texts[0]
    raise ValueError(
        f"None of the {len(data.train)} training texts has a word that an edit may replace: "
        f"marks, negations and what is protected stay (numbers, addresses, placeholders, and what "
        f"--protect adds). The first text is {first[:60]!r}. Check --text, --language and "
        f"--protect, or write whole new texts with {generate}."
    )
