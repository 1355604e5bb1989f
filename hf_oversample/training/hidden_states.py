"""What a classifier's head reads, and training on mixtures of hidden states (TMix).

Both reach into models by hooks, so that they hold for TextCNN as for any
``AutoModelForSequenceClassification``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel

from hf_oversample.models.classifiers.base import WordVectorClassifier
from hf_oversample.numeric import noise


def classifier_head(model: PreTrainedModel) -> nn.Linear:
    """The linear layer that gives the class scores: the last one of that many outputs.

    Raises:
        ValueError: there is none.
    """
    classes = model.config.num_labels
    heads = [
        module
        for module in model.modules()
        if isinstance(module, nn.Linear) and module.out_features == classes
    ]
    if not heads:
        raise ValueError(
            f"{type(model).__name__} has no linear layer of {classes} outputs: its head cannot be "
            "trained again or rescaled"
        )
    return heads[-1]


class CosineHead(nn.Linear):
    """A linear layer without biases whose scores are cosines of input and weights, times a scale
    (Cao et al. 2019, section 3.2, after Wang et al. 2018)."""

    def __init__(self, plain: nn.Linear, scale: float) -> None:
        super().__init__(plain.in_features, plain.out_features, bias=False)
        self.weight = plain.weight
        self.scale = scale

    def forward(self, input: Tensor) -> Tensor:
        """States `[…, width]` → scores `[…, classes]`."""
        return self.scale * F.linear(F.normalize(input, dim=-1), F.normalize(self.weight, dim=-1))


def use_cosine_head(model: PreTrainedModel, scale: float) -> None:
    """Make the classifier head's scores cosines times a scale; its weights stay.

    Raises:
        ValueError: as `classifier_head`.
    """
    head = classifier_head(model)
    name = next(name for name, module in model.named_modules() if module is head)
    model.set_submodule(name, CosineHead(head, scale))


def head_inputs(model: PreTrainedModel) -> Callable[[Tensor, Tensor], Tensor]:
    """A function of token ids and mask `[n, length]` that gives what the head reads `[n, width]`.

    Heads of decoders score every token, and the last one's scores are the text's: its state is the
    text's vector.

    Raises:
        ValueError: no linear head; when called, if it scores every token and the text's scores are
            not those of the last.
    """
    head = classifier_head(model)

    def read(ids: Tensor, mask: Tensor) -> Tensor:
        seen: list[tuple[Tensor, Tensor]] = []
        hook = head.register_forward_hook(
            lambda _, inputs, output: seen.append((inputs[0], output))
        )
        try:
            logits = model(input_ids=ids, attention_mask=mask).logits
        finally:
            hook.remove()
        states, scores = seen[-1]
        if states.ndim == 2:
            return states
        place = torch.arange(mask.shape[1], device=mask.device)
        last = (mask * place).argmax(dim=1)
        rows = torch.arange(len(mask), device=mask.device)
        if states.ndim != 3 or not torch.equal(scores[rows, last], logits):
            raise ValueError(
                f"the head of {type(model).__name__} reads states of shape {tuple(states.shape)}, "
                "and its scores of a text are not those of the last token: a text has no vector "
                "of its own"
            )
        return states[rows, last]

    return read


class TMix:
    """Losses of batches whose rows were mixed in a hidden layer (Chen et al. 2020, "MixText",
    section 3.1: the labelled part; no guessed labels of other texts).

    A batch's row i goes on as λ h_i + (1 − λ) h_j for a random row j of it, and answers for both
    labels in these shares; λ = max(λ', 1 − λ'), λ' ~ Beta(α, α), one a batch. The layer is drawn
    from the upper half of a Transformer's (the paper: 7, 9 and 12 of 12); other networks are mixed
    at their word vectors. Both texts' tokens are attended to, also below that layer.

    Args:
        model: the classifier in training.
        alpha: α of the Beta distribution; the authors' code has 0.75.
        seed: of λ, the layer and the partners.
    """

    def __init__(self, model: PreTrainedModel, alpha: float = 0.75, seed: int = 0) -> None:
        if not alpha > 0:
            raise ValueError(f"alpha={alpha} must be positive")
        self.model, self.alpha = model, alpha
        # they mix their word vectors themselves
        self.layers = [] if isinstance(model, WordVectorClassifier) else mixed_layers(model)
        self.rng = noise.generator(seed, noise.stream("tmix"))

    def __call__(self, ids: Tensor, mask: Tensor, labels: Tensor) -> Tensor:
        """Token ids and mask `[n, length]`, class ids `[n]` → `[n]` losses."""
        share = float(self.rng.beta(self.alpha, self.alpha))
        share = max(share, 1 - share)
        partner = torch.from_numpy(self.rng.permutation(len(labels))).to(labels.device)
        logits = self._mixed_logits(ids, mask, partner, share).float()
        own = F.cross_entropy(logits, labels, reduction="none")
        other = F.cross_entropy(logits, labels[partner], reduction="none")
        return share * own + (1 - share) * other

    def _mixed_logits(self, ids: Tensor, mask: Tensor, partner: Tensor, share: float) -> Tensor:
        if isinstance(self.model, WordVectorClassifier):
            return self.model.mixed_logits(ids, mask, partner, share)
        layer = self.layers[int(self.rng.integers(len(self.layers)))]

        # XLNet's layers have the texts of a batch in their second dimension
        axis = 1 if self.model.config.model_type == "xlnet" else 0

        def mix(_: nn.Module, __: Any, output: Any) -> Any:
            states = output[0] if isinstance(output, tuple) else output
            if states.shape[axis] != len(partner):
                raise ValueError(
                    f"a layer of {type(self.model).__name__} gives states of shape "
                    f"{tuple(states.shape)} for {len(partner)} texts: they cannot be mixed"
                )
            mixed = share * states + (1 - share) * states.index_select(axis, partner)
            return (mixed, *output[1:]) if isinstance(output, tuple) else mixed

        hook = layer.register_forward_hook(mix)
        try:
            return self.model(input_ids=ids, attention_mask=mask | mask[partner]).logits
        finally:
            hook.remove()


def mixed_layers(model: PreTrainedModel) -> list[nn.Module]:
    """The upper half of the Transformer's layers; else the word vectors."""
    stacks = [
        list(module)
        for module in model.modules()
        if isinstance(module, nn.ModuleList)
        and len(module) > 1
        and all(type(one).__name__.endswith(("Layer", "Block")) for one in module)
    ]
    if not stacks:
        return [model.get_input_embeddings()]
    layers = max(stacks, key=len)
    return layers[len(layers) // 2 :]


class MixedVectors:
    """Batches of vectors for `train_head`: drawn in proportion to weights, or mixed in pairs.

    As its ``collator``; where rows are mixed, `loss` is the loss to give with it.

    Args:
        vectors: `[n, d]` float32.
        labels: `[n]` class ids.
        row_weights: `[n]`, draws with replacement in these proportions; None: the rows asked for.
        mix: whether rows are mixed as in :class:`TMix` (a head on frozen vectors: at its input).
        alpha: α of the Beta distribution.
        seed: of the draws.
    """

    def __init__(
        self,
        vectors: np.ndarray,
        labels: np.ndarray,
        *,
        row_weights: np.ndarray | None = None,
        mix: bool = False,
        alpha: float = 0.75,
        seed: int = 0,
    ) -> None:
        self.vectors = torch.from_numpy(np.require(vectors, np.float32, ["C", "W"]))
        self.labels = torch.from_numpy(np.asarray(labels, np.int64))
        self.shares = None if row_weights is None else row_weights / row_weights.sum()
        self.mix, self.alpha = mix, alpha
        self.rng = noise.generator(seed, noise.stream("mixed vectors"))
        self._partner, self._share = torch.empty(0, dtype=torch.int64), 1.0

    def __call__(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Row numbers `[batch]` → vectors and class ids."""
        if self.shares is not None:
            rows = self.rng.choice(len(self.labels), size=len(rows), p=self.shares)
        index = torch.from_numpy(np.asarray(rows, np.int64))
        x, y = self.vectors[index], self.labels[index]
        if not self.mix:
            return x, y
        share = float(self.rng.beta(self.alpha, self.alpha))
        self._share = max(share, 1 - share)
        self._partner = torch.from_numpy(self.rng.permutation(len(y)))
        return self._share * x + (1 - self._share) * x[self._partner], y

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """`[batch]` losses of the last batch that was mixed."""
        own = F.cross_entropy(logits, labels, reduction="none")
        other = F.cross_entropy(logits, labels[self._partner], reduction="none")
        return self._share * own + (1 - self._share) * other
