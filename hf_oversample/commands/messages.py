"""What a run says while it works: on stderr, once of several processes, and never in a result."""

from __future__ import annotations

import contextlib
import os
import sys

from hf_oversample.commands.environment import environment

_BARS = ("TQDM_DISABLE", "HF_HUB_DISABLE_PROGRESS_BARS", "HF_DATASETS_DISABLE_PROGRESS_BARS")
QUIET = "HF_OVERSAMPLE_QUIET"
"""Environment variable: "1" leaves out what is only progress. Processes that are started inherit
it."""


def note(message: str) -> None:
    """Progress: what was guessed, found, or is going on; nothing under `--quiet`."""
    if os.environ.get(QUIET) != "1":
        _say(message)


def warn(message: str) -> None:
    """What a user should know about the result; said under `--quiet` too."""
    _say(f"Warning: {message}")


def quietly(wanted: bool = True) -> contextlib.AbstractContextManager[None]:
    """
    Leave out progress while this lasts, the libraries' bars too; enter it before they are imported,
    for they read these variables then. Does nothing unless `wanted`.
    """
    if not wanted:
        return contextlib.nullcontext()
    bars = dict.fromkeys(_BARS, "1")
    return environment({QUIET: "1", "TRANSFORMERS_VERBOSITY": "error", **bars})


def is_first_process() -> bool:
    """Whether this is the only process, or the first of those that a launcher started."""
    return os.environ.get("RANK", "0") == "0"


def say(line: str) -> None:
    """
    A line on stderr, from any process. It is written at once: launched processes do not buffer, and
    `print` writes the line and its end apart, so that lines of two processes run into each other.
    """
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _say(message: str) -> None:
    if is_first_process():
        say(message)
