"""What learning rate and how many updates a TextCNN or TextRNN needs, with and without a remedy.

    python benchmarks/learning_rates.py --data_dir DATA --output benchmarks/learning_rates.json

Validation rows of seed 0 alone, which `compare.py` does not report on: the average precision of the
rare class (of several classes, their mean), and the share of the rare training rows that the
network places in their class, on the rows as they are and with duplicates.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from compare import machine
from scipy.special import softmax
from tasks import TASKS, task_rows

from hf_oversample.comparison.base import Training
from hf_oversample.comparison.classifiers import TextNetwork
from hf_oversample.comparison.fold import Fold
from hf_oversample.comparison.registry import CLASSIFIERS, classifier_named
from hf_oversample.comparison.resampling import duplicates
from hf_oversample.data.demo import demo_encoder_path
from hf_oversample.hub.tables import markdown_table
from hf_oversample.text.words import Segmenter
from hf_oversample.training.classifier import ranking_score

SETTINGS = ((1e-3, 300), (3e-3, 300), (1e-2, 300), (3e-2, 300), (1e-3, 1200), (3e-3, 600))
"""Learning rates and updates."""


def fold_of(task: str, data: Path) -> Fold:
    """The rows of seed 0."""
    rows = task_rows(task, data, 0)
    return Fold(
        rows.train,
        rows.validation,
        rows.test,
        rows.class_names,
        Segmenter(rows.language),
        minority=-1 if rows.minority is None else rows.minority,
        encoder_name=str(demo_encoder_path()) if rows.language == "en" else None,
    )


def measured(fold: Fold, kind: str, rate: float, steps: int) -> dict[str, dict[str, float]]:
    """Of a network trained on the rows as they are, and with duplicates."""
    rare, found = fold.train.labels == fold.minority, {}
    for name, training in (("none", Training()), ("duplicates", duplicates(fold))):
        classifier = classifier_named(kind, steps)
        assert isinstance(classifier, TextNetwork)
        classifier.learning_rates = (rate,)  # type: ignore[misc]
        trained = classifier.train(fold, training, seed=0)
        told = softmax(trained.logits("validation").astype(float), axis=1)
        places = trained.logits("train").argmax(axis=1)
        found[name] = {
            "average_precision": ranking_score(fold.validation.labels, told, fold.minority),
            "train_recall": float((places[rare] == fold.minority).mean()),
        }
    return found


def table(results: list[dict[str, Any]]) -> str:
    """A line a network and setting, a column a task: average precision of none / duplicates."""
    tasks = list(dict.fromkeys(one["task"] for one in results))
    cells: dict[tuple[str, float, int], dict[str, str]] = {}
    for one in results:
        shown = " / ".join(
            f"{100 * one[n]['average_precision']:.1f}" for n in ("none", "duplicates")
        )
        key = (one["classifier"], one["learning_rate"], one["steps"])
        cells.setdefault(key, {})[one["task"]] = shown
    rows = [
        [CLASSIFIERS[kind].title, f"{rate:g}", str(steps), *(own.get(task, "–") for task in tasks)]
        for (kind, rate, steps), own in cells.items()
    ]
    return markdown_table(["network", "learning rate", "updates", *tasks], rows)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data_dir", type=Path, required=True)
    parser.add_argument(
        "--tasks", nargs="+", choices=TASKS, default=["yelp-1%", "sms-1%", "toutiao", "r8-half"]
    )
    parser.add_argument("--classifiers", nargs="+", default=["textcnn"])
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    results = []
    for task in options.tasks:
        fold = fold_of(task, options.data_dir)
        for kind in options.classifiers:
            for rate, steps in SETTINGS:
                of = {"task": task, "classifier": kind, "learning_rate": rate, "steps": steps}
                results.append(of | measured(fold, kind, rate, steps))
                print(json.dumps(results[-1]), flush=True)
    print(table(results))
    if options.output is not None:
        text = json.dumps({"seed": 0, **machine(), "results": results}, indent=2)
        options.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
