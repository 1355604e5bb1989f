"""The record of a run (`run.json`): what every run says about itself."""

from __future__ import annotations

import os
import platform
from collections import Counter
from dataclasses import asdict
from importlib import metadata
from typing import Any

import numpy as np
import torch
from datasets import Dataset

from hf_oversample.commands.data import RunData
from hf_oversample.commands.miso_arguments import MisoRunArguments
from hf_oversample.oversamplers.plan import ORIGINS, SYNTHETIC
from hf_oversample.training.accelerator import process_state

PACKAGES = (
    "hf_oversample",
    "torch",
    "transformers",
    "datasets",
    "accelerate",
    "tokenizers",
    "numpy",
    "scikit-learn",
)

DEMO_LICENSES = {"sms": "cc-by-4.0"}
"""Demo → its licence, where that is known."""
SAMPLES = 8
"""Made texts that a record keeps, for the cards."""


def circumstances() -> dict[str, Any]:
    """`versions` of the packages and `machine` of this process, for the record of any run."""
    return {
        "versions": {name: metadata.version(name) for name in PACKAGES}
        | {"python": platform.python_version()},
        "machine": {
            "system": platform.system(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "device": str(process_state().device),
            "processes": process_state().num_processes,
        },
    }


def license_of_rows(given: str | None, demo: str | None) -> str | None:
    """What a run says that the licence of its rows is, else a demo's own; None: unknown."""
    return given or DEMO_LICENSES.get(str(demo))


def run_record(arguments: MisoRunArguments, data: RunData, balanced: Dataset) -> dict[str, Any]:
    """
    The part of a record that is the same for every run; a run adds what it made and measured.

    Args:
        arguments: the run's.
        data: before balancing.
        balanced: the training part, with the new rows and their `origin`.
    """
    a, names = arguments, data.class_names
    before = Counter(names[code] for code in data.train.labels.tolist())
    origin = np.asarray(balanced["origin"])
    return {
        "format": 1,
        "arguments": asdict(a) | {"training": a.training.to_dict()},
        **circumstances(),
        "seed": a.training.seed,
        "data": {
            "name": data.name,
            "rows": data.rows,
            "classes": dict(before),
            "text_column": a.text_column,
            "label_column": a.label_column,
            "language": data.language,
            "license": license_of_rows(a.license, a.demo),
            "imbalance_ratio": a.imbalance_ratio,
            "splits": {name: len(rows) for name, rows in data.parts.items()},
        },
        "counts": {
            "before": dict(before),
            "after": dict(Counter(names[code] for code in balanced[a.label_column])),
            "origin": {name: int((origin == i).sum()) for i, name in enumerate(ORIGINS)},
        },
        "samples": samples_of(balanced, data, a),
    }


def samples_of(balanced: Dataset, data: RunData, a: MisoRunArguments) -> list[dict[str, str]]:
    """
    Some made texts, each with the row that it was made from: at even distances among all of them,
    so that nobody chose. Empty where rows have no text.

    Args:
        balanced: the training part, with the new rows.
        data: before balancing.
        a: the run's arguments.
    """
    origin = np.asarray(balanced["origin"])
    made = np.flatnonzero(origin == SYNTHETIC)
    if not len(made) or a.text_column not in balanced.column_names:
        return []
    count = min(SAMPLES, len(made))
    places = made[np.linspace(0, len(made) - 1, count).round().astype(int)]
    rows = balanced.select(places.tolist())
    names = data.class_names
    return [
        {
            "label": names[label],
            "text": text,
            "parent_label": names[data.train.labels[parent]],
            "parent_text": data.train.texts[parent],
        }
        for label, text, parent in zip(
            rows[a.label_column], rows[a.text_column], rows["parent"], strict=True
        )
        if text is not None
    ]
