"""One fold: what a remedy may train on, what chooses, what reports, and the guard between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import xxhash

from hf_oversample.comparison.costs import SharedValues
from hf_oversample.comparison.embedders import (
    Embed,
    RememberedEmbeddings,
    pretrained_embedder,
)
from hf_oversample.data.labeled_texts import Texts
from hf_oversample.neighbors.difficult import DifficultSamples, difficult_samples
from hf_oversample.text.protection import DEFAULT_PROTECTION, Protection
from hf_oversample.text.words import Segmenter, normalized

PARTS = ("train", "validation", "test")
# nearest other rows of a test row, which say whether it is difficult (MISO, section 7.1)
TEST_NEIGHBORS = 5


class LeakError(ValueError):
    """Validation or test rows were about to be resampled or trained on."""


def refuse_leak(pool: Sequence[str], held_out: Sequence[str], name: str = "the pool") -> None:
    """Refuse a resampling pool that holds texts which are held out.

    Texts are compared but for case and spaces.

    Args:
        pool: texts that are resampled or trained on.
        held_out: validation and test texts.
        name: of the pool, for the message.

    Raises:
        LeakError: with the number of such rows, and the first.
    """
    known = {normalized(text) for text in held_out}
    rows = [row for row, text in enumerate(pool) if normalized(text) in known]
    if rows:
        raise LeakError(
            f"{len(rows)} of {len(pool)} rows of {name} are validation or test rows, the first is "
            f"{pool[rows[0]][:80]!r}. Scores would be those of texts that were "
            "learnt by heart: split first, and resample the training part only"
        )


@dataclass(frozen=True, eq=False)
class MadeVectors:
    """Embeddings that a remedy made of others.

    Attributes:
        vectors: `[m, d]`.
        labels: `[m]` class ids.
        parents: `[m]` row numbers of those that they were made of.
        resampled: `matrix_digest` of what was resampled, which must be the training part.
    """

    vectors: np.ndarray
    labels: np.ndarray
    parents: np.ndarray
    resampled: str


def matrix_digest(vectors: np.ndarray, labels: np.ndarray) -> str:
    """What tells a matrix `[n, d]` with its class ids `[n]` from any other."""
    content = xxhash.xxh3_128(repr(vectors.shape).encode())
    content.update(np.ascontiguousarray(vectors, np.float32).tobytes())
    content.update(np.ascontiguousarray(labels, np.int64).tobytes())
    return content.hexdigest()


class AnchorSource(Protocol):
    """Where a fold's anchors come from."""

    has_backbone: bool

    def identity(self) -> str:
        """What tells its anchors of the same fold and seed from another source's: 16 hexadecimal
        digits. Cells of one remedy that differ in it are not of one comparison."""
        ...

    def anchors(self, fold: Fold, seed: int) -> Texts:
        """New texts of the rare classes."""
        ...

    def backbone(self, fold: Fold) -> Path:
        """Folder of the generator's encoder, where there is one."""
        ...


@dataclass(eq=False)
class Fold:
    """Training, validation and test rows, and what the remedies need of them.

    Args:
        train, validation, test: the parts; validation chooses, test is scored once. No text may be
            in two of them.
        class_names: in the order of the class codes.
        segmenter: the language's.
        protection: what edits of texts leave as it is.
        minority: the class whose F1 is reported; default: the rarest in training.
        embed: texts → `[n, d]` float32 of a frozen encoder: heads and embedding oversamplers work
            on these, and they say which test rows are difficult.
        encoder_name: a pretrained encoder for `AutoModel`, for fine-tuning and word vectors.
        generator: gives the anchors and the backbone of a MISO generator of this fold's training
            rows; see :mod:`hf_oversample.comparison.miso`.
        writer: gives the texts that a language model writes for this fold's training rows; see
            :mod:`hf_oversample.comparison.language_model`.
        edits: `[classes]`, how many edits EDA and its kin make; default ten a row of the classes
            that grow, and no more than bring them to the largest.
        key: names the fold among its run's.
        seed: of what is trained once for all of its remedies, a generator.
        cache: what remedies share.

    Attributes:
        left_out: how many made texts :meth:`admit` left out since it was set to 0.
        withheld: of rows that were given, how many it does not train on, by reason.

    Raises:
        LeakError: a validation or test text is among the training texts, or a test text among the
            validation texts.
    """

    train: Texts
    validation: Texts
    test: Texts
    class_names: list[str]
    segmenter: Segmenter
    minority: int = -1
    embed: Embed | None = None
    encoder_name: str | None = None
    generator: AnchorSource | None = None
    writer: AnchorSource | None = None
    edits: np.ndarray | None = None
    protection: Protection = DEFAULT_PROTECTION
    key: str = "fold"
    seed: int = 0
    cache: SharedValues = field(default_factory=SharedValues)
    left_out: int = 0
    withheld: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        held_out = self.validation.texts + self.test.texts
        refuse_leak(self.train.texts, held_out, "the training part")
        refuse_leak(self.validation.texts, self.test.texts, "the validation part")
        self._held_out = {normalized(text) for text in held_out}
        if self.minority < 0:
            present = np.flatnonzero(self.counts)
            self.minority = int(present[np.argmin(self.counts[present])])

    @property
    def counts(self) -> np.ndarray:
        """Training rows of each class: `[classes]`."""
        return np.bincount(self.train.labels, minlength=len(self.class_names))

    @property
    def growing(self) -> list[int]:
        """Classes that have rows, but fewer than the largest."""
        counts = self.counts
        return [int(c) for c in np.flatnonzero((counts > 0) & (counts < counts.max()))]

    def part(self, name: str) -> Texts:
        """The rows of "train", "validation" or "test"."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]

    # ---- the guard ------------------------------------------------------------------------------

    def check_training(self, texts: Sequence[str], made: int = 0) -> None:
        """Refuse training rows that this fold holds out, or that are not its training rows.

        Args:
            texts: all training texts, those made last.
            made: how many of them are made.

        Raises:
            LeakError: a text is held out, or a text that is not made is no training row.
        """
        self._refuse_held_out(texts, "the training rows")
        own = self.cache.get("own texts", lambda: {normalized(text) for text in self.train.texts})
        for text in texts[: len(texts) - made]:
            if normalized(text) not in own:
                raise LeakError(
                    f"the training text {text[:80]!r} is given as real, but is none of the "
                    f"{len(self.train)} rows of the training part"
                )

    def check_parents(self, parents: np.ndarray) -> None:
        """Refuse children of rows that are not in the training part.

        Raises:
            LeakError: a parent's number is not one of a training row.
        """
        outside = np.flatnonzero((parents < 0) | (parents >= len(self.train)))
        if len(outside):
            raise LeakError(
                f"{len(outside)} of {len(parents)} made rows have parents outside the training "
                f"part, which has rows 0 to {len(self.train) - 1}; the first parent is "
                f"{int(parents[outside[0]])}: more than the training part was resampled"
            )

    def check_vectors(self, made: MadeVectors) -> None:
        """Refuse made embeddings that come of more than the training part.

        Raises:
            LeakError: another matrix than the training part's was resampled, a parent is not in it,
                or a made row is the embedding of a held-out text and of no training text.
        """
        self.check_parents(made.parents)
        own = self.embedded("train")
        if made.resampled != matrix_digest(own, self.train.labels):
            raise LeakError(
                f"{len(made.labels)} embeddings were made of other rows than the {len(own)} of the "
                "training part: whatever else was resampled may be held out"
            )
        known = {row.tobytes() for row in own}
        held_out = {row.tobytes() for part in PARTS[1:] for row in self.embedded(part)} - known
        copies = [row.tobytes() in held_out for row in made.vectors.astype(np.float32, copy=False)]
        if any(copies):
            raise LeakError(
                f"{sum(copies)} of {len(copies)} made embeddings are those of validation or test "
                f"rows, the first is of class {self.class_names[made.labels[copies.index(True)]]!r}"
            )

    def admit(self, made: Texts) -> Texts:
        """Made texts without those that happen to equal a held-out text; `left_out` counts them."""
        kept = [i for i, text in enumerate(made.texts) if normalized(text) not in self._held_out]
        self.left_out += len(made) - len(kept)
        return Texts([made.texts[i] for i in kept], made.labels[np.asarray(kept, np.int64)])

    def _refuse_held_out(self, texts: Sequence[str], name: str) -> None:
        if not self._held_out.isdisjoint(map(normalized, texts)):
            refuse_leak(texts, self.validation.texts + self.test.texts, name)

    # ---- embeddings -----------------------------------------------------------------------------

    def embedded(self, part: str, backbone: Path | None = None) -> np.ndarray:
        """Embeddings of a part, by the fold's encoder or another one in a folder: `[n, d]`."""

        def make() -> np.ndarray:
            embed = self.embedder(backbone)
            values = embed(self.part(part).texts)
            if isinstance(embed, RememberedEmbeddings):
                self.cache.costs.spare(embed.spared)
            return values

        # keys are recorded with their costs, and a record tells nothing of a machine's folders
        other = () if backbone is None else (xxhash.xxh3_64_hexdigest(str(backbone)),)
        return self.cache.get(("embedded", part, *other), make)

    def embedder(self, backbone: Path | None = None) -> Embed:
        """The fold's encoder, or that of a folder.

        Raises:
            ValueError: there is none.
        """
        if backbone is not None:
            return pretrained_embedder(backbone)
        if self.embed is None:
            raise ValueError("this fold has no encoder: give it `embed`, texts → [n, d]")
        return self.embed

    def test_neighborhood(self) -> DifficultSamples | None:
        """The minority's test rows and their 5 nearest test rows by the frozen encoder, which say
        which of them are difficult; None without an encoder."""
        if self.embed is None:
            return None

        def find() -> DifficultSamples:
            return difficult_samples(
                self.embedded("test"), self.test.labels, k=TEST_NEIGHBORS, minority=[self.minority]
            )

        return self.cache.get("difficult", find)
