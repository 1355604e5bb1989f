"""The tables and the picture of `scaling.py`'s record, and the exponents that are fitted to it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scaling_curves import CURVES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, told apart with every common colour-blindness, and a marker each.
LINES: list[dict[str, Any]] = [
    {"color": "#000000", "marker": "o"},
    {"color": "#0072B2", "marker": "s"},
    {"color": "#56B4E9", "marker": "^"},
    {"color": "#009E73", "marker": "v"},
    {"color": "#D55E00", "marker": "D"},
    {"color": "#E69F00", "marker": "P"},
    {"color": "#CC79A7", "marker": "X"},
]
SECONDS, MEMORY, CLOCK = "cpu_seconds", "peak_mib", "seconds"
PANELS: tuple[tuple[str, str, str], ...] = (
    ("rows", SECONDS, "Rows: time"),
    ("dimensions", SECONDS, "Dimensions: time"),
    ("classes", SECONDS, "Classes: time"),
    ("processes", CLOCK, "Processes: time by the clock"),
    ("rows", MEMORY, "Rows: memory"),
    ("dimensions", MEMORY, "Dimensions: memory"),
    ("batch size", SECONDS, "MISO's update: batch size"),
    ("text length", SECONDS, "MISO's update: length of texts"),
)
AXES = {SECONDS: "processor seconds", CLOCK: "seconds", MEMORY: "highest resident set, MiB"}


def points_of(record: Path) -> list[dict[str, Any]]:
    """The points of a record; none where there is no file."""
    lines = record.read_text(encoding="utf-8").splitlines() if record.exists() else []
    return [point for point in map(json.loads, lines) if "curve" in point]


def lines_of(record: Path, curve: str) -> dict[str, list[dict[str, Any]]]:
    """A curve's points by method, by ascending value; methods in the curve's order."""
    own = sorted(
        (point for point in points_of(record) if point["curve"] == curve),
        key=lambda point: point["value"],
    )
    found = {
        method: [point for point in own if point["method"] == method]
        for method in CURVES[curve].values
    }
    return {method: points for method, points in found.items() if points}


def exponent(points: list[dict[str, Any]], measure: str = SECONDS) -> float:
    """p of c · value ** p, by least squares of the logarithms; NaN of fewer than two points, and of
    memory."""
    if len(points) < 2 or measure == MEMORY:  # of memory a part is always there
        return math.nan
    values = np.log([p["value"] for p in points])
    return float(np.polyfit(values, np.log([p[measure] for p in points]), 1)[0])


def tables(record: Path) -> str:
    """A table a curve: seconds and memory of each method, and the exponents: of all points, and of
    the last two."""
    parts = []
    for name, curve in CURVES.items():
        own = lines_of(record, name)
        if not own:
            continue
        values = sorted({point["value"] for points in own.values() for point in points})
        measures = (CLOCK, SECONDS) if name == "processes" else (SECONDS, MEMORY)
        for measure in measures:
            head = [f"{curve.label}: {AXES[measure]}", *(f"{value:,}" for value in values)]
            lines = [[*head, "exponent", "of the last two"]]
            for method, points in own.items():
                at = {point["value"]: f"{point[measure]:.3g}" for point in points}
                exponents = [exponent(points, measure), exponent(points[-2:], measure)]
                lines.append(
                    [method, *(at.get(value, "") for value in values)]
                    + ["" if math.isnan(e) else f"{e:.2f}" for e in exponents]
                )
            rule = "|---|" + "---:|" * (len(head) + 1)
            rows = ["| " + " | ".join(line) + " |" for line in lines]
            parts.append("\n".join([rows[0], rule, *rows[1:]]))
    return "\n\n".join(parts)


def draw(record: Path, picture: Path) -> None:
    """The picture: a panel a curve, logarithms on both axes, the exponents beside the names.

    Raises:
        ImportError: matplotlib is missing (`pip install "hf_oversample[report]"`).
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(19, 11.5))
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.12)
    FigureCanvasAgg(figure)
    methods = list(CURVES["rows"].values)
    for axes, (curve, measure, title) in zip(figure.subplots(2, 4).flat, PANELS, strict=True):
        panel(axes, record, curve, measure, methods)
        axes.set_title(title, fontsize=13)
    figure.suptitle(
        "How cost grows (with the exponent that is fitted to each curve); one thread", fontsize=15
    )
    figure.savefig(picture, dpi=100)


def panel(axes: Axes, record: Path, curve: str, measure: str, methods: list[str]) -> None:
    """One curve; a method has the same colour in all panels."""
    from matplotlib.ticker import NullFormatter, StrMethodFormatter

    own = lines_of(record, curve)
    for place, (method, points) in enumerate(own.items()):
        style = LINES[methods.index(method) if method in methods else place + 1]
        power = exponent(points, measure)
        label = method if math.isnan(power) else f"{method}: {power:.2f}"
        xs, ys = [p["value"] for p in points], [p[measure] for p in points]
        axes.plot(xs, ys, label=label, linewidth=1.8, markersize=6, **style)
    axes.set_xscale("log")
    axes.set_yscale("log")
    values = sorted({point["value"] for points in own.values() for point in points})
    axes.set_xticks(values if len(values) < 6 else values[::2])
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    lowest, highest = axes.get_ylim()
    within_a_decade = highest / lowest < 15
    axes.yaxis.set_minor_formatter(
        StrMethodFormatter("{x:g}") if within_a_decade else NullFormatter()
    )
    axes.set_xlabel(CURVES[curve].label, fontsize=11)
    axes.set_ylabel(AXES[measure], fontsize=11)
    axes.tick_params(labelsize=10)
    axes.grid(color="#DDDDDD", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    if own:
        below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.14), "ncols": 2}
        axes.legend(fontsize=9.5, frameon=False, **below)
