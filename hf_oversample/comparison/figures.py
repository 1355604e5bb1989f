"""Pictures of a comparison: differences with intervals, precision–recall curves, calibration."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hf_oversample.comparison.protocol import Comparison
from hf_oversample.comparison.records import Cell
from hf_oversample.comparison.scores import CALIBRATION_BINS, RECALLS
from hf_oversample.comparison.verdict import TITLES, Finding, findings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart with every common colour-blindness, and a line style each.
_LINES: list[dict[str, Any]] = [
    {"color": "#000000", "linestyle": "-"},
    {"color": "#0072B2", "linestyle": "-"},
    {"color": "#D55E00", "linestyle": "--"},
    {"color": "#009E73", "linestyle": "-."},
    {"color": "#CC79A7", "linestyle": ":"},
]
_VERDICTS = {
    "better": ("#009E73", "^"),
    "tied": ("#7A7A7A", "o"),
    "worse": ("#D55E00", "v"),
}
SHOWN_CURVES = len(_LINES)


def comparison_figure(comparison: Comparison, metric: str = "f1") -> Figure:
    """A row of three panels a classifier: the difference of every remedy to none with its 95 %
    interval; precision–recall curves, the mean over the folds; calibration, all folds together.

    Curves are those of none and of the four best others. A moved threshold has none of its own: it
    ranks as none does.

    Raises:
        ValueError: no classifier has results.
        ImportError: matplotlib is missing (`pip install "hf_oversample[report]"`).
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('Figures need matplotlib: pip install "hf_oversample[report]"') from error
    found = findings(comparison, metric)
    kinds = [k for k in comparison.classifiers if any(f.classifier == k and f.runs for f in found)]
    if not kinds:
        raise ValueError("no classifier has results to draw")
    tallest = max(sum(f.classifier == kind for f in found) for kind in kinds)
    height = max(4.2, 0.28 * tallest + 1.6)
    # A Figure of its own, not pyplot's: no display, and no state shared with the caller.
    figure = Figure(figsize=(17, height * len(kinds)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(kinds), 3, squeeze=False, width_ratios=(1.5, 1, 1))
    for row, kind in zip(axes, kinds, strict=True):
        own = [f for f in found if f.classifier == kind and f.runs]
        cells = [cell for cell in comparison.cells if cell.classifier == kind and cell.curves]
        _differences(row[0], own, metric)
        curves = _chosen(own)
        _precision_recall(row[1], cells, curves)
        _calibration(row[2], cells, curves)
        row[0].set_title(comparison.classifiers[kind], fontsize=14, loc="left")
    figure.suptitle(f"{comparison.problem.name}: remedies for a rare class", fontsize=16)
    return figure


def figure_png(figure: Figure, dpi: int = 110) -> bytes:
    """A figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def write_figure(comparison: Comparison, path: str | Path, metric: str = "f1") -> Path:
    """Draw the comparison and write it as a PNG file."""
    path = Path(path)
    path.write_bytes(figure_png(comparison_figure(comparison, metric)))
    return path


def _chosen(own: Sequence[Finding]) -> list[str]:
    """Remedies whose curves are drawn: none, then the best; those that only move scores have the
    curve of none."""
    same = ("none", "threshold moving", "logit adjustment")
    others = [f.remedy for f in own if f.remedy not in same]
    return ["none", *others[: SHOWN_CURVES - 1]]


def _differences(axes: Axes, own: Sequence[Finding], metric: str) -> None:
    tested = [f for f in own if f.test is not None]
    places = np.arange(len(tested))[::-1]
    for place, finding in zip(places, tested, strict=True):
        assert finding.test is not None
        color, marker = _VERDICTS[finding.verdict]
        axes.errorbar(
            100 * finding.test.mean,
            place,
            xerr=100 * finding.test.half_width,
            color=color,
            marker=marker,
            markersize=7,
            capsize=3,
            linewidth=1.6,
        )
    axes.axvline(0, color="#000000", linewidth=1)
    axes.set_yticks(places, [f.remedy for f in tested], fontsize=10)
    axes.set_ylim(-0.7, len(tested) - 0.3)
    axes.set_xlabel(f"{TITLES.get(metric, metric)}, points more than none", fontsize=11)
    _legend_of_verdicts(axes)
    _plain(axes)


def _legend_of_verdicts(axes: Axes) -> None:
    from matplotlib.lines import Line2D

    names = {"better": "better (p < 0.05)", "tied": "no difference shown", "worse": "worse"}
    handles = [
        Line2D([], [], color=color, marker=marker, linestyle="-", label=names[verdict])
        for verdict, (color, marker) in _VERDICTS.items()
    ]
    title = "95 % intervals, each by itself;\ncolours after correction"
    axes.legend(handles=handles, fontsize=9, loc="best", title=title, title_fontsize=9)


def _precision_recall(axes: Axes, cells: Sequence[Cell], remedies: Sequence[str]) -> None:
    for style, remedy in zip(_LINES, remedies, strict=False):
        curves = [cell.curves["precision"] for cell in cells if cell.remedy == remedy]
        if curves:
            axes.plot(RECALLS, np.mean(curves, axis=0), label=remedy, linewidth=1.8, **style)
    axes.set_xlabel("recall of the minority", fontsize=11)
    axes.set_ylabel("precision", fontsize=11)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.legend(fontsize=9, loc="best")
    _plain(axes)


def _calibration(axes: Axes, cells: Sequence[Cell], remedies: Sequence[str]) -> None:
    axes.plot([0, 1], [0, 1], color="#AAAAAA", linewidth=1, label="as it should be")
    for style, remedy in zip(_LINES, remedies, strict=False):
        bins = [cell.curves["calibration"] for cell in cells if cell.remedy == remedy]
        if not bins:
            continue
        rows, stated, true = np.sum(bins, axis=0).T
        seen = rows > 0
        axes.plot(
            stated[seen] / rows[seen],
            true[seen] / rows[seen],
            marker="o",
            markersize=4,
            linewidth=1.5,
            label=remedy,
            **style,
        )
    axes.set_xlabel(f"stated probability of the minority, {CALIBRATION_BINS} bins", fontsize=11)
    axes.set_ylabel("share that is of the minority", fontsize=11)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.legend(fontsize=9, loc="best")
    _plain(axes)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#EEEEEE", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=10)
