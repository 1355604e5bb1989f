"""The quality gate of texts that a MISO generator wrote: of anchors, and of decoded latents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from hf_oversample.oversamplers.miso.judge import LinearJudge, neighbor_vote
from hf_oversample.oversamplers.miso.models import MisoModels
from hf_oversample.oversamplers.miso.surface import surface_reason
from hf_oversample.text.copies import CopyIndex

JUDGES = ("classifier", "critics", "neighbors")


def check_gate(gate: Sequence[str], quantile: float) -> None:
    """Raise ValueError for an unknown judge, or a quantile outside 0 … 1."""
    if unknown := [name for name in gate if name not in JUDGES]:
        raise ValueError(f"gate has {unknown}; it takes some of {list(JUDGES)}.")
    if not 0 <= quantile <= 1:
        raise ValueError(f"gate_quantile is {quantile}; it is a share, from 0 to 1.")


@dataclass(frozen=True, eq=False)
class TextGate:
    """
    Says of each text why it is rejected, or that it is kept. A text's reason does not depend on
    the others.

    Args:
        judges: which of `JUDGES` must place a text with its class: "classifier" (its margin is
            above `least_margins`), "critics" (pointwise mutual information with the class against
            the majority is positive), "neighbors" (majority of the 5 nearest real rows).
        copies: of the real rows' texts, which may not be written again.
        classifier: fitted on the real rows.
        least_margins: `[classes]`, see `LinearJudge.least_margins`.
        labels: `[rows]`, class codes of the real rows.
        class_ids: `[classes]`, the generator's label of each class code.
        embeddings: `[rows, d]` of the real rows, where "neighbors" judges.
    """

    judges: tuple[str, ...]
    copies: CopyIndex
    classifier: LinearJudge
    least_margins: np.ndarray
    labels: np.ndarray
    class_ids: np.ndarray
    embeddings: np.ndarray | None

    @classmethod
    def fit(
        cls,
        models: MisoModels,
        texts: Sequence[str],
        embeddings: np.ndarray,
        labels: np.ndarray,
        class_ids: np.ndarray,
        *,
        judges: Sequence[str],
        quantile: float,
    ) -> Self:
        """
        Learn from the real rows.

        Args:
            models: the generator and the space that it judges in.
            texts, embeddings, labels: n rows; the embeddings are what `models.embed` gives.
            class_ids: `[classes]`, the generator's label of each class code.
            judges: some of `JUDGES`.
            quantile: how clearly the classifier must see a class: the quantile of the margins of
                the class's own rows.

        Raises:
            ValueError: "critics" of a generator that was trained without them.
        """
        if "critics" in judges and models.model.config.parts == "editor":
            raise ValueError(
                f"The gate asks the critics, but the generator {models.model.name_or_path} is an "
                "editor (parts='editor'), whose critics were not trained: take 'critics' out of "
                "the gate, or train a generator with parts='miso'."
            )
        if "critics" in judges and not models.model.config.use_mi:
            raise ValueError(
                f"gate has 'critics', but the generator {models.model.name_or_path} was trained "
                "with use_mi=False, which leaves its critics as random as they started: take "
                "'critics' out of the gate, or train a generator with use_mi=True."
            )
        classifier = LinearJudge.fit(embeddings, labels, len(class_ids))
        return cls(
            judges=tuple(judges),
            copies=CopyIndex.build(texts, models.segmenter),
            classifier=classifier,
            least_margins=classifier.least_margins(embeddings, labels, quantile),
            labels=labels,
            class_ids=class_ids,
            embeddings=embeddings if "neighbors" in judges else None,
        )

    def reasons(
        self, models: MisoModels, texts: Sequence[str], sources: Sequence[str], labels: np.ndarray
    ) -> list[str | None]:
        """
        For each text, why it is rejected (one of `quality.REASONS`), or None.

        Args:
            models: those of `fit`.
            texts: n texts.
            sources: n, the texts that they were made from.
            labels: `[n]`, the class codes that they are for.
        """
        reasons = [
            surface_reason(text, source, self.copies, models.segmenter)
            for text, source in zip(texts, sources, strict=True)
        ]
        left = [i for i, reason in enumerate(reasons) if reason is None]
        if left and self.judges:
            right = self.places_with_class(models, [texts[i] for i in left], labels[left])
            for i, is_right in zip(left, right.tolist(), strict=True):
                reasons[i] = None if is_right else "wrong class"
        return reasons

    def places_with_class(
        self, models: MisoModels, texts: Sequence[str], labels: np.ndarray
    ) -> np.ndarray:
        """Whether every judge places each text with its class `[n]`: boolean `[n]`."""
        result = np.ones(len(texts), bool)
        if {"classifier", "neighbors"} & set(self.judges):
            embeddings = models.embed(texts)
        if "classifier" in self.judges:
            result &= self.classifier.margin(embeddings, labels) > self.least_margins[labels]
        if self.embeddings is not None:
            classes = len(self.class_ids)
            result &= neighbor_vote(embeddings, self.embeddings, self.labels, classes) == labels
        if "critics" in self.judges:
            result &= models.evidence(texts, self.class_ids[labels]) > 0
        return result

    # ---- saving

    def arrays(self) -> dict[str, np.ndarray]:
        """What was fitted, to save; without the labels, which an oversampler saves itself."""
        arrays = {
            "class_ids": self.class_ids,
            "judge.weights": self.classifier.weights,
            "judge.bias": self.classifier.bias,
            "judge.least_margins": self.least_margins,
            "copies.exact": self.copies.exact,
            "copies.sets": self.copies.sets,
            "copies.full": self.copies.full,
        }
        if self.embeddings is not None:
            arrays["train_embeddings"] = self.embeddings
        return arrays

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, np.ndarray], judges: Sequence[str], labels: np.ndarray
    ) -> Self:
        """Take back what `arrays` gave."""
        return cls(
            judges=tuple(judges),
            copies=CopyIndex(arrays["copies.exact"], arrays["copies.sets"], arrays["copies.full"]),
            classifier=LinearJudge(arrays["judge.weights"], arrays["judge.bias"]),
            least_margins=arrays["judge.least_margins"],
            labels=labels,
            class_ids=arrays["class_ids"],
            embeddings=arrays.get("train_embeddings"),
        )
