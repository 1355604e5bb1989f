"""A file of JSON lines that outlives a killed writer."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class JsonLines:
    """JSON values in a file, one a line.

    A line is written at once and synced. A last line without its end, which a killed run leaves, is
    not read, and cut off by the next line that is written.

    Args:
        path: the file; it is made, with its folder, by the first line.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def read(self) -> list[bytes]:
        """The complete lines, as they are; none where there is no file."""
        if not self.path.exists():
            return []
        content = self.path.read_bytes()
        return content[: content.rfind(b"\n") + 1].splitlines()

    def append(self, values: Mapping[str, Any]) -> None:
        """Write a line."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab+") as file:
            _cut_torn_end(file)
            file.write((json.dumps(values, ensure_ascii=False) + "\n").encode())
            file.flush()
            os.fsync(file.fileno())


def _cut_torn_end(file: Any) -> None:
    size = file.seek(0, os.SEEK_END)
    if not size:
        return
    file.seek(size - 1)
    if file.read(1) != b"\n":
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
