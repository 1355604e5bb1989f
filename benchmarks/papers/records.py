"""A JSONL file of results, a line a cell: what it holds is not run again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hf_oversample.comparison.json_lines import JsonLines

Record = dict[str, Any]


class JsonlRecords:
    """Results by what they are results of, in a file of
    :class:`~hf_oversample.comparison.json_lines.JsonLines`.

    Args:
        path: the file; it is made, with its folder, by the first result.
        names: fields that say what a record is a result of. Two records that agree in them are one,
            and the later counts.

    A record's field `inputs`, where it has one, is a digest of the rows and weights that it was
    made from: a result of others is not taken for one of these.

    Raises:
        ValueError: a line is no JSON object, or lacks one of the fields.
    """

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self.path, self.names = path, tuple(names)
        self._lines = JsonLines(path)
        self._known: dict[str, Record] = {}
        for number, line in enumerate(self._lines.read(), start=1):
            try:
                record = json.loads(line)
                self._known[self._key(record)] = record
            except (json.JSONDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
                raise ValueError(
                    f"{path}, line {number}, is no result with the fields {list(names)} "
                    f"({error!r}): the file is of another table, or was changed; name another one"
                ) from error

    def __iter__(self) -> Iterator[Record]:
        return iter(self._known.values())

    def find(self, setting: Record) -> Record | None:
        """The result of a setting, which has the fields of `names`; None: it has not been run.

        Raises:
            ValueError: its result is of other `inputs` than the setting's.
        """
        known = self._known.get(self._key(setting))
        if known is not None and known.get("inputs") != setting.get("inputs"):
            raise ValueError(
                f"{self.path} has a result of {self._key(setting)} from other data or another "
                "encoder than are there now: name another --output, or move the file away"
            )
        return known

    def add(self, record: Record) -> None:
        """Write a result, if it is not the one that is there, nor refused again for the same."""
        known = self._known.get(self._key(record), {})
        again = record.get("refused") is not None and record["refused"] == known.get("refused")
        if known != record and not again:
            self._lines.append(record)
            self._known[self._key(record)] = record

    def _key(self, record: Record) -> str:
        return json.dumps([record[name] for name in self.names], sort_keys=True)
