"""What a person looks at when one code moves: a grid of images, or texts along the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Decoder = Callable[[npt.NDArray[np.float32]], Sequence[str]]


def traversal_figure(
    rows: npt.ArrayLike,
    path: str | Path,
    values: Sequence[float],
    title: str = "",
    names: Sequence[str] | None = None,
) -> Path:
    """Draws images along which a code moves: one line an image, one column a value of the code.

    Args:
        rows: [n, steps, side · side], as ``BayesianGanModel.traverse`` gives them.
        path: the PNG to write; its folder must exist.
        values: [steps], written above the columns.
        title: a line above the grid.
        names: [n], written left of the lines, such as the code that moves; default: none.

    Returns:
        the path written.

    Raises:
        ValueError: rows that are no squares, or another number of values than steps, or of names
            than rows.
        ImportError: matplotlib is missing (``pip install "hf_oversample[report]"``).
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('Figures need matplotlib: pip install "hf_oversample[report]"') from error

    images = np.asarray(rows, dtype=np.float64)
    side = round(images.shape[-1] ** 0.5)
    if images.ndim != 3 or side * side != images.shape[-1]:
        raise ValueError(f"the rows have shape {images.shape}; [n, steps, side · side] is needed")
    if images.shape[1] != len(values):
        raise ValueError(f"there are {images.shape[1]} steps and {len(values)} values")
    if names is not None and len(names) != len(images):
        raise ValueError(f"there are {len(images)} rows and {len(names)} names")
    low, high = images.min(), images.max()
    figure = Figure(
        figsize=(0.75 * len(values) + 0.3, 0.75 * len(images) + 0.7), layout="constrained"
    )
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(images), len(values), squeeze=False)
    for line, of_row in zip(grid, images, strict=True):
        for axes, pixels in zip(line, of_row, strict=True):
            axes.imshow(pixels.reshape(side, side), cmap="gray", vmin=low, vmax=high)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
    for axes, name in zip(grid[:, 0], names or (), strict=False):
        axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=10)
    for axes, value in zip(grid[0], values, strict=True):
        axes.set_title(f"{value:+g}".replace("-", "\N{MINUS SIGN}") if value else "0", fontsize=10)
    if title:
        figure.suptitle(title, fontsize=12)
    figure.savefig(Path(path), dpi=150, format="png")
    return Path(path)


@dataclass(frozen=True)
class TraversalStep:
    """One value of a moved code.

    Args:
        value: of the code, in standard deviations.
        nearest: the nearest real text, by cosine.
        row: its row number.
        cosine: how near it is.
        decoded: the row as text, where a decoder was given.
    """

    value: float
    nearest: str
    row: int
    cosine: float
    decoded: str | None = None


def traversal_texts(
    rows: npt.ArrayLike,
    values: Sequence[float],
    real_rows: npt.ArrayLike,
    real_texts: Sequence[str],
    decode: Decoder | None = None,
) -> list[list[TraversalStep]]:
    """Real texts nearest to the rows along which a code moves, and the rows' own texts.

    Args:
        rows: [n, steps, d], as ``BayesianGanModel.traverse`` gives them.
        values: [steps].
        real_rows: [m, d], embeddings of real texts in the same space.
        real_texts: m texts.
        decode: rows [k, d] → k texts, such as a MISO generator's decoder of latents.

    Returns:
        for each of n rows, its steps.

    Raises:
        ValueError: shapes that do not fit.
    """
    moved = np.asarray(rows, dtype=np.float32)
    known = np.asarray(real_rows, dtype=np.float32)
    if moved.ndim != 3 or moved.shape[1] != len(values) or known.shape[1:] != moved.shape[2:]:
        raise ValueError(
            f"rows have shape {moved.shape}, real rows {known.shape}, and there are {len(values)} "
            "values: [n, values, d] and [m, d] are needed"
        )
    if len(known) != len(real_texts):
        raise ValueError(f"there are {len(known)} real rows and {len(real_texts)} texts")
    flat = moved.reshape(-1, moved.shape[2])
    cosines = _unit(flat) @ _unit(known).T
    nearest = cosines.argmax(axis=1)
    texts = list(decode(flat)) if decode is not None else [None] * len(flat)
    steps = [
        TraversalStep(
            float(values[i % len(values)]),
            real_texts[row],
            int(row),
            float(cosines[i, row]),
            texts[i],
        )
        for i, row in enumerate(nearest.tolist())
    ]
    return [steps[start : start + len(values)] for start in range(0, len(steps), len(values))]


def traversal_markdown(code: str, found: Sequence[Sequence[TraversalStep]]) -> str:
    """Tables of texts along a moved code, one a row that was moved."""
    lines = [f"## {code}", ""]
    for steps in found:
        is_decoded = any(step.decoded is not None for step in steps)
        head = ["value", *(["decoded"] if is_decoded else []), "nearest real text", "cosine"]
        lines += ["| " + " | ".join(head) + " |", "|---:|" + "---|" * (len(head) - 1)]
        for step in steps:
            texts = [step.decoded or ""] if is_decoded else []
            cells = [f"{step.value:+g}", *texts, step.nearest, f"{step.cosine:.2f}"]
            shown = (" ".join(cell.split()).replace("|", "\\|") for cell in cells)
            lines.append("| " + " | ".join(shown) + " |")
        lines.append("")
    return "\n".join(lines)


def _unit(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: npt.NDArray[np.float32] = (rows / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return unit
