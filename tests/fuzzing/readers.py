"""Files: every kind that is read, from bytes; what is read equals what Python's readers read."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset

from fuzzing.choices import Choices, nested
from fuzzing.contract import named, right
from hf_oversample.comparison.given_rows_data import as_given_rows
from hf_oversample.data.auditing import Rows, audit_part
from hf_oversample.data.files import read_file
from hf_oversample.data.reading import check_text_column, prepare_labels
from hf_oversample.text.words import Segmenter

SUFFIXES = (
    *(".csv", ".tsv", ".json", ".jsonl", ".parquet", ".csv.gz", ".jsonl.gz", ".arrow", ".CSV"),
)
ENCODINGS = (None, "utf-8", "utf-16", "cp1252", "gb18030", "utf-7", "no such", "base64", "idna")

ROWS = [{"text": f"message {n}", "label": "ham" if n % 3 else "spam"} for n in range(6)]


def _delimited(mark: str) -> bytes:
    lines = ["text,label", *(f"{row['text']},{row['label']}" for row in ROWS)]
    lines += ['"a ""quoted"", cell\nof two lines",ham', '"",spam']
    return "\r\n".join(lines).replace(",", mark).encode()


def _lines() -> bytes:
    return "\n".join(json.dumps(row) for row in ROWS).encode()


def _parquet(**options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.Table.from_pylist([{**row, "n": n} for n, row in enumerate(ROWS)])
    pq.write_table(table, sink, **options)
    return sink.getvalue().to_pybytes()


def _arrow() -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, pa.Table.from_pylist(ROWS).schema) as writer:
        writer.write_table(pa.Table.from_pylist(ROWS))
    return sink.getvalue().to_pybytes()


def seeds() -> list[bytes]:
    """Valid files, and those that are known to be hard."""
    deep = json.dumps(nested(900)).encode()
    contents: dict[str, list[bytes]] = {
        ".csv": [
            _delimited(","),
            codecs.BOM_UTF8 + _delimited(","),
            _delimited(",").decode().encode("utf-16"),
            b'text,label\n"open,ham\n',
            b"text,label\nNA,1\n001,2\n",
        ],
        ".tsv": [_delimited("\t")],
        ".jsonl": [
            _lines(),
            b'{"text": NaN, "label": Infinity}\n{"text": 1, "label": 1e999}',
            b'{"text": "a", "text": "b"}',
            b'{"text": ' + deep + b', "label": 1}',
            b'{"text": "\\ud83d", "label": {"a": [1, {"b": null}]}}',
            b'{"text": 12345678901234567890123, "label": -1}',
            b'{"text": "a", "label": "ham", "parent": "m", "weight": 2.5, "origin": 1, "usd": 1}',
        ],
        ".json": [
            b"[" + _lines().replace(b"\n", b",") + b"]",
            b'{"text": ["a", "b", "c"], "label": [true, false, null]}',
            deep,
            b"[" + b"9" * 5000 + b"]",
        ],
        ".parquet": [_parquet(), _parquet(compression="none", use_dictionary=False)],
        ".csv.gz": [gzip.compress(_delimited(","), mtime=0)],
        ".jsonl.gz": [gzip.compress(_lines(), mtime=0)],
        ".arrow": [_arrow()],
    }
    return [
        bytes([SUFFIXES.index(suffix), 0]) + content
        for suffix, found in contents.items()
        for content in found
    ]


def run(data: bytes, folder: Path) -> None:
    """Read a file, and what commands do first with what was read."""
    choices = Choices(data)
    suffix, encoding = choices.one(SUFFIXES), choices.one(ENCODINGS)
    path = folder / f"rows{suffix}"
    path.write_bytes(choices.rest())
    names = (r"rows\.", "encoding")
    dataset = named(lambda: read_file(path, encoding), names=names)
    if dataset is None:
        return
    expected = _ORACLES[suffix.lower().removesuffix(".gz")](path, encoding)
    right(_same(dataset.to_list(), expected), f"{suffix} rows are not those of the file")
    columns = dataset.column_names
    text = "text" if "text" in columns else columns[0]
    label = "label" if "label" in columns else columns[-1]
    fields = ("column",)
    labelled = named(lambda: prepare_labels(dataset, label), names=fields)
    named(lambda: check_text_column(dataset, text), names=fields)
    if labelled is not None and labelled.features[label].num_classes:
        names_of = labelled.features[label].names
        kept = [names_of[code] for code in labelled[label][:]]
        right(kept == [str(value) for value in dataset[label][:]], "labels are not the file's")
    _audit(dataset, text, label)


def run_made(data: bytes, folder: Path) -> None:
    """Rows that somebody made, as `compare --made` reads them."""
    choices = Choices(data)
    suffix = choices.one((".jsonl", ".csv", ".json", ".parquet"))
    path = folder / f"made{suffix}"
    path.write_bytes(choices.rest())
    dataset = named(lambda: read_file(path), names=(r"made\.",))
    if dataset is None:
        return
    names = ("column", "made rows")
    given = named(lambda: as_given_rows(dataset, train=["a", "b"]), names=names)
    if given is not None:
        right(len(given.texts) == len(given.classes) > 0, "texts and classes differ in number")
        right(all(text.strip() for text in given.texts), "a made row without a text")
        right(
            len(given.texts) + sum(given.left_out.values()) == len(dataset),
            "made rows that are neither kept nor left out",
        )


def made_seeds() -> list[bytes]:
    """Made rows with all that may stand beside them."""
    rows = [
        {"text": "win", "label": "spam", "parent": 0, "weight": 1.5, "origin": 1, "seconds": 2},
        {"text": "", "label": "spam", "parent": None, "weight": 1, "origin": 1, "seconds": None},
        {"text": "prize", "label": "ham", "parent": -1, "weight": 3, "origin": 0, "seconds": 1e9},
    ]
    lines = "\n".join(map(json.dumps, rows)).encode()
    more = [
        b'{"text": "a", "label": 1, "parent": ["a", "b"], "meta": {"usd": "3", "x": [1, "2"]}}',
        b'{"text": "a", "label": 1, "parent": 1e308, "tokens": 5}',
        b'{"text": "a", "label": 1, "parent": [[1]], "weight": true}',
    ]
    csv_rows = b"text,label,parent,weight\nwin,spam,0,1\nprize,ham,-1,\n"
    array = b"[" + lines.replace(b"\n", b",") + b"]"
    return [b"\0" + lines, *(b"\0" + one for one in more), b"\1" + csv_rows, b"\2" + array]


def _audit(dataset: Dataset, text: str, label: str) -> None:
    """Nothing is refused there, and every row is counted once."""
    rows = Rows.of(dataset, text, label)
    part = named(lambda: audit_part(rows, Segmenter("en")), names=("an audit refuses nothing",))
    if part is not None:
        right(sum(part.classes.values()) + part.without_class == len(dataset), "rows of classes")


# ---- what the file holds, read another way -------------------------------------------------------


def _text_of(path: Path, encoding: str | None) -> str:
    content = path.read_bytes()
    if path.name.lower().endswith(".gz"):
        content = gzip.decompress(content)
    return content.decode(encoding or "utf-8").removeprefix("\ufeff")


def _of_csv(path: Path, encoding: str | None, mark: str = ",") -> list[dict[str, Any]]:
    csv.field_size_limit(2**31 - 1)
    lines = io.StringIO(_text_of(path, encoding), newline="")
    header, *rows = [row for row in csv.reader(lines, delimiter=mark) if row]
    names = [name or f"column {place}" for place, name in enumerate(header, start=1)]
    return [{n: cell or None for n, cell in zip(names, row, strict=True)} for row in rows]


def _of_lines(path: Path, encoding: str | None) -> list[Any]:
    text = _text_of(path, encoding)
    return [json.loads(line) for line in text.split("\n") if line.strip(" \t\r")]


def _of_json(path: Path, encoding: str | None) -> list[Any]:
    try:
        value = json.loads(_text_of(path, encoding))
    except ValueError:
        return _of_lines(path, encoding)
    if isinstance(value, list):
        return value
    if value and all(isinstance(column, list) for column in value.values()):
        return [dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True)]
    return [value]


def _of_parquet(path: Path, encoding: str | None) -> list[Any]:
    with pq.ParquetFile(path) as file:
        return file.read().to_pylist()


_ORACLES: dict[str, Callable[[Path, str | None], list[Any]]] = {
    ".csv": _of_csv,
    ".tsv": lambda path, encoding: _of_csv(path, encoding, "\t"),
    ".jsonl": _of_lines,
    ".json": _of_json,
    ".parquet": _of_parquet,
}


def _same(found: Any, written: Any) -> bool:
    """Equal, where a key with null is one that is not there, and NaN is NaN."""
    if isinstance(found, dict) and isinstance(written, dict):
        keys = {key for one in (found, written) for key, value in one.items() if value is not None}
        return all(_same(found.get(key), written.get(key)) for key in keys)
    if isinstance(found, list) and isinstance(written, list):
        return len(found) == len(written) and all(map(_same, found, written))
    if isinstance(found, float) and isinstance(written, float) and math.isnan(found):
        return math.isnan(written)
    if isinstance(found, bool) != isinstance(written, bool):
        return False
    return bool(found == written)
