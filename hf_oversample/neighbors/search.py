"""Exact nearest neighbours by matrix products, in bounded memory: the search itself.

A search runs in three steps. (1) Every query is compared with the whole base by matrix products,
block by block, which gives each pair a *lower bound* on its squared distance: the product's value
less the largest rounding error it can have. The rows with the lowest bounds are the candidates.
(2) Candidates get their distance from exact differences. ‖a‖² + ‖b‖² − 2ab alone would lose the
digits by which near-duplicates differ. (3) Where a row outside the candidates could still be as
near as the k-th neighbour (many near-ties), that query is searched again without a limit on the
candidates. So the result is the exact one, whatever the block size; bfloat16 only makes step 1
faster.

The base is centred and converted block by block, for many queries at a time, so that no copy of
all of it is made.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from hf_oversample.neighbors.slack import TIE_SLACK, UNDERFLOW_SLACK

_BASE_BLOCK_ROWS = 8192
_CACHE_BYTES = 8 * 2**20
_GROUP = 16
_SQUARE_PIECES = 3


class Search:
    """One call of `nearest_neighbors`, its arguments checked.

    Args:
        queries, base: float32 [q, d] and [n, d] on one device, finite.
        k: 1 … n, less one where rows are excluded.
        excluded: int64 [q], −1 for none.
        block_bytes: bytes of temporary arrays, about.
        dtype: "float32" or "bfloat16".

    Raises:
        ValueError: differences of rows overflow float32.
    """

    def __init__(
        self,
        queries: torch.Tensor,
        base: torch.Tensor,
        k: int,
        excluded: torch.Tensor,
        block_bytes: int,
        dtype: str,
    ) -> None:
        self.queries, self.base, self.k, self.excluded = queries, base, k, excluded
        self.dtype = torch.bfloat16 if dtype == "bfloat16" else torch.float32
        width = base.shape[1]
        # Rounding errors grow with the norms: centred rows have the smallest. Scaled to norms of
        # at most 1, no square over- or underflows.
        blocks = base.split(_BASE_BLOCK_ROWS)
        weights = torch.full((_BASE_BLOCK_ROWS,), 1.0 / len(base), device=base.device)
        self.center = torch.zeros(width, device=base.device)  # near the mean is near enough
        for block in blocks:
            self.center += weights[: len(block)] @ block
        largest = 0.0
        for block in (*blocks, *queries.split(_BASE_BLOCK_ROWS)):
            if len(block):
                reach = torch.maximum(
                    block.amax(dim=0) - self.center, self.center - block.amin(dim=0)
                )
                largest = max(largest, float(reach.max()))
        if largest == float("inf"):
            raise ValueError(
                "differences of rows overflow float32 (3.4e38): divide all rows by a constant"
            )
        self.scale = min(1.0 / (largest * width**0.5), 1e37) if largest > 0 else 1.0
        many = 8 * k + 32 if self.dtype == torch.bfloat16 else k + 32
        self.candidates = min(many, len(base))
        self.columns = width + _SQUARE_PIECES
        on_cpu = base.device.type == "cpu"
        if not on_cpu:
            self.columns += -self.columns % 8  # tensor cores want 16-byte rows of bfloat16
        # Each divisor is the bytes that a row of the block takes, about.
        fitting = max(1024, block_bytes // (12 * width))
        self.base_block = min(len(base), _BASE_BLOCK_ROWS, fitting)
        # Products that stay in the processor's cache are read again at no cost.
        product_bytes = min(block_bytes, _CACHE_BYTES) if on_cpu else block_bytes
        self.query_block = max(1, product_bytes // (4 * self.base_block))
        self.pass_block = max(1, block_bytes // (16 * self.candidates + 12 * self.columns))
        self.pair_block = max(1, block_bytes // (20 * width))
        self.rank_block = max(1, self.pair_block // self.candidates)

    def run(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Neighbours of all queries: distances and indices, [queries, k]."""
        count, device = len(self.queries), self.base.device
        distances = torch.empty((count, self.k), dtype=torch.float32, device=device)
        indices = torch.empty((count, self.k), dtype=torch.int64, device=device)
        for rows in torch.arange(count, device=device).split(self.pass_block):
            if len(rows):
                distances[rows], indices[rows] = self._pass(rows)
        return distances, indices

    def _pass(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Neighbours of the queries ``rows``, in one pass over the base."""
        bounds = torch.full((len(rows), self.candidates), torch.inf, device=rows.device)
        indices = torch.full_like(bounds, -1, dtype=torch.int64)
        factors, offsets = self._query_factors(rows, self.dtype)
        for start, base_factors in self._base_factors(self.dtype):
            for part in torch.arange(len(rows), device=rows.device).split(self.query_block):
                first, last = int(part[0]), int(part[-1]) + 1
                values = self._bounds(factors[first:last], base_factors, rows[first:last], start)
                _merge_lowest(bounds[first:last], indices[first:last], values, start)
        bounds += offsets[:, None]
        worst = bounds.amax(dim=1)
        distances = torch.empty((len(rows), self.k), device=rows.device)
        nearest = torch.empty_like(distances, dtype=torch.int64)
        for part in torch.arange(len(rows), device=rows.device).split(self.rank_block):
            distances[part], nearest[part] = self._rank(rows[part], bounds[part], indices[part])
        if self.candidates < len(self.base):
            reach = self._reach(distances[:, -1])
            left = torch.nonzero(worst <= reach).squeeze(1)
            if len(left):
                distances[left], nearest[left] = self._run_unlimited(rows[left], reach[left])
        return distances, nearest

    # ---- lower bounds by matrix products --------------------------------------------------------

    def _error(self, dtype: torch.dtype) -> float:
        """Largest error of a computed squared distance, as a share of (‖a‖ + ‖b‖)²."""
        width = self.base.shape[1]
        if dtype == torch.bfloat16:
            # A factor is off by 2**-8 of itself at most: −2ab by 4 · 2**-8 ‖a‖‖b‖, ‖b‖² − 2ab by
            # 2**-8 of itself more. With t = ‖b‖ / (‖a‖ + ‖b‖) and ab ≥ 0 that is, as a share of
            # (‖a‖ + ‖b‖)², 2**-8 (4t(1 − t) + t²) at most, which is largest at t = 2/3.
            return 4.0 / 3.0 * 2.0**-8
        unit = 2.0**-24  # worst case of a float32 sum of `width` terms, and of the centring
        if torch.get_float32_matmul_precision() != "highest":
            unit = 2.0**-8 / width  # TF32 or bf16 passes: inputs rounded, sums in float32
        return (width + 16) * unit

    def _centered(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Centred and scaled rows, and their squares."""
        centered = (values - self.center).mul_(self.scale)
        return centered, torch.linalg.vector_norm(centered, dim=1).square_()

    def _query_factors(
        self, rows: torch.Tensor, dtype: torch.dtype
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(−2a, 1, 1, 1) of queries, and the ‖a‖² that is the same for the whole base.

        (‖a‖ + ‖b‖)² ≤ 2(‖a‖² + ‖b‖²): so the error is taken off by shrinking both squares.
        """
        width = self.base.shape[1]
        factors = torch.zeros((len(rows), self.columns), dtype=dtype, device=rows.device)
        offsets = torch.empty(len(rows), device=rows.device)
        for part in torch.arange(len(rows), device=rows.device).split(_BASE_BLOCK_ROWS):
            centered, offsets[part] = self._centered(self.queries[rows[part]])
            factors[part, :width] = centered.mul_(-2.0).to(dtype)
        factors[:, width : width + _SQUARE_PIECES] = 1.0
        return factors, offsets.mul_(1.0 - 2.0 * self._error(dtype))

    def _base_factors(self, dtype: torch.dtype) -> Iterator[tuple[int, torch.Tensor]]:
        """First row and (b, ‖b‖² in pieces) of each block of the base.

        The product with a query's factors is then ‖b‖² − 2ab, without a pass over the products.
        """
        width = self.base.shape[1]
        shrink = 1.0 - 2.0 * self._error(dtype)
        for start in range(0, len(self.base), self.base_block):
            centered, squares = self._centered(self.base[start : start + self.base_block])
            factors = torch.zeros(
                (len(centered), self.columns), dtype=dtype, device=centered.device
            )
            factors[:, :width] = centered
            rest = squares * shrink
            for piece in range(width, width + _SQUARE_PIECES):
                rounded = rest.bfloat16()  # eight bits each: three hold what float32 holds
                factors[:, piece] = rounded
                rest -= rounded.float()
            yield start, factors

    def _bounds(
        self, factors: torch.Tensor, base_factors: torch.Tensor, rows: torch.Tensor, start: int
    ) -> torch.Tensor:
        """Lower bounds on squared distances less ‖a‖², [queries, block]; inf for ``exclude``."""
        bounds = factors @ base_factors.T
        columns = self.excluded[rows] - start
        inside = torch.nonzero((columns >= 0) & (columns < len(base_factors))).squeeze(1)
        bounds[inside, columns[inside]] = torch.inf
        return bounds

    # ---- exact distances ------------------------------------------------------------------------

    def _rank(
        self, rows: torch.Tensor, bounds: torch.Tensor, indices: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The k nearest of the candidates: distances and indices, [len(rows), k]."""
        bounds, order = bounds.sort(dim=1)
        indices = indices.gather(1, order)
        some = min(self.k + 8, indices.shape[1])
        distances = self._distances(rows, indices[:, :some])
        distances[bounds[:, :some] == torch.inf] = torch.inf  # the excluded row
        # Where the k-th of these is nearer than the further bounds allow, they need no distance.
        reach = self._reach(distances.kthvalue(self.k, dim=1).values)
        needed = int((bounds <= reach[:, None]).sum(dim=1).max())
        if needed > some:
            further = self._distances(rows, indices[:, some:needed])
            further[bounds[:, some:needed] == torch.inf] = torch.inf
            distances = torch.cat([distances, further], dim=1)
        # By index first, then stably by distance: ties stay ordered by index.
        indices, order = indices[:, : distances.shape[1]].sort(dim=1)
        distances, order = distances.gather(1, order).sort(dim=1, stable=True)
        return distances[:, : self.k], indices.gather(1, order)[:, : self.k]

    def _reach(self, distance: torch.Tensor) -> torch.Tensor:
        """The bound up to which a row may be as near as ``distance``."""
        return (distance.double() * self.scale).square() * TIE_SLACK + UNDERFLOW_SLACK

    def _run_unlimited(
        self, rows: torch.Tensor, reach: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Queries against every base row whose bound is within their ``reach``."""
        best = torch.full((len(rows), self.k), torch.inf, device=rows.device)
        best_indices = torch.full_like(best, -1, dtype=torch.int64)
        factors, offsets = self._query_factors(rows, torch.float32)
        limits = reach - offsets.double()
        for start, base_factors in self._base_factors(torch.float32):
            for part in torch.arange(len(rows), device=rows.device).split(self.query_block):
                bounds = self._bounds(factors[part], base_factors, rows[part], start)
                near = (bounds <= limits[part, None]) & bounds.isfinite()
                for place in torch.nonzero(near.any(dim=1)).squeeze(1).tolist():
                    query = int(part[place])
                    columns = torch.nonzero(near[place]).squeeze(1) + start
                    # Earlier blocks hold lower indices, so a stable sort keeps ties by index.
                    distances = torch.cat(
                        [best[query]]
                        + [
                            self._distances(rows[query : query + 1], some[None])[0]
                            for some in columns.split(self.pair_block)
                        ]
                    )
                    columns = torch.cat([best_indices[query], columns])
                    distances, order = distances.sort(stable=True)
                    best[query], best_indices[query] = (
                        distances[: self.k],
                        columns[order[: self.k]],
                    )
        return best, best_indices

    def _distances(self, rows: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
        """Distances from exact differences, float64 rounded to float32, [len(rows), c]."""
        differences = self.base[indices].double()
        differences -= self.queries[rows].double()[:, None]
        return torch.linalg.vector_norm(differences, dim=2).float()


def _merge_lowest(
    bounds: torch.Tensor, indices: torch.Tensor, values: torch.Tensor, start: int
) -> None:
    """Bring the lowest of ``values`` [q, b] into the lowest so far, [q, c], in place, any order.

    The columns are dealt into groups first: minima over groups are several times faster than
    ``topk``, and after the first blocks few groups hold a value that is below the highest kept.

    Args:
        bounds, indices: float32 and int64 [q, c], changed.
        values: [q, b]; its column j has index ``start`` + j.
    """
    missing = -values.shape[1] % _GROUP
    if missing:
        values = torch.nn.functional.pad(values, (0, missing), value=torch.inf)
    groups = values.shape[1] // _GROUP
    minima = values.view(len(values), _GROUP, groups).amin(dim=1)
    fresh = (minima < bounds.amax(dim=1, keepdim=True)).sum(dim=1)
    most = min(int(fresh.max()), bounds.shape[1])
    if not most:
        return
    changed = torch.nonzero(fresh).squeeze(1)
    # A row's `most` groups with the lowest minima hold all its fresh values, or its c lowest.
    chosen = minima[changed].topk(most, dim=1, largest=False, sorted=False).indices
    offsets = torch.arange(0, groups * _GROUP, groups, device=values.device)
    columns = (chosen[:, :, None] + offsets).flatten(1)
    joined = torch.cat([bounds[changed], values[changed[:, None], columns].float()], dim=1)
    joined_indices = torch.cat([indices[changed], columns + start], dim=1)
    kept = joined.topk(bounds.shape[1], dim=1, largest=False, sorted=False)
    # What is infinitely far is the excluded row or padding, which may have no row.
    kept_indices = joined_indices.gather(1, kept.indices)
    indices[changed] = kept_indices.masked_fill(kept.values == torch.inf, -1)
    bounds[changed] = kept.values
