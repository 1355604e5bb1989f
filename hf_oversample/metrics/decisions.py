"""From a trained classifier's scores to right probabilities and a class, chosen on validation rows.

What is chosen is a few numbers. They are kept in the model's config, as plain JSON, and so go where
the model goes: `Decision.store`, `Decision.of`, `decide`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.isotonic import IsotonicRegression

from hf_oversample.metrics.label_decisions import LabelDecision
from hf_oversample.metrics.thresholds import (
    CONFIG_KEY,
    checked_logits,
    log_of,
    store_decision,
    stored_decision,
    tuned_offsets,
)
from hf_oversample.text.checks import checked_labels

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Decision:
    """How logits become probabilities, and probabilities a class.

    Probabilities are softmax(logits / temperature + shift), then, where there are isotonic curves,
    each class's value on its curve, scaled to a sum of 1. The class is the one with the largest
    ln p + offset.

    Args:
        temperature: T of temperature scaling (Guo et al. 2017).
        shift: [classes], added to logits / T: logit adjustment, or what resampling changed of the
            prior.
        curves: of each class the abscissae and ordinates of its isotonic curve; none by default.
        offsets: [classes], what moves the threshold; they do not change probabilities.

    Raises:
        ValueError: a temperature that is not positive, numbers that are not finite, or lists of
            other lengths than each other.
    """

    temperature: float
    shift: tuple[float, ...]
    offsets: tuple[float, ...]
    curves: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...] = ()

    def __post_init__(self) -> None:
        flat = [self.temperature, *self.shift, *self.offsets]
        flat += [value for curve in self.curves for axis in curve for value in axis]
        sizes = {len(self.shift), len(self.offsets), len(self.curves) or len(self.shift)}
        uneven = any(len(x) != len(y) or not x for x, y in self.curves)
        if not np.isfinite(flat).all() or not self.temperature > 0 or len(sizes) > 1 or uneven:
            raise ValueError(
                f"a decision needs finite numbers, a positive temperature and as many of each as "
                f"there are classes; got {asdict(self)}"
            )

    def probabilities(self, logits: ArrayLike) -> Floats:
        """Logits [n, classes] → probabilities [n, classes], float64.

        Raises:
            ValueError: the logits are of another number of classes, or not finite.
        """
        scores = checked_logits(logits)
        if scores.shape[1] != len(self.shift):
            raise ValueError(
                f"logits of {scores.shape[1]} classes, and the decision was chosen for "
                f"{len(self.shift)}"
            )
        stated: Floats = softmax(scores / self.temperature + np.array(self.shift), axis=1)
        if not self.curves:
            return stated
        columns = [np.interp(stated[:, k], x, y) for k, (x, y) in enumerate(self.curves)]
        values = np.stack(columns, axis=1)
        total = values.sum(axis=1, keepdims=True)
        # Where all curves are at 0 there is nothing to scale: the softmax stays.
        return np.where(total > 0, values / np.where(total > 0, total, 1.0), stated)

    def classes(self, probabilities: Floats) -> NDArray[np.int64]:
        """Probabilities [n, classes] → class ids [n]."""
        chosen: NDArray[np.int64] = self.ranks(probabilities).argmax(axis=1)
        return chosen

    def ranks(self, probabilities: Floats) -> Floats:
        """What classes are compared by: ln p + offset [n, classes]."""
        ranks: Floats = log_of(probabilities) + np.array(self.offsets)
        return ranks

    def store(self, config: Any) -> None:
        """Put it into a model's config, which ``save_pretrained`` and ``push_to_hub`` write.

        Raises:
            ValueError: the config is of another number of labels.
        """
        store_decision(config, len(self.shift), asdict(self))

    @classmethod
    def of(cls, config: Any) -> Self:
        """The one in a model's config.

        Raises:
            ValueError: there is none, or it is damaged.
        """
        stored = stored_decision(config)
        try:
            return cls(
                float(stored["temperature"]),
                tuple(map(float, stored["shift"])),
                tuple(map(float, stored["offsets"])),
                tuple((tuple(map(float, x)), tuple(map(float, y))) for x, y in stored["curves"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"{CONFIG_KEY!r} of the config cannot be read: {error!r}") from error


def choose_decision(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    calibration: Literal["temperature", "isotonic"] | None = "temperature",
    threshold: bool = True,
    minority: int = 1,
    trained_on: Sequence[int] | None = None,
    prior: Sequence[int] | None = None,
) -> Decision:
    """Choose how to read a classifier's logits, on rows that it was not trained on and that are no
    test rows.

    Args:
        logits: [n, classes] of the validation rows: ``trainer.predict(rows).predictions``.
        labels: [n] their class ids.
        calibration: ``"temperature"``: the T with the least cross-entropy; ``"isotonic"``: a rising
            curve for each class, for a few hundred rows of each or more; None: neither.
        threshold: choose offsets: of two classes those that make the best F1 of ``minority``, of
            more those with the best macro-F1. Without, the likeliest class is taken.
        minority: the class whose F1 counts, of two.
        trained_on: rows of each class that the model was trained on, after resampling.
        prior: rows of each class as they really come. With ``trained_on``, logits are moved by
            ln prior − ln trained_on before anything else (Saerens et al. 2002, equation 4). Equal
            numbers, such as ``[1, 1]``, give logit adjustment (Menon et al. 2021, equation 9).

    Returns:
        The decision; ``decision.store(model.config)`` keeps it.

    Raises:
        ValueError: logits that are not finite, labels that are null or outside of the classes, a
            class without validation rows, or only one of ``trained_on`` and ``prior``.
    """
    scores, truth = checked_logits(logits), checked_labels(labels)
    classes = scores.shape[1]
    if truth.shape != (len(scores),) or not np.isin(truth, np.arange(classes)).all():
        raise ValueError(
            f"labels of shape {truth.shape}, found {np.unique(truth).tolist()}: one class id from "
            f"0 to {classes - 1} is needed for each of {len(scores)} rows of logits"
        )
    missing = np.flatnonzero(np.bincount(truth, minlength=classes) == 0)
    if len(missing):
        raise ValueError(
            f"class {missing[0]} has no validation row: nothing can be chosen for it; split with "
            "stratify_by_column"
        )
    if calibration not in (None, "temperature", "isotonic"):
        raise ValueError(f'calibration={calibration!r}: take "temperature", "isotonic" or None')
    shift = _prior_shift(trained_on, prior, classes)
    temperature = 1.0
    if calibration == "temperature":
        temperature = _best_temperature(scores, shift, truth)
    curves: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...] = ()
    if calibration == "isotonic":
        curves = _isotonic(softmax(scores + shift, axis=1), truth)
    plain = Decision(temperature, tuple(shift.tolist()), (0.0,) * classes, curves)
    if not threshold:
        return plain
    offsets = tuned_offsets(truth, plain.probabilities(scores), minority)
    return Decision(temperature, plain.shift, tuple(offsets.tolist()), curves)


def decision_of(config: Any) -> Decision | LabelDecision:
    """The decision in a model's config: of one class a row, or of any number of labels.

    Raises:
        ValueError: there is none, or it is damaged.
    """
    return (LabelDecision if "thresholds" in stored_decision(config) else Decision).of(config)


def decide(logits: ArrayLike, config: Any) -> tuple[NDArray[np.int64], Floats]:
    """What a model says, by the decision in its config.

    Args:
        logits: [n, classes].
        config: of the model.

    Returns:
        class ids [n], and calibrated probabilities [n, classes]. Of rows with any number of labels
        (:class:`~hf_oversample.metrics.label_decisions.LabelDecision`): 0 or 1 [n, labels], and
        probabilities [n, labels].

    Raises:
        ValueError: the config has no decision, or one for other classes.
    """
    decision = decision_of(config)
    stated = decision.probabilities(logits)
    if isinstance(decision, LabelDecision):
        return decision.labels(stated).astype(np.int64), stated
    return decision.classes(stated), stated


def _prior_shift(
    trained_on: Sequence[int] | None, prior: Sequence[int] | None, classes: int
) -> Floats:
    if trained_on is None and prior is None:
        return np.zeros(classes)
    if trained_on is None or prior is None:
        raise ValueError("give both trained_on and prior, or neither")
    both = np.array([trained_on, prior], dtype=np.float64)
    if both.shape != (2, classes) or not (both > 0).all():
        raise ValueError(
            f"trained_on={list(trained_on)} and prior={list(prior)}: {classes} positive numbers of "
            "rows are needed"
        )
    logs = np.log(both / both.sum(axis=1, keepdims=True))
    shift: Floats = logs[1] - logs[0]
    return shift


def _best_temperature(scores: Floats, shift: Floats, truth: NDArray[Any]) -> float:
    rows = np.arange(len(truth))

    def entropy(log_temperature: float) -> float:
        logs = log_softmax(scores / np.exp(log_temperature) + shift, axis=1)
        return float(-logs[rows, truth].mean())

    # Rows that are all told right would ask for T = 0, which no probability survives.
    found = minimize_scalar(entropy, bounds=(-3.0, 5.0), method="bounded")
    return float(np.exp(found.x))


def _isotonic(
    stated: Floats, truth: NDArray[Any]
) -> tuple[tuple[tuple[float, ...], tuple[float, ...]], ...]:
    curves = []
    for k in range(stated.shape[1]):
        fitted = IsotonicRegression(out_of_bounds="clip", y_min=0.0, y_max=1.0)
        fitted.fit(stated[:, k], truth == k)
        curves.append((tuple(fitted.X_thresholds_.tolist()), tuple(fitted.y_thresholds_.tolist())))
    return tuple(curves)
