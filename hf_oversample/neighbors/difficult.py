"""Exact nearest neighbours in bounded memory, and the difficult rows that they define."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from hf_oversample.neighbors.search import Search
from hf_oversample.neighbors.votes import (
    difficult_by_chance,
    outvoted_by_chance,
    weighted_votes,
)
from hf_oversample.numeric.offsets import near_zero
from hf_oversample.numeric.precision import has_fast_bfloat16

Matrix = torch.Tensor | npt.ArrayLike
DTYPES = ("auto", "float32", "bfloat16")

# From here on bfloat16 is faster where the processor has it; below, the wider choice of candidates
# costs more than the products save.
_LARGE_WIDTH = 128
_LARGE_BASE = 8192


def nearest_neighbors(
    queries: Matrix,
    base: Matrix,
    k: int,
    *,
    exclude: torch.Tensor | npt.ArrayLike | None = None,
    block_bytes: int = 64 * 2**20,
    dtype: str = "auto",
    device: str | torch.device | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The k nearest rows of ``base`` to every query, by Euclidean distance, brute force.

    Args:
        queries: [q, d], NumPy or torch; computed with as float32. Of arrays of more digits
            (float64, integers) columns far from zero are first moved there, in float64.
        base: [n, d].
        k: neighbours a query, from 1 to the rows that are left after ``exclude``.
        exclude: int64 [q]: the row of ``base`` that *is* the query and so no neighbour of it, −1
            for none. Other rows that equal the query remain its neighbours, at distance 0.
        block_bytes: bytes that the temporary arrays may take, about. The result is the same for
            every value.
        dtype: type of the matrix products, "float32", "bfloat16", or "auto": bfloat16 where the
            device is faster in it and there is enough to compute, else float32. Distances are
            exact with both; with bfloat16 the bound of step 1 is certain for rows on the query's
            side of the centre of all rows (a positive inner product), where neighbours are found.
            Across it, all of a sum's rounding errors would have to be near their worst to miss a
            row.
        device: where to compute; default: where ``base`` is if it is a tensor, else the CPU.

    Returns:
        distances, float32 [q, k], ascending; and indices, int64 [q, k]. Neighbours with the same
        (float32) distance are ordered by index, lowest first.

    Raises:
        ValueError: NaN or infinite values (the row is named), arrays that are not
            two-dimensional, widths that differ, k out of range, ``exclude`` out of range.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}; got {dtype!r}")
    if device is None:
        device = base.device if isinstance(base, torch.Tensor) else "cpu"
    base, queries = near_zero(base, queries)
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
    if dtype == "auto":
        large = base_rows.shape[1] >= _LARGE_WIDTH and len(base_rows) >= _LARGE_BASE
        dtype = "bfloat16" if large and has_fast_bfloat16(base_rows.device) else "float32"
    return Search(query_rows, base_rows, k, excluded, block_bytes, dtype).run()


def _as_rows(values: Matrix, name: str, device: str | torch.device) -> torch.Tensor:
    if not isinstance(values, torch.Tensor):
        try:
            with np.errstate(over="ignore"):  # told below, with its place
                array = np.asarray(values, dtype=np.float32)
        except ValueError as error:
            raise ValueError(
                f"{name} is not a matrix ({error}): every row must have the same width"
            ) from error
        with warnings.catch_warnings():  # a read-only array stays uncopied: nothing writes to it
            warnings.filterwarnings("ignore", message="The given NumPy array is not writ")
            values = torch.from_numpy(array)
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

    The paper's measure is `is_difficult`. It saturates: where rows are rare, each has a neighbour
    of another class. `is_outvoted` weighs the neighbours' votes by the size of their class, and
    tells rows apart at any ratio (:mod:`hf_oversample.neighbors.votes` has the formulas). Both come
    with what chance gives, labels that say nothing of places.

    Attributes:
        rows: int64 [m], their row numbers, ascending.
        labels: int64 [m], their labels.
        neighbors: int64 [m, k], row numbers of the k nearest rows, nearest first.
        distances: float32 [m, k].
        other_class_share: float64 [m], share of the k neighbours that are of another class.
        is_difficult: bool [m], whether at least one neighbour is of another class.
        confusers: int64 [m, k], the neighbours of another class, nearest first, padded with −1:
            the rows that make the row difficult.
        own_lift: float64 [m], the share of the k neighbours that are of the row's own class over
            the share of that class among all other rows: 1 is chance at any ratio, 0 is none.
        weighted_other_share: float64 [m] in [0, 1], the other classes' part of the votes, each
            class's votes over its size.
        is_outvoted: bool [m], whether another class has as many weighted votes as the row's own or
            more: its class is no denser there than another.
        difficult_by_chance, outvoted_by_chance: float64 [m], the chance of either if the labels
            were dealt out at random.
    """

    rows: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    neighbors: npt.NDArray[np.int64]
    distances: npt.NDArray[np.float32]
    other_class_share: npt.NDArray[np.float64]
    is_difficult: npt.NDArray[np.bool_]
    confusers: npt.NDArray[np.int64]
    own_lift: npt.NDArray[np.float64]
    weighted_other_share: npt.NDArray[np.float64]
    is_outvoted: npt.NDArray[np.bool_]
    difficult_by_chance: npt.NDArray[np.float64]
    outvoted_by_chance: npt.NDArray[np.float64]

    def share(self, label: int | None = None) -> float:
        """Share of difficult rows among all minority rows, or among those of one label.

        Raises:
            ValueError: ``label`` is not among the minority labels.
        """
        return float(self.is_difficult[self._of(label)].mean())

    def outvoted_share(self, label: int | None = None) -> float:
        """Share of outvoted rows among all minority rows, or among those of one label.

        Raises:
            ValueError: ``label`` is not among the minority labels.
        """
        return float(self.is_outvoted[self._of(label)].mean())

    def summary(self, rows: int | None = None) -> dict[str, float]:
        """What reports say of the minority rows.

        Args:
            rows: only those with a row number below this, where rows that were made stand last;
                default: all.

        Returns:
            difficult_share, outvoted_share, each with what chance gives
            (difficult_share_by_chance, outvoted_share_by_chance), and the mean own_lift.
        """
        chosen = self.rows < (np.inf if rows is None else rows)
        values = {
            "difficult_share": self.is_difficult,
            "difficult_share_by_chance": self.difficult_by_chance,
            "outvoted_share": self.is_outvoted,
            "outvoted_share_by_chance": self.outvoted_by_chance,
            "own_lift": self.own_lift,
        }
        return {name: float(value[chosen].mean()) for name, value in values.items()}

    def _of(self, label: int | None) -> npt.NDArray[np.bool_]:
        if label is None:
            return np.ones(len(self.rows), bool)
        chosen = self.labels == label
        if not chosen.any():
            present = np.unique(self.labels).tolist()
            raise ValueError(f"no minority row has label {label}; the labels are {present}")
        return chosen


def difficult_samples(
    embeddings: Matrix,
    labels: torch.Tensor | npt.ArrayLike,
    k: int = 5,
    *,
    minority: int | Iterable[int] | None = None,
    block_bytes: int = 64 * 2**20,
    dtype: str = "auto",
    device: str | torch.device | None = None,
) -> DifficultSamples:
    """Find the minority rows that have a row of another class among their k nearest neighbours.

    This is the *difficult sample* of MISO, section 7.1 (k = 5 unless set), in the representation
    space of ``embeddings``. A row is never its own neighbour; copies of it are. Rows that other
    classes *outvote*, votes weighted by class size, are found beside them: with few minority rows
    nearly all are difficult, and only the weighted votes tell which lie among their own.

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
    if all_labels.dtype == object and None in all_labels.tolist():
        raise ValueError(
            f"the label of row {all_labels.tolist().index(None)} is null: give the row a label, or "
            "drop it"
        )
    if all_labels.ndim != 1 or all_labels.dtype.kind not in "iu":
        raise ValueError(
            f"labels must be integers of shape [rows], got {all_labels.dtype} {all_labels.shape}"
        )
    all_labels = all_labels.astype(np.int64)
    if device is None:
        device = embeddings.device if isinstance(embeddings, torch.Tensor) else "cpu"
    embeddings, _ = near_zero(embeddings, embeddings)
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
    own = all_labels[rows]
    votes = weighted_votes(own, all_labels[neighbors], all_labels)
    by_chance = {
        label: (
            difficult_by_chance(counts.tolist(), place, k),
            outvoted_by_chance(counts.tolist(), place, k),
        )
        for place, label in enumerate(present.tolist())
        if label in examined
    }
    chances = np.array([by_chance[label] for label in own.tolist()])
    return DifficultSamples(
        rows=rows,
        labels=own,
        neighbors=neighbors,
        distances=distances.cpu().numpy(),
        other_class_share=other.mean(axis=1),
        is_difficult=other.any(axis=1),
        confusers=confusers,
        own_lift=votes.own_lift,
        weighted_other_share=votes.other_share,
        is_outvoted=votes.is_outvoted,
        difficult_by_chance=chances[:, 0],
        outvoted_by_chance=chances[:, 1],
    )
