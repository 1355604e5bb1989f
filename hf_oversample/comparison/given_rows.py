"""Rows that somebody made elsewhere, as a remedy: what a fold may train on of them.

A fold's held-out rows must not come into its training by way of made rows. Rows that equal a
held-out row or nearly do are left out of that fold; so are rows whose parents, where they are told,
are not among its training rows. What their maker has seen besides is not told by any row.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from hf_oversample.comparison.base import Classifier
from hf_oversample.comparison.embedders import Embed, LatentSemanticEmbedder
from hf_oversample.comparison.fold import Fold
from hf_oversample.comparison.remedies import REMEDIES, Remedy, remedy_key
from hf_oversample.comparison.resampling import half_of_each
from hf_oversample.comparison.scores import Scores
from hf_oversample.data.labeled_texts import Texts
from hf_oversample.metrics.texts import copy_rate, passage_overlap
from hf_oversample.text.words import Language, normalized

NEAR_COSINE = 0.95
"""Texts whose embeddings have a larger cosine are nearly equal: a choice, as is the next."""

NEAR_PASSAGE = 0.8
"""Texts that share more runs of three words, of the shorter one's, are nearly equal."""

PARENT, EQUAL, NEAR = "parent", "equal", "near"
WHY = {
    PARENT: "of a parent outside the training rows",
    EQUAL: "equal to a held-out row",
    NEAR: "nearly equal to one",
}
"""Why a fold does not train on a row that was given, in words."""


@dataclass(frozen=True, eq=False)
class GivenRows:
    """Rows that somebody made, with some text in each.

    :func:`~hf_oversample.comparison.as_given_rows` reads them from a data set.

    Args:
        texts: n texts.
        classes: names of their classes, n.
        parents: of each row the texts that it was made of; empty where that is not told.
        weights: `[n]`, above 0: in what proportions rows of a class are drawn; None: alike.
        left_out: rows that were given and are none of these, by reason.
        cost: what making them took, as far as it is stated: "tokens", "seconds", "usd" or "cost"
            (money of no stated currency).
    """

    texts: list[str]
    classes: list[str]
    parents: list[tuple[str, ...]]
    weights: np.ndarray | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    cost: Mapping[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.texts)

    def identity(self) -> str:
        """What tells these rows from others: 16 hexadecimal digits of all that is trained on."""
        weights = None if self.weights is None else self.weights.tolist()
        values = json.dumps([self.texts, self.classes, self.parents, weights])
        return hashlib.sha256(values.encode()).hexdigest()[:16]

    def coded(self, class_names: Sequence[str]) -> Texts:
        """The texts with class codes.

        Args:
            class_names: in the order of the codes.

        Raises:
            ValueError: a row is of another class; all such classes are listed.
        """
        if unknown := sorted({*self.classes} - {*class_names}):
            rows = sum(name in unknown for name in self.classes)
            raise ValueError(
                f"{rows} of {len(self)} made rows are of {unknown}, and the classes of the "
                f"training rows are {list(class_names)}: write the same names, or leave these rows "
                "out"
            )
        codes = {name: code for code, name in enumerate(class_names)}
        return Texts(self.texts, np.asarray([codes[name] for name in self.classes], np.int64))


def given_remedy(name: str, rows: GivenRows, class_names: Sequence[str]) -> Remedy:
    """Training with rows that were given, as with those that this package makes: every class is
    drawn as often, and of a class with given rows half of the draws are these.

    Args:
        name: as tables show it.
        rows: at least one.
        class_names: of the problem.

    Raises:
        ValueError: a remedy of this package has the name, there are no rows, or a row is of an
            unknown class.
    """
    if any(remedy_key(known) == remedy_key(name) for known in REMEDIES):
        raise ValueError(
            f"the made rows are called {name!r}, and there is a remedy of that name: give them "
            "another one (NAME=path)"
        )
    if not len(rows):
        raise ValueError(f"there are no made rows in {name!r}: {dict(rows.left_out)} were left out")
    try:
        texts = rows.coded(class_names)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    identity = rows.identity()

    def used(fold: Fold) -> UsedRows:
        key = ("given rows", identity)
        return fold.cache.get(key, lambda: used_rows(rows, texts, fold))

    def fit(fold: Fold, classifier: Classifier, seed: int) -> Scores:
        own = used(fold)
        fold.withheld = dict(own.withheld)
        fold.left_out += own.withheld[EQUAL] + own.withheld[NEAR]
        if not len(own.texts):
            why = withheld_words(own.withheld)
            raise ValueError(f"this fold may train on none of the {len(rows)} made rows ({why})")
        return classifier.scores(fold, half_of_each(fold, own.texts, own.weights), seed)

    return Remedy(
        name,
        fit,
        "rows that were given",
        texts=lambda fold, seed: used(fold).texts,
        identity=identity,
    )


def withheld_words(numbers: Mapping[str, int]) -> str:
    """How many rows a fold does not train on, and why."""
    return ", ".join(f"{numbers.get(reason, 0)} {words}" for reason, words in WHY.items())


# ---- what a fold may train on -------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class UsedRows:
    """Of given rows those that a fold trains on.

    Attributes:
        texts: m of them.
        weights: `[m]`, or None.
        withheld: how many others there are, by reason: `PARENT`, `EQUAL` and `NEAR`, in this
            order; a row counts for the first that holds.
    """

    texts: Texts
    weights: np.ndarray | None
    withheld: dict[str, int]


def used_rows(rows: GivenRows, texts: Texts, fold: Fold) -> UsedRows:
    """The given rows that a fold may train on.

    Args:
        rows: all that were given.
        texts: the same with class codes.
        fold: whose validation and test rows may not be trained on.
    """
    own = {normalized(text) for text in fold.train.texts}
    is_foreign = np.array(
        [any(normalized(text) not in own for text in parents) for parents in rows.parents], bool
    )
    # latent semantic analysis knows the same words that are compared anyway
    knows_meaning = fold.embed is not None and not isinstance(fold.embed, LatentSemanticEmbedder)
    is_equal, is_near = leaks(
        rows.texts,
        fold.train.texts,
        fold.validation.texts + fold.test.texts,
        language=fold.segmenter.language,
        embed=fold.embedder() if knows_meaning else None,
    )
    kept = np.flatnonzero(~(is_foreign | is_equal | is_near))
    return UsedRows(
        Texts([texts.texts[row] for row in kept.tolist()], texts.labels[kept]),
        None if rows.weights is None else rows.weights[kept],
        {
            PARENT: int(is_foreign.sum()),
            EQUAL: int((is_equal & ~is_foreign).sum()),
            NEAR: int((is_near & ~is_equal & ~is_foreign).sum()),
        },
    )


def leaks(
    texts: Sequence[str],
    train: Sequence[str],
    held_out: Sequence[str],
    *,
    language: Language = "en",
    embed: Embed | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Which texts are held-out texts, or nearly.

    Equal: but for case and spaces. Nearly equal: they share four of five words (Jaccard similarity
    of 0.8, :func:`~hf_oversample.metrics.texts.copy_rate`), or four of five runs of three words of
    the shorter one (:func:`~hf_oversample.metrics.texts.passage_overlap`), or, with an encoder,
    have a cosine above `NEAR_COSINE`; and no training text is as near. Real rows repeat each other
    too: what is nearer to a training row tells nothing of the held-out one that the training row
    has not told.

    Args:
        texts: n made texts, at least one.
        train, held_out: real texts, at least one of each.
        language: decides how words are found.
        embed: texts → `[n, d]` of an encoder; None: words alone are compared.

    Returns: two arrays of booleans `[n]`.
    """
    ours, theirs = (copy_rate(texts, part, language=language) for part in (train, held_out))
    is_near = theirs.near & (theirs.similarity > ours.similarity)
    passages = [passage_overlap(texts, part, language=language) for part in (train, held_out)]
    is_near |= (passages[1] >= NEAR_PASSAGE) & (passages[1] > passages[0])
    if embed is not None:
        made = _directions(embed(texts))
        nearest = [_largest_cosine(made, _directions(embed(part))) for part in (train, held_out)]
        is_near |= (nearest[1] > NEAR_COSINE) & (nearest[1] > nearest[0])
    return theirs.exact, is_near & ~theirs.exact


def _directions(embeddings: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings / np.maximum(lengths, np.finfo(np.float32).tiny)


def _largest_cosine(made: np.ndarray, real: np.ndarray, chunk: int = 1000) -> np.ndarray:
    """Of each made row with a real one: `[n]`."""
    parts = [
        (made[start : start + chunk] @ real.T).max(axis=1) for start in range(0, len(made), chunk)
    ]
    return np.concatenate(parts)
