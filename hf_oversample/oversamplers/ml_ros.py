"""ML-ROS: rows with rare labels repeated, the control for made rows of multi-label data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hf_oversample.data.label_imbalance import imbalance_ratios, mean_imbalance_ratio
from hf_oversample.numeric import noise
from hf_oversample.oversamplers.base import RESAMPLED, Children
from hf_oversample.oversamplers.multi_label import MultiLabelOversampler
from hf_oversample.oversamplers.option_checks import check_numbers, check_values
from hf_oversample.oversamplers.plan import IntArray, Plan


class MlRosOversampler(MultiLabelOversampler):
    """Multi-label random oversampling (Charte, Rivera, del Jesus and Herrera, Neurocomputing 163,
    2015, "Addressing imbalance in multilabel classification").

    Labels whose IRLbl is above MeanIR take turns; at its turn a row with the label is drawn and
    repeated, with all its labels. A label whose IRLbl has come down to MeanIR takes no more turns.
    It ends when no label is left, or ``percentage`` of the rows have been added. MeanIR stays what
    it was; IRLbl counts repeats.

    Args:
        percentage: rows to add at most, in per cent of the rows; default: that of the examples of
            the authors' R package mldr.resampling.
        sampling_strategy, seed: see
            :class:`~hf_oversample.oversamplers.multi_label.MultiLabelOversampler`.
        copy_columns: without effect, as every column is a copy.

    Raises (in ``fit``):
        ValueError: besides the base class's, a named label whose IRLbl is not above MeanIR.

    Example:
        >>> from datasets import Dataset
        >>> labels = [["toxic"], ["toxic"], ["toxic", "threat"], ["toxic"], []]
        >>> rows = Dataset.from_dict({"text": list("abcde"), "label": labels})
        >>> balanced = MlRosOversampler(percentage=40).balance(rows)
        >>> balanced["text"][5:], balanced["parent"][5:]
        (['c'], [2])
    """

    _copies_rows = True

    def __init__(self, *, percentage: float = 25.0, **params: Any) -> None:
        super().__init__(**params)
        check_numbers(float, percentage=percentage)
        check_values(percentage=(percentage, percentage > 0, "above 0: per cent of the rows"))
        self.percentage = percentage

    def _plan(self, children: Mapping[int, int]) -> Plan:
        matrix = self._sets.matrix
        counts = self._sets.counts
        mean = mean_imbalance_ratio(counts)
        taking_turns = self.grown_labels().tolist()
        ratios = imbalance_ratios(counts)
        if frequent := [label for label in taking_turns if not ratios[label] > mean]:
            raise ValueError(
                f"label {self.known_labels_[frequent[0]]!r} of sampling_strategy has IRLbl "
                f"{ratios[frequent[0]]:.2f}, not above MeanIR {mean:.2f}: it is not rare, and "
                "ML-ROS repeats no rows for it; leave it out"
            )
        bags = {label: np.flatnonzero(matrix[:, label]) for label in taking_turns}
        turns = dict.fromkeys(taking_turns, 0)
        repeats = np.zeros(len(matrix), dtype=np.int64)
        left = int(len(matrix) * self.percentage / 100)
        counts = counts.copy()
        while left and taking_turns:
            for label in list(taking_turns):
                if not left:
                    break
                address = noise.stream("ml-ros"), label, turns[label]
                row = bags[label][int(noise.integers(len(bags[label]), self.seed, *address))]
                repeats[row] += 1
                counts += matrix[row]
                turns[label] += 1
                left -= 1
                if counts.max() <= mean * counts[label]:
                    taking_turns.remove(label)
        return _repeated(repeats, np.asarray(self.labels_, dtype=np.int64))

    def _make(self, batch: Mapping[str, list[Any]], positions: IntArray, plan: Plan) -> Children:
        return Children({}, origin=RESAMPLED)


def _repeated(repeats: IntArray, codes: IntArray) -> Plan:
    parents = np.repeat(np.arange(len(repeats)), repeats)
    child = np.arange(len(parents)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    return Plan.build(parents, child, codes[parents])
