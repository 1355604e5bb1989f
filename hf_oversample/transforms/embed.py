"""Text to fixed-width embeddings with any encoder of `AutoModel`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from hf_oversample.encoding import SMALLEST_BATCH, pad, token_budget_batches
from hf_oversample.workers import one_thread_if_forked


def pool_states(states: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """Encoder states `[n, l, d]` → `[n, d]`: the mean over tokens, or the first token's state."""
    if pooling == "cls":
        return states[:, 0]
    weight = mask.unsqueeze(-1).to(states.dtype)
    return (states * weight).sum(1) / weight.sum(1).clamp(min=1)


@torch.no_grad()
def embed_token_ids(
    model: PreTrainedModel,
    rows: Sequence[np.ndarray],
    *,
    padding: int,
    pooling: str = "mean",
    normalize: bool = True,
    token_budget: int = 8192,
) -> np.ndarray:
    """
    Embeddings of token-id rows: `[n, hidden]` float32, the same for every order and batch of the
    rows.

    A MISO generator (`MisoModel`) gives its flattened latents instead of pooled states.
    """
    was_training = model.training
    model.eval()
    result: np.ndarray | None = None
    for batch, length in token_budget_batches([len(row) for row in rows], token_budget):
        filler = [batch[0]] * max(0, SMALLEST_BATCH - len(batch))
        ids, mask = pad([rows[i] for i in [*batch, *filler]], padding, model.device, length)
        output = model(input_ids=ids, attention_mask=mask)
        if getattr(output, "latents", None) is not None:
            values = output.latents.flatten(1)
        else:
            values = pool_states(output.last_hidden_state, mask, pooling)
        values = values[: len(batch)].float()
        if normalize:
            values = torch.nn.functional.normalize(values, dim=-1)
        if result is None:
            result = np.empty((len(rows), values.shape[1]), np.float32)
        result[batch] = values.cpu().numpy()
    model.train(was_training)
    return result if result is not None else np.empty((0, model.config.hidden_size), np.float32)


class TextEmbedder:
    """
    Embeds a text column: `dataset.map(TextEmbedder(model), batched=True)` adds a float32 column of
    fixed width.

    Args:
        model_name_or_path: an encoder that `AutoModel` and `AutoTokenizer` load.
        text_column, embedding_column: what is read and what is added.
        pooling: `"mean"` over the tokens (default) or `"cls"`.
        normalize: scale embeddings to length 1 (default).
        max_length: longest text in tokens (default 128).
        token_budget: padded tokens in a batch (default 8192).
        dtype: `"float32"` (default) or `"bfloat16"`, the precision of the encoder; the column is
            float32 always.
        revision: of the model on the Hub.

    The model is loaded at first use and left out of pickles, so that the transform hashes and
    travels small.

    Raises:
        ValueError: for an unknown pooling or dtype, or a row whose text is null, empty or no
            string.
    """

    def __init__(
        self,
        model_name_or_path: str | Path,
        *,
        text_column: str = "text",
        embedding_column: str = "embedding",
        pooling: Literal["mean", "cls"] = "mean",
        normalize: bool = True,
        max_length: int = 128,
        token_budget: int = 8192,
        dtype: Literal["float32", "bfloat16"] = "float32",
        revision: str | None = None,
    ):
        if pooling not in ("mean", "cls"):
            raise ValueError(f"pooling is {pooling!r}; it must be 'mean' or 'cls'.")
        if dtype not in ("float32", "bfloat16"):
            raise ValueError(f"dtype is {dtype!r}; it must be 'float32' or 'bfloat16'.")
        self.model_name_or_path = str(model_name_or_path)
        self.text_column, self.embedding_column = text_column, embedding_column
        self.pooling, self.normalize, self.max_length = pooling, normalize, max_length
        self.token_budget, self.dtype, self.revision = token_budget, dtype, revision
        self._loaded: tuple[PreTrainedModel, PreTrainedTokenizerBase] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_loaded": None}

    def __repr__(self) -> str:
        return (
            f"TextEmbedder({self.model_name_or_path!r}, pooling={self.pooling!r}, "
            f"dtype={self.dtype!r})"
        )

    @property
    def loaded(self) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """The encoder and its tokenizer, loaded now if they were not."""
        if self._loaded is None:
            one_thread_if_forked()
            tokenizer = AutoTokenizer.from_pretrained(
                self.model_name_or_path, revision=self.revision
            )
            model = AutoModel.from_pretrained(
                self.model_name_or_path, revision=self.revision, dtype=getattr(torch, self.dtype)
            )
            device = "cuda" if torch.cuda.is_available() else "cpu"
            self._loaded = (model.eval().to(device), tokenizer)
        return self._loaded

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Texts → `[n, hidden]` float32; a text's embedding does not depend on the others."""
        for row, text in enumerate(texts):
            if not isinstance(text, str) or not text.strip():
                raise ValueError(
                    f"Row {row} of column {self.text_column!r} is {text!r}, which has no "
                    "embedding: drop such rows first, for example with dataset.filter."
                )
        model, tokenizer = self.loaded
        rows = tokenizer(list(texts), truncation=True, max_length=self.max_length)["input_ids"]
        return embed_token_ids(
            model,
            [np.asarray(row, np.int64) for row in rows],
            padding=tokenizer.pad_token_id,
            pooling=self.pooling,
            normalize=self.normalize,
            token_budget=self.token_budget,
        )

    def __call__(self, batch: dict[str, list]) -> dict[str, Any]:
        """The embedding column of a batch, for `dataset.map`."""
        if self.text_column not in batch:
            raise ValueError(
                f"There is no column {self.text_column!r} to embed; there are {sorted(batch)}."
            )
        return {self.embedding_column: list(self.embed(batch[self.text_column]))}
