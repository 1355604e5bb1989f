"""A Space: paste or upload rows, see the difficult ones, make anchors, accept or reject each.

    python hub_cards/space/app.py

The generators to choose from are named in the environment variable GENERATORS, comma-separated:
names on the Hub, or folders. Everything that a button does is a tool of the app's MCP server too.
"""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from datasets import Dataset

from hf_oversample import MisoOversampler
from hf_oversample.commands.errors import known_error
from hf_oversample.comparison.embedders import LatentSemanticEmbedder
from hf_oversample.hub.rendering import repository_name
from hf_oversample.neighbors.difficult import difficult_samples
from hf_oversample.text.words import Segmenter, guess_language

GENERATORS = [one for one in os.environ.get("GENERATORS", "").split(",") if one]
MAX_ROWS, MAX_MADE, NEIGHBORS = 5000, 50, 5
EXAMPLE = """label,text
ham,See you at home tonight
ham,Are you coming to dinner tomorrow?
ham,"Ok, I will call you later"
ham,Thanks for the lift to work
ham,The meeting is at noon
spam,Win a free prize! Call now
spam,Urgent: claim your free phone now
"""


def read_rows(text: str) -> list[dict[str, str]]:
    """
    Rows of a csv text with the columns `text` and `label`.

    Args:
        text: csv with a head line.

    Returns:
        the rows, in their order, each with `text` and `label`.
    """
    reader = csv.DictReader(io.StringIO(text.strip()))
    missing = [name for name in ("text", "label") if name not in (reader.fieldnames or ())]
    if missing:
        raise gr.Error(
            f"There is no column {' or '.join(missing)}; the first line names "
            f"{reader.fieldnames or 'nothing'}. It must name text and label."
        )
    return _checked(
        [{name: (row[name] or "").strip() for name in ("text", "label")} for row in reader],
        first_line=2,
    )


def _checked(rows: list[dict[str, str]], *, first_line: int = 0) -> list[dict[str, str]]:
    """Rows that every step can work with; a tool is called with whatever its caller has."""
    if len(rows) > MAX_ROWS:
        raise gr.Error(f"{len(rows)} rows are too many for this app, which takes {MAX_ROWS}.")
    for number, one in enumerate(rows, start=first_line):
        if not all(isinstance(one.get(name), str) and one[name] for name in ("text", "label")):
            where = f"Line {number}" if first_line else f"Row {number}"
            raise gr.Error(f"{where} has no text or no label.")
    if len({one["label"] for one in rows}) < 2 or len(rows) < 3:
        raise gr.Error("Give at least three rows, of two classes.")
    return rows


def _checked_class(rows: list[dict[str, str]], rare: str) -> None:
    names = sorted({one["label"] for one in _checked(rows)})
    if rare not in names:
        raise gr.Error(f"No row is of the class {rare!r}; the classes are {', '.join(names)}.")


def difficult_rows(rows: list[dict[str, str]], rare: str) -> list[list[Any]]:
    """
    Rare rows that lie among rows of other classes, the most difficult first.

    Args:
        rows: each with `text` and `label`.
        rare: the class to look at.

    Returns:
        of each its text, the weighed share of others' votes, if outvoted, the nearest other text.
    """
    _checked_class(rows, rare)
    texts = [one["text"] for one in rows]
    names = sorted({one["label"] for one in rows})
    labels = np.asarray([names.index(one["label"]) for one in rows])
    vectors = LatentSemanticEmbedder(texts, Segmenter(guess_language(texts)))(texts)
    k = min(NEIGHBORS, len(rows) - 1)
    found = difficult_samples(vectors, labels, k=k, minority=names.index(rare))
    table = []
    for place in np.argsort(-found.weighted_other_share, kind="stable").tolist():
        near = int(found.confusers[place, 0])
        table.append(
            [
                texts[int(found.rows[place])],
                round(float(found.weighted_other_share[place]), 2),
                "yes" if found.is_outvoted[place] else "no",
                texts[near] if near >= 0 else "–",
            ]
        )
    return table


def make_anchors(
    rows: list[dict[str, str]], generator: str, rare: str, number: float
) -> list[dict[str, Any]]:
    """
    New texts of a rare class, each with the row that it was made from.

    Args:
        rows: each with `text` and `label`; labels are those that the generator was trained with.
        generator: a MISO generator's name on the Hub, or its folder.
        rare: the class to write.
        number: texts to make, 50 at most.

    Returns:
        `text`, `label`, `parent` (the row's number) and `parent_text` of each.
    """
    _checked_class(rows, rare)
    if generator not in GENERATORS and repository_name(generator) is None:
        # who may call this may not look around on the machine that it runs on
        raise gr.Error("Choose a generator of the list, or name one on the Hub as user/name.")
    wanted = max(1, min(int(number), MAX_MADE))
    have = Counter(one["label"] for one in rows)[rare]
    try:
        oversampler = MisoOversampler(
            generator, sampling_strategy={rare: have + wanted}, seed=0, anchor_share=1.0
        )
        balanced = oversampler.balance(
            Dataset.from_list(rows), label_column="label", text_column="text"
        )
    except Exception as error:
        told = known_error(error)
        if told is None:
            raise
        raise gr.Error(told) from error
    return [
        {
            "text": one["text"],
            "label": one["label"],
            "parent": one["parent"],
            "parent_text": rows[one["parent"]]["text"],
        }
        for one in balanced.with_format(None)
        if one["origin"] == 1
    ]


def balanced_rows(
    rows: list[dict[str, str]], made: list[dict[str, Any]], accepted: list[int]
) -> str:
    """
    The rows with the accepted new ones, as jsonl.

    Args:
        rows: the real rows.
        made: what `make_anchors` gave.
        accepted: which of these, by their place.

    Returns:
        a line for each row, with `origin` ("real" or "synthetic") and `parent`, −1 for real rows.
    """
    outside = [place for place in accepted if not 0 <= int(place) < len(made)]
    if outside:
        raise gr.Error(f"There is no new text {outside[0]}: {len(made)} were made, counted from 0.")
    lines: list[dict[str, Any]] = [{**one, "origin": "real", "parent": -1} for one in rows]
    for place in sorted(map(int, accepted)):
        one = made[place]
        lines.append(
            {
                "text": one["text"],
                "label": one["label"],
                "origin": "synthetic",
                "parent": one["parent"],
            }
        )
    return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in lines)


def _read(pasted: str, file: str | None) -> tuple[Any, ...]:
    rows = read_rows(Path(file).read_text(encoding="utf-8-sig") if file else pasted)
    counts = Counter(one["label"] for one in rows)
    rare = min(counts, key=lambda name: counts[name])
    told = ", ".join(f"**{name}** {number}" for name, number in counts.most_common())
    return (
        rows,
        f"{len(rows)} rows: {told}. Difficult rows of *{rare}*, the most difficult first:",
        gr.Dropdown(choices=sorted(counts), value=rare),
        difficult_rows(rows, rare),
    )


def _make(rows: list[dict[str, str]], generator: str, rare: str, number: float) -> tuple[Any, ...]:
    if not rows:
        raise gr.Error("Read some rows first: paste or upload them, then press Read rows.")
    made = make_anchors(rows, generator, rare, number)
    choices = [(f"{one['text']}  ←  {one['parent_text']}", place) for place, one in enumerate(made)]
    told = (
        f"{len(made)} texts passed the gate, each beside the row that it was made from. Untick "
        "what you reject."
        if made
        else "No text passed the gate: more rows, or a generator that was trained longer, may help."
    )
    return made, told, gr.CheckboxGroup(choices=choices, value=list(range(len(made))))


def _download(
    rows: list[dict[str, str]], made: list[dict[str, Any]], accepted: list[int]
) -> tuple[str, str]:
    if not rows:
        raise gr.Error("Read some rows first.")
    path = Path(tempfile.mkdtemp(prefix="balanced_")) / "balanced.jsonl"
    path.write_text(balanced_rows(rows, made, accepted), encoding="utf-8")
    return (
        str(path),
        f"{len(rows)} real rows, {len(accepted)} accepted, {len(made) - len(accepted)} rejected.",
    )


def build() -> gr.Blocks:
    """The app, not yet started."""
    with gr.Blocks(title="More rows of a rare class") as app:
        gr.Markdown(
            "# More rows of a rare class\n"
            "Paste or upload labelled texts, look at the difficult ones, let a generator write "
            "more, and keep those that you accept. Rows stay in this app. Before you train on new "
            "rows, ask whether any help: `hf-oversample compare`."
        )
        rows, made = gr.State([]), gr.State([])
        gr.Markdown("## 1. Rows")
        with gr.Row():
            pasted = gr.Textbox(EXAMPLE, label="Rows as csv, columns text and label", lines=9)
            file = gr.File(label="Or a csv file", file_types=[".csv"], type="filepath")
        read = gr.Button("Read rows", variant="primary", elem_id="read")
        told = gr.Markdown(elem_id="told")
        table = gr.Dataframe(
            headers=["text", "votes of other classes", "outvoted", "nearest of another class"],
            label="Difficult rows",
            wrap=True,
            interactive=False,
        )
        gr.Markdown("## 2. Anchors")
        with gr.Row():
            generator = gr.Dropdown(
                GENERATORS,
                value=GENERATORS[0] if GENERATORS else None,
                label="Generator",
                info="A name on the Hub, trained on rows of the same classes",
                allow_custom_value=True,
            )
            rare = gr.Dropdown([], label="Class", allow_custom_value=True)
            number = gr.Slider(1, MAX_MADE, value=10, step=1, label="Texts to make")
        start = gr.Button("Make anchors", variant="primary", elem_id="make")
        passed = gr.Markdown(elem_id="passed")
        accepted = gr.CheckboxGroup([], label="Accepted", elem_id="accepted")
        gr.Markdown("## 3. Download")
        save = gr.Button("Write the balanced rows", elem_id="write")
        kept = gr.Markdown(elem_id="kept")
        result = gr.File(label="Balanced rows (jsonl)", interactive=False)
        read.click(_read, [pasted, file], [rows, told, rare, table], api_visibility="private")
        start.click(
            _make,
            [rows, generator, rare, number],
            [made, passed, accepted],
            api_visibility="private",
        )
        save.click(_download, [rows, made, accepted], [result, kept], api_visibility="private")
        # tools of the MCP server, and of the API: plain values in and out
        for tool in (read_rows, difficult_rows, make_anchors, balanced_rows):
            gr.api(tool, api_name=tool.__name__)
    return app


if __name__ == "__main__":
    build().launch(mcp_server=True)
