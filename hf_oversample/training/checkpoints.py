"""Checkpoints of a training, from which a run goes on as if it had not stopped."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from transformers import PreTrainedConfig

from hf_oversample.data.whole_files import put_folder, remove_folder, writing_to
from hf_oversample.models.loading import SUMS_FILE, sum_of, write_sums

STATE_FILE = "trainer.json"
# either shows that a folder is a checkpoint of ours, if a damaged one
_OWN_FILES = (STATE_FILE, SUMS_FILE)
# arguments that may differ when a run is resumed: they change no weight
FREE_ARGUMENTS = (
    "save_steps",
    "save_total_limit",
    "report_to",
    "logging_steps",
    "evaluation_steps",
)

# what a checkpoint's state holds
_STATE: dict[str, type] = {"step": int, "arguments": dict, "processes": int, "record": dict}
# of a model's settings, what says nothing of its computation
_NOT_SETTINGS = ("transformers_version", "_name_or_path", "dtype")
# longer values are not printed
_SHOWN_LENGTH = 60


def run_settings(
    arguments: Mapping[str, Any], config: PreTrainedConfig, data: Iterable[np.ndarray]
) -> dict[str, Any]:
    """
    What a run must have in common with the run that it goes on from: its arguments, the model's
    settings (`model.…`), and a digest of its training rows and labels (`data`).

    Args:
        arguments: the training's, as values that JSON holds.
        config: the model's.
        data: arrays, in an order of their own.
    """
    digest = hashlib.blake2b(digest_size=16)
    for array in data:
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    model = {f"model.{name}": value for name, value in _settings(config.to_dict()).items()}
    # as JSON gives it back, so that what is read equals what was written
    return json.loads(json.dumps({**arguments, **model, "data": digest.hexdigest()}))


def _settings(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _settings(value) if isinstance(value, Mapping) else value
        for name, value in values.items()
        if name not in _NOT_SETTINGS
    }


def save_checkpoint(
    output_dir: Path | None,
    accelerator: Accelerator,
    *,
    step: int,
    arguments: Mapping[str, Any],
    record: Mapping[str, Any],
    keep: int,
    files: Mapping[str, Callable[[Path], None]] | None = None,
) -> None:
    """
    Everything needed to go on, in a folder `checkpoint-{step}` that is there only when it is
    complete: it is written beside its place and then renamed.

    Args:
        output_dir: where the folder goes; one of the same name is replaced.
        accelerator: holds the modules, optimisers, random states and whatever was registered.
        step: steps done, of all phases together.
        arguments: the run's, of `run_settings`.
        record: the run's, as values that JSON holds.
        keep: how many checkpoints stay, the newest ones; 0: all.
        files: name → function that writes the trainer's own file of that name to a path.

    Raises:
        OSError: if the disk is full or may only be read; what was begun is removed.
        ValueError: if there is no `output_dir`.
    """
    if output_dir is None:
        raise ValueError("A checkpoint needs an output_dir to be written to.")
    folder = output_dir / f"checkpoint-{step}"
    temporary = folder.with_name(f".{folder.name}.part")
    accelerator.wait_for_everyone()
    # of a run that was killed while it wrote: its files are not this run's
    if accelerator.is_main_process:
        _remove_parts(output_dir)
    accelerator.wait_for_everyone()
    try:
        with writing_to(output_dir):
            accelerator.save_state(str(temporary))
            # each process writes its own random state, which must be in the folder before it is
            # renamed
            accelerator.wait_for_everyone()
            if accelerator.is_main_process:
                for name, write in (files or {}).items():
                    write(temporary / name)
                state = {
                    "step": step,
                    "arguments": dict(arguments),
                    "processes": accelerator.num_processes,
                    "record": dict(record),
                }
                (temporary / STATE_FILE).write_text(json.dumps(state))
                write_sums(temporary, "*")
                # one that is there is of a run that went further than where this one resumed
                put_folder(temporary, folder)
                _remove_older(output_dir, keep)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)  # it may be what fills the disk
        raise
    accelerator.wait_for_everyone()


def checkpoints_of(folder: Path) -> list[Path]:
    """The checkpoints in a folder that `save_checkpoint` wrote, by step; no others are touched."""
    found = {path.parent for name in _OWN_FILES for path in folder.glob(f"checkpoint-*/{name}")}
    own = [path for path in found if path.name.removeprefix("checkpoint-").isdigit()]
    return sorted(own, key=lambda path: int(path.name.removeprefix("checkpoint-")))


def newest_whole(folder: Path, warn: Callable[[str], None]) -> Path:
    """
    The checkpoint with the most steps among those whose files are as they were written.

    Args:
        folder: where checkpoints went.
        warn: gets a sentence about each newer one that is damaged.

    Raises:
        FileNotFoundError: there is no checkpoint.
        ValueError: none is whole.
    """
    found = checkpoints_of(folder)
    if not found:
        raise FileNotFoundError(
            f"There is no checkpoint in {folder} to resume from; set --save_steps."
        )
    for place in reversed(found):
        damage = damage_of(place)
        if damage is None:
            return place
        warn(f"{place} is damaged, and an older checkpoint is looked for: {damage}.")
    raise ValueError(
        f"All {len(found)} checkpoints in {folder} are damaged; begin anew, without them."
    )


def damage_of(folder: Path) -> str | None:
    """What tells a checkpoint's files from those that were written: the first difference; None
    where there is none."""
    sums = folder / SUMS_FILE
    if not sums.is_file():
        return f"it has no {SUMS_FILE}, which is written last"
    try:
        lines = [line.split("  ", 1) for line in sums.read_text(encoding="utf-8").splitlines()]
        written = {name: digest for digest, name in lines}
    except ValueError:  # no text, or no sums
        return f"{SUMS_FILE} holds something else"
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    if missing := sorted(set(written) - there):
        return f"{missing[0]} is missing"
    if unknown := sorted(there - set(written) - {SUMS_FILE}):
        return f"{unknown[0]} is not named in {SUMS_FILE}"
    for name, digest in written.items():
        if sum_of(folder / name) != digest:
            return f"{name} was changed, or cut short, since it was written"
    return None


def remove_checkpoints(folder: Path) -> None:
    """All checkpoints of a folder, and what killed runs left of some."""
    for place in checkpoints_of(folder):
        remove_folder(place)
    _remove_parts(folder)


def _remove_parts(output_dir: Path) -> None:
    for ending in ("part", "old"):
        for place in output_dir.glob(f".checkpoint-*.{ending}"):
            shutil.rmtree(place)


def _remove_older(output_dir: Path, keep: int) -> None:
    """All checkpoints but the `keep` that were written last; 0 keeps all."""
    # by time, not by step: a run that resumed from an earlier step writes lower numbers
    found = sorted(checkpoints_of(output_dir), key=lambda path: path.stat().st_mtime_ns)
    for folder in found[:-keep] if keep else []:
        remove_folder(folder)


def load_checkpoint(
    folder: Path, accelerator: Accelerator, arguments: Mapping[str, Any]
) -> tuple[int, dict[str, Any]]:
    """
    Load weights, optimisers and random states into what the accelerator prepared or registered.

    Files of the trainer's own lie in the folder, under the names that `save_checkpoint` was given.

    Args:
        folder: what `save_checkpoint` wrote.
        accelerator: that of the run that goes on.
        arguments: its `run_settings`; those of the checkpoint must be the same but for
            `FREE_ARGUMENTS`.

    Returns: steps done, and the record until then.

    Raises:
        ValueError: if the folder is no checkpoint, or is damaged, or was made with other arguments,
            another model or other data, or by another number of processes. Nothing is loaded then.
    """
    if not any((folder / name).is_file() for name in _OWN_FILES):
        raise ValueError(f"{folder} is no checkpoint of this trainer: it has no {STATE_FILE}.")
    damage = damage_of(folder)
    if damage is not None:
        raise ValueError(
            f"{folder} is a damaged checkpoint: {damage}. Resume from another; of a run's folder, "
            "--resume last takes the newest that is whole."
        )
    state = _read_state(folder / STATE_FILE)
    there = state["arguments"]
    other = [
        _difference(name, there.get(name), arguments.get(name))
        for name in {**there, **arguments}
        if name not in FREE_ARGUMENTS and arguments.get(name) != there.get(name)
    ]
    if other:
        raise ValueError(
            f"{folder} was made with other arguments, another model or other data: "
            f"{', '.join(other)}. Resume with the same, or start anew without the checkpoint."
        )
    if state["processes"] != accelerator.num_processes:
        raise ValueError(
            f"{folder} was made by {state['processes']} processes, and there are "
            f"{accelerator.num_processes} now: batches are drawn per process, so the run would "
            "differ."
        )
    # a checkpoint holds optimiser states in pickles: only what this machine wrote may be loaded
    accelerator.load_state(str(folder))
    return state["step"], state["record"]


def _read_state(path: Path) -> dict[str, Any]:
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} is damaged ({error}): resume from another checkpoint, or start anew without."
        ) from error
    for name, kind in _STATE.items():
        value = state.get(name) if isinstance(state, dict) else None
        if type(value) is not kind or (isinstance(value, int) and value < 0):
            raise ValueError(
                f"{path} is no state of a training: its {name!r} is {str(value)[:60]!r}. Resume "
                "from another checkpoint, or start anew without."
            )
    return state


def _difference(name: str, there: Any, here: Any) -> str:
    if name == "data":
        return "the training rows or their labels are others"
    if max(len(str(there)), len(str(here))) > _SHOWN_LENGTH:
        return f"{name} is another"
    return f"{name} was {there} and is {here}"
