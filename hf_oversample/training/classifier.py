"""Training of small classifiers, to measure what a remedy for imbalance does.

Fast on one CPU thread, and a function of its seed: remedies are compared over the same steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, log_loss
from torch import Tensor
from transformers import PreTrainedModel

from hf_oversample.models.encoders import check_lengths
from hf_oversample.numeric.memory import work_in_batches
from hf_oversample.text.encoding import SMALLEST_BATCH, length_groups, pad
from hf_oversample.training.hidden_states import head_inputs
from hf_oversample.training.optimization import decay_groups, rate_factor

EncodedTexts = Sequence[Sequence[int]]


def train_classifier(
    model: PreTrainedModel,
    encoded: EncodedTexts,
    labels: ArrayLike,
    *,
    steps: int,
    batch_size: int = 64,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.01,
    schedule: str = "cosine",
    warmup: float = 0.0,
    row_weights: ArrayLike | None = None,
    class_weights: ArrayLike | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    batch_losses: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None,
    deferred_start: int = 0,
    validation: tuple[EncodedTexts, ArrayLike] | None = None,
    minority: int = 1,
    eval_every: int = 50,
    bfloat16: bool = False,
    seed: int = 0,
    history: list[dict[str, float]] | None = None,
) -> PreTrainedModel:
    """Trains a model for sequence classification in place, by AdamW with clipped gradients.

    The seed fixes the batches and the dropout; the model's own start is the caller's to seed.

    Args:
        model: any that gives ``logits`` from ``input_ids`` and ``attention_mask``.
        encoded: token ids of each text, none empty.
        labels: [n], class ids.
        steps: number of updates.
        batch_size: texts an update.
        learning_rate: at the start, or where the warm-up ends.
        weight_decay: of AdamW; biases and normalisation layers have none.
        schedule: ``"cosine"``, down to 0, or ``"constant"``.
        warmup: share of the updates, from 0 to below 1, over which the rate rises linearly to
            ``learning_rate``: a pretrained network forgets under full steps of a new head's first
            gradients.
        row_weights: [n], batches are drawn with replacement in these proportions. Default: all
            rows in shuffled order, over and over.
        class_weights: [classes], weights of the loss (`losses.balanced_class_weights`).
        loss: logits and labels → [batch] losses. Default: cross-entropy.
        batch_losses: token ids, mask and labels → [batch] losses, in place of the model's logits
            and ``loss`` (`hidden_states.TMix`).
        deferred_start: updates before ``row_weights`` and ``class_weights`` begin.
        validation: texts and labels. The state with the largest average precision on them is kept
            (of the minority; the mean over the classes if there are more than two; of equal ones
            the first), of those after the deferred start; they must not be test rows.
        minority: of two classes, the one whose average precision chooses.
        eval_every: steps between evaluations; the last step is evaluated too.
        bfloat16: make the matrix products of the updates in bfloat16. Weights, losses and
            predictions stay in float32: in bfloat16, many rows would have the same scores.
        seed: of batches and dropout.
        history: gets one dict an evaluation: step, loss (mean since the last), average_precision.

    Returns:
        The model, in evaluation mode.

    Raises:
        ValueError: sizes do not fit, a text is empty or longer than the model reads, weights are
            negative or all zero, an unknown schedule, or a warm-up that is no share.
        FloatingPointError: the loss is no longer finite.
    """
    truth = np.asarray(labels, dtype=np.int64)
    texts = [np.asarray(ids, dtype=np.int64) for ids in encoded]
    _check_training(texts, truth, model.config.num_labels, steps, batch_size, schedule)
    if not 0 <= warmup < 1:
        raise ValueError(f"warmup={warmup} is a share of the updates: from 0 to below 1")
    check_lengths(texts, model)
    class_weight = _class_weights(class_weights, model)
    losses = loss or (lambda logits, target: F.cross_entropy(logits, target, reduction="none"))
    batches = _batches(len(texts), batch_size, steps, row_weights, seed, deferred_start)
    plain_weight = np.ones_like(class_weight)

    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(decay_groups(model, weight_decay), learning_rate, fused=True)
    rates = torch.optim.lr_scheduler.LambdaLR(optimizer, rate_factor(schedule, warmup, steps))
    best_score, best_state = -1.0, None
    total, since = torch.zeros((), device=model.device), 0
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        model.train()
        for step, rows in enumerate(batches, start=1):
            weight_of = class_weight if step > deferred_start else plain_weight
            weight = weight_of[truth[rows]].sum()
            # rows are mixed with any other of the batch, not with those of like length
            groups = [rows] if batch_losses is not None else length_groups(rows, texts)
            for group in groups:
                ids, mask = _padded([texts[row] for row in group], model)
                target = torch.from_numpy(truth[group]).to(model.device)
                with torch.autocast(model.device.type, torch.bfloat16, enabled=bfloat16):
                    if batch_losses is None:
                        logits = model(input_ids=ids, attention_mask=mask).logits.float()
                        of_rows = losses(logits, target)
                    else:
                        of_rows = batch_losses(ids, mask, target)
                weights = torch.from_numpy(weight_of[truth[group]] / weight).to(of_rows)
                value = (of_rows * weights).sum()
                value.backward()
                total += value.detach()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            rates.step()
            since += 1
            if step % eval_every == 0 or step == steps:
                mean_loss = float(total) / since
                _check_finite("the loss", mean_loss, step, learning_rate)
                record = {"step": float(step), "loss": mean_loss}
                if validation is not None and step > deferred_start:
                    told = predict(model, validation[0])
                    _check_finite("a validation score", told, step, learning_rate)
                    score = ranking_score(validation[1], told, minority)
                    record["average_precision"] = score
                    if score > best_score:
                        state = model.state_dict()
                        best_score, best_state = score, {k: v.clone() for k, v in state.items()}
                    model.train()
                if history is not None:
                    history.append(record)
                total, since = torch.zeros_like(total), 0
    if best_state is not None:
        model.load_state_dict(best_state)
    return model.eval()


def predict_logits(
    model: PreTrainedModel, encoded: EncodedTexts, batch_size: int = 512
) -> NDArray[np.float32]:
    """Class scores before the softmax, which tells rows apart whose probabilities round to 1.

    Args:
        model: any that gives ``logits``; it is left in evaluation mode.
        encoded: token ids of each text, none empty.
        batch_size: texts at a time, sorted by length.

    Returns:
        [n, classes] float32, in the order of the texts.
    """

    def logits(ids: Tensor, mask: Tensor) -> Tensor:
        return model(input_ids=ids, attention_mask=mask).logits

    return _over_batches(model, encoded, batch_size, logits)


def predict(
    model: PreTrainedModel, encoded: EncodedTexts, batch_size: int = 512
) -> NDArray[np.float64]:
    """Class probabilities `[n, classes]`, of what `predict_logits` gives."""
    return softmax(predict_logits(model, encoded, batch_size).astype(np.float64), axis=1)


def text_features(model: Any, encoded: EncodedTexts, batch_size: int = 512) -> NDArray[np.float32]:
    """The vector that the head of a classifier reads: where to look for difficult samples.

    Args:
        model: a TextCNN, a TextRNN, or any model with a linear head on one vector a text.
        encoded: token ids of each text, none empty.
        batch_size: as for `predict`.

    Returns:
        [n, width] float32, in the order of the texts.
    """
    features = model.features if hasattr(model, "features") else head_inputs(model)
    return _over_batches(model, encoded, batch_size, features)


def linear_head(
    train_x: ArrayLike,
    train_y: ArrayLike,
    validation_x: ArrayLike | None = None,
    validation_y: ArrayLike | None = None,
    *,
    class_weight: dict[int, float] | str | None = None,
    sample_weight: ArrayLike | None = None,
    minority: int = 1,
    grid: Sequence[float] = (0.1, 1.0, 10.0, 100.0),
) -> LogisticRegression:
    """Logistic regression on the vectors of a frozen encoder.

    Args:
        train_x: [n, width] embeddings.
        train_y: [n] class ids.
        validation_x: [m, width]. With it, C is the one of the grid with the largest average
            precision there (`ranking_score`; of equal ones that with the least cross-entropy, since
            a penalty that ranks as well may call no row the minority); without, C is 1.
        validation_y: [m] class ids.
        class_weight: as for scikit-learn: ``"balanced"``, or class → weight.
        sample_weight: [n] weights of the rows.
        minority: of two classes, the one whose average precision chooses.
        grid: values of C, the inverse strength of the L2 penalty.

    Raises:
        ValueError: only one of the two validation arrays is given.
    """
    if (validation_x is None) != (validation_y is None):
        raise ValueError("give both validation_x and validation_y, or neither")
    best, best_score = None, (-1.0, 0.0)
    for strength in sorted(grid) if validation_x is not None else (1.0,):
        head = LogisticRegression(C=strength, class_weight=class_weight, max_iter=2000)
        head.fit(train_x, train_y, sample_weight=sample_weight)
        if validation_x is None:
            return head
        seen = head.classes_.tolist()
        assert validation_y is not None
        told, truth = head.predict_proba(validation_x), np.asarray(validation_y)
        known = np.isin(truth, seen)
        entropy = log_loss(truth[known], told[known], labels=seen) if known.any() else 0.0
        score = (ranking_score(truth, told, minority, seen), -entropy)
        if score > best_score:
            best, best_score = head, score
    return best


def ranking_score(
    labels: ArrayLike,
    probabilities: NDArray[Any],
    minority: int = 1,
    classes: Sequence[int] | None = None,
) -> float:
    """What models are chosen by: average precision of the minority of two classes, else the mean
    over the classes that have rows.

    Args:
        labels: [n] class ids.
        probabilities: [n, columns].
        minority: class id.
        classes: of the columns; default: 0, 1, …
    """
    truth = np.asarray(labels)
    columns = list(range(probabilities.shape[1])) if classes is None else list(classes)
    wanted = [minority] if len(columns) == 2 and minority in columns else np.unique(truth).tolist()
    scores = [
        average_precision_score(truth == one, probabilities[:, columns.index(one)])
        for one in wanted
        if one in columns
    ]
    return float(np.mean(scores)) if scores else 0.0


def _check_finite(name: str, values: ArrayLike, step: int, learning_rate: float) -> None:
    if not np.isfinite(values).all():
        raise FloatingPointError(
            f"{name} is not finite by step {step}: training diverged at a learning rate of "
            f"{learning_rate:g}; lower learning_rate"
        )


def _check_training(
    texts: list[NDArray[np.int64]],
    truth: NDArray[np.int64],
    classes: int,
    steps: int,
    batch_size: int,
    schedule: str,
) -> None:
    if len(texts) != len(truth) or not texts:
        raise ValueError(f"{len(texts)} encoded texts, but {len(truth)} labels")
    if truth.min() < 0 or truth.max() >= classes:
        raise ValueError(f"labels run from {truth.min()} to {truth.max()}; num_labels is {classes}")
    empty = [row for row, ids in enumerate(texts) if not len(ids)]
    if empty:
        raise ValueError(f"encoded text {empty[0]} has no token ({len(empty)} in all)")
    if steps < 1 or batch_size < 1:
        raise ValueError(f"steps={steps} and batch_size={batch_size} must be at least 1")
    if schedule not in ("cosine", "constant"):
        raise ValueError(f'schedule={schedule!r} is unknown: choose "cosine" or "constant"')


def _class_weights(class_weights: ArrayLike | None, model: PreTrainedModel) -> NDArray[np.float64]:
    if class_weights is None:
        return np.ones(model.config.num_labels)
    values = np.asarray(class_weights, dtype=np.float64)
    if values.shape != (model.config.num_labels,) or (values <= 0).any():
        raise ValueError(
            f"class_weights={values} must be {model.config.num_labels} positive numbers"
        )
    return values


def _batches(
    rows: int,
    batch_size: int,
    steps: int,
    row_weights: ArrayLike | None,
    seed: int,
    deferred_start: int = 0,
) -> Iterator[NDArray[np.int64]]:
    """Rows of each step's batch."""
    generator = np.random.default_rng(seed)
    plain_steps, shares = steps, None
    if row_weights is not None:
        weights = np.asarray(row_weights, dtype=np.float64)
        if weights.shape != (rows,) or (weights < 0).any() or not weights.sum() > 0:
            raise ValueError(
                f"row_weights has shape {weights.shape}, least {weights.min()}, sum "
                f"{weights.sum()}: {rows} weights are needed, none negative and not all 0"
            )
        plain_steps, shares = min(steps, deferred_start), weights / weights.sum()
    waiting = np.empty(0, dtype=np.int64)
    for _ in range(plain_steps):
        while len(waiting) < min(batch_size, rows):
            waiting = np.concatenate([waiting, generator.permutation(rows)])
        yield waiting[:batch_size]
        waiting = waiting[batch_size:]
    for _ in range(steps - plain_steps):
        yield generator.choice(rows, size=batch_size, p=shares)


def _padded(
    texts: list[NDArray[np.int64]], model: PreTrainedModel, length: int | None = None
) -> tuple[Tensor, Tensor]:
    """Token ids and mask `[n, length]`; the longest text's length by default."""
    padding = model.config.pad_token_id or 0
    if getattr(model.config, "summary_type", None) != "last":
        return pad(texts, padding, model.device, length)
    # its head reads the last place, whatever is there (XLNet): padding goes before the text
    ids, mask = pad([ids[::-1] for ids in texts], padding, model.device, length)
    return ids.flip(1), mask.flip(1)


@torch.no_grad()
def _over_batches(
    model: PreTrainedModel,
    encoded: EncodedTexts,
    batch_size: int,
    function: Callable[[Tensor, Tensor], Tensor],
) -> NDArray[np.float32]:
    if not len(encoded):
        raise ValueError("there is no text to predict for")
    model.eval()
    texts = [np.asarray(ids, dtype=np.int64) for ids in encoded]
    check_lengths(texts, model)
    result: NDArray[np.float32] | None = None
    # Sorted by length, so that little is padding.
    order = np.argsort([len(ids) for ids in texts], kind="stable")
    size = 0

    def batches() -> Iterator[tuple[NDArray[np.int64], int]]:
        nonlocal size
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            size = len(rows)
            yield rows, max(len(texts[row]) for row in rows)

    def score(rows: NDArray[np.int64], length: int) -> None:
        nonlocal result
        # what is cut out of a batch that did not fit keeps its padding
        filler = [rows[0]] * max(0, min(SMALLEST_BATCH, size) - len(rows))
        ids, mask = _padded([texts[row] for row in [*rows, *filler]], model, length)
        values = function(ids, mask)[: len(rows)].float().cpu().numpy()
        if result is None:
            result = np.empty((len(texts), values.shape[1]), dtype=np.float32)
        result[rows] = values

    # a recurrent network's last bits depend on the number of rows
    work_in_batches(batches(), score, what="scoring texts", exact=False)
    assert result is not None
    return result
