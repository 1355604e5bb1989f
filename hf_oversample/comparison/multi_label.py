"""Remedies for rare labels, compared on folds: a frozen encoder, a logistic regression a label.

Records, tests and the verdict are those of :mod:`hf_oversample.comparison.protocol`; measures are
macro averages over the labels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from hf_oversample.comparison.costs import Costs, SharedValues
from hf_oversample.comparison.embedders import (
    Embed,
    LatentSemanticEmbedder,
    RememberedEmbeddings,
    embedder_identity,
    encoder_identity,
    pretrained_embedder,
)
from hf_oversample.comparison.fold import refuse_leak
from hf_oversample.comparison.problem import Problem, Split
from hf_oversample.comparison.protocol import Comparison
from hf_oversample.comparison.records import DATA, EMBEDDINGS, Cell, CellKey, Records
from hf_oversample.data.label_imbalance import minority_labels
from hf_oversample.metrics.classification import best_threshold
from hf_oversample.metrics.multi_label import f1_report, multi_label_report
from hf_oversample.oversamplers.ml_ros import MlRosOversampler
from hf_oversample.oversamplers.mlsmote import MlsmoteOversampler
from hf_oversample.oversamplers.multi_label import array_dataset
from hf_oversample.text.words import Segmenter
from hf_oversample.training.classifier import linear_head
from hf_oversample.training.multi_label_losses import positive_weights

CODE_VERSION = 1  # raised when the code changes what a cell holds
CLASSIFIER = "linear"
REMEDIES = ("none", "threshold moving", "class weights", "ML-ROS", "MLSMOTE")
"""What is compared: nothing; thresholds of validation rows; rows with a label counted pos_weight
times; repeated rows; made embeddings."""

# probabilities [m, labels] of the validation and of the test rows, and rows that were made
Scores = tuple[np.ndarray, np.ndarray, int]


def compare_multi_label(
    problem: Problem,
    *,
    remedies: Sequence[str] = REMEDIES,
    encoder_name: str | None = None,
    embed: Embed | None = None,
    records: str | Path,
    overwrite: bool = False,
    progress: Callable[[str], None] = lambda line: None,
) -> Comparison:
    """Compare remedies for rare labels; go on where a run with the same records file was stopped.

    Each label has a logistic regression on frozen embeddings; validation rows choose its C by
    average precision, whatever the remedy, and its threshold by F1.

    Args:
        problem: from :func:`~hf_oversample.comparison.multi_label_problem.multi_label_folds`.
        remedies: among :data:`REMEDIES`; "none" is added where it is missing.
        encoder_name: a pretrained encoder that embeds texts.
        embed: texts → `[n, d]`, in its place. Without either, latent semantic analysis of each
            training part.
        records: the JSONL file.
        overwrite: begin anew.
        progress: gets a line for each cell.

    Returns:
        What came out: give it to ``decide``, ``table`` and ``verdict_text`` with the metric
        ``"macro_average_precision"``.

    Raises:
        ValueError: a problem of one class a row, an unknown remedy, or records of another
            comparison.
    """
    if not problem.multi_label:
        raise ValueError(
            "this problem has one class a row: use compare, or make it with multi_label_folds"
        )
    chosen = list(dict.fromkeys(("none", *remedies)))
    if unknown := [name for name in chosen if name not in REMEDIES]:
        raise ValueError(f"there is no remedy {unknown[0]!r} for labels; there are {REMEDIES}")
    header: dict[str, Any] = {
        "multi_label_version": CODE_VERSION,
        "name": problem.name,
        DATA: problem.digests(),
        "labels": list(problem.class_names),
        "language": problem.language,
        "encoder": encoder_identity(encoder_name),
    }
    if embed is not None:
        header[EMBEDDINGS] = embedder_identity(embed, problem.splits[0].train.texts)
    results = Records(records, header, overwrite=overwrite)
    if embed is None and encoder_name is not None:
        embed = pretrained_embedder(encoder_name)
    shared = None if embed is None else RememberedEmbeddings(embed)
    wanted = [CellKey(CLASSIFIER, name, split.key) for split in problem.splits for name in chosen]
    for number, split in enumerate(problem.splits):
        missing = [key for key in wanted if key.fold == split.key and key not in results]
        if not missing:
            continue
        fold = LabelFold(problem, split, shared)
        for place, key in enumerate(missing, start=1):
            cell = fold.cell(key)
            results.add(cell)
            shown = cell.refused or f"macro AP {cell.metrics['macro_average_precision']:.3f}"
            progress(
                f"[{number * len(chosen) + place}/{len(wanted)}] {key.remedy}, {split.key}: "
                f"{shown} ({cell.seconds:.1f} s)"
            )
    found = {cell.key: cell for cell in results}
    by = "latent semantic analysis" if shared is None else "frozen encoder"
    return Comparison(
        problem,
        header,
        [found[key] for key in wanted],
        classifiers={CLASSIFIER: f"{by} + logistic regressions, one a label"},
    )


class LabelFold:
    """One fold: its embeddings, and what each remedy gives on it.

    Args:
        problem: whose labels they are.
        split: the fold's rows.
        embed: texts → `[n, d]`; None: latent semantic analysis of the training part.
    """

    def __init__(self, problem: Problem, split: Split, embed: Embed | None) -> None:
        self.problem, self.split = problem, split
        refuse_leak(split.train.texts, [*split.validation.texts, *split.test.texts])
        if embed is None:
            segmenter = Segmenter(problem.language, problem.user_dictionary)
            embed = LatentSemanticEmbedder(split.train.texts, segmenter)
        parts = {"train": split.train, "validation": split.validation, "test": split.test}
        self.x = {name: embed(part.texts) for name, part in parts.items()}
        self.y: dict[str, np.ndarray] = {name: part.labels for name, part in parts.items()}
        self.shared = SharedValues(Costs())

    def cell(self, key: CellKey) -> Cell:
        """A remedy's measures. A ``ValueError`` of the remedy (a label of one row, say) is a
        finding, and recorded with its message."""
        start = time.perf_counter()
        self.shared.costs.start()
        try:
            validation, test, made = self._scores(key.remedy)
        except ValueError as error:
            return Cell(*key, seconds=time.perf_counter() - start, refused=str(error))
        seconds = time.perf_counter() - start + self.shared.costs.saved
        metrics = self._measured(key.remedy, validation, test)
        return Cell(*key, metrics=metrics, seconds=round(seconds, 3), made=made)

    def _scores(self, remedy: str) -> Scores:
        x, y, seed = self.x["train"], self.y["train"], self.split.seed
        if remedy in ("none", "threshold moving"):
            return self.shared.get("none", lambda: self._trained(x, y))
        if remedy == "class weights":
            weights = positive_weights(y.sum(axis=0).tolist(), len(y))
            return self._trained(x, y, weights)
        if remedy == "ML-ROS":
            oversampler = MlRosOversampler(seed=seed).fit(array_dataset(y), "label")
            parents = oversampler.fitted_plan().parent
            return self._trained(x, y, made=(x[parents], y[parents]))
        made, labels, _, _ = MlsmoteOversampler(seed=seed).fit_arrays(x, y).new_rows()
        return self._trained(x, y, made=(made, labels))

    def _trained(
        self,
        x: np.ndarray,
        y: np.ndarray,
        weights: np.ndarray | None = None,
        made: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> Scores:
        """One logistic regression a label, on the rows and those that were made.

        Args:
            weights: [labels], how many times a row that has the label counts.
        """
        if made is not None:
            x, y = np.concatenate([x, made[0]]), np.concatenate([y, made[1]])
        told: dict[str, list[np.ndarray]] = {"validation": [], "test": []}
        for label in range(y.shape[1]):
            has = y[:, label].astype(np.int64)
            own = None if weights is None else np.where(has == 1, weights[label], 1.0)
            head = linear_head(
                x,
                has,
                self.x["validation"],
                self.y["validation"][:, label].astype(np.int64),
                sample_weight=None if own is None else own / own.mean(),
            )
            for part, columns in told.items():
                columns.append(head.predict_proba(self.x[part])[:, 1])
        validation, test = (np.stack(told[part], axis=1) for part in ("validation", "test"))
        return validation, test, 0 if made is None else len(made[0])

    def _measured(self, remedy: str, validation: np.ndarray, test: np.ndarray) -> dict[str, float]:
        names, truth = self.problem.class_names, self.y["test"]
        chosen = [
            best_threshold(self.y["validation"][:, k].astype(np.int64), validation[:, k])
            for k in range(len(names))
        ]
        limits: list[float] = chosen if remedy == "threshold moving" else [0.5] * len(names)
        report = multi_label_report(truth, test, thresholds=limits, names=names)
        tuned = f1_report(truth, test >= np.asarray(chosen), names)
        report |= {f"{name}_tuned": tuned[name] for name in ("macro_f1", "micro_f1")}
        areas = [roc_auc_score(truth[:, k], test[:, k]) for k in range(len(names))]
        report["macro_roc_auc"] = float(np.mean(areas))
        rare = minority_labels(self.y["train"].sum(axis=0)).tolist()
        if rare:
            own = [report[f"average_precision/{names[k]}"] for k in rare]
            report["rare_average_precision"] = float(np.mean(own))
        return report
