"""The page of a run's rows: what is on it, how decisions are applied, how it works in a browser."""

from __future__ import annotations

import csv
import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value, load_from_disk

import chromium
from hf_oversample.commands.main import main
from hf_oversample.commands.rows_page import write_rows_page
from hf_oversample.commands.rows_view import RowsView, view_rows
from test_hub import RUN

HOSTILE = "</script><script>document.title='broken'</script><b>free</b> & 'win'"
HAM = [f"see you at {place} tonight {n}" for n in range(10) for place in ("home", "work")]
SPAM = [f"win a free {what} now call {n}" for n in range(3) for what in ("prize", "phone")]
MADE = [
    ("win a free holiday now call me", 20),
    ("win a free prize now call 0", 20),  # a copy of its parent
    (HOSTILE, 21),
    ("claim your free phone now", 7),
]


def balanced() -> Dataset:
    texts = [*HAM, *SPAM, *(text for text, _ in MADE), SPAM[2]]
    features = Features(
        {
            "text": Value("string"),
            "label": ClassLabel(names=["ham", "sp<i>am"]),
            "origin": ClassLabel(names=["real", "synthetic", "resampled"]),
            "parent": Value("int64"),
        }
    )
    columns = {
        "text": texts,
        "label": [0] * len(HAM) + [1] * (len(texts) - len(HAM)),
        "origin": [0] * (len(HAM) + len(SPAM)) + [1] * len(MADE) + [2],
        "parent": [-1] * (len(HAM) + len(SPAM)) + [parent for _, parent in MADE] + [22],
    }
    return Dataset.from_dict(columns, features=features)


def record() -> dict[str, Any]:
    values = json.loads(json.dumps(RUN))
    values["arguments"] |= {"method": "miso", "training": {}}
    values["data"] |= {"classes": {"ham": 20, "sp<i>am": 6}, "splits": {"train": 31}}
    values["counts"] = {
        "before": {"ham": 20, "sp<i>am": 6},
        "after": {"ham": 20, "sp<i>am": 11},
        "origin": {"real": 26, "synthetic": 4, "resampled": 1},
    }
    values["metrics"] = {"nothing": {"f1": 0.5}, "anchors": {"f1": 0.75}}
    return dict(values)


@pytest.fixture(scope="module")
def view() -> RowsView:
    rows = balanced()
    return view_rows(
        rows["text"][:],
        [rows.features["label"].names[code] for code in rows["label"][:]],
        [rows.features["origin"].names[code] for code in rows["origin"][:]],
        rows["parent"][:],
        language="en",
    )


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    DatasetDict({"train": balanced()}).save_to_disk(folder / "balanced")
    balanced().to_parquet(str(folder / "balanced" / "train.parquet"))
    (folder / "run.json").write_text(json.dumps(record()), encoding="utf-8")
    return folder


# ---- what is measured


def test_rows_have_their_kind_parent_neighbours_and_nearest_copy(view: RowsView) -> None:
    by_row = {one.row: one for one in view.rows}
    assert len(by_row) == 31
    assert {by_row[row].kind for row in range(20)} == {"majority"}
    assert {by_row[row].kind for row in range(20, 26)} <= {"rare", "difficult"}
    assert [by_row[row].kind for row in range(26, 31)] == ["made"] * 4 + ["repeated"]
    copy = by_row[27]
    assert (copy.parent, copy.copy, copy.copy_share, copy.is_copy) == (20, 20, 1.0, True)
    assert copy.neighbors[0] == 20
    assert not by_row[26].is_copy
    assert 0 < by_row[26].copy_share < 1
    assert all(row < 26 for one in view.rows for row in one.neighbors)  # real rows alone
    assert "words" in view.measured_by


def test_few_majority_rows_are_drawn_and_none_that_a_made_row_needs() -> None:
    rows = balanced()
    arguments = (rows["text"][:], list(map(str, rows["label"][:])))
    origins = [rows.features["origin"].names[code] for code in rows["origin"][:]]
    few = view_rows(*arguments, origins, rows["parent"][:], language="en", real_rows=2)
    shown = {one.row for one in few.rows}
    assert few.left_out == 31 - len(shown) > 0
    fewer = view_rows(*arguments, origins, rows["parent"][:], language="en", new_rows=2)
    assert sum(one.kind in ("made", "repeated") for one in fewer.rows) == 2
    for seen in (few, fewer):
        there = {one.row for one in seen.rows}
        for one in seen.rows:
            assert {one.parent, one.copy, *one.neighbors} - {-1} <= there


def test_what_cannot_be_drawn_is_told() -> None:
    with pytest.raises(ValueError, match="2 real rows of 1 classes"):
        view_rows(["a", "b"], ["x", "x"], ["real"] * 2, [-1, -1], language="en")
    rows = balanced()
    if not _has_umap():
        with pytest.raises(ImportError, match="pip install umap-learn"):
            view_rows(
                rows["text"][:],
                list(map(str, rows["label"][:])),
                ["real"] * 31,
                [-1] * 31,
                language="en",
                projection="umap",
            )


def _has_umap() -> bool:
    import importlib.util

    return importlib.util.find_spec("umap") is not None


def test_texts_are_data_and_never_markup(view: RowsView, tmp_path: Path) -> None:
    text = write_rows_page(view, record(), tmp_path / "rows.html").read_text(encoding="utf-8")
    assert text.count("<script") == 2  # the data, and the page's own
    assert "sp&lt;i&gt;am" in text
    assert "sp<i>am" not in text
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    assert "<" not in data
    rows = {one["row"]: one["text"] for one in json.loads(data)["rows"]}
    assert rows[28] == HOSTILE
    assert "http" not in re.sub(r"http-equiv", "", text.replace(html.escape(HOSTILE), ""))


# ---- decisions


def decide(path: Path, *decisions: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in decisions), encoding="utf-8")
    return path


def test_rejected_rows_are_left_out(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = decide(
        tmp_path / "decisions.jsonl",
        {"row": 27, "decision": "reject", "text": MADE[1][0]},
        {"row": 28, "decision": "reject", "text": HOSTILE},
        {"row": 26, "decision": "accept", "text": MADE[0][0]},
    )
    assert main(["report", str(run_folder), "--decisions", str(listed)]) == 0
    assert "1 rows accepted, 2 rejected" in capsys.readouterr().out
    left = load_from_disk(str(run_folder / "reviewed"))["train"]
    everything = balanced()["text"][:]
    assert left["text"][:] == [everything[row] for row in range(31) if row not in (27, 28)]
    # parents are rows of the same part still
    for row in left:
        if row["parent"] >= 0:
            assert left[row["parent"]]["origin"] == 0
    card = (run_folder / "reviewed" / "README.md").read_text(encoding="utf-8")
    assert "1 made rows were accepted by a person and 2 rejected" in card
    assert "| synthetic | 2 |" in card
    assert (run_folder / "reviewed" / "croissant.json").is_file()
    assert (run_folder / "reviewed" / "train.parquet").is_file()
    assert (run_folder / "rows.html").is_file()
    assert len(load_from_disk(str(run_folder / "balanced"))["train"]) == 31  # as it was


def test_a_csv_list_does_the_same(run_folder: Path, tmp_path: Path) -> None:
    with (tmp_path / "decisions.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["row", "decision", "text"], [28, "reject", HOSTILE]])
    assert main(["report", str(run_folder), "--decisions", str(tmp_path / "decisions.csv")]) == 0
    assert HOSTILE not in load_from_disk(str(run_folder / "reviewed"))["train"]["text"][:]


@pytest.mark.parametrize(
    ("decisions", "message"),
    [
        ([{"row": 99, "decision": "reject"}], "has 31 rows: the list is of another run"),
        ([{"row": 3, "decision": "reject"}], "is a real one"),
        ([{"row": 27, "decision": "reject", "text": "x"}], "says that row 27 is 'x'"),
        ([{"row": 27, "decision": "maybe"}], "line 1, is .* is one of accept, reject"),
        ([{"decision": "reject"}], "line 1, is .* whole number"),
        (
            [{"row": 27, "decision": "reject"}, {"row": 27, "decision": "accept"}],
            "decide otherwise about row 27",
        ),
    ],
)
def test_a_list_that_does_not_fit_changes_nothing(
    run_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    decisions: list[dict[str, Any]],
    message: str,
) -> None:
    listed = decide(tmp_path / "list.jsonl", *decisions)
    assert main(["report", str(run_folder), "--decisions", str(listed)]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (run_folder / "reviewed").exists()


# ---- in a browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Browser]:
    path = chromium.installed()
    assert path is not None
    with chromium.running(path, tmp_path_factory.mktemp("browser")) as started:
        yield started


KEY = """((where, key) => document.querySelector(where).dispatchEvent(
  new KeyboardEvent('keydown', {{ key, bubbles: true, cancelable: true }})))({where!r}, {key!r})"""


@pytest.mark.slow
@pytest.mark.skipif(chromium.installed() is None, reason=chromium.MISSING)
def test_it_works_in_a_browser_by_keyboard(
    browser: chromium.Browser, view: RowsView, tmp_path: Path
) -> None:
    file = write_rows_page(view, record(), tmp_path / "rows.html")
    page = browser.open(file, width=1280)
    assert page.complaints == []
    assert page.requests == [file.resolve().as_uri()]
    assert page.evaluate("document.title") != "broken"
    assert page.evaluate("document.querySelectorAll('#list tr').length") == 4
    assert "<b>free</b>" in page.evaluate("document.querySelector('#list').innerText")
    assert page.evaluate("document.querySelectorAll('#list b').length") == 0

    # something is drawn, and less of it where a kind is hidden
    drawn = "(() => {const c = document.getElementById('map'); return c.getContext('2d')\
.getImageData(0, 0, c.width, c.height).data.filter((v, i) => i % 4 == 3 && v).length})()"
    everything = page.evaluate(drawn)
    page.evaluate("document.querySelector('[data-kind=majority]').click()")
    assert 0 < page.evaluate(drawn) < everything

    # focus tells parent, neighbours and nearest copy
    page.evaluate("document.querySelectorAll('#list tr')[1].focus()")
    told = page.evaluate("document.getElementById('detail').innerText")
    for part in ("Row 27: made", "Parent, row 20", "100 % of their words", "Nearest real rows"):
        assert part.lower() in told.lower(), told
    assert "counts as a copy" in told

    # by keys alone: reject this one, go on, accept, take back, reject
    for where, key in (
        ("#list tr.chosen", "r"),
        ("#list tr.chosen", "ArrowDown"),
        ("#list tr.chosen", "a"),
        ("#list tr.chosen", "u"),
        ("#list tr.chosen", "R"),
        ("#map", "ArrowRight"),
    ):
        page.evaluate(KEY.format(where=where, key=key))
    assert "Row 29" in page.evaluate("document.getElementById('detail').innerText")
    status = page.evaluate("document.getElementById('status').innerText")
    assert status == "0 accepted, 2 rejected, 2 undecided"
    pressed = "[...document.querySelectorAll('[aria-pressed=true]')].map(b => b.ariaLabel)"
    assert page.evaluate(pressed) == ["Reject row 27", "Reject row 28"]

    # what is downloaded is what `--decisions` reads
    listed = [json.loads(line) for line in page.evaluate("asJsonl()").splitlines()]
    assert [(one["row"], one["decision"]) for one in listed] == [(27, "reject"), (28, "reject")]
    assert listed[1]["text"] == HOSTILE
    read = list(csv.DictReader(page.evaluate("asCsv()").splitlines()))
    assert read[1]["text"] == HOSTILE

    # search and filter
    page.evaluate(
        "(() => {const s = document.getElementById('search'); s.value = 'holiday';"
        "s.dispatchEvent(new Event('input'))})()"
    )
    assert page.evaluate("document.getElementById('page').innerText").startswith("1 rows")


@pytest.mark.slow
@pytest.mark.skipif(chromium.installed() is None, reason=chromium.MISSING)
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (375, True)])
def test_nothing_is_cut_off(
    browser: chromium.Browser, view: RowsView, tmp_path: Path, width: int, dark: bool
) -> None:
    page = browser.open(
        write_rows_page(view, record(), tmp_path / "rows.html"), width=width, dark=dark
    )
    assert page.complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    unnamed = (
        "[...document.querySelectorAll('button, input, select, canvas')].filter(e => "
        "!(e.ariaLabel || e.innerText || e.labels?.length)).length"
    )
    assert page.evaluate(unnamed) == 0
    assert np.isclose(page.evaluate("document.getElementById('map').clientWidth"), width, atol=420)
