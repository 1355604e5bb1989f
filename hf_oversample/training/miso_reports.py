"""What MISO's parts do in phase 3: whether critics see pairs, and z its majority text."""

from __future__ import annotations

import torch
from torch import Tensor

from hf_oversample.models.miso.layers_miso import attention_perplexity
from hf_oversample.models.miso.losses_miso import effective_rank, score_shares
from hf_oversample.models.miso.modeling_miso import MisoForAnchorGeneration

# texts of a batch whose scores with each other are looked at
REPORTED_ROWS = 16


def critic_report(
    model: MisoForAnchorGeneration, q: Tensor, k: Tensor, z: Tensor
) -> dict[str, float]:
    """
    What the minority's critic looks at, for pairs and their z `[n, h, d]`: `critic/class`, the
    share of the variance of its scores that b's class explains (z or a majority text), and
    `critic/pair`, the share that neither a nor b explains by itself (`score_shares`).
    """
    few = slice(0, REPORTED_ROWS)
    of_class, of_pair = score_shares(
        model.minority_critic, model.config.critic_mode, q[few], [z[few], k[few]]
    )
    return {"critic/class": of_class, "critic/pair": of_pair}


@torch.no_grad()
def fusion_report(
    model: MisoForAnchorGeneration, q: Tensor, k: Tensor, z: Tensor, temperature: float
) -> dict[str, float]:
    """
    What SFM makes of pairs `[n, h, d]`.

    Returns: `attention/pairs` and `attention/features`, the perplexities of `attention_perplexity`
    as shares of the n pairs and d features, from almost 0 (one-hot) to 1 (uniform); and `z/swap`,
    how far z moves when a text is paired with the next pair's majority text, as a share of the
    distance between the two majority texts: 0 where z ignores k.
    """
    pairs, features = attention_perplexity(q, k, temperature)
    other = k.roll(1, 0)
    moved = (model.miso.fusion(q, other, temperature) - z).norm() / (other - k).norm().clamp(1e-6)
    return {
        "attention/pairs": pairs / len(q),
        "attention/features": features / q.shape[-1],
        "z/swap": float(moved),
    }


def spread_report(q: Tensor, z: Tensor) -> dict[str, float]:
    """
    Whether SFM collapses, for latents `[n, h, d]`: all z alike have no spread and rank 1
    (PAPERS.md). `z/spread` is z's standard deviation over the texts as a share of q's, `z/rank` the
    effective rank.
    """
    return {
        "z/spread": (z.std(0).mean() / q.std(0).mean()).item(),
        "z/rank": float(effective_rank(z)),
    }
