"""Pictures of a comparison: differences with intervals, precision–recall curves, calibration."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hf_oversample.comparison.findings import ROPE, TITLES, Finding, findings
from hf_oversample.comparison.protocol import Comparison
from hf_oversample.comparison.records import Cell
from hf_oversample.comparison.remedies import moves_scores
from hf_oversample.comparison.scores import RECALLS

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
    "equal": ("#56B4E9", "s"),
    "cannot tell": ("#7A7A7A", "o"),
    "worse": ("#D55E00", "v"),
    "untested": ("#0072B2", "D"),
}
SHOWN_CURVES = len(_LINES)
LEAST_ROWS = 20
"""Rows behind each dot of a calibration curve."""

# Inches. Three panels fill a page 1200 pixels wide at 96 pixels an inch, one a telephone's.
_WIDTHS = (4.85, 3.6, 3.6)
_PANEL_HEIGHT = 4.1
_REMEDY_HEIGHT = 0.32
_LABEL = 22  # letters of a remedy's name on one line


@dataclass(frozen=True, eq=False)
class Panel:
    """One picture of one classifier, and what it shows, for those who cannot see it."""

    alt: str
    figure: Figure


def classifier_panels(
    comparison: Comparison, kind: str, metric: str = "average_precision"
) -> list[Panel]:
    """Three pictures of one classifier: the difference of every remedy to none with its 95 %
    interval; precision–recall curves, the mean over the runs; calibration, all runs together,
    neighbouring bins joined until each holds ``LEAST_ROWS`` rows.

    Curves are those of none and of the four best others. A moved threshold has none of its own: it
    ranks as none does.

    Args:
        comparison: finished cells.
        kind: the classifier, a key of ``comparison.classifiers``.
        metric: of the differences.

    Raises:
        ValueError: the classifier has no results, or no cell has the metric.
        ImportError: matplotlib is missing (`pip install "hf_oversample[report]"`).
    """
    own = [f for f in findings(comparison, metric) if f.classifier == kind and f.runs]
    if not own:
        raise ValueError(f"the classifier {kind!r} has no results to draw")
    figures = [
        _figure(width, height)
        for width, height in zip(_WIDTHS, (_height(own), _PANEL_HEIGHT, _PANEL_HEIGHT), strict=True)
    ]
    _draw(comparison, own, metric, [figure.subplots() for figure in figures])
    of = f", {comparison.classifiers[kind]}"
    alts = (
        f"Difference of each remedy to none in {TITLES.get(metric, metric)}, 95 % intervals{of}",
        f"Precision–recall curves of the minority{of}",
        f"Calibration: stated probability against the share that is of the minority{of}",
    )
    return [Panel(alt, figure) for alt, figure in zip(alts, figures, strict=True)]


def comparison_figure(comparison: Comparison, metric: str = "average_precision") -> Figure:
    """The panels of every classifier in one figure, a row each; see :func:`classifier_panels`.

    Raises:
        ValueError: no classifier has results, or no cell has the metric.
        ImportError: matplotlib is missing (`pip install "hf_oversample[report]"`).
    """
    found = [f for f in findings(comparison, metric) if f.runs]
    groups = {k: [f for f in found if f.classifier == k] for k in comparison.classifiers}
    groups = {kind: own for kind, own in groups.items() if own}
    if not groups:
        raise ValueError("no classifier has results to draw")
    heights = [max(_height(own), _PANEL_HEIGHT) + 0.4 for own in groups.values()]
    figure = _figure(sum(_WIDTHS) + 0.6, sum(heights) + 0.4)
    rows = figure.subfigures(len(groups), 1, squeeze=False, height_ratios=heights)[:, 0]
    for row, (kind, own) in zip(rows, groups.items(), strict=True):
        row.suptitle(comparison.classifiers[kind], fontsize=13, fontweight="bold")
        _draw(comparison, own, metric, list(row.subplots(1, 3, width_ratios=_WIDTHS)))
    figure.suptitle(f"{comparison.problem.name}: remedies for a rare class", fontsize=15)
    return figure


def figure_png(figure: Figure, dpi: int = 150) -> bytes:
    """A figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def write_figure(
    comparison: Comparison, path: str | Path, metric: str = "average_precision"
) -> Path:
    """Draw the comparison and write it as a PNG file."""
    path = Path(path)
    path.write_bytes(figure_png(comparison_figure(comparison, metric)))
    return path


def _figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('Figures need matplotlib: pip install "hf_oversample[report]"') from error
    # A Figure of its own, not pyplot's: no display, and no state shared with the caller.
    figure = Figure(figsize=(width, height))
    figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.08)
    FigureCanvasAgg(figure)
    return figure


def _height(own: Sequence[Finding]) -> float:
    return max(_PANEL_HEIGHT, _REMEDY_HEIGHT * len(own) + 1.4)


def _draw(
    comparison: Comparison, own: Sequence[Finding], metric: str, axes: Sequence[Axes]
) -> None:
    """The three panels of a classifier's findings, on three axes."""
    kind = own[0].classifier
    cells = [cell for cell in comparison.cells if cell.classifier == kind and cell.curves]
    curves = _chosen(own)
    _differences(axes[0], own, metric)
    _precision_recall(axes[1], cells, curves)
    _calibration(axes[2], cells, curves)


def _chosen(own: Sequence[Finding]) -> list[str]:
    """Remedies whose curves are drawn: none, then the best; those that only move scores have the
    curve of none."""
    others = [f.remedy for f in own if f.remedy != "none" and not moves_scores(f.remedy)]
    return ["none", *others[: SHOWN_CURVES - 1]]


def _differences(axes: Axes, own: Sequence[Finding], metric: str) -> None:
    axes.set_title("Difference to none", fontsize=11)
    tested = [f for f in own if f.test is not None]
    if not tested:
        others = any(f.remedy != "none" for f in own)
        why = "one run has no interval" if others else "no remedy was run beside none"
        axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", va="center", fontsize=10)
        axes.set_axis_off()
        return
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
            markersize=6,
            capsize=3,
            linewidth=1.6,
        )
    axes.axvspan(-100 * ROPE, 100 * ROPE, color="#EEEEEE", linewidth=0)
    axes.axvline(0, color="#000000", linewidth=1)
    axes.set_yticks(places, [_label(f.remedy) for f in tested])
    axes.set_ylim(-0.7, len(tested) - 0.3)
    axes.set_xlabel(f"{TITLES.get(metric, metric)}, points better than none", fontsize=10)
    _legend_of_verdicts(axes, {f.verdict for f in tested})
    _plain(axes)


def _legend_of_verdicts(axes: Axes, shown: set[str]) -> None:
    from matplotlib.lines import Line2D

    names = {"better": "better (p < 0.05)", "cannot tell": "cannot tell", "worse": "worse"}
    if "equal" in shown:
        names["equal"] = f"equal within ± {100 * ROPE:.0f} point"
    if "untested" in shown:
        names["untested"] = "same in every run: no test"
    handles = [
        Line2D([], [], color=color, marker=marker, linestyle="-", label=names[verdict])
        for verdict, (color, marker) in _VERDICTS.items()
        if verdict in names
    ]
    columns = 3 if len(handles) == 3 else 2
    _legend_below(axes, columns, handles=handles, title="95 % intervals; colours after correction")


def _precision_recall(axes: Axes, cells: Sequence[Cell], remedies: Sequence[str]) -> None:
    for style, remedy in zip(_LINES, remedies, strict=False):
        curves = [cell.curves["precision"] for cell in cells if cell.remedy == remedy]
        if curves:
            axes.plot(
                RECALLS, np.mean(curves, axis=0), label=_label(remedy), linewidth=1.8, **style
            )
    axes.set_xlabel("recall of the minority", fontsize=10)
    axes.set_ylabel("precision", fontsize=10)
    axes.set_title("Precision and recall", fontsize=11)
    _unit_square(axes)


def _calibration(axes: Axes, cells: Sequence[Cell], remedies: Sequence[str]) -> None:
    axes.plot([0, 1], [0, 1], color="#AAAAAA", linewidth=1, label="as it should be")
    for style, remedy in zip(_LINES, remedies, strict=False):
        bins = [cell.curves["calibration"] for cell in cells if cell.remedy == remedy]
        if not bins:
            continue
        rows, stated, true = joined_bins(np.sum(bins, axis=0)).T
        axes.plot(
            stated / rows,
            true / rows,
            marker="o",
            markersize=4,
            linewidth=1.5,
            label=_label(remedy),
            **style,
        )
    axes.set_xlabel(f"stated probability, bins of ≥ {LEAST_ROWS} rows", fontsize=10)
    axes.set_ylabel("share that is of the minority", fontsize=10)
    axes.set_title("Calibration", fontsize=11)
    _unit_square(axes)


def joined_bins(bins: np.ndarray, least: int = LEAST_ROWS) -> np.ndarray:
    """Neighbouring bins added up from the left until each holds enough rows; what is left over at
    the right goes to the last. The share of three rows says nothing, and zigzags.

    Args:
        bins: [bins, 3], rows, sum of the stated probabilities, and rows of the minority.
        least: rows that each must hold.

    Returns:
        [joined bins, 3]; one at least, with fewer rows where there are fewer in all.
    """
    joined = []
    waiting = np.zeros(3)
    for one in np.asarray(bins, dtype=np.float64):
        waiting = waiting + one
        if waiting[0] >= least:
            joined.append(waiting)
            waiting = np.zeros(3)
    if waiting[0] > 0:
        joined.append(joined.pop() + waiting if joined else waiting)
    return np.array(joined).reshape(-1, 3)


def _label(remedy: str) -> str:
    return textwrap.fill(remedy, _LABEL)


def _unit_square(axes: Axes) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_box_aspect(0.85)
    axes.set_anchor("N")
    _legend_below(axes, 2)
    _plain(axes)


def _legend_below(axes: Axes, columns: int, **of: Any) -> None:
    """Under the axes, where it hides no curve; none where no curve was drawn."""
    if not (axes.get_legend_handles_labels()[0] or "handles" in of):
        return
    axes.legend(
        fontsize=8.5,
        title_fontsize=8.5,
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        borderaxespad=4.4,  # letters: below the axis's numbers and its name
        ncols=columns,
        frameon=False,
        columnspacing=1.0,
        **of,
    )


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#EEEEEE", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9)
