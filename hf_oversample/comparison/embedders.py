"""Embeddings of texts that a comparison works on, each text embedded once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import xxhash
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from hf_oversample.text.checks import checked_texts
from hf_oversample.text.words import Segmenter

Embed = Callable[[Sequence[str]], np.ndarray]


def pretrained_embedder(name: str | Path) -> Embed:
    """Mean states of a pretrained encoder, as long a text as it has places for, 128 tokens at most.

    Args:
        name: for `AutoModel`.

    Raises:
        ValueError: there is no such encoder here or on the Hub.
    """
    from hf_oversample.models.encoders import load_config
    from hf_oversample.transforms.embed import TextEmbedder

    try:
        load_config(name)
    except OSError as error:  # no such name, or no connection to ask
        raise ValueError(f"the encoder {str(name)!r} cannot be loaded: {error}") from error
    return TextEmbedder(str(name)).embed


def encoder_identity(name: str | None) -> str | None:
    """What tells an encoder from others in a record: a Hub name, or for a folder its last part and
    a digest of its files, which are the same wherever the folder is."""
    if name is None or not Path(name).is_dir():
        return name
    digest = xxhash.xxh3_128()
    for path in sorted(path for path in Path(name).iterdir() if path.is_file()):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return f"{Path(name).name}@{digest.hexdigest()[:16]}"


def embedder_identity(embed: Embed, texts: Sequence[str]) -> list[float]:
    """What tells an embedder from others in a record: the scalar products of what it makes of the
    first eight texts, which another machine's rounding changes by little."""
    values = np.asarray(embed(list(texts[:8])), np.float64)
    products = (values @ values.T)[np.triu_indices(len(values))]
    return [float(f"{value:.6g}") for value in products]


class RememberedEmbeddings:
    """An embedder that embeds each text once: folds share most of theirs.

    Args:
        embed: texts → `[n, d]` float32, each row a function of its text alone.

    Attributes:
        spared: seconds that the texts of the last call would have taken, had none been known.
    """

    def __init__(self, embed: Embed) -> None:
        self._embed = embed
        self._rows: dict[str, np.ndarray] = {}
        self._seconds = 0.0
        self.spared = 0.0

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """`[n, d]` float32."""
        texts = checked_texts(texts)
        new = [text for text in dict.fromkeys(texts) if text not in self._rows]
        if new:
            start = time.perf_counter()
            self._rows.update(zip(new, self._embed(new), strict=True))
            self._seconds += time.perf_counter() - start
        self.spared = self._seconds * (len(texts) - len(new)) / max(1, len(self._rows))
        return np.stack([self._rows[text] for text in texts]).astype(np.float32, copy=False)


class LatentSemanticEmbedder:
    """TF-IDF of words and pairs of words, reduced by a truncated singular value decomposition
    (latent semantic analysis), scaled to length 1: what stands for an encoder where none is named.

    Args:
        texts: training texts, which alone it learns from.
        segmenter: finds their words.
        width: of the embeddings at most; few texts give less.
    """

    def __init__(self, texts: Sequence[str], segmenter: Segmenter, width: int = 128) -> None:
        self.vectorizer = TfidfVectorizer(
            analyzer=lambda text: _grams(segmenter.words(text.casefold())),
            sublinear_tf=True,
            dtype=np.float32,
        )
        table = self.vectorizer.fit_transform(checked_texts(texts))
        width = max(1, min(width, *(size - 1 for size in table.shape)))
        self.decomposition = TruncatedSVD(width, random_state=0).fit(table)

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """`[n, width]` float32; a text of unknown words only is the zero vector."""
        values = self.decomposition.transform(self.vectorizer.transform(checked_texts(texts)))
        return normalize(values).astype(np.float32)


def _grams(words: list[str]) -> list[str]:
    return words + [" ".join(pair) for pair in pairwise(words)]
