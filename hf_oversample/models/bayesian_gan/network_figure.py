"""A Bayesian network as a picture: layers from the observed variables down to the last code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, light enough for black letters.
_COLORS = {"observed": "#CDE4F2", "latent": "#F7DFC2", "class": "#CDEBDD"}
_EDGE_COLORS = {"observed": "#0072B2", "latent": "#D55E00", "class": "#009E73"}


Edge = tuple[str, str]


@dataclass(frozen=True)
class DrawnNetwork:
    """
    What is drawn.

    Args:
        observed: names of the variables of the top row.
        codes: names of the codes.
        edges: (parent, code) pairs, without a cycle; every code has a parent.
        class_edge: the class's variable and its code.
    """

    observed: Sequence[str]
    codes: Sequence[str]
    edges: Sequence[Edge]
    class_edge: Edge

    def parents(self, name: str) -> list[str]:
        """Parents of a code, in the order of the edges."""
        return [parent for parent, child in self.edges if child == name]

    def kind(self, name: str) -> str:
        """What a name stands for: "class", "observed" or "latent"."""
        if name in self.class_edge:
            return "class"
        return "observed" if name in self.observed else "latent"


def draw_network(
    network: DrawnNetwork, path: str | Path | None, weights: Mapping[Edge, float]
) -> Figure:
    """
    Draw a network.

    Args:
        network: its names and edges.
        path: a PNG to write; its folder must exist.
        weights: numbers to write beside edges.

    Raises:
        ImportError: matplotlib is missing (``pip install "hf_oversample[report]"``).
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.patches import FancyArrowPatch
    except ImportError as error:
        raise ImportError('Figures need matplotlib: pip install "hf_oversample[report]"') from error

    places = _places(network)
    width = max(x for x, _ in places.values()) + 1.0
    depth = max(y for _, y in places.values()) + 1.0
    figure = Figure(figsize=(1.3 * width + 0.6, 1.35 * depth + 0.9), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    arrows: dict[Edge, FancyArrowPatch] = {}
    for parent, child in (*network.edges, network.class_edge):
        (x0, y0), (x1, y1) = places[parent], places[child]
        # A straight arrow would run through a node of a layer in between: it bends outwards.
        bend = 0.0 if abs(y1 - y0) <= 1 else 0.3 if x1 >= x0 else -0.3
        arrow = FancyArrowPatch(
            (x0, -y0),
            (x1, -y1),
            arrowstyle="-|>",
            mutation_scale=16,
            linewidth=1.4,
            color="#444444",
            connectionstyle=f"arc3,rad={bend}",
            shrinkA=20,
            shrinkB=20,
            zorder=1,
        )
        axes.add_patch(arrow)
        arrows[parent, child] = arrow
    for name, (x, y) in places.items():
        kind = network.kind(name)
        style: dict[str, Any] = {"facecolor": _COLORS[kind], "edgecolor": _EDGE_COLORS[kind]}
        shape = "square,pad=0.45" if y == 0 else "round,pad=0.45,rounding_size=0.6"
        axes.annotate(
            name,
            (x, -y),
            ha="center",
            va="center",
            fontsize=12,
            bbox={"boxstyle": shape, "linewidth": 1.4, **style},
            zorder=3,
        )
    axes.set_xlim(-0.7, width - 0.3)
    axes.set_ylim(-depth + 0.6, 0.4)
    axes.set_axis_off()
    figure.supxlabel(
        "squares: given to the generator; round: extracted from what it makes",
        fontsize=9,
        color="#555555",
    )
    figure.draw_without_rendering()  # arrows have no shape before the layout is known
    for edge in [edge for edge in arrows if edge in weights]:
        start, control, end = np.asarray(arrows[edge].get_path().vertices, float)[:3]
        # Nearer to the code than to the parent, where fewer arrows cross.
        share = 0.55
        place = (1 - share) ** 2 * start + 2 * share * (1 - share) * control + share**2 * end
        axes.annotate(
            f"{weights[edge]:+.2f}".replace("-", "\N{MINUS SIGN}"),
            (float(place[0]), float(place[1])),
            ha="center",
            va="center",
            fontsize=9,
            bbox={"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none"},
            zorder=2,
        )
    if path is not None:
        figure.savefig(Path(path), dpi=150, format="png")
    return figure


def _places(network: DrawnNetwork) -> dict[str, tuple[float, float]]:
    """x and depth of each variable: a code lies one layer below its deepest parent."""
    depths: dict[str, int] = dict.fromkeys(network.observed, 0)
    waiting = list(network.codes)
    while waiting:  # the network has no cycle, so each round settles at least one
        for name in list(waiting):
            parents = network.parents(name)
            if all(parent in depths for parent in parents):
                depths[name] = 1 + max(depths[parent] for parent in parents)
                waiting.remove(name)
    places: dict[str, tuple[float, float]] = {
        name: (float(number), 0.0) for number, name in enumerate(network.observed)
    }
    for depth in range(1, max(depths.values()) + 1):
        row = [name for name in network.codes if depths[name] == depth]
        # Below the middle of its parents, but apart from its neighbours.
        wanted = {
            name: sum(places[p][0] for p in network.parents(name)) / len(network.parents(name))
            for name in row
        }
        last = -1.0
        for name in sorted(row, key=lambda name: wanted[name]):
            last = max(wanted[name], last + 1.0)
            places[name] = (last, float(depth))
    right = max(x for x, _ in places.values()) + 1.0
    variable, code = network.class_edge
    return {**places, variable: (right, 0.0), code: (right, 1.0)}
