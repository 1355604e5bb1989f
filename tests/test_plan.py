from __future__ import annotations

import pytest

from hf_oversample.oversamplers.plan import Plan


def test_plan_is_sorted_and_checked() -> None:
    plan = Plan.build([5, 2, 5], [1, 0, 0], [1, 2, 3], {"draw": [7, 8, 9]})
    assert plan.parent.tolist() == [2, 5, 5]
    assert plan.label.tolist() == [2, 3, 1]
    assert plan.extra["draw"].tolist() == [8, 9, 7]
    part, positions = plan.of_rows([5, 3, 2])
    assert part.label.tolist() == [3, 1, 2]
    assert positions.tolist() == [0, 0, 2]
    with pytest.raises(ValueError, match=r"children of row 5 are numbered \[0, 2\]"):
        Plan.build([5, 5], [0, 2], [1, 1])
    with pytest.raises(ValueError, match="parent has 1 entries, label has 2"):
        Plan.build([5], [0], [1, 1])
    with pytest.raises(ValueError, match="different extra arrays"):
        Plan.join([plan, Plan.from_counts([1], [1], 0)])
    assert len(Plan.join([])) == 0
