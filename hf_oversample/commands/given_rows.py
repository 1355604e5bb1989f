"""Rows that somebody made, from where a command line says: a file, a saved data set, the Hub."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

from datasets import Dataset, DatasetDict, load_from_disk

from hf_oversample.commands.compare_arguments import CompareRunArguments
from hf_oversample.commands.data import read_rows
from hf_oversample.commands.messages import note
from hf_oversample.comparison.given_rows import GivenRows
from hf_oversample.comparison.given_rows_data import as_given_rows, cost_of
from hf_oversample.data.files import FILE_SUFFIXES
from hf_oversample.data.reading import load_text_dataset

# user/name, or a name alone
_ON_THE_HUB = re.compile(r"[\w-][\w.-]*(/[\w.-]+)?")


def read_given_rows(arguments: CompareRunArguments) -> dict[str, GivenRows]:
    """
    The rows that `made` names, by name.

    Raises:
        FileNotFoundError: there is no such file, folder or data set.
        ValueError: two have one name, a folder is no saved data set, or rows are bad
            (:func:`~hf_oversample.comparison.as_given_rows`); the message begins with the name.
    """
    a, found = arguments, dict[str, GivenRows]()
    # numbers of parents count the rows as they are in the file, before any is left out
    train = read_rows(a).with_format(None)[a.text_column][:] if a.made else []
    for word in a.made:
        name, source = _named(word)
        if name in found:
            raise ValueError(
                f"--made has two sets called {name!r}: give one of them another name, as in "
                f"--made NAME={source}."
            )
        try:
            rows = as_given_rows(
                _read(source, a.encoding),
                text_column=a.made_text or a.text_column,
                label_column=a.made_label or a.label_column,
                parent_column=a.made_parent,
                train=train,
                strip_labels=a.strip_labels,
                lowercase_labels=a.lowercase_labels,
            )
        except ValueError as error:
            raise ValueError(f"The made rows {name} ({source}): {error}") from error
        found[name] = replace(rows, cost={**_cost_of_run(Path(source)), **rows.cost})
        for reason, number in rows.left_out.items():
            note(f"{name}: left out {number} {reason}")
    return found


def _named(word: str) -> tuple[str, str]:
    """The name and the source of a value of `--made`."""
    name, equals, source = word.partition("=")
    if not equals or Path(word).exists():
        name, source = "", word
    if not source.strip():
        raise ValueError(f"--made is {word!r}; write a file, a folder, or NAME=ROWS.")
    last = Path(source).name
    for suffix in FILE_SUFFIXES:
        last = last[: -len(suffix)] if last.lower().endswith(suffix) else last
    return name.strip() or last, source


def _read(source: str, encoding: str | None) -> Dataset:
    path = Path(source)
    if path.is_dir():
        return _saved(path)
    is_file = source.lower().endswith(FILE_SUFFIXES) or not _ON_THE_HUB.fullmatch(source)
    if is_file or path.is_file():
        is_text = not source.lower().endswith(".parquet")
        return load_text_dataset(train_file=source, encoding=encoding if is_text else None)
    return load_text_dataset(dataset_name=source)


def _saved(path: Path) -> Dataset:
    """The rows of a folder that `save_to_disk` wrote; of several splits those of train."""
    if not any((path / name).is_file() for name in ("dataset_info.json", "dataset_dict.json")):
        raise ValueError(f"{path} is a folder, and no saved data set: name one file of rows.")
    rows = load_from_disk(str(path))
    if isinstance(rows, DatasetDict):
        if "train" not in rows and len(rows) > 1:
            raise ValueError(f"{path} has the splits {list(rows)}, and none is train: save one.")
        return rows["train"] if "train" in rows else next(iter(rows.values()))
    return rows


def _cost_of_run(path: Path) -> dict[str, float]:
    """What the run took whose balanced set this folder is, by its record; nothing of others."""
    record = path.parent / "run.json"
    if path.name not in ("balanced", "reviewed") or not record.is_file():
        return {}
    values = json.loads(record.read_text(encoding="utf-8"))
    usage = (values.get("writer") or {}).get("usage") or {}
    sums = {key: float(n) for key, n in usage.items() if isinstance(n, int | float)}
    sums["seconds"] = sum(values.get("timings", {}).values())
    return cost_of(sums)
