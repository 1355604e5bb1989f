"""Arrays in files, and a folder that belongs to one set of arguments."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hf_oversample.data.whole_files import whole


def save_array(path: Path, array: np.ndarray) -> None:
    """Write an array as .npy, whole.

    Raises:
        OSError: the disk is full, or may only be read.
    """
    with whole(path) as scratch, scratch.open("wb") as file:
        # by Python's file: into a file of the system numpy writes by itself, and of a disk that is
        # full at the last bytes it says nothing
        np.save(_Writer(file.write), array)


class _Writer(NamedTuple):
    write: Callable[[bytes], int]


def open_array(path: Path) -> np.ndarray:
    """An array of a .npy file, which stays on disk until it is read."""
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        shape, _, _ = np.lib.format.read_array_header_1_0(file)
    return np.load(path, mmap_mode=None if 0 in shape else "r")  # nothing cannot be mapped


def claim(path: Path, values: Mapping[str, Any]) -> None:
    """Write down what a folder is for, or check that it is for that.

    Args:
        path: a JSON file of the folder.
        values: by name, as JSON holds them.

    Raises:
        ValueError: the folder is for something else, or holds files of something else.
    """
    folder = path.parent
    if not path.exists():
        if path.name == "input.json" and folder.exists() and any(folder.iterdir()):
            raise ValueError(
                f"{folder} is not empty, and nothing was begun in it: give a new folder"
            )
        with whole(path) as scratch:
            scratch.write_text(json.dumps(values, indent=1), encoding="utf-8")
        return
    found = json.loads(path.read_text(encoding="utf-8"))
    asked = json.loads(json.dumps(values))
    for name in dict.fromkeys([*asked, *found]):
        old, new = found.get(name), asked.get(name)
        if old == new:
            continue
        if isinstance(old, list) and isinstance(new, list):  # files: the first that differs
            pairs = [(a, b) for a, b in zip(old, new, strict=False) if a != b]
            old, new = pairs[0] if pairs else (f"{len(old)} of them", f"{len(new)} of them")
        raise ValueError(
            f"{folder} holds steps of other arguments: {name} was {old!r} and is now {new!r}; "
            "give these again to go on, or another folder"
        )
