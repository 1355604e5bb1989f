"""Losses of a MISO generator on texts that it is not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from hf_oversample.training.miso_objectives import GeneratorObjective


@torch.no_grad()
def validation_losses(
    objective: GeneratorObjective, batches: Sequence[dict[str, Any]]
) -> dict[str, float]:
    """
    The generator's language losses, in evaluation mode.

    Args:
        objective: holds the generator, which is left in evaluation mode.
        batches: those of `MisoBatches.validation`, whose masks are fixed by the seed.

    Returns: `reconstruction` (not of an editor) and `filling` in nats, the mean over texts.

    Raises:
        ValueError: if there are no batches.
    """
    if not batches:
        raise ValueError("There are no validation texts: give the trainer some.")
    objective.model.eval()
    totals = {"reconstruction": 0.0, "filling": 0.0}
    if objective.model.config.parts == "editor":
        del totals["reconstruction"]
    rows = 0
    for batch in batches:
        (part,), classes = batch["groups"], batch["classes"]
        if "reconstruction" in totals:
            latents = objective.latents(part["ids"], part["mask"])
            loss = objective.reconstruction(part["ids"], part["mask"], latents, classes)
            totals["reconstruction"] += len(classes) * float(loss)
        totals["filling"] += len(classes) * float(objective.filling([part], classes, None))
        rows += len(classes)
    return {name: value / rows for name, value in totals.items()}
