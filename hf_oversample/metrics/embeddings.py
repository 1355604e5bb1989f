"""Measures of balanced embeddings."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hf_oversample.text.checks import checked_labels


def hard_to_differentiate_ratio(
    embeddings: npt.ArrayLike, labels: npt.ArrayLike, *, bins: int = 50
) -> float:
    """HDR: overlap of two classes on the first principal component (SIMPOR, section 6.4.2).

    Both classes are projected on the first principal component of all rows. The overlap is the sum,
    over the bins of a histogram of the component's whole range, of the smaller of the two classes'
    counts; HDR is the overlap divided by the minority's rows. 0 means separate, 1 that no bin has
    more of the minority than of the other class.

    The measure depends on the number of bins, which the paper does not state, and on the rows'
    scale: compare only figures that were taken alike.

    Args:
        embeddings: [n, d], finite.
        labels: [n], 1 for the minority, else 0.
        bins: bins of the histogram, of equal width.

    Raises:
        ValueError: shapes that do not fit, a label other than 0 and 1, a class without rows, values
            that are not finite, or no bins.
    """
    rows, truth = np.asarray(embeddings, dtype=np.float64), checked_labels(labels)
    if rows.ndim != 2 or truth.shape != rows.shape[:1]:
        raise ValueError(
            f"embeddings have shape {rows.shape} and labels {truth.shape}: [n, d] and [n] are "
            "needed"
        )
    if not np.isin(truth, (0, 1)).all() or len(np.unique(truth)) != 2:
        raise ValueError(f"labels hold {np.unique(truth).tolist()}: both 0 and 1 are needed")
    if bins < 1:
        raise ValueError(f"bins={bins} must be at least 1")
    if not np.isfinite(rows).all():
        row = int(np.argmin(np.isfinite(rows).all(axis=1)))
        raise ValueError(f"embedding {row} holds NaN or infinite values: drop it")
    centered = rows - rows.mean(axis=0)
    # eigh orders the eigenvalues upwards; the sign of the component does not change an overlap,
    # but for points on the border of two bins.
    component = np.linalg.eigh(centered.T @ centered)[1][:, -1]
    component *= np.sign(component[np.argmax(np.abs(component))])
    places = centered @ component
    edges = np.histogram_bin_edges(places, bins)
    counts = [np.histogram(places[truth == label], edges)[0] for label in (0, 1)]
    return float(np.minimum(*counts).sum() / counts[1].sum())
