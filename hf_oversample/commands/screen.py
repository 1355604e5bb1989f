"""The screen of a run: whether the rows that it made are told from real ones by their surface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from datasets import Dataset

from hf_oversample.data.labeled_texts import Texts
from hf_oversample.metrics.screening import screen_classes
from hf_oversample.oversamplers.plan import REAL, SYNTHETIC
from hf_oversample.text.words import Language

GIVEAWAYS = 4
"""Marks of made texts that are named in a warning."""


def screen_of(
    balanced: Dataset,
    class_names: Sequence[str],
    *,
    text_column: str,
    label_column: str,
    language: Language,
    seed: int,
) -> dict[str, Any] | None:
    """
    What `run.json` has as `screen`: :func:`~hf_oversample.metrics.screening.screen_classes` of the
    synthetic rows against the real ones; None where no text was made.

    Args:
        balanced: the training part with its new rows.
        class_names: by class code.
        text_column, label_column: of it.
        language: decides how words are found.
        seed: of the folds.
    """
    origin = np.asarray(balanced.with_format(None)["origin"][:])
    made = np.flatnonzero(origin == SYNTHETIC)
    if not len(made):
        return None
    parts = [
        Texts.of(balanced.select(rows), text_column, label_column)
        for rows in (np.flatnonzero(origin == REAL), made)
    ]
    return screen_classes(
        parts[0].texts,
        parts[0].labels,
        parts[1].texts,
        parts[1].labels,
        class_names,
        language=language,
        seed=seed,
    )


def screen_lines(screen: Mapping[str, Any] | None) -> list[str]:
    """
    What a person is told of a screen; nothing where no text was made.

    Args:
        screen: of a record.
    """
    if screen is None:
        return []
    lines = [
        f"{100 * screen['unknown_words']:.1f} % of the made texts have a word that no training "
        "text has."
    ]
    for name, one in screen["classes"].items():
        area, by = one["auc"], ", ".join(one["giveaways"][:GIVEAWAYS])
        if area is None:
            lines.append(
                f"{name}: {one['made']} made and {one['real']} real texts are too few to say "
                "whether they are told apart."
            )
        elif area > screen["level"]:
            lines.append(
                f"Warning: made texts of {name} are told from real ones by their surface (AUC "
                f"{area:.2f}; 0.5 is chance, above {screen['level']:.2f} is warned of), by {by}: a "
                "classifier may learn the mark in place of the class."
            )
        else:
            lines.append(
                f"{name}: made texts are hardly told from real ones by their surface (AUC "
                f"{area:.2f}; 0.5 is chance, above {screen['level']:.2f} is warned of)."
            )
    return lines
