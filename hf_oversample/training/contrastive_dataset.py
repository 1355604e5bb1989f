"""An imbalanced text data set as training data for sentence-transformers and SetFit.

Losses of sentence-transformers read texts by the *order* of the columns, and by name only a label:
`label`, `labels`, `score` or `scores`. SetFit reads `text` and `label` by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from datasets import Dataset, Features, Value

from hf_oversample.data.columns import Labels, check_texts, read_labels, require_columns
from hf_oversample.data.embeddings import embedding_matrix
from hf_oversample.numeric import noise
from hf_oversample.training.contrastive import RareClass, draw_negatives, rare_classes
from hf_oversample.training.triplets import draw_triplets

Layout = Literal["triplet", "pair-class", "pair-score", "text"]
LAYOUTS = get_args(Layout)
HARD_SHARE = 0.5
"""Share of the other classes' texts that are near rare ones, in the layout "text"."""

IntArray = npt.NDArray[np.int64]
_ORIGIN_COLUMN = "origin"
_ORIGINS = ("real", "synthetic", "resampled")


def contrastive_dataset(
    dataset: Dataset,
    layout: Layout = "triplet",
    *,
    text_column: str = "text",
    label_column: str = "label",
    embedding_column: str = "embedding",
    target_classes: Sequence[str | int] | None = None,
    per_text: int = 5,
    neighbors: int = 5,
    made_share: float = 0.5,
    provenance: bool = False,
    seed: int = 0,
) -> Dataset:
    """
    Rare texts, what they are to be near to and what they lie beside, for training an encoder.

    The texts are chosen as re-embedding chooses them: each rare text is an anchor; it is pulled to
    other texts of its class, though not to difficult ones, which other classes outvote among their
    neighbours (to those only where the class has no others); and it is pushed from the nearest
    texts of other classes.

    ============  ==================================  =============================================
    layout        columns                             read by
    ============  ==================================  =============================================
    "triplet"     anchor, positive, negative          TripletLoss, MultipleNegativesRankingLoss
    "pair-class"  sentence1, sentence2, label (1, 0)  ContrastiveLoss, OnlineContrastiveLoss
    "pair-score"  sentence1, sentence2, score (1, 0)  CosineSimilarityLoss, CoSENTLoss, AnglELoss
    "text"        text, label                         SetFit, BatchAllTripletLoss and its like
    ============  ==================================  =============================================

    Args:
        dataset: the training rows, n. Of a balanced data set (a column ``origin``) the synthetic
            texts of rare classes are positives alone, and resampled rows are left out.
        layout: see above. Each triplet is two pairs, first the positive one. "text" has all texts
            of the rare classes, synthetic ones included, and as many of the other classes (fewer
            where there are fewer), half of them among the `per_text` nearest of rare ones.
        text_column, label_column: texts, and a ClassLabel, integers, strings or booleans.
        embedding_column: a text's place, as `TextEmbedder` writes it; of real rows alone.
        target_classes: the rare classes, by name or by the label column's value; default: all that
            have fewer real rows than the largest.
        per_text: triplets of each rare text, each with another negative, nearest first; as many as
            there are texts of other classes where that is less.
        neighbors: k, the neighbours that tell whether a text is difficult.
        made_share: chance of a positive to be a synthetic text, where its class has any.
        provenance: also write the row number in `dataset` of each text (int64, ``anchor_row``,
            ``sentence1_row``, ..., of "text" ``row``). sentence-transformers would take such
            columns for texts: drop them before training.
        seed: of the positives, and of the other classes' texts in "text".

    Returns:
        Exactly min(per_text, texts of other classes) triplets of each rare text, in the order of
        classes and rows, or twice as many pairs. The same for the same arguments.

    Raises:
        TypeError: not a ``datasets.Dataset``.
        ValueError: an unknown layout; a number that cannot work; a missing column; a null or empty
            text, a null label, a bad embedding (the row is named); one class only; no rare class,
            or a target class that is unknown, or has one text and no synthetic one; another
            ``origin`` than real, synthetic and resampled.
    """
    if not isinstance(dataset, Dataset):
        hint = "dataset['train']" if isinstance(dataset, dict) else "a datasets.Dataset"
        raise TypeError(
            f"contrastive_dataset needs the rows of one split, got {type(dataset).__name__}: pass "
            f"{hint}"
        )
    _check_options(layout, per_text, neighbors, made_share)
    require_columns(dataset, text_column, label_column, embedding_column)
    check_texts(dataset, text_column)
    labels = read_labels(dataset, label_column)
    codes = labels.codes.astype(np.int64)
    is_real, is_synthetic = _origins(dataset)
    targets = _targets(target_classes, labels, is_real, is_synthetic)
    made = {label: np.flatnonzero(is_synthetic & (codes == label)) for label in targets}

    real = np.flatnonzero(is_real)
    rows_read = dataset if is_real.all() else dataset.select(real)
    vectors = embedding_matrix(rows_read, embedding_column, numbers=real)
    near = rare_classes(vectors, codes[real], targets, neighbors=neighbors, hard_neighbors=per_text)
    if layout == "text":
        rows = _texts_of_classes(near, made, real, codes, seed)
        return _text_columns(dataset, rows, text_column, label_column, provenance)
    drawn = draw_triplets(near, made, per_text=per_text, made_share=made_share, seed=seed)
    positive = drawn.positive.copy()
    positive[~drawn.is_made] = real[positive[~drawn.is_made]]
    texts = dataset.with_format(None)[text_column][:]
    return _sentence_columns(
        texts, real[drawn.anchor], positive, real[drawn.negative], layout, provenance
    )


def _check_options(layout: str, per_text: int, neighbors: int, made_share: float) -> None:
    if layout not in LAYOUTS:
        raise ValueError(f"layout is {layout!r}; it must be one of {list(LAYOUTS)}.")
    for name, value in (("per_text", per_text), ("neighbors", neighbors)):
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be at least 1.")
    if not 0 <= made_share <= 1:
        raise ValueError(f"made_share is {made_share}; it must be a share, from 0 to 1.")


def _origins(dataset: Dataset) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which rows are real, and which synthetic; without a column ``origin`` all are real."""
    if _ORIGIN_COLUMN not in dataset.column_names:
        return np.ones(len(dataset), bool), np.zeros(len(dataset), bool)
    origins = read_labels(dataset, _ORIGIN_COLUMN)
    present = [origins.names[code] for code in np.unique(origins.codes)]
    strange = sorted(set(present) - set(_ORIGINS))
    if strange:
        raise ValueError(
            f"column {_ORIGIN_COLUMN!r} holds {strange}, and oversamplers write {list(_ORIGINS)}: "
            "rename the column if it is another one"
        )
    names = np.asarray(origins.names)[origins.codes]
    if "real" not in present:
        raise ValueError(
            f"column {_ORIGIN_COLUMN!r} holds {present} and no real row: anchors and negatives are "
            "real texts; give the whole balanced data set"
        )
    return names == "real", names == "synthetic"


def _targets(
    asked: Sequence[str | int] | None,
    labels: Labels,
    is_real: npt.NDArray[np.bool_],
    is_synthetic: npt.NDArray[np.bool_],
) -> list[int]:
    """Codes of the rare classes, each with two texts at least, ascending."""
    names, classes = labels.names, len(labels.names)
    counts = np.bincount(labels.codes[is_real], minlength=classes)
    made = np.bincount(labels.codes[is_synthetic], minlength=classes)
    told = {name: int(rows) for name, rows in zip(names, counts, strict=True) if rows}
    if len(told) < 2:
        raise ValueError(
            f"the real rows are of {len(told)} class(es), {told}: a rare text is held against "
            "texts of other classes, and needs two"
        )
    if asked is None:
        targets = [code for code in range(classes) if 0 < counts[code] < counts.max()]
        if not targets:
            raise ValueError(
                f"the classes have {told} rows: none is rare; name those to hold against the "
                "others with target_classes"
            )
    else:
        targets = sorted({_code(one, labels) for one in asked})
        if not targets:
            raise ValueError(f"target_classes is empty; the classes are {list(told)}")
    for code in targets:
        if not counts[code] or counts[code] + made[code] < 2:
            raise ValueError(
                f"the class {names[code]!r} has {counts[code]} real and {made[code]} synthetic "
                "row(s), and a rare text is pulled to another one of its class: add rows, or leave "
                "it out with target_classes"
            )
    return targets


def _code(asked: str | int, labels: Labels) -> int:
    for known in (labels.values, labels.names):
        if asked in known:
            return list(known).index(asked)  # type: ignore[arg-type]  # it is in it
    raise ValueError(f"target_classes has {asked!r}, which is no class; they are {labels.names}")


def _sentence_columns(
    texts: Sequence[str],
    anchor: IntArray,
    positive: IntArray,
    negative: IntArray,
    layout: Layout,
    provenance: bool,
) -> Dataset:
    """Triplets, or each as a positive and a negative pair, from rows [t]."""
    rows = {"anchor": anchor, "positive": positive, "negative": negative}
    values: dict[str, list[int] | list[float]] = {}
    kinds: dict[str, Value] = {}
    if layout != "triplet":
        rows = {
            "sentence1": np.repeat(anchor, 2),
            "sentence2": np.stack([positive, negative], axis=1).reshape(-1),
        }
        if layout == "pair-class":
            values["label"], kinds["label"] = [1, 0] * len(anchor), Value("int64")
        else:
            values["score"], kinds["score"] = [1.0, 0.0] * len(anchor), Value("float32")
    sentences = {name: [texts[row] for row in which.tolist()] for name, which in rows.items()}
    numbers = {f"{name}_row": which for name, which in rows.items()} if provenance else {}
    features = {name: Value("string") for name in sentences} | kinds
    features |= {name: Value("int64") for name in numbers}
    return Dataset.from_dict({**sentences, **values, **numbers}, features=Features(features))


def _texts_of_classes(
    near: dict[int, RareClass],
    made: dict[int, IntArray],
    real: IntArray,
    codes: IntArray,
    seed: int,
) -> IntArray:
    """Rows of the rare classes and as many of the others, ascending."""
    rare = np.concatenate([real[of.rows] for of in near.values()] + list(made.values()))
    others = real[~np.isin(codes[real], list(near))]
    hard = np.concatenate([real[of.hard_negatives].reshape(-1) for of in near.values()])
    rng = noise.generator(seed, noise.stream("texts of other classes"))
    chosen = draw_negatives(np.intersect1d(hard, others), others, len(rare), HARD_SHARE, rng)
    return np.sort(np.concatenate([rare, chosen]))


def _text_columns(
    dataset: Dataset, rows: IntArray, text_column: str, label_column: str, provenance: bool
) -> Dataset:
    """Some rows as `text` and `label`, the label as it is."""
    chosen = dataset.with_format(None).select(rows).select_columns([text_column, label_column])
    chosen = chosen.rename_columns({text_column: "text", label_column: "label"})
    return chosen.add_column("row", rows) if provenance else chosen
