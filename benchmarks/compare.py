"""Every remedy with every classifier on every task: the library's own referee on its own work.

    python benchmarks/compare.py run --data_dir DATA --tasks sms-1% --output benchmarks/compare
    python benchmarks/compare.py table --output benchmarks/compare

DATA is described in tasks.py. `run` writes one JSONL file a task, a line a cell, and goes on where
it was stopped; generators (one a task and seed) are kept in its folder `generators`, which is no
part of the record. The settings are the library's defaults; a seed draws the rows and the weights.
Fine-tuning costs minutes a cell without a GPU: it has a shorter list of remedies (FINE_TUNED).
Several machines may share a task, `--seeds` of it each, and their files' cells are one record.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from tasks import INDEPENDENT, TASKS, task_rows

from hf_oversample.comparison.findings import (
    TITLES,
    adjusted_p_values,
    between,
    findings,
    made_texts_rows,
    mean_and_sd,
    points,
)
from hf_oversample.comparison.miso import MisoSource
from hf_oversample.comparison.problem import Problem, Split
from hf_oversample.comparison.protocol import Comparison, compare
from hf_oversample.comparison.records import Records
from hf_oversample.comparison.registry import CLASSIFIERS, classifier_title
from hf_oversample.comparison.remedies import REMEDIES, remedy_named
from hf_oversample.comparison.wording import verdict
from hf_oversample.data.demo import demo_encoder_path
from hf_oversample.hub.tables import markdown_table
from hf_oversample.metrics.statistics import PairedTest
from hf_oversample.training.arguments import MisoTrainingArguments

SEEDS = (1, 2, 3, 4, 5)  # rows of seed 0 were looked at while defaults were chosen
DEFAULT_TASKS = ("sms-1%", "yelp-1%", "yelp-5%", "imdb-1%", "toutiao", "r8-half")
FINE_TUNED = (
    "none",
    "threshold moving",
    "logit adjustment",
    "class weights",
    "duplicates",
    "synonym edits",
    "anchors",
)
OURS = (
    "AMO",
    "SIMPOR",
    "Bayesian GAN",
    "anchors",
    "MISO backbone",
    "anchors once + logit adjustment",
    "anchors once + logit-adjusted loss",
    "plain + anchors",
)
CONTROLS = ("none", "plain + plain")
MARKS = {"better": " ▲", "worse": " ▼"}
OUTCOMES = {"win": "▲", "tie": "=", "loss": "▼"}


def problem_of(task: str, data: Path) -> Problem:
    """A task's rows for every seed, as the splits of one comparison."""
    drawn = {seed: task_rows(task, data, seed) for seed in SEEDS}
    splits = [Split(f"seed{s}", s, r.train, r.validation, r.test) for s, r in drawn.items()]
    rows = drawn[SEEDS[0]]
    counts = [int((rows.train.labels == code).sum()) for code in range(len(rows.class_names))]
    rarest = counts.index(min(counts))
    minority = rarest if rows.minority is None else rows.minority
    overlap = 0.0 if task in INDEPENDENT else rows.overlap
    return Problem(task, rows.class_names, rows.language, minority, splits, overlap)


def metrics_of(problem: Problem) -> tuple[str, str]:
    """What a task is judged by, the main measure first: of two classes average precision at the
    training part's prior, which needs no threshold, and F1 at the tuned one; of several macro-F1
    and macro-averaged average precision."""
    if len(problem.class_names) == 2:
        return "average_precision_at_train", "f1_tuned"
    return "macro_f1", "macro_average_precision"


def run(
    task: str,
    data: Path,
    folder: Path,
    classifiers: list[str],
    remedies: list[str],
    steps: int,
    training: dict[str, Any],
    seeds: list[int],
) -> None:
    """Make the cells of a task's seeds that its file does not hold."""
    problem = problem_of(task, data)
    length = task_rows(task, data, SEEDS[0]).max_length
    arguments = MisoTrainingArguments(max_length=length, **training)
    # one seed for all: their rows differ
    source = MisoSource(folder / "generators" / task, arguments, seed=0)
    encoder = str(demo_encoder_path()) if problem.language == "en" else None
    header_settings = {
        "generator": arguments.to_dict(),
        "class_names": problem.class_names,
        "overlap": round(problem.overlap, 4),
        **machine(),
    }
    for kinds in (
        [kind for kind in classifiers if kind != "finetune"],
        [kind for kind in classifiers if kind == "finetune"],
    ):
        names = [n for n in remedies if kinds != ["finetune"] or n in FINE_TUNED]
        if kinds:
            compare(
                problem,
                remedies=names,
                classifiers=kinds,
                steps=steps,
                encoder_name=encoder,
                generator=source if any(REMEDIES[n].needs_generator for n in names) else None,
                records=folder / f"{task}.jsonl",
                settings=header_settings,
                folds=[f"seed{seed}" for seed in seeds],
                progress=lambda line: print(task, line, file=sys.stderr, flush=True),
            )


def recorded(path: Path) -> Comparison:
    """The comparison that a file holds, in the order in which the tables show it."""
    with path.open(encoding="utf-8") as file:
        header = json.loads(next(file))["comparison"]
    cells = list(Records(path, header))
    kinds = [kind for kind in CLASSIFIERS if any(c.classifier == kind for c in cells)]
    names = header["settings"]["class_names"]
    minority, overlap = names.index(header["minority"]), header["settings"]["overlap"]
    rows = Problem(header["name"], names, header["language"], minority, [], overlap)
    titles = {kind: classifier_title(kind, header.get("encoder")) for kind in kinds}
    return Comparison(rows, header, cells, classifiers=titles)


def machine() -> dict[str, Any]:
    """Where the figures come from."""
    names = ("torch", "transformers", "datasets", "scikit-learn", "numpy")
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {name: metadata.version(name) for name in names},
    }


def remedies_table(comparison: Comparison, metric: str) -> str:
    """A line a remedy, a column a classifier: means ± sd in percent, and whether it is
    significantly better (▲) or worse (▼) than none; the number of seeds where others have more."""
    found = {(f.classifier, f.remedy): f for f in findings(comparison, metric) if f.runs}
    most = max(f.runs for f in found.values())
    rows = []
    for remedy in REMEDIES:
        own = [found.get((kind, remedy)) for kind in comparison.classifiers]
        if any(f is not None and metric in f.means for f in own):
            rows.append(
                [
                    remedy,
                    *(
                        "–"
                        if f is None or metric not in f.means
                        else f"{mean_and_sd(f, metric)}"
                        f"{MARKS.get(f.verdict, '')}{f' ({f.runs})' if f.runs < most else ''}"
                        for f in own
                    ),
                ]
            )
    return markdown_table(["remedy", *comparison.classifiers.values()], rows)


@dataclass(frozen=True)
class Outcome:
    """One of our remedies less the best of the others, with one classifier.

    Attributes:
        classifier, ours, best: which.
        test: of the difference, paired over the seeds that both have.
        p_adjusted: after Holm's correction over the classifier's rows.
    """

    classifier: str
    ours: str
    best: str
    test: PairedTest
    p_adjusted: float

    @property
    def word(self) -> str:
        """ "win", "tie" or "loss"."""
        if self.p_adjusted >= 0.05:
            return "tie"
        return "win" if self.test.mean > 0 else "loss"


def outcomes(comparison: Comparison, metric: str) -> list[Outcome]:
    """Our remedies less the best of the others, by its mean over the same seeds: chosen on what is
    reported, which favours the others."""
    found, result = findings(comparison, metric), []
    for kind in comparison.classifiers:
        own = {f.remedy: f for f in found if f.classifier == kind and metric in f.means}
        most = max((f.runs for f in own.values()), default=0)
        others = [f for name, f in own.items() if name not in (*OURS, *CONTROLS) and f.runs == most]
        if not others:
            continue
        best = max(others, key=lambda f: f.means[metric])
        tests = {name: between(comparison, own[name], best, metric) for name in OURS if name in own}
        kept = {name: test for name, test in tests.items() if test is not None}
        p_values = adjusted_p_values({(kind, name): t.p_value for name, t in kept.items()})
        result += [
            Outcome(kind, name, best.remedy, test, p_values[kind, name])
            for name, test in kept.items()
        ]
    return result


def outcomes_table(comparison: Comparison, metric: str) -> str:
    """The outcomes of a task, a line each."""
    rows = [
        [
            comparison.classifiers[one.classifier],
            one.ours,
            one.best,
            points(one.test),
            f"{one.p_adjusted:.2g}",
            one.word,
        ]
        for one in outcomes(comparison, metric)
    ]
    head = ["classifier", "ours", "best of the others", "ours less it", "p", "outcome"]
    return markdown_table(head, rows) if rows else ""


def overview(comparisons: dict[str, Comparison], place: int = 0) -> str:
    """Our remedies against the best of the others on every task: ▲ win, = tie, ▼ loss, a sign a
    classifier in the order of the tables, · where it was not run. By the main measure of a task
    (`place` 0) or the second."""
    words = {
        (task, one.classifier, one.ours): OUTCOMES[one.word]
        for task, comparison in comparisons.items()
        for one in outcomes(comparison, metrics_of(comparison.problem)[place])
    }
    kinds = [kind for kind in CLASSIFIERS if any(key[1] == kind for key in words)]
    rows = [
        [name]
        + ["".join(words.get((task, kind, name), "·") for kind in kinds) for task in comparisons]
        for name in OURS
    ]
    measures = {metrics_of(one.problem)[place] for one in comparisons.values()}
    by = " or ".join(TITLES.get(name, name) for name in sorted(measures))
    titles = "; ".join(CLASSIFIERS[kind].title for kind in kinds)
    without = [task for task, one in comparisons.items() if one.header.get("encoder") is None]
    note = f" (latent semantic analysis on {', '.join(without)})" if without else ""
    return (
        f"By {by}, in the order {titles}{note}:\n\n{markdown_table(['ours', *comparisons], rows)}"
    )


def page(comparisons: dict[str, Comparison]) -> str:
    """The overview, then every task's tables and its answer in words."""
    blocks = ["## Our methods against the best of the others"]
    blocks += [overview(comparisons, place) for place in (0, 1)]
    for task, comparison in comparisons.items():
        main, second = metrics_of(comparison.problem)
        seeds = len({cell.fold for cell in comparison.cells})
        blocks.append(f"## {task} ({seeds} seeds)")
        for metric in (main, second):
            title = TITLES.get(metric, metric)
            blocks.append(f"### {title}\n\n{remedies_table(comparison, metric)}")
        for metric in (main, second):
            title = TITLES.get(metric, metric)
            blocks.append(f"### Ours, by {title}\n\n{outcomes_table(comparison, metric)}")
        heads, rows = made_texts_rows(comparison)
        if rows:
            blocks.append(f"### Texts that were made\n\n{markdown_table(heads, rows)}")
        lines = "\n".join(f"- {line}" for line in verdict(comparison, main))
        blocks.append(f"### The verdict, by {TITLES.get(main, main)}\n\n{lines}")
    return "\n\n".join(blocks)


def main() -> int:
    """Run, or print the tables of what has been run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=("run", "table"))
    parser.add_argument("--data_dir", type=Path)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "compare")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(DEFAULT_TASKS))
    parser.add_argument(
        "--classifiers", nargs="+", choices=list(CLASSIFIERS), default=["textcnn", "linear", "mlp"]
    )
    parser.add_argument("--remedies", nargs="+", default=list(REMEDIES))
    parser.add_argument("--steps", type=int, default=300, help="of each classifier")
    parser.add_argument("--seeds", type=int, nargs="+", choices=SEEDS, default=list(SEEDS))
    parser.add_argument("--pretrain_steps", type=int, default=MisoTrainingArguments.pretrain_steps)
    options = parser.parse_args()
    remedies = [remedy_named(name).name for name in options.remedies]
    if options.action == "table":
        paths = {task: options.output / f"{task}.jsonl" for task in options.tasks}
        print(page({task: recorded(path) for task, path in paths.items() if path.exists()}))
        for task in (task for task, path in paths.items() if not path.exists()):
            print(f"\n## {task}\n\nNot run.")
        return 0
    if options.data_dir is None:
        parser.error("run needs --data_dir")
    for task in options.tasks:
        run(
            task,
            options.data_dir,
            options.output,
            options.classifiers,
            remedies,
            options.steps,
            {"pretrain_steps": options.pretrain_steps},
            options.seeds,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
