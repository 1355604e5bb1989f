"""The figure, the anchors file and the tables."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hf_oversample.commands.figures import projection_figure
from hf_oversample.hub.tables import anchors_markdown, markdown_table, metrics_table

KINDS = ["majority"] * 30 + ["minority"] * 8 + ["difficult"] * 4 + ["anchor"] * 10 + ["duplicate"]


def _embeddings(rows: int = len(KINDS), width: int = 6) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(rows, width)).astype(np.float32)


def test_the_figure_is_a_large_png_and_leaves_no_other_file(tmp_path: Path) -> None:
    path = projection_figure(_embeddings(), KINDS, tmp_path / "report.png", "Title")
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    from matplotlib.image import imread

    height, width = imread(path).shape[:2]
    assert (width, height) == (1800, 900)
    assert [p.name for p in tmp_path.iterdir()] == ["report.png"]


def test_the_same_data_gives_the_same_picture(tmp_path: Path) -> None:
    first = projection_figure(_embeddings(), KINDS, tmp_path / "a.png").read_bytes()
    assert projection_figure(_embeddings(), KINDS, tmp_path / "b.png").read_bytes() == first


def test_the_figure_needs_no_display_and_leaves_pyplot_alone(tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np\n"
        "from hf_oversample.commands.figures import projection_figure\n"
        f"projection_figure(np.eye(6), ['majority'] * 6, {str(tmp_path / 'a.png')!r})\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PATH": ""}
    )
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize(
    ("embeddings", "kinds", "message"),
    [
        (_embeddings()[0], KINDS, "shape"),
        (_embeddings()[:, :1], KINDS, "1 column"),
        (_embeddings(5), KINDS, "5 embeddings but 53 kinds"),
        (_embeddings(3), ["majority", "minority", "other"], "other"),
        (np.where(np.arange(53)[:, None] == 4, np.nan, _embeddings()), KINDS, "row 4"),
        (_embeddings(4), ["anchor", "anchor", "majority", "minority"], "2 real rows"),
    ],
)
def test_what_cannot_be_drawn_is_an_error_and_writes_nothing(
    tmp_path: Path, embeddings: np.ndarray, kinds: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        projection_figure(embeddings, kinds, tmp_path / "report.png")
    assert not list(tmp_path.iterdir())


def test_anchors_show_as_they_are(tmp_path: Path) -> None:
    rows = [
        {
            "source": "win *now*\n# free",
            "source_label": "spam",
            "anchors": ["call <b> now", "a | b"],
        },
        {"source": "see you", "source_label": "ham", "anchors": []},
    ]
    text = anchors_markdown(rows, tmp_path / "anchors.md", "SMS").read_text(encoding="utf-8")
    assert text.splitlines() == [
        "# SMS",
        "",
        "## 1. spam",
        "",
        "> win \\*now\\* \\# free",
        "",
        "- call \\<b\\> now",
        "- a \\| b",
        "",
        "## 2. ham",
        "",
        "> see you",
        "",
        "No anchors.",
    ]
    told = anchors_markdown(rows, tmp_path / "told.md", lines=["AUC 0.6 | *told*", "so"])
    assert "anchors\n\nAUC 0.6 \\| \\*told\\*\n\nso\n\n## 1. " in told.read_text(encoding="utf-8")
    empty = anchors_markdown([], tmp_path / "none.md").read_text(encoding="utf-8")
    assert "No anchors were made." in empty
    assert {p.name for p in tmp_path.iterdir()} == {"anchors.md", "told.md", "none.md"}


def test_metrics_table_marks_the_best_of_each_column() -> None:
    table = metrics_table(
        {
            "nothing": {"f1": 0.5, "ece": 0.02, "rows": 10},
            "anchors": {"f1": 0.75, "ece": 0.04, "roc_auc": 0.9},
            "failed": {"f1": float("nan")},
        }
    )
    assert table.splitlines() == [
        "| remedy | f1 | ece | rows | roc_auc |",
        "|---|---:|---:|---:|---:|",
        "| nothing | 50.0 | **2.0** | 10 | – |",
        "| anchors | **75.0** | 4.0 | – | 90.0 |",
        "| failed | – | – | – | – |",
    ]
    assert metrics_table({}) == "None."


def test_table_cells_cannot_break_the_table() -> None:
    assert markdown_table(["a|b"], [["c\nd"]]).splitlines() == ["| a\\|b |", "|---|", "| c d |"]
