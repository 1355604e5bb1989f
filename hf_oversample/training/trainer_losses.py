"""Losses of imbalanced classes for the Trainer of transformers: its ``compute_loss_func``.

The Trainer hands a loss the number of labels of all the batches that make one update, over
processes and accumulated micro-batches (``num_items_in_batch``). Only a *sum* of the rows' losses
over that number makes the update that one large batch would; a mean of each micro-batch makes
gradients as many times too large as there are micro-batches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from hf_oversample.data.class_counts import CountsOf, counted, label_counts
from hf_oversample.training.losses import (
    FocalLoss,
    LdamLoss,
    LogitAdjustedLoss,
    SelfAdjustingDiceLoss,
    balanced_class_weights,
    class_balanced_weights,
)
from hf_oversample.training.multi_label_losses import (
    DistributionBalancedLoss,
    PositiveWeightLoss,
    positive_weights,
)

if TYPE_CHECKING:
    from datasets import Dataset

RowLosses = Callable[[Tensor, Tensor], Tensor]
_IGNORED = -100


def cross_entropies(logits: Tensor, labels: Tensor) -> Tensor:
    """Logits [n, classes], and class ids [n] or shares [n, classes] → [n] losses."""
    return F.cross_entropy(logits, labels, reduction="none")


class TrainerLoss:
    """A loss of single-label classification for ``Trainer(compute_loss_func=...)``.

    Labels are class ids [n], −100 for rows that do not count; or floats [n, classes]: a row's
    weight in the column of its class (`hf_oversample.data.row_weights`), or shares of several
    classes (soft labels), which cross-entropy and the logit-adjusted loss alone have a meaning for.

    The result is Σ loss / number of rows of the update: exactly the gradient of one large batch,
    for any number of accumulated micro-batches and of processes. Weights are therefore scaled to a
    mean of 1 over the training rows, not of each batch.

    Args:
        losses: logits [n, classes] and class ids [n] → [n] losses.
        classes: of the head.
        class_weights: [classes]; they multiply a row's loss by its class.
        counts: rows of each class in training. Class weights are scaled by them; default: as given.
        start: share of the training from which the class weights count (deferred re-weighting).
            Above 0 the Trainer must get `callback` among its callbacks too.
        soft: whether ``losses`` takes shares [n, classes] for labels.

    Raises:
        ValueError: sizes that do not fit, weights that are NaN, infinite, negative or all 0, or a
            start outside [0, 1).
    """

    def __init__(
        self,
        losses: RowLosses,
        classes: int,
        *,
        class_weights: npt.ArrayLike | None = None,
        counts: Sequence[int] | npt.NDArray[np.int64] | None = None,
        start: float = 0.0,
        soft: bool = False,
    ) -> None:
        if not 0 <= start < 1:
            raise ValueError(f"start={start} is a share of the training: from 0 to below 1")
        if start and class_weights is None:
            raise ValueError(f"start={start} defers class weights, and there are none")
        self.losses, self.classes, self.start, self.soft = losses, classes, start, soft
        self.class_weights: list[float] | None = None
        if class_weights is not None:
            values = checked_weights(class_weights, classes)
            if counts is not None:
                shares = np.asarray(counts, dtype=np.float64) / np.sum(counts)
                values = values / (values @ shares)
            self.class_weights = values.tolist()
        self.progress: float | None = None

    def __call__(
        self, outputs: Any, labels: Tensor | None, num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """What the Trainer calls.

        Args:
            outputs: of the model, with ``logits`` [n, classes].
            labels: see the class.
            num_items_in_batch: labels of the whole update, as the Trainer counts them: numbers
                other than −100, so that a row of [n, classes] counts as many times as there are
                classes. None: those of this batch, as some versions evaluate.

        Raises:
            ValueError: labels that are missing, outside of the head, or of another shape; a
                head of another size; shares of several classes where the loss has none.
            RuntimeError: deferred weights without their callback.
        """
        logits, labels = logits_of(outputs, self.classes), present(labels)
        is_table = labels.ndim == 2
        if not is_table:
            known = labels != _IGNORED
            logits, labels = logits[known], labels[known]
        rows = labels.shape[0] if num_items_in_batch is None else one_number(num_items_in_batch)
        if is_table:
            losses = self._of_table(logits, labels)
            rows = rows if num_items_in_batch is None else rows / self.classes
        else:
            self._check_ids(labels)
            losses = self.losses(logits, labels)
            if (weights := self._weights(logits)) is not None:
                losses = losses * weights[labels]
        return losses.sum() / rows

    def _of_table(self, logits: Tensor, labels: Tensor) -> Tensor:
        if labels.shape != logits.shape:
            raise ValueError(
                f"labels have shape {tuple(labels.shape)}, logits {tuple(logits.shape)}: a label "
                "is a class id, or a number for each class of the head"
            )
        shares = labels.to(logits)
        if not bool((shares >= 0).all() & shares.isfinite().all()):
            raise ValueError("labels hold NaN, an infinite or a negative number: mend the rows")
        weights = self._weights(logits)
        if self.soft:
            return self.losses(logits, shares if weights is None else shares * weights)
        several = (shares > 0).sum(dim=-1) > 1
        if bool(several.any()):
            row = int(several.nonzero()[0])
            raise ValueError(
                f"row {row} of a batch has shares of several classes ({shares[row].tolist()}), "
                f"which {type(self.losses).__name__} has no meaning for: take "
                '"cross_entropy" or "logit_adjusted" for soft labels'
            )
        ids, own = shares.argmax(dim=-1), shares.sum(dim=-1)
        if weights is not None:
            own = own * weights[ids]
        return self.losses(logits, ids) * own

    def _weights(self, logits: Tensor) -> Tensor | None:
        """[classes] weights that count now."""
        if self.class_weights is None or (self.start and not self._is_started()):
            return None
        return torch.tensor(self.class_weights, dtype=torch.float64).to(logits)

    def _is_started(self) -> bool:
        if self.progress is None:
            if torch.is_grad_enabled():
                raise RuntimeError(
                    f"this loss weighs classes from {self.start:.0%} of the training on, and "
                    "nothing tells it how far the training is: give the Trainer "
                    "callbacks=[loss.callback()]"
                )
            return False  # an evaluation before the training
        return self.progress >= self.start

    def callback(self) -> Any:
        """The callback that deferred weights need."""
        from hf_oversample.training.callbacks import DeferredReweighting

        return DeferredReweighting(self)

    def _check_ids(self, labels: Tensor) -> None:
        if labels.is_floating_point():
            raise ValueError(
                f"labels are {labels.dtype} of shape {tuple(labels.shape)}: a classifier's are "
                "whole numbers, or a number for each class"
            )
        outside = (labels < 0) | (labels >= self.classes)
        if bool(outside.any()):
            raise ValueError(
                f"a label is {int(labels[outside][0])}, outside of the {self.classes} classes of "
                f"the loss (0 … {self.classes - 1}): the evaluation rows may have a class that "
                "the training rows lack, or the labels start at 1"
            )


class MultiLabelTrainerLoss:
    """A loss of multi-label classification for ``Trainer(compute_loss_func=...)``: labels are 0 or
    1 [n, labels] and the result is Σ loss / (rows of the update × labels).

    Args:
        losses: logits and labels [n, labels] → [n, labels] losses.
        classes: labels of the head.
    """

    def __init__(self, losses: RowLosses, classes: int) -> None:
        self.losses, self.classes = losses, classes

    def __call__(
        self, outputs: Any, labels: Tensor | None, num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """What the Trainer calls; see `TrainerLoss`.

        Raises:
            ValueError: labels that are missing, of another shape than the logits, or neither 0
                nor 1; a head of another size.
        """
        logits, labels = logits_of(outputs, self.classes), present(labels)
        if labels.shape != logits.shape or not bool(((labels == 0) | (labels == 1)).all()):
            raise ValueError(
                f"labels of shape {tuple(labels.shape)} for logits {tuple(logits.shape)}: a row's "
                "are one 0 or 1 for each label of the head"
            )
        items = labels.numel() if num_items_in_batch is None else one_number(num_items_in_batch)
        return self.losses(logits, labels).sum() / items


def minority_loss(
    name: str,
    source: CountsOf,
    *,
    label_column: str = "label",
    num_labels: int | None = None,
    class_weights: npt.ArrayLike | None = None,
    start: float | None = None,
    **options: Any,
) -> TrainerLoss | MultiLabelTrainerLoss:
    """A loss by name, with the class counts of the training rows.

    ``Trainer(..., compute_loss_func=minority_loss("logit_adjusted", train))``

    Args:
        name: ``"cross_entropy"``, with ``class_weights`` or weights of the rows; ``"weighted"`` (by
            n / (classes · n_k)); ``"class_balanced"`` (effective numbers; option ``beta``);
            ``"logit_adjusted"`` (``tau``); ``"focal"`` (``gamma``, ``alpha``); ``"dice"``
            (``alpha``, ``smoothing``); ``"ldam"`` and ``"ldam_drw"`` (``max_margin``, ``scale``,
            whose default here is 1: a plain head has no bounded scores; ``beta`` of the weights of
            ``ldam_drw``). Of rows with any number of labels: ``"pos_weight"`` (``weights``) and
            ``"distribution_balanced"`` (``alpha``, ``beta``, ``mu``, ``scale``, ``kappa``).
        source: the training rows, or their number by class; multi-label: the rows.
        label_column: of the rows: a ClassLabel or integers, multi-label lists of 0 and 1.
        num_labels: classes of the head; default: those of the column.
        class_weights: [classes], for ``"cross_entropy"``, ``"focal"`` and the like.
        start: share of the training from which class weights count; default 0.8 for
            ``"ldam_drw"`` (epoch 160 of 200 in its paper), else 0.
        options: of the loss.

    Raises:
        ValueError: an unknown name; bad labels (see `hf_oversample.data.class_counts`); a class
            without a row; weights that are NaN, infinite, negative or all 0.
    """
    if name in _MULTI_LABEL:
        return _multi_label_loss(name, source, label_column, options)
    if name not in LOSSES:
        raise ValueError(f"there is no loss {name!r}: take one of {', '.join(LOSS_NAMES)}")
    counts = counted(source, label_column, num_labels)
    listed = counts.tolist()
    if name == "weighted":
        class_weights = balanced_class_weights(listed)
    elif name in ("class_balanced", "ldam_drw"):
        beta = {"beta": options.pop("beta")} if "beta" in options else {}
        class_weights = class_balanced_weights(listed, **beta)
    if start is None:
        start = 0.8 if name == "ldam_drw" else 0.0
    return TrainerLoss(
        LOSSES[name](listed, options),
        len(counts),
        class_weights=class_weights,
        counts=counts,
        start=start,
        soft=name in ("cross_entropy", "weighted", "class_balanced", "logit_adjusted"),
    )


def _plain(counts: list[int], options: Mapping[str, Any]) -> RowLosses:
    if options:
        raise ValueError(f"cross-entropy has no option {', '.join(options)}")
    return cross_entropies


def _ldam(counts: list[int], options: Mapping[str, Any]) -> RowLosses:
    return LdamLoss(counts, **{"scale": 1.0, **options}, reduction="none")


LOSSES: dict[str, Callable[[list[int], Mapping[str, Any]], RowLosses]] = {
    "cross_entropy": _plain,
    "weighted": _plain,
    "class_balanced": _plain,
    "logit_adjusted": lambda counts, o: LogitAdjustedLoss(counts, **o, reduction="none"),
    "focal": lambda counts, o: FocalLoss(**o, reduction="none"),
    "dice": lambda counts, o: SelfAdjustingDiceLoss(**o, reduction="none"),
    "ldam": _ldam,
    "ldam_drw": _ldam,
}
_MULTI_LABEL = ("pos_weight", "distribution_balanced")
LOSS_NAMES = (*LOSSES, *_MULTI_LABEL)


def _multi_label_loss(
    name: str, source: CountsOf, label_column: str, options: dict[str, Any]
) -> MultiLabelTrainerLoss:
    if not hasattr(source, "column_names"):
        raise ValueError(f"{name!r} counts labels in the training rows: give the data set")
    dataset: Dataset = source  # type: ignore[assignment]
    having, rows = label_counts(dataset, label_column)
    losses: RowLosses
    if name == "pos_weight":
        weights = options.pop("weights", None)
        if weights is None:
            weights = positive_weights(having.tolist(), rows)
        losses = PositiveWeightLoss(weights, **options, reduction="none")
        if len(losses.weights) != len(having):
            raise ValueError(f"{len(losses.weights)} weights for {len(having)} labels")
    else:
        losses = DistributionBalancedLoss(having.tolist(), rows, **options, reduction="none")
    return MultiLabelTrainerLoss(losses, len(having))


# ---- what the Trainer hands over ----------------------------------------------------------------


def logits_of(outputs: Any, classes: int) -> Tensor:
    """The logits [n, classes] of a model's outputs.

    Raises:
        ValueError: the head has another number of classes.
    """
    logits: Tensor = outputs["logits"] if isinstance(outputs, Mapping) else outputs[0]
    if logits.ndim != 2 or logits.shape[1] != classes:
        raise ValueError(
            f"the model's logits have shape {tuple(logits.shape)}, and the loss is of {classes} "
            f"classes: load the model with num_labels={classes}"
        )
    return logits


def present(labels: Tensor | None) -> Tensor:
    """The labels, or ValueError where a batch has none."""
    if labels is None:
        raise ValueError(
            "a batch has no labels: name the column of class ids label or labels, or set "
            "TrainingArguments.label_names"
        )
    return labels


def one_number(num_items_in_batch: Tensor | int) -> Any:
    """The Trainer's count.

    Raises:
        ValueError: one for each GPU of a process: the Trainer then multiplies the loss by them.
    """
    if torch.is_tensor(num_items_in_batch) and num_items_in_batch.numel() > 1:
        raise ValueError(
            f"one process has {num_items_in_batch.numel()} GPUs (DataParallel), for which the "
            "Trainer scales a compute_loss_func once more: start one process a GPU, with torchrun "
            "or accelerate launch, or show it one (CUDA_VISIBLE_DEVICES=0)"
        )
    return num_items_in_batch


def checked_weights(weights: npt.ArrayLike, number: int, what: str = "class_weights") -> np.ndarray:
    """Weights [number] as float64.

    Raises:
        ValueError: another shape; NaN, infinite or negative ones; or all 0.
    """
    values = np.asarray(weights, dtype=np.float64)
    if values.shape != (number,):
        raise ValueError(f"{what} have shape {values.shape}: {number} are needed")
    wrong = np.flatnonzero(~np.isfinite(values) | (values < 0))
    if len(wrong):
        raise ValueError(
            f"{what}[{wrong[0]}] is {values[wrong[0]]} ({len(wrong)} such): weights are finite and "
            "not negative"
        )
    if not values.any():
        raise ValueError(f"{what} are all 0 ({number} of them): nothing would be learnt")
    return values
