"""What each subcommand runs, and what it says at the end."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_oversample.commands.command import balanced_summary
from hf_oversample.commands.compare_arguments import CompareRunArguments
from hf_oversample.commands.folder_arguments import ReportArguments
from hf_oversample.commands.miso_arguments import MisoRunArguments
from hf_oversample.commands.outcome import Outcome
from hf_oversample.commands.oversample_arguments import OversampleRunArguments

if TYPE_CHECKING:
    from hf_oversample.commands.audit_arguments import AuditArguments


def audit(arguments: AuditArguments, resume: str | None = None) -> Outcome:
    """Look at a data set."""
    from hf_oversample.commands.audit import run_audit

    report = run_audit(arguments)
    return Outcome(report.to_dict(), report.text())


def balance(arguments: OversampleRunArguments, resume: str | None = None) -> Outcome | None:
    """Balance a data set; None in processes other than the main one."""
    from hf_oversample.commands.oversample import run_oversample

    record = run_oversample(arguments, resume_from_checkpoint=resume)
    if not record:
        return None
    folder = Path(arguments.output_dir)
    lines = [balanced_summary(record), f"The balanced data set: {folder / 'balanced'}"]
    hints = [
        f'Python: datasets.load_from_disk("{folder / "balanced"}")',
        f"does it help? hf-oversample compare {_source(arguments)} -o {folder}-compared",
    ]
    if (folder / "generator").is_dir():
        lines.append(f"The generator:         {folder / 'generator'}")
    return Outcome(record, "\n".join(lines), hints)


def train(arguments: MisoRunArguments, resume: str | None = None) -> Outcome | None:
    """Train a generator, and write anchors with it; None in processes other than the main one."""
    from hf_oversample.commands.miso import run_miso

    record = run_miso(arguments, resume_from_checkpoint=resume)
    if not record:
        return None
    folder = Path(arguments.output_dir)
    lines = [
        balanced_summary(record),
        f"The generator:         {folder / 'generator'}",
        f"Texts and anchors:     {folder / 'anchors.md'}",
        f"The balanced data set: {folder / 'balanced'}",
    ]
    hints = [
        f"hf-oversample generate MORE.csv --generator {folder / 'generator'} "
        "--output_file anchors.jsonl",
        f"hf-oversample push {folder / 'generator'} --repo USER/NAME",
    ]
    return Outcome(record, "\n".join(lines), hints)


def compare(arguments: CompareRunArguments, resume: str | None = None) -> Outcome:
    """Compare remedies."""
    from hf_oversample.commands.compare import run_compare, summary
    from hf_oversample.comparison.decision import decide

    comparison = run_compare(arguments)
    record = {
        "verdict": decide(comparison, arguments.metric).to_dict(),
        "header": comparison.header,
        "cells": [asdict(cell) for cell in comparison.cells],
        "skipped": comparison.skipped,
    }
    return Outcome(record, summary(comparison, arguments))


def report(arguments: ReportArguments, resume: str | None = None) -> Outcome:
    """What a finished run or comparison found, from its record; no model is loaded.

    Raises:
        FileNotFoundError: there is no such folder, or no run in it is finished.
    """
    folder = Path(arguments.folder)
    if (folder / "run.json").is_file():
        record: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        lines = [balanced_summary(record)]
        if (folder / "table.md").is_file():
            lines += ["", (folder / "table.md").read_text(encoding="utf-8").strip()]
        shown = ("anchors.md", "report.png")
    elif (folder / "verdict.md").is_file():
        answers = {
            name: (folder / name).read_text(encoding="utf-8").strip()
            for name in ("table.md", "verdict.md")
        }
        record = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
        lines = [answers["table.md"], "", answers["verdict.md"]]
        shown = ("report.html", "report.png")
    else:
        what = "holds no finished run (run.json) or comparison (verdict.md)"
        raise FileNotFoundError(
            f"{folder} {what if folder.is_dir() else 'is not a folder'}: name the output folder of "
            "one; a comparison that was stopped goes on by the same command."
        )
    lines += [f"{folder / name}" for name in shown if (folder / name).is_file()]
    return Outcome(record, "\n".join(lines))


def _source(a: OversampleRunArguments) -> str:
    """The words that name the data on a command line."""
    source = a.train_file or a.dataset_name or f"demo:{a.demo}"
    return f"{source} --text {a.text_column} --label {a.label_column}"
