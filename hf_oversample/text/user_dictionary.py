"""A user's own words for jieba: names and terms that its dictionary cuts in two."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

# word, frequency, part of speech: the last two None where they are not given
Entry = tuple[str, int | None, str | None]
UserDictionary = tuple[Entry, ...]

# What jieba finds words in: it cuts a text at every other character, whatever its dictionary.
_UNCUT = re.compile(r"[\u4E00-\u9FD5a-zA-Z0-9+#&._%\-]+")
_TAG = re.compile(r"[a-zA-Z]+")
_FORMAT = "a line is WORD, WORD FREQUENCY, WORD TAG or WORD FREQUENCY TAG, parted by spaces"


def user_dictionary_of(
    source: str | os.PathLike[str] | Iterable[Sequence[Any]] | None,
) -> UserDictionary:
    """
    A user dictionary's entries, from its file or from entries (as JSON keeps them).

    Args:
        source: a file in jieba's format, UTF-8, or entries; None for no words.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not UTF-8, has no words, or has a line that jieba could not use;
            the message names file and line.
    """
    if source is None:
        return ()
    if isinstance(source, str | os.PathLike):
        return _read(Path(source))
    entries: list[list[Any]] = [list(entry) for entry in source]
    return tuple((str(word), frequency, tag) for word, frequency, tag in entries)


def _read(path: Path) -> UserDictionary:
    if not path.is_file():
        raise FileNotFoundError(f"user_dictionary {str(path)!r} is not a file")
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"user_dictionary {str(path)!r}, line {line}: byte 0x{content[error.start]:02x} is not "
            "UTF-8. Save the file as UTF-8."
        ) from error
    entries = [
        _entry(line.split(), f"user_dictionary {str(path)!r}, line {number}: {line.strip()!r}")
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip()
    ]
    if not entries:
        raise ValueError(f"user_dictionary {str(path)!r} has no words: {_FORMAT}.")
    return tuple(entries)


def _entry(parts: list[str], where: str) -> Entry:
    word, rest = parts[0], parts[1:]
    frequency = int(rest.pop(0)) if rest and rest[0].isascii() and rest[0].isdigit() else None
    tag = rest.pop(0) if rest and _TAG.fullmatch(rest[0]) else None
    if rest:
        raise ValueError(f"{where} has {rest[0]!r}, no frequency or tag: {_FORMAT}.")
    if frequency == 0:
        raise ValueError(f"{where} has the frequency 0, with which jieba never finds the word.")
    if not _UNCUT.fullmatch(word):
        cut = next(character for character in word if not _UNCUT.fullmatch(character))
        raise ValueError(
            f"{where} has {cut!r} in its word, where jieba cuts every text: leave the word out, or "
            "write it without."
        )
    return word, frequency, tag
