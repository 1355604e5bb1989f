"""Rows read by a person: their decisions, and the data set without what they rejected."""

from __future__ import annotations

import copy
import csv
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import DatasetDict, load_from_disk

from hf_oversample.commands.output import OutputFolder
from hf_oversample.commands.run import write_dataset_pages
from hf_oversample.oversamplers.plan import ORIGINS, REAL

FOLDER = "reviewed"
DECISIONS = ("accept", "reject")


@dataclass(frozen=True)
class Decision:
    """
    A decision on one row.

    Args:
        row: its number in the balanced training part.
        text: of it, by which another run's list is told; None where the list has none.
        accepted: whether it stays.
        where: the line of the list, for messages.
    """

    row: int
    text: str | None
    accepted: bool
    where: str


def read_decisions(path: Path) -> list[Decision]:
    """
    A list as the page downloads it: jsonl or csv with `row`, `decision` and `text`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is none; the message names it. The same row with two decisions.
    """
    if not path.is_file():
        raise FileNotFoundError(f"decisions {str(path)!r} is not a file")
    decisions: dict[int, Decision] = {}
    for where, line in _lines(path):
        try:
            one = Decision(
                int(line["row"]),
                line.get("text"),
                {"accept": True, "reject": False}[line["decision"]],
                where,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{where} is {str(line)[:120]}: a decision has a whole number as `row`, and "
                f"`decision` is one of {', '.join(DECISIONS)}."
            ) from error
        before = decisions.setdefault(one.row, one)
        if before.accepted != one.accepted:
            raise ValueError(f"{before.where} and {where} decide otherwise about row {one.row}.")
    return list(decisions.values())


def _lines(path: Path) -> Iterator[tuple[str, Any]]:
    if path.suffix.lower() == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, row in enumerate(csv.DictReader(file), start=2):
                yield f"{path}, line {number},", row
        return
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip():
            try:
                yield f"{path}, line {number},", json.loads(line)
            except ValueError as error:
                raise ValueError(f"{path}, line {number}, is no JSON object: {error}") from error


def apply_decisions(folder: Path, record: dict[str, Any], path: Path) -> dict[str, Any]:
    """
    Write `reviewed/` beside `balanced/`: the same parts without the rejected rows, with a card.

    Args:
        folder: of the run.
        record: the run's.
        path: the list.

    Returns: the record of the reviewed data set: the run's, with its counts and `review`.

    Raises:
        FileNotFoundError: there is no such list, or no balanced data set.
        ValueError: a line of the list is none, a row is not there, is a real one, or has another
            text, as a list of another run has.
    """
    decisions = read_decisions(path)
    if not (folder / "balanced").is_dir():
        raise FileNotFoundError(f"{folder} has no folder balanced, whose rows were decided on.")
    parts = load_from_disk(str(folder / "balanced"))
    assert isinstance(parts, DatasetDict)
    train, text_column = parts["train"], record["data"]["text_column"]
    origin = np.asarray(train["origin"][:])
    for one in decisions:
        if not 0 <= one.row < len(train):
            raise ValueError(
                f"{one.where} is about row {one.row}, and the training part has {len(train)} rows: "
                "the list is of another run."
            )
        if origin[one.row] == REAL:
            raise ValueError(
                f"{one.where} is about row {one.row}, which is a real one: rows that were made are "
                "accepted or rejected, and real ones stay. Mend the data, and run again."
            )
        if one.text is not None and train[one.row][text_column] != one.text:
            raise ValueError(
                f"{one.where} says that row {one.row} is {one.text[:60]!r}, and it is "
                f"{str(train[one.row][text_column])[:60]!r}: the list is of another run."
            )
    rejected = {one.row for one in decisions if not one.accepted}
    parts["train"] = train.select([row for row in range(len(train)) if row not in rejected])
    output = OutputFolder(folder, overwrite=True)
    with output.folder(FOLDER) as target:
        parts.save_to_disk(target)
        for name, rows in parts.items():
            rows.to_parquet(str(target / f"{name}.parquet"))
    reviewed = _counted(record, parts)
    reviewed["review"] = {
        "accepted": sum(one.accepted for one in decisions),
        "rejected": len(rejected),
    }
    write_dataset_pages(output, reviewed, FOLDER)
    return reviewed


def _counted(record: dict[str, Any], parts: DatasetDict) -> dict[str, Any]:
    """The record with the counts of what is left. What was measured was so with all rows."""
    reviewed = copy.deepcopy(record)
    train, label_column = parts["train"], record["data"]["label_column"]
    feature, values = train.features[label_column], train[label_column][:]
    names = [feature.names[code] for code in values] if hasattr(feature, "names") else values
    origin = Counter(train["origin"][:])
    reviewed["counts"] |= {
        "after": dict(Counter(map(str, names))),
        "origin": {name: origin.get(code, 0) for code, name in enumerate(ORIGINS)},
    }
    kept = set(train[record["data"]["text_column"]][:])
    reviewed["samples"] = [s for s in record.get("samples", []) if s["text"] in kept]
    reviewed["metrics"], reviewed["screen"] = {}, None
    return reviewed
