"""Files that a run leaves, and goes on from: records of a comparison, checkpoints."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from fuzzing.choices import Choices
from fuzzing.contract import named, right
from hf_oversample.comparison.records import Cell, Records
from hf_oversample.models.loading import SUMS_FILE, write_sums
from hf_oversample.training.checkpoints import STATE_FILE, load_checkpoint, save_checkpoint

HEADER: dict[str, Any] = {"data": ["a", "b"], "embeddings": [0.5, 1.0], "seed": 1, "name": "x"}
ARGUMENTS: dict[str, Any] = {"steps": 3, "seed": 0, "model.width": 4, "data": "0a"}


def _lines() -> list[bytes]:
    cell = Cell("linear", "none", "a", {"f1": 0.5}, 1.5, curves={"roc": [[0, 1]]}, texts={"x": 1.0})
    other = Cell("linear", "smote", "b", refused="no rows")
    values = [{"comparison": HEADER}, vars(cell), vars(other)]
    return [json.dumps(value).encode() for value in values]


def seeds() -> list[bytes]:
    """Records as bytes, and as changes of what they say."""
    whole = b"\n".join(_lines()) + b"\n"
    return [b"\0" + whole, *(bytes([1, n, 3 * n, 7 * n, 5, n, 9, 1]) for n in range(12))]


def run(data: bytes, folder: Path) -> None:
    """Records read; a cell added; read again."""
    choices = Choices(data)
    path = folder / "records.jsonl"
    if choices.below(2):
        values = [json.loads(line) for line in _lines()]
        for _ in range(1 + choices.below(3)):
            place = choices.below(len(values))
            values[place] = choices.changed(values[place])
        lines = b"".join(json.dumps(value).encode() + b"\n" for value in values)
        path.write_bytes(lines)
    else:
        path.write_bytes(choices.rest())
    records = named(lambda: Records(path, HEADER), names=("records",))
    if records is None:
        return
    found = [cell.key for cell in records]
    added = Cell("mlp", "none", "z", {"f1": 0.25})
    records.add(added)
    again = Records(path, HEADER)
    right({*found, added.key} == {cell.key for cell in again}, "cells that are read again")


@functools.cache
def _accelerator() -> Accelerator:
    return Accelerator(cpu=True)


def checkpoint_seeds() -> list[bytes]:
    """Changes of a checkpoint's state."""
    return [bytes([n % 3, n, 3 * n, 7 * n, 5, n, 9, 1]) for n in range(8)]


def run_checkpoints(data: bytes, folder: Path) -> None:
    """A checkpoint's state read."""
    choices = Choices(data)
    options: dict[str, Any] = {"step": 2, "arguments": ARGUMENTS, "record": {"loss": [1.0]}}
    save_checkpoint(folder, _accelerator(), keep=0, **options)
    state = folder / "checkpoint-2" / STATE_FILE
    if choices.below(2):
        value = choices.changed(json.loads(state.read_text()))
        state.write_text(json.dumps(value))
    else:
        state.write_bytes(choices.rest())
    if choices.below(4):  # by somebody who knows how
        (state.parent / SUMS_FILE).unlink()
        write_sums(state.parent, "*")
    found = named(
        lambda: load_checkpoint(state.parent, _accelerator(), ARGUMENTS), names=("checkpoint-2",)
    )
    if found is not None:
        right(isinstance(found[0], int) and found[0] >= 0, "a number of steps")
        right(isinstance(found[1], dict), "a record")
