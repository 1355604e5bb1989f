"""MISO's layers: pooling to latents, their fusion (section 4.2, "SFM"), and the output heads."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def normalize_latents(latents: Tensor) -> Tensor:
    """Each slot of `[…, d]` to mean 0 and variance 1: one scale before and after fusion."""
    return F.layer_norm(latents, latents.shape[-1:])


class LatentPooling(nn.Module):
    """
    h attention-pooling heads over token states: a text of any length becomes a latent of one size.

    Args:
        hidden_size: width of the token states.
        heads, latent_size: h and d of section 6.
    """

    def __init__(self, hidden_size: int, heads: int, latent_size: int):
        super().__init__()
        self.heads, self.latent_size = heads, latent_size
        self.queries = nn.Parameter(torch.empty(heads, latent_size))
        self.key = nn.Linear(hidden_size, heads * latent_size)
        self.value = nn.Linear(hidden_size, heads * latent_size)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """States `[n, l, hidden]`, mask `[n, l]` → `[n, heads, latent_size]`, without padding."""
        shape = (*states.shape[:2], self.heads, self.latent_size)
        keys, values = self.key(states).view(shape), self.value(states).view(shape)
        scores = torch.einsum("nlhd,hd->nhl", keys, self.queries) / self.latent_size**0.5
        scores = scores.masked_fill(~mask.bool().unsqueeze(1), torch.finfo(scores.dtype).min)
        return normalize_latents(torch.einsum("nhl,nlhd->nhd", torch.softmax(scores, -1), values))


class SemanticFusion(nn.Module):
    """
    SFM (section 4.2): Q̄ = [softmax(QKᵀ/√τ) Q] softmax(QᵀK/√τ) per head, then a feed-forward layer.

    Row i of Q and K is pair i: a difficult text and one of its majority neighbours. QKᵀ compares
    each difficult text with the batch's majority texts, τ says with how many; QᵀK gates features.

    Departure: z = normalise(q + FFN[q; q̄]) with the FFN's last layer zero at first. Without a
    residual the attention averages every text into one.

    Args:
        latent_size: d of section 6.
    """

    def __init__(self, latent_size: int):
        super().__init__()
        self.widen = nn.Linear(2 * latent_size, 4 * latent_size)
        self.narrow = nn.Linear(4 * latent_size, latent_size)

    @staticmethod
    def attend(
        queries: Tensor, bank_queries: Tensor, bank_keys: Tensor, temperature: Tensor | float
    ) -> Tensor:
        """
        Q̄ of texts against pairs: in training those of the batch itself (m = n).

        Args:
            queries: `[n, h, d]`, latents of the texts.
            bank_queries, bank_keys: `[m, h, d]`, both sides of the pairs.
            temperature: τ, positive.

        Returns: `[n, h, d]`.
        """
        scale = temperature**0.5
        weights = torch.softmax(torch.einsum("nhd,mhd->hnm", queries, bank_keys) / scale, dim=-1)
        attended = torch.einsum("hnm,mhd->hnd", weights, bank_queries)
        gate = torch.softmax(torch.einsum("mhd,mhe->hde", bank_queries, bank_keys) / scale, dim=-1)
        return torch.einsum("hnd,hde->nhe", attended, gate)

    def fuse(self, queries: Tensor, other: Tensor) -> Tensor:
        """normalise(q + FFN[q; other]), `[n, h, d]` twice → `[n, h, d]`."""
        hidden = F.gelu(self.widen(torch.cat([queries, other], dim=-1)))
        return normalize_latents(queries + self.narrow(hidden))

    def forward(self, queries: Tensor, keys: Tensor, temperature: Tensor | float) -> Tensor:
        """z of a batch of pairs, `[n, h, d]` twice → `[n, h, d]`."""
        return self.fuse(queries, self.attend(queries, queries, keys, temperature))


class TokenHead(nn.Module):
    """
    Dense, GELU, LayerNorm: states to be multiplied with the word embeddings (BERT's masked-LM
    head).

    Args:
        hidden_size: width of the states.
    """

    def __init__(self, hidden_size: int):
        super().__init__()
        self.dense = nn.Linear(hidden_size, hidden_size)
        self.norm = nn.LayerNorm(hidden_size)

    def forward(self, states: Tensor) -> Tensor:
        """`[…, hidden]` → the same shape."""
        return self.norm(F.gelu(self.dense(states)))


__all__ = ["LatentPooling", "SemanticFusion", "TokenHead", "normalize_latents"]
