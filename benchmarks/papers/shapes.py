"""Generated images of shapes with known factors, in the manner of dSprites (Matthey et al., 2017).

dSprites has 64 × 64 images of three shapes that vary in scale, orientation and position. These are
smaller, drawn when asked for, and their factors are continuous.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hf_oversample.numeric import noise

SHAPES = ("square", "ellipse", "triangle")
FACTORS = ("x", "y", "scale", "orientation")
# Ranges of the factors: place and half-width as shares of the image's half-side, and radians. Half
# a quarter turn each way: a square looks the same after a quarter.
_LOW = np.array([-0.45, -0.45, 0.22, -np.pi / 8])
_HIGH = np.array([0.45, 0.45, 0.45, np.pi / 8])


def random_factors(n: int, seed: int = 0) -> npt.NDArray[np.float64]:
    """Factors in −1 … 1, drawn evenly: [n, 4], in the order of ``FACTORS``."""
    draws = noise.uniform(seed, noise.stream("shapes"), np.arange(n)[:, None], np.arange(4))
    return 2 * draws - 1


def draw_shapes(
    kinds: npt.ArrayLike, factors: npt.ArrayLike, side: int = 16
) -> npt.NDArray[np.float32]:
    """Images of shapes, white on black with soft edges.

    Args:
        kinds: [n], places in ``SHAPES``.
        factors: [n, 4] in −1 … 1, in the order of ``FACTORS``.
        side: pixels along a side.

    Returns:
        [n, side · side], 0 to 1.

    Raises:
        ValueError: unknown shapes, or factors that do not fit.
    """
    shapes, given = np.asarray(kinds), np.asarray(factors, dtype=np.float64)
    if shapes.ndim != 1 or given.shape != (len(shapes), len(FACTORS)):
        raise ValueError(
            f"kinds have shape {shapes.shape} and factors {given.shape}; [n] and [n, "
            f"{len(FACTORS)}] are needed"
        )
    if len(shapes) and (shapes.min() < 0 or shapes.max() >= len(SHAPES)):
        raise ValueError(
            f"kinds run from {shapes.min()} to {shapes.max()}: there are {len(SHAPES)} shapes"
        )
    x, y, scale, angle = (_LOW + (given + 1) / 2 * (_HIGH - _LOW)).T[:, :, None, None]
    centers = (np.arange(side) + 0.5) / side * 2 - 1
    across, down = centers[None, None, :] - x, centers[None, :, None] - y
    u = (np.cos(angle) * across + np.sin(angle) * down) / scale
    v = (np.cos(angle) * down - np.sin(angle) * across) / scale
    # Distances to the middle that are 1 at the edge; sizes give all shapes about the same area.
    distances = np.stack(
        [
            np.maximum(np.abs(u), np.abs(v)) / 0.9,
            np.hypot(u / 1.35, v / 0.75),
            np.maximum(1.4 * np.abs(u) - 0.7 * v, v / 0.7) / 1.0,
        ]
    )
    chosen = distances[shapes, np.arange(len(shapes))]
    sharpness = scale * side  # edges about a pixel wide
    images = 1 / (1 + np.exp(np.clip((chosen - 1) * sharpness, -50, 50)))
    return images.reshape(len(shapes), side * side).astype(np.float32)
