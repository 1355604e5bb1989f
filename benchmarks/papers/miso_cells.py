"""The cells of the MISO paper's tables: what each method is here, and how one is run."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from benchmarks.papers.records import JsonlRecords, Record
from hf_oversample.comparison.embedders import (
    LatentSemanticEmbedder,
    RememberedEmbeddings,
    encoder_identity,
    pretrained_embedder,
)
from hf_oversample.comparison.fold import Fold
from hf_oversample.comparison.miso import MisoSource
from hf_oversample.comparison.problem import Problem, Split
from hf_oversample.comparison.protocol import run_cell
from hf_oversample.comparison.registry import classifier_named
from hf_oversample.comparison.remedies import REMEDIES
from hf_oversample.comparison.scores import Scores
from hf_oversample.metrics.difficult import difficult_report
from hf_oversample.text.words import Segmenter
from hf_oversample.training.arguments import MisoTrainingArguments

KEY = ("data", "fold", "generator", "classifier", "remedy", "settings")
# Fields of `MisoConfig`. Both kinds of anchors read their latent, which is what is ablated.
GENERATORS: dict[str, dict[str, Any]] = {"MISO": {}, "CAG": {"use_sfm": False, "use_mi": False}}
ANCHORS = {"use_latent": True}


@dataclass(frozen=True)
class Method:
    """A row of the paper's table as this library has it.

    Attributes:
        classifier: a kind of :data:`hf_oversample.comparison.registry.CLASSIFIERS`.
        remedy: a name among :data:`hf_oversample.comparison.remedies.REMEDIES`.
        generator: whose anchors the remedy uses, among `GENERATORS`.
    """

    classifier: str
    remedy: str
    generator: str | None = None


METHODS: dict[str, Method] = {
    "TextCNN": Method("textcnn", "none"),
    "TextRNN": Method("textrnn", "none"),
    "XLNet": Method("finetune", "none"),
    "ADASYN": Method("mlp", "ADASYN"),
    "MixText": Method("textcnn", "TMix"),
    "Focal": Method("textcnn", "focal loss"),
    "Dice": Method("textcnn", "dice loss"),
    "cRT": Method("textcnn", "cRT"),
    "τ-norm": Method("textcnn", "tau normalisation"),
    "CAG": Method("textcnn", "anchors", "CAG"),
    "CAG-RNN": Method("textrnn", "anchors", "CAG"),
    "CAG-XLNet": Method("finetune", "anchors", "CAG"),
    "M-CNN": Method("textcnn", "anchors", "MISO"),
    "M-RNN": Method("textrnn", "anchors", "MISO"),
    "M-XLNet": Method("finetune", "anchors", "MISO"),
}


@dataclass(frozen=True)
class MisoSizes:
    """How much of everything.

    Attributes:
        majority: rows of the larger class at most; None: as many as the paper has.
        words: of a text, those after them are cut off, for all methods; None: all stay.
        classifier_steps: updates of a TextCNN or TextRNN.
        encoder_steps: updates of a fine-tuned encoder.
        pretrain_steps, critic_steps, adversarial_steps: of a generator's three phases.
        batch_size: texts of a generator's step.
        max_length: longest text in tokens at most, for the generator.
    """

    majority: int | None
    words: int | None
    classifier_steps: int
    encoder_steps: int
    pretrain_steps: int
    critic_steps: int
    adversarial_steps: int
    batch_size: int
    max_length: int

    def training(self, max_length: int) -> MisoTrainingArguments:
        """The generator's, for texts of so many tokens."""
        return MisoTrainingArguments(
            pretrain_steps=self.pretrain_steps,
            critic_steps=self.critic_steps,
            adversarial_steps=self.adversarial_steps,
            batch_size=self.batch_size,
            max_length=min(max_length, self.max_length),
        )


class MisoCells:
    """Runs the cells of one data set that the records do not have.

    Args:
        problem: its folds.
        max_length: longest text in tokens that its generator reads.
        sizes: of everything else.
        encoder_name: a pretrained encoder; None: embeddings by latent semantic analysis, and a
            small encoder from scratch for the generator.
        encoder_title: what the records call it.
        records: where results are kept. Generators lie beside them while their fold is run.
        progress: gets a line for each cell.
    """

    def __init__(
        self,
        problem: Problem,
        max_length: int,
        sizes: MisoSizes,
        encoder_name: str | None,
        encoder_title: str | None,
        records: JsonlRecords,
        progress: Callable[[str], None],
    ) -> None:
        self.problem, self.records, self.progress = problem, records, progress
        self.encoder_name = encoder_name
        self.training = sizes.training(max_length)
        self.sizes = sizes
        self.settings = record_settings(sizes, encoder_title)
        encoder = encoder_identity(encoder_name)
        self.inputs = {
            split.key: f"{rows}, {encoder}"
            for split, rows in zip(problem.splits, problem.digests(), strict=True)
        }
        self.embed = None
        if encoder_name is not None:
            self.embed = RememberedEmbeddings(pretrained_embedder(encoder_name))

    def run(self, methods: Sequence[str], folds: int) -> None:
        """All methods on the first folds; one generator at a time."""
        for split in self.problem.splits[:folds]:
            for generator in (None, *GENERATORS):
                missing = [
                    name
                    for name in methods
                    if METHODS[name].generator == generator and self._is_missing(name, split)
                ]
                if missing:
                    self._run_fold(split, generator, missing)

    def _is_missing(self, name: str, split: Split) -> bool:
        """What was refused is tried again, since its cause may have been mended, but for a training
        that diverged."""
        known = self.records.find(self._setting(name, split))
        if known is None or known.get("refused") is None:
            return known is None
        return not known.get("diverged")

    def _setting(self, name: str, split: Split) -> Record:
        method = METHODS[name]
        return {
            "data": self.problem.name,
            "fold": split.key,
            "generator": method.generator,
            "classifier": method.classifier,
            "remedy": method.remedy,
            "settings": self.settings,
            "inputs": self.inputs[split.key],
        }

    def _run_fold(self, split: Split, generator: str | None, methods: Sequence[str]) -> None:
        source = None if generator is None else self._source(generator, split.seed)
        fold = self._fold(split, source)
        for name in methods:
            method = METHODS[name]
            steps = self.sizes.classifier_steps
            if method.classifier == "finetune":
                steps = self.sizes.encoder_steps
            classifier = classifier_named(method.classifier, steps)
            remedy = REMEDIES[method.remedy]
            record = self._setting(name, split) | {"counts": fold.counts.tolist()}
            record |= {"test_counts": np.bincount(split.test.labels, minlength=2).tolist()}
            if (why := remedy.refusal(fold, classifier)) is not None:
                self.records.add(record | {"refused": why})
                self.progress(f"{self.problem.name}, {split.key}, {name}: left out, {why}")
                continue
            kept: list[Scores] = []

            def fit(*given: Any, fit: Any = remedy.fit, kept: list[Scores] = kept) -> Scores:
                kept.append(fit(*given))
                return kept[0]

            found = run_cell(fold, classifier, replace(remedy, fit=fit), split.seed)
            record["metrics"] = dict(found.metrics)
            if kept:
                record["metrics"] |= own_difficult(fold, kept[0])
            record |= {"seconds": found.seconds, "made": found.made, "refused": found.refused}
            record |= {"diverged": found.diverged}
            self.records.add(record)
            shown = found.refused or f"F1 {found.metrics['f1']:.3f}"
            self.progress(
                f"{self.problem.name}, {split.key}, {name}: {shown} ({found.seconds:.0f} s)"
            )
        if source is not None:  # a generator has some 90 MB; its fold is done
            shutil.rmtree(source.folder, ignore_errors=True)
            with suppress(OSError):  # another run's generator is there
                source.folder.parent.rmdir()

    def _source(self, generator: str, seed: int) -> MisoSource:
        own = [self.problem.name, self.problem.digests(), generator, seed, self.settings]
        name = json.dumps(own, sort_keys=True)
        folder = self.records.path.with_suffix(".generators")
        return MisoSource(
            folder / hashlib.sha256(name.encode()).hexdigest()[:16],
            self.training,
            seed=seed,
            settings=GENERATORS[generator],
            options=dict(ANCHORS),
        )

    def _fold(self, split: Split, source: MisoSource | None) -> Fold:
        segmenter = Segmenter(self.problem.language)
        return Fold(
            split.train,
            split.validation,
            split.test,
            self.problem.class_names,
            segmenter,
            minority=self.problem.minority,
            embed=self.embed or LatentSemanticEmbedder(split.train.texts, segmenter),
            encoder_name=self.encoder_name,
            generator=source,
            key=split.key,
        )


def record_settings(sizes: MisoSizes, encoder_title: str | None) -> dict[str, Any]:
    """What changes a cell's figures, as the records hold it."""
    return {**asdict(sizes), "encoder": encoder_title, "anchors": ANCHORS}


def own_difficult(fold: Fold, scores: Scores) -> dict[str, float]:
    """F1 of the minority on rows that are difficult in the classifier's own representation, and on
    the others (section 7.1): `own_f1_difficult` and `own_f1_other`, where there are such rows."""
    if scores.features is None:
        return {}
    report = difficult_report(
        scores.test.argmax(axis=1), fold.test.labels, scores.features, minority=fold.minority
    )
    values = {f"own_{name}": report[name] for name in ("f1_difficult", "f1_other")}
    return {name: value for name, value in values.items() if np.isfinite(value)}


def method_of(record: Record) -> str | None:
    """The row that a record belongs to."""
    found = Method(record["classifier"], record["remedy"], record["generator"])
    return next((name for name, method in METHODS.items() if method == found), None)
