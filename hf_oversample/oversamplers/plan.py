"""Which children each row gets (the plan), and what a method hands back when it made them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]

ORIGINS = ("real", "synthetic", "resampled")
"""Names of the ClassLabel column ``origin``: a row of the input, a row that was made, and a copy
of a row of the input that stands in for a made one."""

REAL, SYNTHETIC, RESAMPLED = range(3)


@dataclass(frozen=True, eq=False)
class Plan:
    """One entry per child, sorted by (parent, child).

    Attributes:
        parent: int64 [children], row number of the child's parent in the fitted data set.
        child: int64 [children], 0, 1, 2 … among the children of one parent.
        label: int64 [children], code of the child's class (its place in the oversampler's
            ``label_values_``). It may differ from its parent's class.
        extra: further int64 arrays by name, one entry (or row) per child, for a method's own use.
    """

    parent: IntArray
    child: IntArray
    label: IntArray
    extra: Mapping[str, IntArray] = field(default_factory=dict)

    @classmethod
    def build(
        cls,
        parent: npt.ArrayLike,
        child: npt.ArrayLike,
        label: npt.ArrayLike,
        extra: Mapping[str, npt.ArrayLike] | None = None,
    ) -> Plan:
        """Sort the entries by (parent, child) and check them.

        Raises:
            ValueError: arrays of different lengths, or a parent whose children are not numbered
                0, 1, 2 … without gaps and repeats.
        """
        parents = np.asarray(parent, dtype=np.int64).reshape(-1)
        numbers = np.asarray(child, dtype=np.int64).reshape(-1)
        arrays = {"child": numbers, "label": np.asarray(label, dtype=np.int64).reshape(-1)}
        further = {
            name: np.asarray(values, dtype=np.int64) for name, values in (extra or {}).items()
        }
        for name, values in {**arrays, **further}.items():
            if len(values) != len(parents):
                raise ValueError(
                    f"a plan needs arrays of one length: parent has {len(parents)} entries, "
                    f"{name} has {len(values)}"
                )
        order = np.lexsort((numbers, parents))
        plan = cls(
            parents[order],
            numbers[order],
            arrays["label"][order],
            {name: np.ascontiguousarray(values[order]) for name, values in further.items()},
        )
        starts = np.searchsorted(plan.parent, plan.parent)
        wrong = np.flatnonzero(plan.child != np.arange(len(plan)) - starts)
        if len(wrong):
            row = int(plan.parent[wrong[0]])
            raise ValueError(
                f"the children of row {row} are numbered "
                f"{plan.child[plan.parent == row].tolist()}: number them 0, 1, 2 …"
            )
        return plan

    @classmethod
    def from_counts(cls, rows: npt.ArrayLike, counts: npt.ArrayLike, label: npt.ArrayLike) -> Plan:
        """``counts[i]`` children for row ``rows[i]`` (each row once), of class ``label``: one for
        all, or one a row."""
        shares = np.asarray(counts, dtype=np.int64)
        ends = np.cumsum(shares)
        total = int(ends[-1]) if len(ends) else 0
        child = np.arange(total) - np.repeat(ends - shares, shares)
        return cls.build(
            np.repeat(np.asarray(rows, dtype=np.int64), shares),
            child,
            np.repeat(np.broadcast_to(np.asarray(label, np.int64), shares.shape), shares),
        )

    @classmethod
    def join(cls, plans: Sequence[Plan]) -> Plan:
        """One plan of several; no two may hold children of the same row.

        Raises:
            ValueError: two plans share a parent, or their ``extra`` have different names.
        """
        if not plans:
            return cls.build([], [], [])
        names = list(plans[0].extra)
        if any(list(plan.extra) != names for plan in plans):
            raise ValueError(f"plans to join have different extra arrays, the first {names}")
        return cls.build(
            np.concatenate([plan.parent for plan in plans]),
            np.concatenate([plan.child for plan in plans]),
            np.concatenate([plan.label for plan in plans]),
            {name: np.concatenate([plan.extra[name] for plan in plans]) for name in names},
        )

    def __len__(self) -> int:
        return len(self.parent)

    def take(self, entries: IntArray) -> Plan:
        """The plan of some entries, in their order."""
        return Plan(
            self.parent[entries],
            self.child[entries],
            self.label[entries],
            {name: values[entries] for name, values in self.extra.items()},
        )

    def of_rows(self, rows: npt.ArrayLike) -> tuple[Plan, IntArray]:
        """The children of some rows, in the order of ``rows``.

        Returns:
            their plan, and for each child the place of its parent in ``rows``.
        """
        parents = np.asarray(rows, dtype=np.int64)
        starts = np.searchsorted(self.parent, parents, side="left")
        counts = np.searchsorted(self.parent, parents, side="right") - starts
        positions = np.repeat(np.arange(len(parents)), counts)
        # Entry i of a row's run is its start plus i; i counts from the run's own beginning.
        within = np.arange(len(positions)) - np.repeat(np.cumsum(counts) - counts, counts)
        return self.take(starts[positions] + within), positions


@dataclass(frozen=True, eq=False)
class Children:
    """What a method made: one entry per child, in the order of the plan that it was given.

    Attributes:
        columns: values by column name, sequences or, for embeddings, a matrix [children, d].
            Columns left out are null, or copied from the parent where the user asks. The label
            column is filled in from the plan.
        origin: SYNTHETIC or RESAMPLED, one for all or one per child.
        parent: row numbers [children] where they differ from the plan's: a child whose tries are
            used up may repeat another real row, and then names that one.
    """

    columns: Mapping[str, Sequence[object] | npt.NDArray[np.generic]]
    origin: int | npt.ArrayLike = SYNTHETIC
    parent: npt.ArrayLike | None = None
