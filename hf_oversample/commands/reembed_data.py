"""The rows of a re-embedding run: read, checked and split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hf_oversample.commands.data import (
    check_columns,
    language_of,
    made_rare,
    minority_code,
    name_of_rows,
    read_rows,
    warn_of_lookalikes,
)
from hf_oversample.commands.messages import warn
from hf_oversample.commands.reembed_arguments import ReembedRunArguments
from hf_oversample.data.files import read_file
from hf_oversample.data.labeled_texts import Texts
from hf_oversample.data.reading import prepare_labels
from hf_oversample.data.splitting import stratified_split
from hf_oversample.oversamplers.strategy import class_counts
from hf_oversample.text.words import Language, normalized

ORIGIN_COLUMN = "origin"


@dataclass(frozen=True)
class ReembedData:
    """
    The rows of a run.

    Args:
        name: of the data set, for people.
        texts: "train", and where they are held out "validation" and "test".
        class_names: in the order of the codes.
        targets: the rare classes.
        language: of the texts.
        anchors: made texts; None where none are given.
    """

    name: str
    texts: dict[str, Texts]
    class_names: list[str]
    targets: list[int]
    language: Language
    anchors: Texts | None


def read_reembed_data(a: ReembedRunArguments) -> ReembedData:
    """
    Read, check and split the rows of a run.

    Raises:
        ValueError: for a missing column, a bad text or label, an unknown class, classes of one size
            with none named, or a rare class without rows in one of the parts.
    """
    name = name_of_rows(a)
    rows = read_rows(a)
    check_columns(rows, f"The rows of {name}", a)
    rows = prepare_labels(rows, a.label_column, strip=a.strip_labels, lowercase=a.lowercase_labels)
    names = list(rows.features[a.label_column].names)
    counts = class_counts(np.asarray(rows[a.label_column], np.int64), names=names)
    warn_of_lookalikes(counts, names)
    rows = made_rare(rows, a, minority_code(a, names))
    shares = {"train": 1 - a.validation_share - a.test_share}
    shares |= {"validation": a.validation_share, "test": a.test_share}
    wanted = {part: share for part, share in shares.items() if share > 0}
    parts = {"train": rows}
    if len(wanted) > 1:
        split = stratified_split(
            rows, a.label_column, a.text_column, tuple(wanted.values()), a.training.seed
        )
        parts = dict(zip(wanted, split, strict=True))
    texts = {part: Texts.of(some, a.text_column, a.label_column) for part, some in parts.items()}
    targets = _targets(a, texts, names)
    anchors = None if a.anchors_file is None else _anchors(a, texts, names, targets)
    return ReembedData(name, texts, names, targets, language_of(a, rows[a.text_column][:]), anchors)


def _targets(a: ReembedRunArguments, texts: dict[str, Texts], names: list[str]) -> list[int]:
    unknown = [name for name in a.target_classes if name not in names]
    if unknown:
        raise ValueError(f"target_classes has {unknown}; the classes are {names}.")
    counts = class_counts(texts["train"].labels, names=names)
    targets = [names.index(name) for name in a.target_classes]
    if not targets:
        largest = max(counts.values())
        targets = [code for code in counts if 0 < counts[code] < largest]
    if not targets:
        told = {names[code]: rows for code, rows in counts.items()}
        raise ValueError(
            f"The classes have {told} rows: none is rare. Name those to re-embed with "
            "--target_classes, or make one rare with --imbalance_ratio."
        )
    for part, some in texts.items():
        for code in targets:
            if not (some.labels == code).any():
                raise ValueError(
                    f"The class {names[code]!r} has no row in the {part} part (rows of the same "
                    "text go to the same part): add rows of it, set other shares with "
                    "--validation_share and --test_share, or leave it out of --target_classes."
                )
    return sorted(targets)


def _anchors(
    a: ReembedRunArguments, texts: dict[str, Texts], names: list[str], targets: list[int]
) -> Texts:
    """Made texts of the rare classes, without those that are texts of the data set."""
    path = Path(str(a.anchors_file))
    rows = read_file(path)
    check_columns(rows, f"The rows of {path}", a)
    if ORIGIN_COLUMN in rows.column_names:
        origin = rows.features[ORIGIN_COLUMN]
        told = rows[ORIGIN_COLUMN][:]
        kinds = [origin.int2str(one) if hasattr(origin, "int2str") else str(one) for one in told]
        rows = rows.select([row for row, kind in enumerate(kinds) if kind == "synthetic"])
    feature = rows.features[a.label_column]
    values = rows[a.label_column][:]
    classes = [feature.int2str(one) if hasattr(feature, "int2str") else str(one) for one in values]
    wanted = {names[code] for code in targets}
    strange = sorted(set(classes) - wanted)
    if strange:
        raise ValueError(
            f"{path} has texts of {strange}, and the rare classes are {sorted(wanted)}: leave "
            "them out of the file, or add them to --target_classes."
        )
    known = {normalized(text) for part in texts.values() for text in part.texts}
    made = rows[a.text_column][:]
    kept = [row for row, text in enumerate(made) if normalized(text) not in known]
    if len(kept) < len(made):
        warn(
            f"{len(made) - len(kept)} of {len(made)} rows of {path} are texts of the data set, and "
            "are left out"
        )
    if not kept:
        raise ValueError(
            f"{path} has no made text that is not a text of the data set already"
            f"{' among its synthetic rows' if ORIGIN_COLUMN in rows.column_names else ''}: leave "
            "--anchors_file out."
        )
    codes = [names.index(classes[row]) for row in kept]
    return Texts([made[row] for row in kept], np.asarray(codes, np.int64))
