"""Does re-embedding rank rare texts better than a frozen or a plainly fine-tuned encoder?

    OMP_NUM_THREADS=1 python benchmarks/reembedding.py --data_dir DATA \\
        --tasks trec6-abbr sms-1% yelp-1% --seeds 1 --output benchmarks/reembedding.jsonl

One network, MiniLM with the mean of its states and a linear head, in every arm, with as many
updates of as many texts: frozen; plain cross-entropy, at two rates of which validation rows choose;
mined contrastive training; LP-FT; the mean of LP-FT's weights and the pretrained ones, whose
coefficient validation rows choose; and averages of standardised scores. Test rows are scored once,
with what validation rows chose. A run that was stopped goes on at the task and seed where it was.
`--table` prints the records of a file as Markdown, and computes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from tasks import FURTHER_TASKS, TASKS, TaskRows, task_rows

from hf_oversample.data.demo import demo_encoder_path
from hf_oversample.data.labeled_texts import Texts
from hf_oversample.hub.tables import markdown_table
from hf_oversample.metrics.classification import average_precision_at
from hf_oversample.training.reembedder import COEFFICIENTS, Reembedded, Reembedder
from hf_oversample.training.reembedding_arguments import ReembeddingArguments
from hf_oversample.training.reembedding_heads import (
    averaged_scores,
    rare_precision,
    rare_score,
    solve_head,
)

ARMS = (
    "frozen",
    "plain",
    "contrastive",
    "LP-FT",
    "LP-FT, interpolated",
    "plain + frozen",
    "contrastive + frozen",
    "LP-FT + frozen",
    "contrastive + plain",
)
PLAIN_RATES = (5e-5, 1e-4)
LP_FT_RATE = 2e-5

Parts = list[np.ndarray]


class Cell:
    """One task and seed: rows, frozen vectors, and what the arms give."""

    def __init__(self, task: str, rows: TaskRows, seed: int, options: argparse.Namespace) -> None:
        self.task, self.rows, self.seed, self.options = task, rows, seed, options
        self.arguments = ReembeddingArguments(
            steps=options.steps,
            save_steps=0,
            seed=seed,
            train_word_embeddings=options.train_word_embeddings,
            max_length=options.max_length,
        )
        self.targets = rows.targets
        self.prior = float(np.isin(rows.train.labels, self.targets).mean())
        self.scores: dict[str, Parts] = {}

    def tell(self, arm: str, scores: Parts, seconds: float, **facts: Any) -> None:
        """Keep the scores of validation and test rows, and write what they are worth."""
        self.scores[arm] = scores
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

    def fitted(self, **changes: Any) -> tuple[Reembedded, Parts, float]:
        """A training, its scores, and its seconds."""
        start = time.perf_counter()
        result = self.new(**changes).fit(self.rows.train, embeddings=self.frozen)
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
        result, scores, seconds = self.fitted()
        self.tell("contrastive", scores, seconds, **told(result))
        found = []
        for rate in PLAIN_RATES:
            _, scores, seconds = self.fitted(objective="classification", learning_rate=rate)
            value = rare_precision(self.rows.validation.labels, scores[0], self.targets)
            found.append((value, rate, scores, seconds))
        value, rate, scores, _ = max(found, key=lambda one: (one[0], -one[1]))
        self.tell(
            "plain",
            scores,
            sum(one[3] for one in found),
            learning_rate=rate,
            validation_of_rates={str(one[1]): one[0] for one in found},
        )
        result, scores, seconds = self.fitted(
            objective="classification", head_first=True, learning_rate=LP_FT_RATE
        )
        self.tell("LP-FT", scores, seconds, **told(result))
        self._interpolated(result, seconds)
        for name in (
            "plain + frozen",
            "contrastive + frozen",
            "LP-FT + frozen",
            "contrastive + plain",
        ):
            first, second = name.split(" + ")
            self.tell(name, averaged_scores(self.scores[first], self.scores[second]), 0.0)

    def _interpolated(self, result: Reembedded, seconds: float) -> None:
        start, found = time.perf_counter(), {}
        labels, texts = self.rows.validation.labels, self.rows.validation.texts
        for coefficient in COEFFICIENTS:
            result.interpolate(coefficient)
            found[coefficient] = rare_precision(labels, result.logits(texts), self.targets)
        chosen = max(found, key=lambda one: (found[one], -one))
        result.interpolate(chosen)
        self.tell(
            "LP-FT, interpolated",
            self.scored(result),
            seconds + time.perf_counter() - start,
            coefficient=chosen,
            validation_of_coefficients=found,
        )


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
        "threads": int(os.environ.get("OMP_NUM_THREADS", 0)),
        "cores": os.cpu_count(),
        "versions": {
            name: metadata.version(name) for name in ("torch", "transformers", "scikit-learn")
        },
    }


def fewer(part: Texts, rows: int, seed: int) -> Texts:
    """At most so many rows, drawn by the seed, classes in their shares."""
    if len(part) <= rows:
        return part
    rng, chosen = np.random.default_rng(seed), []
    for label in np.unique(part.labels):
        own = np.flatnonzero(part.labels == label)
        chosen.append(rng.permutation(own)[: round(len(own) * rows / len(part))])
    kept = np.sort(np.concatenate(chosen))
    return Texts([part.texts[row] for row in kept], part.labels[kept])


def table(lines: Sequence[dict[str, Any]]) -> str:
    """Mean and spread over the seeds: an arm a line, a task a column."""
    tasks = list(dict.fromkeys(line["task"] for line in lines))
    cells = []
    for arm in ARMS:
        row = [arm]
        for task in tasks:
            own = [line for line in lines if line["task"] == task and line["arm"] == arm]
            values = [100 * line["test_at_prior"] for line in own]
            spread = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
            row.append(f"{np.mean(values):.1f}{spread}" if values else "–")
        cells.append(row)
    seeds = [len({line["seed"] for line in lines if line["task"] == task}) for task in tasks]
    heads = [f"{task} ({number})" for task, number in zip(tasks, seeds, strict=True)]
    return markdown_table(["arm", *heads], cells)


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of a file, the last one of each task, seed and arm."""
    found = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            one = json.loads(line)
            found[one["task"], one["seed"], one["arm"]] = one
    return list(found.values())


def main() -> None:
    """Measure, or print what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data_dir", type=Path)
    parser.add_argument("--tasks", nargs="+", choices=TASKS + FURTHER_TASKS, default=["trec6-abbr"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--max_length", type=int, default=32)
    parser.add_argument("--held_rows", type=int, default=2000, help="test rows; half to choose by")
    parser.add_argument("--train_word_embeddings", action="store_true")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/reembedding.jsonl"))
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if not options.table:
        if options.data_dir is None:
            parser.error("--data_dir is needed to measure")
        for seed in options.seeds:
            for task in options.tasks:
                done = {
                    one["arm"]
                    for one in read(options.output)
                    if (one["task"], one["seed"]) == (task, seed)
                    and one["setting"] == setting(options)
                }
                if done >= set(ARMS):
                    continue
                rows = task_rows(task, options.data_dir, seed)
                rows = replace(
                    rows,
                    validation=fewer(rows.validation, options.held_rows // 2, seed),
                    test=fewer(rows.test, options.held_rows, seed),
                )
                Cell(task, rows, seed, options).run()
    print(table(read(options.output)))


if __name__ == "__main__":
    main()
