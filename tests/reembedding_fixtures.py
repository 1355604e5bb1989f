"""Small rows and a tiny encoder to re-embed, and a training that is short."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from accelerate.state import AcceleratorState, GradientState

from hf_oversample.data.labeled_texts import Texts
from hf_oversample.training.reembedder import Reembedder
from hf_oversample.training.reembedding_arguments import ReembeddingArguments
from miso_fixtures import encoder_folder, make_corpus

NAMES = ["ham", "spam", "news"]
QUICK: dict[str, Any] = {
    "objective": "contrastive",
    "steps": 6,
    "batch_size": 8,
    "rare_rows": 6,
    "majority_rows": 6,
    "max_length": 24,
    "logging_steps": 2,
    "save_steps": 0,
    "learning_rate": 1e-3,
}


FLAGS = [word for name, value in QUICK.items() for word in (f"--{name}", str(value))]


def rows(counts: tuple[int, ...] = (40, 12), seed: int = 0) -> Texts:
    """Distinct texts of each class."""
    texts, labels = make_corpus(counts, seed)
    return Texts(texts, labels.astype(np.int64))


def split(counts: tuple[int, ...] = (50, 24), seed: int = 0) -> tuple[Texts, Texts]:
    """Training and validation rows without a text in common."""
    all_rows = rows(counts, seed)
    cut = len(all_rows) * 2 // 3
    first, second = all_rows.texts[:cut], all_rows.texts[cut:]
    return Texts(first, all_rows.labels[:cut]), Texts(second, all_rows.labels[cut:])


def forget_accelerate() -> None:
    """What accelerate keeps of one training for the next in a process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def reembedder(classes: int = 2, **settings: Any) -> Reembedder:
    """One of the tiny encoder; accelerate would keep another training's accumulation."""
    forget_accelerate()
    own = {name: settings.pop(name) for name in ("output_dir",) if name in settings}
    return Reembedder(
        encoder_folder(),
        class_names=NAMES[:classes],
        arguments=ReembeddingArguments(**{**QUICK, **settings}),
        **own,
    )


def write(path: Path, texts: list[str], labels: list[str], **more: list[str]) -> Path:
    """A csv file of rows."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", *more])
        writer.writerows(zip(texts, labels, *more.values(), strict=True))
    return path


def words(file: Path, output: Path, *more: str) -> list[str]:
    """What stands behind `reembed` for a short run on a file."""
    encoder = ["--encoder_name", str(encoder_folder()), "--language", "en"]
    return [str(file), "-o", str(output), *encoder, *FLAGS, "--quiet", *more]


def messages(folder: Path) -> Path:
    """A csv file of 60 and 20 rows in a folder."""
    found = rows((60, 20))
    return write(folder / "messages.csv", found.texts, [NAMES[code] for code in found.labels])
