"""Saved folders, changed as disks, people and strangers change them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from fuzzing.choices import Choices
from hf_oversample.models.loading import SUMS_FILE, write_sums


def copied(template: Path, folder: Path) -> None:
    """A copy that shares the files' content: what is changed is written anew."""
    shutil.copytree(template, folder, copy_function=os.link)


def replace(path: Path, content: bytes) -> None:
    """Another content at a path, the shared one left as it is."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def change(choices: Choices, folder: Path, foreign: Sequence[str] = ()) -> None:
    """One change of one file below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if not files:
        return
    path = choices.one([*files, *(path for path in files if path.name == "config.json")] * 2)
    what = choices.below(16)
    if what == 0:
        path.unlink()
    elif what == 1:
        content = path.read_bytes()
        replace(path, content[: choices.below(min(len(content), 65_536) + 1)])
    elif what == 2:
        content = bytearray(path.read_bytes()) or bytearray(b"\0")
        content[choices.below(min(len(content), 65_536))] ^= 1 + choices.below(255)
        replace(path, bytes(content))
    elif what == 3:
        path.unlink()
        path.mkdir()
    elif what == 4:  # to what lies outside, to itself, to nothing
        path.unlink()
        path.symlink_to(choices.one(("/etc/hostname", path.name, "../../nothing", ".", "/")))
    elif what == 5:
        odd = (b"", b"{", b"[]", b"null", b"\xff\xfe", b"\0" * 99, b"[" * 5000, b"1" * 5000)
        replace(path, choices.one(odd))
    elif path.suffix == ".json":
        _change_json(choices, path, foreign)
    elif path.suffix == ".safetensors":
        _change_arrays(choices, path)
        _sum_again(folder)
    elif path.name == SUMS_FILE:
        lines = path.read_text(errors="replace").splitlines()
        replace(path, "\n".join([*lines[choices.below(3) :], "../x  ../x"]).encode())
    else:
        path.unlink()


def _change_json(choices: Choices, path: Path, foreign: Sequence[str]) -> None:
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return
    for _ in range(1 + choices.below(3)):
        value = choices.changed(value, foreign)
    try:
        replace(path, json.dumps(value).encode())
    except (RecursionError, ValueError):
        return


def _change_arrays(choices: Choices, path: Path) -> None:
    """A file that is whole, with an array of another type, shape or content, or without one."""
    try:
        arrays = dict(load_file(path))
    except (SafetensorError, OSError):
        return
    if not arrays:
        return
    name = choices.one(sorted(arrays))
    array, what = arrays[name], choices.below(10)
    if what == 0:
        del arrays[name]
    elif what == 1:
        kinds = ("float32", "int8", "int64", "uint64", "bool", "float16", "int32")
        with np.errstate(invalid="ignore", over="ignore"):
            arrays[name] = array.astype(choices.one(kinds))
    elif what == 2:
        arrays[name] = array[: max(0, len(array) - 1)] if array.ndim else array.reshape(1)
    elif what == 3:
        arrays[name] = np.concatenate([array, array]) if array.ndim else array.reshape(1, 1)
    elif what == 4:
        arrays[name] = array.reshape(-1) if array.ndim > 1 else array[..., None]
    elif what == 5:
        arrays[choices.one(("state.x", "plan.extra.x", "labels", ""))] = array
    elif what == 6:
        arrays[name] = np.zeros((0, *array.shape[1:]), array.dtype)
    elif array.size:
        array = array.copy()
        odd = (-1, 2**62, 0, 5, 127) if array.dtype.kind in "iub" else (np.nan, np.inf, -1e30, 0)
        with np.errstate(over="ignore"):
            array.flat[choices.below(min(array.size, 65_536))] = np.array(choices.one(odd)).astype(
                array.dtype
            )
        arrays[name] = array
    path.unlink()
    save_file({key: np.ascontiguousarray(one) for key, one in arrays.items()}, path)


def _sum_again(folder: Path) -> None:
    """Who changes arrays on purpose changes their sums, too."""
    for sums in [path for path in folder.rglob(SUMS_FILE) if path.is_file()]:
        sums.unlink()
        write_sums(sums.parent)
