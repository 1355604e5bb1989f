"""What a trainer does about a loss that is no longer a number."""

from __future__ import annotations

import math
from collections.abc import Mapping


def check_finite(losses: Mapping[str, float], place: str, remedy: str) -> None:
    """
    Stop a training that diverged, before anything of it is saved.

    Args:
        losses: term → value.
        place: where in the run they were seen, such as "step 3".
        remedy: a sentence that says what to do.

    Raises:
        FloatingPointError: if a value is not finite; the message names the term.
    """
    for name, value in losses.items():
        if not math.isfinite(value):
            raise FloatingPointError(
                f"The term {name!r} is {value} at {place}: training diverged, and nothing is saved "
                f"of it. {remedy}"
            )
