"""Texts and their classes, as training, oversampling and evaluation hand them on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from hf_oversample.text.checks import checked_labels, checked_texts

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass
class Texts:
    """
    Texts and their classes.

    Args:
        texts: n texts.
        labels: `[n]` int64, class codes; of rows with any number of labels bool `[n, labels]`.
    """

    texts: list[str]
    labels: np.ndarray

    @classmethod
    def of(cls, dataset: Dataset, text_column: str = "text", label_column: str = "label") -> Self:
        """Those of a data set whose labels are class codes, whatever its format.

        Raises:
            ValueError: a text or a label is null; column and row are named.
        """
        rows = dataset.with_format(None)
        labels = checked_labels(rows[label_column][:], f"column {label_column!r}")
        texts = checked_texts(rows[text_column][:], f"column {text_column!r}")
        return cls(texts, labels.astype(np.int64))

    def __len__(self) -> int:
        return len(self.texts)
