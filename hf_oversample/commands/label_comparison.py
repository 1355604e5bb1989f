"""A comparison of remedies for rows with any number of labels, from a data set to a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from datasets import Dataset

from hf_oversample.commands.compare_arguments import EVERYTHING, CompareRunArguments
from hf_oversample.commands.comparison_report import CELLS, noting_progress, write_reports
from hf_oversample.commands.data import language_of
from hf_oversample.commands.encoder import chosen_encoder
from hf_oversample.commands.messages import note
from hf_oversample.commands.outcome import Outcome
from hf_oversample.commands.output import OutputFolder
from hf_oversample.comparison.multi_label import CLASSIFIER, REMEDIES, compare_multi_label
from hf_oversample.comparison.multi_label_problem import multi_label_folds
from hf_oversample.comparison.problem import Problem
from hf_oversample.comparison.protocol import Comparison
from hf_oversample.comparison.remedies import remedy_key
from hf_oversample.data.label_sets import read_label_sets
from hf_oversample.data.reading import check_text_column

METRIC = "macro_average_precision"
METRICS = (
    *(METRIC, "macro_f1_tuned", "macro_f1", "micro_f1_tuned", "micro_f1"),
    *("rare_average_precision", "macro_roc_auc", "exact_match"),
)
_OF_ONE_CLASS = (
    *("test_file", "test_split", "validation_file", "imbalance_ratio", "minority_class"),
    *("strip_labels", "lowercase_labels", "protect", "user_dictionary", "writer", "made"),
)
"""Arguments that have no meaning, or none yet, where rows have any number of labels."""


def run_label_comparison(
    arguments: CompareRunArguments, rows: Dataset, columns: Sequence[str]
) -> Comparison:
    """
    Compare remedies for rare labels on folds, and write the answer: `comparison.jsonl`, `table.md`,
    `verdict.md`, `verdict.json` and `comparison.json`.

    Args:
        arguments: the run's.
        rows: of the whole data set.
        columns: its label columns.

    Raises:
        ValueError: bad texts or labels (the row is named), an argument that goes with one class a
            row, an unknown remedy or metric, or an output folder with another comparison.
    """
    a = arguments
    remedies = _remedies(a)
    problem = read_label_problem(a, rows, columns)
    output = OutputFolder(a.output_dir)
    folder = output.path
    folder.mkdir(parents=True, exist_ok=True)
    for reason, number in problem.removed.items():
        if number:
            note(f"left out before splitting: {number} {reason}")
    encoder = chosen_encoder(a.encoder_name, None, problem.language, problem.splits[0].train.texts)

    comparison = compare_multi_label(
        problem,
        remedies=remedies,
        encoder_name=encoder.name,
        records=folder / CELLS,
        overwrite=a.overwrite,
        progress=noting_progress(folder),
    )
    write_reports(output, comparison, shown_metric(comparison, a), encoder.to_dict())
    return comparison


def shown_metric(comparison: Comparison, arguments: CompareRunArguments) -> str:
    """What the tables of a comparison are sorted by: of rows with any number of labels, macro
    average precision by default."""
    is_default = arguments.metric == CompareRunArguments.metric
    return METRIC if comparison.problem.multi_label and is_default else arguments.metric


def read_label_problem(
    arguments: CompareRunArguments, rows: Dataset, columns: Sequence[str]
) -> Problem:
    """
    Check the rows of a comparison, and split them.

    Raises:
        ValueError: as `run_label_comparison`.
    """
    a = arguments
    _check_arguments(a)
    check_text_column(rows, a.text_column)
    sets = read_label_sets(rows, columns if len(columns) > 1 else columns[0])
    texts = rows.with_format(None)[a.text_column][:]
    return multi_label_folds(
        texts,
        sets.matrix,
        sets.names,
        folds=a.folds,
        repeats=a.repeats,
        validation_share=a.validation_share,
        language=language_of(a, texts),
        name=a.dataset_name or Path(str(a.train_file)).stem,
        seed=a.training.seed,
    )


def plan_label_comparison(
    arguments: CompareRunArguments, rows: Dataset, columns: Sequence[str]
) -> Outcome:
    """Check the data, and count the trainings."""
    problem, remedies = read_label_problem(arguments, rows, columns), _remedies(arguments)
    cells = len(problem.splits) * len(dict.fromkeys(("none", *remedies)))
    labels = len(problem.class_names)
    record = {"splits": len(problem.splits), "remedies": remedies, "cells": {CLASSIFIER: cells}}
    told = (
        f"{len(problem.splits)} splits, {', '.join(remedies)}: {cells} cells of {labels} logistic "
        "regressions each, on embeddings that are computed once. A stopped comparison goes on."
    )
    return Outcome(record, told)


def _remedies(a: CompareRunArguments) -> list[str]:
    if EVERYTHING in a.methods or a.methods == CompareRunArguments.methods:
        return list(REMEDIES)
    known = {remedy_key(name): name for name in REMEDIES}
    if unknown := [name for name in a.methods if remedy_key(name) not in known]:
        raise ValueError(
            f"there is no remedy {unknown[0]!r} for rows with any number of labels; there are "
            f"{', '.join(REMEDIES)}"
        )
    return [known[remedy_key(name)] for name in a.methods]


def _check_arguments(a: CompareRunArguments) -> None:
    given = [name for name in _OF_ONE_CLASS if getattr(a, name)]
    if given:
        raise ValueError(
            f"{', '.join(given)} cannot be used where rows have any number of labels: they are "
            "compared on folds of one file, labels as they are; leave it out"
        )
    if a.classifiers not in (CompareRunArguments.classifiers, (CLASSIFIER,)):
        raise ValueError(
            f"classifiers is {','.join(a.classifiers)}: rows with any number of labels are "
            f"compared with {CLASSIFIER} alone, a logistic regression a label"
        )
    if a.metric not in (CompareRunArguments.metric, *METRICS):
        raise ValueError(f"there is no metric {a.metric!r}; there are {', '.join(METRICS)}")
