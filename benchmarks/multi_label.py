"""Remedies for rare labels on sexist posts of four categories and eleven kinds (EDOS, task C).

    python benchmarks/multi_label.py --data_dir DATA --output benchmarks/multi_label.jsonl

A post has its kind and the category of that kind as labels; posts that are not sexist (task A) have
none. Folds are drawn from the training files alone, by iterative stratification.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from compare import machine

from hf_oversample.comparison.decision import decide
from hf_oversample.comparison.findings import table
from hf_oversample.comparison.multi_label import compare_multi_label
from hf_oversample.comparison.multi_label_problem import multi_label_folds
from hf_oversample.comparison.problem import Problem
from hf_oversample.comparison.wording import markdown
from hf_oversample.data.demo import demo_encoder_path
from hf_oversample.data.files import read_file
from hf_oversample.data.label_auditing import audit_label_sets
from hf_oversample.data.label_sets import LabelSets

METRIC = "macro_average_precision"


def edos(data: Path, without_label: int, folds: int, seed: int) -> tuple[Problem, LabelSets]:
    """The posts, and what their labels are like."""
    kinds = read_file(str(data / "edos_c" / "train.parquet"))
    names = kinds.features["label"].names
    categories = sorted({name[0] for name in names})
    codes = np.asarray(kinds["label"][:])
    own = np.eye(len(names), dtype=bool)[codes]
    parents = np.array([[name[0] == one for one in categories] for name in names])[codes]
    plain = read_file(str(data / "edos_a" / "train.parquet"))
    others = np.flatnonzero(
        np.asarray(plain["label"][:]) == plain.features["label"].names.index("not sexist")
    )
    drawn = np.sort(np.random.default_rng(seed).choice(others, without_label, replace=False))
    none = np.zeros((without_label, len(categories) + len(names)), bool)
    labels = np.concatenate([np.concatenate([parents, own], axis=1), none])
    texts = [*kinds["text"][:], *plain.select(drawn)["text"][:]]
    sets = LabelSets(labels, [*(f"category {one}" for one in categories), *names], "columns")
    problem = multi_label_folds(
        texts, labels, sets.names, folds=folds, language="en", name="EDOS, kinds", seed=seed
    )
    return problem, sets


def main() -> None:
    """Compare, or go on, and print the tables and the verdict."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data_dir", type=Path, required=True)
    parser.add_argument("--without_label", type=int, default=600, help="posts without a label")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    problem, sets = edos(options.data_dir, options.without_label, options.folds, options.seed)
    told = audit_label_sets(sets, pairs=0)
    print(
        f"{len(sets)} posts, {len(sets.names)} labels, MeanIR {told.mean_imbalance_ratio:.2f}, "
        f"SCUMBLE {told.scumble:.3f}, cardinality {told.cardinality:.3f}; rare: "
        + ", ".join(f"{n} ({x.rows})" for n, x in told.labels.items() if x.is_minority)
    )
    comparison = compare_multi_label(
        problem,
        encoder_name=str(demo_encoder_path()),
        records=options.output,
        progress=lambda line: print(line, flush=True),
    )
    print(table(comparison, METRIC), markdown(decide(comparison, METRIC)), sep="\n\n")
    print(json.dumps(machine()))


if __name__ == "__main__":
    main()
