"""Sampling from a language model as a function of addressed noise."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from transformers import LogitsProcessor

from hf_oversample.numeric import noise


class KeyedGumbel(LogitsProcessor):
    """
    Sampling as a function of (seed, key, step): Gumbel noise on the logits that can be drawn, of
    which greedy decoding takes the best.

    Args:
        keys: `[n, c]` int, of the texts that are decoded.
        seed: of every draw.
        stream: name of the use, which keeps its draws apart from others' (`noise.stream`).
        temperature: positive.
        top_k: the most likely tokens that can be drawn.
        top_p: of these, the fewest whose probabilities add up to it (nucleus sampling).
    """

    def __init__(
        self,
        keys: np.ndarray,
        seed: int,
        stream: str,
        temperature: float,
        top_k: int,
        top_p: float = 1.0,
    ):
        self.keys, self.seed, self.stream = keys, seed, noise.stream(stream)
        self.temperature, self.top_k, self.top_p = temperature, top_k, top_p

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Next logits `[n, vocabulary]` → perturbed ones, the lowest value where none is drawn."""
        lowest = torch.finfo(scores.dtype).min
        top = torch.topk(scores, min(self.top_k, scores.shape[1]), dim=1)
        columns = [self.keys[:, c : c + 1] for c in range(self.keys.shape[1])]
        tokens = top.indices.cpu().numpy()
        drawn = noise.gumbel(self.seed, self.stream, *columns, input_ids.shape[1], tokens)
        logits = top.values.float() / self.temperature
        values = logits + torch.as_tensor(drawn, device=scores.device).float()
        # what was ruled out before stays ruled out
        out = ~torch.isfinite(top.values) | (top.values <= lowest)
        if self.top_p < 1:
            shares = torch.softmax(logits, 1)
            out = out | (shares.cumsum(1) - shares >= self.top_p)  # the first always stays
        values = values.masked_fill(out, lowest)
        return torch.full_like(scores, lowest).scatter(1, top.indices, values.to(scores.dtype))
