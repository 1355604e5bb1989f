"""What a run reads: the data set, its classes and language, its parts, and which classes grow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from datasets import Dataset, DatasetDict
from huggingface_hub import snapshot_download

from hf_oversample.commands.arguments import RunArguments
from hf_oversample.commands.messages import note, warn
from hf_oversample.commands.miso_arguments import MisoRunArguments
from hf_oversample.comparison.fold import TEST_NEIGHBORS
from hf_oversample.data.classes import lookalike_advice, lookalike_classes
from hf_oversample.data.demo import demo_bbc, demo_sms
from hf_oversample.data.labeled_texts import Texts
from hf_oversample.data.reading import check_text_column, load_text_dataset, prepare_labels
from hf_oversample.data.splitting import make_imbalanced, stratified_split
from hf_oversample.oversamplers.strategy import children_per_class, class_counts
from hf_oversample.text.words import Language, guess_language, unsegmented_script

# what an encoder and its tokenizer are loaded from
ENCODER_FILES = ("*.json", "*.txt", "*.model", "*.safetensors")


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


def name_of_rows(a: RunArguments) -> str:
    """What people call the rows that a run reads."""
    if a.demo is not None:
        return {"sms": "SMS Spam Collection (demo)", "bbc": "BBC News (demo)"}[a.demo]
    return a.dataset_name or Path(str(a.train_file)).stem


def read_data(arguments: MisoRunArguments) -> RunData:
    """
    Read, check and split the data of a run.

    Raises:
        ValueError: for a missing column, a bad text or label, an unknown minority class, or
            classes that are balanced already; the message names column and row. For a class with no
            row in one of the parts, or fewer rows than neighbours that are looked at.
    """
    a = arguments
    name = name_of_rows(a)
    dataset = read_rows(a)
    check_columns(dataset, f"The rows of {name}", a)
    dataset = prepare_labels(
        dataset, a.label_column, strip=a.strip_labels, lowercase=a.lowercase_labels
    )
    class_names = list(dataset.features[a.label_column].names)
    codes = np.asarray(dataset[a.label_column], np.int64)
    warn_of_lookalikes(class_counts(codes, names=class_names), class_names)
    dataset = made_rare(dataset, a, minority_code(a, class_names))
    parts = DatasetDict({"train": dataset})
    if a.evaluation_seeds:  # otherwise nothing is measured, and every row is for training
        shares = (1 - a.validation_share - a.test_share, a.validation_share, a.test_share)
        split = stratified_split(dataset, a.label_column, a.text_column, shares, a.training.seed)
        parts = DatasetDict(dict(zip(("train", "validation", "test"), split, strict=True)))
    texts = {part: Texts.of(rows, a.text_column, a.label_column) for part, rows in parts.items()}
    if a.evaluation_seeds:
        check_parts(texts, class_names)
    counts = class_counts(texts["train"].labels, names=class_names)
    children = children_per_class(a.sampling_strategy, counts, class_names)
    targets = sorted(code for code, number in children.items() if number)
    if not targets:
        raise ValueError(f"The classes have {counts} rows: there is nothing to balance.")
    check_neighbors(len(texts["train"]), a)
    language = language_of(a, dataset[a.text_column][:])
    return RunData(name, len(dataset), parts, texts, class_names, targets, language)


def read_rows(arguments: RunArguments) -> Dataset:
    """The whole data set that a run names: a demo, a file, or a data set's training split."""
    a = arguments
    if a.demo is not None:
        return {"sms": demo_sms, "bbc": demo_bbc}[a.demo]()
    return load_text_dataset(
        dataset_name=a.dataset_name,
        dataset_config=a.dataset_config,
        train_file=a.train_file,
        revision=a.revision,
        encoding=a.encoding,
    )


def warn_of_lookalikes(counts: Mapping[int, int], class_names: Sequence[str]) -> None:
    """Say on stderr which classes differ in case or spaces only: each would be grown by itself."""
    by_name = {name: counts.get(code, 0) for code, name in enumerate(class_names)}
    found = lookalike_classes({name: rows for name, rows in by_name.items() if rows})
    for group in found:
        warn(lookalike_advice(group))


def language_of(arguments: RunArguments, texts: Sequence[str]) -> Language:
    """
    The language that a run names, else the one guessed from its texts, which is said, with a
    warning where words are not found as well as in English or Chinese.
    """
    if arguments.language is not None:
        return arguments.language
    language = guess_language(texts)
    name = {"en": "English", "zh": "Chinese"}[language]
    note(f"language: {name}, guessed; name it with --language")
    script = unsegmented_script(texts)
    if script is not None:
        warn(
            f"most letters are {script}, for which there is no segmenter here: words are cut as in "
            "English, at spaces and at marks, and edits may break them. Pretrained encoders read "
            "such texts whole"
        )
    return language


def check_columns(rows: Dataset, which: str, arguments: RunArguments) -> None:
    """
    Check that rows have a column of texts and one of classes, and a text in every row.

    Args:
        rows: to check.
        which: what the message calls them, such as "The test rows".

    Raises:
        ValueError: for a missing column or a bad text; the message names column and row.
    """
    for column in (arguments.text_column, arguments.label_column):
        if column not in rows.column_names:
            raise ValueError(
                f"{which} have no column {column!r}; they have the columns {rows.column_names}. "
                "Name yours with --text and --label."
            )
    check_text_column(rows, arguments.text_column)


def minority_code(arguments: RunArguments, class_names: list[str]) -> int | None:
    """
    The code of `minority_class`, if one is named.

    Raises:
        ValueError: if there is no such class.
    """
    if arguments.minority_class is None:
        return None
    if arguments.minority_class not in class_names:
        raise ValueError(
            f"minority_class is {arguments.minority_class!r}; the classes are {class_names}."
        )
    return class_names.index(arguments.minority_class)


def made_rare(rows: Dataset, arguments: RunArguments, minority: int | None) -> Dataset:
    """The rows, of the minority (None: the smallest class) as few as `imbalance_ratio` asks."""
    a = arguments
    if a.imbalance_ratio is None:
        return rows
    return make_imbalanced(
        rows, a.label_column, a.imbalance_ratio, minority=minority, seed=a.training.seed
    )


def check_parts(texts: Mapping[str, Texts], class_names: list[str]) -> None:
    """
    Check that what a run measures can be measured: every class with rows has some in each part, to
    learn it from, to choose by and to report on, and test rows have neighbours.

    Args:
        texts: part → its rows; one is "test".
        class_names: in the order of the codes.

    Raises:
        ValueError: for a class without rows in some part; the message has its rows by part. For too
            few test rows.
    """
    by_part = {part: class_counts(rows.labels, names=class_names) for part, rows in texts.items()}
    for code, name in enumerate(class_names):
        found = {part: counts[code] for part, counts in by_part.items()}
        if any(found.values()) and not all(found.values()):
            rows = ", ".join(f"{number} in {part}" for part, number in found.items())
            raise ValueError(
                f"The class {name!r} has too few rows for {len(found)} parts: {rows} (rows of the "
                "same text go to the same part). What is measured needs one in each: add rows of "
                "the class, measure nothing with --evaluation_seeds 0, or set other shares with "
                "--validation_share and --test_share."
            )
    if len(texts["test"]) <= TEST_NEIGHBORS:
        raise ValueError(
            f"The test part has {len(texts['test'])} rows, all classes together. Which of them are "
            f"difficult is measured by the {TEST_NEIGHBORS} nearest others, so there must be at "
            f"least {TEST_NEIGHBORS + 1}: add rows, measure nothing with --evaluation_seeds 0, or "
            "set another share with --test_share."
        )


def check_neighbors(rows: int, arguments: MisoRunArguments) -> None:
    """
    Check that a generator's training, where there will be one, finds its neighbours among `rows`.

    Raises:
        ValueError: for as few rows as `neighbors`, or fewer.
    """
    neighbors = arguments.training.neighbors
    if arguments.trains_generator and rows <= neighbors:
        raise ValueError(
            f"The training part has {rows} rows, all classes together: a row has "
            f"{rows - 1} others, and the generator's training looks at the {neighbors} nearest. "
            f"Add rows, or set --neighbors to {rows - 1} or less."
        )


def generator_at_revision(name: str, revision: str | None) -> str:
    """
    A generator as every part of a run can load it.

    Args:
        name: a folder, or a name on the Hub.
        revision: commit, tag or branch; None leaves the name as it is.

    Returns: the name, or the folder of the files of that revision, which are downloaded if they
        are not here.

    Raises:
        ValueError: a revision of a folder.
    """
    if revision is None:
        return name
    if Path(name).is_dir():
        raise ValueError(
            f"generator_revision is {revision!r}, and {name} is a folder: a revision is one of a "
            "name on the Hub. Give that name, or leave the revision out."
        )
    return snapshot_download(name, revision=revision)


def at_revision(encoder_name: str | None, revision: str | None) -> str | None:
    """
    An encoder as every part of a run can load it, whether it takes a revision or not.

    Args:
        encoder_name: a folder, a name on the Hub, or None.
        revision: commit, tag or branch; None leaves the name as it is.

    Returns: the folder of the files of that revision, which are downloaded if they are not here.

    Raises:
        ValueError: a revision of no encoder, or of a folder.
    """
    if revision is None:
        return encoder_name
    if encoder_name is None or Path(encoder_name).is_dir():
        what = "no encoder_name" if encoder_name is None else f"the folder {encoder_name}"
        raise ValueError(
            f"encoder_revision is {revision!r}, with {what}: a revision is one of a name on the "
            "Hub. Give that name, or leave the revision out."
        )
    return snapshot_download(encoder_name, revision=revision, allow_patterns=list(ENCODER_FILES))
