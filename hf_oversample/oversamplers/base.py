"""The contract that every oversampler keeps.

A method says what it needs of the data (``input_kind``), learns from them (``_fit``), may choose
which rows get children (``_plan``) and makes the children (``_make``). All else is done here, the
same for every method: checks of the input, exact counts, the order of the output, provenance
columns, pickling, saving.

What a child holds may depend on the constructor's values, the fitted state, its parent's row
number and its own number alone (draw with :mod:`hf_oversample.numeric.noise`): then the output is
the same for every batch size and number of processes, and for an ``IterableDataset``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt

from hf_oversample.data.columns import Labels, check_texts, read_labels, require_columns
from hf_oversample.data.digests import ContentDigest, content_digest, text_keys, vector_keys
from hf_oversample.data.embeddings import embedding_blocks, embedding_matrix
from hf_oversample.data.row_keys import key_columns, record_keys
from hf_oversample.oversamplers.balancing import BalancingDatasets
from hf_oversample.oversamplers.growing import refuse_provenance
from hf_oversample.oversamplers.plan import ORIGINS, REAL, RESAMPLED, SYNTHETIC, Children, Plan
from hf_oversample.oversamplers.strategy import (
    SamplingStrategy,
    children_per_class,
    class_counts,
    spread_by_class,
)

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["ORIGINS", "REAL", "RESAMPLED", "SYNTHETIC", "Children", "Oversampler", "Plan"]

logger = logging.getLogger(__name__)

_KEY_ROWS = 10_000
FloatMatrix = npt.NDArray[np.float32]


class Oversampler(BalancingDatasets):
    """Base class of the oversamplers.

    Args:
        sampling_strategy: which classes grow, and to what: "auto" (every class to the largest),
            "minority", "not minority", "not majority", "all", a float (two classes), a dict of
            final counts by class, or a callable; see
            :func:`hf_oversample.oversamplers.strategy.children_per_class`.
        seed: the seed of every draw.
        copy_columns: whether columns that the method does not make are copied from a child's
            parent; otherwise they are null.

    Attributes (after ``fit``):
        label_column_, text_column_, embedding_column_: the columns used.
        label_values_, label_names_: by class code, the label column's value and its name.
        labels_: class code of every row.
        features_: the data set's features.
        digest_: digest of the used columns' content.
        row_keys_: uint64 [n], a key of each row's text or embedding, or of all its columns where
            neither is read, by which a batch is known to be of the fitted data set.
        plan_: the :class:`~hf_oversample.oversamplers.plan.Plan`.

    A method sets, as it needs: ``input_kind`` (the column that it reads), ``code_version`` (raised
    when its code changes what it makes: ``datasets`` hashes an installed class by name only, and
    would return rows cached from the old code), ``_lazy_attributes`` (models and caches that are
    rebuilt at need; left out of pickles, and None after), ``_copies_rows`` (whether a child has all
    columns of its parent, ``copy_columns`` or not), ``_learns_from_matrix`` (whether it is given
    all embeddings as one matrix in memory).
    """

    input_kind: ClassVar[Literal["any", "text", "embedding"]] = "any"
    _learns_from_matrix: ClassVar[bool] = False

    def __init__(
        self,
        *,
        sampling_strategy: SamplingStrategy = "auto",
        seed: int = 0,
        copy_columns: bool = False,
    ) -> None:
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise TypeError(f"seed must be an int, got {seed!r}")
        self.sampling_strategy = sampling_strategy
        self.seed = seed
        self.copy_columns = copy_columns

    # ---- what a method may define ---------------------------------------------------------------

    def _labels_of(self, dataset: Dataset, column: str) -> Labels:
        """The label column as codes. Default: one class a row."""
        return read_labels(dataset, column)

    def _asked_children(self, labels: Labels) -> dict[int, int]:
        """How many children of each code ``sampling_strategy`` asks for."""
        return children_per_class(
            self.sampling_strategy,
            class_counts(labels.codes, names=labels.names),
            labels.names,
            labels.values,
        )

    def _learn_from(
        self, dataset: Dataset, embeddings: FloatMatrix | None, children: Mapping[int, int]
    ) -> Plan:
        """Learn from all rows and plan ``children[code]`` children of each class.

        ``labels_`` and the column names are set; ``embeddings`` is the embedding column, if one
        was named and ``_learns_from_matrix``. Default: :meth:`_fit`, then :meth:`_plan`.
        """
        self._fit(dataset)
        return self._plan(children)

    def _fit(self, dataset: Dataset) -> None:
        """Learn what needs the whole data set. ``labels_`` and the column names are set."""

    def _plan(self, children: Mapping[int, int]) -> Plan:
        """Choose parents: ``children[code]`` children of each class. Default: spread evenly over
        the rows of the class itself."""
        counts = spread_by_class(children, self.labels_, self.seed)
        return Plan.from_counts(np.arange(len(counts)), counts, self.labels_)

    # ---- fitting --------------------------------------------------------------------------------

    def fit(
        self,
        dataset: Dataset,
        label_column: str = "label",
        text_column: str | None = None,
        embedding_column: str | None = None,
    ) -> Self:
        """Learn from a data set and plan the children.

        Args:
            dataset: the rows to balance: one split, with row access.
            label_column: a ClassLabel, integers, strings or booleans.
            text_column: the texts; default "text" for methods that read texts.
            embedding_column: the embeddings; default "embedding" for methods that read those.

        Raises:
            TypeError: not a ``datasets.Dataset``.
            ValueError: a missing column; one class only; a null label or one outside the
                ClassLabel; a null or empty text; a null, ragged, NaN or infinite embedding;
                columns ``origin`` or ``parent`` already there; a sampling strategy that the counts
                do not allow. Columns and rows are named.
        """
        from datasets import Dataset  # here, since arrays need none of it

        if not isinstance(dataset, Dataset):
            hint = "dataset['train']" if isinstance(dataset, dict) else "a datasets.Dataset"
            raise TypeError(
                f"fit needs all rows of one split, got {type(dataset).__name__}: pass {hint} "
                "(what is fitted on a Dataset can then map an IterableDataset of the same rows)"
            )
        if self.input_kind == "text" and text_column is None:
            text_column = "text"
        if self.input_kind == "embedding" and embedding_column is None:
            embedding_column = "embedding"
        if text_column is not None and embedding_column is not None:
            raise ValueError(
                f"{type(self).__name__} reads "
                f"{'one column' if self.input_kind == 'any' else f'the {self.input_kind} column'}, "
                f"but text_column={text_column!r} and embedding_column={embedding_column!r} were "
                "given: give one"
            )
        require_columns(dataset, label_column, text_column, embedding_column)
        refuse_provenance(dataset.column_names)
        labels = self._labels_of(dataset, label_column)
        children = self._asked_children(labels)
        if text_column is not None:
            check_texts(dataset, text_column)
        embeddings = keys = digest = None
        if embedding_column is not None and self._learns_from_matrix:
            embeddings = embedding_matrix(dataset, embedding_column)
            keys = vector_keys(embeddings)
        elif embedding_column is not None:  # in one pass over rows that may be larger than memory
            adding = ContentDigest(len(dataset))
            adding.read(dataset, label_column)
            blocks = embedding_blocks(dataset, embedding_column, digest=adding)
            keys = np.concatenate([vector_keys(block) for _, block in blocks])
            digest = adding.hexdigest()
        self.plan_ = None
        self.label_column_, self.text_column_ = label_column, text_column
        self.embedding_column_ = embedding_column
        self.labels_, self.label_values_ = labels.codes, labels.values
        self.label_names_ = labels.names
        self.features_ = dataset.features.copy()
        self.digest_ = digest or content_digest(dataset, self.columns_read())
        self.row_keys_ = keys
        if text_column is not None:
            self.row_keys_ = text_keys(dataset.with_format(None)[text_column][:])
        elif keys is None and (names := key_columns(dataset.features)):  # none: all are lists
            table = dataset.with_format("arrow")
            parts = [
                record_keys(rows.__getitem__, self.features_, names)
                for rows in table.iter(batch_size=_KEY_ROWS)
            ]
            self.row_keys_ = np.concatenate(parts)
        self._take_plan(self._learn_from(dataset, embeddings, children), children)
        return self

    def _take_plan(self, plan: Plan, children: Mapping[int, int]) -> None:
        made = np.bincount(plan.label, minlength=len(self.label_names_))
        for code, total in children.items():
            if made[code] != total:
                raise RuntimeError(
                    f"{type(self).__name__} planned {made[code]} children of class "
                    f"{self.label_names_[code]!r}, asked were {total}"
                )
        self.plan_ = plan

    def columns_read(self) -> list[str]:
        """The label column and the one that the method reads; where it reads none, all those that
        a row is known by."""
        read = self.text_column_ or self.embedding_column_
        others = key_columns(self.features_) if read is None else [read]
        return list(dict.fromkeys([self.label_column_, *others]))

    def difference(self, dataset: Dataset) -> str | None:
        """How a data set differs from the fitted one, in words; None if it does not."""
        if len(dataset) != len(self.labels_):
            return f"it has {len(dataset)} rows, the fitted one has {len(self.labels_)}"
        if dataset.features != self.features_:
            names = sorted({*dataset.features, *self.features_})
            differ = [n for n in names if dataset.features.get(n) != self.features_.get(n)]
            return f"its features differ from the fitted ones in the columns {differ}"
        columns = self.columns_read()
        if content_digest(dataset, columns) != self.digest_:
            return f"the content of its columns {columns} (or their order) is not the fitted one"
        return None
