"""A run that fine-tunes an encoder: its data, its trainings, what was measured, its record."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from hf_oversample.commands.encoder import ChosenEncoder, chosen_encoder, the_same_everywhere
from hf_oversample.commands.messages import warn
from hf_oversample.commands.output import OutputFolder
from hf_oversample.commands.record import circumstances, license_of_rows
from hf_oversample.commands.reembed_arguments import ReembedRunArguments
from hf_oversample.commands.reembed_data import read_reembed_data
from hf_oversample.comparison.fold import Fold
from hf_oversample.comparison.scores import Scores, cell_metrics
from hf_oversample.hub.reembedding_card import FORMAT
from hf_oversample.text.words import Segmenter
from hf_oversample.training.accelerator import process_state
from hf_oversample.training.averaging import (
    PLAIN,
    Averaged,
    average,
    frozen_alone,
    plain_and_ngrams,
)
from hf_oversample.training.ngram_heads import text_scores
from hf_oversample.training.reembedder import Reembedded, Reembedder
from hf_oversample.training.reembedding_heads import calibrated_mean

_PLAIN: dict[str, Any] = dict.fromkeys(("interpolate", "head_first", "balanced"), False)
"""Plain means plain: a head from nothing, weights as training leaves them, and all rows read."""
_BESIDE: dict[str, Any] = {"save_steps": 0, "report_to": ""}
"""Of a training beside the run's own: it has no folder for checkpoints and trackers."""


class ReembedRun:
    """
    A run whose data and encoder are found.

    Raises:
        FileExistsError: `output_dir` holds a finished run and `overwrite` is not set.
        ValueError: as `read_reembed_data`; or there is no pretrained encoder.
    """

    def __init__(self, arguments: ReembedRunArguments) -> None:
        a = self.arguments = arguments
        self.training = replace(a.training, steps=0) if a.frozen else a.training
        self.timings: dict[str, float] = {}
        self.output = OutputFolder(a.output_dir, overwrite=a.overwrite)
        with self.timed("data"):
            self.data = read_reembed_data(a)
        train = self.data.texts["train"].texts
        self.encoder: ChosenEncoder = the_same_everywhere(
            lambda: chosen_encoder(a.encoder_name, a.encoder_revision, self.data.language, train)
        )
        if self.encoder.name is None:
            raise ValueError(
                "re-embedding fine-tunes a pretrained encoder, and there is none "
                f"({self.encoder.why}): name one with --encoder_name, a folder or a name on the "
                "Hub."
            )

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Adds what is done in it to `timings`."""
        start = time.perf_counter()
        yield
        self.timings[name] = round(time.perf_counter() - start, 2)

    def new_reembedder(self, output_dir: Path | None = None, **changes: Any) -> Reembedder:
        """What trains, with some of its arguments changed."""
        return Reembedder(
            str(self.encoder.name),
            class_names=self.data.class_names,
            target_classes=self.data.targets,
            arguments=replace(self.training, **changes),
            pooling=self.arguments.pooling,
            output_dir=output_dir,
        )

    def fitted(self, resume_from_checkpoint: Path | None) -> Reembedded:
        """The training; of two rates where that is wanted, of which validation rows choose. The
        second writes no checkpoints: a run that goes on trains it anew."""
        texts, rate = self.data.texts, self.training.learning_rate
        with self.timed("training"):
            first = self.new_reembedder(self.output.path).fit(
                texts["train"],
                texts.get("validation"),
                self.data.anchors,
                resume_from_checkpoint=resume_from_checkpoint,
            )
        found = {rate: first}
        if self.arguments.tunes_rate:
            with self.timed("training at the second rate"):
                try:
                    found[2 * rate] = self.new_reembedder(**_BESIDE, learning_rate=2 * rate).fit(
                        texts["train"],
                        texts["validation"],
                        self.data.anchors,
                        embeddings=first.frozen_vectors,
                    )
                except FloatingPointError:
                    warn(f"at a rate of {2 * rate:g} training diverged: {rate:g} it is.")
        worth = {key: one.record["validation_average_precision"] for key, one in found.items()}
        # of equal ones the lower rate
        chosen = max(found, key=lambda key: (worth[key] or 0.0, -key))
        tried = [rate, 2 * rate] if self.arguments.tunes_rate else []
        told = {str(key): worth.get(key) for key in tried}  # None: it diverged
        found[chosen].record |= {"learning_rate": chosen, "validation_of_rates": told}
        return found[chosen]

    def averaged(self, reembedded: Reembedded) -> Averaged | None:
        """The mean with the frozen one with n-grams, and the plain one where that is another; or
        the frozen one alone; or none. A plain one beside another writes no checkpoints: a run that
        goes on trains it anew."""
        a, texts = self.arguments, self.data.texts
        if a.frozen or (a.averages and a.training.is_plain):
            with_frozen = frozen_alone if a.frozen else plain_and_ngrams
            with self.timed("n-grams"):
                return with_frozen(reembedded, texts["train"], texts["validation"])
        if not a.averages:
            return None
        with self.timed("plain members"):
            return average(
                reembedded,
                lambda **changes: self.new_reembedder(**changes, **_PLAIN, **_BESIDE),
                texts["train"],
                texts["validation"],
            )

    @property
    def plain_steps(self) -> int | None:
        """Of the plain member, where it is another than what is trained; None without one."""
        a = self.arguments
        if not a.averages or a.training.is_plain:
            return None
        plain = replace(self.training, objective="classification", **_PLAIN)
        return plain.of_rows(len(self.data.texts["train"]), process_state().num_processes).steps

    def measured(
        self, reembedded: Reembedded, averaged: Averaged | None
    ) -> dict[str, dict[str, float]]:
        """Of test rows, with what validation rows chose: the frozen encoder's balanced logistic
        regression, on its vectors and with n-grams, the re-embedded classifier, the plain one where
        it is trained, and means."""
        texts, a = self.data.texts, self.arguments
        if not {"validation", "test"} <= set(texts):
            return {}
        held, labels = [texts["validation"].texts, texts["test"].texts], texts["validation"].labels
        chosen, new = reembedded.record["coefficient"], [reembedded.logits(one) for one in held]
        after = {name: value.clone() for name, value in reembedded.model.state_dict().items()}
        reembedded.model.load_state_dict(reembedded.before)
        frozen = [reembedded.frozen_head.logits(reembedded.embed(one)) for one in held]
        reembedded.model.load_state_dict(after)
        arms = {"frozen encoder, balanced logistic regression": frozen}
        is_plain, plain = a.training.is_plain, "plain fine-tuning (rate {:g})"
        if not a.frozen:
            told = f"re-embedded ({a.training.told_objective}, weights {chosen:g})"
            arms[plain.format(reembedded.record["learning_rate"]) if is_plain else told] = new
            arms["mean of both"] = calibrated_mean(labels, frozen, new)
        if averaged is not None:
            with_ngrams = [text_scores(averaged.frozen, reembedded.encode(one)) for one in held]
            arms["frozen encoder, with n-grams"] = with_ngrams
            if PLAIN in averaged.record["members"] and averaged.plain is None:
                mean = calibrated_mean(labels, new, with_ngrams)
                arms["mean of plain and frozen with n-grams"] = mean
        if averaged is not None and averaged.plain is not None:
            scores = [averaged.plain.logits(one) for one in held]
            arms[plain.format(averaged.record["plain_learning_rate"])] = scores
            arms["mean of plain, re-embedded and frozen with n-grams"] = calibrated_mean(
                labels, scores, new, with_ngrams
            )
        fold = Fold(
            texts["train"],
            texts["validation"],
            texts["test"],
            self.data.class_names,
            Segmenter(self.data.language),
            minority=self.data.targets[0] if len(self.data.targets) == 1 else -1,
        )
        return {
            name: cell_metrics(fold, Scores.of_logits(scores[0], scores[1]))
            for name, scores in arms.items()
        }

    def record(
        self,
        reembedded: Reembedded,
        averaged: Averaged | None,
        metrics: dict[str, Any],
        number: int,
    ) -> dict[str, Any]:
        """What `run.json` holds."""
        a, names = self.arguments, self.data.class_names
        return {
            "format": FORMAT,
            "kind": "reembedding",
            # with what was decided
            "arguments": asdict(
                replace(
                    a,
                    training=replace(self.training, steps=reembedded.record["steps"]),
                    average=a.averages,
                    tune_rate=a.tunes_rate,
                )
            ),
            **circumstances(),
            "seed": a.training.seed,
            "data": {
                "name": self.data.name,
                "rows": sum(map(len, self.data.texts.values())),
                "language": self.data.language,
                "license": license_of_rows(a.license, a.demo),
                "text_column": a.text_column,
                "label_column": a.label_column,
                "splits": {part: len(some) for part, some in self.data.texts.items()},
                "classes": dict(
                    Counter(names[c] for c in self.data.texts["train"].labels.tolist())
                ),
                "anchors": 0 if self.data.anchors is None else len(self.data.anchors),
            },
            "encoder": self.encoder.to_dict(),
            "reembedding": reembedded.record,
            "average": None if averaged is None else averaged.record,
            "triplets": number,
            "metrics": metrics,
            "timings": self.timings,
        }
