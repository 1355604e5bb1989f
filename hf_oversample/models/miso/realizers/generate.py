"""The *generate* realiser, the paper's: texts are decoded from latents, token by token."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList, PreTrainedTokenizerBase
from transformers.modeling_outputs import BaseModelOutput

from hf_oversample.models.encoders import places
from hf_oversample.models.miso.modeling_miso import MisoForAnchorGeneration
from hf_oversample.models.miso.realizers.common import AnchorRequest, autocast, source_latents
from hf_oversample.models.sampling import KeyedGumbel
from hf_oversample.numeric.memory import work_in_batches
from hf_oversample.text.encoding import SMALLEST_BATCH
from hf_oversample.text.words import Segmenter


class ContrastiveGuidance(LogitsProcessor):
    """
    l₊ + g(l₊ − l₋) while `generate` decodes: l₋ are the logits as the class to avoid, from the same
    latents.

    Args:
        model: the generator.
        latents: `[n, h, d]`, of the texts that are decoded.
        avoid: `[n]`, the classes to avoid.
        guidance: g.
    """

    def __init__(
        self, model: MisoForAnchorGeneration, latents: Tensor, avoid: Tensor, guidance: float
    ):
        self.model, self.latents, self.avoid, self.guidance = model, latents, avoid, guidance

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Tokens so far `[n · beams, l]` and logits `[n · beams, vocabulary]` → guided ones."""
        beams = input_ids.shape[0] // self.latents.shape[0]
        latents = self.latents.repeat_interleave(beams, 0)
        logits = self.model.decode_logits(
            input_ids, latents, self.avoid.repeat_interleave(beams, 0)
        )[:, -1]
        against = torch.log_softmax(logits.float(), -1)
        ours = torch.log_softmax(scores[:, self.model.output_tokens].float(), -1)
        guided = torch.full_like(scores, torch.finfo(scores.dtype).min)
        guided[:, self.model.output_tokens] = (ours + self.guidance * (ours - against)).to(
            scores.dtype
        )
        return guided


class GenerateRealizer:
    """
    The paper's realiser: an anchor is decoded from z of its source, token by token (section 5,
    inference).

    Args:
        model, tokenizer, segmenter: the generator and its language.
        seed: of every draw.
        guidance: g; 0 decodes as the class alone.
        temperature: of the drawing; 0 takes the most likely token.
        top_k: tokens that can be drawn.
        max_new_tokens: tokens of a text at most.
        precision: "float32" or "bfloat16", of the decoder's products.
        token_budget: tokens of a batch.

    Raises:
        ValueError: for more new tokens than the decoder has places for.
    """

    def __init__(
        self,
        model: MisoForAnchorGeneration,
        tokenizer: PreTrainedTokenizerBase,
        segmenter: Segmenter,
        *,
        seed: int = 0,
        guidance: float = 1.0,
        temperature: float = 1.0,
        top_k: int = 50,
        max_new_tokens: int = 48,
        precision: str = "float32",
        token_budget: int = 4096,
    ):
        self.model, self.tokenizer, self.segmenter, self.seed = model, tokenizer, segmenter, seed
        self.guidance, self.temperature, self.top_k = guidance, temperature, top_k
        self.max_new_tokens, self.token_budget = max_new_tokens, token_budget
        self.precision = precision
        longest = places(model.decoders[0])
        if longest is not None and max_new_tokens >= longest:  # the first place is a start token's
            raise ValueError(
                f"max_new_tokens is {max_new_tokens}, but the generator's decoder has places for "
                f"{longest} tokens: give max_new_tokens at most {longest - 1}."
            )

    @torch.no_grad()
    def __call__(self, requests: Sequence[AnchorRequest]) -> list[str]:
        """The anchors' texts, in the requests' order."""
        self.model.eval()
        labels = torch.tensor([request.label for request in requests], device=self.model.device)
        rows = [request.source.input_ids for request in requests]
        latents = source_latents(
            self.model, rows, labels, self.tokenizer.pad_token_id, self.token_budget
        )
        return self.from_latents(
            latents,
            labels,
            torch.tensor([r.avoid for r in requests]),
            np.asarray([r.key for r in requests]),
        )

    @torch.no_grad()
    def from_latents(
        self, latents: Tensor, labels: Tensor, avoid: Tensor, keys: np.ndarray
    ) -> list[str]:
        """
        Texts from latents.

        Args:
            latents: `[n, h, d]`, z or q.
            labels, avoid: `[n]`, the classes to write as and to lead away from.
            keys: `[n, c]` int, that the noise is a function of.
        """
        self.model.eval()
        with autocast(self.model, self.precision):
            return self._decoded(latents, labels, avoid, keys)

    def _decoded(
        self, latents: Tensor, labels: Tensor, avoid: Tensor, keys: np.ndarray
    ) -> list[str]:
        texts = [""] * len(latents)
        batches: list[tuple[np.ndarray, int]] = []
        size = max(SMALLEST_BATCH, self.token_budget // self.max_new_tokens)
        for group in self._groups(labels, avoid):
            for start in range(0, len(group), size):
                batches.append((np.asarray(group[start : start + size]), self.max_new_tokens))

        def decode(rows: np.ndarray, length: int) -> None:
            written = self._decoded_batch(latents, labels, avoid, keys, rows.tolist())
            for row, text in zip(rows.tolist(), written, strict=True):
                texts[row] = text

        work_in_batches(batches, decode, what="generating anchors")
        return texts

    def _groups(self, labels: Tensor, avoid: Tensor) -> list[list[int]]:
        """Rows whose classes, and whose classes to avoid, have the same decoder: a call of the
        model takes one."""
        config, everything = self.model.config, list(range(len(labels)))
        if config.share_decoder:
            return [everything]
        is_target = [
            [label in config.target_classes for label in classes.tolist()]
            for classes in (labels, avoid)
        ]
        kinds = list(zip(*is_target, strict=True))
        return [[row for row in everything if kinds[row] == kind] for kind in sorted(set(kinds))]

    def _decoded_batch(
        self, latents: Tensor, labels: Tensor, avoid: Tensor, keys: np.ndarray, rows: list[int]
    ) -> list[str]:
        order = rows + [rows[0]] * max(0, SMALLEST_BATCH - len(rows))
        index = torch.as_tensor(order, device=latents.device)
        processors = LogitsProcessorList()
        if self.guidance:
            against = avoid.to(latents.device)[index]
            processors.append(
                ContrastiveGuidance(self.model, latents[index], against, self.guidance)
            )
        if self.temperature:
            processors.append(
                KeyedGumbel(keys[order], self.seed, "generate", self.temperature, self.top_k)
            )
        ids = self.model.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=latents[index]),
            attention_mask=torch.ones(latents[index].shape[:2], device=latents.device),
            class_ids=labels.to(latents.device)[index],
            do_sample=False,
            num_beams=1,
            max_new_tokens=self.max_new_tokens,
            logits_processor=processors,
        )
        decoded = self.tokenizer.batch_decode(ids.tolist(), skip_special_tokens=True)
        return decoded[: len(rows)]
