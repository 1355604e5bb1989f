"""Texts and their classes, as training, oversampling and evaluation hand them on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass
class Texts:
    """
    Texts and their classes.

    Args:
        texts: n texts.
        labels: `[n]` int64, class codes.
    """

    texts: list[str]
    labels: np.ndarray

    @classmethod
    def of(cls, dataset: Dataset, text_column: str = "text", label_column: str = "label") -> Self:
        """Those of a data set whose labels are class codes."""
        labels = np.asarray(dataset[label_column], np.int64)
        return cls(list(dataset[text_column]), labels)

    def __len__(self) -> int:
        return len(self.texts)
