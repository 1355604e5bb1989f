"""The targets by name: a function of bytes and an empty folder, and inputs to begin with."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from fuzzing.engine import Run

# Strings, so that none is imported before its use.
TARGETS: dict[str, tuple[str, str, str]] = {
    "readers": ("readers", "run", "seeds"),
    "made": ("readers", "run_made", "made_seeds"),
    "strategies": ("strategies", "run", "seeds"),
    "configurations": ("saved", "run_models", "model_seeds"),
    "saved": ("saved", "run", "seeds"),
    "saved-models": ("saved", "run_large", "seeds"),
    "records": ("records", "run", "seeds"),
    "checkpoints": ("records", "run_checkpoints", "checkpoint_seeds"),
}


@dataclass(frozen=True)
class Target:
    """
    Args:
        run: raises `Fault` where the contract is broken.
        seeds: makes inputs to begin with.
    """

    run: Run
    seeds: Callable[[], list[bytes]]


def target_named(name: str) -> Target:
    """One of `TARGETS`."""
    module, run, seeds = TARGETS[name]
    found = importlib.import_module(f"fuzzing.{module}")
    return Target(getattr(found, run), getattr(found, seeds))
