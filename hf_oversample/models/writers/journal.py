"""A journal of drafts: what was written once is not asked for again after a stop."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hf_oversample.models.writers.decoding import Usage
from hf_oversample.models.writers.requests import (
    Draft,
    PartlyWrittenError,
    Refused,
    Writer,
    WritingRequest,
)


class JournaledWriter:
    """
    A writer whose drafts are kept in a file, a line of JSON each, as soon as they are there.

    A draft is known by its request and by `identity`. A last line that a kill cut short is dropped.

    Args:
        writer: writes what is not in the journal.
        path: the file; it is made with the first draft.
        identity: plain values of all else that drafts are a function of: model, options, seed.
        chunk: requests after which drafts are written down.

    Raises:
        ValueError: a line, but for the last, that is no draft.
    """

    def __init__(self, writer: Writer, path: str | Path, identity: Any, chunk: int):
        self.writer, self.path, self.chunk = writer, Path(path), chunk
        self.usage: Usage = writer.usage
        self.identity = json.dumps(identity, sort_keys=True, default=str)
        self.known = self._read()

    def _read(self) -> dict[str, Draft]:
        if not self.path.exists():
            return {}
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:  # cut short; the next draft begins a line
            with self.path.open("r+b") as file:
                file.truncate(len(whole))
        known: dict[str, Draft] = {}
        for number, line in enumerate(whole.decode("utf-8").splitlines(), start=1):
            try:
                told = json.loads(line)
                draft = Refused(told["refused"]) if "refused" in told else str(told["text"])
                known[told["request"]] = draft
            except (ValueError, TypeError, KeyError):
                raise ValueError(
                    f"line {number} of {self.path} is no draft of a journal: name another file, "
                    "or remove it"
                ) from None
        return known

    def __call__(self, requests: Sequence[WritingRequest]) -> list[Draft]:
        """Drafts, in the requests' order."""
        keys = [self._key(request) for request in requests]
        missing = [i for i, key in enumerate(keys) if key not in self.known]
        self.usage.reused += len(requests) - len(missing)
        for start in range(0, len(missing), self.chunk):
            rows = missing[start : start + self.chunk]
            try:
                drafts: Sequence[Draft | None] = self.writer([requests[i] for i in rows])
            except PartlyWrittenError as error:
                self._keep([keys[i] for i in rows], error.drafts)
                raise
            self._keep([keys[i] for i in rows], drafts)
        return [self.known[key] for key in keys]

    def _key(self, request: WritingRequest) -> str:
        content = json.dumps(asdict(request), sort_keys=True) + self.identity
        return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()

    def _keep(self, keys: Sequence[str], drafts: Sequence[Draft | None]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            for key, draft in zip(keys, drafts, strict=True):
                if draft is None:
                    continue
                told = {"refused": draft.reason} if isinstance(draft, Refused) else {"text": draft}
                file.write(json.dumps({"request": key, **told}, ensure_ascii=False) + "\n")
                self.known[key] = draft
