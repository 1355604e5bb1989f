"""A JSONL file of results, a line a cell: what it holds is not run again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

Record = dict[str, Any]


class JsonlRecords:
    """Results by what they are results of.

    A line is written at once and synced. A last line without its end, which a killed run leaves, is
    not read, and cut off by the next line that is written.

    Args:
        path: the file; it is made, with its folder, by the first result.
        names: fields that say what a record is a result of. Two records that agree in them are one,
            and the later counts.

    Raises:
        ValueError: a line is no JSON object, or lacks one of the fields.
    """

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self.path, self.names = path, tuple(names)
        self._torn_at: int | None = None  # where a last line without its end begins
        self._known: dict[str, Record] = {}
        for number, line in enumerate(self._complete_lines(), start=1):
            try:
                record = json.loads(line)
                self._known[self._key(record)] = record
            except (json.JSONDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
                raise ValueError(
                    f"{path}, line {number}, is no result with the fields {list(names)} "
                    f"({error!r}): the file is of another table, or was changed; name another one"
                ) from error

    def _complete_lines(self) -> list[bytes]:
        if not self.path.exists():
            return []
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        self._torn_at = whole if whole < len(content) else None
        return content[:whole].splitlines()

    def __iter__(self) -> Iterator[Record]:
        return iter(self._known.values())

    def find(self, setting: Record) -> Record | None:
        """The result of a setting, which has the fields of `names`; None: it has not been run."""
        return self._known.get(self._key(setting))

    def add(self, record: Record) -> None:
        """Write a result."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            if self._torn_at is not None:
                file.truncate(self._torn_at)
                self._torn_at = None
            file.write((json.dumps(record, ensure_ascii=False) + "\n").encode())
            file.flush()
            os.fsync(file.fileno())
        self._known[self._key(record)] = record

    def _key(self, record: Record) -> str:
        return json.dumps([record[name] for name in self.names], sort_keys=True)
