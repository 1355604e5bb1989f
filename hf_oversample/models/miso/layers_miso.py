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
    SFM (section 4.2): Q̄ = [softmax(QKᵀ/√τ) Q] softmax(QᵀK/(m√τ)) per head, then a feed-forward
    layer.

    Row i of Q and K is pair i of m: a difficult text and one of its majority neighbours. QKᵀ
    compares each difficult text with the batch's majority texts, τ says with how many; QᵀK/m gates
    features.

    Departures (PAPERS.md): QᵀK is a mean over the pairs, so that fusion is the same for any number
    of them; z = normalise(q + FFN[q; q̄; k]) with the FFN's last layer zero at first. Without a
    residual the attention averages every text into one, and without k z hardly depends on it.

    Args:
        latent_size: d of section 6.
        inputs: how many latents the feed-forward layer reads: 3 for SFM, q, q̄ and k; 2 for
            Q̃ = FFN(concat(K, Q)).
    """

    def __init__(self, latent_size: int, inputs: int = 3):
        super().__init__()
        self.widen = nn.Linear(inputs * latent_size, 4 * latent_size)
        self.narrow = nn.Linear(4 * latent_size, latent_size)

    @staticmethod
    def weights(queries: Tensor, keys: Tensor, temperature: Tensor | float) -> Tensor:
        """softmax(QKᵀ/√τ) of texts `[n, h, d]` over keys `[m, h, d]`: `[h, n, m]`."""
        scores = torch.einsum("nhd,mhd->hnm", queries, keys)
        return torch.softmax(scores / temperature**0.5, dim=-1)

    @staticmethod
    def gate(queries: Tensor, keys: Tensor, temperature: Tensor | float) -> Tensor:
        """softmax(QᵀK/(m√τ)) of m pairs `[m, h, d]` each, over the features: `[h, d, d]`."""
        scores = torch.einsum("mhd,mhe->hde", queries, keys) / queries.shape[0]
        return torch.softmax(scores / temperature**0.5, dim=-1)

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
        weights = SemanticFusion.weights(queries, bank_keys, temperature)
        attended = torch.einsum("hnm,mhd->hnd", weights, bank_queries)
        gate = SemanticFusion.gate(bank_queries, bank_keys, temperature)
        return torch.einsum("hnd,hde->nhe", attended, gate)

    @staticmethod
    def neighbors(queries: Tensor, bank_keys: Tensor, temperature: Tensor | float) -> Tensor:
        """
        What stands for k where a text `[n, h, d]` comes without a majority text: the majority texts
        `[m, h, d]` that it attends to, as one latent `[n, h, d]`.
        """
        weights = SemanticFusion.weights(queries, bank_keys, temperature)
        return normalize_latents(torch.einsum("hnm,mhd->nhd", weights, bank_keys))

    def fuse(self, queries: Tensor, *others: Tensor) -> Tensor:
        """normalise(q + FFN[q; others]), `[n, h, d]` each → `[n, h, d]`."""
        hidden = F.gelu(self.widen(torch.cat([queries, *others], dim=-1)))
        return normalize_latents(queries + self.narrow(hidden))

    def forward(
        self,
        queries: Tensor,
        keys: Tensor,
        temperature: Tensor | float,
        all_queries: Tensor | None = None,
        all_keys: Tensor | None = None,
    ) -> Tensor:
        """
        z of a batch of pairs, `[n, h, d]` twice → `[n, h, d]`; where the batch is a part of a
        larger one, whose pairs are attended over, those are `all_queries` and `all_keys`
        `[m, h, d]`.
        """
        bank_queries = queries if all_queries is None else all_queries
        bank_keys = keys if all_keys is None else all_keys
        attended = self.attend(queries, bank_queries, bank_keys, temperature)
        return self.fuse(queries, attended, keys)


@torch.no_grad()
def attention_perplexity(
    queries: Tensor, keys: Tensor, temperature: Tensor | float
) -> tuple[float, float]:
    """
    How many pairs, and how many features, SFM's two attentions spread over: exp of their mean
    entropies.

    Args:
        queries, keys: latents of n pairs, `[n, h, d]` each.
        temperature: τ.

    Returns: from 1 to n, of softmax(QKᵀ/√τ); and from 1 to d, of softmax(QᵀK/(n√τ)).
    """
    weights = SemanticFusion.weights(queries, keys, temperature)
    gate = SemanticFusion.gate(queries, keys, temperature)
    pairs, features = (
        float(torch.special.entr(one.float()).sum(-1).mean().exp()) for one in (weights, gate)
    )
    return pairs, features


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


__all__ = [
    "LatentPooling",
    "SemanticFusion",
    "TokenHead",
    "attention_perplexity",
    "normalize_latents",
]
