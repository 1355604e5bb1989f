"""Children of one label at a time: any oversampler, asked for a label against all other rows.

So texts of a rare label come from the same editors and writers as those of a rare class; a child
has the other labels of the row that it was made from.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from datasets import ClassLabel, Dataset, concatenate_datasets

from hf_oversample.data.columns import in_format_of
from hf_oversample.data.label_sets import read_label_sets
from hf_oversample.oversamplers.base import Oversampler

TARGET = "target"


def label_against_rest(
    dataset: Dataset, label: str, label_column: str = "labels", *, rest: str = "rest"
) -> Dataset:
    """A data set with a further column, ``target``: two classes, the rows with a label and the
    others. A generator for :func:`balance_labels` is trained on it.

    Args:
        dataset: the rows.
        label: its name, as :func:`~hf_oversample.data.label_sets.read_label_sets` tells it.
        label_column: of lists.
        rest: name of the class of the other rows.

    Raises:
        ValueError: as ``read_label_sets``; the label is unknown or named as the rest is; or there
            is a column ``target``.
    """
    sets = read_label_sets(dataset, label_column)
    if label not in sets.names:
        raise ValueError(
            f"there is no label {label!r} in column {label_column!r}; there are {sets.names}"
        )
    if label == rest:
        raise ValueError(
            f"label {label!r} is named as the class of all other rows is: name these otherwise, "
            "with rest=..."
        )
    if TARGET in dataset.column_names:
        raise ValueError(f"there is a column {TARGET!r} already: remove or rename it")
    codes = sets.matrix[:, sets.names.index(label)].astype(np.int64)
    feature = ClassLabel(names=[rest, label])
    return dataset.with_format(None).add_column(TARGET, codes, feature=feature)


def balance_labels(
    dataset: Dataset,
    oversamplers: Mapping[str, Oversampler],
    *,
    label_column: str = "labels",
    text_column: str | None = None,
    embedding_column: str | None = None,
    rest: str = "rest",
    num_proc: int | None = None,
    batch_size: int = 1000,
) -> Dataset:
    """The rows of a multi-label data set, followed by the children of each label that grows.

    For each label the oversampler is fitted on two classes (:func:`label_against_rest`): its
    ``sampling_strategy`` speaks of these (``{"threat": 200}``; a float; "minority"). Labels do not
    see each other's children.

    Args:
        dataset: the training rows.
        oversamplers: label → its oversampler; what it was fitted on is forgotten. A generator must
            know classes of the label's name and of the rest's.
        label_column: of lists, in any form that
            :func:`~hf_oversample.data.label_sets.read_label_sets` reads.
        text_column, embedding_column: as for ``fit``.
        rest: name of the class of the other rows.
        num_proc, batch_size: as for ``balance``; the result is the same for every value.

    Returns:
        the rows with ``origin`` and ``parent``, and the children, label after label. A child has
        the labels of its parent, and the one that it was made for. That the other labels hold for a
        text that was rewritten is an assumption: safe for edits of a few words, less so the more
        freely a writer writes. Read some.

    Raises:
        ValueError: as :func:`label_against_rest` and ``fit``; no oversampler; or one that makes
            rows of the rest.
    """
    if not oversamplers:
        raise ValueError("no oversampler is given: name one for each label that shall grow")
    sets = read_label_sets(dataset, label_column)
    parts: list[Dataset] = []
    for label, oversampler in oversamplers.items():
        target = label_against_rest(dataset, label, label_column, rest=rest)
        oversampler.fit(target, TARGET, text_column, embedding_column)
        if not parts:
            parts.append(oversampler.with_provenance(target).remove_columns(TARGET))
        made = oversampler.children(target, batch_size, num_proc)
        if 0 in made[TARGET][:]:
            raise ValueError(
                f"the oversampler of label {label!r} makes rows without it: name the label alone "
                f"in its sampling_strategy, such as {{{label!r}: final count}}"
            )
        has = sets.matrix[np.asarray(made["parent"][:], dtype=np.int64)]
        has[:, sets.names.index(label)] = True
        values = [sets.written(row) for row in has]
        made = made.remove_columns([TARGET, label_column])
        made = made.add_column(label_column, values, feature=dataset.features[label_column])
        parts.append(made.select_columns(parts[0].column_names))
    return in_format_of(concatenate_datasets(parts), dataset)
