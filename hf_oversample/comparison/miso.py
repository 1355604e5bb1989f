"""Where a fold's anchors come from: a MISO generator trained on its training part, or given."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from datasets import ClassLabel, Dataset, Features, Value

from hf_oversample.comparison.embedders import encoder_identity
from hf_oversample.comparison.fold import Fold
from hf_oversample.data.labeled_texts import Texts
from hf_oversample.data.whole_files import put_folder
from hf_oversample.numeric.precision import has_fast_bfloat16
from hf_oversample.oversamplers.anchors.shortfall import TextCounts, shortfall_lines
from hf_oversample.oversamplers.miso.oversampler import MisoOversampler
from hf_oversample.oversamplers.miso.parts import parts_read
from hf_oversample.oversamplers.plan import ORIGINS
from hf_oversample.training.arguments import MisoTrainingArguments
from hf_oversample.training.generator import train_generator

if TYPE_CHECKING:
    from hf_oversample.oversamplers.language_model.oversampler import LanguageModelOversampler

RECORD = "generator.json"
NOT_OF_THE_GENERATOR = ("logging_steps", "save_steps", "report_to", "seed")
"""Training arguments that it is no function of (the seed is the fold's, or the source's)."""


@dataclass(frozen=True)
class GivenAnchors:
    """Anchors that were made before, of the fold's training rows alone."""

    texts: Texts
    has_backbone = False

    def identity(self) -> str:
        """Of the texts and their classes."""
        labels = self.texts.labels.tolist()
        return _digest([self.texts.texts, labels])[:16]

    def anchors(self, fold: Fold, seed: int) -> Texts:
        """The texts given."""
        return self.texts

    def backbone(self, fold: Fold) -> Path:
        """There is none.

        Raises:
            ValueError: always.
        """
        raise ValueError("anchors were given without their generator: it has no backbone to start")


@dataclass
class MisoSource:
    """Trains a generator on a fold's training part, once, and keeps it in a folder.

    Args:
        folder: one sub-folder a fold: the generator, its encoder, the seconds they took, and a
            digest of the fold's rows and the settings. A run that goes on finds them there; one of
            other rows or settings trains anew.
        training: steps and rates; its seed gives way to the fold's.
        seed: of all generators; default: each fold's own, so that runs on the same rows differ by
            their generators too.
        settings: further fields of `MisoConfig`.
        options: further arguments of `MisoOversampler`.
    """

    folder: Path
    training: MisoTrainingArguments
    seed: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    has_backbone = True

    def identity(self) -> str:
        """Of all settings of the generator and of what it writes; rows and encoder are the
        comparison's."""
        training = self.training.to_dict()
        for name in NOT_OF_THE_GENERATOR:
            del training[name]
        return _digest([training, self.seed, self.settings, self.options, self._parts()])[:16]

    def generator(self, fold: Fold) -> Path:
        """Folder with the fold's `generator` and its `encoder`, trained if it is not there yet."""

        def make() -> Path:
            final, digest = self.folder / fold.key, self._digest(fold)
            if (final / RECORD).exists():
                record = json.loads((final / RECORD).read_text())
                # A generator of other rows may have been trained on what this fold holds out.
                if record.get("digest") == digest:
                    fold.cache.costs.spare(record["training"])
                    return final
            start = time.perf_counter()
            trained = train_generator(
                fold.train,
                class_names=fold.class_names,
                target_classes=fold.growing,
                language=fold.segmenter.language,
                training=replace(self.training, seed=self._seed(fold)),
                encoder_name=fold.encoder_name,
                validation=fold.validation,
                edits=self.options.get("realizer", "edit") == "edit",
                protection=fold.protection,
                user_dictionary=fold.segmenter.user_dictionary,
                **({"parts": self._parts()} | self.settings),
            )
            self.folder.mkdir(parents=True, exist_ok=True)
            # Filled beside its place and then renamed: a killed run leaves no half of a model.
            scratch = Path(tempfile.mkdtemp(prefix=f".{fold.key}.", dir=self.folder))
            try:
                trained.save(scratch / "generator")
                trained.model.miso.encoder.save_pretrained(scratch / "encoder")
                trained.tokenizer.save_pretrained(scratch / "encoder")
                seconds = round(time.perf_counter() - start, 2)
                (scratch / RECORD).write_text(json.dumps({"training": seconds, "digest": digest}))
                put_folder(scratch, final)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
            return final

        return fold.cache.get("generator", make)

    def _parts(self) -> str:
        """What its anchors read, and is trained."""
        names = ("realizer", "use_latent", "gate")
        return parts_read(**{name: self.options[name] for name in names if name in self.options})

    def _seed(self, fold: Fold) -> int:
        return fold.seed if self.seed is None else self.seed

    def _digest(self, fold: Fold) -> str:
        """Of all that a generator is a function of."""
        content = hashlib.sha256()
        for part in (fold.train, fold.validation):
            for text, label in zip(part.texts, part.labels.tolist(), strict=True):
                content.update(f"{label}\t{text}\0".encode())
            content.update(b"\1")
        settings = [
            *(fold.class_names, fold.growing, fold.segmenter.language),
            *(fold.segmenter.user_dictionary, asdict(fold.protection)),
            *(encoder_identity(fold.encoder_name), has_fast_bfloat16()),
            *(self.training.to_dict(), self._seed(fold), self.settings, self._parts()),
        ]
        content.update(json.dumps(settings, sort_keys=True, default=str).encode())
        return content.hexdigest()[:32]

    def backbone(self, fold: Fold) -> Path:
        """Folder of the encoder as the training of the generator left it."""
        return self.generator(fold) / "encoder"

    def anchors(self, fold: Fold, seed: int) -> Texts:
        """
        New texts of the fold's rare classes; repeated real rows are not among them.

        Raises:
            ValueError: no anchor was made; the message counts the reasons.
        """

        def make() -> Texts:
            oversampler = MisoOversampler(
                str(self.generator(fold) / "generator"),
                embedder=fold.encoder_name,
                seed=seed,
                language=fold.segmenter.language,
                protect=fold.protection.pattern,
                protect_defaults=fold.protection.defaults,
                max_length=self.training.max_length,
                precision="bfloat16" if has_fast_bfloat16() else "float32",
                **self.options,
            )
            return written_for(fold, oversampler, "the generator made no anchor that its gate")

        return fold.cache.get(("anchors", seed), make)


def written_for(
    fold: Fold, oversampler: MisoOversampler | LanguageModelOversampler, none: str
) -> Texts:
    """
    The new texts of a fold's rare classes that an oversampler writes, without repeated rows.

    Args:
        fold: its training part is all that is read.
        oversampler: not yet fitted.
        none: how the error begins: "… let through" follows.

    Raises:
        ValueError: no text was let through; the message counts the reasons.
    """
    dataset = as_dataset(fold)
    children = oversampler.fit(dataset).children(dataset)
    fold.check_parents(np.asarray(children["parent"], np.int64))
    made = np.asarray(children["origin"]) == ORIGINS.index("synthetic")
    if not made.any():
        counts = TextCounts.of_anchors(oversampler, 0)
        reasons = " ".join(line.removeprefix("- ") for line in shortfall_lines(counts))
        raise ValueError(f"{none} let through. {reasons}")
    return Texts.of(children.select(np.flatnonzero(made)))


def _digest(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()


def as_dataset(fold: Fold) -> Dataset:
    """A fold's training part with the columns `text` and `label`."""
    features = Features({"text": Value("string"), "label": ClassLabel(names=fold.class_names)})
    columns = {"text": fold.train.texts, "label": fold.train.labels}
    return Dataset.from_dict(columns, features=features)
