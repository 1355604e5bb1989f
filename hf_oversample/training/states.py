"""What the encoder makes of the training texts, in evaluation mode and in a fixed order."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hf_oversample.models.miso.modeling_miso import MisoForAnchorGeneration
from hf_oversample.training.batches import MisoBatches

ROWS_AT_A_TIME = 256


@torch.no_grad()
def latents_of_rows(
    model: MisoForAnchorGeneration,
    batches: MisoBatches,
    rows: np.ndarray,
    *,
    bfloat16: bool,
) -> Tensor:
    """q of training rows `[n]`, by products in bfloat16 or not: `[n, h, d]` float32."""
    model.eval()
    parts = []
    for start in range(0, len(rows), ROWS_AT_A_TIME):
        ids, mask = batches.padded(rows[start : start + ROWS_AT_A_TIME])
        with torch.autocast(model.device.type, torch.bfloat16, enabled=bfloat16):
            parts.append(model.miso(ids, mask).latents.float())
    return torch.cat(parts)


@torch.no_grad()
def mean_states(
    model: MisoForAnchorGeneration, batches: MisoBatches, rows: np.ndarray
) -> np.ndarray:
    """
    The space of neighbours (section 7.1): the mean of the encoder's states, scaled to length 1.

    Args:
        model: the generator, whose shared encoder is used.
        batches: holds the training texts.
        rows: which of them, `[n]`.

    Returns: `[n, hidden]` float32.
    """
    model.eval()
    order = np.argsort([len(batches.encoded[row]) for row in rows], kind="stable")
    result = np.empty((len(rows), model.config.hidden_size), np.float32)
    for start in range(0, len(order), ROWS_AT_A_TIME):
        part = order[start : start + ROWS_AT_A_TIME]
        ids, mask = batches.padded(rows[part])
        states = model.miso.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        weight = mask.unsqueeze(-1).to(states.dtype)
        mean = (states * weight).sum(1) / weight.sum(1)
        result[part] = torch.nn.functional.normalize(mean.float(), dim=-1).cpu().numpy()
    return result
