"""Texts as token ids to one vector each: batches, pooling, length 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from hf_oversample.numeric.memory import work_in_batches
from hf_oversample.text.encoding import (
    SMALLEST_BATCH,
    pad,
    token_budget_batches,
)

Pooling = Literal["mean", "cls", "latent"]
POOLINGS = ("mean", "cls", "latent")


def pool_states(states: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """Encoder states `[n, l, d]` → `[n, d]`: the mean over tokens, or the first token's state."""
    if pooling == "cls":
        return states[:, 0]
    weight = mask.unsqueeze(-1).to(states.dtype)
    return (states * weight).sum(1) / weight.sum(1).clamp(min=1)


@torch.no_grad()
def embed_token_ids(
    model: PreTrainedModel,
    rows: Sequence[np.ndarray],
    *,
    padding: int,
    pooling: Pooling = "mean",
    normalize: bool = True,
    token_budget: int = 8192,
) -> np.ndarray:
    """
    Embeddings of token-id rows: `[n, width]` float32, the same for every order and batch of the
    rows.

    Args:
        model: an encoder; with pooling "latent" a `MisoModel`.
        rows: n texts as token ids.
        padding: id of the padding token.
        pooling: "mean", "cls" or "latent" (the latents `[heads, latent_size]`, flattened).
        normalize: scale embeddings to length 1.
        token_budget: padded tokens of a batch; a batch holds texts of one padded length.
    """
    was_training = model.training
    model.eval()
    result: np.ndarray | None = None

    def embed(batch: np.ndarray, length: int) -> None:
        nonlocal result
        filler = [batch[0]] * max(0, SMALLEST_BATCH - len(batch))
        ids, mask = pad([rows[i] for i in [*batch, *filler]], padding, model.device, length)
        output = model(input_ids=ids, attention_mask=mask)
        if pooling == "latent":
            values = output.latents.flatten(1)
        else:
            values = pool_states(output.last_hidden_state, mask, pooling)
        values = values[: len(batch)].float()
        if normalize:
            values = torch.nn.functional.normalize(values, dim=-1)
        if result is None:
            result = np.empty((len(rows), values.shape[1]), np.float32)
        result[batch] = values.cpu().numpy()

    batches = token_budget_batches([len(row) for row in rows], token_budget)
    work_in_batches(batches, embed, what="embedding texts")
    model.train(was_training)
    return result if result is not None else np.empty((0, width_of(model, pooling)), np.float32)


def width_of(model: PreTrainedModel, pooling: Pooling) -> int:
    """Values of an embedding by a model."""
    if pooling == "latent":
        return model.config.num_latent_heads * model.config.latent_size
    return model.config.get_text_config().hidden_size
