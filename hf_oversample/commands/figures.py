"""The data in two dimensions, before and after, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hf_oversample.data.whole_files import whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

# Okabe and Ito's colours, told apart with every common colour-blindness; and a marker each, for
# print in grey. Order: drawn from the back to the front.
_KINDS: dict[str, dict[str, Any]] = {
    "majority": {"color": "#A9A9A9", "marker": "o", "s": 10, "alpha": 0.5},
    "anchor": {"color": "#009E73", "marker": "^", "s": 13, "alpha": 0.55},
    "duplicate": {"color": "#E69F00", "marker": "s", "s": 16, "alpha": 0.8},
    "minority": {"color": "#0072B2", "marker": "o", "s": 16, "alpha": 0.85},
    "difficult": {"color": "#D55E00", "marker": "X", "s": 24, "alpha": 0.9},
}
_ADDED = ("anchor", "duplicate")


def projection_figure(
    embeddings: ArrayLike, kinds: Sequence[str], path: str | Path, title: str = ""
) -> Path:
    """Draws the data in two dimensions, before and after, side by side.

    The axes are the first two principal components of the *real* rows; anchors are projected on
    them. A projection that used the labels would pull classes apart that are not apart. The frame
    holds the middle 98 % of the rows along each axis, and the figure says how many lie outside:
    a few far rows would press all others into one spot.

    Args:
        embeddings: `[n, d]`, finite.
        kinds: for each row one of "majority", "minority", "difficult" (a minority row that other
            classes outvote among its neighbours), "anchor" and "duplicate"; the last two appear on
            the right only.
        path: the PNG to write; its folder must exist.
        title: a line above both panels.

    Returns:
        The path written.

    Raises:
        ValueError: if shapes do not agree, a kind is unknown, a value is not finite, or there are
            fewer than 3 real rows.
        ImportError: if matplotlib is missing (`pip install "hf_oversample[report]"`).
    """
    from sklearn.decomposition import PCA

    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('Figures need matplotlib: pip install "hf_oversample[report]"') from error

    values = np.asarray(embeddings, dtype=np.float64)
    names = np.asarray(kinds, dtype=object)
    _check_projection(values, names)
    real = ~np.isin(names, _ADDED)
    projection = PCA(n_components=2, random_state=0).fit(values[real])
    points = projection.transform(values)

    # A Figure of its own, not pyplot's: no display, and no state shared with the caller.
    figure = Figure(figsize=(12, 6), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    present = [kind for kind in _KINDS if (names == kind).any()]
    for axes, shown, heading in (
        (left, [kind for kind in present if kind not in _ADDED], "Before"),
        (right, present, "After"),
    ):
        _draw(axes, points, names, shown)
        rows = int(np.isin(names, shown).sum())
        axes.set_title(f"{heading}: {rows:,} rows", fontsize=14)
        share = 100 * projection.explained_variance_ratio_
        axes.set_xlabel(f"principal component 1 ({share[0]:.1f} % of variance)", fontsize=12)
    low, high = np.percentile(points, [1, 99], axis=0)
    margin = 0.06 * (high - low) + 1e-9
    left.set_xlim(low[0] - margin[0], high[0] + margin[0])
    left.set_ylim(low[1] - margin[1], high[1] + margin[1])
    outside = (points < low - margin).any(axis=1) | (points > high + margin).any(axis=1)
    left.set_ylabel(f"principal component 2 ({share[1]:.1f} % of variance)", fontsize=12)
    if title:
        figure.suptitle(title, fontsize=15)
    figure.supxlabel(
        f"PCA fitted on the real rows; {int(outside.sum()):,} of {len(points):,} rows lie outside",
        fontsize=10,
        color="#555555",
    )
    with whole(Path(path)) as scratch:
        figure.savefig(scratch, dpi=150, format="png")
    return Path(path)


def _draw(axes: Axes, points: np.ndarray, names: np.ndarray, shown: Sequence[str]) -> None:
    for kind in shown:
        rows = points[names == kind]
        axes.scatter(
            rows[:, 0], rows[:, 1], linewidths=0, label=f"{kind} ({len(rows):,})", **_KINDS[kind]
        )
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=10)
    axes.grid(color="#EEEEEE", linewidth=0.8)
    axes.set_axisbelow(True)
    legend = axes.legend(fontsize=11, loc="best", markerscale=1.8, framealpha=0.9)
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set_alpha(1.0)


def _check_projection(values: np.ndarray, names: np.ndarray) -> None:
    if values.ndim != 2:
        raise ValueError(f"embeddings have shape {values.shape}; [rows, width] is needed.")
    if values.shape[1] < 2:
        raise ValueError("embeddings have 1 column; two dimensions cannot be drawn from one.")
    if len(names) != len(values):
        raise ValueError(f"{len(values)} embeddings but {len(names)} kinds; one a row is needed.")
    unknown = sorted({str(name) for name in names} - set(_KINDS))
    if unknown:
        raise ValueError(f"Unknown kinds {unknown}; a kind is one of {sorted(_KINDS)}.")
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        raise ValueError(
            f"embeddings of {len(bad)} rows are not finite, the first is row {bad[0]}."
        )
    real = int((~np.isin(names, _ADDED)).sum())
    if real < 3:
        raise ValueError(f"{real} real rows; a projection needs at least 3.")
