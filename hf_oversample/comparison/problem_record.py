"""What a report needs of a comparison's rows, without their texts: written beside the results."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from hf_oversample.comparison.problem import Problem, Split
from hf_oversample.data.labeled_texts import Texts

FORMAT = 2


def problem_record(problem: Problem) -> dict[str, Any]:
    """A problem as JSON holds it: names, counts, and the classes of the rows of each split."""
    return {
        "format": FORMAT,
        "name": problem.name,
        "class_names": list(problem.class_names),
        "language": problem.language,
        "minority": problem.minority,
        "overlap": problem.overlap,
        "multi_label": problem.multi_label,
        "removed": dict(problem.removed),
        "digests": problem.digests(),
        "splits": [
            {"key": split.key, "seed": split.seed}
            | {
                part: {"labels": rows.labels.tolist(), "digest": _digest(rows.texts)}
                for part, rows in _parts(split).items()
            }
            for split in problem.splits
        ],
    }


def recorded_problem(record: dict[str, Any]) -> Problem:
    """
    The problem that a record is of, each text replaced by a stand-in: parts of the same texts have
    the same stand-ins.

    Raises:
        ValueError: the record has another format.
    """
    if record.get("format") != FORMAT:
        raise ValueError(
            f"the record of the comparison's rows has format {record.get('format')!r}, and this "
            f"version reads {FORMAT}: report it with the version of hf_oversample that made it"
        )
    return Problem(
        record["name"],
        list(record["class_names"]),
        record["language"],
        record["minority"],
        [
            Split(
                split["key"],
                split["seed"],
                *(_stand_ins(split[part]) for part in ("train", "validation", "test")),
            )
            for split in record["splits"]
        ],
        overlap=record["overlap"],
        multi_label=record["multi_label"],
        removed=record["removed"],
    )


def _parts(split: Split) -> dict[str, Texts]:
    return {"train": split.train, "validation": split.validation, "test": split.test}


def _stand_ins(part: dict[str, Any]) -> Texts:
    labels = np.asarray(part["labels"], np.int64)
    return Texts([f"{part['digest']} {row}" for row in range(len(labels))], labels)


def _digest(texts: Sequence[str]) -> str:
    content = hashlib.sha256()
    for text in texts:
        content.update(f"{len(text)} {text}\0".encode(errors="surrogatepass"))
    return content.hexdigest()[:16]
