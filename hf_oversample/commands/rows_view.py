"""What a balanced data set's page shows: each row's place, neighbours and nearest copy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hf_oversample.comparison.embedders import LatentSemanticEmbedder, pretrained_embedder
from hf_oversample.neighbors.difficult import difficult_samples, nearest_neighbors
from hf_oversample.text.copies import CopyIndex, words_of
from hf_oversample.text.words import Language, Segmenter

KINDS = ("majority", "rare", "difficult", "made", "repeated")
"""Majority rows; rare real ones; rare ones that other classes outvote; made texts; repeats."""
NEIGHBORS = 5
COPY_CANDIDATES = 10
REAL_ROWS, NEW_ROWS = 4000, 5000
"""Rows of other classes, and new rows, that a page shows at most: at even distances among all.
Rare rows, and those that a shown one was made from or lies near to, are always there."""


@dataclass(frozen=True)
class ViewedRow:
    """
    A row of the balanced training part.

    Args:
        row: its number there.
        text, label: of it, the label by name.
        kind: one of `KINDS`.
        x, y: its place in the projection.
        parent: the row that it was made from, −1 for real rows.
        neighbors: of a made row, the nearest real rows, nearest first.
        copy: of a made row, the real row with the most words in common; −1 for none.
        copy_share: words that both have over words that one of them has.
        is_copy: whether it counts as an exact or near copy.
    """

    row: int
    text: str
    label: str
    kind: str
    x: float
    y: float
    parent: int = -1
    neighbors: tuple[int, ...] = ()
    copy: int = -1
    copy_share: float = 0.0
    is_copy: bool = False


@dataclass(frozen=True)
class RowsView:
    """
    All that the page shows of rows.

    Args:
        rows: those that are shown, by number.
        left_out: how many are not.
        measured_by: what places and neighbours were measured by, in words.
        axes: the projection's axes, in words.
    """

    rows: list[ViewedRow]
    left_out: int
    measured_by: str
    axes: str


def view_rows(
    texts: Sequence[str],
    labels: Sequence[str],
    origins: Sequence[str],
    parents: Sequence[int],
    *,
    language: Language,
    encoder_name: str | None = None,
    projection: Literal["pca", "umap"] = "pca",
    real_rows: int = REAL_ROWS,
    new_rows: int = NEW_ROWS,
) -> RowsView:
    """
    Where the rows of a balanced training part lie.

    Args:
        texts, labels, origins, parents: of each row; origins "real", "synthetic" or "resampled".
        language: decides how words are found.
        encoder_name: what embeds them; None: words and pairs of words, weighed by TF-IDF and
            reduced by a singular value decomposition, learnt from the real rows.
        projection: "pca" or "umap", fitted on the real rows.
        real_rows, new_rows: majority rows and new rows that are shown at most, at even distances
            among all; those that a shown one was made from or lies near to come on top.

    Raises:
        ValueError: there are fewer than three real rows, or only one class.
        ImportError: umap-learn is not installed.
    """
    origin = np.asarray(origins, object)
    names = sorted(set(labels))
    codes = np.asarray([names.index(label) for label in labels], np.int64)
    real = np.flatnonzero(origin == "real")
    if len(real) < 3 or len(set(codes[real].tolist())) < 2:
        raise ValueError(
            f"the balanced data set has {len(real)} real rows of "
            f"{len(set(codes[real].tolist()))} classes; a page of them needs three rows and two "
            "classes."
        )
    segmenter = Segmenter(language)
    if encoder_name is None:
        embed: Any = LatentSemanticEmbedder([texts[row] for row in real.tolist()], segmenter)
        by = "words and pairs of words (TF-IDF, singular value decomposition)"
    else:
        embed, by = pretrained_embedder(encoder_name), f"embeddings of {encoder_name}"
    vectors = np.asarray(embed(list(texts)), np.float32)
    points, axes = _projected(vectors, real, projection)
    kinds = _kinds(vectors, codes, origin, real)
    wanted = np.asarray(kinds, object)
    kept = set(np.flatnonzero((wanted == "rare") | (wanted == "difficult")).tolist())
    for some, most in ((("majority",), real_rows), (("made", "repeated"), new_rows)):
        found = np.flatnonzero(np.isin(wanted, some))
        kept.update(found[_spread(len(found), most)].tolist())
    made = np.asarray([row for row in sorted(kept) if kinds[row] == "made"], np.int64)
    near = _neighbors(vectors, real, made)
    copies = _copies(texts, real, near, parents, segmenter)
    for row, others in near.items():
        kept.update((*others[:NEIGHBORS], copies[row][0]))
    kept.update([int(parents[row]) for row in kept])
    shown = sorted(kept - {-1})
    rows = []
    for row in shown:
        copy, share, is_copy = copies.get(row, (-1, 0.0, False))
        rows.append(
            ViewedRow(
                row,
                str(texts[row]),
                str(labels[row]),
                kinds[row],
                round(float(points[row, 0]), 4),
                round(float(points[row, 1]), 4),
                int(parents[row]),
                tuple(near[row][:NEIGHBORS]) if row in near else (),
                copy,
                round(share, 3),
                is_copy,
            )
        )
    return RowsView(rows, len(texts) - len(rows), by, axes)


def _projected(
    vectors: np.ndarray, real: np.ndarray, projection: Literal["pca", "umap"]
) -> tuple[np.ndarray, str]:
    """`[rows, 2]`, and what the axes are."""
    if vectors.shape[1] == 1:
        return np.column_stack([vectors[:, 0], np.zeros(len(vectors))]), "one dimension"
    if projection == "umap":
        try:
            import umap
        except ImportError as error:
            raise ImportError(
                "--projection umap needs umap-learn, which is not installed: pip install "
                "umap-learn, or take --projection pca."
            ) from error
        fitted = umap.UMAP(n_components=2, random_state=0, n_jobs=1).fit(vectors[real])
        return np.asarray(fitted.transform(vectors)), "UMAP of the real rows"
    from sklearn.decomposition import PCA

    fitted = PCA(n_components=2, random_state=0).fit(vectors[real])
    first, second = 100 * fitted.explained_variance_ratio_
    shares = f"{first:.1f} % and {second:.1f} % of the variance"
    axes = f"the first two principal components of the real rows ({shares})"
    return fitted.transform(vectors), axes


def _kinds(
    vectors: np.ndarray, codes: np.ndarray, origin: np.ndarray, real: np.ndarray
) -> list[str]:
    """Of each row; the rare classes are those with new rows, or else all but the largest."""
    grown = set(codes[origin != "real"].tolist())
    sizes = np.bincount(codes[real])
    rare = sorted(grown or set(range(len(sizes))) - {int(sizes.argmax())})
    kinds = np.where(np.isin(codes, rare), "rare", "majority").astype(object)
    k = min(NEIGHBORS, len(real) - 1)
    found = difficult_samples(vectors[real], codes[real], k=k, minority=rare)
    kinds[real[found.rows[found.is_outvoted]]] = "difficult"
    kinds[origin == "synthetic"] = "made"
    kinds[origin == "resampled"] = "repeated"
    return [str(kind) for kind in kinds]


def _neighbors(vectors: np.ndarray, real: np.ndarray, made: np.ndarray) -> dict[int, list[int]]:
    """Made row → the nearest real rows, nearest first."""
    if not len(made):
        return {}
    k = min(COPY_CANDIDATES, len(real))
    _, indices = nearest_neighbors(vectors[made], vectors[real], k)
    return {
        row: real[found].tolist() for row, found in zip(made.tolist(), indices.numpy(), strict=True)
    }


def _copies(
    texts: Sequence[str],
    real: np.ndarray,
    near: dict[int, list[int]],
    parents: Sequence[int],
    segmenter: Segmenter,
) -> dict[int, tuple[int, float, bool]]:
    """Made row → the likest of its parent and its neighbours by words, how like, and whether it is
    a copy of any real row."""
    if not near:
        return {}
    index = CopyIndex.build([texts[row] for row in real.tolist()], segmenter)
    words: dict[int, set[str]] = {}

    def of(row: int) -> set[str]:
        if row not in words:
            words[row] = set(words_of(texts[row], segmenter))
        return words[row]

    found = {}
    for row, candidates in near.items():
        best, best_share = -1, -1.0
        for other in dict.fromkeys([parents[row], *candidates]):
            if other < 0:
                continue
            both = of(row) | of(other)
            share = len(of(row) & of(other)) / len(both) if both else 0.0
            if share > best_share:
                best, best_share = int(other), share
        is_copy = index.is_copy(texts[row]) or index.is_near_copy(texts[row], segmenter)
        found[row] = (best, max(best_share, 0.0), is_copy)
    return found


def _spread(total: int, count: int) -> np.ndarray:
    """At most `count` of `total` places, at even distances."""
    if total <= count:
        return np.arange(total)
    return np.linspace(0, total - 1, count).round().astype(int)
