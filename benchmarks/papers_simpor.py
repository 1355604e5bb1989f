"""The tables of the SIMPOR paper: moons, Breast Cancer, Credit Card Fraud (its section 6).

    python benchmarks/papers_simpor.py run --data_dir … --output benchmarks/papers_simpor.jsonl
    python benchmarks/papers_simpor.py table benchmarks/papers_simpor.jsonl

The paper's protocol: 80 % of the rows for training and 20 % for testing, drawn anew in each of 5
trials; a network of 3 hidden layers (100, 50, 200 units), Adam at 0.01, 200, 150, 200 epochs of
batches of 32, 32, 64; macro-averaged F1, precision and recall, and the area under the ROC curve.
HDR is that of the training rows after balancing.

Kept clean: rows are standardised, made imbalanced (Breast Cancer) and balanced by what is in the
training part only, repeated frauds are dropped before splitting, and nothing is chosen by a test
row. The paper does not state the noise of its moons (0.3 here), whether it standardises, or the
bins of the HDR (50 here). `run` skips what its output holds already.

Its Table 2 and its section 6.3.2 differ (F1 .953 and .943 against .947 and .935), and the first two
blocks of its Table 3 (Credit Card, 3:1 and 7:1) repeat those of Table 2 (7:1 and 3:1) to the digit:
they cannot both be what was measured.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from imblearn.over_sampling import ADASYN, SMOTE, BorderlineSMOTE, RandomOverSampler
from sklearn.datasets import load_breast_cancer, make_moons
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import precision_recall_fscore_support, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from hf_oversample.metrics.embeddings import hard_to_differentiate_ratio
from hf_oversample.metrics.statistics import paired_test
from hf_oversample.oversamplers.simpor import SimporOversampler
from hf_oversample.report import markdown_table

MOONS_NOISE = 0.3
MEASURES = ("f1", "auc", "precision", "recall", "hdr")
Rows = tuple[np.ndarray, np.ndarray]
Printed = tuple[float | None, ...]

# SIMPOR, SMOTE, Borderline-SMOTE, over-sampling, ADASYN, raw: the columns of Tables 2 and 3.
COLUMNS = ("SIMPOR", "SMOTE", "Borderline-SMOTE", "duplicates", "ADASYN", "none")
_CANCER_3: dict[str, Printed] = {
    "f1": (0.953, 0.931, 0.891, 0.935, 0.835, 0.944),
    "auc": (0.974, 0.974, 0.964, 0.974, 0.974, 0.971),
    "precision": (0.970, 0.924, 0.868, 0.935, 0.790, 0.975),
    "recall": (0.938, 0.938, 0.922, 0.936, 0.928, 0.919),
}
_CANCER_7: dict[str, Printed] = {
    "f1": (0.943, 0.903, 0.865, 0.939, 0.821, 0.879),
    "auc": (0.968, 0.968, 0.967, 0.967, 0.968, 0.966),
    "precision": (0.952, 0.899, 0.846, 0.948, 0.805, 0.873),
    "recall": (0.936, 0.918, 0.903, 0.932, 0.879, 0.907),
}
PRINTED: dict[str, dict[str, Printed]] = {
    "moons 3:1": {"f1": (0.917, 0.862, None, None, None, 0.852)},
    "breast cancer 3:1": _CANCER_3,
    "breast cancer 7:1": _CANCER_7,
    "credit card 3:1": _CANCER_7,
    "credit card 7:1": {
        **_CANCER_3,
        "precision": (0.975, 0.924, 0.868, 0.935, 0.790, 0.975),
        "hdr": (0.1114, None, 0.7598, None, 0.8182, 0.6975),
    },
    "credit card 10:1": {
        "f1": (0.952, 0.901, 0.863, 0.658, 0.906, 0.930),
        "auc": (0.972, 0.957, 0.967, 0.964, 0.969, 0.975),
        "precision": (0.979, 0.891, 0.855, 0.662, 0.885, 0.931),
        "recall": (0.929, 0.925, 0.918, 0.845, 0.933, 0.936),
    },
    "credit card 15:1": {
        "f1": (0.952, 0.909, 0.885, 0.917, 0.883, 0.944),
        "auc": (0.968, 0.963, 0.955, 0.963, 0.965, 0.960),
        "precision": (0.966, 0.892, 0.850, 0.909, 0.849, 0.984),
        "recall": (0.940, 0.931, 0.931, 0.935, 0.931, 0.911),
    },
}


@dataclass(frozen=True)
class Task:
    """A row block of the paper's tables: its data, and its network (Table 1)."""

    rows: Callable[[int], Rows]
    units: int
    epochs: int
    batch_size: int


def moons(seed: int) -> Rows:
    """3000 rows of two classes, 1000 of the second removed; 1500 and 500."""
    x, y = make_moons(3000, noise=MOONS_NOISE, random_state=seed)
    return thinned(x, y, 1500, 500, seed)


def breast_cancer(minority: int) -> Callable[[int], Rows]:
    """357 benign rows and some of the 212 malignant ones (the minority)."""

    def rows(seed: int) -> Rows:
        x, y = load_breast_cancer(return_X_y=True)
        return thinned(x, 1 - y, 357, minority, seed)  # scikit-learn has 0 for malignant

    return rows


def credit_card(data_dir: Path | None, ratio: int) -> Callable[[int], Rows]:
    """All distinct frauds and `ratio` times as many of the other rows."""

    def rows(seed: int) -> Rows:
        if data_dir is None:
            raise SystemExit("credit card needs --data_dir, with creditcard/{train,test}.parquet")
        parts = [
            Dataset.from_parquet(str(data_dir / "creditcard" / f"{split}.parquet"))
            for split in ("train", "test")
        ]
        tables = [part.to_pandas() for part in parts]
        x = np.concatenate([t.drop(columns="label").to_numpy(np.float64) for t in tables])
        y = np.concatenate([t["label"].to_numpy() for t in tables])
        _, first = np.unique(np.column_stack([x, y]), axis=0, return_index=True)
        x, y = x[np.sort(first)], y[np.sort(first)]
        return thinned(x, y, ratio * int(y.sum()), int(y.sum()), seed)

    return rows


def thinned(x: np.ndarray, y: np.ndarray, majority: int, minority: int, seed: int) -> Rows:
    """Random rows of classes 0 and 1, so many of each."""
    rng = np.random.default_rng(seed)
    chosen = [
        rng.choice(np.flatnonzero(y == label), size=count, replace=False)
        for label, count in ((0, majority), (1, minority))
    ]
    rows = rng.permutation(np.concatenate(chosen))
    return x[rows], y[rows]


def tasks(data_dir: Path | None) -> dict[str, Task]:
    """The blocks of the paper's tables by name."""
    result = {
        "moons 3:1": Task(moons, 100, 200, 32),
        "breast cancer 3:1": Task(breast_cancer(120), 50, 150, 32),
        "breast cancer 7:1": Task(breast_cancer(50), 50, 150, 32),
    }
    for ratio in (3, 7, 10, 15):
        result[f"credit card {ratio}:1"] = Task(credit_card(data_dir, ratio), 200, 200, 64)
    return result


def balance_simpor(x: np.ndarray, y: np.ndarray, seed: int) -> Rows:
    """Rows and their children by this library, with its defaults."""
    made, labels, _, _ = SimporOversampler(seed=seed).fit_arrays(x, y).new_rows()
    return np.concatenate([x, made]), np.concatenate([y, labels])


def imblearn_sampler(sampler: Any) -> Callable[[np.ndarray, np.ndarray, int], Rows]:
    """The same by one of imbalanced-learn's samplers, with its defaults."""
    return lambda x, y, seed: sampler(random_state=seed).fit_resample(x, y)


METHODS: dict[str, Callable[[np.ndarray, np.ndarray, int], Rows]] = {
    "none": lambda x, y, seed: (x, y),
    "duplicates": imblearn_sampler(RandomOverSampler),
    "SMOTE": imblearn_sampler(SMOTE),
    "Borderline-SMOTE": imblearn_sampler(BorderlineSMOTE),
    "ADASYN": imblearn_sampler(ADASYN),
    "SIMPOR": balance_simpor,
}


def trial(task: Task, method: str, seed: int) -> dict[str, float]:
    """One split, one method: balanced, trained, tested."""
    x, y = task.rows(seed)
    x_train, x_test, y_train, y_test = train_test_split(
        x, y, test_size=0.2, stratify=y, random_state=seed
    )
    scaler = StandardScaler().fit(x_train)
    train, test = (scaler.transform(part).astype(np.float32) for part in (x_train, x_test))
    balanced, labels = METHODS[method](train, y_train, seed)
    network = MLPClassifier(
        hidden_layer_sizes=(task.units,) * 3,
        learning_rate_init=0.01,
        alpha=0.0,
        batch_size=task.batch_size,
        max_iter=task.epochs,
        n_iter_no_change=task.epochs,
        random_state=seed,
    )
    with warnings.catch_warnings():  # the paper's number of epochs is what is asked for
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit(balanced, labels)
    scores = network.predict_proba(test)[:, 1]
    precision, recall, f1, _ = precision_recall_fscore_support(
        y_test, (scores >= 0.5).astype(int), average="macro", zero_division=0.0
    )
    return {
        "f1": float(f1),
        "auc": float(roc_auc_score(y_test, scores)),
        "precision": float(precision),
        "recall": float(recall),
        "hdr": hard_to_differentiate_ratio(balanced, labels),
        "train_rows": len(train),
        "balanced_rows": len(balanced),
    }


def read(path: Path) -> list[dict[str, Any]]:
    """The records of a file; none where there is no file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def run(options: argparse.Namespace) -> None:
    """Every task, method and seed that the output does not hold yet."""
    done = {(r["task"], r["method"], r["seed"]) for r in read(options.output)}
    available = tasks(options.data_dir)
    unknown = sorted(set(options.tasks or ()) - set(available))
    if unknown:
        raise SystemExit(f"unknown tasks {unknown}; there are {list(available)}")
    chosen = options.tasks or [
        name for name in available if options.data_dir or not name.startswith("credit card")
    ]
    for seed in range(options.seeds):
        for name in chosen:
            for method in METHODS:
                if (name, method, seed) in done:
                    continue
                result = trial(available[name], method, seed)
                record = {"task": name, "method": method, "seed": seed, **result}
                with options.output.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(record) + "\n")
                print(f"{name}, {method}, seed {seed}: F1 {result['f1']:.3f}", flush=True)


def table(options: argparse.Namespace) -> None:
    """Ours, mean ± sd over the seeds, with the paper's figure in brackets; a table a task."""
    found: dict[str, dict[str, dict[int, dict[str, float]]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    for record in read(options.records):
        found[record["task"]][record["method"]][record["seed"]] = record
    for task, methods in found.items():
        print(f"\n### {task}\n")
        rows = []
        for method in COLUMNS:
            if method not in methods:
                continue
            cells = []
            for measure in MEASURES:
                values = [run[measure] for run in methods[method].values()]
                sd = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
                printed = PRINTED[task].get(measure)
                paper = printed[COLUMNS.index(method)] if printed else None
                shown = f"{np.mean(values):.3f}{sd}"
                cells.append(shown + ("" if paper is None else f" ({paper:.3f})"))
            rows.append([method, *cells, difference(methods, method)])
        heads = ["method", *(m.upper() if m in ("auc", "hdr") else m for m in MEASURES)]
        print(markdown_table([*heads, "F1, SIMPOR less this"], rows))


def difference(methods: dict[str, dict[int, dict[str, float]]], other: str) -> str:
    """SIMPOR's F1 less another method's over the seeds of both, with the p of a paired test."""
    seeds = sorted(set(methods.get("SIMPOR", {})) & set(methods[other]))
    if other == "SIMPOR" or len(seeds) < 2:
        return "–"
    ours, theirs = ([methods[m][seed]["f1"] for seed in seeds] for m in ("SIMPOR", other))
    test = paired_test(ours, theirs)
    return f"{test.mean:+.3f} (p {test.p_value:.2f})"


def main() -> None:
    """Run, or print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    runner = commands.add_parser("run")
    runner.add_argument("--data_dir", type=Path, help="folder that holds creditcard/")
    runner.add_argument("--tasks", nargs="*", help="default: all that there are data for")
    runner.add_argument("--seeds", type=int, default=5)
    runner.add_argument(
        "--output", type=Path, default=Path(__file__).parent / "papers_simpor.jsonl"
    )
    runner.set_defaults(work=run)
    printer = commands.add_parser("table")
    printer.add_argument("records", type=Path)
    printer.set_defaults(work=table)
    options = parser.parse_args()
    options.work(options)


if __name__ == "__main__":
    main()
