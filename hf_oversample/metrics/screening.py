"""Whether made texts can be told from real ones by their surface, and by what.

A classifier that finds a mark of made rows learns the mark: words that no real text has, spacing,
a length, a case. The test is a two-sample one (Lopez-Paz and Oquab, *Revisiting Classifier
Two-Sample Tests*, ICLR 2017, section 3), by the area under the ROC curve instead of accuracy, since
there are seldom as many real rows as made ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix, hstack, lil_matrix
from scipy.sparse.csgraph import connected_components
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.preprocessing import StandardScaler

from hf_oversample.text.checks import checked_labels, checked_texts
from hf_oversample.text.copies import words_of
from hf_oversample.text.words import Language, Segmenter

__all__ = ["LEVEL", "Giveaway", "TwoSample", "screen_classes", "two_sample_auc"]

LEVEL = 0.75
"""Made texts with a larger AUC are warned of; how high real texts against real ones go, by their
number, is on ``benchmarks/made_texts.md``: of 50 rows and more, never so high."""
LEAST_ROWS = 20
"""Fewer rows of either kind tell nothing: chance alone may pass the level."""
FOLDS = 5
RELATED = 0.3
"""Jaccard similarity of words from which two texts are held out together."""
TOP = 10
CHARACTERS = 20_000

FORMS = (
    "length in characters",
    "length in words",
    "mean length of a word",
    "punctuation",
    "repeated spaces",
    "spaces before punctuation",
    "digits",
    "letters beyond ASCII",
    "capitals",
    "words in capitals",
    "first letter is a capital",
    "last character is punctuation",
    "words that no other real text has",
)


@dataclass(frozen=True)
class Giveaway:
    """What tells made texts from real ones.

    Attributes:
        feature: 'word "great"', 'characters " ."', or one of ``FORMS``.
        side: "made" or "real", the texts that have more of it.
        made, real: how much of it each kind has: the share of texts with the word or characters, or
            the mean of a form.
    """

    feature: str
    side: str
    made: float
    real: float

    def __str__(self) -> str:
        return f"{self.feature} ({self.made:.3g} made, {self.real:.3g} real)"


@dataclass(frozen=True)
class TwoSample:
    """Whether made texts are told from real ones.

    Attributes:
        auc: area under the ROC curve of held-out rows, 0.5 where nothing tells them apart; None
            where there are fewer than ``LEAST_ROWS`` real or made texts.
        made, real: texts that were compared.
        unknown_made: share of the made texts with a word that no real text has.
        unknown_real: share of the real texts with a word that no other real text has: what new text
            may have by right.
        giveaways: what tells most, the strongest first.
    """

    auc: float | None
    made: int
    real: int
    unknown_made: float
    unknown_real: float
    giveaways: tuple[Giveaway, ...]

    @property
    def tells(self) -> bool:
        """Whether the AUC is above ``LEVEL``."""
        return self.auc is not None and self.auc > LEVEL

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "auc": self.auc,
            "made": self.made,
            "real": self.real,
            "unknown_made": self.unknown_made,
            "unknown_real": self.unknown_real,
            "giveaways": [str(one) for one in self.giveaways],
        }


def two_sample_auc(
    real: Sequence[str],
    made: Sequence[str],
    *,
    known: Sequence[str] = (),
    language: Language = "en",
    sample: int = 1000,
    seed: int = 0,
) -> TwoSample:
    """How well a classifier tells made texts from real ones by their surface.

    Balanced logistic regression on TF-IDF of words, TF-IDF of character 1- to 4-grams as they are
    written, and ``FORMS``, which are standardised; in 5 folds. A text is held out with the one
    whose words it shares most (Jaccard similarity of 0.3 at least), or else an edit's source, which
    is labelled real, would speak against it. The AUC is the mean over the folds, weighted by pairs.

    A word is unknown in a text if no real text outside the text's own fold has it: real and made
    texts are then held to one measure, which a new real text passes.

    Args:
        real, made: texts of the same class, at least one of each.
        known: further real texts, of other classes, whose words are known.
        language: decides how words are found.
        sample: texts of each kind that are drawn, where there are more.
        seed: of the draw and the folds.

    Raises:
        ValueError: a collection is empty, or a text is null (its row is named).
    """
    if not len(real) or not len(made):
        raise ValueError(f"{len(real)} real and {len(made)} made texts: none may be empty")
    real, made = checked_texts(real, "real"), checked_texts(made, "made")
    segmenter = Segmenter(language)
    rng = np.random.default_rng(seed)
    others = checked_texts(known, "known")
    vocabulary = {word for text in others for word in words_of(text, segmenter)}
    everywhere = vocabulary.union(*(words_of(text, segmenter) for text in real))
    is_unknown = [bool({*words_of(text, segmenter)} - everywhere) for text in made]
    unknown_real = _share_of_own_words(real, vocabulary, segmenter)
    real, made = _drawn(real, sample, rng), _drawn(made, sample, rng)
    untold = TwoSample(
        None, len(made), len(real), float(np.mean(is_unknown)), unknown_real, giveaways=()
    )
    if min(untold.made, untold.real) < LEAST_ROWS:
        return untold
    texts, is_made = [*real, *made], np.repeat([False, True], [len(real), len(made)])
    folds = _folds(texts, is_made, segmenter, seed)
    forms = _forms(texts, is_made, folds, vocabulary, segmenter)
    matrix, names = _surface(texts, forms, segmenter)
    total, pairs = 0.0, 0
    for fold in range(FOLDS):
        held, rest = folds == fold, folds != fold
        if min(len(np.unique(is_made[rows])) for rows in (held, rest)) < 2:
            continue  # its made texts all have their sources in other folds
        told = _classifier().fit(matrix[rest], is_made[rest]).decision_function(matrix[held])
        weight = int(is_made[held].sum() * (~is_made[held]).sum())
        total += weight * float(roc_auc_score(is_made[held], told))
        pairs += weight
    return replace(
        untold,
        auc=total / pairs if pairs else None,
        giveaways=_giveaways(matrix, names, forms, is_made),
    )


def screen_classes(
    train: Sequence[str],
    train_labels: ArrayLike,
    made: Sequence[str],
    made_labels: ArrayLike,
    class_names: Sequence[str],
    *,
    language: Language = "en",
    seed: int = 0,
) -> dict[str, Any]:
    """The screen of a run: :func:`two_sample_auc` of each class that texts were made for.

    Args:
        train, train_labels: `[n]` real texts and their class ids.
        made, made_labels: `[m]` made texts and theirs, at least one.
        class_names: by class id.
        language, seed: as for :func:`two_sample_auc`.

    Returns:
        For a record: ``level``; ``auc``, the mean over classes, weighted by made texts (None where
        no class has enough rows); ``unknown_words``, the share of all made texts with a word that
        no training text has; ``tells``, whether a class's AUC is above the level; ``classes``,
        name → :meth:`TwoSample.to_dict`.

    Raises:
        ValueError: no text was made, a class has made texts and no real one, or a text is null.
    """
    own, wanted = checked_labels(train_labels), checked_labels(made_labels, "made_labels")
    classes, weights, tells = {}, [], False
    for code in np.unique(wanted).tolist():
        found = two_sample_auc(
            [text for text, label in zip(train, own, strict=True) if label == code],
            [text for text, label in zip(made, wanted, strict=True) if label == code],
            known=[text for text, label in zip(train, own, strict=True) if label != code],
            language=language,
            seed=seed,
        )
        classes[str(class_names[code])] = found.to_dict()
        tells = tells or found.tells
        weights.append(int((wanted == code).sum()))
    areas = [(one["auc"], w) for one, w in zip(classes.values(), weights, strict=True)]
    areas = [(area, weight) for area, weight in areas if area is not None]
    total = sum(weight for _, weight in areas)
    unknown = [one["unknown_made"] for one in classes.values()]
    return {
        "level": LEVEL,
        "auc": sum(area * weight for area, weight in areas) / total if areas else None,
        "unknown_words": float(np.average(unknown, weights=weights)),
        "tells": tells,
        "classes": classes,
    }


# ---- what a text looks like ---------------------------------------------------------------------


def _surface(
    texts: Sequence[str], forms: NDArray[np.float64], segmenter: Segmenter
) -> tuple[csr_matrix, list[str]]:
    """Words, characters and forms of texts ``[n, features]``, and the features' names. No label is
    read, so that rows which will be held out may set their scale."""
    words = TfidfVectorizer(
        analyzer=lambda text: segmenter.words(text.casefold()), sublinear_tf=True
    )
    characters = TfidfVectorizer(
        analyzer="char",
        ngram_range=(1, 4),
        lowercase=False,
        sublinear_tf=True,
        max_features=CHARACTERS,
    )
    # as long as a row of TF-IDF, or forms would outweigh all words
    scaled = StandardScaler().fit_transform(forms) / np.sqrt(len(FORMS))
    tables = [words.fit_transform(texts), characters.fit_transform(texts), csr_matrix(scaled)]
    names = [
        *(f'word "{word}"' for word in words.get_feature_names_out()),
        *(f'characters "{part}"' for part in characters.get_feature_names_out()),
        *FORMS,
    ]
    return csr_matrix(hstack(tables)), names


def _classifier() -> LogisticRegression:
    return LogisticRegression(C=10.0, class_weight="balanced", max_iter=1000)


def _forms(
    texts: Sequence[str],
    is_made: NDArray[np.bool_],
    folds: NDArray[np.int64],
    vocabulary: set[str],
    segmenter: Segmenter,
) -> NDArray[np.float64]:
    """``[n, len(FORMS)]``."""
    words = [words_of(text, segmenter) for text in texts]
    # word → the folds whose real texts have it
    seen: dict[str, set[int]] = {}
    for row in np.flatnonzero(~is_made).tolist():
        for word in words[row]:
            seen.setdefault(word, set()).add(int(folds[row]))
    result = np.zeros((len(texts), len(FORMS)))
    for row, text in enumerate(texts):
        fold = {int(folds[row])}
        unknown = [w for w in words[row] if w not in vocabulary and not seen.get(w, set()) - fold]
        result[row] = [*_form(text, words[row]), len(unknown)]
    return result


def _form(text: str, words: Sequence[str]) -> list[float]:
    letters = [c for c in text if c.isalpha()]
    marks = [i for i, c in enumerate(text) if not c.isalnum() and not c.isspace()]
    capitals = [w for w in text.split() if len(w) > 1 and w.isalpha() and w.isupper()]
    size = max(len(text), 1)
    return [
        np.log1p(len(text)),
        np.log1p(len(words)),
        float(np.mean([len(word) for word in words])) if words else 0.0,
        len(marks) / size,
        sum(a.isspace() and b.isspace() for a, b in pairwise(text)) / size,
        sum(i > 0 and text[i - 1].isspace() for i in marks) / size,
        sum(c.isdigit() for c in text) / size,
        sum(not c.isascii() for c in letters) / size,
        sum(c.isupper() for c in letters) / max(len(letters), 1),
        len(capitals) / max(len(words), 1),
        float(text.strip()[:1].isupper()),
        float(bool(text.strip()) and not text.strip()[-1].isalnum()),
    ]


def _share_of_own_words(texts: Sequence[str], vocabulary: set[str], segmenter: Segmenter) -> float:
    """Share of texts with a word that none of the others has."""
    words = [{*words_of(text, segmenter)} - vocabulary for text in texts]
    counts = Counter(word for one in words for word in one)
    return float(np.mean([any(counts[word] == 1 for word in one) for one in words]))


# ---- rows and folds -----------------------------------------------------------------------------


def _drawn(texts: Sequence[str], most: int, rng: np.random.Generator) -> list[str]:
    rows = np.sort(rng.permutation(len(texts))[:most])
    return [texts[row] for row in rows.tolist()]


def _folds(
    texts: Sequence[str], is_made: NDArray[np.bool_], segmenter: Segmenter, seed: int
) -> NDArray[np.int64]:
    """The fold of each text ``[n]``: each is with the text, real or made, that it is most like, and
    so with those that this one is with, if they share as many words as `RELATED` says."""
    counter = CountVectorizer(
        analyzer=lambda text: segmenter.words(text.casefold()), binary=True, dtype=np.int32
    )
    counts = csr_matrix(counter.fit_transform(texts))
    sizes = np.asarray(counts.sum(axis=1)).ravel()
    links = lil_matrix((len(texts), len(texts)), dtype=bool)
    for row in range(len(texts)):
        shared = (counts @ counts[row].T).toarray().ravel()
        shared[row] = 0
        similarity = shared / np.maximum(sizes + sizes[row] - shared, 1)
        nearest = int(similarity.argmax())
        if similarity[nearest] >= RELATED:
            links[row, nearest] = True
    _, groups = connected_components(links.tocsr(), directed=False)
    result = np.empty(len(texts), np.int64)
    dealer = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    for fold, (_, held) in enumerate(dealer.split(texts, is_made, groups)):
        result[held] = fold
    return result


def _giveaways(
    matrix: csr_matrix, names: Sequence[str], forms: NDArray[np.float64], is_made: NDArray[np.bool_]
) -> tuple[Giveaway, ...]:
    """The features that move the score most: weight times the difference of the means."""
    weights = _classifier().fit(matrix, is_made).coef_[0]
    means = [np.asarray(matrix[rows].mean(axis=0)).ravel() for rows in (is_made, ~is_made)]
    effect = weights * (means[0] - means[1])
    plain = matrix.shape[1] - len(FORMS)
    found = []
    for place in np.argsort(-effect, kind="stable")[:TOP].tolist():
        if effect[place] <= 0:
            break
        if place < plain:
            column = (matrix[:, [place]].toarray().ravel() > 0).astype(float)
        else:
            column = forms[:, place - plain]
        shares = float(column[is_made].mean()), float(column[~is_made].mean())
        found.append(Giveaway(names[place], "made" if weights[place] > 0 else "real", *shares))
    return tuple(found)
