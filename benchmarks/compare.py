"""Every remedy with every classifier on every task: the library's own referee on its own work.

    python benchmarks/compare.py run --data_dir DATA --tasks sms-1% --output benchmarks/compare
    python benchmarks/compare.py table --output benchmarks/compare

DATA is described in tasks.py. `run` writes one JSONL file a task, a line a cell, and goes on where
it was stopped; generators (one a task and seed) are kept in its folder `generators`, which is no
part of the record. The settings are the library's defaults; a seed draws the rows and the weights.
Fine-tuning costs minutes a cell without a GPU: it has a shorter list of remedies (FINE_TUNED).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from tasks import INDEPENDENT, TASKS, task_rows

from hf_oversample.comparison.findings import findings, table
from hf_oversample.comparison.miso import MisoSource
from hf_oversample.comparison.problem import Problem, Split
from hf_oversample.comparison.protocol import Comparison, compare
from hf_oversample.comparison.records import Records
from hf_oversample.comparison.registry import CLASSIFIERS
from hf_oversample.comparison.remedies import REMEDIES, remedy_named
from hf_oversample.comparison.verdict import verdict
from hf_oversample.data import demo_encoder_path
from hf_oversample.metrics.statistics import holm, paired_test
from hf_oversample.report import markdown_table
from hf_oversample.training.arguments import MisoTrainingArguments

SEEDS = (1, 2, 3, 4, 5)  # rows of seed 0 were looked at while defaults were chosen
DEFAULT_TASKS = ("sms-1%", "yelp-1%", "yelp-5%", "imdb-1%", "toutiao", "r8")
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
    "plain + anchors",
)
CONTROLS = ("none", "plain + plain")


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


def metric_of(problem: Problem) -> str:
    """What a task is judged by: average precision at the training part's prior, which needs no
    threshold; macro-F1 with several classes."""
    return "average_precision_at_train" if len(problem.class_names) == 2 else "macro_f1"


def run(
    task: str,
    data: Path,
    folder: Path,
    classifiers: list[str],
    remedies: list[str],
    steps: int,
    training: dict[str, Any],
) -> None:
    """Make the cells of a task that its file does not hold."""
    problem = problem_of(task, data)
    length = task_rows(task, data, SEEDS[0]).max_length
    arguments = MisoTrainingArguments(max_length=length, **training)
    source = MisoSource(folder / "generators" / task, arguments)
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
    titles = {kind: CLASSIFIERS[kind].title for kind in kinds}
    return Comparison(rows, header, cells, classifiers=titles)


def machine() -> dict[str, Any]:
    """Where the figures come from."""
    names = ("torch", "transformers", "datasets", "scikit-learn", "numpy")
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {name: metadata.version(name) for name in names},
    }


def ours_against_the_best(comparison: Comparison, metric: str) -> str:
    """Our remedies less the best of the others (by its mean over the same seeds, which favours the
    others), for each classifier: paired over seeds, Holm over a classifier's rows."""
    found = findings(comparison, metric)
    rows = []
    for kind, title in comparison.classifiers.items():
        own = {f.remedy: f for f in found if f.classifier == kind and f.runs}
        others = [f for name, f in own.items() if name not in (*OURS, *CONTROLS)]
        if not others:
            continue
        best = max(others, key=lambda f: f.means[metric]).remedy
        values = {
            name: {
                c.fold: c.metrics[metric]
                for c in comparison.cells
                if (c.classifier, c.remedy) == (kind, name) and c.refused is None
            }
            for name in (best, *(name for name in OURS if name in own))
        }
        lines, p_values = [], []
        for name in list(values)[1:]:
            folds = sorted(set(values[name]) & set(values[best]))
            if len(folds) > 1:
                test = paired_test(
                    [values[name][f] for f in folds],
                    [values[best][f] for f in folds],
                    comparison.problem.overlap,
                )
                lines.append((name, test))
                p_values.append(1.0 if test.p_value != test.p_value else test.p_value)
        for (name, test), p in zip(lines, holm(p_values), strict=True):
            outcome = "tie" if p >= 0.05 else "win" if test.mean > 0 else "loss"
            shown = f"{100 * test.mean:+.1f} ± {100 * test.sd:.1f}"
            rows.append([title, name, best, shown, f"{p:.3f}", outcome])
    head = ["classifier", "ours", "best of the others", "ours less it", "p (Holm)", "outcome"]
    return markdown_table(head, rows) if rows else ""


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
    parser.add_argument("--pretrain_steps", type=int, default=MisoTrainingArguments.pretrain_steps)
    options = parser.parse_args()
    remedies = [remedy_named(name).name for name in options.remedies]
    for task in options.tasks:
        path = options.output / f"{task}.jsonl"
        if options.action == "run":
            if options.data_dir is None:
                parser.error("run needs --data_dir")
            steps = {"pretrain_steps": options.pretrain_steps}
            run(
                task,
                options.data_dir,
                options.output,
                options.classifiers,
                remedies,
                options.steps,
                steps,
            )
        elif path.exists():
            comparison = recorded(path)
            metric = metric_of(comparison.problem)
            print(f"## {task}\n\n{table(comparison, metric)}\n")
            print(f"{ours_against_the_best(comparison, metric)}\n")
            print("".join(f"- {line}\n" for line in verdict(comparison, metric)))
        else:
            print(f"## {task}\n\nNot run: there is no {path.name}.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
