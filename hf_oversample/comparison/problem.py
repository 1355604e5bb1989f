"""The rows of a comparison: duplicates removed and counted, then folds or the splits given."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from sklearn.model_selection import RepeatedStratifiedKFold

from hf_oversample.data.labeled_texts import Texts
from hf_oversample.numeric import noise
from hf_oversample.text.protection import DEFAULT_PROTECTION, Protection
from hf_oversample.text.user_dictionary import UserDictionary
from hf_oversample.text.words import Language, guess_language, normalized

VALIDATION_SHARE = 0.15


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of one fold, or of one seed on given splits."""

    key: str
    seed: int
    train: Texts
    validation: Texts
    test: Texts


@dataclass(frozen=True, eq=False)
class Problem:
    """What is compared on.

    Attributes:
        name: of the data, for people.
        class_names: in the order of the class codes.
        language: "en" or "zh".
        minority: the class whose F1 is reported.
        splits: the folds, or the given splits once a seed.
        overlap: test rows over training rows of folds, for the corrected test; 0 for given splits,
            where runs differ by their seed alone.
        removed: rows left out before splitting, by reason.
        protection: what edits of texts leave as it is.
        user_dictionary: words that jieba knows besides its own.
        multi_label: whether a row may have any number of labels: ``class_names`` are the labels'
            then, and the labels of texts bool `[n, labels]`.
    """

    name: str
    class_names: list[str]
    language: Language
    minority: int
    splits: list[Split]
    overlap: float = 0.0
    removed: Mapping[str, int] = field(default_factory=dict)
    protection: Protection = DEFAULT_PROTECTION
    user_dictionary: UserDictionary = ()
    multi_label: bool = False

    @property
    def is_binary(self) -> bool:
        """Whether a row is of one of two classes."""
        return len(self.class_names) == 2 and not self.multi_label

    def digests(self) -> list[str]:
        """Of the rows of each split: 16 hexadecimal digits."""
        found = []
        for split in self.splits:
            content = hashlib.sha256()
            for part in (split.train, split.validation, split.test):
                for text, label in zip(part.texts, part.labels.tolist(), strict=True):
                    content.update(f"{label}\t{text}\0".encode())
                content.update(b"\1")
            found.append(content.hexdigest()[:16])
        return found


def repeated_folds(
    texts: Texts,
    class_names: Sequence[str],
    *,
    folds: int = 5,
    repeats: int = 1,
    validation_share: float = VALIDATION_SHARE,
    minority: int | None = None,
    language: Language | None = None,
    name: str = "data",
    seed: int = 0,
) -> Problem:
    """Repeated stratified folds of texts, each text once.

    Args:
        texts: all rows.
        class_names: in the order of the codes.
        folds: parts; each is the test part once a repeat.
        repeats: shuffles.
        validation_share: of the rows outside the test part, of each class: what chooses.
        minority: the class whose F1 is reported; default: the rarest.
        language: default: guessed from the texts.
        name: for people.
        seed: of the shuffles; each fold's own seed is this and its number.

    Raises:
        ValueError: sizes that cannot work, a class without rows of its own, or with too few
            different texts for the folds.
    """
    for setting, number, fewest in (("folds", folds, 2), ("repeats", repeats, 1)):
        if number < fewest:
            raise ValueError(f"{setting}={number} must be at least {fewest}")
    if not 0 < validation_share < 1:
        raise ValueError(f"validation_share={validation_share} must be between 0 and 1")
    kept, removed = first_of_each(texts)
    counts = np.bincount(kept.labels, minlength=len(class_names))
    present = np.flatnonzero(counts)
    if len(present) < 2:
        raise ValueError(f"rows of at least two classes are needed, found {counts.tolist()}")
    _check_no_class_is_empty(counts, class_names)
    rarest = int(present[np.argmin(counts[present])])
    if counts[rarest] < folds + 2:
        raise ValueError(
            f"class {class_names[rarest]!r} has {counts[rarest]} different texts; {folds} folds "
            f"need at least {folds + 2}, so that every part has one: ask for fewer folds, or merge "
            "or drop the class"
        )
    splitter = RepeatedStratifiedKFold(n_splits=folds, n_repeats=repeats, random_state=seed)
    splits = []
    for number, (outside, test) in enumerate(splitter.split(np.zeros(len(kept)), kept.labels)):
        key = f"repeat{number // folds}-fold{number % folds}"
        train, validation = _held_back(kept.labels, outside, validation_share, seed, number)
        parts = [pick(kept, rows) for rows in (train, validation, test)]
        splits.append(Split(key, seed + number, *parts))
    return Problem(
        name,
        list(class_names),
        language or guess_language(kept.texts),
        rarest if minority is None else minority,
        splits,
        overlap=1 / ((folds - 1) * (1 - validation_share)),
        removed=removed,
    )


def given_splits(
    train: Texts,
    test: Texts,
    class_names: Sequence[str],
    *,
    validation: Texts | None = None,
    seeds: int = 5,
    validation_share: float = VALIDATION_SHARE,
    minority: int | None = None,
    language: Language | None = None,
    name: str = "data",
    seed: int = 0,
) -> Problem:
    """Splits that somebody else made, once a seed. Of repeated texts of a part the first row stays;
    training and validation rows whose text is a test text, and training rows whose text is a
    validation text, are left out.

    Args:
        train, test: the parts.
        validation: what chooses; default: a share of each class of the training part.
        seeds: runs, from ``seed`` on.
        others: as for :func:`repeated_folds`.

    Raises:
        ValueError: a part without rows of two classes, a class without training rows, or no seeds.
    """
    if seeds < 1:
        raise ValueError(f"seeds={seeds} must be at least 1")
    if not 0 < validation_share < 1:
        raise ValueError(f"validation_share={validation_share} must be between 0 and 1")
    test, removed = first_of_each(test)
    known = {normalized(text) for text in test.texts}
    if validation is not None:
        validation, dropped = _without(validation, known)
        validation, repeated = first_of_each(validation)
        removed["validation rows whose text is a test text"] = dropped
        removed = _added(removed, repeated)
        known |= {normalized(text) for text in validation.texts}
    train, dropped = _without(train, known)
    train, repeated = first_of_each(train)
    removed["training rows whose text is a test or validation text"] = dropped
    removed = _added(removed, repeated)
    counts = np.bincount(train.labels, minlength=len(class_names))
    for part, rows in {"training": train, "validation": validation, "test": test}.items():
        if rows is not None and len(np.unique(rows.labels)) < 2:
            raise ValueError(f"the {part} part has rows of {np.unique(rows.labels).tolist()} only")
    for part, rows in {"validation": validation, "test": test}.items():
        unknown = [] if rows is None else np.unique(rows.labels[counts[rows.labels] == 0]).tolist()
        if unknown:
            raise ValueError(
                f"the {part} part has rows of {[class_names[one] for one in unknown]}, of which "
                "the training part has none: nothing can learn to tell them; add training rows or "
                "leave theirs out"
            )
    _check_no_class_is_empty(counts, class_names)
    present = np.flatnonzero(counts)
    splits = []
    for number in range(seeds):
        own, chooses = train, validation
        if chooses is None:
            everything = np.arange(len(train))
            kept, held = _held_back(train.labels, everything, validation_share, seed, number)
            own, chooses = pick(train, kept), pick(train, held)
        splits.append(Split(f"seed{seed + number}", seed + number, own, chooses, test))
    return Problem(
        name,
        list(class_names),
        language or guess_language(train.texts),
        int(present[np.argmin(counts[present])]) if minority is None else minority,
        splits,
        removed=removed,
    )


def _check_no_class_is_empty(counts: np.ndarray, class_names: Sequence[str]) -> None:
    """A name without rows would make two classes three, and change what is measured."""
    empty = [class_names[code] for code, rows in enumerate(counts.tolist()) if not rows]
    if empty:
        raise ValueError(
            f"no training row is of {empty}: the class has no rows, or each of its texts stands "
            "earlier with another label, or in a held-out part, and repeats are left out. Drop or "
            "merge the class; where a text may have several classes, keep one row of it"
        )


def pick(texts: Texts, rows: np.ndarray) -> Texts:
    """Some rows, by their numbers."""
    return Texts([texts.texts[row] for row in rows.tolist()], texts.labels[rows])


def first_of_each(texts: Texts) -> tuple[Texts, dict[str, int]]:
    """The first row of each text (but for case and spaces), and how many rows were left out, by
    reason."""
    first: dict[str, int] = {}
    conflicts = 0
    for row, text in enumerate(texts.texts):
        kept = first.setdefault(normalized(text), row)
        conflicts += int(np.any(texts.labels[kept] != texts.labels[row]))
    removed = {"repeats of a text": len(texts) - len(first) - conflicts}
    if conflicts:
        removed["repeats of a text with another label than its first one's"] = conflicts
    return pick(texts, np.fromiter(first.values(), np.int64)), removed


def _added(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {reason: one.get(reason, 0) + other.get(reason, 0) for reason in {**one, **other}}


def _without(texts: Texts, known: set[str]) -> tuple[Texts, int]:
    rows = [row for row, text in enumerate(texts.texts) if normalized(text) not in known]
    return pick(texts, np.asarray(rows, np.int64)), len(texts) - len(rows)


def _held_back(
    labels: np.ndarray, rows: np.ndarray, share: float, seed: int, number: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows split in two, a share of each class in the second part: one row at least, but never all
    of them."""
    rng = noise.generator(seed, noise.stream("held back"), number)
    held = []
    for label in np.unique(labels[rows]):
        own = rng.permutation(rows[labels[rows] == label])
        held.append(own[: min(len(own) - 1, max(1, round(share * len(own))))])
    second = np.sort(np.concatenate(held))
    return np.setdiff1d(rows, second), second
