"""Texts of a class by its adapter, guided away from another class's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import LogitsProcessorList

from hf_oversample.models.sampling import KeyedGumbel
from hf_oversample.models.writers.adapters import ClassAdapters, adapter_name
from hf_oversample.models.writers.checkpoint import padding_of
from hf_oversample.models.writers.decoding import Usage, drawn_tokens
from hf_oversample.models.writers.guidance import GuidedDecoderLogits, GuidedLogits
from hf_oversample.models.writers.latents import LatentReader
from hf_oversample.models.writers.requests import Draft, Refused, WritingRequest
from hf_oversample.models.writers.vocabulary import TrainingWords, WordTree
from hf_oversample.numeric.memory import work_in_batches

# Texts that are written together: few sizes, and large ones, keep the processor busy.
BATCH = 128
# Token ids of a request's prompt, of that for the class to avoid, and of the text's start.
Prompts = tuple[list[int], list[int], list[int]]


class AdapterWriter:
    """
    Writes texts of a class by its adapter, guided away from another class's.

    Args:
        adapters: of all classes that are asked for.
        seed: of every draw.
        tree: the words that may be written; None for any.
        latents: reads a text's z, where the adapters were trained to read latents; it stands
            before the prompt of the class to write.
        guidance: g; 0 writes by the class's adapter alone.
        temperature: of the drawing; 0 takes the most likely token.
        top_k, top_p: which tokens can be drawn, see `KeyedGumbel`.
    """

    def __init__(
        self,
        adapters: ClassAdapters,
        *,
        seed: int,
        tree: WordTree | None,
        latents: LatentReader | None = None,
        guidance: float = 1.0,
        temperature: float = 1.0,
        top_k: int = 50,
        top_p: float = 0.95,
    ):
        self.adapters, self.seed, self.tree = adapters, seed, tree
        self.latents = latents
        self.guidance, self.temperature = guidance, temperature
        self.top_k, self.top_p = top_k, top_p
        self.encode, self.usage = adapters.texts, Usage()

    def __call__(self, requests: Sequence[WritingRequest]) -> list[Draft]:
        """Drafts, in the requests' order; one that reaches the longest length is refused as
        "unfinished", one whose start leaves no room as "too long"."""
        drafts: list[Draft] = [Refused("too long")] * len(requests)
        prompts = [self._prompts(request) for request in requests]
        lengths = [max(len(own), len(other)) for own, other, _ in prompts]
        fitting = [i for i, n in enumerate(lengths) if n + 2 <= self.adapters.max_length]
        fitting.sort(key=lambda i: lengths[i])  # little is padded

        def write(rows: np.ndarray, _: int) -> None:
            written = self._written([requests[i] for i in rows], [prompts[i] for i in rows])
            for i, draft in zip(rows, written, strict=True):
                drafts[i] = draft

        length = self.adapters.max_length
        batches = [fitting[start : start + BATCH] for start in range(0, len(fitting), BATCH)]
        work_in_batches(
            [(np.asarray(rows), length) for rows in batches],
            write,
            what="writing texts",
            exact=False,
        )
        return drafts

    def _prompts(self, request: WritingRequest) -> Prompts:
        kept = request.source[: request.kept]
        rows = []
        for code in (request.label, request.avoid):
            prefix = self.encode.prefix_of(self.adapters.class_names[code])
            # without a text the space behind the prefix is the first token's
            rows.append(self.encode(prefix if kept else prefix.rstrip(), kept))
        own, other = ([*row.prefix, *row.ids] for row in rows)
        return own, other, rows[0].ids

    def _written(
        self, requests: Sequence[WritingRequest], prompts: Sequence[Prompts]
    ) -> list[Draft]:
        own, against, starts = (list(rows) for rows in zip(*prompts, strict=True))
        forced: list[list[int]] | None = None
        logits_of: GuidedLogits | GuidedDecoderLogits
        if self.adapters.has_encoder:
            logits_of = self._decoder_logits(requests)
            # a decoder begins at its first place, so that starts of any length go side by side
            begun, starts, forced = self.encode.first, [[]] * len(requests), starts
            rooms = [self.adapters.max_length - len(begun)] * len(requests)
        else:
            logits_of = self._logits(requests, own, against)
            rooms = [self.adapters.max_length - max(len(a), len(b)) for a, b, _ in prompts]
        processors = LogitsProcessorList()
        if self.tree is not None:
            processors.append(TrainingWords(self.tree, starts, [self.encode.end]))
        if self.temperature:
            keys = np.asarray([request.key for request in requests])
            processors.append(
                KeyedGumbel(keys, self.seed, "writer", self.temperature, self.top_k, self.top_p)
            )
        rows = drawn_tokens(logits_of, processors, rooms, [self.encode.end], forced)
        self.usage.requests += len(rows)
        self.usage.prompt_tokens += sum(map(len, own))
        self.usage.written_tokens += sum(len(row) for row in rows if row is not None)
        return [
            Refused("unfinished") if row is None else self._draft(request, prompt, row)
            for request, prompt, row in zip(requests, own, rows, strict=True)
        ]

    def _logits(
        self,
        requests: Sequence[WritingRequest],
        own: Sequence[list[int]],
        against: Sequence[list[int]],
    ) -> GuidedLogits:
        vectors = self._vectors(requests) if self.latents is not None else None
        before = 0 if vectors is None else vectors.shape[1]
        return GuidedLogits(
            self.adapters.model,
            [adapter_name(request.label) for request in requests],
            [adapter_name(request.avoid) for request in requests],
            own,
            against,
            self.guidance,
            padding_of(self.adapters.tokenizer),
            before + self.adapters.max_length,
            vectors,
        )

    def _decoder_logits(self, requests: Sequence[WritingRequest]) -> GuidedDecoderLogits:
        sources = [self.encode.source_of(name) for name in self.adapters.class_names]
        own = [request.label for request in requests]
        against = [request.avoid for request in requests]
        return GuidedDecoderLogits(
            self.adapters.model,
            [adapter_name(code) for code in own],
            [adapter_name(code) for code in against],
            [sources[code] for code in own],
            [sources[code] for code in against],
            self.encode.first,
            self.guidance,
            padding_of(self.adapters.tokenizer),
        )

    @torch.no_grad()
    def _vectors(self, requests: Sequence[WritingRequest]) -> Tensor:
        """What stands for the requests' latents: `[n, h, width]`."""
        assert self.latents is not None
        names = [self.adapters.class_names[request.label] for request in requests]
        latents = self.latents.fused([request.source for request in requests], names)
        device = self.adapters.base_model.device
        prefixes = self.adapters.prefixes
        return torch.cat(
            [
                prefixes[request.label](one[None].to(device))
                for request, one in zip(requests, latents, strict=True)
            ]
        )

    def _draft(self, request: WritingRequest, prompt: list[int], new: list[int]) -> Draft:
        def decoded(tokens: list[int]) -> str:
            text: str = self.adapters.tokenizer.decode(
                tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
            return text

        # of both together, as some tokenizers drop the space before a first word
        before, whole = decoded(prompt), decoded([*prompt, *new])
        return (request.source[: request.kept] + whole[len(before) :]).strip()
