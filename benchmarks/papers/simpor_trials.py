"""One trial of the SIMPOR paper: its data, its network, and the methods that it compares.

The protocol: 80 % of the rows for training and 20 % for testing, drawn anew in each trial; a
network of 3 hidden layers, Adam at 0.01; macro-averaged F1, precision and recall, and the area
under the ROC curve. HDR is that of the training rows after balancing. Rows are standardised, made
imbalanced (Breast Cancer) and balanced by what is in the training part only, repeated frauds are
dropped before splitting, and nothing is chosen by a test row.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, make_moons
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import precision_recall_fscore_support, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

try:
    from imblearn.over_sampling import ADASYN, SMOTE, BorderlineSMOTE, RandomOverSampler
except ImportError as error:
    raise ImportError(
        "the tables of SIMPOR compare with imbalanced-learn, which is not installed: "
        "pip install hf_oversample[imblearn]"
    ) from error

from hf_oversample.data.files import read_file
from hf_oversample.metrics.embeddings import hard_to_differentiate_ratio
from hf_oversample.oversamplers.simpor.oversampler import SimporOversampler

MOONS_NOISE = 0.3
TEST_SHARE = 0.2
Rows = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Task:
    """A row block of the paper's tables: its data, and its network (Table 1).

    Attributes:
        rows: seed → vectors and classes.
        units, epochs, batch_size: of the network.
        inputs: a digest of the files that the rows are from; None where a library has them.
        counts: rows of class 0 and of class 1 that a trial draws from, where they are in files.
    """

    rows: Callable[[int], Rows]
    units: int
    epochs: int
    batch_size: int
    inputs: str | None = None
    counts: tuple[int, int] | None = None


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


def distinct_transactions(folder: Path) -> Rows:
    """The rows of a folder's two files, each once."""
    parts = [read_file(folder / f"{split}.parquet") for split in ("train", "test")]
    tables = [part.to_pandas() for part in parts]
    x = np.concatenate([t.drop(columns="label").to_numpy(np.float64) for t in tables])
    y = np.concatenate([t["label"].to_numpy() for t in tables])
    _, first = np.unique(np.column_stack([x, y]), axis=0, return_index=True)
    return x[np.sort(first)], y[np.sort(first)]


def credit_card(transactions: Rows, ratio: int) -> Callable[[int], Rows]:
    """All frauds, and `ratio` times as many of the others."""
    x, y = transactions
    frauds = int(y.sum())
    return lambda seed: thinned(x, y, ratio * frauds, frauds, seed)


def thinned(x: np.ndarray, y: np.ndarray, majority: int, minority: int, seed: int) -> Rows:
    """Random rows of classes 0 and 1, so many of each."""
    rng = np.random.default_rng(seed)
    chosen = [
        rng.choice(np.flatnonzero(y == label), size=count, replace=False)
        for label, count in ((0, majority), (1, minority))
    ]
    rows = rng.permutation(np.concatenate(chosen))
    return x[rows], y[rows]


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
        x, y, test_size=TEST_SHARE, stratify=y, random_state=seed
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
