from __future__ import annotations

import numpy as np
import pytest

from hf_oversample.metrics.embeddings import hard_to_differentiate_ratio


def test_by_hand() -> None:
    # Along (3, 4)/5, at 0 … 10, ten bins of width 1; a second direction with less spread.
    majority, minority = [0, 0.2, 0.4, 1.5, 2.5, 10], [0.5, 0.7, 2.2, 7.5]
    places = np.array(majority + minority)
    rows = np.outer(places, [0.6, 0.8]) + np.outer([0.1, -0.1] * 5, [-0.8, 0.6])
    labels = np.array([0] * 6 + [1] * 4)
    # Bins 0: 3 and 2, so 2; 1: 1 and 0; 2: 1 and 1, so 1; 7: 0 and 1; 9: 1 and 0.
    assert hard_to_differentiate_ratio(rows, labels, bins=10) == 3 / 4
    assert hard_to_differentiate_ratio(rows, labels, bins=1) == 1
    assert hard_to_differentiate_ratio(rows + np.array([5, -3]), labels, bins=10) == 3 / 4
    assert hard_to_differentiate_ratio(rows, 1 - labels, bins=10) == 3 / 6


def test_separate_and_equal_classes() -> None:
    line = np.arange(40.0)[:, None]
    assert hard_to_differentiate_ratio(line, np.arange(40) >= 30, bins=40) == 0
    twice = np.concatenate([line, line])
    assert hard_to_differentiate_ratio(twice, np.arange(80) >= 40, bins=8) == 1


def test_errors() -> None:
    rows = np.zeros((3, 2))
    for labels in ([0, 0, 0], [0, 1, 2]):
        with pytest.raises(ValueError, match="both 0 and 1 are needed"):
            hard_to_differentiate_ratio(rows, labels)
    with pytest.raises(ValueError, match="have shape"):
        hard_to_differentiate_ratio(rows, [0, 1])
    with pytest.raises(ValueError, match="bins=0"):
        hard_to_differentiate_ratio(rows, [0, 1, 1], bins=0)
    rows[1, 1] = np.nan
    with pytest.raises(ValueError, match="embedding 1 holds NaN"):
        hard_to_differentiate_ratio(rows, [0, 1, 1])
