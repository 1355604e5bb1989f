"""A training that diverges says which term it was, and saves nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from hf_oversample.training.miso import MisoTrainer
from hf_oversample.training.miso_objectives import GeneratorObjective
from miso_fixtures import arguments
from miso_training_runs import train


@pytest.mark.parametrize(
    ("phase", "step", "part", "term"),
    [
        ("pretrain", 2, "reconstruction", "reconstruction"),
        ("pretrain", 2, "filling", "filling"),
        ("adversarial", 9, "filling", "filling"),
    ],
)
def test_a_loss_that_is_not_finite_stops_training(
    phase: str, step: int, part: str, term: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    original = getattr(GeneratorObjective, phase)

    def poisoned(self: Any, batch: Any, *inputs: Any) -> Any:
        calls.append(phase)
        losses = original(self, batch, *inputs)
        if len(calls) == (step - 8 if phase == "adversarial" else step) + 1:
            losses[part] = losses[part] * float("nan")
            losses["loss"] = losses.get("loss", 0.0) + losses[part]
        return losses

    monkeypatch.setattr(GeneratorObjective, phase, poisoned)
    with pytest.raises(
        FloatingPointError, match=f"{term}' is nan at step {step} of phase '{phase}'"
    ):
        train(arguments(save_steps=20), output_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("phase", ["pretrain", "critics", "adversarial"])
def test_weights_that_are_not_finite_stop_training(
    phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = getattr(MisoTrainer, f"_{phase.removesuffix('s')}_step")

    def poisoned(self: MisoTrainer, step: int, progress: float) -> Any:
        with torch.no_grad():
            self.model.miso.pooling.value.weight[0, 0] = float("nan")
            self.model.minority_critic.layers[0].weight[0, 0] = float("nan")
        return original(self, step, progress)

    monkeypatch.setattr(MisoTrainer, f"_{phase.removesuffix('s')}_step", poisoned)
    with pytest.raises(FloatingPointError, match=f"of phase '{phase}': training diverged"):
        train()
