"""Text to fixed-width embeddings with any encoder of `AutoModel`, or to a MISO generator's latents.

The encoder is loaded at first use and left out of pickles; what stands for it in them is a digest
of its weights and tokenizer. So the transform travels small, and `datasets` finds rows in its cache
exactly where the same weights made them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from datasets import Dataset, Features, List, Value
from transformers import PreTrainedModel, PreTrainedTokenizerBase

import hf_oversample
from hf_oversample.data.columns import as_list, check_texts, in_format_of
from hf_oversample.models.digest import weights_digest
from hf_oversample.models.encoders import (
    check_max_length,
    encoder_part,
    load_encoder,
    load_tokenizer,
    longest_text,
)
from hf_oversample.models.in_memory import folder_or_name, name_of
from hf_oversample.models.miso.encoder_miso import MisoModel
from hf_oversample.numeric.workers import (
    device_of_process,
    one_thread_if_forked,
    processes_that_can_use_gpus,
)
from hf_oversample.text.encoding import TextEncoder
from hf_oversample.text.words import Language, Segmenter, checked_language
from hf_oversample.transforms.token_vectors import POOLINGS, Pooling, embed_token_ids, width_of

LONGEST = 128
"""Tokens of the longest text where nothing is said, and the model has places for them."""


@dataclass
class _Encoder:
    """What is loaded: the encoder, its tokenizer, a digest of both, the longest text in tokens, and
    the model that the encoder is of, where that is another."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    digest: str
    max_length: int
    whole: PreTrainedModel


class TextEmbedder:
    """
    Embeds a text column: `embedder.embed_dataset(dataset)` adds a float32 column of fixed width.

    It is a function for `map` too, and then goes with any data set: `dataset.map(embedder,
    batched=True, batch_size=4096)`. (`map` sees no width, unless it gets
    `features=embedder.output_features(dataset.features)`; `IterableDataset.map` always needs those.
    With several GPUs, `num_proc=2, with_rank=True` gives each process its own.) Texts of one call
    are sorted by length, so large batches are faster.

    Args:
        model_name_or_path: an encoder that `AutoModel` and `AutoTokenizer` load (of a model with
            encoder and decoder, such as T5 or BART, the encoder), or a folder or Hub name of a MISO
            generator; or such a model in memory, which is copied as it is then.
        tokenizer: of a model in memory.
        text_column, embedding_column: what is read and what is added.
        pooling: "mean" over the tokens (default), "cls", the first token's state, or "latent": the
            latents of a MISO generator, `[heads, latent_size]` flattened, whose rows
            `LatentDecoder` turns into texts.
        normalize: scale embeddings to length 1 (default, but for "latent": scaled latents could not
            be decoded).
        max_length: longest text in tokens, special tokens included; longer ones are cut. Default:
            128, or what the model has places for where that is less.
        token_budget: padded tokens in a batch of the encoder (default 8192).
        dtype: "float32" (default) or "bfloat16", the precision of the encoder; the column is
            float32 always.
        revision: of the model on the Hub.
        language: "en" or "zh", whose words a generator's tokenizer is given; for "latent" alone;
            default: that of the generator's training texts.
        device: such as "cpu" or "cuda:1"; by default the GPU of the process's rank where there are
            GPUs, and else the CPU.

    A text's embedding does not depend on the texts beside it. It may differ in its last bits
    between devices, and between numbers of threads (a process of `num_proc` has one).

    Raises:
        TypeError: for a max_length or token_budget that is not an int; a model in memory without
            its tokenizer.
        ValueError: for one below 1; an unknown pooling or dtype; scaled latents; a text that is
            null, empty or no string (column and row are named); and, when the model is loaded, for
            latents of a model that has none, more tokens than it has places for, weights that
            are missing, or that are no longer those of the transform that was pickled.
    """

    code_version: ClassVar[int] = 2  # raised when changed code changes what comes out

    def __init__(
        self,
        model_name_or_path: str | Path | PreTrainedModel,
        *,
        tokenizer: PreTrainedTokenizerBase | None = None,
        text_column: str = "text",
        embedding_column: str = "embedding",
        pooling: Pooling = "mean",
        normalize: bool | None = None,
        max_length: int | None = None,
        token_budget: int = 8192,
        dtype: Literal["float32", "bfloat16"] = "float32",
        revision: str | None = None,
        language: Language | None = None,
        device: str | None = None,
    ):
        if pooling not in POOLINGS:
            raise ValueError(f"pooling is {pooling!r}; it must be one of {list(POOLINGS)}.")
        if dtype not in ("float32", "bfloat16"):
            raise ValueError(f"dtype is {dtype!r}; it must be 'float32' or 'bfloat16'.")
        for name, value in (("max_length", max_length), ("token_budget", token_budget)):
            if value is None and name == "max_length":
                continue
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} must be an int, got {value!r}")
            if value < 1:
                raise ValueError(f"{name} is {value}: give at least 1 token")
        if normalize and pooling == "latent":
            raise ValueError(
                "normalize=True with pooling='latent': latents that were scaled to length 1 cannot "
                "be decoded to text; leave normalize out."
            )
        self.model_name_or_path = name_of(
            model_name_or_path, "model_name_or_path", tokenizer=tokenizer
        )
        self.text_column, self.embedding_column = text_column, embedding_column
        self.pooling: Pooling = pooling
        self.normalize = pooling != "latent" if normalize is None else normalize
        self.max_length, self.token_budget = max_length, token_budget
        self.dtype, self.revision = dtype, revision
        self.language = language if language is None else checked_language(language)
        self.device = device
        self._digest: str | None = None
        self._encoder: _Encoder | None = None

    # ---- pickling and hashing

    @property
    def digest(self) -> str:
        """Of the weights and the tokenizer; the encoder is loaded for it if it was not."""
        if self._digest is None:
            self._digest = self._load().digest
        return self._digest

    def __getstate__(self) -> dict[str, Any]:
        # Sorted, with the digest and the code's version: this is what datasets hashes.
        state = self.__dict__ | {"_encoder": None, "_digest": self.digest}
        state["_code"] = f"{hf_oversample.__version__}/{self.code_version}"
        return dict(sorted(state.items()))

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update({name: value for name, value in state.items() if name != "_code"})

    def __repr__(self) -> str:
        return (
            f"TextEmbedder({self.model_name_or_path!r}, pooling={self.pooling!r}, "
            f"dtype={self.dtype!r})"
        )

    # ---- the encoder

    @property
    def loaded(self) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """The encoder and its tokenizer, loaded now if they were not, on the device of use."""
        return self._on_device(None)

    @property
    def longest(self) -> int:
        """Tokens after which a text is cut: `max_length`, or its default for this encoder."""
        return self._load().max_length

    def save_pretrained(self, folder: str | Path) -> None:
        """The encoder and its tokenizer, as a folder that a `TextEmbedder` loads."""
        encoder = self._load()
        encoder.whole.save_pretrained(folder)
        encoder.tokenizer.save_pretrained(folder)

    @property
    def width(self) -> int:
        """Values of an embedding."""
        return width_of(self._load().model, self.pooling)

    def _load(self) -> _Encoder:
        """On the CPU: a process that is forked afterwards must find no GPU in use."""
        if self._encoder is not None:
            return self._encoder
        one_thread_if_forked()
        name, revision = self.model_name_or_path, self.revision
        folder, dtype = folder_or_name(name), getattr(torch, self.dtype)
        whole = model = load_encoder(folder, revision=revision, dtype=dtype)
        tokenizer = load_tokenizer(folder, revision=revision)
        if self.pooling == "latent" and not isinstance(model, MisoModel):
            raise ValueError(
                f"pooling is 'latent', but {name} is a {type(model).__name__}, which has no "
                "latents: give a MISO generator, or pooling='mean'."
            )
        if self.pooling == "latent" and model.config.parts == "editor":
            raise ValueError(
                f"pooling is 'latent', but {name} is an editor (parts='editor'), whose latents "
                "were not trained: give a generator that was trained with parts='miso', or "
                "pooling='mean'."
            )
        if self.pooling != "latent" and isinstance(model, MisoModel):
            whole = model = model.encoder
        if not isinstance(model, MisoModel):
            model = encoder_part(model)  # a decoder's states are of a text that it would write
        max_length = self.max_length
        if max_length is None:
            longest = longest_text(model, tokenizer)
            max_length = LONGEST if longest is None else min(LONGEST, longest)
        check_max_length(max_length, name, model, tokenizer)
        # The tokenizer before its first call, which leaves its truncation in it.
        words = _tokenizer_text(tokenizer)
        text = f"{weights_digest(model)} {type(model).__name__} {words}"
        digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        if self._digest not in (None, digest):
            raise ValueError(
                f"{name} holds other weights, or another tokenizer, than when this TextEmbedder "
                "was pickled: make a new one."
            )
        self._encoder = _Encoder(model.eval(), tokenizer, digest, max_length, whole)
        return self._encoder

    def _on_device(self, rank: int | None) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        encoder = self._load()
        device = device_of_process(rank) if self.device is None else self.device
        if encoder.model.device != torch.device(device):
            encoder.model.to(device)
        return encoder.model, encoder.tokenizer

    # ---- embedding

    def embed(self, texts: Sequence[str], rank: int | None = None) -> np.ndarray:
        """
        Texts → `[n, width]` float32.

        Args:
            texts: n texts.
            rank: of the process, which chooses its GPU.

        Raises:
            ValueError: a text is null, empty or no string.
        """
        for row, text in enumerate(texts):
            if not isinstance(text, str) or not text.strip():
                raise ValueError(
                    f"Row {row} of column {self.text_column!r} is {text!r} (rows are counted from "
                    "the start of the batch): it has no embedding; drop such rows first, for "
                    "example with dataset.filter."
                )
        model, tokenizer = self._on_device(rank)
        padding = tokenizer.pad_token_id
        return embed_token_ids(
            model,
            self._token_ids(model, tokenizer, texts),
            padding=0 if padding is None else padding,  # padding is masked: any id will do
            pooling=self.pooling,
            normalize=self.normalize,
            token_budget=self.token_budget,
        )

    def _token_ids(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]
    ) -> list[np.ndarray]:
        if self.pooling == "latent":  # as the generator was trained: whole words, cut between them
            language = self.language or model.config.language
            words = model.config.user_dictionary if language == model.config.language else None
            segmenter = Segmenter(language, words)
            encode = TextEncoder(tokenizer, segmenter, self.longest)
            return [text.input_ids for text in encode.many(texts)]
        if not len(texts):
            return []
        rows = tokenizer(list(texts), truncation=True, max_length=self.longest)["input_ids"]
        return [np.asarray(row, np.int64) for row in rows]

    def __call__(self, batch: Mapping[str, Any], rank: int | None = None) -> dict[str, np.ndarray]:
        """The embedding column of a batch, for `map`; `rank` as `with_rank=True` gives it."""
        if self.text_column not in batch:
            raise ValueError(
                f"There is no column {self.text_column!r} to embed; there are {sorted(batch)}."
            )
        return {self.embedding_column: self.embed(as_list(batch[self.text_column]), rank)}

    def output_features(self, features: Features) -> Features:
        """The features of a data set with these, and the embedding column of fixed width."""
        column = List(Value("float32"), length=self.width)
        return Features({**features, self.embedding_column: column})

    def embed_dataset(
        self, dataset: Dataset, num_proc: int | None = None, batch_size: int = 4096
    ) -> Dataset:
        """
        The data set with its embedding column, of fixed width; a bar shows the progress.

        Args:
            dataset: one split.
            num_proc: processes; one thread, and one GPU if there are some, each.
            batch_size: texts that are sorted by length together.

        Raises:
            ValueError: no such text column, a null or empty text (the row is named), or an
                embedding column that is there already.
        """
        check_texts(dataset, self.text_column)
        if self.embedding_column in dataset.column_names:
            raise ValueError(
                f"there is a column {self.embedding_column!r} already: remove it, or give another "
                "embedding_column"
            )
        features = self.output_features(dataset.features)
        if not len(dataset):  # which `map` returns as it is
            return Dataset.from_dict({name: [] for name in features}, features=features)
        with processes_that_can_use_gpus(num_proc):
            embedded = dataset.with_format(None).map(
                self,
                batched=True,
                with_rank=True,
                batch_size=batch_size,
                num_proc=num_proc,
                features=features,
                desc=f"Embedding {self.text_column}",
            )
        return in_format_of(embedded, dataset)


def _tokenizer_text(tokenizer: PreTrainedTokenizerBase) -> str:
    """All that decides which tokens a text has, as a string."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        return str(backend.to_str())
    # Tokenizers in Python have no such string: their vocabulary and settings.
    parts = [sorted(tokenizer.get_vocab().items()), sorted(tokenizer.init_kwargs.items(), key=str)]
    return json.dumps(parts, default=str)
