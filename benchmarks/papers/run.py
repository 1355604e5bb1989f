"""From a table's name to its page: what recipes/reproduce.py calls."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.papers.arguments import ReproduceArguments
from benchmarks.papers.paper_table import PaperTable, Request

TABLES = {
    "miso3": "miso:MisoTable3",
    "miso4": "miso:MisoTable4",
    "miso5": "miso:MisoTable5",
    "amo3": "amo:AmoTable3",
    "simpor2": "simpor:SimporTable2",
    "simpor3": "simpor:SimporTable3",
    "bayesian1": "bayesian_gan:BayesianGanTable1",
}
"""Modules beside this one and their classes, imported when a table is asked for."""


def table_named(name: str) -> type[PaperTable]:
    """The class of a table.

    Raises:
        ValueError: there is none; those that there are are listed.
    """
    if name not in TABLES:
        raise ValueError(f"there is no table {name!r}; there are {', '.join(TABLES)}")
    module, _, kind = TABLES[name].partition(":")
    return getattr(importlib.import_module(f"{__package__}.{module}"), kind)


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def run_reproduce(
    arguments: ReproduceArguments, progress: Callable[[str], None] = _to_stderr
) -> str:
    """
    Run what a table's records do not have, and give the page.

    Args:
        arguments: the run's.
        progress: gets a line for each cell.

    Returns:
        Markdown: what is smaller than the paper's, what cannot be run, what the paper leaves open,
        and the tables, with the paper's figures beside ours.

    Raises:
        ValueError: an unknown table, task or method, data that are not there, or records of another
            table.
        ImportError: an extra is not installed.
    """
    a = arguments
    kind = table_named(a.table)
    output = Path(a.output or Path("reproduced") / f"{a.table.rstrip('0123456789')}.jsonl")
    table = kind(
        Request(
            records=output,
            data_dir=None if a.data_dir is None else Path(a.data_dir),
            sizes=a.sizes or ("full" if torch.cuda.is_available() else "reduced"),
            seeds=a.seeds,
            tasks=a.tasks,
            methods=a.methods,
            encoder_name=a.encoder_name,
            progress=progress,
        )
    )
    if not a.records_only:
        table.run()
    return table.text()
