"""Exact nearest neighbours in bounded memory, and the difficult rows that they define.

A search runs in three steps. (1) Every query is compared with the whole base by matrix products,
block by block, which gives each pair a *lower bound* on its squared distance: the product's value
less the largest rounding error it can have. The rows with the lowest bounds are the candidates.
(2) Candidates get their distance from exact differences. ‖a‖² + ‖b‖² − 2ab alone would lose the
digits by which near-duplicates differ. (3) Where a row outside the candidates could still be as
near as the k-th neighbour (many near-ties), that query is searched again without a limit on the
candidates. So the result is the exact one, whatever the block size; bfloat16 only makes step 1
faster.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

Matrix = torch.Tensor | npt.ArrayLike

_BASE_BLOCK_ROWS = 8192
_GROUP = 16
# Relative slack for "as near as": distances are compared as float32, which merges values that
# differ by less than 2**-23, so squares by less than 2**-22.
_TIE_SLACK = 1.0 + 2.0**-21
_UNDERFLOW_SLACK = 1e-36


def nearest_neighbors(
    queries: Matrix,
    base: Matrix,
    k: int,
    *,
    exclude: torch.Tensor | npt.ArrayLike | None = None,
    block_bytes: int = 64 * 2**20,
    dtype: str = "float32",
    device: str | torch.device | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The k nearest rows of ``base`` to every query, by Euclidean distance, brute force.

    Args:
        queries: [q, d], NumPy or torch; computed with as float32.
        base: [n, d].
        k: neighbours a query, from 1 to the rows that are left after ``exclude``.
        exclude: int64 [q]: the row of ``base`` that *is* the query and so no neighbour of it, −1
            for none. Other rows that equal the query remain its neighbours, at distance 0.
        block_bytes: bytes that the temporary arrays may take, about. The result is the same for
            every value.
        dtype: type of the matrix products, "float32" or "bfloat16". Distances are exact with
            both; with bfloat16 the bound of step 1 holds with overwhelming probability (six
            standard deviations of its rounding errors) rather than with certainty.
        device: where to compute; default: where ``base`` is if it is a tensor, else the CPU.

    Returns:
        distances, float32 [q, k], ascending; and indices, int64 [q, k]. Neighbours with the same
        (float32) distance are ordered by index, lowest first.

    Raises:
        ValueError: NaN or infinite values (the row is named), arrays that are not
            two-dimensional, widths that differ, k out of range, ``exclude`` out of range.
    """
    if dtype not in ("float32", "bfloat16"):
        raise ValueError(f'dtype must be "float32" or "bfloat16", got {dtype!r}')
    if device is None:
        device = base.device if isinstance(base, torch.Tensor) else "cpu"
    base_rows = _as_rows(base, "base", device)
    query_rows = _as_rows(queries, "queries", device)
    if query_rows.shape[1] != base_rows.shape[1]:
        raise ValueError(
            f"queries have {query_rows.shape[1]} columns and base has {base_rows.shape[1]}: "
            "both must come from the same embedding"
        )
    excluded = _as_exclude(exclude, len(query_rows), len(base_rows), device)
    available = len(base_rows) - int(bool((excluded >= 0).any()))
    if not 1 <= k <= available:
        raise ValueError(
            f"k={k} neighbours were asked for, but {available} rows are available: give k from 1 "
            f"to {available}, or more rows"
        )
    search = _Search(query_rows, base_rows, k, excluded, block_bytes, dtype)
    distances = torch.empty((len(query_rows), k), dtype=torch.float32, device=device)
    indices = torch.empty((len(query_rows), k), dtype=torch.int64, device=device)
    for start in range(0, len(query_rows), search.query_block):
        rows = torch.arange(start, min(start + search.query_block, len(query_rows)), device=device)
        distances[rows], indices[rows] = search.run(rows)
    return distances, indices


class _Search:
    """The prepared arrays of one call of :func:`nearest_neighbors`."""

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
        # Rounding errors grow with the norms: centred rows have the smallest. Scaled to norms of
        # at most 1, no square over- or underflows.
        blocks = base.split(_BASE_BLOCK_ROWS)
        totals = torch.stack([block.sum(dim=0, dtype=torch.float64) for block in blocks])
        center = (totals.sum(dim=0) / len(base)).float()
        self.centered_base, self.centered_queries = base - center, queries - center
        largest = max(
            float(rows.abs().max()) if len(rows) else 0.0
            for rows in (self.centered_base, self.centered_queries)
        )
        if largest == float("inf"):
            raise ValueError(
                "differences of rows overflow float32 (3.4e38): divide all rows by a constant"
            )
        self.scale = min(1.0 / (largest * base.shape[1] ** 0.5), 1e37) if largest > 0 else 1.0
        self.centered_base *= self.scale
        self.centered_queries *= self.scale
        self.base_squares = self.centered_base.square().sum(dim=1)
        self.query_squares = self.centered_queries.square().sum(dim=1)
        self.bfloat16 = dtype == "bfloat16"
        if self.bfloat16:
            self.fast_base = self.centered_base.bfloat16()
            self.fast_queries = self.centered_queries.bfloat16()
        many = 8 * k + 32 if self.bfloat16 else k + 32
        self.candidates = min(many, len(base))
        self.base_block = min(len(base), max(_BASE_BLOCK_ROWS, self.candidates))
        # A block's bounds as float32 with their sort keys, and float64 rows of the candidates.
        bytes_per_query = 12 * self.base_block + 20 * self.candidates * base.shape[1]
        self.query_block = max(1, block_bytes // bytes_per_query)
        self.pair_block = max(1, block_bytes // (20 * base.shape[1]))

    def _error(self, bfloat16: bool) -> float:
        """Largest error of a computed squared distance, as a share of (‖a‖ + ‖b‖)²."""
        width = self.base.shape[1]
        if bfloat16:
            # −2ab, with 2**-9 standing for the unit's standard deviation: random signs in the
            # sum over the width, and the result's own rounding. ‖a‖‖b‖ ≤ (‖a‖ + ‖b‖)² / 4.
            return 2.0**-8 * (6.0 / width**0.5 + 1.0) / 2.0
        unit = 2.0**-24  # worst case of a float32 sum of `width` terms, and of the centring
        if torch.get_float32_matmul_precision() != "highest":
            unit = 2.0**-8 / width  # TF32 or bf16 passes: inputs rounded, sums in float32
        return (width + 16) * unit

    def _bounds(self, rows: torch.Tensor, start: int, stop: int, bfloat16: bool) -> torch.Tensor:
        """Lower bounds on squared distances of queries to base rows start … stop, [q, b]."""
        if bfloat16:
            products = (self.fast_queries[rows] @ self.fast_base[start:stop].T).float()
        else:
            products = self.centered_queries[rows] @ self.centered_base[start:stop].T
        # (‖a‖ + ‖b‖)² ≤ 2(‖a‖² + ‖b‖²): so the error is taken off by shrinking the squares.
        shrink = 1.0 - 2.0 * self._error(bfloat16)
        bounds = products.mul_(-2.0)
        bounds += shrink * self.base_squares[start:stop]
        bounds += (shrink * self.query_squares[rows])[:, None]
        excluded = self.excluded[rows]
        inside = torch.nonzero((excluded >= start) & (excluded < stop)).squeeze(1)
        bounds[inside, excluded[inside] - start] = torch.inf
        return bounds

    def run(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Neighbours of the queries ``rows``: distances and indices, [len(rows), k]."""
        bounds = torch.empty((len(rows), 0), device=rows.device)
        indices = torch.empty((len(rows), 0), dtype=torch.int64, device=rows.device)
        for start in range(0, len(self.base), self.base_block):
            stop = min(start + self.base_block, len(self.base))
            block = self._bounds(rows, start, stop, self.bfloat16)
            values, columns = _lowest(block, min(self.candidates, stop - start))
            bounds = torch.cat([bounds, values], dim=1)
            indices = torch.cat([indices, columns + start], dim=1)
            kept = bounds.topk(min(self.candidates, bounds.shape[1]), dim=1, largest=False)
            bounds, indices = kept.values, indices.gather(1, kept.indices)
        distances = self._distances(rows, indices)
        distances[indices == self.excluded[rows][:, None]] = torch.inf
        # By index first, then stably by distance: ties stay ordered by index.
        indices, order = indices.sort(dim=1)
        distances, order = distances.gather(1, order).sort(dim=1, stable=True)
        indices = indices.gather(1, order)
        distances, indices = distances[:, : self.k], indices[:, : self.k]
        if self.candidates < len(self.base):
            reach = self._reach(distances[:, -1])
            for position in torch.nonzero(bounds.amax(dim=1) <= reach).squeeze(1).tolist():
                distances[position], indices[position] = self._run_unlimited(
                    rows[position : position + 1], reach[position]
                )
        return distances, indices

    def _reach(self, distance: torch.Tensor) -> torch.Tensor:
        """The bound up to which a row may be as near as ``distance``."""
        return (distance.double() * self.scale).square() * _TIE_SLACK + _UNDERFLOW_SLACK

    def _run_unlimited(
        self, row: torch.Tensor, reach: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """One query against every base row whose bound is within ``reach``."""
        best_distances = torch.empty(0, device=row.device)
        best_indices = torch.empty(0, dtype=torch.int64, device=row.device)
        block = min(self.base_block, self.pair_block)
        for start in range(0, len(self.base), block):
            stop = min(start + block, len(self.base))
            bounds = self._bounds(row, start, stop, bfloat16=False)[0]
            near = torch.nonzero((bounds <= reach) & bounds.isfinite()).squeeze(1) + start
            # Earlier blocks hold lower indices, so a stable sort keeps ties by index.
            distances = torch.cat([best_distances, self._distances(row, near[None])[0]])
            near = torch.cat([best_indices, near])
            best_distances, order = distances.sort(stable=True)
            best_distances, best_indices = best_distances[: self.k], near[order][: self.k]
        return best_distances, best_indices

    def _distances(self, rows: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
        """Distances from exact differences, float64 rounded to float32, [len(rows), c]."""
        differences = self.base[indices].double()
        differences -= self.queries[rows].double()[:, None]
        return torch.linalg.vector_norm(differences, dim=2).float()


def _lowest(values: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The ``count`` lowest values of each row and their columns, in any order.

    The columns are dealt into groups first. The ``count`` groups with the lowest minima hold the
    ``count`` lowest values, and minima over groups are several times faster than ``topk``.
    """
    groups = values.shape[1] // _GROUP
    if groups < 2 * count:
        return values.topk(count, dim=1, largest=False, sorted=False)
    dealt = values[:, : groups * _GROUP]
    minima = dealt.view(len(values), _GROUP, groups).amin(dim=1)
    chosen = minima.topk(count, dim=1, largest=False, sorted=False).indices
    offsets = torch.arange(0, groups * _GROUP, groups, device=values.device)
    rest = torch.arange(groups * _GROUP, values.shape[1], device=values.device)
    columns = (chosen[:, :, None] + offsets).flatten(1)
    columns = torch.cat([columns, rest.expand(len(values), -1)], dim=1)
    lowest = values.gather(1, columns).topk(count, dim=1, largest=False, sorted=False)
    return lowest.values, columns.gather(1, lowest.indices)


def _as_rows(values: Matrix, name: str, device: str | torch.device) -> torch.Tensor:
    if not isinstance(values, torch.Tensor):
        try:
            array = np.asarray(values, dtype=np.float32)
        except ValueError as error:
            raise ValueError(
                f"{name} is not a matrix ({error}): every row must have the same width"
            ) from error
        values = torch.from_numpy(array if array.flags.writeable else array.copy())
    if values.ndim != 2 or values.shape[1] == 0:
        raise ValueError(
            f"{name} must have shape [rows, width], got {tuple(values.shape)}; a single vector is "
            "vector[None]"
        )
    rows = values.detach().to(device=device, dtype=torch.float32)
    # NaN and inf survive a sum, so a finite sum is a quick proof that there are none.
    if not bool(rows.sum().isfinite()):
        bad = torch.nonzero(~rows.isfinite())
        if len(bad):
            row, column = bad[0].tolist()
            raise ValueError(
                f"{name} has {float(rows[row, column])} in row {row}, column {column}, as float32: "
                "no distance to it exists; drop the row or embed it again"
            )
    return rows


def _as_exclude(
    exclude: torch.Tensor | npt.ArrayLike | None, queries: int, base: int, device: object
) -> torch.Tensor:
    if exclude is None:
        return torch.full((queries,), -1, dtype=torch.int64, device=device)  # type: ignore[call-overload]
    excluded = torch.as_tensor(exclude, dtype=torch.int64, device=device)  # type: ignore[arg-type]
    if excluded.shape != (queries,):
        raise ValueError(
            f"exclude must have one base row (or −1) a query, shape ({queries},), got "
            f"{tuple(excluded.shape)}"
        )
    outside = torch.nonzero((excluded < -1) | (excluded >= base)).squeeze(1)
    if len(outside):
        position = int(outside[0])
        raise ValueError(
            f"exclude[{position}] is {int(excluded[position])}, outside −1 … {base - 1}"
        )
    return excluded


@dataclass(frozen=True, eq=False)
class DifficultSamples:
    """Rows of the minority class(es) and what surrounds them (MISO, section 7.1).

    Attributes:
        rows: int64 [m], their row numbers, ascending.
        labels: int64 [m], their labels.
        neighbors: int64 [m, k], row numbers of the k nearest rows, nearest first.
        distances: float32 [m, k].
        other_class_share: float64 [m], share of the k neighbours that are of another class.
        is_difficult: bool [m], whether at least one neighbour is of another class.
        confusers: int64 [m, k], the neighbours of another class, nearest first, padded with −1:
            the rows that make the row difficult.
    """

    rows: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    neighbors: npt.NDArray[np.int64]
    distances: npt.NDArray[np.float32]
    other_class_share: npt.NDArray[np.float64]
    is_difficult: npt.NDArray[np.bool_]
    confusers: npt.NDArray[np.int64]

    def share(self, label: int | None = None) -> float:
        """Share of difficult rows among all minority rows, or among those of one label.

        Raises:
            ValueError: ``label`` is not among the minority labels.
        """
        if label is None:
            return float(self.is_difficult.mean())
        chosen = self.labels == label
        if not chosen.any():
            present = np.unique(self.labels).tolist()
            raise ValueError(f"no minority row has label {label}; the labels are {present}")
        return float(self.is_difficult[chosen].mean())


def difficult_samples(
    embeddings: Matrix,
    labels: torch.Tensor | npt.ArrayLike,
    k: int = 5,
    *,
    minority: int | Iterable[int] | None = None,
    block_bytes: int = 64 * 2**20,
    dtype: str = "float32",
    device: str | torch.device | None = None,
) -> DifficultSamples:
    """Find the minority rows that have a row of another class among their k nearest neighbours.

    This is the *difficult sample* of MISO, section 7.1 (k = 5 unless set), in the representation
    space of ``embeddings``. A row is never its own neighbour; copies of it are.

    Args:
        embeddings: [n, d], NumPy or torch.
        labels: integer labels [n].
        k: neighbours to look at.
        minority: label or labels to examine; default: all but the largest class (of equally
            large ones the lowest label).
        block_bytes, dtype, device: see :func:`nearest_neighbors`.

    Raises:
        ValueError: labels of another length or type, a minority label without rows, one class
            only, and everything that :func:`nearest_neighbors` raises.
    """
    all_labels = np.asarray(labels.cpu() if isinstance(labels, torch.Tensor) else labels)
    if all_labels.ndim != 1 or all_labels.dtype.kind not in "iu":
        raise ValueError(
            f"labels must be integers of shape [rows], got {all_labels.dtype} {all_labels.shape}"
        )
    all_labels = all_labels.astype(np.int64)
    if device is None:
        device = embeddings.device if isinstance(embeddings, torch.Tensor) else "cpu"
    base = _as_rows(embeddings, "embeddings", device)
    if len(base) != len(all_labels):
        raise ValueError(f"there are {len(base)} embeddings but {len(all_labels)} labels")
    present, counts = np.unique(all_labels, return_counts=True)
    if len(present) < 2:
        raise ValueError(
            f"found {len(present)} class(es), need at least 2: no row can lie among another class"
        )
    if minority is None:
        examined = np.delete(present, np.argmax(counts))
    else:
        examined = np.array([minority] if isinstance(minority, int) else list(minority))
        missing = [int(label) for label in examined if label not in present]
        if missing or not len(examined):
            raise ValueError(
                f"minority labels {missing} have no rows; the labels are {present.tolist()}"
            )
    rows = np.flatnonzero(np.isin(all_labels, examined))
    distances, indices = nearest_neighbors(
        base[torch.from_numpy(rows).to(base.device)],
        base,
        k,
        exclude=rows,
        block_bytes=block_bytes,
        dtype=dtype,
        device=device,
    )
    neighbors = indices.cpu().numpy()
    other = all_labels[neighbors] != all_labels[rows, None]
    # A stable sort on "same class" moves the others to the front and keeps their order.
    order = np.argsort(~other, axis=1, kind="stable")
    confusers = np.where(
        np.take_along_axis(other, order, 1), np.take_along_axis(neighbors, order, 1), -1
    )
    return DifficultSamples(
        rows=rows,
        labels=all_labels[rows],
        neighbors=neighbors,
        distances=distances.cpu().numpy(),
        other_class_share=other.mean(axis=1),
        is_difficult=other.any(axis=1),
        confusers=confusers,
    )
