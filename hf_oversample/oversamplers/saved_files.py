"""A saved oversampler's files, looked at before anything is made of them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from hf_oversample.models.loading import SUMS_FILE, check_sums
from hf_oversample.oversamplers.plan import ORIGINS, Plan

CONFIG_FILE = "config.json"
_NEEDED = ("oversampler", "format", "library", "params", "fitted", "state")
_KINDS: dict[str, type] = {
    "oversampler": str,
    "format": int,
    "params": dict,
    "fitted": dict,
    "state": dict,
}
_FITTED: dict[str, tuple[Any, str]] = {
    "label_column_": (str, "a string"),
    "text_column_": (str | None, "a string or null"),
    "embedding_column_": (str | None, "a string or null"),
    "label_values_": (list, "a list"),
    "label_names_": (list, "a list"),
    "digest_": (str, "a string"),
    "rows": (int, "a whole number"),
    "children": (int, "a whole number"),
    "features": (dict, "an object"),
}
_KINDS_OF_ARRAYS = {"b": "booleans", "i": "integers", "u": "unsigned integers", "f": "numbers"}
_WORDS: dict[type, str] = {str: "a string", int: "a whole number", dict: "an object"}


def read_config(path: Path) -> dict[str, Any]:
    """
    The configuration of a saved oversampler.

    Raises:
        ValueError: it is no JSON object, or lacks a part.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error}): save or download it again") from error
    missing = [name for name in _NEEDED if not isinstance(config, dict) or name not in config]
    if missing:
        raise ValueError(
            f"{path} is no configuration of an oversampler: it lacks {', '.join(missing)}. Give a "
            "folder that save_pretrained of an oversampler wrote"
        )
    for name, kind in _KINDS.items():
        if type(config[name]) is not kind:
            raise ValueError(
                f"{path} is no configuration of an oversampler: its {name!r} is "
                f"{str(config[name])[:60]!r}, where {_WORDS[kind]} is needed"
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
    except (TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(
            f"config.json of {folder} has values that its class does not take: {error}"
        ) from error
    except ValueError as error:
        if str(folder) in str(error):
            raise
        raise ValueError(f"the files of {folder} do not make an oversampler: {error}") from error


def checked_array(
    arrays: Mapping[str, np.ndarray], name: str, kinds: str, *shape: int | None
) -> np.ndarray:
    """
    One of the arrays that were saved, of the type and shape that it had.

    Args:
        arrays: by name.
        name: which.
        kinds: of its type, as NumPy's ``dtype.kind``: of "biuf" those that may be.
        *shape: its lengths; None: any.

    Raises:
        KeyError: it is not there.
        ValueError: another type or shape, or a number that is not finite.
    """
    array = arrays[name]
    fits = len(shape) == array.ndim and all(
        wanted in (None, found) for wanted, found in zip(shape, array.shape, strict=True)
    )
    if array.dtype.kind not in kinds or not fits:
        wanted = ", ".join("any" if length is None else str(length) for length in shape)
        raise ValueError(
            f"the array {name!r} is of type {array.dtype} and shape {array.shape}, and must be of "
            f"shape ({wanted}) and of {' or '.join(_KINDS_OF_ARRAYS[kind] for kind in kinds)}"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"the array {name!r} holds what is no finite number")
    return array


def checked_places(
    arrays: Mapping[str, np.ndarray], name: str, limit: int, *shape: int | None, least: int = 0
) -> np.ndarray:
    """
    As `checked_array`, of integers that number something.

    Args:
        limit: all are below it.
        least: the smallest that there may be.

    Raises:
        KeyError, ValueError: as `checked_array`; ValueError for a number outside.
    """
    array = checked_array(arrays, name, "iu", *shape)
    if array.size and not (least <= array.min() and array.max() < limit):
        raise ValueError(
            f"the array {name!r} holds {array.min()} to {array.max()}, and what it numbers runs "
            f"from {least} to {limit - 1}"
        )
    return array


def check_known(name: str, known: np.ndarray, asked: np.ndarray) -> None:
    """
    Check that numbers are ascending, and that those that are looked up are among them.

    Raises:
        ValueError: they are not.
    """
    if (np.diff(known) <= 0).any() or not np.isin(asked, known).all():
        raise ValueError(f"the array {name!r} is not ascending, or lacks rows that are read")


def loaded_children(
    arrays: Mapping[str, np.ndarray], plan: Plan, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Origins and parents [children] of texts that were made while learning.

    Raises:
        KeyError, ValueError: as `checked_places`; an ``entry`` of the plan that is no child.
    """
    checked_places(plan.extra, "entry", len(plan), len(plan))
    return (
        checked_places(arrays, "origins", len(ORIGINS), len(plan)),
        checked_places(arrays, "parents", len(labels), len(plan)),
    )


def loaded_texts(config: Mapping[str, Any], plan: Plan) -> list[str]:
    """The texts [children] that were made while learning.

    Raises:
        KeyError: there are none.
        ValueError: they are not as many as the plan says, or one is no text.
    """
    texts = config["texts"]
    is_whole = isinstance(texts, list) and all(isinstance(text, str) for text in texts)
    if not is_whole or len(texts) != len(plan):
        raise ValueError(f"'texts' must be {len(plan)} strings, one for each child")
    return texts


def under(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The arrays whose names begin so, without that."""
    return {name.removeprefix(prefix): v for name, v in arrays.items() if name.startswith(prefix)}


def check_fitted(fitted: Mapping[str, Any]) -> None:
    """
    Check the values that a configuration says were fitted, but for those of the method.

    Raises:
        KeyError: one is not there.
        ValueError: one is of another type, or names and values of classes are not as many.
    """
    for name, (kinds, wanted) in _FITTED.items():
        if not isinstance(fitted[name], kinds) or isinstance(fitted[name], bool):
            raise ValueError(f"{name!r} is {str(fitted[name])[:60]!r}, and must be {wanted}")
    names, values = fitted["label_names_"], fitted["label_values_"]
    if len(names) != len(values) or not all(isinstance(name, str) for name in names):
        raise ValueError("'label_names_' must be strings, one for each of 'label_values_'")
    for name in ("rows", "children"):
        if fitted[name] < 0:
            raise ValueError(f"{name!r} is {fitted[name]}, and must be at least 0")


def restored_plan(arrays: Mapping[str, np.ndarray], children: int, rows: int, classes: int) -> Plan:
    """
    The plan among the arrays that were saved.

    Args:
        arrays: by name.
        children, rows, classes: how many there are.

    Raises:
        KeyError: an array is not there.
        ValueError: one does not fit the others, or numbers what is not there.
    """
    extra = under(arrays, "plan.extra.")
    for name, values in extra.items():
        checked_array(extra, name, "iu", children, *(None,) * (values.ndim - 1))
    return Plan.build(
        checked_places(arrays, "plan.parent", rows, children),
        checked_places(arrays, "plan.child", max(1, children), children),
        checked_places(arrays, "plan.label", classes, children),
        extra,
    )


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
