"""Gaussian kernel densities of two classes: the log of their ratio, its gradient, a bandwidth.

All points of a block are compared with all rows by matrix products, a chunk of rows at a time. The
largest exponent so far, the sum of exponentials and the weighted sum of the rows are carried from
chunk to chunk, so that nothing of the size points × rows is ever held, nothing underflows to 0/0,
and a value and its gradient come out of one pass of two products.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Precision = Literal["float32", "bfloat16"]

# Exponents of 1024 points × 2048 rows take 8 MB, which stays in the cache between the products.
CHUNK_ROWS = 2048
# Weights below the normal numbers take an exponential and a product ten times as long; next to the
# largest weight, 1, these are nothing.
_LOWEST_EXPONENT, _NOTHING = -80.0, 1e-30
# bfloat16 rounds an exponent by up to 2**-9 of it. Beyond this error its kernel means nothing.
_LARGEST_BFLOAT16_ROUNDING = 0.5
# A log ratio that may be further off than this is taken in float64. Rows of norm 1 stay in float32
# down to h of about 0.03, and standardised ones at every bandwidth that has neighbours.
_LARGEST_FLOAT32_ROUNDING = 1e-3
# A value's error in units of the type's rounding, at exponents of 1: measured, up to 10.
_ROUNDINGS = 16.0
# Rows nearer to each other than this share of the distance to the 2m-th neighbour count once.
_DUPLICATE_SHARE = 0.05
_CHECKED_FOR_DUPLICATES = 64
_BISECTIONS = 40
_LARGEST_EXCESS = 600.0


class LogDensityRatio:
    """log Σ_B exp(−‖x − b‖² / 2h²) − log Σ_A exp(−‖x − a‖² / 2h²): SIMPOR, Eq. 12.

    The exponents have the minus sign that Eq. 10–12 leave out, and both sums are taken as
    logarithms: plain sums of float32 are 0/0 on real embeddings.

    An exponent is a difference of terms as large as ‖row‖² / h², and is off by their rounding.
    Where that may be above 0.001 in float32 (a small bandwidth, a column that dwarfs the others, a
    far row) all is computed in float64, at about twice the time.

    Args:
        target: [n_B, d], rows of the class to be near to; float32, or float64 for a reference.
        other: [n_A, d], rows of the class to keep away from; of the same type.
        bandwidth: h, in the rows' own unit of length.
        precision: of the matrix products; "bfloat16" takes the sums in float32 over chunks.

    Attributes:
        dtype: of the sums and of what comes out: float32, or float64 as above.

    Raises:
        ValueError: no rows, widths or types that differ, a bandwidth that is not positive and
            finite, or one too small for bfloat16.
    """

    def __init__(
        self,
        target: Tensor,
        other: Tensor,
        bandwidth: float,
        *,
        precision: Precision = "float32",
        chunk_rows: int = CHUNK_ROWS,
    ) -> None:
        if precision not in ("float32", "bfloat16"):
            raise ValueError(f'precision must be "float32" or "bfloat16", got {precision!r}')
        if not (math.isfinite(bandwidth) and bandwidth > 0):
            raise ValueError(f"bandwidth={bandwidth} must be a positive, finite number")
        if (
            target.ndim != 2
            or other.ndim != 2
            or target.shape[1] != other.shape[1]
            or target.dtype != other.dtype
            or not len(target)
            or not len(other)
        ):
            raise ValueError(
                f"the classes have shapes {tuple(target.shape)} and {tuple(other.shape)} of "
                f"{target.dtype} and {other.dtype}: two matrices of one width and type, with at "
                "least one row each, are needed"
            )
        self.bandwidth, self.chunk_rows = float(bandwidth), chunk_rows
        self._chunks = math.ceil(max(len(target), len(other)) / chunk_rows)
        self.low_precision = precision == "bfloat16"
        # Products lose digits with the norms; rows around the origin have the smallest.
        center = target.mean(dim=0, dtype=torch.float64)
        self.dtype, self.center = target.dtype, center.to(target.dtype)
        centered = target - self.center, other - self.center
        self._reach = max(_largest_norm(rows) for rows in centered)
        too_coarse = self._rounding_at(self._reach) > _LARGEST_FLOAT32_ROUNDING
        if too_coarse and self.dtype != torch.float64 and not self.low_precision:
            self.dtype, self.center = torch.float64, center
            centered = target - center, other - center
            self._reach = max(_largest_norm(rows) for rows in centered)
        self.classes = [self._prepare(rows) for rows in centered]

    def _prepare(self, centered: Tensor) -> tuple[Tensor, Tensor]:
        """Centred rows, in the type of the products, and −‖row‖² / 2h²."""
        squares = centered.square().sum(dim=1)
        bias = squares / (-2.0 * self.bandwidth**2)
        if not self.low_precision:
            return centered, bias
        rounding = 2.0**-9 * float(squares.median()) / self.bandwidth**2
        if rounding > _LARGEST_BFLOAT16_ROUNDING:
            raise ValueError(
                f"at bandwidth {self.bandwidth:.3g} bfloat16 would round exponents by "
                f'{rounding:.2g}, which drowns the kernel: use precision="float32"'
            )
        return centered.bfloat16(), bias

    def _rounding_at(self, norm: float) -> float:
        unit = torch.finfo(self.dtype).eps / 2
        exponent = (norm / self.bandwidth) * (self._reach / self.bandwidth)
        return unit * (_ROUNDINGS * (1.0 + exponent) + 2.0 * self._chunks)

    def rounding(self, points: Tensor) -> float:
        """How far a value at any of the points [b, d] may be off by the rounding of ``dtype``.

        The rounding of bfloat16's products is not in it.
        """
        return self._rounding_at(max(self._reach, _largest_norm(points - self.center)))

    def value(self, points: Tensor) -> Tensor:
        """The log ratio [b] at points [b, d] of the rows' type; of type ``dtype``."""
        return self._evaluate(points, with_gradient=False)[0]

    def value_and_gradient(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """The log ratio [b], and its gradient [b, d] in closed form: (μ_B − μ_A) / h².

        μ is the mean of a class's rows, weighted by their kernels at the point.
        """
        values, gradients = self._evaluate(points, with_gradient=True)
        assert gradients is not None
        return values, gradients

    def _evaluate(self, points: Tensor, *, with_gradient: bool) -> tuple[Tensor, Tensor | None]:
        # −‖x‖² / 2h² is in both sums and leaves their ratio: it is never computed.
        scaled = (points - self.center) / self.bandwidth**2
        if self.low_precision:
            scaled = scaled.bfloat16()
        sums = [self._sums(scaled, *rows, with_gradient=with_gradient) for rows in self.classes]
        (target, target_mean), (other, other_mean) = sums
        values = target - other
        if target_mean is None or other_mean is None:
            return values, None
        return values, target_mean.sub_(other_mean).div_(self.bandwidth**2)

    def _sums(
        self, scaled: Tensor, rows: Tensor, bias: Tensor, *, with_gradient: bool
    ) -> tuple[Tensor, Tensor | None]:
        """logsumexp of the exponents over a class's rows [b], and the weighted mean row [b, d]."""
        points, chunk = len(scaled), min(self.chunk_rows, len(rows))
        largest = bias.new_full((points,), -torch.inf)
        total = bias.new_zeros(points)
        weighted = bias.new_zeros(scaled.shape) if with_gradient else None
        buffer = bias.new_empty(points * chunk)
        low_buffer = scaled.new_empty(points * chunk) if self.low_precision else buffer
        for start in range(0, len(rows), chunk):
            part = rows[start : start + chunk]
            # One flat buffer, so that the last, shorter chunk is contiguous too.
            exponents = buffer[: points * len(part)].view(points, len(part))
            if self.low_precision:
                low = low_buffer[: points * len(part)].view(points, len(part))
                torch.mm(scaled, part.T, out=low)
                torch.add(low, bias[start : start + chunk], out=exponents)
            else:
                torch.addmm(bias[start : start + chunk], scaled, part.T, out=exponents)
            before = largest
            largest = torch.maximum(before, exponents.amax(dim=1))
            shrink = (before - largest).exp_()
            shrink[shrink < _NOTHING] = 0.0
            weights = exponents.sub_(largest[:, None]).clamp_(min=_LOWEST_EXPONENT).exp_()
            total.mul_(shrink).add_(weights.sum(dim=1))
            if weighted is None:
                continue
            weighted.mul_(shrink[:, None])
            if self.low_precision:
                weighted.add_(torch.mm(low.copy_(weights), part))
            else:
                weighted.addmm_(weights, part)
        if weighted is not None:
            weighted.div_(total[:, None])
        return total.log().add_(largest), weighted


def _largest_norm(rows: Tensor) -> float:
    norms = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64)
    return float(norms.max()) if len(rows) else 0.0


def bandwidth_from_neighbors(
    rows: npt.NDArray[np.float32],
    queries: npt.ArrayLike,
    effective_neighbors: float = 5.0,
    *,
    block_bytes: int = 64 * 2**20,
) -> float:
    """The bandwidth h at which the median query has so many effective neighbours.

    A query's effective number of neighbours is the perplexity of its kernel weights, exp(−Σ w ln w)
    with w ∝ exp(−‖x − row‖² / 2h²) over the other rows. Near-duplicates count once: rows equal to
    another, rows next to the query itself, and, of its 64 nearest, rows next to a nearer one, where
    "next to" is within 5 % of the distance to the 2m-th neighbour, m being the number asked for.
    Where that leaves fewer than two, as in a small cluster far from all others, only equal rows
    count once. Where a query has fewer than 2m distinct neighbours, half of them stand for m; where
    more than m are equally near, their number does.

    Args:
        rows: [n, d], both classes.
        queries: row numbers; of an even number the last is left out, so that one is the median.
        effective_neighbors: m, above 1.
        block_bytes: bytes that the temporary arrays may take, about.

    Raises:
        ValueError: a number of neighbours not above 1, or fewer than two distinct other rows.
    """
    if not effective_neighbors > 1 or not math.isfinite(effective_neighbors):
        raise ValueError(
            f"effective_neighbors={effective_neighbors} must be above 1: one neighbour has no "
            "scale; give about 3 to 20"
        )
    chosen = np.asarray(queries, dtype=np.int64)
    chosen = chosen[: len(chosen) - (len(chosen) + 1) % 2]
    found = [
        _solve(squares, effective_neighbors)
        for squares in _distinct_squares(rows, chosen, effective_neighbors, block_bytes)
    ]
    return float(torch.cat(found).median())


def _distinct_squares(
    rows: npt.NDArray[np.float32], queries: npt.NDArray[np.int64], m: float, block_bytes: int
) -> Iterator[Tensor]:
    """Squared distances of queries to the rows, float64 [q, distinct], by blocks of queries; inf
    for the query itself and for all but one of near-duplicates."""
    places: dict[bytes, int] = {}
    digests = (hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in rows)
    originals = np.array([places.setdefault(digest, i) for i, digest in enumerate(digests)])
    kept, column = np.unique(originals, return_inverse=True)
    distinct = torch.from_numpy(np.ascontiguousarray(rows[kept]))
    distinct -= distinct.mean(dim=0, dtype=torch.float64).float()
    block = max(1, block_bytes // (40 * len(distinct)))
    for start in range(0, len(queries), block):
        own = torch.from_numpy(column[queries[start : start + block]])
        points = distinct[own].double()
        squares = torch.empty((len(own), len(distinct)), dtype=torch.float64)
        for first in range(0, len(distinct), CHUNK_ROWS):
            # Differences of near-duplicates are lost in products of float32.
            part = distinct[first : first + CHUNK_ROWS].double()
            products = torch.addmm(part.square().sum(dim=1), points, part.T, alpha=-2.0)
            squares[:, first : first + CHUNK_ROWS] = products
        squares += points.square().sum(dim=1, keepdim=True)
        squares.clamp_(min=0.0)[torch.arange(len(own)), own] = torch.inf
        yield _without_duplicates(squares, distinct, m)


def _without_duplicates(squares: Tensor, distinct: Tensor, m: float) -> Tensor:
    others = squares.shape[1] - 1
    if others < 2:
        raise ValueError(_too_few(others))
    whole = squares.clone()
    count = min(max(_CHECKED_FOR_DUPLICATES, math.ceil(2 * m)), others)
    nearest, columns = squares.topk(count, dim=1, largest=False)
    reach = _DUPLICATE_SHARE * nearest[:, min(math.ceil(2 * m), count) - 1].sqrt()
    near = distinct[columns].double()
    between = torch.cdist(near, near, compute_mode="donot_use_mm_for_euclid_dist")
    repeats = (between <= reach[:, None, None]).tril(-1).any(dim=2)
    squares.scatter_(1, columns, nearest.masked_fill(repeats, torch.inf))
    squares.masked_fill_(squares <= reach.square()[:, None], torch.inf)
    # A small cluster far from all others is within 5 % of the distance to them: where it is all
    # that a query has near it, its own distances are the scale.
    alone = squares.isfinite().sum(dim=1) < 2
    squares[alone] = whole[alone]
    return squares


def _too_few(found: int) -> str:
    return (
        f"a row has {found} distinct other rows to take the bandwidth from, and needs 2: the rows "
        "are copies of each other; give bandwidth a value, or drop the copies"
    )


def _perplexity(squares: Tensor, bandwidth: Tensor) -> Tensor:
    """exp(entropy) of the kernel weights of each query, for a bandwidth each."""
    excess = squares - squares.amin(dim=1, keepdim=True)
    # Rows left out are infinitely far; clamped they weigh nothing, and 0 × inf is not met.
    exponents = (excess / (2.0 * bandwidth.square())[:, None]).clamp_(max=_LARGEST_EXCESS)
    weights = (-exponents).exp()
    total = weights.sum(dim=1)
    mean = weights.mul_(exponents).sum(dim=1) / total
    return total * mean.exp()


def _solve(squares: Tensor, m: float) -> Tensor:
    """The bandwidth of each query at which its perplexity is m: bisection of its logarithm."""
    finite = squares.isfinite()
    lowest = squares.amin(dim=1)
    highest = squares.masked_fill(~finite, 0.0).amax(dim=1)
    low = 1e-3 * lowest.sqrt()
    high = torch.maximum(10.0 * (highest - lowest).sqrt(), lowest.sqrt())
    wanted = torch.clamp((1.0 + finite.sum(dim=1)) / 2.0, max=m)
    wanted = torch.maximum(wanted, 1.01 * _perplexity(squares, low))
    for _ in range(_BISECTIONS):
        middle = (low * high).sqrt()
        above = _perplexity(squares, middle) > wanted
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    return (low * high).sqrt()
