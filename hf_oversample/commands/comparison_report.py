"""The report of a comparison: written at its end, and again from its record alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hf_oversample.commands.messages import note
from hf_oversample.commands.output import OutputFolder
from hf_oversample.comparison.decision import decide, rests_on
from hf_oversample.comparison.figures import write_figure
from hf_oversample.comparison.findings import table
from hf_oversample.comparison.json_lines import JsonLines
from hf_oversample.comparison.page import write_page
from hf_oversample.comparison.problem_record import problem_record, recorded_problem
from hf_oversample.comparison.protocol import Comparison
from hf_oversample.comparison.records import Cell, CellKey
from hf_oversample.comparison.wording import markdown, verdict_line

CELLS, RECORD = "comparison.jsonl", "comparison.json"
REPORTS = ("table.md", "verdict.md", "verdict.json", "report.png", "report.html", RECORD)


def noting_progress(folder: Path) -> Callable[[str], None]:
    """What a comparison tells each cell to: it shows the line, and takes away the reports of an
    earlier run, which would stand beside longer records."""

    def progress(line: str) -> None:
        for name in REPORTS:
            (folder / name).unlink(missing_ok=True)
        note(line)

    return progress


def write_reports(
    output: OutputFolder, comparison: Comparison, metric: str, encoder: dict[str, Any] | None
) -> None:
    """
    Write `table.md`, `verdict.md`, `verdict.json`, `report.png` and `report.html`, and last
    `comparison.json`: with `comparison.jsonl` all that they are made of. Of rows with any number of
    labels there are no pictures: the two reports show one class against the rest.

    Args:
        output: the comparison's folder.
        comparison: what came out.
        metric: what tables are sorted by.
        encoder: which one was used, and why.
    """
    output.write("table.md", tables(comparison, metric))
    told = decide(comparison, metric)
    output.write("verdict.md", markdown(told))
    output.write("verdict.json", json.dumps(told.to_dict(), indent=2, allow_nan=False) + "\n")
    if not comparison.problem.multi_label:
        with output.file("report.png") as path:
            write_figure(comparison, path, metric)
        with output.file("report.html") as path:
            write_page(comparison, path, metric)
    record = {
        "metric": metric,
        "encoder": encoder,
        "problem": problem_record(comparison.problem),
        "classifiers": comparison.classifiers,
        "skipped": comparison.skipped,
        "cells": [list(cell.key) for cell in comparison.cells],
        "made": comparison.made,
    }
    output.write(RECORD, json.dumps(record, ensure_ascii=False) + "\n")


def report_again(folder: Path) -> tuple[Comparison, str]:
    """
    A finished comparison and the metric of its tables, from its record; its report is written
    again. Neither its data nor a model is read.

    Raises:
        FileNotFoundError: it is not finished.
        ValueError: the record is damaged, or of another version.
    """
    if not (folder / RECORD).is_file():
        raise FileNotFoundError(
            f"{folder} holds a comparison that is not finished (it has no {RECORD}): give the "
            "command that began it again, and it goes on."
        )
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        first, *lines = [json.loads(line) for line in JsonLines(folder / CELLS).read()]
        cells = {cell.key: cell for cell in (Cell(**line) for line in lines)}
        comparison = Comparison(
            recorded_problem(record["problem"]),
            first["comparison"],
            [cells[CellKey(*key)] for key in record["cells"]],
            [(kind, remedy, why) for kind, remedy, why in record["skipped"]],
            record["classifiers"],
            record.get("made", {}),  # of a comparison without any
        )
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(
            f"the record of the comparison in {folder} ({RECORD}, {CELLS}) is damaged: {error!r}"
        ) from error
    metric = str(record["metric"])
    write_reports(OutputFolder(folder), comparison, metric, record["encoder"])
    return comparison, metric


def tables(comparison: Comparison, metric: str) -> str:
    """The tables, and, where they are sorted by what the verdict does not rest on, that it does
    not."""
    aside = rests_on(comparison, metric)
    return table(comparison, metric) + (f"\n\n{aside}\n" if aside else "\n")


def summary(comparison: Comparison, metric: str, folder: Path) -> str:
    """What is printed: the tables, the verdict with the lines of Python that do what it says, where
    the pictures are, and last the verdict in one line for programs."""
    told = decide(comparison, metric)
    pictures = [f"Pictures: {folder / 'report.html'}, {folder / 'report.png'}"]
    return "\n".join(
        [
            tables(comparison, metric),
            markdown(told),
            *([] if comparison.problem.multi_label else pictures),
            verdict_line(told),
        ]
    )
