"""Plain duplication: the simplest member of the family, and the control of every comparison."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_oversample.oversamplers.base import RESAMPLED, Children, Oversampler
from hf_oversample.oversamplers.plan import IntArray, Plan


class RandomOversampler(Oversampler):
    """Repeat rows until the classes have the asked counts.

    Children are copies of all columns of their parent, marked ``resampled``. They are spread over
    a class's rows evenly: copies of two rows of a class differ in number by at most one, and the
    seed says which rows get the one more. (imbalanced-learn's ``RandomOverSampler`` draws with
    replacement, so that some rows come many times and some never.)

    Args:
        sampling_strategy, seed: see :class:`~hf_oversample.oversamplers.base.Oversampler`.
        copy_columns: without effect, as every column is a copy.

    Example:
        >>> from datasets import Dataset
        >>> dataset = Dataset.from_dict({"text": ["a", "b", "c"], "label": [0, 0, 1]})
        >>> balanced = RandomOversampler().balance(dataset)
        >>> balanced["text"][:], balanced["parent"][:]
        (['a', 'b', 'c', 'c'], [-1, -1, -1, 2])
    """

    _copies_rows = True

    def _make(self, batch: Mapping[str, list[Any]], positions: IntArray, plan: Plan) -> Children:
        return Children({}, origin=RESAMPLED)
