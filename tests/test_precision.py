"""One process trains in several precisions, one after the other."""

from __future__ import annotations

import pytest
from accelerate import Accelerator

from hf_oversample.numeric.precision import leave_other_precision


@pytest.mark.parametrize("order", [("no", "bf16", "no"), ("bf16", "bf16", "no")])
def test_each_accelerator_has_the_precision_asked_for(order: tuple[str, ...]) -> None:
    for precision in order:
        leave_other_precision(precision)
        accelerator = Accelerator(mixed_precision=precision, cpu=True)
        assert accelerator.mixed_precision == precision
        assert accelerator.num_processes == 1


def test_accelerate_alone_refuses() -> None:
    """If this fails, accelerate has learnt it, and `leave_other_precision` can go."""
    leave_other_precision("no")
    Accelerator(mixed_precision="no", cpu=True)
    with pytest.raises(ValueError, match="already been initialized"):
        Accelerator(mixed_precision="bf16", cpu=True)
