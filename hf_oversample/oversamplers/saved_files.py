"""A saved oversampler's files, looked at before anything is made of them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hf_oversample.models.loading import SUMS_FILE, check_sums

CONFIG_FILE = "config.json"
_NEEDED = ("oversampler", "format", "library", "params", "fitted", "state")


def read_config(path: Path) -> dict[str, Any]:
    """
    The configuration of a saved oversampler.

    Raises:
        ValueError: it is no JSON object, or lacks a part.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): save or download it again") from error
    missing = [name for name in _NEEDED if not isinstance(config, dict) or name not in config]
    if missing:
        raise ValueError(
            f"{path} is no configuration of an oversampler: it lacks {', '.join(missing)}. Give a "
            "folder that save_pretrained of an oversampler wrote"
        )
    return dict(config)


def check_files(folder: Path) -> None:
    """
    Check all weights of a folder against its `SHA256SUMS`.

    Raises:
        ValueError: a file was changed or cut short since it was saved.
        FileNotFoundError: there is no `SHA256SUMS`.
    """
    if not (folder / SUMS_FILE).is_file():
        raise FileNotFoundError(
            f"{folder} holds no {SUMS_FILE}, which save_pretrained writes: the folder is not "
            "whole; copy or download it again"
        )
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.safetensors")}
    check_sums(folder / SUMS_FILE, files)


@contextmanager
def told_of(folder: Path) -> Iterator[None]:
    """
    What a configuration's content leads to, as an error that names its file.

    Raises:
        ValueError: it lacks a value, or has one that the class does not take.
    """
    try:
        yield
    except KeyError as error:
        raise ValueError(f"the files of {folder} lack {error}: they are not of one save") from error
    except TypeError as error:
        raise ValueError(
            f"config.json of {folder} has values that its class does not take: {error}"
        ) from error


def move_into(scratch: Path, target: Path) -> None:
    """
    Move a finished folder to its place; into an existing one file by file, for it may hold others.

    There config.json goes first and comes back last: a stop in between leaves a folder that cannot
    be loaded, and never an old configuration with new weights.
    """
    if not target.exists():
        # mkdtemp makes folders that only their owner can read; a saved folder has usual rights.
        mask = os.umask(0)
        os.umask(mask)
        scratch.chmod(0o777 & ~mask)
        scratch.rename(target)
        return
    (target / CONFIG_FILE).unlink(missing_ok=True)
    for path in sorted(scratch.iterdir(), key=lambda path: path.name == CONFIG_FILE):
        place = target / path.name
        if path.is_dir() and place.exists():
            shutil.rmtree(place)
        os.replace(path, place)
