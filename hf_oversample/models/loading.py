"""Loading what others saved: whole or not at all, and never by running code that lies beside it.

Weights come from safetensors files. Before a model is built, its configuration is held against
their headers, so that a configuration of absurd sizes is told before it takes memory; and where a
file `SHA256SUMS` lies beside them, their content is held against that.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file

from hf_oversample.models.asked_for import asking_for

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

Config = TypeVar("Config", bound="PreTrainedConfig")
Model = TypeVar("Model", bound="PreTrainedModel")

SUMS_FILE = "SHA256SUMS"
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
# What values of a wrong type or size lead to in a constructor that does not look for them.
OF_VALUES = (
    *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError),
    AssertionError,
)
# Fields of configurations that are numbers of layers, and those that are sizes of weights.
_LAYERS = re.compile(r"(num_.*layers|.*_layers|n_layer|layers)")
_SIZES = re.compile(
    r"(.*_size|.*_dim|max_position_embeddings|n_positions|n_embd|d_model|d_ff|num_labels)"
)


def load_complete(kind: type[Model], name: str | Path, **options: Any) -> Model:
    """
    A model of a known class from a folder or the Hub, in evaluation mode, complete or not at all.

    Args:
        kind: the model's class; what the folder names as its code is not looked at.
        name: folder, or name on the Hub.
        **options: of `from_pretrained`, such as `revision`.

    Raises:
        OSError: no such folder or name, or no weights in safetensors there.
        ValueError: weights are damaged, cut short, of other shapes, missing, or not those of
            `SHA256SUMS`; or the configuration is none of a `kind`, or has absurd sizes.
    """
    places = {k: v for k, v in options.items() if k in ("revision", "token")}
    found_config = check_weights(name, **places)
    _check_type(name, found_config, kind.__name__, kind.config_class)
    _built(kind.config_class, name, found_config)
    try:
        model, found = kind.from_pretrained(
            str(name),
            output_loading_info=True,
            use_safetensors=True,
            trust_remote_code=False,
            **options,
        )
    except SafetensorError as error:
        raise damaged(name, error) from error
    except OF_VALUES as error:
        if isinstance(error, ValueError) and str(name) in str(error):
            raise
        raise ValueError(
            f"{name} cannot be loaded as a {kind.__name__} ({' '.join(str(error).split())[:300]}): "
            "its files are damaged, or not of one save. Download or save it again."
        ) from error
    except RuntimeError as error:  # of transformers: shapes that differ
        if "mismatch" not in str(error) and "size" not in str(error):
            raise
        raise ValueError(
            f"the weights of {name} have other shapes than its config.json says: they are not of "
            f"one model. Download or save it again. ({' '.join(str(error).split())[:300]})"
        ) from error
    if missing := sorted(found["missing_keys"]):
        raise ValueError(
            f"{name} is said to be a {kind.__name__}, but its files lack {len(missing)} of its "
            f"weights, such as {missing[0]}, which would be random: download or save it again."
        )
    bad = next((n for n, w in model.named_parameters() if not bool(w.isfinite().all())), None)
    if bad is not None:
        raise ValueError(
            f"the weights of {name} are not finite numbers in {bad}: the training diverged, or the "
            "file was changed. Download or train it again."
        )
    return model.eval()


def load_config(kind: type[Config], name: str | Path, **options: Any) -> Config:
    """
    The configuration of a model whose weights `load_complete` would read, without reading them.

    Args:
        kind: the configuration's class.
        name: folder, or name on the Hub.
        **options: `revision` and `token`.

    Raises:
        OSError, ValueError: as `check_weights`; ValueError for a configuration of another kind.
    """
    found = check_weights(name, **options)
    _check_type(name, found, kind.__name__, kind)
    return _built(kind, name, found)


def _built(kind: type[Config], name: str | Path, values: Mapping[str, Any]) -> Config:
    """A configuration of what config.json holds, which anyone may have written."""
    from huggingface_hub.errors import StrictDataclassError  # which imports an HTTP client

    try:
        return kind.from_dict(dict(values))
    except (StrictDataclassError, *OF_VALUES) as error:
        raise ValueError(
            f"config.json of {name} is no {kind.__name__}: {' '.join(str(error).split())}. "
            "Download or save it again."
        ) from error


def _check_type(
    name: str | Path, config: Mapping[str, Any], needed: str, kind: type[PreTrainedConfig]
) -> None:
    found = config.get("model_type")
    if found != kind.model_type:
        raise ValueError(
            f"{name} is a model of type {found!r} by its config.json, and a {needed} "
            f"({kind.model_type!r}) is needed: name another model."
        )


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """
    The arrays of a safetensors file.

    Raises:
        ValueError: it is damaged or cut short.
    """
    try:
        return load_file(path)
    except SafetensorError as error:
        raise damaged(path, error) from error


def damaged(name: str | Path, error: Exception) -> ValueError:
    """The error of weights that cannot be read."""
    return ValueError(
        f"the weights of {name} (.safetensors) are damaged or cut short ({error}): download or "
        "copy them again."
    )


def check_weights(name: str | Path, **options: Any) -> dict[str, Any]:
    """
    Check the weights of a model against what lies beside them, before they are read.

    Args:
        name: folder, or name on the Hub.
        **options: `revision` and `token`.

    Returns: what config.json holds.

    Raises:
        ValueError: `SHA256SUMS` has other sums; config.json is missing or no JSON object, or its
            sizes are more than the weights can have.
        OSError: no such folder or name.
    """
    from transformers.utils import cached_file  # transformers: not for fitted rows alone

    with asking_for(name):
        config_file = cached_file(str(name), "config.json", **options)
    if config_file is None:
        part = Path(name) / "generator"
        hint = f": a run's generator is {part}" if part.is_dir() else ""
        raise ValueError(f"{name} has no config.json, so it is no model{hint}.")
    try:
        config = json.loads(Path(config_file).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"config.json of {name} is damaged ({error}).") from error
    if not isinstance(config, dict):
        raise ValueError(f"config.json of {name} holds no JSON object.")
    weights = _first_there(name, _WEIGHTS, options)
    if weights is None:
        return config  # from_pretrained tells
    if weights.suffix == ".json":  # in several files: their sums are of no single file
        return config
    try:
        with safe_open(weights, "np") as file:
            shapes = [file.get_slice(key).get_shape() for key in file.keys()]  # noqa: SIM118
    except SafetensorError as error:
        raise damaged(name, error) from error
    _check_sizes(name, config, len(shapes), sum(map(prod, shapes)))
    sums = _first_there(name, (SUMS_FILE,), options)
    if sums is not None:
        check_sums(sums, {weights.name: weights})
    return config


def _first_there(name: str | Path, files: tuple[str, ...], options: dict[str, Any]) -> Path | None:
    from transformers.utils import cached_file

    for file in files:
        found = cached_file(
            str(name),
            file,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
            **options,
        )
        if found is not None:
            return Path(found)
    return None


def _check_sizes(name: str | Path, config: Mapping[str, Any], tensors: int, numbers: int) -> None:
    for field, value in _integers(config):
        last = field.rpartition(".")[2]
        limit = tensors if _LAYERS.fullmatch(last) else numbers if _SIZES.fullmatch(last) else None
        if limit is not None and value > max(limit, 4096 if limit == numbers else 0):
            raise ValueError(
                f"config.json of {name} says {field} = {value}, and its weights are {tensors} "
                f"arrays of {numbers} numbers in all: they are not of one model. Nothing was "
                "loaded."
            )


def _integers(config: Mapping[str, Any], under: str = "") -> Iterator[tuple[str, int]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _integers(value, f"{under}{key}.")
        elif isinstance(value, int) and not isinstance(value, bool):
            yield f"{under}{key}", value


def write_sums(folder: Path, pattern: str = "*.safetensors") -> None:
    """
    Write `SHA256SUMS` of files in a folder and below, as `sha256sum -c` reads it.

    Args:
        folder: that is about to be renamed to its place, or was just filled.
        pattern: of the files' names; all weights by default.
    """
    paths = sorted(path for path in folder.rglob(pattern) if path.is_file())
    lines = [f"{sum_of(path)}  {path.relative_to(folder).as_posix()}\n" for path in paths]
    (folder / SUMS_FILE).write_text("".join(lines), encoding="utf-8")


def check_sums(sums: Path, files: Mapping[str, Path]) -> None:
    """
    Check files against `SHA256SUMS`.

    Args:
        sums: that file.
        files: name in it → file.

    Raises:
        ValueError: a file has another content than is written there, or is not named there.
    """
    known: dict[str, str] = {}
    # What is no UTF-8 names no file of ours: its sum is then missing, which is told.
    for line in sums.read_text(encoding="utf-8", errors="replace").splitlines():
        digest, _, file = line.partition("  ")
        known[file.strip()] = digest
    for name, path in files.items():
        if known.get(name) != sum_of(path):
            raise ValueError(
                f"{path} is not the file that {sums} was written for: it was changed, or cut short "
                f"on its way. Download or copy it again; if you changed it yourself, remove "
                f"{SUMS_FILE}. Nothing was loaded."
            )


def sum_of(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
