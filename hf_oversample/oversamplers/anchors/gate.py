"""The quality gate of made texts: of anchors, by any writer, and of decoded latents."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np

from hf_oversample.oversamplers.anchors.influence import Influence
from hf_oversample.oversamplers.anchors.judge import (
    LinearJudge,
    chosen_regularization,
    out_of_fold_margins,
)
from hf_oversample.oversamplers.anchors.near_rows import NearRows, Voters
from hf_oversample.oversamplers.anchors.surface import surface_reason
from hf_oversample.text.copies import CopyIndex, text_keys
from hf_oversample.text.vocabulary import KnownWords
from hf_oversample.text.words import Segmenter

logger = logging.getLogger(__name__)

JUDGES = ("classifier", "critics", "neighbors", "influence")
UNKNOWN_WORDS = ("reject", "keep")


class GateModels(Protocol):
    """What a gate asks of the models of a method; `segmenter` finds words."""

    segmenter: Segmenter

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """`[n, d]` float32 of n texts, each whatever the others are."""
        ...

    def check_critics(self) -> None:
        """Raise ValueError where there are no trained critics."""
        ...

    def evidence(self, texts: Sequence[str], classes: np.ndarray) -> np.ndarray:
        """The critics' pointwise mutual information of texts and classes `[n]`, in nats."""
        ...


def check_gate(
    gate: Sequence[str],
    quantile: float,
    ceiling: float = 1.0,
    unknown_words: str = "reject",
    max_cosine: float = 1.0,
) -> None:
    """Raise ValueError for an unknown judge or way, or shares that are none, or not in order."""
    if unknown := [name for name in gate if name not in JUDGES]:
        raise ValueError(f"gate has {unknown}; it takes some of {list(JUDGES)}.")
    if unknown_words not in UNKNOWN_WORDS:
        raise ValueError(f"unknown_words is {unknown_words!r}; it is 'reject' or 'keep'.")
    if not 0 < max_cosine <= 1:
        raise ValueError(
            f"max_cosine is {max_cosine}; it is a cosine above 0, and at most 1, which sets no "
            "limit."
        )
    for name, share in (("gate_quantile", quantile), ("gate_ceiling", ceiling)):
        if not 0 <= share <= 1:
            raise ValueError(f"{name} is {share}; it is a share, from 0 to 1.")
    if quantile > ceiling or (quantile == ceiling and ceiling < 1):
        raise ValueError(
            f"gate_quantile is {quantile} and gate_ceiling {ceiling}: no margin is above the one "
            "and below the other. Give gate_ceiling a larger share, or gate_quantile a smaller one."
        )


@dataclass(frozen=True, eq=False)
class MarginBand:
    """
    The margins between which a text of each class is kept.

    Args:
        least: `[classes]` float32, at least 0: a text's margin is above it, or it is of the wrong
            class.
        most: `[classes]` float32, may be infinite: a text's margin is at most that, or it is too
            easy.
        rows: `[classes]`, the real rows that the two were measured on.
    """

    least: np.ndarray
    most: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(
        cls,
        margins: np.ndarray,
        labels: np.ndarray,
        num_classes: int,
        quantile: float,
        ceiling: float,
    ) -> Self:
        """
        The band of unseen real rows' margins.

        Args:
            margins, labels: `[n]`, see `out_of_fold_margins`; NaN where it is not known.
            num_classes: number of classes.
            quantile: of a class's margins, is `least` where it is above 0; 0 asks for no more than
                a margin above 0.
            ceiling: of a class's margins, is `most`; 1 sets none.
        """
        least, most = np.zeros(num_classes, np.float32), np.full(num_classes, np.inf, np.float32)
        known = np.isfinite(margins)
        # method "weibull": of the i-th of m rows, i / (m + 1), the share that the next row is
        # expected to be below; other definitions ask too much where a class has few rows
        for label in np.unique(labels[known]):
            own = margins[known & (labels == label)]
            if quantile > 0:
                least[label] = max(0.0, float(np.quantile(own, quantile, method="weibull")))
            if ceiling < 1:
                most[label] = float(np.quantile(own, ceiling, method="weibull"))
        return cls(least, most, np.bincount(labels[known], minlength=num_classes))


@dataclass(frozen=True, eq=False)
class TextGate:
    """
    Says of each text why it is rejected, or that it is kept. A text's reason does not depend on
    the others.

    Args:
        judges: which of `JUDGES` must place a text with its class: "classifier" (its margin is in
            `band`), "critics" (pointwise mutual information with the class against the majority is
            positive), "neighbors" (more than half of the 5 nearest real rows are of the class,
            without the text's source and exact copies of it), "influence" (learning it would lower
            the loss of real rows that a classifier has not seen, see `Influence`).
        copies: of the real rows' texts, which may not be written again.
        classifier: fitted on the real rows.
        band: the margins that it asks for.
        labels: `[rows]`, class codes of the real rows.
        class_ids: `[classes]`, the generator's label of each class code.
        voters: of the real rows, where "neighbors" judges.
        known: the real rows' words, where a text with another word is rejected.
        near: the real rows, where a text may be too near to one.
        influence: where "influence" judges.
    """

    judges: tuple[str, ...]
    copies: CopyIndex
    classifier: LinearJudge
    band: MarginBand
    labels: np.ndarray
    class_ids: np.ndarray
    voters: Voters | None
    known: KnownWords | None = None
    near: NearRows | None = None
    influence: Influence | None = None

    @classmethod
    def fit(
        cls,
        models: GateModels,
        texts: Sequence[str],
        embeddings: np.ndarray,
        labels: np.ndarray,
        class_ids: np.ndarray,
        *,
        class_names: Sequence[str],
        written: Iterable[int],
        judges: Sequence[str],
        quantile: float,
        ceiling: float = 1.0,
        unknown_words: str = "reject",
        max_cosine: float = 1.0,
        seed: int = 0,
    ) -> Self:
        """
        Learn from the real rows.

        Args:
            models: the space that texts are judged in, and the critics where they judge.
            texts, embeddings, labels: n rows; the embeddings are what `models.embed` gives.
            class_ids: `[classes]`, the generator's label of each class code.
            class_names: the classes' names, by class code.
            written: codes of the classes that texts are written for.
            judges: some of `JUDGES`.
            quantile, ceiling: how clearly the classifier must see a class, and how clearly it may:
                shares of the margins that the class's own rows have out of fold, see `MarginBand`.
            unknown_words: "reject" texts with a word that none of the n has, or "keep" them.
            max_cosine: largest cosine of a text's embedding with a row's; 1 sets no limit.
            seed: deals the rows out to the folds.

        Raises:
            ValueError: "critics" of models that have none.
        """
        if "critics" in judges:
            models.check_critics()
        margins = np.full(len(labels), np.nan, np.float32)
        strength = chosen_regularization(embeddings, labels, len(class_ids), seed=seed)
        if "classifier" in judges and (quantile > 0 or ceiling < 1):
            margins = out_of_fold_margins(
                embeddings, labels, len(class_ids), seed=seed, regularization=strength
            )
            for code in written:
                if not np.isfinite(margins[labels == code]).any():
                    logger.warning(
                        "class %r has too few different rows to hold one out: its texts need only "
                        "be placed with it, and gate_quantile and gate_ceiling ask for no more",
                        class_names[code],
                    )
        influence = None
        if "influence" in judges:
            influence = Influence.fit(
                embeddings, labels, len(class_ids), written, regularization=strength, seed=seed
            )
        return cls(
            judges=tuple(judges),
            copies=CopyIndex.build(texts, models.segmenter),
            classifier=LinearJudge.fit(embeddings, labels, len(class_ids), strength),
            band=MarginBand.of(margins, labels, len(class_ids), quantile, ceiling),
            labels=labels,
            class_ids=class_ids,
            voters=Voters(embeddings, text_keys(texts)) if "neighbors" in judges else None,
            known=KnownWords.of(texts, models.segmenter) if unknown_words == "reject" else None,
            near=NearRows.of(embeddings, max_cosine) if max_cosine < 1 else None,
            influence=influence,
        )

    def reasons(
        self, models: GateModels, texts: Sequence[str], sources: Sequence[str], labels: np.ndarray
    ) -> list[str | None]:
        """
        For each text, why it is rejected (one of `surface.REASONS`), or None.

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
        if self.known is not None:
            for i, text in enumerate(texts):
                if reasons[i] is None and self.known.unknown(text, models.segmenter):
                    reasons[i] = "unknown words"
        left = [i for i, reason in enumerate(reasons) if reason is None]
        if left and (self.judges or self.near is not None):
            judged = self.judged(
                models, [texts[i] for i in left], [sources[i] for i in left], labels[left]
            )
            for i, reason in zip(left, judged, strict=True):
                reasons[i] = reason
        return reasons

    def judged(
        self, models: GateModels, texts: Sequence[str], sources: Sequence[str], labels: np.ndarray
    ) -> list[str | None]:
        """What is said against each text by where it is: "too near", "wrong class", "too easy", "no
        help", or None."""
        is_right, is_easy = np.ones(len(texts), bool), np.zeros(len(texts), bool)
        is_near, is_useless = np.zeros(len(texts), bool), np.zeros(len(texts), bool)
        if set(self.judges) - {"critics"} or self.near is not None:
            embeddings = models.embed(texts)
        if self.near is not None:
            is_near = self.near.are_near(embeddings)
        if "classifier" in self.judges:
            margins = self.classifier.margin(embeddings, labels)
            is_right &= margins > self.band.least[labels]
            is_easy = margins > self.band.most[labels]
        if self.voters is not None:
            is_right &= self.voters.majority(embeddings, sources, self.labels) == labels
        if "critics" in self.judges:
            is_right &= models.evidence(texts, self.class_ids[labels]) > 0
        if self.influence is not None:  # of a class of which nothing is known all may pass
            is_useless = self.influence.of(embeddings, labels) <= 0
        reasons: list[str | None] = [None] * len(texts)
        # the last one that holds is told first
        for reason, holds in (
            ("no help", is_useless),
            ("too easy", is_easy),
            ("wrong class", ~is_right),
            ("too near", is_near),
        ):
            for place in np.flatnonzero(holds).tolist():
                reasons[place] = reason
        return reasons

    # ---- saving

    def arrays(self) -> dict[str, np.ndarray]:
        """What was fitted, to save; without the labels, which an oversampler saves itself."""
        arrays = {
            "class_ids": self.class_ids,
            "judge.weights": self.classifier.weights,
            "judge.bias": self.classifier.bias,
            "judge.least_margins": self.band.least,
            "judge.most_margins": self.band.most,
            "judge.band_rows": self.band.rows,
            "copies.exact": self.copies.exact,
            "copies.sets": self.copies.sets,
            "copies.full": self.copies.full,
        }
        if self.voters is not None:
            arrays["train_embeddings"] = self.voters.embeddings
            arrays["train_keys"] = self.voters.keys
        if self.known is not None:
            arrays["words.known"] = self.known.hashes
        if self.near is not None:
            arrays["near.directions"] = self.near.directions
            arrays["near.most"] = np.asarray([self.near.most])
        if self.influence is not None:
            arrays["influence.weights"] = self.influence.weights
            arrays["influence.directions"] = self.influence.directions
        return arrays

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, np.ndarray], judges: Sequence[str], labels: np.ndarray
    ) -> Self:
        """Take back what `arrays` gave."""
        voters = None
        if "train_keys" in arrays:
            voters = Voters(arrays["train_embeddings"], arrays["train_keys"])
        known = KnownWords(arrays["words.known"]) if "words.known" in arrays else None
        near = None
        if "near.directions" in arrays:
            near = NearRows(arrays["near.directions"], float(arrays["near.most"][0]))
        influence = None
        if "influence.weights" in arrays:
            influence = Influence(arrays["influence.weights"], arrays["influence.directions"])
        return cls(
            judges=tuple(judges),
            copies=CopyIndex(arrays["copies.exact"], arrays["copies.sets"], arrays["copies.full"]),
            classifier=LinearJudge(arrays["judge.weights"], arrays["judge.bias"]),
            band=MarginBand(
                arrays["judge.least_margins"],
                arrays["judge.most_margins"],
                arrays["judge.band_rows"],
            ),
            labels=labels,
            class_ids=arrays["class_ids"],
            voters=voters,
            known=known,
            near=near,
            influence=influence,
        )
