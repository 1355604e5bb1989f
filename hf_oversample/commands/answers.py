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
from hf_oversample.commands.outcome import SHOWN, Outcome
from hf_oversample.commands.oversample_arguments import OversampleRunArguments

if TYPE_CHECKING:
    from hf_oversample.commands.audit_arguments import AuditArguments
    from hf_oversample.commands.output import OutputFolder
    from hf_oversample.comparison.protocol import Comparison


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
    from hf_oversample.commands.compare import run_compare
    from hf_oversample.commands.label_comparison import shown_metric

    comparison = run_compare(arguments)
    metric = shown_metric(comparison, arguments)
    return _compared(comparison, metric, Path(arguments.output_dir))


def _compared(comparison: Comparison, metric: str, folder: Path) -> Outcome:
    from hf_oversample.commands.comparison_report import summary
    from hf_oversample.comparison.decision import decide

    record = {
        "verdict": decide(comparison, metric).to_dict(),
        "header": comparison.header,
        "cells": [asdict(cell) for cell in comparison.cells],
        "skipped": comparison.skipped,
    }
    return Outcome(record, summary(comparison, metric, folder))


def report(arguments: ReportArguments, resume: str | None = None) -> Outcome:
    """What a finished run or comparison found: its tables, cards, page and pictures are made of its
    record again, and of a balanced data set's rows the page `rows.html`. No model is read, unless
    one is named to embed these rows.

    Raises:
        FileNotFoundError: there is no such folder, or no run in it is finished; no such list.
        ValueError: a record of another version, or a damaged one; decisions of another run.
        ImportError: umap-learn is asked for and missing.
    """
    folder = Path(arguments.folder)
    if (folder / "run.json").is_file():
        return _run_again(folder, arguments)
    if arguments.decisions is not None:
        raise ValueError(
            f"{folder} is not the folder of a balance run: --decisions go with the run whose "
            "rows.html gave them."
        )
    if (folder / "comparison.jsonl").is_file():
        from hf_oversample.commands.comparison_report import report_again

        return _compared(*report_again(folder), folder)
    what = "holds no finished run (run.json) or comparison (comparison.jsonl)"
    raise FileNotFoundError(
        f"{folder} {what if folder.is_dir() else 'is not a folder'}: name the output folder of one."
    )


def _run_again(folder: Path, arguments: ReportArguments) -> Outcome:
    """The tables and cards of a run, made of its record again."""
    from hf_oversample.commands.output import OutputFolder
    from hf_oversample.commands.run import write_dataset_pages
    from hf_oversample.hub.card import generator_card
    from hf_oversample.hub.tables import metrics_table

    record: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    output = OutputFolder(folder, overwrite=True)
    if record.get("kind") == "reembedding":
        from hf_oversample.commands.reembed import reembed_summary, write_pages

        write_pages(output, record)
        return Outcome(record, reembed_summary(record, folder))
    lines = [balanced_summary(record)]
    if record["metrics"]:
        table = metrics_table(record["metrics"], SHOWN)
        output.write("table.md", table + "\n")
        lines += ["", table]
    told = [f"No rows.html: {folder / 'balanced'} is not there any more."]
    if any((folder / "balanced").glob("*.parquet")):
        write_dataset_pages(output, record)
        told = _rows_page(output, record, arguments)
    if (folder / "generator" / "README.md").is_file():
        a = record["arguments"]
        repository = a.get("hub_model_id") if a.get("push_to_hub") else None
        output.write("generator/README.md", generator_card(record, repository))
    if arguments.decisions is not None:
        from hf_oversample.commands.review import apply_decisions

        record = apply_decisions(folder, record, Path(arguments.decisions))
        origin = record["counts"]["origin"]
        told.append(
            f"Read by hand: {record['review']['accepted']} rows accepted, "
            f"{record['review']['rejected']} rejected. {folder / 'reviewed'} has "
            f"{origin['real']} real, {origin['synthetic']} synthetic and {origin['resampled']} "
            "repeated rows."
        )
    parts = ("balanced", "generator", "reviewed", "anchors.md", "report.png", "rows.html")
    lines += ["", *(f"{folder / name}" for name in parts if (folder / name).exists()), *told]
    return Outcome(record, "\n".join(lines))


def _rows_page(
    output: OutputFolder, record: dict[str, Any], arguments: ReportArguments
) -> list[str]:
    """Write `rows.html` of the balanced training rows; what is said of it, where it is left out."""
    from datasets import load_from_disk

    from hf_oversample.commands.rows_page import write_rows_page
    from hf_oversample.commands.rows_view import view_rows

    data = record["data"]
    train = load_from_disk(str(output.path / "balanced"))["train"].with_format(None)
    texts = train[data["text_column"]][:]
    if None in texts:  # of embeddings_only
        return ["No rows.html: new rows have embeddings and no texts to read."]
    names = {
        column: [feature.names[code] for code in train[column][:]]
        if hasattr(feature := train.features[column], "names")
        else list(map(str, train[column][:]))
        for column in (data["label_column"], "origin")
    }
    view = view_rows(
        texts,
        names[data["label_column"]],
        names["origin"],
        train["parent"][:],
        language=data["language"],
        encoder_name=arguments.encoder_name,
        projection=arguments.projection,
    )
    with output.file("rows.html") as path:
        write_rows_page(view, record, path)
    return []


def _source(a: OversampleRunArguments) -> str:
    """The words that name the data on a command line."""
    source = a.train_file or a.dataset_name or f"demo:{a.demo}"
    return f"{source} --text {a.text_column} --label {a.label_column}"
