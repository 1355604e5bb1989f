"""Which of a language model's texts teach a frozen encoder: all, a band, those of influence, soft.

    OMP_NUM_THREADS=1 python benchmarks/selection.py --data_dir DATA --written benchmarks/writers \\
        --output benchmarks/selection.json
    python benchmarks/selection.py --table --output benchmarks/selection.json

What `benchmarks/writers.py` left beside its record is read: texts of Yelp's rare class, which
passed the gate's question for their class. Average precision, in points, at the training rows'
prior, of balanced logistic regression on frozen MiniLM's vectors, its penalty by cross-validation
over the real rows. *soft*: a text is of each class by as much as half its label and half what a
teacher that has not seen its source says; *weighted*: of its own by what the teacher says.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from miso import machine
from sklearn.linear_model import LogisticRegression
from tasks import TaskRows, task_rows
from writers import FIRST, rows_of

from hf_oversample.data.demo import demo_encoder_path
from hf_oversample.hub.tables import markdown_table
from hf_oversample.metrics.classification import average_precision_at
from hf_oversample.oversamplers.anchors.gate import MarginBand
from hf_oversample.oversamplers.anchors.influence import Influence
from hf_oversample.oversamplers.anchors.judge import LinearJudge, out_of_fold_margins
from hf_oversample.oversamplers.anchors.soft_labels import teacher_probabilities
from hf_oversample.oversamplers.language_model.oversampler import LanguageModelOversampler
from hf_oversample.training.reembedder import Reembedder
from hf_oversample.training.reembedding_arguments import ReembeddingArguments
from hf_oversample.training.reembedding_heads import solve_head

SHARE = 0.5
"""Of the teacher in a soft label."""


def measured(task: TaskRows, folder: Path, seed: int) -> dict[str, Any]:
    """Arm → how many texts it keeps, and average precision."""
    dataset = rows_of(task, len(task.train))
    oversampler = LanguageModelOversampler.from_pretrained(folder / FIRST.replace(" ", "_"))
    made = [row for row in oversampler.children(dataset) if row["origin"] == 1]
    arguments = ReembeddingArguments(save_steps=0, max_length=task.max_length)
    encoder = Reembedder(demo_encoder_path(), class_names=task.class_names, arguments=arguments)
    y, truth = np.asarray(dataset["label"]), (task.test.labels == task.targets[0]).astype(int)
    x, test, texts = map(
        encoder.embed, (dataset["text"][:], task.test.texts, [row["text"] for row in made])
    )
    own, parents = np.ones(len(made), np.int64), np.array([row["parent"] for row in made])
    penalty = solve_head(x, y, classes=2, targets=[1], seed=seed).penalty
    margins = LinearJudge.fit(x, y, 2).margin(texts, own)
    influence = Influence.fit(x, y, 2, [1], regularization=penalty, seed=seed).of(texts, own)
    band = MarginBand.of(out_of_fold_margins(x, y, 2, seed=seed), y, 2, 0.0, 0.5)
    told = teacher_probabilities(x, y, texts, parents, 2, seed=seed)[:, 1]

    def worth(rare: np.ndarray, common: np.ndarray | None = None) -> dict[str, float]:
        """With each text as `rare` of a row of its class, and `common` of one of the other."""
        common = np.zeros(len(texts)) if common is None else common
        weight = np.concatenate([np.ones(len(y)), rare, common])
        labels = np.concatenate([y, own, 1 - own])
        rows, kept = np.concatenate([x, texts, texts]), weight > 0
        for label in (0, 1):  # balanced: each class counts for half of the real rows
            is_own = labels == label
            weight[is_own] *= len(y) / 2 / weight[is_own].sum()
        solver = LogisticRegression(C=penalty, max_iter=2000)
        solver.fit(rows[kept], labels[kept], sample_weight=weight[kept])
        found = average_precision_at(truth, solver.decision_function(test), float(y.mean()))
        return {"texts": int((rare > 0).sum()), "average_precision": round(100 * found, 2)}

    return {
        "real rows": worth(np.zeros(len(texts))),
        "all texts": worth(np.ones(len(texts))),
        "margin from 0 to the median": worth((margins <= band.most[1]).astype(float)),
        "margin above the median": worth((margins > band.most[1]).astype(float)),
        "of positive influence": worth((influence > 0).astype(float)),
        "of negative influence": worth((influence <= 0).astype(float)),
        "soft": worth(1 - SHARE + SHARE * told, SHARE * (1 - told)),
        "weighted": worth(told),
    }


def table(record: dict[str, Any]) -> str:
    """An arm a line, a seed a column."""
    seeds = list(record["seeds"])
    arms = list(record["seeds"][seeds[0]])
    rows = [
        [
            arm,
            *(
                f"{record['seeds'][seed][arm]['average_precision']:.1f} "
                f"({record['seeds'][seed][arm]['texts']})"
                for seed in seeds
            ),
        ]
        for arm in arms
    ]
    return markdown_table(["rows added (how many)", *(f"seed {seed}" for seed in seeds)], rows)


def main() -> None:
    """Measure, or print what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data_dir", type=Path)
    parser.add_argument("--written", type=Path, help="the folder beside the record of writers.py")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if options.table:
        print(table(json.loads(options.output.read_text(encoding="utf-8"))))
        return
    if options.data_dir is None or options.written is None:
        parser.error("--data_dir and --written are needed to measure")
    record: dict[str, Any] = {**machine(), "task": "yelp-1%", "seeds": {}}
    for seed in options.seeds:
        task = task_rows("yelp-1%", options.data_dir, seed)
        record["seeds"][str(seed)] = measured(task, options.written / str(seed), seed)
        print(seed, json.dumps(record["seeds"][str(seed)]), flush=True)
        options.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
