"""What MISO's training leaves besides its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class MisoTrainingRecord:
    """
    What a training run leaves besides its weights.

    Args:
        losses: phase → term → last value; `validation/…` at the phase's end. `I(Q)` and `I(K)` are
            the critics' values of z, and the paper's mutual informations only with
            `critic_mode="instance"` (`training.miso_objectives.information`).
        history: what was reported, each entry with its phase and step.
        seconds, steps: phase → seconds and steps that it took.
        cut_short: phase → the steps that were asked for, of phases that `max_train_seconds` ended.
        stopped_at: the step that the run was asked to stop after.
    """

    losses: dict[str, dict[str, float]] = field(default_factory=dict)
    history: list[dict[str, float | str]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    cut_short: dict[str, int] = field(default_factory=dict)
    stopped_at: int | None = None

    def note(self, phase: str, losses: Mapping[str, float]) -> None:
        """Keep the last values of a phase's terms; terms that are not given keep theirs."""
        self.losses.setdefault(phase, {}).update(losses)

    def to_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps: where this run stopped is not the next one's."""
        return {name: value for name, value in asdict(self).items() if name != "stopped_at"}
