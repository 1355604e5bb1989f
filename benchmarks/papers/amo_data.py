"""The vectors that the AMO paper's table is taken on: Reuters and Twitter POS.

"reuters, bag of words": TF-IDF of the 2000 commonest words. "reuters, sentence embeddings": means
of the demo encoder's states. "twitter, word window": the same encoder's input vectors of a token
and of the two beside it. The paper names none of its features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import train_test_split
from transformers import AutoModel, AutoTokenizer

from hf_oversample.data.demo import demo_encoder_path
from hf_oversample.data.files import read_file
from hf_oversample.text.words import normalized
from hf_oversample.transforms.embed import TextEmbedder

LEAST_TEST_ROWS = 5
VOCABULARY = 2000
Rows = tuple[np.ndarray, np.ndarray]
Columns = dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Data:
    """Vectors float32 [n, d] and class ids of each split.

    Attributes:
        validation: the data's own validation rows; None: they are split off.
        on_sphere: whether all vectors have one length, which AMO's steps then keep.
        left_out: training rows whose text is a test text.
        inputs: a digest of the files and of the encoder that the vectors are from.
    """

    train: Rows
    test: Rows
    validation: Rows | None
    on_sphere: bool
    left_out: int
    inputs: str = ""

    def halves(self, seed: int) -> tuple[Rows, Rows]:
        """Rows to train on and to choose by; no test rows."""
        if self.validation is not None:
            return self.train, self.validation
        x, y = self.train
        kept, held_out = train_test_split(
            np.arange(len(y)), test_size=0.2, stratify=y, random_state=seed
        )
        return (x[kept], y[kept]), (x[held_out], y[held_out])


def read_columns(path: Path) -> Columns:
    """A parquet file's columns, texts as objects."""
    table = read_file(path)
    columns = {}
    for name in table.column_names:
        values = list(table[name])
        is_text = bool(values) and isinstance(values[0], str)
        columns[name] = np.asarray(values, dtype=object if is_text else None)
    return columns


def splits(
    folder: Path, names: tuple[str, ...], text_of: Callable[[Columns], list[str]], share: float
) -> tuple[list[Columns], int]:
    """Columns of the splits, the last of which is the test split, with class codes from 0 on.

    Classes with too few test rows are dropped, and training rows whose text (`text_of`) the test
    split has too: their number comes second. `share` of each class's training rows are kept.
    """
    tables = [read_columns(folder / f"{name}.parquet") for name in names]
    seen = set(text_of(tables[-1]))
    repeated = np.asarray([text in seen for text in text_of(tables[0])], bool)
    tables[0] = _rows(tables[0], ~repeated)
    found, counts = np.unique(tables[-1]["label"], return_counts=True)
    classes = found[counts >= LEAST_TEST_ROWS]
    tables = [_rows(table, np.isin(table["label"], classes)) for table in tables]
    for table in tables:
        table["label"] = np.searchsorted(classes, table["label"])
    if share < 1:
        labels = tables[0]["label"]
        kept = np.zeros(len(labels), bool)
        for label in range(len(classes)):
            own = np.flatnonzero(labels == label)
            kept[own[: int(np.ceil(max(2, len(own) * share)))]] = True
        tables[0] = _rows(tables[0], kept)
    return tables, int(repeated.sum())


def _rows(table: Columns, kept: np.ndarray) -> Columns:
    return {name: values[kept] for name, values in table.items()}


def reuters(folder: Path, share: float, vectors: Callable[[list[list[str]]], list[Any]]) -> Data:
    """Reuters with one of the kinds of vectors for its texts."""
    tables, left_out = splits(
        folder / "reuters_r52", ("train", "test"), lambda t: list(map(normalized, t["text"])), share
    )
    train, test = zip(
        vectors([list(table["text"]) for table in tables]),
        [table["label"] for table in tables],
        strict=True,
    )
    return Data(train, test, None, True, left_out)


def bag_of_words(texts: list[list[str]]) -> list[np.ndarray]:
    """TF-IDF of the commonest words of the training texts, rows of length 1."""
    vectorizer = TfidfVectorizer(max_features=VOCABULARY, sublinear_tf=True, dtype=np.float32)
    vectorizer.fit(texts[0])
    return [vectorizer.transform(part).toarray() for part in texts]


def sentence_embeddings(texts: list[list[str]]) -> list[np.ndarray]:
    """Means of the demo encoder's states, rows of length 1."""
    embedder = TextEmbedder(demo_encoder_path())
    return [embedder.embed(part) for part in texts]


def twitter(folder: Path, share: float) -> Data:
    """Tokens of tweets: the demo encoder's word vectors of a token and of the two beside it."""
    tables, left_out = splits(folder / "twitter_pos", ("train", "dev", "test"), tweets, share)
    vector_of = word_vectors(sorted({text for table in tables for text in table["text"]}))
    parts = []
    for table in tables:
        rows = np.stack([vector_of[text] for text in table["text"]])
        window = np.zeros((len(rows), 3, rows.shape[1]), np.float32)
        window[:, 1] = rows
        # Beside each other in the tweet: a dropped row between two leaves its place empty.
        beside = (np.diff(table["tweet"]) == 0) & (np.diff(table["position"]) == 1)
        first = np.flatnonzero(beside)
        window[first + 1, 0], window[first, 2] = rows[first], rows[first + 1]
        parts.append((window.reshape(len(rows), -1), table["label"]))
    return Data(parts[0], parts[2], parts[1], False, left_out)


def tweets(table: Columns) -> list[str]:
    """The whole tweet of each token."""
    words: dict[Any, list[str]] = {}
    for tweet, text in zip(table["tweet"], table["text"], strict=True):
        words.setdefault(tweet, []).append(text)
    whole = {tweet: " ".join(parts) for tweet, parts in words.items()}
    return [whole[tweet] for tweet in table["tweet"]]


def word_vectors(words: list[str]) -> dict[str, np.ndarray]:
    """Means of the encoder's input vectors of a word's pieces, and what they cannot tell: case,
    digits, signs."""
    path = demo_encoder_path()
    tokenizer = AutoTokenizer.from_pretrained(path)
    table = AutoModel.from_pretrained(path).get_input_embeddings().weight.detach()
    table = (table - table.mean(0)) / (table - table.mean(0)).norm(dim=1).mean()
    result = {}
    for word in words:
        pieces = tokenizer(word, add_special_tokens=False)["input_ids"]
        mean = table[pieces or [tokenizer.unk_token_id]].mean(0).numpy()
        shape = [word[:1].isupper(), word.isupper(), word.isdigit(), any(map(str.isdigit, word))]
        shape += [word[:1] == "#", word[:1] == "@", "/" in word, not any(map(str.isalnum, word))]
        result[word] = np.concatenate([mean, np.asarray(shape, np.float32)])
    return result


TASKS: dict[str, Callable[[Path, float], Data]] = {
    "reuters, bag of words": lambda folder, share: reuters(folder, share, bag_of_words),
    "reuters, sentence embeddings": lambda f, share: reuters(f, share, sentence_embeddings),
    "twitter, word window": twitter,
}
