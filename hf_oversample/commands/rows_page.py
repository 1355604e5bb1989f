"""A finished run's rows as one HTML file that needs no other: to look at, and to accept or reject.

Everything is in the file, and its policy makes a browser refuse whatever is not. Texts are data
that the script puts on the page as text, never as markup.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from hf_oversample.commands.outcome import SHOWN
from hf_oversample.commands.rows_view import KINDS, RowsView
from hf_oversample.comparison.findings import TITLES
from hf_oversample.comparison.page import page_style
from hf_oversample.data.whole_files import whole

WORDS = {
    "majority": "other classes",
    "rare": "rare",
    "difficult": "rare, outvoted by neighbours",
    "made": "made",
    "repeated": "repeated",
}


def write_rows_page(view: RowsView, record: Mapping[str, Any], path: str | Path) -> Path:
    """
    Write the page of a run's rows.

    Args:
        view: the rows.
        record: the run's, for counts, rejections and metrics.
        path: the HTML file; its folder must exist.
    """
    script = _file("rows.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = Environment(
        loader=PackageLoader("hf_oversample.commands"),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    counts, data = record["counts"], record["data"]
    made = sum(row.kind == "made" for row in view.rows)
    text = environment.get_template("rows.html").render(
        name=data["name"],
        style=page_style() + _file("rows.css"),
        script=script,
        script_digest=digest,
        data=_as_json(view, record),
        facts=f"{sum(counts['origin'].values()):,} training rows: "
        + ", ".join(f"{rows:,} {name}" for name, rows in counts["origin"].items())
        + f". Made by {record['arguments'].get('method', 'miso')}, hf_oversample "
        + f"{record['versions']['hf_oversample']}, seed {record['seed']}.",
        counts=[(c, counts["before"].get(c, 0), after) for c, after in counts["after"].items()],
        rejections=list(record["rejections"].items()),
        made_texts=record.get("made_texts"),
        metrics=_metrics(record["metrics"]),
        screen=[
            (name, "too few rows" if one["auc"] is None else f"{one['auc']:.2f}")
            for name, one in ((record.get("screen") or {}).get("classes") or {}).items()
        ],
        kinds=[
            (kind, WORDS[kind], sum(row.kind == kind for row in view.rows))
            for kind in KINDS
            if any(row.kind == kind for row in view.rows)
        ],
        made=made,
        copies=sum(row.is_copy for row in view.rows),
        left_out=view.left_out,
        measured_by=view.measured_by,
        axes=view.axes,
    )
    with whole(Path(path)) as scratch:
        scratch.write_text(text, encoding="utf-8")
    return Path(path)


def _file(name: str) -> str:
    return resources.files("hf_oversample.commands").joinpath("templates", name).read_text("utf-8")


def _as_json(view: RowsView, record: Mapping[str, Any]) -> str:
    """The rows for the script. `<` is written as its code: no text can end the element that holds
    it."""
    rows = [asdict(row) for row in view.rows]
    data = {"name": record["data"]["name"], "rows": rows, "words": WORDS}
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _metrics(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    columns = [name for name in SHOWN if any(name in row for row in metrics.values())]
    rows = [
        (remedy, [f"{100 * row[one]:.1f}" if one in row else "–" for one in columns])
        for remedy, row in metrics.items()
    ]
    return {"columns": [TITLES.get(one, one) for one in columns], "rows": rows}
