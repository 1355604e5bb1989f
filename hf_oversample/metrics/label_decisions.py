"""A threshold for each label, chosen on validation rows, for rows that have any number of labels.

Kept in a model's config as :class:`~hf_oversample.metrics.decisions.Decision` is, and read by the
same ``decide`` and pipeline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit

from hf_oversample.metrics.classification import best_threshold
from hf_oversample.metrics.thresholds import (
    CONFIG_KEY,
    checked_logits,
    store_decision,
    stored_decision,
)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LabelDecision:
    """How logits become a probability of each label, and probabilities labels.

    Probabilities are sigmoid(logits / temperature), and a row has each label whose probability is
    at its threshold or above.

    Args:
        thresholds: [labels], in (0, 1).
        temperatures: [labels], T of temperature scaling of each label by itself.

    Raises:
        ValueError: a threshold outside (0, 1), a temperature that is not positive and finite, or
            lists of different lengths.
    """

    thresholds: tuple[float, ...]
    temperatures: tuple[float, ...]

    def __post_init__(self) -> None:
        inside = all(0 < value < 1 for value in self.thresholds)
        positive = all(0 < value < float("inf") for value in self.temperatures)
        if not (inside and positive and len(self.thresholds) == len(self.temperatures) > 0):
            raise ValueError(
                "a decision of labels needs a threshold between 0 and 1 and a positive temperature "
                f"for each; got {asdict(self)}"
            )

    def probabilities(self, logits: ArrayLike) -> Floats:
        """Logits [n, labels] → probabilities [n, labels], float64.

        Raises:
            ValueError: the logits are of another number of labels, or not finite.
        """
        scores = checked_logits(logits, fewest=1)
        if scores.shape[1] != len(self.thresholds):
            raise ValueError(
                f"logits of {scores.shape[1]} labels, and the decision was chosen for "
                f"{len(self.thresholds)}"
            )
        stated: Floats = expit(scores / np.array(self.temperatures))
        return stated

    def labels(self, probabilities: Floats) -> NDArray[np.bool_]:
        """Probabilities [n, labels] → whether a row has a label, bool [n, labels]."""
        taken: NDArray[np.bool_] = probabilities >= np.array(self.thresholds)
        return taken

    def ranks(self, probabilities: Floats) -> Floats:
        """What labels of a row are ordered by: log-odds over those of the threshold [n, labels];
        not below 0 for labels that are taken."""
        stated = np.clip(probabilities, np.finfo(np.float64).tiny, np.nextafter(1.0, 0.0))
        limits = np.array(self.thresholds)
        ranks: Floats = np.log(stated / (1 - stated)) - np.log(limits / (1 - limits))
        return ranks

    def store(self, config: Any) -> None:
        """Put it into a model's config, which ``save_pretrained`` and ``push_to_hub`` write.

        Raises:
            ValueError: the config is of another number of labels.
        """
        store_decision(config, len(self.thresholds), asdict(self))

    @classmethod
    def of(cls, config: Any) -> Self:
        """The one in a model's config.

        Raises:
            ValueError: there is none, or it is damaged or of one class a row.
        """
        stored = stored_decision(config)
        try:
            return cls(
                tuple(map(float, stored["thresholds"])), tuple(map(float, stored["temperatures"]))
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"{CONFIG_KEY!r} of the config cannot be read: {error!r}") from error


def choose_label_decision(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    calibration: Literal["temperature"] | None = "temperature",
    missing: float | None = None,
    names: Sequence[str] | None = None,
) -> LabelDecision:
    """Choose each label's threshold, on rows that the model was not trained on and that are no test
    rows: the one with the best F1 of the label, and so the best macro-F1.

    Args:
        logits: [n, labels] of the validation rows: ``trainer.predict(rows).predictions``.
        labels: [n, labels] 0 or 1.
        calibration: ``"temperature"``: each label's T with the least cross-entropy; None: no T.
        missing: the threshold of a label that no validation row has, or that all have: nothing can
            be chosen for it. None: an error.
        names: of the labels, for messages.

    Returns:
        The decision; ``decision.store(model.config)`` keeps it.

    Raises:
        ValueError: logits that are not finite, labels of another shape or other than 0 and 1, or a
            label without validation rows of both kinds where ``missing`` is not given.
    """
    scores = checked_logits(logits, fewest=1)
    truth = checked_multi_hot(labels, scores.shape)
    if calibration not in (None, "temperature"):
        raise ValueError(f'calibration={calibration!r}: take "temperature" or None')
    told = list(names) if names is not None else [str(k) for k in range(scores.shape[1])]
    if len(told) != scores.shape[1]:
        raise ValueError(f"{len(told)} names were given for {scores.shape[1]} labels")
    thresholds, temperatures = [], []
    for k, name in enumerate(told):
        own, has = scores[:, k], truth[:, k]
        if has.all() or not has.any():
            if missing is None:
                raise ValueError(
                    f"label {name!r} is on {int(has.sum())} of {len(has)} validation rows: no "
                    "threshold can be chosen for it; give it validation rows of both kinds "
                    "(iterative_split keeps rare labels in every part), or name the threshold that "
                    "it shall have with missing=0.5"
                )
            thresholds.append(float(missing))
            temperatures.append(1.0)
            continue
        heat = _best_temperature(own, has) if calibration == "temperature" else 1.0
        limit = best_threshold(has.astype(int), expit(own / heat))
        # not to a rounder number: an over-confident model's best threshold may be far below it
        limit = float(np.clip(limit, np.finfo(np.float64).tiny, np.nextafter(1.0, 0.0)))
        thresholds.append(limit)
        temperatures.append(heat)
    return LabelDecision(tuple(thresholds), tuple(temperatures))


def checked_multi_hot(labels: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Labels [n, labels] of 0 and 1 as booleans.

    Raises:
        ValueError: another shape, or a value that is neither (its row is named).
    """
    values = np.asarray(labels)
    if values.shape != shape or values.dtype.kind not in "biuf":
        raise ValueError(
            f"labels have shape {values.shape} and type {values.dtype}: 0 or 1 for each of "
            f"{shape} rows and labels is needed (multi-hot; see "
            "hf_oversample.data.label_sets.with_label_lists)"
        )
    wrong = np.argwhere((values != 0) & (values != 1))
    if len(wrong):
        row, place = wrong[0]
        raise ValueError(
            f"labels are {values[row, place]} in row {row}, position {place}: a row has a label "
            "(1) or not (0)"
        )
    return values.astype(bool)


def _best_temperature(scores: Floats, has: NDArray[np.bool_]) -> float:
    signs = np.where(has, -1.0, 1.0)

    def entropy(log_temperature: float) -> float:
        return float(np.logaddexp(0.0, signs * scores / np.exp(log_temperature)).mean())

    # Rows that are all told right would ask for T = 0, which no probability survives.
    found = minimize_scalar(entropy, bounds=(-3.0, 5.0), method="bounded")
    return float(np.exp(found.x))
