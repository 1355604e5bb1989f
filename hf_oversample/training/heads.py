"""Training of small heads on fixed vectors, seeded and quick on a CPU.

A minibatch is rows of one tensor, taken by index: with vectors of 384 numbers, a DataLoader of
Python objects would cost more than the head itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from hf_oversample.models.classifiers.mlp import MlpConfig, MlpForEmbeddingClassification
from hf_oversample.numeric import noise
from hf_oversample.numeric.memory import work_in_batches
from hf_oversample.training.optimization import decay_groups

LossOfRows = Callable[[Tensor, Tensor], Tensor]
Collator = Callable[[npt.NDArray[np.int64]], tuple[Tensor, Tensor]]


def new_head(
    input_size: int, num_labels: int, hidden_size: int = 0, seed: int = 0
) -> MlpForEmbeddingClassification:
    """A head with seeded weights: linear, or with ``hidden_size`` ReLU units."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(noise.hash_counters(seed, noise.stream("head start")) >> 1))
        config = MlpConfig(input_size=input_size, hidden_size=hidden_size, num_labels=num_labels)
        return MlpForEmbeddingClassification(config)


def train_head(
    embeddings: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    num_labels: int,
    hidden_size: int = 0,
    epochs: int = 15,
    batch_size: int = 256,
    learning_rate: float | None = None,
    weight_decay: float = 5e-5,
    optimizer: Literal["adamw", "sgd"] = "adamw",
    schedule: Literal["cosine", "step", "constant"] = "cosine",
    standardize: bool = True,
    min_steps: int = 500,
    loss: LossOfRows | None = None,
    class_weights: npt.ArrayLike | None = None,
    sampling: Literal["rows", "balanced"] = "rows",
    deferred_start: int = 0,
    collator: Collator | None = None,
    model: MlpForEmbeddingClassification | None = None,
    validation: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    seed: int = 0,
) -> MlpForEmbeddingClassification:
    """Train a head on vectors. A function of its arguments (on one machine and thread count).

    The protocol of AMO's experiments on text (section 3.1): ``hidden_size=…, batch_size=64,
    optimizer="sgd", schedule="step", standardize=False, min_steps=0``. These defaults
    instead converge whatever the scale of the vectors and the number of rows.

    Args:
        embeddings: [n, d], finite.
        labels: [n], class ids in 0 … num_labels − 1; a class may be without rows.
        num_labels: classes.
        hidden_size: units of the hidden layer, 0 for a linear head.
        epochs: passes over n rows (with balanced sampling: of as many drawn rows).
        batch_size: rows an update.
        learning_rate: at the start; default 0.005 for AdamW, 0.1 for SGD.
        weight_decay: of the optimiser, for weights; biases have none.
        optimizer: "adamw", or "sgd" with momentum 0.9.
        schedule: "cosine" down to 0, "step" (a tenth after two thirds of the epochs: the paper's 10
            of 15), or "constant".
        standardize: train on vectors that are centred and brought to a mean square of 1 by one
            common factor; the first layer takes it over afterwards, so that the head returned reads
            the vectors as given. Not for a ``model`` that was begun elsewhere, nor a ``collator``.
        min_steps: few rows get more epochs, until there are this many updates.
        loss: logits and labels → [batch] losses. Default: cross-entropy.
        class_weights: [num_labels] weights of the losses, from ``deferred_start`` on (deferred
            re-weighting); a batch's loss is the weighted mean.
        sampling: "rows" takes every row once an epoch; "balanced" draws classes evenly, then rows
            with replacement, from ``deferred_start`` on (deferred re-sampling).
        deferred_start: first epoch (of ``epochs``, from 0) of the class weights and the balanced
            sampling; where ``min_steps`` lengthens the training, the same share of it.
        collator: row numbers → inputs [batch, d] and labels [batch] in place of plain rows, such as
            :class:`hf_oversample.oversamplers.amo.collator.AmoCollator`.
        model: a head to train further, in place; default: :func:`new_head`.
        validation: vectors and labels, not of the test split: the state with the highest mean class
            accuracy on them is kept, the first of equals.
        seed: of the start and the batches.

    Returns:
        the head, in evaluation mode.

    Raises:
        ValueError: sizes or labels that do not fit, values that are not finite, an unknown option,
            or a loss that is no longer finite.
    """
    vectors, truth = _checked(embeddings, labels, num_labels)
    steps_per_epoch = -(-len(truth) // batch_size) if batch_size > 0 else 0
    if epochs < 1 or batch_size < 1:
        raise ValueError(f"epochs={epochs} and batch_size={batch_size} must be at least 1")
    if sampling not in ("rows", "balanced"):
        raise ValueError(f'sampling={sampling!r} is unknown: choose "rows" or "balanced"')
    if standardize and (collator is not None or model is not None):
        raise ValueError(
            "standardize=True would train on other vectors than the given model or collator reads: "
            "pass standardize=False"
        )
    rounds = max(epochs, -(-min_steps // steps_per_epoch))
    deferred = round(deferred_start * rounds / epochs)
    weights = None if class_weights is None else _class_weights(class_weights, num_labels)
    losses = loss or _cross_entropy
    inputs = torch.from_numpy(vectors)
    center, scale = _scale(inputs) if standardize else (torch.zeros(inputs.shape[1]), 1.0)
    if standardize:
        inputs = (inputs - center) / scale
    targets = torch.from_numpy(truth)
    head = model if model is not None else new_head(vectors.shape[1], num_labels, hidden_size, seed)
    if (head.config.input_size, head.config.num_labels) != (vectors.shape[1], num_labels):
        raise ValueError(
            f"the model reads {head.config.input_size} numbers and knows {head.config.num_labels} "
            f"classes; the vectors have {vectors.shape[1]}, num_labels is {num_labels}"
        )
    update, rates = _optimizer(head, optimizer, learning_rate, weight_decay, schedule, rounds)
    best_score, best_state = -1.0, None
    head.train()
    for epoch in range(rounds):
        is_late = epoch >= deferred
        order = _order(truth, seed, epoch, balanced=sampling == "balanced" and is_late)
        total = 0.0
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            if collator is None:
                index = torch.from_numpy(rows)
                x, y = inputs[index], targets[index]
            else:
                x, y = collator(rows)
                head.train()
            of_rows = losses(head(x).logits, y)
            if weights is not None and is_late:
                value = (of_rows * weights[y]).sum() / weights[y].sum()
            else:
                value = of_rows.mean()
            update.zero_grad()
            value.backward()
            update.step()
            total += float(value.detach())
        rates.step()
        if not np.isfinite(total):
            raise ValueError(f"the loss is {total} in epoch {epoch}: lower learning_rate")
        if validation is not None:
            held_out = (np.asarray(validation[0], np.float32) - center.numpy()) / float(scale)
            score = _mean_class_accuracy(head_logits(head, held_out), validation[1])
            if score > best_score:
                state = head.state_dict()
                best_score, best_state = score, {k: v.clone() for k, v in state.items()}
            head.train()
    if best_state is not None:
        head.load_state_dict(best_state)
    if standardize:
        _take_over(head, center, scale)
    return head.eval()


@torch.no_grad()
def head_logits(
    model: MlpForEmbeddingClassification, embeddings: npt.ArrayLike, block_rows: int = 8192
) -> npt.NDArray[np.float32]:
    """Scores [n, num_labels] float32 of vectors [n, d], in blocks; the head is left in evaluation
    mode."""
    vectors = np.ascontiguousarray(embeddings, dtype=np.float32)
    model.eval()
    logits = np.empty((len(vectors), model.config.num_labels), dtype=np.float32)

    def score(rows: npt.NDArray[np.int64], length: int) -> None:
        block = torch.from_numpy(vectors[rows])
        scores = model(block.to(model.device, model.dtype)).logits
        logits[rows] = scores.float().cpu().numpy()

    order, width = np.arange(len(vectors)), vectors.shape[1]
    blocks = [(order[start : start + block_rows], width) for start in order[::block_rows]]
    work_in_batches(blocks, score, what="scoring vectors", unit="rows of {} values")
    return logits


def head_weights(head: MlpForEmbeddingClassification) -> dict[str, npt.NDArray[np.float32]]:
    """A head's weights by name, as float32 arrays that can be saved and pickled."""
    return {
        name: np.array(v.detach().float().cpu().numpy()) for name, v in head.state_dict().items()
    }


def head_of_weights(
    weights: Mapping[str, npt.NDArray[np.float32]],
) -> MlpForEmbeddingClassification:
    """The head, ready to be used, whose `head_weights` these are; its sizes are theirs."""
    classes, width = weights["classifier.weight"].shape
    hidden = weights.get("hidden.weight")
    config = MlpConfig(
        input_size=width if hidden is None else hidden.shape[1],
        hidden_size=0 if hidden is None else width,
        num_labels=classes,
    )
    head = MlpForEmbeddingClassification(config)
    head.load_state_dict({name: torch.from_numpy(v.copy()) for name, v in weights.items()})
    return head.eval()


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits, labels, reduction="none")


def _checked(
    embeddings: npt.ArrayLike, labels: npt.ArrayLike, num_labels: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    vectors = np.ascontiguousarray(embeddings, dtype=np.float32)
    truth = np.asarray(labels, dtype=np.int64)
    if vectors.ndim != 2 or truth.shape != vectors.shape[:1] or not vectors.size:
        raise ValueError(
            f"embeddings have shape {vectors.shape} and labels {truth.shape}: [n, d] and [n] with "
            "n and d at least 1 are needed"
        )
    if truth.min() < 0 or truth.max() >= num_labels:
        raise ValueError(f"labels run from {truth.min()} to {truth.max()}; num_labels={num_labels}")
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        raise ValueError(f"embedding {int(np.argmin(finite))} holds NaN or infinite values")
    if not vectors.flags.writeable:  # torch warns of memory that it must not write to
        vectors = vectors.copy()
    return vectors, truth


def _class_weights(class_weights: npt.ArrayLike, num_labels: int) -> Tensor:
    values = torch.as_tensor(np.asarray(class_weights, dtype=np.float32))
    if values.shape != (num_labels,) or bool((values <= 0).any()):
        raise ValueError(f"class_weights={values.tolist()} must be {num_labels} positive numbers")
    return values


def _scale(inputs: Tensor) -> tuple[Tensor, float]:
    """Mean [d] and the root mean square of what is left; 1 where all rows are equal."""
    center = inputs.mean(dim=0)
    spread = float((inputs - center).square().mean().sqrt())
    return center, spread if spread > 0 else 1.0


@torch.no_grad()
def _take_over(head: MlpForEmbeddingClassification, center: Tensor, scale: float) -> None:
    """W (x − c) / s + b = (W / s) x + (b − W c / s): the first layer then reads x itself."""
    first = head.classifier if head.hidden is None else head.hidden
    first.weight.div_(scale)
    first.bias.sub_(first.weight @ center)


def _optimizer(
    head: MlpForEmbeddingClassification,
    name: str,
    learning_rate: float | None,
    weight_decay: float,
    schedule: str,
    epochs: int,
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    update: torch.optim.Optimizer
    if name == "adamw":
        rate = 5e-3 if learning_rate is None else learning_rate
        update = torch.optim.AdamW(decay_groups(head, weight_decay), rate, fused=True)
    elif name == "sgd":
        rate = 0.1 if learning_rate is None else learning_rate
        update = torch.optim.SGD(decay_groups(head, weight_decay), rate, momentum=0.9, fused=True)
    else:
        raise ValueError(f'optimizer={name!r} is unknown: choose "adamw" or "sgd"')
    if schedule == "cosine":
        return update, torch.optim.lr_scheduler.CosineAnnealingLR(update, T_max=epochs)
    if schedule not in ("step", "constant"):
        raise ValueError(f'schedule={schedule!r} is unknown: choose "cosine", "step", "constant"')
    milestones = [max(1, round(epochs * 2 / 3))] if schedule == "step" else []
    return update, torch.optim.lr_scheduler.MultiStepLR(update, milestones, gamma=0.1)


def _order(
    labels: npt.NDArray[np.int64], seed: int, epoch: int, *, balanced: bool
) -> npt.NDArray[np.int64]:
    """Rows of an epoch: each once, or (balanced) a class evenly and then a row of it, n draws."""
    generator = noise.generator(seed, noise.stream("head batches"), epoch)
    if not balanced:
        return generator.permutation(len(labels))
    counts = np.bincount(labels)
    present = np.flatnonzero(counts)
    by_class, starts = np.argsort(labels, kind="stable"), np.cumsum(counts) - counts
    classes = present[generator.integers(len(present), size=len(labels))]
    return by_class[starts[classes] + generator.integers(counts[classes])]


def _mean_class_accuracy(logits: npt.NDArray[np.float32], labels: npt.ArrayLike) -> float:
    truth = np.asarray(labels)
    right = logits.argmax(axis=1) == truth
    return float(np.mean([right[truth == k].mean() for k in np.unique(truth)]))
