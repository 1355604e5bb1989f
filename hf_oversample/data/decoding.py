"""The text of a user's file: unpacked, decoded, and what to do where it cannot be."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

DEFAULT_ENCODING = "utf-8"

# Encodings that files of the field are in, other than UTF-8; more of them make guesses worse.
_LIKELY = (
    *("utf_32", "utf_16", "utf_16_le", "utf_16_be"),
    *("gb18030", "cp1252", "cp1251", "big5", "cp932", "cp949"),
)
# Alphabets that do not share a word: Latin and Cyrillic, Hangul and Han. Seen in a reading, it is
# probably a wrong one.
_MIXED = re.compile("[A-Za-z][\u0400-\u04ff]|[\u0400-\u04ff][A-Za-z]|[가-힣][一-鿿]|[一-鿿][가-힣]")
_SAMPLE_BYTES = 65_536
_SHOWN = 40
# What a file begins with that is no text, whatever its name says.
_NO_TEXT = {
    b"\x1f\x8b": "is packed by gzip: add .gz to its name",
    b"PK\x03\x04": "is a zip archive, as Excel's files are: save the table as csv, in UTF-8",
    b"PAR1": "is a parquet file: name it .parquet",
}


def read_text(path: Path, encoding: str | None = None) -> str:
    """
    A file's text, unpacked first where its name ends in .gz, and without a byte order mark.

    Args:
        path: the file.
        encoding: as Python names it; None for UTF-8.

    Raises:
        ValueError: the encoding is unknown, the file is not in it (the message has the line, the
            column and the byte, and how the line would read in others), is not packed whole, is of
            another kind, or is empty.
    """
    data = _unpacked(path)
    if not data:
        raise ValueError(f"{path} is empty: it has no byte")
    for start, what in _NO_TEXT.items():
        if data.startswith(start):
            raise ValueError(f"{path} {what}")
    name = encoding or DEFAULT_ENCODING
    try:
        text = data.decode(name)
    except UnicodeDecodeError as error:
        raise ValueError(_undecodable(path, data, name, error.start)) from None
    except (LookupError, UnicodeError) as error:  # no such codec, or one that is none of texts
        raise ValueError(
            f"encoding {name!r}: {error}. Give one that Python knows, such as utf-8, cp1252, "
            "gb18030 or utf-16"
        ) from None
    if name.lower() not in ("utf-8", "utf8") and (half := _half_character(text)):
        raise ValueError(
            f"{path}: read as {name}, it holds half a character ({half!r}), which no text has: "
            "name another encoding"
        )
    if text[:_SAMPLE_BYTES].count("\0") > min(len(text), _SAMPLE_BYTES) // 4:
        raise ValueError(
            f"{path}, line 1: a large part of the characters are NUL, as where UTF-16 is read as "
            f"{name}. {_advice(data, name, 1)}"
        )
    text = text.removeprefix("\ufeff")
    if not text.strip():
        raise ValueError(f"{path} is empty: it holds white space only")
    return text


def _half_character(text: str) -> str | None:
    """A surrogate without its partner, as some codecs let through; None where there is none."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return text[error.start]
    return None


def _unpacked(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix.lower() != ".gz":
        return data
    try:
        return gzip.decompress(data)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(
            f"{path} is not a whole file of gzip ({error}): pack or download it again"
        ) from None


def _undecodable(path: Path, data: bytes, encoding: str, start: int) -> str:
    """The message of bytes that are not in the encoding, from byte `start` on."""
    try:
        before = data[:start].decode(encoding, errors="replace")
    except UnicodeError:  # a codec that replaces nothing, as idna
        before = data[:start].decode("latin-1")
    before = _one_newline(before)
    line = before.count("\n") + 1
    column = len(before) - before.rfind("\n")
    return (
        f"{path}, line {line}, column {column} (byte {start + 1} of the file): 0x{data[start]:02X} "
        f"is no {encoding.upper()} there. {_advice(data, encoding, line)}"
    )


def _advice(data: bytes, encoding: str, line: int) -> str:
    """What to do: the encodings that the file may be in, each with how the line reads in it."""
    foreign = [one for one in data.splitlines() if not one.isascii()]
    good = sum(_decodes(one, "utf-8") for one in foreign)
    if encoding == DEFAULT_ENCODING and 0 < len(foreign) - good < good:
        return (
            f"{good} other lines are in UTF-8, so that this one was written in another encoding "
            f"({len(foreign) - good} such lines): write it anew in UTF-8"
        )
    read = {name: _line(data, name, line) for name in _candidates(data, foreign)}
    shown = ", ".join(f"{name} reads it as {text!r}" for name, text in read.items())
    if not shown:
        return "Name the file's encoding with --encoding, or save it as UTF-8"
    return (
        f"Of the encodings in use, {shown}. Name the right one, as --encoding {next(iter(read))}, "
        "or save the file as UTF-8"
    )


def _candidates(data: bytes, foreign: list[bytes]) -> list[str]:
    """At most three encodings that the whole file decodes in, the likeliest first."""
    from charset_normalizer import from_bytes  # for files that fail, which are few

    if _decodes(data, "utf-8") and b"\0" not in data[:_SAMPLE_BYTES]:
        return ["utf-8"]
    # Lines that tell nothing are left out, except where characters may be wider than a byte.
    sample = data[:_SAMPLE_BYTES] if b"\0" in data[:_SAMPLE_BYTES] else b"\n".join(_first(foreign))
    found = [match.encoding for match in from_bytes(sample, cp_isolation=list(_LIKELY))]
    found = [name for name in found if _decodes(data, name)]
    found.sort(key=lambda name: bool(_MIXED.search(sample.decode(name, errors="replace"))))
    western = "cp1252"
    # Quotation marks and dashes are the same in all of Windows' encodings.
    if found and _decodes(sample, western) and sample.decode(western) == sample.decode(found[0]):
        found = [western]
    return [name.replace("_", "-") for name in found[:3]]


def _first(lines: list[bytes]) -> Iterator[bytes]:
    size = 0
    for line in lines:
        size += len(line)
        if size > _SAMPLE_BYTES:
            return
        yield line


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _line(data: bytes, encoding: str, number: int) -> str:
    lines = _one_newline(data.decode(encoding)).split("\n")
    return next(islice(lines, number - 1, None), "").removeprefix("\ufeff")[:_SHOWN]


def _one_newline(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
