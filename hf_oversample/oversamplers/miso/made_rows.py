"""Rows of a balanced data set that are to get a text, and the data set with their texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
from datasets import Dataset, concatenate_datasets
from datasets.fingerprint import Hasher

from hf_oversample.data.columns import Labels, in_format_of
from hf_oversample.oversamplers.plan import REAL, RESAMPLED, SYNTHETIC, IntArray


@dataclass(frozen=True)
class DecodingRequests:
    """
    The texts to write, sorted by (parent, child).

    Args:
        rows: `[m]`, the synthetic rows' places in the data set.
        parent: `[m]`, counted among the real rows.
        child: `[m]`, 0, 1, 2 … among all children of a parent, as in the oversampler's plan.
        label, avoid: `[m]`, class codes to write as and to lead away from.
    """

    rows: IntArray
    parent: IntArray
    child: IntArray
    label: IntArray
    avoid: IntArray

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def of(cls, origin: IntArray, parent: IntArray, labels: Labels) -> Self:
        """
        The requests of a data set.

        Args:
            origin, parent: `[n]`, its columns.
            labels: of all its rows.

        Raises:
            ValueError: a `parent` that is no real row, or rows in another order than the
                oversampler's.
        """
        codes = labels.codes.astype(np.int64)
        real, made = np.flatnonzero(origin == REAL), np.flatnonzero(origin != REAL)
        wrong = made[(parent[made] < 0) | (parent[made] >= len(real))]
        if len(wrong):
            raise ValueError(
                f"column 'parent' is {parent[wrong[0]]} in row {wrong[0]}, but there are "
                f"{len(real)} real rows: decode the data set as the oversampler gave it, with all "
                "its real rows"
            )
        _check_order(origin, parent, codes)
        made = made[np.argsort(parent[made], kind="stable")]
        child = np.arange(len(made)) - np.searchsorted(parent[made], parent[made])
        rows, child = made[origin[made] == SYNTHETIC], child[origin[made] == SYNTHETIC]
        # Away from the class of a parent of another class, else from the largest other class.
        counts = np.bincount(codes[real], minlength=len(labels.names))
        other_counts = np.where(np.eye(len(counts), dtype=bool), -1, counts)
        source, label = codes[real][parent[rows]], codes[rows]
        avoid = np.where(source == label, other_counts.argmax(1)[label], source)
        return cls(rows, parent[rows], child, label, avoid)


def _check_order(origin: IntArray, parent: IntArray, codes: IntArray) -> None:
    """`parent` counts the real rows in their order when fitted: that order must be there still.

    Raises:
        ValueError: neither the real rows come first and the synthetic ones by their parents (as
            `balance` gives them), nor does each synthetic row come after its parent (as `map`
            does); or a resampled row's parent is of another class.
    """
    synthetic, resampled = np.flatnonzero(origin == SYNTHETIC), np.flatnonzero(origin == RESAMPLED)
    is_after_parent = parent[synthetic] == np.cumsum(origin == REAL)[synthetic] - 1
    is_real_first = bool((np.diff((origin != REAL).astype(np.int8)) >= 0).all())
    is_by_parents = is_real_first and bool((np.diff(parent[synthetic]) >= 0).all())
    wrong = synthetic[:0] if is_by_parents else synthetic[~is_after_parent]
    if not len(wrong):
        own = codes[origin == REAL][parent[resampled]]
        wrong = resampled[own != codes[resampled]]
    if len(wrong):
        raise ValueError(
            f"the rows are not in the oversampler's order (row {wrong[0]}, for one): 'parent' "
            "counts the real rows as they lay when it was fitted, so that texts would be written "
            "from wrong rows. Decode what balance or map gave, as it is; shuffle or filter after"
        )


def with_texts(
    dataset: Dataset,
    origin: IntArray,
    requests: DecodingRequests,
    written: list[str | None],
    repeats: IntArray,
    *,
    text_column: str,
    label_column: str,
    embedding_column: str,
    fingerprint: str,
) -> Dataset:
    """
    A data set with the texts of its requests, in its order; real rows are not rewritten.

    A row that repeats a real one takes its text and embedding, is marked `resampled`, and has
    null in all other columns. A resampled row without a text gets that of its parent.

    Args:
        dataset: with columns `origin` and `parent`.
        origin: `[n]`, the first of these.
        requests: m requests.
        written: m texts; None for those that repeat a real row.
        repeats: `[m]`, the real row that is repeated (counted among the real rows), or −1.
        text_column, label_column, embedding_column: of the data set.
        fingerprint: of the result's content.
    """
    plain = dataset.with_format(None)
    real, made = np.flatnonzero(origin == REAL), np.flatnonzero(origin != REAL)
    real_rows, made_rows = plain.select(real), plain.select(made)
    place = {row: i for i, row in enumerate(requests.rows.tolist())}
    asked = np.asarray([place.get(row, -1) for row in made.tolist()], np.int64)
    # The last entry stands for the rows that were not asked for.
    stands_for = np.append(repeats, -1)[asked]
    real_texts, parents = real_rows[text_column][:], made_rows["parent"][:]
    new_texts = [*written, None]  # as above
    texts = [
        real_texts[own] if own >= 0 else new if new is not None else old or real_texts[parent]
        for own, new, old, parent in zip(
            stands_for.tolist(),
            [new_texts[i] for i in asked.tolist()],
            made_rows[text_column][:],
            parents,
            strict=True,
        )
    ]
    repeated = stands_for >= 0
    kept = pa.array(np.arange(len(made)), mask=repeated)  # a null index takes a null
    schema = dataset.features.arrow_schema
    given = made_rows.with_format("arrow")[:].cast(schema)
    copied = real_rows.select(stands_for[repeated]).with_format("arrow")[:].cast(schema)
    from_both = np.arange(len(made))
    from_both[repeated] = len(made) + np.arange(len(copied))
    columns: list[Any] = []
    for name in schema.names:
        kind = schema.field(name).type
        if name == text_column:
            columns.append(pa.array(texts, type=kind))
        elif name == "origin":
            codes = np.where(repeated, RESAMPLED, origin[made])
            columns.append(pa.array(codes, type=kind))
        elif name == "parent":
            columns.append(pa.array(np.where(repeated, stands_for, parents), type=kind))
        elif name == embedding_column:
            both = pa.chunked_array([*given[name].chunks, *copied[name].chunks], type=kind)
            columns.append(both.take(pa.array(from_both)))
        else:
            columns.append(given[name] if name == label_column else given[name].take(kept))
    children = Dataset(
        pa.table(columns, schema=schema), fingerprint=Hasher.hash([fingerprint, "children"])
    )
    joined = concatenate_datasets([real_rows, children])
    order = np.argsort(np.concatenate([real, made]), kind="stable")
    if (order != np.arange(len(order))).any():  # `map` leaves children between the rows
        joined = joined.select(order)
    return in_format_of(joined, dataset)
