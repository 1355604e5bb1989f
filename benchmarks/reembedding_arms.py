"""One task and seed of benchmarks/reembedding.py: its arms, each trained and scored."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib import metadata
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from tasks import TaskRows
from writers import rows_of

from hf_oversample.data.demo import demo_encoder_path
from hf_oversample.data.labeled_texts import Texts
from hf_oversample.metrics.classification import average_precision_at
from hf_oversample.models.classifiers.pooled_encoder import PooledEncoderForSequenceClassification
from hf_oversample.oversamplers.language_model.oversampler import LanguageModelOversampler
from hf_oversample.text.encoding import token_ids
from hf_oversample.training.ngram_heads import solve_ngram_head, text_scores
from hf_oversample.training.reembedder import COEFFICIENTS, Reembedded, Reembedder
from hf_oversample.training.reembedding_arguments import ReembeddingArguments
from hf_oversample.training.reembedding_heads import (
    averaged_scores,
    rare_precision,
    rare_score,
    solve_head,
    text_vectors,
)

SINGLE = (
    "frozen",
    "frozen, n-grams",
    "plain",
    "second plain",
    "balanced",
    "balanced, near",
    "contrastive",
    "contrastive, n-grams",
    "contrastive, written",
    "contrastive, repeated",
    "LP-FT",
    "LP-FT, interpolated",
)
AVERAGES = (
    ("plain", "frozen, n-grams"),
    ("plain", "second plain", "frozen, n-grams"),
    ("plain", "contrastive", "frozen, n-grams"),
    ("plain", "contrastive, n-grams", "frozen, n-grams"),
    ("plain", "second plain"),
    ("plain", "balanced"),
    ("balanced", "frozen, n-grams"),
    ("balanced, near", "frozen, n-grams"),
    ("balanced", "contrastive", "frozen, n-grams"),
    ("balanced", "balanced, near", "frozen, n-grams"),
    ("balanced", "frozen"),
    ("plain", "balanced", "frozen"),
    ("plain", "balanced", "frozen, n-grams"),
    ("plain", "frozen"),
    ("plain", "contrastive"),
    ("plain", "LP-FT"),
    ("contrastive", "frozen"),
    ("LP-FT", "frozen"),
    ("plain", "contrastive", "frozen"),
    ("plain", "contrastive", "LP-FT", "frozen"),
)
ARMS = (*SINGLE, *(" + ".join(parts) for parts in AVERAGES))
OF_PLAIN = ("plain", "second plain", "balanced", "balanced, near")
OF_CONTRASTIVE = ("contrastive, n-grams", "contrastive, written", "contrastive, repeated")
LEFT_OUT = (*OF_PLAIN, "contrastive", "contrastive, n-grams", "LP-FT")
"""What `--leave_out` may name."""
RATES = {"plain": (5e-5, 1e-4), "LP-FT": (5e-5,)}
SECOND_SEED = 1000
"""Added to the seed of a second plain model."""

Parts = list[np.ndarray]
HELD = ((0, "validation"), (1, "test"))


class Cell:
    """One task and seed: rows, frozen vectors, and what the arms give."""

    def __init__(self, task: str, rows: TaskRows, seed: int, options: argparse.Namespace) -> None:
        self.task, self.rows, self.seed, self.options = task, rows, seed, options
        self.arguments = ReembeddingArguments(
            objective="contrastive",
            steps=options.steps,
            save_steps=0,
            seed=seed,
            train_word_embeddings=options.train_word_embeddings,
            max_length=options.max_length or rows.max_length,
        )
        self.targets = rows.targets
        self.prior = float(np.isin(rows.train.labels, self.targets).mean())
        self.scores: dict[str, Parts] = {}

    def tell(self, arm: str, scores: Parts, seconds: float, **facts: Any) -> None:
        """Keep the scores of validation and test rows, and write what they are worth."""
        self.scores[arm] = scores
        if self.options.scores is not None:
            self.options.scores.mkdir(parents=True, exist_ok=True)
            kept = {f"{name}/{part}": of[i] for name, of in self.scores.items() for i, part in HELD}
            np.savez_compressed(self.options.scores / f"{self.task}-{self.seed}.npz", **kept)
        label = self.targets[0]
        truth = (self.rows.test.labels == label).astype(int)
        odds = rare_score(scores[1], label)
        found = {
            "task": self.task,
            "seed": self.seed,
            "arm": arm,
            "test": rare_precision(self.rows.test.labels, scores[1], self.targets),
            "test_at_prior": average_precision_at(truth, odds, self.prior),
            "validation": rare_precision(self.rows.validation.labels, scores[0], self.targets),
            "seconds": round(seconds, 1),
            **facts,
            "setting": setting(self.options),
            "rows": {
                name: [len(part), int((part.labels == label).sum())]
                for name, part in (
                    ("train", self.rows.train),
                    ("validation", self.rows.validation),
                    ("test", self.rows.test),
                )
            },
        }
        print(json.dumps(found), flush=True)
        with self.options.output.open("a", encoding="utf-8") as file:
            file.write(json.dumps(found) + "\n")

    def new(self, **changes: Any) -> Reembedder:
        """A Reembedder with some arguments changed."""
        return Reembedder(
            demo_encoder_path(),
            class_names=self.rows.class_names,
            target_classes=self.targets,
            arguments=replace(self.arguments, **changes),
        )

    def fitted(
        self, anchors: Texts | None = None, **changes: Any
    ) -> tuple[Reembedded, Parts, float]:
        """A training, its scores, and its seconds."""
        start = time.perf_counter()
        result = self.new(**changes).fit(self.rows.train, None, anchors, embeddings=self.frozen)
        scores = self.scored(result)
        return result, scores, time.perf_counter() - start

    def scored(self, result: Reembedded) -> Parts:
        """Of validation and test rows."""
        return [result.logits(part.texts) for part in (self.rows.validation, self.rows.test)]

    def run(self) -> None:
        """All arms."""
        start = time.perf_counter()
        encoder, held = self.new(), (self.rows.validation, self.rows.test)
        self.frozen = encoder.embed(self.rows.train.texts)
        vectors = [encoder.embed(part.texts) for part in held]
        head = solve_head(
            self.frozen,
            self.rows.train.labels,
            classes=len(self.rows.class_names),
            targets=self.targets,
            seed=self.seed,
        )
        self.tell(
            "frozen",
            [head.logits(one) for one in vectors],
            time.perf_counter() - start,
            penalty=head.penalty,
        )
        self._beside_ngrams("frozen", encoder.model, self.frozen, start)
        if "contrastive" not in self.options.leave_out:
            self._contrastive()
        if "plain" not in self.options.leave_out:
            self._cross_entropy()
        if "LP-FT" not in self.options.leave_out:
            self._lp_ft()
        for names in AVERAGES:
            if not set(names) <= set(self.scores):
                continue
            mean = averaged_scores(*(self.scores[name] for name in names))
            self.tell(" + ".join(names), mean, 0.0)

    def _contrastive(self) -> None:
        """Its head on the vector alone, and with n-grams; and with more positives."""
        result, scores, seconds = self.fitted()
        self.tell("contrastive", scores, seconds, **told(result))
        if "contrastive, n-grams" not in self.options.leave_out:
            start = time.perf_counter()
            vectors = text_vectors(result.model, result.encode(self.rows.train.texts))
            self._beside_ngrams("contrastive", result.model, vectors, start)
        self._with_positives()

    def _cross_entropy(self) -> None:
        """From a random head: at a rate that validation rows choose, then otherwise."""
        rate = self._plain()
        for arm, changes in (
            ("second plain", {"seed": self.seed + SECOND_SEED}),
            ("balanced", {"balanced": True}),
            ("balanced, near", {"balanced": True, "balanced_hard_share": 0.5}),
        ):
            if arm not in self.options.leave_out:
                _, scores, seconds = self.fitted(
                    objective="classification", learning_rate=rate, **changes
                )
                self.tell(arm, scores, seconds, learning_rate=rate)

    def _beside_ngrams(
        self,
        arm: str,
        model: PooledEncoderForSequenceClassification,
        vectors: np.ndarray,
        start: float,
    ) -> None:
        """The head of a model on its vectors and on n-grams."""
        encoder = self.new()

        def encoded(part: Texts) -> list[np.ndarray]:
            return token_ids(encoder.tokenizer, part.texts, encoder.max_length)

        head = solve_ngram_head(
            vectors,
            encoded(self.rows.train),
            self.rows.train.labels,
            classes=len(self.rows.class_names),
            targets=self.targets,
            seed=self.seed,
        )
        classifier = head.classifier(model)
        scores = [
            text_scores(classifier, encoded(part))
            for part in (self.rows.validation, self.rows.test)
        ]
        seconds = time.perf_counter() - start
        self.tell(f"{arm}, n-grams", scores, seconds, scale=head.scale)

    def _with_positives(self) -> None:
        """Contrastive training with written texts as positives, or as many rare ones again."""
        if self.options.written is None:
            return
        written = written_texts(self.options.written / str(self.seed), self.rows)
        train = self.rows.train
        own = [train.texts[row] for row in np.flatnonzero(train.labels == self.targets[0])]
        repeated = Texts([*islice(cycle(own), len(written))], written.labels)
        for arm, anchors in (("written", written), ("repeated", repeated)):
            result, scores, seconds = self.fitted(anchors)
            self.tell(
                f"contrastive, {arm}", scores, seconds, positives=len(anchors), **told(result)
            )

    def _plain(self) -> float:
        """Cross-entropy at the rates, of which validation rows choose; the one that they chose."""
        found = []
        for rate in RATES["plain"]:
            _, scores, seconds = self.fitted(objective="classification", learning_rate=rate)
            found.append((self._value(scores), rate, scores, seconds))
        _, rate, scores, _ = max(found, key=lambda one: (one[0], -one[1]))
        self.tell("plain", scores, sum(one[3] for one in found), **chosen(found))
        return rate

    def _lp_ft(self) -> None:
        """The same from the frozen encoder's head, and its weights' mean with those before."""
        found = []
        for rate in RATES["LP-FT"]:
            result, scores, seconds = self.fitted(
                objective="classification", head_first=True, learning_rate=rate
            )
            found.append((self._value(scores), rate, scores, seconds, result))
        best = max(found, key=lambda one: (one[0], -one[1]))
        seconds = sum(one[3] for one in found)
        self.tell("LP-FT", best[2], seconds, **told(best[4]), **chosen(found))
        self._interpolated(best[4], seconds)

    def _value(self, scores: Parts) -> float:
        return rare_precision(self.rows.validation.labels, scores[0], self.targets)

    def _interpolated(self, result: Reembedded, seconds: float) -> None:
        start, found = time.perf_counter(), dict[float, float]()
        labels, texts = self.rows.validation.labels, self.rows.validation.texts
        for coefficient in COEFFICIENTS:
            result.interpolate(coefficient)
            found[coefficient] = rare_precision(labels, result.logits(texts), self.targets)
        best = max(found, key=lambda one: (found[one], -one))
        result.interpolate(best)
        self.tell(
            "LP-FT, interpolated",
            self.scored(result),
            seconds + time.perf_counter() - start,
            coefficient=best,
            validation_of_coefficients=found,
        )


def chosen(found: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    """Of (validation, rate, …): the rate that is best by validation, and what each was worth."""
    return {
        "learning_rate": max(found, key=lambda one: (one[0], -one[1]))[1],
        "validation_of_rates": {str(one[1]): one[0] for one in found},
    }


def told(result: Reembedded) -> dict[str, Any]:
    """Of a record, what the benchmark's lines have."""
    names = ("head_penalty", "frozen_head_penalty", "difficult_share")
    return {name: result.record[name] for name in names}


def setting(options: argparse.Namespace) -> dict[str, Any]:
    """What the lines of one comparison have in common."""
    return {
        "steps": options.steps,
        "max_length": options.max_length,
        "train_word_embeddings": options.train_word_embeddings,
        "held_rows": options.held_rows,
        "precision": ReembeddingArguments().resolved_precision(),
        "threads": int(os.environ.get("OMP_NUM_THREADS", 0)),
        "cores": os.cpu_count(),
        "versions": {
            name: metadata.version(name) for name in ("torch", "transformers", "scikit-learn")
        },
    }


def written_texts(folder: Path, rows: TaskRows) -> Texts:
    """What a language model wrote for the rare class in a run of benchmarks/writers.py."""
    oversampler = LanguageModelOversampler.from_pretrained(folder / "training_words")
    children = oversampler.children(rows_of(rows, len(rows.train)))
    made = [row for row in children if row["origin"] == 1]
    return Texts([row["text"] for row in made], np.array([row["label"] for row in made]))
