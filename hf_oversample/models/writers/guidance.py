"""Decoding by the adapters of two classes at once, on one base model."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput

from hf_oversample.models.writers.latents import embedded_with_prefixes
from hf_oversample.text.encoding import pad


class GuidedLogits:
    """
    l₊ + g(l₊ − l₋) of n texts, token by token: l₊ by the adapter of the class of each, l₋ by that
    of the class to avoid, behind that class's prefix. One pass of the base model makes both.

    Args:
        model: a `PeftModel`, in evaluation mode; or a model without adapters.
        own, against: n names of adapters each; none for a model without them.
        prompts, against_prompts: n rows of token ids each, of any length.
        guidance: g; 0 leaves l₋ out.
        padding: what rows are filled up with before their prompts.
        max_length: tokens of the longest text, and of its prefix; what is asked for beyond it is of
            no use, and is placed there.
        vectors: `[n, h, width]`, what the adapters of `own` read before their prompts (see
            `LatentPrefix`). Those of `against` read none: if both read z, which tells the class by
            itself, the difference would be nothing.
    """

    def __init__(
        self,
        model: Any,
        own: Sequence[str],
        against: Sequence[str],
        prompts: Sequence[Sequence[int]],
        against_prompts: Sequence[Sequence[int]],
        guidance: float,
        padding: int,
        max_length: int,
        vectors: Tensor | None = None,
    ):
        self.model, self.guidance, self.max_length = model, guidance, max_length
        self.names, rows = list(own), list(prompts)
        if guidance:
            self.names, rows = [*own, *against], [*prompts, *against_prompts]
        if vectors is not None:
            room = [padding] * vectors.shape[1]
            rows[: len(vectors)] = [[*room, *row] for row in rows[: len(vectors)]]
        longest = max(len(row) for row in rows)
        ids = np.full((len(rows), longest), padding, np.int64)
        mask = np.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, longest - len(row) :], mask[i, longest - len(row) :] = row, 1
        base_model = model.get_base_model() if self.names else model
        device = base_model.device
        self.next = torch.from_numpy(ids).to(device)
        self.mask = torch.from_numpy(mask).to(device)
        self.cache: Any = None
        self.embeddings: Tensor | None = None  # of the first pass, where it reads vectors
        if vectors is not None:
            with torch.no_grad():
                self.embeddings = embedded_with_prefixes(
                    base_model.get_input_embeddings(),
                    self.next,
                    vectors.to(device),
                    torch.arange(len(vectors), device=device),
                    (self.mask[: len(vectors)] == 0).sum(1),
                )
        # else a model finds places by itself, and all that it knows is the mask
        self.takes_places = "position_ids" in inspect.signature(base_model.forward).parameters

    @torch.no_grad()
    def __call__(self, drawn: Tensor | None = None) -> Tensor:
        """The next logits `[n, vocabulary]`, after the tokens `[n]` drawn from the last ones."""
        if drawn is not None:
            column = torch.cat([drawn, drawn]) if self.guidance else drawn
            self.next = column[:, None]
            self.mask = torch.cat([self.mask, torch.ones_like(self.next)], 1)
        options: dict[str, Any] = {"adapter_names": self.names} if self.names else {}
        if self.takes_places:
            places = (self.mask.cumsum(1) - 1).clamp(0, self.max_length - 1)
            options["position_ids"] = places[:, -self.next.shape[1] :]
        if self.embeddings is not None:
            inputs, self.embeddings = {"inputs_embeds": self.embeddings}, None
        else:
            inputs = {"input_ids": self.next}
        output = self.model(
            **inputs,
            attention_mask=self.mask,
            past_key_values=self.cache,
            use_cache=True,
            **options,
        )
        self.cache = output.past_key_values
        return guided(output.logits[:, -1], self.guidance)


class GuidedDecoderLogits:
    """
    The same of a model with encoder and decoder: the encoder reads what tells the class, by the
    adapter of each, and the decoder the text so far.

    Args:
        model: a `PeftModel`, in evaluation mode.
        own, against: n names of adapters each.
        sources, against_sources: n rows of token ids each, for the encoder.
        first: tokens that the decoder begins with, the same for all.
        guidance: g; 0 leaves l₋ out.
        padding: what the encoder's rows are filled up with.
    """

    def __init__(
        self,
        model: Any,
        own: Sequence[str],
        against: Sequence[str],
        sources: Sequence[Sequence[int]],
        against_sources: Sequence[Sequence[int]],
        first: Sequence[int],
        guidance: float,
        padding: int,
    ):
        self.model, self.guidance = model, guidance
        self.names, rows = list(own), list(sources)
        if guidance:
            self.names, rows = [*own, *against], [*sources, *against_sources]
        device = model.get_base_model().device
        ids, self.mask = pad([np.asarray(row, np.int64) for row in rows], padding, device)
        self.read: dict[str, Any] = {"input_ids": ids}
        self.next = torch.tensor(list(first), device=device).expand(len(rows), -1)
        self.cache: Any = None

    @torch.no_grad()
    def __call__(self, drawn: Tensor | None = None) -> Tensor:
        """The next logits `[n, vocabulary]`, after the tokens `[n]` drawn from the last ones."""
        if drawn is not None:
            self.next = (torch.cat([drawn, drawn]) if self.guidance else drawn)[:, None]
        output = self.model(
            **self.read,
            attention_mask=self.mask,
            decoder_input_ids=self.next,
            past_key_values=self.cache,
            use_cache=True,
            adapter_names=self.names,
        )
        self.cache = output.past_key_values
        states = BaseModelOutput(last_hidden_state=output.encoder_last_hidden_state)
        self.read = {"encoder_outputs": states}
        return guided(output.logits[:, -1], self.guidance)


def guided(logits: Tensor, guidance: float) -> Tensor:
    """l₊ + g(l₊ − l₋) of logits, those of l₋ in the second half of the rows; of l₊ alone where
    g is 0."""
    logits = torch.log_softmax(logits.float(), -1)
    if not guidance:
        return logits
    ours, theirs = logits.chunk(2)
    return ours + guidance * (ours - theirs)
