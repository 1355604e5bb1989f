"""What a generator's critics say of a text: its mutual information with a class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from hf_oversample.models.miso.modeling_miso import MisoForAnchorGeneration
from hf_oversample.numeric.memory import work_in_batches
from hf_oversample.text.encoding import SMALLEST_BATCH, pad, token_budget_batches

# padded tokens of a batch
TOKEN_BUDGET = 8192


@torch.no_grad()
def critic_evidence(
    model: MisoForAnchorGeneration,
    rows: Sequence[np.ndarray],
    classes: np.ndarray,
    *,
    padding: int,
) -> np.ndarray:
    """
    The critics' pointwise mutual information of texts with a class against the majority (section
    4.2): positive where the critics place a text with the class.

    Args:
        model: the generator, with its reference bank.
        rows: n texts as token ids.
        classes: `[n]`, labels of the generator.
        padding: id of the padding token.

    Returns: `[n]` float32, in nats; a text's value does not depend on the others.
    """
    result = np.empty(len(rows), np.float32)

    def read(batch: np.ndarray, length: int) -> None:
        order = [*batch, *[batch[0]] * max(0, SMALLEST_BATCH - len(batch))]
        ids, mask = pad([rows[i] for i in order], padding, model.device, length)
        labels = torch.as_tensor(classes[order], device=model.device)
        values = model.evidence(model.miso(ids, mask).latents, labels)
        result[batch] = values[: len(batch)].float().cpu().numpy()

    batches = token_budget_batches([len(row) for row in rows], TOKEN_BUDGET)
    work_in_batches(batches, read, what="reading texts with the critics")
    return result
