"""MISO's losses (section 4.2): mutual-information critics ("MI Loss"), discriminators ("CAG")."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class MutualInformationCritic(nn.Module):
    """
    T_ω(a, b) of MINE (Belghazi et al., 2018): scores a pair of latents.

    The input is [a; b; a·b]: the elementwise product spares a small network learning to multiply.
    Scores are bounded softly, `limit · tanh(T / limit)`, because a Donsker–Varadhan bound at batch
    size n cannot exceed about ln n and an unbounded critic trades its variance for nothing.

    Args:
        size: width of a and of b.
        hidden_size: width of the two hidden layers.
        score_limit: bound of |T|; 0 leaves the scores unbounded.
    """

    def __init__(self, size: int, hidden_size: int = 256, score_limit: float = 5.0):
        super().__init__()
        self.score_limit = score_limit
        self.layers = nn.Sequential(
            nn.Linear(3 * size, hidden_size),
            nn.SiLU(),
            nn.Linear(hidden_size, hidden_size),
            nn.SiLU(),
            nn.Linear(hidden_size, 1),
        )

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Scores of the pairs (a_i, b_i): `[n, size]` twice → `[n]`."""
        scores = self.layers(torch.cat([a, b, a * b], dim=-1)).squeeze(-1)
        if self.score_limit:
            scores = self.score_limit * torch.tanh(scores / self.score_limit)
        return scores


def derangement(
    n: int, generator: torch.Generator | None = None, device: torch.device | None = None
) -> Tensor:
    """
    A random permutation of n items without fixed points (a uniform n-cycle), so that no item is
    its own negative: `[n]` int64. An item that stands twice in a batch can be its twin's.

    Raises:
        ValueError: if n < 2, since a single item has no other place.
    """
    if n < 2:
        raise ValueError(
            f"A batch of {n} has no derangement: mutual information needs at least 2 pairs in a "
            "batch."
        )
    order = torch.randperm(n, generator=generator)
    result = torch.empty_like(order)
    result[order] = order.roll(-1)
    return result.to(device) if device is not None else result


def donsker_varadhan(joint: Tensor, product: Tensor) -> Tensor:
    """
    E_joint[T] − log E_product[e^T] (section 4.2) of scores `[n]` each: a scalar in nats.

    A lower bound of a mutual information only where the product pairs are those of the joint's two
    marginals.
    """
    return joint.float().mean() - (torch.logsumexp(product.float(), 0) - math.log(product.numel()))


def jensen_shannon(joint: Tensor, product: Tensor) -> Tensor:
    """
    The Jensen–Shannon bound −E[softplus(−T)] − E[softplus(T)] of scores `[n]` each: a scalar,
    better behaved for training, not in nats.
    """
    return -F.softplus(-joint.float()).mean() - F.softplus(product.float()).mean()


class CriticObjective(nn.Module):
    """
    What one critic ascends, with the state that its gradient needs.

    With `"dv"` the batch gradient of log E[e^T] is biased; MINE divides by a moving average of
    E[e^T] instead (Belghazi et al., section 3.2). With `"jsd"` there is no such state.

    Args:
        bound: `"dv"` (default) or `"jsd"`.
        decay: of the moving average.

    Raises:
        ValueError: for another bound.
    """

    def __init__(self, bound: str = "dv", decay: float = 0.99):
        super().__init__()
        if bound not in ("dv", "jsd"):
            raise ValueError(f"The critics' bound is {bound!r}; it must be 'dv' or 'jsd'.")
        self.bound, self.decay = bound, decay
        # log of the moving average of E[e^T]; NaN until the first batch
        self.log_average = nn.Buffer(torch.tensor(float("nan")))

    def forward(self, joint: Tensor, product: Tensor) -> Tensor:
        """The loss to descend (its gradient is that of minus the bound): a scalar."""
        if self.bound == "jsd":
            return -jensen_shannon(joint, product)
        log_mean = torch.logsumexp(product.float(), 0) - math.log(product.numel())
        with torch.no_grad():
            now = log_mean.detach()
            if self.training:
                self.log_average.copy_(
                    now
                    if torch.isnan(self.log_average)
                    else torch.logaddexp(
                        self.log_average + math.log(self.decay), now + math.log(1 - self.decay)
                    )
                )
            average = torch.where(torch.isnan(self.log_average), now, self.log_average)
        # d/dω of exp(log_mean − average) is the EMA-corrected gradient of log E[e^T]
        return torch.exp(log_mean - average) - joint.float().mean()


class SurfaceDiscriminator(nn.Module):
    """
    D_φ of section 4.2, one hidden layer: real against generated, on the mean of a text's token
    embeddings.

    Args:
        size: width of a token embedding.
        hidden_size: width of the hidden layer.
    """

    def __init__(self, size: int, hidden_size: int = 128):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(size, hidden_size), nn.LeakyReLU(0.2), nn.Linear(hidden_size, 1)
        )

    def forward(self, token_embeddings: Tensor, mask: Tensor) -> Tensor:
        """Token embeddings `[n, l, size]`, mask `[n, l]` → logits `[n]`, positive for "real"."""
        weight = mask.unsqueeze(-1).to(token_embeddings.dtype)
        pooled = (token_embeddings * weight).sum(1) / weight.sum(1).clamp(min=1)
        return self.layers(pooled).squeeze(-1)


def discriminator_loss(real: Tensor, generated: Tensor) -> Tensor:
    """−E[log D(x)] − E[log(1 − D(E(x)))] from logits `[n]` each: what φ descends, a scalar."""
    return F.softplus(-real.float()).mean() + F.softplus(generated.float()).mean()


def adversarial_loss(generated: Tensor) -> Tensor:
    """−E[log D(E(x))] from logits `[n]`: the non-saturating form of what ψ and σ descend."""
    return F.softplus(-generated.float()).mean()


def straight_through_embeddings(
    logits: Tensor, embeddings: Tensor, temperature: float, noise: Tensor | None = None
) -> Tensor:
    """
    Embeddings of sampled tokens through which a gradient reaches the logits (Straight-Through
    Gumbel–softmax).

    Args:
        logits: `[n, v]` over the tokens that can be written.
        embeddings: `[v, size]`, theirs.
        temperature: of the softmax whose gradient is taken.
        noise: `[n, v]` Gumbel noise; none takes the most likely token.

    Returns: `[n, size]`, in value the embeddings of the chosen tokens.
    """
    noisy = logits if noise is None else logits + noise
    soft = torch.softmax(noisy.float() / temperature, dim=-1).to(embeddings.dtype) @ embeddings
    hard = embeddings[noisy.argmax(-1)]
    return soft + (hard - soft).detach()


def critic_pairs(
    mode: str, q: Tensor, k: Tensor, z: Tensor | None, generator: torch.Generator | None = None
) -> dict[str, tuple[Tensor, Tensor, Tensor, Tensor]]:
    """
    Which latents each critic is to compare, for a batch of n pairs (section 4.2, "MI Loss").

    * `"instance"`: the paper's. I(K; Q̄) and I(Q; Q̄) over the n·h triples of section 4.2,
      negatives a derangement.
    * `"class"`: a critic sees two texts and tells a pair of one class from a pair of a text and the
      mixture of both classes, so that at its optimum its score is the pointwise mutual information
      of a latent with the class; z is scored against texts of the class. What moves z is no mutual
      information with Q̄: the product pairs of `"…_of_z"` do not hold z, they only normalise the
      critic's scores.
    * `"pair"`: both of these, half of the pairs each, over whole latents: a text and its own z
      against the z of another, and a text and one of its class against the mixture.

    In `"class"` and `"pair"` what moves z moves nothing else: texts are where they are, so that q
    and k get no gradient but through z.

    Args:
        mode: `"class"`, `"pair"` or `"instance"`.
        q, k, z: `[n, h, d]`, latents of minority texts, of their majority neighbours, and fused.
            Critics of classes learn without z, which may be None then.
        generator: of the derangements; on the CPU.

    Returns: for "minority" and "majority" (a, b, a', b'): joint pairs (a_i, b_i) and product pairs
    (a'_i, b'_i), for the critics' own ascent under `"…"` and, where there is z, for what moves it
    under `"…_of_z"`; each `[m, width]`.

    Raises:
        ValueError: without z in a mode whose critics learn from it.
    """
    if z is None and mode != "class":
        raise ValueError(f"Critics of mode {mode!r} learn from z, and none is given.")
    n = q.shape[0]
    if mode == "instance":
        assert z is not None
        order = derangement(n, generator, q.device)
        pairs = {}
        for name, a in {"minority": q, "majority": k}.items():
            parts = (a, z, a, z[order])
            first, second, third, fourth = (latents.flatten(0, 1) for latents in parts)
            pairs[name] = (first, second, third, fourth)
        return pairs | {f"{name}_of_z": value for name, value in pairs.items()}
    q, k = q.flatten(1), k.flatten(1)
    first, second = (derangement(n, generator, q.device) for _ in range(2))
    from_majority = (torch.rand(n, generator=generator) < 0.5).to(q.device).unsqueeze(1)
    mixture = torch.where(from_majority, k[second], q[second])
    result = {}
    for name, own in {"minority": q, "majority": k}.items():
        result[name] = (own, own[first], own, mixture)
        if z is None:
            continue
        moved, still = z.flatten(1), own.detach()
        of_class = (still[first], moved, still, mixture.detach())
        if mode == "class":
            result[f"{name}_of_z"] = of_class
            continue
        of_pair = (still, moved, still, moved[first])
        for side, added in {name: result[name], f"{name}_of_z": of_class}.items():
            a, b, c, d = (torch.cat(both) for both in zip(added, of_pair, strict=True))
            result[side] = (a, b, c, d)
    return result


@torch.no_grad()
def score_shares(
    critic: MutualInformationCritic, mode: str, a: Tensor, groups: Sequence[Tensor]
) -> tuple[float, float]:
    """
    What a critic's scores T(a_i, b_j) of all pairs depend on: shares of their variance.

    Args:
        critic: T.
        mode: as `critic_pairs`.
        a: `[n, h, d]`.
        groups: b, in groups of equal size and like class, `[m, h, d]` each: z and k, say.

    Returns: the share between the groups, what the critic sees of b's class; and the share that is
        of the pair alone, neither of a_i nor of b_j. Both from 0 to 1; 0 where all scores are
        equal.
    """
    b = torch.cat(list(groups))
    left = a.unsqueeze(1).expand(-1, len(b), -1, -1)
    right = b.unsqueeze(0).expand(len(a), -1, -1, -1)
    if mode == "instance":
        scores = critic(left, right).mean(-1)
    else:
        scores = critic(left.flatten(2), right.flatten(2))
    scores = scores.double()
    rows, columns = scores.mean(1, keepdim=True), scores.mean(0, keepdim=True)
    total = scores.var(correction=0)
    if not total > 0:
        return 0.0, 0.0
    of_groups = torch.stack([part.mean() for part in scores.chunk(len(groups), dim=1)])
    of_pairs = scores - rows - columns + scores.mean()
    return (
        float(of_groups.var(correction=0) / total),
        float(of_pairs.square().mean() / total),
    )


def effective_rank(latents: Tensor) -> Tensor:
    """
    exp of the entropy of the normalised singular values of the centred latents `[n, …]` (Roy &
    Vetterli, 2007): a scalar from 1 to n − 1, NaN where a latent is not finite.
    """
    flat = latents.detach().float().flatten(1)
    if not torch.isfinite(flat).all():  # the decomposition would raise
        return flat.new_tensor(float("nan"))
    values = torch.linalg.svdvals(flat - flat.mean(0))
    share = values / values.sum().clamp(min=1e-12)
    return torch.exp(-(share * share.clamp(min=1e-12).log()).sum())


__all__ = [
    "CriticObjective",
    "MutualInformationCritic",
    "SurfaceDiscriminator",
    "adversarial_loss",
    "critic_pairs",
    "derangement",
    "discriminator_loss",
    "donsker_varadhan",
    "effective_rank",
    "jensen_shannon",
    "score_shares",
    "straight_through_embeddings",
]
