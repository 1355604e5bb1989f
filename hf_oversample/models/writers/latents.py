"""z as a learned prefix: latents of a MISO generator as vectors that a language model reads before
a text (MISO, section 4.1: decoders of two classes that write from z)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from hf_oversample.models.digest import weights_digest
from hf_oversample.models.encoders import load_config, load_tokenizer, longest_text
from hf_oversample.models.in_memory import folder_or_name
from hf_oversample.models.loading import load_complete
from hf_oversample.models.miso.modeling_miso import MisoForAnchorGeneration
from hf_oversample.models.miso.realizers.common import generator_labels, source_latents
from hf_oversample.numeric.workers import device_of_process
from hf_oversample.text.encoding import TextEncoder
from hf_oversample.text.words import Segmenter

LONGEST = 64
"""Tokens of the longest text that a generator reads, where it has places for more."""


class LatentKind(NamedTuple):
    """
    What latents a writer reads.

    Args:
        heads, size: h and d of a latent `[h, d]`.
        digest: of the generator's weights.
    """

    heads: int
    size: int
    digest: str


class LatentPrefix(nn.Module):
    """
    Each of the h slots of a latent becomes one vector of the size of a token's embedding: a linear
    map of the slot, and an embedding of which slot it is.

    Args:
        kind: of the latents.
        embedding: the language model's token embeddings, which give width and scale.
    """

    def __init__(self, kind: LatentKind, embedding: nn.Module):
        super().__init__()
        table = cast(Tensor, embedding.weight)
        with torch.no_grad():
            # of what the module gives, as some models scale it
            some = embedding(torch.arange(min(len(table), 4096), device=table.device))
            scale = float(some.float().pow(2).mean().sqrt())
        self.project = nn.Linear(kind.size, table.shape[1])
        self.slots = nn.Parameter(torch.randn(kind.heads, table.shape[1]) * scale)
        # a slot has mean 0 and variance 1
        nn.init.normal_(self.project.weight, std=scale / kind.size**0.5)
        nn.init.zeros_(self.project.bias)

    def forward(self, latents: Tensor) -> Tensor:
        """`[n, h, d]` → `[n, h, width]`."""
        vectors: Tensor = self.project(latents.to(self.slots)) + self.slots
        return vectors


def embedded_with_prefixes(
    embedding: nn.Module, ids: Tensor, vectors: Tensor, rows: Tensor, starts: Tensor
) -> Tensor:
    """
    Embeddings of token ids, with prefixes in some places.

    Args:
        embedding: the language model's token embeddings.
        ids: `[m, l]`, with any token where a prefix is to stand.
        vectors: `[n, h, width]`, of `rows` `[n]`.
        rows, starts: `[n]`, the rows with a prefix, and where it begins in each.

    Returns: `[m, l, width]`.
    """
    table: Tensor = embedding(ids)
    places = starts[:, None] + torch.arange(vectors.shape[1], device=ids.device)
    return table.index_put((rows[:, None].expand_as(places), places), vectors.to(table))


@dataclass
class LatentReader:
    """
    A trained MISO generator, for the latents of texts.

    Args:
        model, tokenizer: the generator's.
        encoder: cuts texts into its tokens.
        kind: of its latents.
    """

    model: MisoForAnchorGeneration
    tokenizer: PreTrainedTokenizerBase
    encoder: TextEncoder
    kind: LatentKind

    @classmethod
    def load(cls, name: str) -> Self:
        """
        The generator of a folder, the Hub or in memory, on the process's GPU where there are some.

        Raises:
            OSError: no such folder or name.
            ValueError: not a MISO generator, one that has no latents (an editor), or as
                `load_complete`.
        """
        folder = folder_or_name(name)
        if Path(folder).is_dir() and not (Path(folder) / "config.json").is_file():
            raise ValueError(_not_a_generator(name, "a folder without config.json"))
        config = load_config(folder)
        if config.model_type != "miso":
            raise ValueError(_not_a_generator(name, f"a model of type {config.model_type!r}"))
        if config.parts == "editor":
            raise ValueError(
                f"latents names {name}, an editor (parts='editor'), which makes no latents: train "
                "a generator with all of MISO's parts (hf-oversample train --parts miso)."
            )
        model = load_complete(MisoForAnchorGeneration, folder)
        model.to(device_of_process())  # type: ignore[arg-type]
        tokenizer = load_tokenizer(folder)
        longest = longest_text(model.miso, tokenizer)
        words = config.user_dictionary if config.language == "zh" else None
        encoder = TextEncoder(
            tokenizer,
            Segmenter(config.language, words),
            LONGEST if longest is None else min(LONGEST, longest),
        )
        kind = LatentKind(config.num_latent_heads, config.latent_size, weights_digest(model))
        return cls(model, tokenizer, encoder, kind)

    def check_classes(self, names: Sequence[str], written: Sequence[int]) -> None:
        """
        Check that there is a z for the classes to write.

        Args:
            names: all classes.
            written: codes of those that texts are written for.

        Raises:
            ValueError: a class that the generator does not know, or was not trained to write.
        """
        generator_labels(self.model, names, written)

    def own(self, texts: Sequence[str]) -> Tensor:
        """q of texts: `[n, h, d]`, each a function of its text alone."""
        return self._latents(texts, None)

    def fused(self, texts: Sequence[str], classes: Sequence[str]) -> Tensor:
        """z of texts, each fused for a class to write as, by name (q where the generator has no
        fusion): `[n, h, d]`."""
        known = self.model.config.label2id
        labels = torch.tensor([known[name] for name in classes], device=self.model.device)
        return self._latents(texts, labels)

    def _latents(self, texts: Sequence[str], labels: Tensor | None) -> Tensor:
        rows = [self.encoder(text).input_ids for text in texts]
        return source_latents(self.model, rows, labels, self.tokenizer.pad_token_id)

    def save(self, folder: Path) -> None:
        """The generator and its tokenizer, for `load`."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def _not_a_generator(name: str, what: str) -> str:
    return (
        f"latents names {name}, {what}, which is no MISO generator: name the folder that "
        "hf-oversample train --parts miso wrote."
    )
