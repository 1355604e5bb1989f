"""What a run reads: the data set, its classes and language, its parts, and which classes grow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from datasets import Dataset, DatasetDict

from hf_oversample.data import (
    check_text_column,
    demo_bbc,
    demo_sms,
    load_text_dataset,
    make_imbalanced,
    prepare_labels,
    stratified_split,
)
from hf_oversample.labeled_texts import Texts
from hf_oversample.runs.arguments import MisoRunArguments
from hf_oversample.sampling import children_per_class, class_counts
from hf_oversample.text import Language, guess_language


@dataclass(frozen=True)
class RunData:
    """
    The data of a run.

    Args:
        name: of the data set, for people.
        rows: number of rows, of all parts together.
        parts: "train", and "validation" and "test" where the effect is measured.
        texts: part → its texts and class codes.
        class_names: in the order of the codes.
        targets: the codes of the classes that grow.
        language: "en" or "zh".
    """

    name: str
    rows: int
    parts: DatasetDict
    texts: dict[str, Texts]
    class_names: list[str]
    targets: list[int]
    language: Language

    @property
    def train(self) -> Texts:
        """The training part."""
        return self.texts["train"]


def read_data(arguments: MisoRunArguments) -> RunData:
    """
    Read, check and split the data of a run.

    Raises:
        ValueError: for a missing column, a bad text or label, an unknown minority class, or
            classes that are balanced already; the message names column and row.
    """
    a = arguments
    dataset, name = _read(a)
    for column in (a.text_column, a.label_column):
        if column not in dataset.column_names:
            raise ValueError(
                f"The data set {name} has no column {column!r}; it has {dataset.column_names}. "
                "Name yours with --text_column and --label_column."
            )
    check_text_column(dataset, a.text_column)
    dataset = prepare_labels(dataset, a.label_column)
    class_names = list(dataset.features[a.label_column].names)
    if a.imbalance_ratio is not None:
        minority = None
        if a.minority_class is not None:
            if a.minority_class not in class_names:
                raise ValueError(
                    f"minority_class is {a.minority_class!r}; the classes are {class_names}."
                )
            minority = class_names.index(a.minority_class)
        dataset = make_imbalanced(
            dataset, a.label_column, a.imbalance_ratio, minority=minority, seed=a.training.seed
        )
    parts = DatasetDict({"train": dataset})
    if a.evaluation_seeds:  # otherwise nothing is measured, and every row is for training
        shares = (1 - a.validation_share - a.test_share, a.validation_share, a.test_share)
        split = stratified_split(dataset, a.label_column, a.text_column, shares, a.training.seed)
        parts = DatasetDict(dict(zip(("train", "validation", "test"), split, strict=True)))
    texts = {part: Texts.of(rows, a.text_column, a.label_column) for part, rows in parts.items()}
    counts = class_counts(texts["train"].labels, names=class_names)
    children = children_per_class(a.sampling_strategy, counts, class_names)
    targets = sorted(code for code, number in children.items() if number)
    if not targets:
        raise ValueError(f"The classes have {counts} rows: there is nothing to balance.")
    language = a.language or guess_language(dataset[a.text_column][:])
    return RunData(name, len(dataset), parts, texts, class_names, targets, language)


def _read(a: MisoRunArguments) -> tuple[Dataset, str]:
    """The whole data set, and its name."""
    if a.demo == "sms":
        return demo_sms(), "SMS Spam Collection (demo)"
    if a.demo == "bbc":
        return demo_bbc(), "BBC News (demo)"
    dataset = load_text_dataset(
        dataset_name=a.dataset_name,
        dataset_config=a.dataset_config,
        train_file=a.train_file,
        revision=a.revision,
    )
    return dataset, a.dataset_name or Path(str(a.train_file)).stem
