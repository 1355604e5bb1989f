"""What a frozen encoder gains from the n-grams of a text: 30 seeds, and nothing trained.

    OMP_NUM_THREADS=1 python benchmarks/ngrams.py --data_dir DATA --output benchmarks/ngrams.jsonl
    python benchmarks/ngrams.py --table --output benchmarks/ngrams.jsonl

All arms are balanced logistic regressions: on n-grams of MiniLM's tokens; on words and pairs of
words (tf-idf, as scikit-learn has it); on MiniLM's vectors; on these and rows that SMOTE makes; on
vectors and n-grams side by side, which is what `hf-oversample reembed --frozen true`
writes; and the mean of the scores of vectors and of n-grams, standardised over the test rows.
Cross-validation over training rows chooses each arm's penalty, or how it is shared. No validation
row is used, and test rows are scored once. A run that was stopped goes on at the task and seed
where it was.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pooled_table import pooled_table, read
from reembedding import fewer
from reembedding_arms import setting
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedKFold
from tasks import FURTHER_TASKS, TASKS, TaskRows, task_rows

from hf_oversample.data.demo import demo_encoder_path
from hf_oversample.metrics.classification import average_precision_at
from hf_oversample.sklearn import SmoteSampler
from hf_oversample.text.encoding import token_ids
from hf_oversample.training.ngram_heads import ngram_matrix, solve_ngram_head
from hf_oversample.training.reembedder import Reembedder
from hf_oversample.training.reembedding_arguments import ReembeddingArguments
from hf_oversample.training.reembedding_heads import (
    FOLDS,
    averaged_scores,
    rare_score,
    solve_head,
)

ARMS = (
    "words",
    "n-grams",
    "frozen",
    "frozen + SMOTE rows",
    "frozen, n-grams",
    "mean of frozen and n-grams",
)
PENALTIES = (1.0, 10.0, 100.0, 1000.0)


class Vectors:
    """MiniLM's vectors, of each text once."""

    def __init__(self, encoder: Reembedder) -> None:
        self.encoder, self.known = encoder, dict[str, np.ndarray]()

    def of(self, texts: Sequence[str]) -> np.ndarray:
        """`[n, d]`, of length 1."""
        new = [text for text in dict.fromkeys(texts) if text not in self.known]
        if new:
            self.known.update(zip(new, self.encoder.embed(new), strict=True))
        return np.stack([self.known[text] for text in texts])


def regression(rows: Any, labels: np.ndarray, penalty: float) -> LogisticRegression:
    """Balanced, of two classes."""
    solver = LogisticRegression(C=penalty, class_weight="balanced", max_iter=1000, tol=1e-3)
    return solver.fit(rows, labels)


def chosen(rows: Any, labels: np.ndarray, seed: int) -> LogisticRegression:
    """The penalty whose scores of rows left out rank best."""
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    found = {}
    for penalty in PENALTIES:
        left_out = np.zeros(len(labels))
        for train, held in folds.split(labels, labels):
            one = regression(rows[train], labels[train], penalty)
            left_out[held] = one.decision_function(rows[held])
        found[penalty] = average_precision_score(labels, left_out)
    return regression(rows, labels, max(found, key=lambda penalty: (found[penalty], -penalty)))


def both(odds: np.ndarray) -> np.ndarray:
    """Log-odds `[n]` as class scores `[n, 2]`."""
    return np.stack([-odds / 2, odds / 2], 1)


def arms_of(rows: TaskRows, seed: int, encoder: Reembedder, vectors: Vectors) -> dict[str, Any]:
    """Arm → class scores `[n, 2]` of the test rows."""
    texts = [rows.train.texts, rows.test.texts]
    labels = (rows.train.labels == rows.targets[0]).astype(np.int64)
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+|[^\w\s]")
    found = {}
    matrices = [words.fit_transform(texts[0]), words.transform(texts[1])]
    found["words"] = both(chosen(matrices[0], labels, seed).decision_function(matrices[1]))
    dense = [vectors.of(one) for one in texts]
    options: dict[str, Any] = {"classes": 2, "targets": [1], "seed": seed}
    frozen = solve_head(dense[0], labels, **options)
    found["frozen"] = frozen.logits(dense[1])
    more, of_more = SmoteSampler(random_state=seed).fit_resample(dense[0], labels)
    solved = regression(more, of_more, frozen.penalty)
    found["frozen + SMOTE rows"] = both(solved.decision_function(dense[1]))
    encoded = [token_ids(encoder.tokenizer, one, encoder.max_length) for one in texts]
    joint = solve_ngram_head(dense[0], encoded[0], labels, **options)
    ngrams = joint.classifier(encoder.model).ngrams
    assert ngrams is not None
    sparse_rows = [ngram_matrix(one, ngrams) for one in encoded]
    found["frozen, n-grams"] = (
        dense[1] @ joint.weight.T + sparse_rows[1] @ joint.ngram_weight + joint.bias
    )
    found["n-grams"] = both(chosen(sparse_rows[0], labels, seed).decision_function(sparse_rows[1]))
    # over the test rows themselves: scores of rows that a head was fitted on are of another scale
    found["mean of frozen and n-grams"] = averaged_scores([found["frozen"]], [found["n-grams"]])[0]
    return found


def table(lines: Sequence[dict[str, Any]]) -> str:
    """Every arm of the records, held against the frozen encoder's vectors alone."""
    return pooled_table(lines, ARMS, "frozen")


def main() -> None:
    """Measure, or print what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data_dir", type=Path)
    parser.add_argument(
        "--tasks",
        nargs="+",
        choices=TASKS + FURTHER_TASKS,
        default=["sms-1%", "trec6-abbr", "yelp-1%", "edos-a-2%"],
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(1, 31)))
    parser.add_argument("--max_length", type=int, help="in tokens; default: the task's, 32 to 64")
    parser.add_argument("--held_rows", type=int, default=2000, help="test rows")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/ngrams.jsonl"))
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    options.steps, options.train_word_embeddings = 0, False
    if not options.table and options.data_dir is None:
        parser.error("--data_dir is needed to measure")
    for task in () if options.table else options.tasks:
        vectors = None
        for seed in options.seeds:
            done = {
                one["arm"]
                for one in read(options.output)
                if (one["task"], one["seed"]) == (task, seed)
            }
            if done >= set(ARMS):
                continue
            rows = task_rows(task, options.data_dir, seed)
            rows = replace(rows, test=fewer(rows.test, options.held_rows, seed))
            if vectors is None:
                arguments = ReembeddingArguments(
                    save_steps=0, max_length=options.max_length or rows.max_length
                )
                encoder = Reembedder(
                    demo_encoder_path(), class_names=rows.class_names, arguments=arguments
                )
                vectors = Vectors(encoder)
            measure(task, rows, seed, vectors, options)
    print(table(read(options.output)))


def measure(
    task: str, rows: TaskRows, seed: int, vectors: Vectors, options: argparse.Namespace
) -> None:
    """One task and seed: a line an arm."""
    start = time.process_time()
    found = arms_of(rows, seed, vectors.encoder, vectors)
    seconds = round(time.process_time() - start, 1)
    label = rows.targets[0]
    truth, prior = (
        (rows.test.labels == label).astype(int),
        float((rows.train.labels == label).mean()),
    )
    counts = {
        name: [len(part), int((part.labels == label).sum())]
        for name, part in (("train", rows.train), ("test", rows.test))
    }
    with options.output.open("a", encoding="utf-8") as file:
        for arm, scores in found.items():
            line = {
                "task": task,
                "seed": seed,
                "arm": arm,
                "test_at_prior": average_precision_at(truth, rare_score(scores, 1), prior),
                "processor_seconds_of_all_arms": seconds,
                "rows": counts,
                "setting": setting(options),
            }
            file.write(json.dumps(line) + "\n")
            print(task, seed, arm, round(100 * line["test_at_prior"], 2), flush=True)


if __name__ == "__main__":
    main()
