"""A comparison from a data set to a verdict: what recipes/compare.py calls."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset

from hf_oversample.commands.compare_arguments import EVERYTHING, CompareRunArguments
from hf_oversample.commands.comparison_report import CELLS, noting_progress, summary, write_reports
from hf_oversample.commands.data import (
    check_columns,
    language_of,
    made_rare,
    minority_code,
    read_rows,
    warn_of_lookalikes,
)
from hf_oversample.commands.encoder import chosen_encoder
from hf_oversample.commands.given_rows import read_given_rows
from hf_oversample.commands.label_comparison import run_label_comparison, shown_metric
from hf_oversample.commands.messages import note, warn
from hf_oversample.commands.output import OutputFolder
from hf_oversample.commands.writer import chosen_writer
from hf_oversample.comparison.language_model import LanguageModelSource
from hf_oversample.comparison.miso import MisoSource
from hf_oversample.comparison.problem import Problem, given_splits, repeated_folds
from hf_oversample.comparison.protocol import Comparison, compare
from hf_oversample.comparison.registry import classifier_named
from hf_oversample.comparison.remedies import REMEDIES, remedy_named
from hf_oversample.comparison.scores import METRICS, OF_SEVERAL
from hf_oversample.data.classes import in_class_order
from hf_oversample.data.label_sets import multi_label_columns
from hf_oversample.data.labeled_texts import Texts
from hf_oversample.data.reading import load_text_dataset, prepare_labels
from hf_oversample.text.words import Segmenter


def run_compare(arguments: CompareRunArguments) -> Comparison:
    """
    Compare remedies, and write the answer.

    Rows with any number of labels are compared by :func:`run_label_comparison`.

    Writes to `output_dir`: `comparison.jsonl` (a line a cell; a run that was stopped goes on from
    it), `table.md`, `verdict.md`, `verdict.json`, `report.png`, `report.html`, `comparison.json`
    (what they are made of, for `hf-oversample report`); and `generators/`, where anchors were
    asked for. Progress goes to stderr.

    Args:
        arguments: the run's.

    Returns:
        The comparison.

    Raises:
        FileNotFoundError: a file is not there.
        ValueError: bad columns, labels, texts, names or counts, an unknown metric, no matplotlib
            for the report, or an output folder with another comparison.
    """
    a = arguments
    parts = read_parts(a)
    columns = multi_label_columns(parts["train"].features, a.label_column)
    if columns is not None:
        return run_label_comparison(a, parts["train"], columns)
    names = list(REMEDIES) if EVERYTHING in a.methods else list(a.methods)
    remedies = [remedy_named(name).name for name in names]
    _check_report(a)
    problem = read_problem(a, parts)
    _check_metric(a, problem)
    made = read_given_rows(a)
    output = OutputFolder(a.output_dir)
    folder = output.path
    folder.mkdir(parents=True, exist_ok=True)
    for reason, rows in problem.removed.items():
        if rows:
            note(f"left out before splitting: {rows} {reason}")
    encoder = chosen_encoder(a.encoder_name, None, problem.language, problem.splits[0].train.texts)
    generators = folder / "generators"
    if a.overwrite and generators.exists():
        shutil.rmtree(generators)  # they are of the rows and settings of that run
    generator = None
    if any(REMEDIES[name].needs_generator for name in remedies):
        generator = MisoSource(generators, a.training)

    writer = None
    if any(REMEDIES[name].needs_writer for name in remedies):
        found = chosen_writer(a.writer, problem.language, problem.splits[0].train.texts)
        options = {"max_length": a.training.max_length}
        writer = LanguageModelSource(found.name, found.called, options)

    comparison = compare(
        problem,
        remedies=remedies,
        made=made,
        classifiers=a.classifiers,
        steps=a.steps,
        encoder_name=encoder.name,
        generator=generator,
        writer=writer,
        records=folder / CELLS,
        overwrite=a.overwrite,
        progress=noting_progress(folder),
    )
    write_reports(output, comparison, a.metric, encoder.to_dict())
    return comparison


def compare_summary(arguments: CompareRunArguments) -> str:
    """Compare, and give what a command prints."""
    comparison = run_compare(arguments)
    return summary(comparison, shown_metric(comparison, arguments), Path(arguments.output_dir))


def _check_report(a: CompareRunArguments) -> None:
    """What the report needs is told before hours of training."""
    if find_spec("matplotlib") is None:
        raise ValueError(
            'report.png and report.html need matplotlib: pip install "hf_oversample[report]"'
        )


def _check_metric(a: CompareRunArguments, problem: Problem) -> None:
    metric, names = a.metric, problem.class_names
    of_classes = [f"{kind}/{name}" for kind in ("f1", "recall", "roc_auc") for name in names]
    known = [*METRICS, *of_classes]
    if len(names) == 2:
        known = [name for name in METRICS if name not in OF_SEVERAL]
    if metric not in known:
        raise ValueError(f"there is no metric {metric!r}; there are {', '.join(known)}")
    kinds = [classifier_named(kind) for kind in a.classifiers]
    of_features = metric in ("outvoted_share", "difficult_share")
    if of_features and not any(kind.shows_features for kind in kinds):
        raise ValueError(
            f"{metric} is told by what a classifier's head reads, and to {a.classifiers} "
            "remedies make no difference there: add another classifier or choose another metric"
        )


def read_problem(
    arguments: CompareRunArguments, parts: dict[str, Dataset] | None = None
) -> Problem:
    """
    Read and check the rows of a comparison, and split them.

    Args:
        arguments: the run's.
        parts: its rows by part, where they are read already.

    Raises:
        ValueError: a missing column, a bad text or label, an unknown class, or too few rows.
    """
    a = arguments
    parts = parts if parts is not None else read_parts(a)
    for name, part in parts.items():
        check_columns(part, f"The {name} rows", a)
    class_names, parts = _with_classes(parts, a)
    minority = minority_code(a, class_names)
    parts["train"] = made_rare(parts["train"], a, minority)
    texts = {name: Texts.of(part, a.text_column, a.label_column) for name, part in parts.items()}
    shared: dict[str, Any] = {
        "validation_share": a.validation_share,
        "minority": minority,
        "language": language_of(a, texts["train"].texts),
        "name": a.dataset_name or a.demo or Path(str(a.train_file)).stem,
        "seed": a.training.seed,
    }
    segmenter = Segmenter(shared["language"], a.user_dictionary)
    if "test" in texts:
        problem = given_splits(
            texts["train"],
            texts["test"],
            class_names,
            validation=texts.get("validation"),
            seeds=a.seeds,
            **shared,
        )
    else:
        problem = repeated_folds(
            texts["train"], class_names, folds=a.folds, repeats=a.repeats, **shared
        )
    return replace(problem, protection=a.protection, user_dictionary=segmenter.user_dictionary)


def read_parts(a: CompareRunArguments) -> dict[str, Dataset]:
    """The training rows, and those to choose by and to report on where they are given."""
    parts = {"train": read_rows(a)}
    for part, path in (("validation", a.validation_file), ("test", a.test_file)):
        if path is not None:
            parts[part] = load_text_dataset(train_file=path, encoding=a.encoding)
    if a.test_split is not None:
        parts["test"] = load_text_dataset(
            dataset_name=a.dataset_name,
            dataset_config=a.dataset_config,
            revision=a.revision,
            split=a.test_split,
        )
    return parts


def _with_classes(
    parts: dict[str, Dataset], a: CompareRunArguments
) -> tuple[list[str], dict[str, Dataset]]:
    """The classes' names, and the parts with the same code for the same name, whatever types their
    files have. Classes without rows, as a filter leaves them, are left out.

    Raises:
        ValueError: labels of no known type, or a part without any class of the training rows.
    """
    column, prepared = a.label_column, dict[str, Dataset]()
    for name, part in parts.items():
        try:
            prepared[name] = prepare_labels(
                part, column, strip=a.strip_labels, lowercase=a.lowercase_labels
            )
        except ValueError as error:
            raise ValueError(f"The {name} rows: {error}") from error
    named = {
        name: np.asarray(part.features[column].names, object)[np.asarray(part[column], np.int64)]
        for name, part in prepared.items()
    }
    for name in named:
        if len(named[name]) and not {*named[name]} & {*named["train"]}:
            raise ValueError(
                f"The {name} rows have none of the classes of the train rows: their {column!r} is "
                f"{_some(named[name])}, and in the train rows {_some(named['train'])}. Codes "
                "without names match no names: write the classes in the same way in every file."
            )
    present = Counter(name for part in named.values() for name in part.tolist())
    names = _in_order(parts, prepared, column)
    warn_of_lookalikes({code: present[name] for code, name in enumerate(names)}, names)
    if empty := [name for name in names if name not in present]:
        warn(f"classes without rows are left out: {', '.join(empty)}")
    names = [name for name in names if name in present]
    codes, feature = {name: code for code, name in enumerate(names)}, ClassLabel(names=names)
    return names, {
        name: part.select_columns(a.text_column).add_column(
            column, [codes[one] for one in named[name].tolist()], feature=feature
        )
        for name, part in prepared.items()
    }


def _some(classes: np.ndarray, most: int = 5) -> str:
    found = sorted(set(classes.tolist()))
    return ", ".join(map(repr, found[:most])) + (", …" if len(found) > most else "")


def _in_order(parts: dict[str, Dataset], prepared: dict[str, Dataset], column: str) -> list[str]:
    """All names, in the order of the first part that has one, or sorted: numbers as numbers."""
    found = list(
        dict.fromkeys(name for part in prepared.values() for name in part.features[column].names)
    )
    ordered = (n for n, part in parts.items() if isinstance(part.features[column], ClassLabel))
    first = next(ordered, None)
    if first is None:
        return in_class_order(found)
    names = list(prepared[first].features[column].names)
    return [*names, *(name for name in found if name not in names)]
