"""Which model was asked for, on errors of the libraries underneath that do not name it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOTE = "asked for: "
"""How the note of an error begins that `asking_for` marked; a model's name follows."""


@contextmanager
def asking_for(name: str | Path) -> Iterator[None]:
    """
    An OSError within gets a note with the model's name: without a connection, transformers tells of
    its own documentation alone.

    Args:
        name: folder, or name on the Hub.
    """
    try:
        yield
    except OSError as error:
        error.add_note(f"{NOTE}{name}")
        raise
