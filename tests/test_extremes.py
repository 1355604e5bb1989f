"""Very long texts, very many classes, and what is no number late in a long column."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset

from hf_oversample import (
    AdasynOversampler,
    AmoOversampler,
    BayesianGanOversampler,
    BorderlineSmoteOversampler,
    EmcoOversampler,
    RandomOversampler,
    SimporOversampler,
    SmoteOversampler,
    TextEmbedder,
    difficult_samples,
)
from hf_oversample.data.auditing import Rows, audit_part
from hf_oversample.data.files import read_file
from hf_oversample.data.reading import prepare_labels
from hf_oversample.oversamplers.sharded import balance_files
from hf_oversample.oversamplers.strategy import children_per_class, class_counts
from hf_oversample.text.copies import CopyIndex
from hf_oversample.text.edits import eda
from hf_oversample.text.tokenization import train_tokenizer
from hf_oversample.text.words import Segmenter
from miso_fixtures import encoder_folder

# ---- long texts ---------------------------------------------------------------------------------

LONG = 1_000_000
TEXTS: dict[str, str] = {
    "one word": "a" * LONG,
    "an e with many accents": "e" + "\u0301" * (LONG - 1),
    "NUL": "\0" * LONG,
    "no letter": "\u202e\u200f" * (LONG // 80),
}
# Seconds each, as there are as many words: these are not drawn word by word.
MANY_WORDS: dict[str, str] = {
    "words": ("the words are so many that they fill it " * (LONG // 160))[: LONG // 4],
    "marks": "!?" * (LONG // 10),
    "letters and NUL": "a\0" * (LONG // 10),
}


def rows_with(text: str, folder: Path) -> Dataset:
    """A file's rows, of which the last, of the rare class, is the text."""
    rows = [{"text": f"see you at number {n} today", "label": "ham"} for n in range(8)]
    rows += [{"text": "win a prize", "label": "spam"}, {"text": text, "label": "spam"}]
    path = folder / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    dataset = read_file(path)
    assert dataset[-1]["text"] == text
    return dataset


def check_long_text(text: str, folder: Path) -> Dataset:
    dataset, segmenter = rows_with(text, folder), Segmenter("en")
    part = audit_part(Rows.of(dataset, "text", "label"), segmenter)
    assert (part.rows, part.classes, part.null_texts) == (10, {"ham": 8, "spam": 2}, 0)
    spans = segmenter.spans(text)
    assert all(one[0] < one[1] <= later[0] for one, later in pairwise(spans))
    assert spans[-1][1] <= len(text)
    edited = eda(text, segmenter, np.random.default_rng(0))
    assert len(edited) >= len(text) // 2
    copies = CopyIndex.build(dataset["text"][:], segmenter)
    assert copies.is_copy(text)
    tokenizer = train_tokenizer(dataset["text"][:], vocab_size=100)
    assert len(tokenizer(text)["input_ids"]) > 2
    vectors = TextEmbedder(encoder_folder(), max_length=16).embed([text])
    assert np.isfinite(vectors).all()
    balanced = RandomOversampler().balance(dataset)
    assert balanced["label"][:].count("spam") == 8
    assert set(balanced["text"][10:]) <= {text, "win a prize"}
    return dataset


@pytest.mark.slow
@pytest.mark.parametrize("name", TEXTS)
def test_a_text_of_a_million_characters(name: str, tmp_path: Path) -> None:
    dataset = check_long_text(TEXTS[name], tmp_path)
    made = EmcoOversampler(language="en").balance(dataset)
    assert made["label"][:].count("spam") == 8


@pytest.mark.slow
@pytest.mark.parametrize("name", MANY_WORDS)
def test_a_text_of_many_words(name: str, tmp_path: Path) -> None:
    check_long_text(MANY_WORDS[name], tmp_path)


@pytest.mark.parametrize(("name", "length"), [("one word", 100_000), ("letters and NUL", 5_000)])
def test_a_long_text(name: str, length: int, tmp_path: Path) -> None:
    dataset = check_long_text((TEXTS | MANY_WORDS)[name][:length], tmp_path)
    made = EmcoOversampler(language="en").balance(dataset)
    assert made["label"][:].count("spam") == 8


def test_half_a_character_is_refused_where_it_is_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"line 10: 'text' holds .*half a character"):
        rows_with("\ud83d" * LONG, tmp_path)


# ---- many classes -------------------------------------------------------------------------------


def rows_of_classes(classes: int) -> Dataset:
    """Two rows of each class; one of every tenth."""
    labels = [f"class {c}" for c in range(classes) for _ in range(1 if c % 10 == 0 else 2)]
    return Dataset.from_dict({"text": [f"text {n}" for n in range(len(labels))], "label": labels})


def check_many_classes(classes: int, folder: Path, *, with_names: bool) -> None:
    dataset = rows_of_classes(classes)
    part = audit_part(Rows.of(dataset, "text", "label"), Segmenter("en"))
    assert len(part.classes) == classes
    labelled = prepare_labels(dataset)
    names = labelled.features["label"].names
    counts = class_counts(labelled["label"][:], names=names)
    final = dict.fromkeys(names, 2)
    asked = children_per_class(final, counts, names)
    assert sum(asked.values()) == classes // 10
    # a ClassLabel costs seconds a hundred thousand names: the library copies them for each batch
    for rows in (dataset, labelled)[: 1 + with_names]:
        oversampler = RandomOversampler(sampling_strategy=final)
        balanced = oversampler.balance(rows)
        assert (
            np.bincount(np.unique(balanced["label"][:], return_inverse=True)[1]).tolist()
            == [2] * classes
        )
        oversampler.save_pretrained(folder / "saved")
        loaded = RandomOversampler.from_pretrained(folder / "saved")
        assert loaded.children(rows)[:] == balanced.select(range(len(rows), len(balanced)))[:]
    with pytest.raises(ValueError, match=r"'none' has no rows; .* and ") as raised:
        RandomOversampler(sampling_strategy={"none": 2}).fit(dataset)
    assert len(str(raised.value)) < 2000


def test_many_classes(tmp_path: Path) -> None:
    check_many_classes(3_000, tmp_path, with_names=True)


@pytest.mark.slow
def test_a_hundred_thousand_classes(tmp_path: Path) -> None:
    check_many_classes(100_000, tmp_path, with_names=False)


# ---- what is no number, late --------------------------------------------------------------------

ROWS, LATE = 100_000, 99_999


@pytest.fixture(scope="module", params=[np.nan, np.inf], ids=["nan", "inf"])
def vectors(request: pytest.FixtureRequest) -> np.ndarray:
    found = np.random.default_rng(0).normal(size=(ROWS, 2)).astype(np.float32)
    found[LATE, 1] = request.param
    return found


LABELS = (np.arange(ROWS) % 10 == 0).astype(np.int64)
METHODS: dict[str, Callable[[], Any]] = {
    "smote": SmoteOversampler,
    "borderline": BorderlineSmoteOversampler,
    "adasyn": AdasynOversampler,
    "amo": AmoOversampler,
    "simpor": SimporOversampler,
    "bayesian gan": BayesianGanOversampler,
}


def table_of(vectors: np.ndarray) -> pa.Table:
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), 2)
    return pa.table({"label": pa.array(LABELS), "embedding": column})


@pytest.mark.parametrize("name", METHODS)
def test_every_method_names_the_late_row(name: str, vectors: np.ndarray) -> None:
    with pytest.raises(ValueError, match=f"in row {LATE}, position 1"):
        METHODS[name]().fit(Dataset(table_of(vectors)))
    for given in (vectors, vectors.astype(np.float64)):
        with pytest.raises(ValueError, match=f"in row {LATE}, position 1"):
            METHODS[name]().fit_arrays(given, LABELS)


def test_every_other_reader_names_the_late_row(vectors: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"in row {LATE}"):
        difficult_samples(vectors, LABELS)
    half = ROWS // 2
    for part in range(2):
        rows = table_of(vectors).slice(part * half, half)
        pq.write_table(rows, tmp_path / f"part-{part}.parquet", row_group_size=10_000)
    files = [tmp_path / f"part-{part}.parquet" for part in range(2)]
    with pytest.raises(ValueError, match=f"in row {LATE}, position 1"):
        balance_files(files, SmoteOversampler(), tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.parquet"))


@pytest.mark.parametrize("name", ["SmoteSampler", "AmoSampler"])
def test_scikit_learns_facade_names_the_late_row(name: str, vectors: np.ndarray) -> None:
    pytest.importorskip("imblearn")
    from hf_oversample import sklearn

    with pytest.raises(ValueError, match=f"in row {LATE}, position 1|NaN|infinity"):
        getattr(sklearn, name)().fit_resample(vectors, LABELS)
