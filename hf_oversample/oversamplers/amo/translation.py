"""AMO's core: rows of a larger class moved until a classifier takes them for a smaller one.

Section 2.1 of "Imbalanced Classification via Adversarial Minority Over-sampling" (ICLR 2020
submission), over matrices. The gradient is taken with respect to the rows alone and written out by
hand: autograd's bookkeeping and the weights' gradients would cost more than the arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from hf_oversample.models.classifiers.mlp import MlpForEmbeddingClassification
from hf_oversample.numeric import noise

BLOCK_ROWS = 1024
"""Rows at a time: what a step reads and writes stays in the processor's cache. The blocks are fixed
by the order of the rows, so that the result does not depend on anything else."""


@dataclass(frozen=True)
class TranslationSettings:
    """How rows are moved; lengths in the units of the rows.

    Attributes:
        penalty: λ of equation 2; 0 leaves the receiving classifier out.
        acceptance: γ as a probability: a row is accepted where softmax_g(k) reaches it (the paper's
            bound on the loss is −ln γ).
        steps: gradient steps T; 0 only adds the noise.
        step_length: length of a step.
        noise_length: expected length of the noise that a row starts with.
        project: whether rows are brought back to the length that they had.
        precision: of the steps' matrix products; losses are float32 in either.
    """

    penalty: float = 0.5
    acceptance: float = 0.9
    steps: int = 10
    step_length: float = 0.1
    noise_length: float = 0.05
    project: bool = False
    precision: Literal["float32", "bfloat16"] = "float32"


@dataclass(frozen=True, eq=False)
class Translated:
    """What became of rows, in their order.

    Attributes:
        rows: float32 [n, d].
        accepted: bool [n], whether a step led to a row that g takes for its target with the asked
            probability, and whose loss is no larger than before. Where not, the row is the seed.
        loss_before, loss_after: float32 [n], cross-entropy under g with the target class, of the
            seed (without noise) and of ``rows``.
    """

    rows: Tensor
    accepted: Tensor
    loss_before: Tensor
    loss_after: Tensor


class Head:
    """The weights of a head, to compute with in one precision. They are read, never copied, in the
    precision that they have: a live classifier's are the current ones.

    Args:
        model: a linear or two-layer head.
        dtype: precision of the products; default: the weights' own.
    """

    def __init__(self, model: MlpForEmbeddingClassification, dtype: torch.dtype | None = None):
        if not isinstance(model, MlpForEmbeddingClassification):
            raise TypeError(
                "AMO translates with the linear or two-layer heads of "
                f"MlpForEmbeddingClassification, got {type(model).__name__}: train one with "
                "hf_oversample.training.heads.train_head"
            )
        dtype = dtype or model.dtype
        first, last = model.hidden, model.classifier
        self.weight, self.bias = last.weight.detach().to(dtype), last.bias.detach().to(dtype)
        self.hidden_weight: Tensor | None = None
        self.hidden_bias: Tensor | None = None
        if first is not None:
            self.hidden_weight = first.weight.detach().to(dtype)
            self.hidden_bias = first.bias.detach().to(dtype)

    def features(self, rows: Tensor) -> Tensor:
        """What the last layer reads."""
        if self.hidden_weight is None or self.hidden_bias is None:
            return rows
        return torch.addmm(self.hidden_bias, rows, self.hidden_weight.T).relu_()

    def logits(self, features: Tensor) -> Tensor:
        """All scores, float32 [n, classes]."""
        return torch.addmm(self.bias, features, self.weight.T).float()


@dataclass(frozen=True, eq=False)
class Penalty:
    """λ · f_k0 of rows, the second term of equation 2: a score is linear in the features.

    Attributes:
        head: the receiving classifier f.
        weight, bias: [n, h] and float32 [n], λ times the weights of each row's own class k₀.
    """

    head: Head
    weight: Tensor
    bias: Tensor

    @classmethod
    def build(cls, head: Head, source: Tensor, strength: float) -> Penalty:
        return cls(head, head.weight[source] * strength, head.bias[source].float() * strength)


def objective(
    rows: Tensor,
    target: Tensor,
    generating: Head,
    penalty: Penalty | None,
    *,
    with_gradient: bool = True,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Equation 2 of rows [n, d]: L_CE(g; x, k) + λ · f_k0(x), and its gradient.

    Returns:
        the objective and its first term, float32 [n], and the gradient [n, d] in the rows'
        precision, or None.
    """
    features = generating.features(rows)
    logarithms = generating.logits(features).log_softmax(dim=1)
    losses = -logarithms.gather(1, target[:, None]).squeeze(1)
    total = losses
    if penalty is not None:
        pulled = penalty.head.features(rows)
        total = torch.linalg.vecdot(pulled, penalty.weight).float() + penalty.bias + losses
    if not with_gradient:
        return total, losses, None
    # d L_CE / d logits = softmax − one-hot of k.
    of_logits = logarithms.exp_()
    of_logits[torch.arange(len(target), device=target.device), target] -= 1
    gradient = of_logits.to(rows.dtype) @ generating.weight
    if generating.hidden_weight is not None:
        gradient = _past_relu(gradient, features) @ generating.hidden_weight
    if penalty is not None and penalty.head.hidden_weight is not None:
        gradient.addmm_(_past_relu(penalty.weight, pulled), penalty.head.hidden_weight)
    elif penalty is not None:
        gradient += penalty.weight
    return total, losses, gradient


def _past_relu(gradient: Tensor, features: Tensor) -> Tensor:
    return torch.ops.aten.threshold_backward(gradient, features, 0)


def translate(
    seeds: Tensor,
    source: Tensor,
    target: Tensor,
    generating: MlpForEmbeddingClassification,
    receiving: MlpForEmbeddingClassification | None,
    settings: TranslationSettings,
    *,
    seed: int,
    counters: tuple[npt.ArrayLike, ...],
) -> Translated:
    """Move seed rows x⁰ of classes k₀ to classes k (equation 2), in blocks.

    T steps of ``step_length`` against the gradient, each row's own, scaled to length 1. Of the
    noisy start and the rows after each step, the one with the lowest objective is taken, among
    those that g accepts and whose loss under g is not above the seed's (the paper takes the last
    and accepts it or not: the penalty's pull, which has no end, may then lead away from k again).

    Args:
        seeds: float32 [n, d]; not changed.
        source, target: int64 [n], k₀ and k.
        generating: the classifier g, trained on the imbalanced data.
        receiving: the classifier f; None only with λ = 0.
        settings: how.
        seed, counters: the address of each row's start noise: integers, or integer arrays [n].

    Raises:
        ValueError: λ is not 0 and there is no f; the vectors' width or a class does not fit a
            classifier; an unknown precision.
    """
    _check(seeds, source, target, generating, receiving, settings)
    dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    exact, quick = Head(generating, torch.float32), Head(generating, dtypes[settings.precision])
    other = None
    if receiving is not None and settings.penalty:
        other = Head(receiving, dtypes[settings.precision])
    number = len(seeds)
    result = Translated(
        torch.from_numpy(np.empty(tuple(seeds.shape), np.float32)).to(seeds.device),
        torch.empty(number, dtype=torch.bool, device=seeds.device),
        torch.empty(number, device=seeds.device),
        torch.empty(number, device=seeds.device),
    )
    addresses = [np.broadcast_to(np.asarray(one), number) for one in counters]
    with torch.no_grad():
        for block in _blocks(number):
            start = _start_noise(seeds[block], settings, seed, [one[block] for one in addresses])
            _translate_block(
                seeds[block],
                start,
                source[block],
                target[block],
                exact,
                quick,
                other,
                settings,
                Translated(
                    result.rows[block],
                    result.accepted[block],
                    result.loss_before[block],
                    result.loss_after[block],
                ),
            )
    return result


def _blocks(number: int) -> Iterator[slice]:
    for start in range(0, number, BLOCK_ROWS):
        yield slice(start, start + BLOCK_ROWS)


def _translate_block(
    seeds: Tensor,
    rows: Tensor,
    source: Tensor,
    target: Tensor,
    exact: Head,
    quick: Head,
    receiving: Head | None,
    settings: TranslationSettings,
    result: Translated,
) -> None:
    """One block; ``rows`` holds the start and is used up, ``result`` is filled."""
    lengths = seeds.norm(dim=1, keepdim=True) if settings.project else None
    _project(rows, lengths)
    before = F.cross_entropy(exact.logits(exact.features(seeds)), target, reduction="none")
    # Algorithm 1, line 9, as a bound on the loss; and no row may fit worse than its seed.
    bound = before.clamp(max=-math.log(settings.acceptance) if settings.acceptance else math.inf)
    best, lowest = result.rows, torch.full_like(before, torch.inf)
    best.copy_(seeds)
    penalty = None
    if receiving is not None:
        penalty = Penalty.build(receiving, source, settings.penalty)
    for step in range(settings.steps + 1):
        total, losses, gradient = objective(
            rows.to(quick.weight.dtype),
            target,
            quick,
            penalty,
            with_gradient=step < settings.steps,
        )
        better = (total < lowest) & (losses <= bound)
        if bool(better.any()):
            torch.where(better, total, lowest, out=lowest)
            torch.where(better[:, None], rows, best, out=best)
        if gradient is not None:
            gradient = gradient.float()
            # A row without a gradient stays where it is.
            norms = gradient.norm(dim=1, keepdim=True).clamp_(min=1e-30)
            rows.addcmul_(gradient, norms.reciprocal_().mul_(-settings.step_length))
            _project(rows, lengths)
    after = F.cross_entropy(exact.logits(exact.features(best)), target, reduction="none")
    # Products of lower precision may have passed a row that exact ones do not.
    torch.logical_and(torch.isfinite(lowest), after <= bound, out=result.accepted)
    rejected = ~result.accepted
    if bool(rejected.any()):
        best[rejected], after[rejected] = seeds[rejected], before[rejected]
    result.loss_before.copy_(before)
    result.loss_after.copy_(after)


def _project(rows: Tensor, lengths: Tensor | None) -> None:
    if lengths is not None:
        rows.mul_(lengths / rows.norm(dim=1, keepdim=True).clamp_(min=1e-30))


def _start_noise(
    seeds: Tensor, settings: TranslationSettings, seed: int, counters: list[np.ndarray]
) -> Tensor:
    """Seeds plus noise, even in a cube around each; new memory.

    A hash gives four numbers of 16 bits: as fine as the noise of a start need be.
    """
    if not settings.noise_length:
        return seeds.clone()
    width = seeds.shape[1]
    quarters = np.arange(-(-width // 4))
    words = noise.hash_counters(
        seed, noise.stream("amo start"), *(one[:, None] for one in counters), quarters
    )
    parts = np.ascontiguousarray(words, dtype="<u8").view("<u2")[:, :width]
    # Variance 1/12 of an even draw between −1/2 and 1/2, brought to noise_length² / d.
    scale = settings.noise_length * (12 / width) ** 0.5
    even = torch.from_numpy((parts.astype(np.float32) + 0.5) * (1 / 65536) - 0.5)
    return torch.add(seeds, even.to(seeds.device), alpha=scale)


def _check(
    seeds: Tensor,
    source: Tensor,
    target: Tensor,
    generating: MlpForEmbeddingClassification,
    receiving: MlpForEmbeddingClassification | None,
    settings: TranslationSettings,
) -> None:
    if settings.penalty and receiving is None:
        raise ValueError(
            f"the penalty is {settings.penalty}, but there is no receiving classifier that it "
            "reads: give one, or penalty=0"
        )
    if settings.precision not in ("float32", "bfloat16"):
        raise ValueError(f'precision={settings.precision!r}: choose "float32" or "bfloat16"')
    for name, model, classes in (
        ("generating", generating, target),
        ("receiving", receiving, source),
    ):
        if model is None:
            continue
        Head(model)
        if model.config.input_size != seeds.shape[1]:
            raise ValueError(
                f"the {name} classifier reads {model.config.input_size} numbers, the rows have "
                f"{seeds.shape[1]}"
            )
        largest = int(classes.max()) if len(classes) else 0
        if largest >= model.config.num_labels:
            raise ValueError(
                f"the {name} classifier knows {model.config.num_labels} classes, but class code "
                f"{largest} is asked for"
            )
