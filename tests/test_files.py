"""Files as users have them: read as they are written, or refused with the place and the reason."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hf_oversample.data.files import FILE_SUFFIXES, read_file
from hf_oversample.data.reading import load_text_dataset, prepare_labels

Cells = list[list[str]]
LOOKING_LIKE_OTHER_TYPES = [
    *("001", "1", "01", "1.0", "2.50", "1e5", "True", "true", "FALSE", "NA", "null", "nan", ""),
    *("2020-01-01", "inf", "-", " ham ", "'", '"', '""', "a,b", "a\tb", "a\nb", "a\r\nb", "\0"),
    *("\ufeff", "\u2028", "é", "热水器", "😀", "\\n", "{}", "[1]"),
]
# Every character but half ones, which files in UTF-8 cannot hold.
cells = st.sampled_from(LOOKING_LIKE_OTHER_TYPES) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=12
)
tables = st.lists(st.lists(cells, min_size=2, max_size=2), min_size=1, max_size=8)


def write(path: Path, content: str | bytes, encoding: str = "utf-8") -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


def as_delimited(rows: Cells, delimiter: str, end: str) -> bytes:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([["text", "label"], *rows])
    return buffer.getvalue().encode()


def as_lines(rows: Cells) -> bytes:
    lines = [json.dumps(dict(zip(("text", "label"), row, strict=True))) for row in rows]
    return "\n".join(lines).encode()


def as_parquet(rows: Cells) -> bytes:
    table = pa.table({"text": [row[0] for row in rows], "label": [row[1] for row in rows]})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue().to_pybytes()


WRITERS: dict[str, Callable[[Cells], bytes]] = {
    "rows.csv": lambda rows: as_delimited(rows, ",", "\n"),
    "crlf.csv": lambda rows: b"\xef\xbb\xbf" + as_delimited(rows, ",", "\r\n"),
    "rows.tsv": lambda rows: as_delimited(rows, "\t", "\n"),
    "rows.TSV.gz": lambda rows: gzip.compress(as_delimited(rows, "\t", "\n"), mtime=0),
    "rows.csv.gz": lambda rows: gzip.compress(as_delimited(rows, ",", "\n"), mtime=0),
    "rows.jsonl": as_lines,
    "rows.jsonl.gz": lambda rows: gzip.compress(as_lines(rows), mtime=0),
    "rows.json": lambda rows: b"[" + as_lines(rows).replace(b"\n", b",\n") + b"]",
    "rows.json.gz": lambda rows: gzip.compress(as_lines(rows), mtime=0),
    "rows.parquet": as_parquet,
}


def read_back(path: Path) -> Cells:
    read = read_file(path)
    assert all(feature.dtype == "string" for feature in read.features.values())
    return [[row["text"], row["label"]] for row in read]


def refusal(path: Path) -> str | None:
    """What is said where a file cannot be read, as the user's mistake; None where it can."""
    try:
        read_file(path)
    except ValueError as error:
        return str(error)
    return None


def expected(name: str, rows: Cells) -> list[list[str | None]]:
    """The same strings; in delimited files a cell without a character is null."""
    is_delimited = "csv" in name or "tsv" in name.lower()
    return [[None if is_delimited and not cell else cell for cell in row] for row in rows]


@pytest.mark.parametrize("name", WRITERS)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(rows=tables)
def test_cells_come_back_as_they_were_written(name: str, rows: Cells, tmp_path: Path) -> None:
    path = write(tmp_path / name, WRITERS[name](rows))
    if sum(cell.count("\0") for row in rows for cell in row) > 4 and "parquet" not in name:
        # many of them are what UTF-16 read as UTF-8 looks like
        said = refusal(path)
        assert said is None or f"{path}, line 1: a large part of the characters are NUL" in said
        if said is not None:
            return
    assert read_back(path) == expected(name, rows)


@pytest.mark.parametrize("suffix", FILE_SUFFIXES)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    content=st.binary(max_size=60)
    | st.text(max_size=40).map(lambda t: t.encode("utf-8", "surrogatepass"))
)
def test_any_bytes_are_a_table_or_an_error_with_the_files_name(
    suffix: str, content: bytes, tmp_path: Path
) -> None:
    path = tmp_path / f"any{suffix}"
    packed = suffix.endswith(".gz") and not content.startswith(b"\0")
    path.write_bytes(gzip.compress(content, mtime=0) if packed else content)
    said = refusal(path)
    assert said is None or (str(path) in said and "\n" not in said)


@pytest.mark.parametrize("name", WRITERS)
def test_types_are_not_guessed_from_the_first_rows(name: str, tmp_path: Path) -> None:
    late = ["0012", "True", "1.0", "text", "2.50"]
    rows = [[str(row), "true" if row % 9 == 0 else "01"] for row in range(12_000)]
    rows += [[cell, cell] for cell in late]
    path = write(tmp_path / name, WRITERS[name](rows))
    assert read_back(path) == rows


def test_classes_are_those_that_are_written(tmp_path: Path) -> None:
    labels = ["Unsure" if i % 50 == 0 and i < 10_000 else str(i % 9 == 0) for i in range(12_000)]
    lines = "".join(f"t{i},{label}\n" for i, label in enumerate(labels))
    rows = load_text_dataset(train_file=write(tmp_path / "x.csv", "text,label\n" + lines))
    assert prepare_labels(rows).features["label"].names == ["False", "True", "Unsure"]


def test_labels_that_are_one_number_stay_different_classes(tmp_path: Path) -> None:
    written = ["001", "1", "01", "1.0", "True", "true"]
    lines = "".join(f"t,{label}\n" for label in written)
    rows = load_text_dataset(train_file=write(tmp_path / "x.csv", "text,label\n" + lines))
    assert prepare_labels(rows).features["label"].names == sorted(written)


WRONG: list[tuple[str, str | bytes, str]] = [
    # ---- rows of another width than the header's
    (
        "a.csv",
        "text,label\nhello, there,ham\n",
        "line 2: the row has 3 fields, and the header has 2 "
        "(text, label). The row begins 'hello, there,ham'. Put quotation marks around a cell that "
        "holds a comma",
    ),
    ("a.csv", 'text,label\n"a\nb",ham\n\nc,d\nhello, you,ham\n', "line 6: the row has 3 fields"),
    ("a.csv", "text,label\r\na,b\r\nc\r\n", "line 3: the row has 1 field, and the header has 2"),
    ("a.csv", "text,label\nhello,ham,\n", "Take away the commas at the row's end"),
    ("a.tsv", "text\tlabel\na\tb\tc\n", "line 2: the row has 3 fields"),
    # ---- quotation marks
    (
        "a.csv",
        'text,label\nx,ham\n"a\nb",ham\n"hello,ham\nfoo,spam\n',
        "line 5: a quotation mark opens here and is not closed before the file ends (line 6)",
    ),
    ("a.csv", 'text,label\n"a ""b"" c","hello\nfoo\n', "line 2: a quotation mark opens here"),
    (
        "a.csv",
        'text,label\n"hello,ham\nfoo,"spam"\n',
        "line 3: after the quotation mark that closes a cell (opened on line 2) there is neither",
    ),
    # ---- nothing, or a header that cannot be used
    ("a.csv", "", "is empty: it has no byte"),
    ("a.csv", "\ufeff\n\n", "is empty: it holds white space only"),
    ("a.csv", "text,label\n", "has a header (text, label) and no rows under it"),
    ("a.csv", "text,text\na,b\n", "line 1: the header names 'text' 2 times"),
    ("a.csv", "text;label\na;b\n", "line 1: the header is the one cell 'text;label'"),
    ("a.csv", "te\0xt,label\na,b\n", "line 1: the header's name 'te\\x00xt' holds a NUL"),
    # ---- other files under the name
    ("a.csv", gzip.compress(b"text,label\n", mtime=0), "is packed by gzip: add .gz to its name"),
    ("a.csv", b"PK\x03\x04abc", "is a zip archive, as Excel's files are"),
    ("a.jsonl", b"PAR1abc", "is a parquet file: name it .parquet"),
    ("a.csv.gz", b"text,label\na,b\n", "is not a whole file of gzip"),
    (
        "a.csv.gz",
        gzip.compress(b"text,label\na,b\n" * 99, mtime=0)[:-9],
        "is not a whole file of gzip",
    ),
    ("a.parquet", b"text,label\na,b\n", "is not a whole parquet file"),
    ("a.parquet", as_parquet([["a", "b"]])[:-20], "is not a whole parquet file"),
    # ---- JSON
    ("a.jsonl", '{"text": "a"}\n{"text": \n', "line 2, column 10: this is no JSON"),
    ("a.jsonl", '{"text": "a"}\n["b"]\n', "line 2: this is an array, not an object: '[\"b\"]'"),
    ("a.jsonl", '{"text": "a"}\n"b"\n', "line 2: this is a string, not an object"),
    (
        "a.jsonl",
        '{"text": "a"}\n\n{"text": "b \\ud83d"}',
        "line 3: 'text' holds \"b \\ud83d\": half",
    ),
    (
        "a.jsonl",
        '{"label": 1}\n{"label": "1"}',
        "'label' is a number in line 1 (1) and a string in line 2 (\"1\")",
    ),
    ("a.jsonl", '{"label": "true"}\n{"label": true}', "and true or false in line 2 (true)"),
    ("a.jsonl", '{"label": true}\n{"label": 1}', "true or false in line 1 (true) and a number"),
    ("a.jsonl", '{"a": 1, "a": 2}', "line 1: the key 'a' is there 2 times"),
    ("a.jsonl", '{"a": 1}\n{"a": 1' + "0" * 30 + "}", "line 2: 'a' holds 1000"),
    ("a.jsonl", '{"a": {"b": 1}}\n{"a": {"b": "x"}}', "the values of 'a' do not make one column"),
    ("a.jsonl", "{}\n{}", "has no columns"),
    ("a.json", '[{"a": 1},\n{"a": }]', "line 2, column 7: this is no JSON"),
    ("a.json", '[{"a": 1}, 2]', "row 1: this is a number, not an object: '2'"),
    ("a.json", "[]", "has no rows"),
    ("a.json", '{"a": [1], "b": [1, 2]}', "its columns are not of one length: 'a' 1, 'b' 2"),
    ("a.json", "[" * 100_000, "nested too deeply"),
    ("a.jsonl", "[" * 100_000, "line 1: it is nested too deeply"),
]


@pytest.mark.parametrize(("name", "content", "message"), WRONG)
def test_what_cannot_be_read_is_told_with_its_place(
    name: str, content: str | bytes, message: str, tmp_path: Path
) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(ValueError, match=re.escape(message)) as raised:
        read_file(path)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


def test_a_late_string_among_numbers_is_told_with_both_lines(tmp_path: Path) -> None:
    lines = [json.dumps({"text": "a", "label": 1})] * 12_000 + ['{"text": 5, "label": "x"}']
    path = write(tmp_path / "late.jsonl", "\n".join(lines))
    with pytest.raises(ValueError, match=r"'text' is a string in line 1 .* a number in line 12001"):
        read_file(path)


def test_a_cell_of_any_length_and_mixed_line_ends(tmp_path: Path) -> None:
    long = "word " * 40_000  # more than Python's reader takes by itself
    path = write(tmp_path / "a.csv", f'text,label\r\n"{long}",a\n\n"b\rc",b\rd,c')
    assert read_back(path) == [[long, "a"], ["b\rc", "b"], ["d", "c"]]
    with pytest.raises(csv.Error, match="field larger"):  # other users of the module keep its limit
        list(csv.reader([long]))


def test_columns_without_a_name_are_called_after_their_place(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ",text,label\n0,a,b\n")
    assert read_file(path).to_dict() == {"column 1": ["0"], "text": ["a"], "label": ["b"]}


def test_json_of_columns_and_missing_keys(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", '{"text": ["a", "b"], "n": [1, 2.5]}')
    assert read_file(path).to_dict() == {"text": ["a", "b"], "n": [1.0, 2.5]}
    path = write(tmp_path / "a.jsonl", '{"text": "a"}\n{"text": null, "label": "b"}\n')
    assert read_file(path).to_dict() == {"text": ["a", None], "label": [None, "b"]}


CHINESE = "text,label\n这个酒店很好,好评\n房间太小了,差评\n"
ENCODED = [
    # encoding, content, line and column of the first foreign byte, the hint
    ("latin-1", "text,label\nhello,a\nun café noir,ham\n", "line 3, column 7", "cp1252"),
    ("cp1252", "text,label\nit’s “nice”,ham\n", "line 2, column 3", "cp1252"),
    ("gbk", CHINESE, "line 2, column 1", "gb18030"),
    ("gb18030", CHINESE[:20], "line 2, column 1", "gb18030"),
    ("cp1251", "text,label\nэто очень хороший отель,да\n", "line 2, column 1", "cp1251"),
    ("utf-16", CHINESE, "line 1, column 1", "utf-16"),
    ("utf-16", "text,label\nhello,ham\n", "line 1, column 1", "utf-16"),
    ("utf-16-le", "text,label\nhello,ham\n", "line 1", "utf-16-le"),
    ("utf-16-be", "text,label\nhello,ham\n", "line 1", "utf-16-be"),
]


@pytest.mark.parametrize(("encoding", "content", "place", "hint"), ENCODED)
@pytest.mark.parametrize("suffix", ["csv", "csv.gz"])
def test_other_encodings_are_told_and_read(
    encoding: str, content: str, place: str, hint: str, suffix: str, tmp_path: Path
) -> None:
    data = content.encode(encoding)
    path = write(tmp_path / f"a.{suffix}", gzip.compress(data, mtime=0) if "gz" in suffix else data)
    with pytest.raises(ValueError, match=f"{re.escape(str(path))}, {place}") as raised:
        read_file(path)
    assert f"--encoding {hint}," in str(raised.value)
    first, *_ = content.splitlines()[1:]
    for name in (encoding, hint):
        assert read_file(path, name)[0]["text"] == first.split(",")[0]


def test_latin_jsonl_fails_at_reading_with_its_line(tmp_path: Path) -> None:
    content = '{"text": "ok", "label": "a"}\n{"text": "café", "label": "b"}\n'
    path = write(tmp_path / "a.jsonl", content, "latin-1")
    with pytest.raises(
        ValueError, match=r"a\.jsonl, line 2, column 14 \(byte 43 of the file\): 0xE9"
    ):
        read_file(path)
    assert read_file(path, "latin-1")["text"][:] == ["ok", "café"]


def test_one_line_of_another_encoding_is_no_reason_to_change_the_files(tmp_path: Path) -> None:
    data = "text,label\nçé,a\nèé,b\n".encode() + "é,c\n".encode("latin-1")
    with pytest.raises(ValueError, match=r"line 4.*2 other lines are in UTF-8") as raised:
        read_file(write(tmp_path / "a.csv", data))
    assert "--encoding" not in str(raised.value)


def test_wrong_encodings_are_refused_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,label\né,Ж\n")
    with pytest.raises(ValueError, match=r"line 2, column 1 .* 0xC3 is no ASCII.*--encoding utf-8"):
        read_file(path, "ascii")
    for name in ("nonesuch", "rot13"):
        with pytest.raises(ValueError, match=f"encoding '{name}'.*Give one that Python knows"):
            read_file(path, name)
    with pytest.raises(ValueError, match="half a character"):
        read_file(write(tmp_path / "b.csv", "a,b\n\\ud800,c\n"), "unicode_escape")
    with pytest.raises(ValueError, match=r"encoding is 'utf-8', and .* is a parquet file"):
        read_file(write(tmp_path / "a.parquet", as_parquet([["a", "b"]])), "utf-8")
    with pytest.raises(ValueError, match="goes with train_file"):
        load_text_dataset(dataset_name="x", encoding="utf-8")


def parquet(folder: Path, columns: Any, names: list[str] | None = None) -> Path:
    pq.write_table(pa.table(columns, names=names), folder / "a.parquet")
    return folder / "a.parquet"


def test_parquet_of_other_layouts(tmp_path: Path) -> None:
    folder = tmp_path / "label=3"  # no column, though some readers take it for one
    folder.mkdir()
    texts = ["a", None, "c"]
    columns = {
        "dictionary": pa.array(texts).dictionary_encode(),
        "large": pa.array(texts, pa.large_string()),
    }
    if int(pa.__version__.split(".")[0]) >= 21:  # the first that writes them
        columns["view"] = pa.array(texts, pa.string_view())
    read = read_file(parquet(folder, columns))
    assert read.to_dict() == dict.fromkeys(columns, texts)
    assert prepare_labels(read.select([0, 2]), "dictionary")["dictionary"][:] == [0, 1]


def test_parquet_that_cannot_be_a_data_set(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has two columns 'a'"):
        read_file(parquet(tmp_path, [pa.array([1]), pa.array([2])], ["a", "a"]))
    maps = pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64()))
    with pytest.raises(ValueError, match=r"a\.parquet has a column of a type.*'m' map<"):
        read_file(parquet(tmp_path, {"m": maps}))
    with pytest.raises(ValueError, match=r"a\.parquet has no rows: \['a'\]"):
        read_file(parquet(tmp_path, {"a": pa.array([], pa.string())}))
    raw = pa.array([b"ok", None, b"caf\xe9"])
    claimed = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
    with pytest.raises(ValueError, match=r"column 'a', row 2, byte 4 of the text: 0xE9"):
        read_file(parquet(tmp_path, {"a": claimed}))
    with pytest.raises(ValueError, match="of type double, which names no classes"):
        prepare_labels(read_file(parquet(tmp_path, {"label": [0.5, 1.0]})))


def test_names_of_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'\.xlsx', and this can read only \.csv, \.tsv"):
        read_file("x.xlsx")
    with pytest.raises(ValueError, match=r"'a\.txt\.gz' ends in"):
        read_file("a.txt.gz")
    with pytest.raises(FileNotFoundError, match=r"nothing\.csv is not a file"):
        read_file(tmp_path / "nothing.csv")


@pytest.mark.parametrize("rows", [["hello, there,ham"] * 5, ["hello, there,ham", "you,ham"]])
def test_a_comma_that_is_not_quoted_in_a_named_data_set(rows: list[str], tmp_path: Path) -> None:
    """pandas takes a row's first field for the row's name where there is one too many."""
    (tmp_path / "train.csv").write_text("\n".join(["text,label", *rows]))
    said = r"rows of more fields than the header's \(text, label\): put quotation marks"
    with pytest.raises(ValueError, match=said):
        load_text_dataset(dataset_name=str(tmp_path))


def test_csv_files_of_a_named_data_set_are_strings_too(tmp_path: Path) -> None:
    """Of a folder, or of the Hub: `datasets` guesses types by chunks of 10,000 rows."""
    folder = tmp_path / "data"
    folder.mkdir()
    labels = ["001", "1", "True", "NA", "1.0"]
    rows = [(f"{i:04}" if i < 11_000 else "late", labels[i % 5]) for i in range(12_000)]
    with (folder / "train.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows, ("", "1")])
    found = load_text_dataset(dataset_name=str(folder))
    assert found["text"][:] == [*(text for text, _ in rows), None]
    assert found["label"][:] == [*(label for _, label in rows), "1"]


@pytest.mark.parametrize(
    "content",
    [b"", "text,label\nun caf\u00e9,a\n".encode("latin-1"), b'text,label\n"left open,a\nb,c\n'],
    ids=["empty", "latin-1", "open quote"],
)
def test_a_named_data_set_that_cannot_be_read_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"cannot be read: .* train_file, which names the line"):
        load_text_dataset(dataset_name=str(tmp_path))


@pytest.mark.parametrize(
    ("name", "content", "encoding", "message"),
    [
        ("rows.json", b"[" + b"9" * 5000 + b"]", None, "Exceeds the limit"),
        ("rows.jsonl", b'{"a\\ud83d": 1}', None, r'the key "a\\ud83d" holds half a character'),
        ("rows.json", b'{"\\ud83d": [1]}', None, r'the key "\\ud83d" holds half a character'),
        ("rows.csv", b"text\n\xffa.b\n", "idna", "line 2"),
    ],
)
def test_what_fuzzing_found(
    name: str, content: bytes, encoding: str | None, message: str, tmp_path: Path
) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(ValueError, match=message) as raised:
        read_file(path, encoding)
    assert type(raised.value) is ValueError
    assert str(path) in str(raised.value)
