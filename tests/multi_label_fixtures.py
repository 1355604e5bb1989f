"""Texts with any number of labels: words of each label that a text has, among words of all."""

from __future__ import annotations

import numpy as np
from datasets import ClassLabel, Dataset, Features, List, Value

NAMES = ["billing", "delivery", "refund", "threat"]
SHARES = (0.55, 0.35, 0.14, 0.1)
WORDS = {
    "billing": ["invoice", "card", "charge", "price", "bank", "amount", "pay"],
    "delivery": ["parcel", "courier", "late", "address", "box", "shipped", "van"],
    "refund": ["money", "back", "return", "cancel", "credit"],
    "threat": ["lawyer", "court", "sue", "regret", "police"],
}
COMMON = ["hello", "please", "the", "order", "today", "my", "was", "again", "never", "help", "week"]


def labelled_texts(rows: int = 160, seed: int = 0) -> tuple[list[str], np.ndarray]:
    """Texts, all different, and their labels bool [rows, 4]."""
    draws = np.random.default_rng(seed)
    labels = draws.random((rows, len(NAMES))) < SHARES
    texts = []
    for number, own in enumerate(labels):
        words = list(draws.choice(COMMON, 6))
        for label in np.flatnonzero(own):
            words += list(draws.choice(WORDS[NAMES[label]], 2))
        if draws.random() < 0.15:  # a word that misleads
            words.append(str(draws.choice(WORDS[NAMES[draws.integers(4)]])))
        texts.append(" ".join([*draws.permutation(words), f"n{number}"]))
    return texts, labels


def labelled_dataset(rows: int = 160, seed: int = 0) -> Dataset:
    """The same as a data set with the columns text and labels, lists of a ClassLabel."""
    texts, labels = labelled_texts(rows, seed)
    features = Features({"text": Value("string"), "labels": List(ClassLabel(names=NAMES))})
    numbers = [np.flatnonzero(row).tolist() for row in labels]
    return Dataset.from_dict({"text": texts, "labels": numbers}, features=features)
