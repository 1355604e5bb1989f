"""The *edit* realiser: words of a source are masked, refilled as another class's, spliced in."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from hf_oversample.models.miso.modeling_miso import MisoForAnchorGeneration
from hf_oversample.models.miso.realizers.common import AnchorRequest, autocast, source_latents
from hf_oversample.numeric import noise
from hf_oversample.numeric.memory import work_in_batches
from hf_oversample.text.encoding import SMALLEST_BATCH, pad, token_budget_batches
from hf_oversample.text.protection import DEFAULT_PROTECTION, Protection, replaceable_words
from hf_oversample.text.words import Segmenter

# token ids with one mask for each chosen word, and word → position of its mask
EditPlan = tuple[np.ndarray, dict[int, int]]


def match_case(word: str, pattern: str) -> str:
    """`word` in the case of `pattern`: capitals, a first capital, or as it is."""
    if len(pattern) > 1 and pattern.isupper():
        return word.upper()
    if pattern[:1].isupper():
        return word[:1].upper() + word[1:]
    return word


def choose_words(
    request: AnchorRequest,
    segmenter: Segmenter,
    seed: int,
    protection: Protection = DEFAULT_PROTECTION,
) -> np.ndarray:
    """
    Which words of the source to replace: boolean `[words]`.

    Punctuation, negations and what is protected stay. With weights, words are drawn in proportion
    to exp(weight), without replacement (Gumbel top-k); otherwise all are as likely.
    """
    source = request.source
    count = len(source.spans)
    editable = np.asarray(
        replaceable_words(source.text, source.spans, segmenter, protection), dtype=bool
    )
    available = int(editable.sum())
    if not available:
        return np.zeros(count, bool)
    number = max(1, min(available, round(request.share * available)))
    score = noise.gumbel(seed, noise.stream("words"), *request.key, np.arange(count))
    if request.weights is not None:
        score = score + request.weights
    chosen = np.zeros(count, bool)
    chosen[np.argsort(-np.where(editable, score, -np.inf), kind="stable")[:number]] = True
    return chosen


class EditRealizer:
    """
    Masks words of a source text and refills them as a text of another class; all else stays byte
    for byte, and so does what is protected. No word that is protected by itself is written.

    Fills are drawn, by Gumbel noise that is a function of (seed, key), from the `top_k` most likely
    whole words of l₊ + g(l₊ − l₋), the filler's log-probabilities as the class and as the class to
    avoid (contrastive guidance); with z, of l₊(z) + g(l₊ − l₋), whose difference does not read it.

    Args:
        model, tokenizer, segmenter: the generator and its language.
        seed: of every draw.
        guidance: g; 0 fills from the class alone.
        temperature: of the drawing; 0 takes the most likely word.
        top_k: words that can be drawn.
        rounds: masked words are filled in so many rounds, each seeing the earlier ones' words.
        use_latent: condition the filler on z of the source.
        use_class: tell the filler the class; `False` is an ablation.
        splice: put words into the original string; `False`, an ablation, decodes the tokens again.
        precision: "float32" or "bfloat16", of the filler's products.
        protection: what of a source stays: placeholders, addresses, numbers, code.
        token_budget: padded tokens of a batch.

    Raises:
        ValueError: if the generator may write no whole word.
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
        rounds: int = 2,
        use_latent: bool = False,
        use_class: bool = True,
        splice: bool = True,
        precision: str = "float32",
        protection: Protection = DEFAULT_PROTECTION,
        token_budget: int = 4096,
    ):
        self.model, self.tokenizer, self.segmenter, self.seed = model, tokenizer, segmenter, seed
        self.protection = protection
        self.guidance, self.temperature = guidance, temperature
        self.top_k, self.rounds = top_k, rounds
        self.use_latent, self.use_class, self.splice = use_latent, use_class, splice
        self.token_budget, self.precision = token_budget, precision
        words = model.is_word_token.nonzero()[:, 0]
        texts = [tokenizer.decode([token]).strip() for token in model.output_tokens[words].tolist()]
        if not texts:
            raise ValueError(
                "The generator knows no whole word: call set_output_tokens with the training "
                "vocabulary."
            )
        is_free = [not protection.spans(text) for text in texts]
        self.word_places = words[torch.tensor(is_free, device=words.device)]
        self.word_texts = [text for text, free in zip(texts, is_free, strict=True) if free]
        tokens = model.output_tokens[self.word_places].tolist()
        self.word_tokens = np.asarray(tokens, np.int64)

    @torch.no_grad()
    def __call__(self, requests: Sequence[AnchorRequest]) -> list[str]:
        """
        The anchors' texts, in the requests' order and each independent of the others; a text
        without a word to replace comes back unchanged.
        """
        self.model.eval()
        results: list[str] = [request.source.text for request in requests]
        if not self.word_texts:  # every word is protected: there is none to write
            return results
        plans = [self._mask(request) for request in requests]
        work = [i for i, (_, places) in enumerate(plans) if places]
        lengths = [len(plans[i][0]) for i in work]

        def fill(rows: np.ndarray, length: int) -> None:
            batch = [work[row] for row in rows]
            with autocast(self.model, self.precision):
                filled = self._fill([requests[i] for i in batch], [plans[i] for i in batch], length)
            for i, words in zip(batch, filled, strict=True):
                results[i] = self._write(requests[i], plans[i], words)

        batches = token_budget_batches(lengths, self.token_budget)
        work_in_batches(batches, fill, what="filling words of anchors")
        return results

    def _mask(self, request: AnchorRequest) -> EditPlan:
        """Token ids with one mask for each chosen word, and word → position of its mask."""
        chosen = choose_words(request, self.segmenter, self.seed, self.protection)
        ids: list[int] = []
        places: dict[int, int] = {}
        for word, group in groupby(
            range(len(request.source)), key=lambda t: int(request.source.word_index[t])
        ):
            positions = list(group)
            if word >= 0 and chosen[word]:
                places[word] = len(ids)
                ids.append(self.tokenizer.mask_token_id)
            else:
                ids.extend(int(request.source.input_ids[t]) for t in positions)
        return np.asarray(ids, np.int64), places

    def _fill(
        self, requests: Sequence[AnchorRequest], plans: Sequence[EditPlan], length: int
    ) -> list[dict[int, int]]:
        """Word → place among `word_texts` for each request of one batch."""
        model, device = self.model, self.model.device
        rows = len(requests)
        order = list(range(rows)) + [0] * max(0, SMALLEST_BATCH - rows)
        ids, mask = pad([plans[i][0] for i in order], self.tokenizer.pad_token_id, device, length)
        none = model.config.num_labels
        wanted = torch.tensor(
            [requests[i].label if self.use_class else none for i in order], device=device
        )
        avoided = torch.tensor([requests[i].avoid for i in order], device=device)
        latents = self._latents([requests[i] for i in order]) if self.use_latent else None
        # the order in which a text's words are filled
        turns = []
        for request, (_, places) in zip(requests, plans, strict=True):
            words = np.asarray(list(places))
            shuffled = words[
                np.argsort(noise.uniform(self.seed, noise.stream("turns"), *request.key, words))
            ]
            turns.append([part.tolist() for part in np.array_split(shuffled, self.rounds)])
        filled: list[dict[int, int]] = [{} for _ in requests]
        for turn in range(self.rounds):
            targets = [(row, word) for row in range(rows) for word in turns[row][turn]]
            if not targets:
                continue
            at = torch.tensor([(row, plans[row][1][word]) for row, word in targets], device=device)
            logits = own = self._word_logits(ids, mask, wanted, latents, at)
            if self.guidance:
                # z says what a text is about and of which class: told z, both passes would say the
                # same, and guidance nothing
                if latents is not None:
                    own = self._word_logits(ids, mask, wanted, None, at)
                against = self._word_logits(ids, mask, avoided, None, at)
                logits = logits + self.guidance * (own - against)
            top = torch.topk(logits, min(self.top_k, logits.shape[1]), dim=1)
            values, candidates = top.values.double().cpu().numpy(), top.indices.cpu().numpy()
            if self.temperature:
                keys = np.asarray([requests[row].key for row, _ in targets]).T[:, :, None]
                words = np.asarray([word for _, word in targets])[:, None]
                drawn = noise.gumbel(self.seed, noise.stream("fill"), *keys, words, candidates)
                values = values / self.temperature + drawn
            best = candidates[np.arange(len(candidates)), values.argmax(1)]
            for (row, word), place in zip(targets, best.tolist(), strict=True):
                filled[row][word] = place
                ids[row, plans[row][1][word]] = int(self.word_tokens[place])
        return filled

    def _word_logits(
        self, ids: Tensor, mask: Tensor, classes: Tensor, latents: Tensor | None, at: Tensor
    ) -> Tensor:
        """Log-probabilities over whole words at (row, position) pairs `[m, 2]`: `[m, words]`."""
        states = self.model.fill_states(ids, mask, classes, latents)[at[:, 0], at[:, 1]]
        missing = max(0, SMALLEST_BATCH - len(states))
        padded = torch.cat([states, states[:1].expand(missing, -1)]) if missing else states
        logits = self.model.output_logits(self.model.fill_head(padded))[: len(states)]
        return torch.log_softmax(logits[:, self.word_places].float(), dim=-1)

    def _latents(self, requests: Sequence[AnchorRequest]) -> Tensor:
        """z of the sources (q where the generator has no fusion)."""
        rows = [request.source.input_ids for request in requests]
        labels = torch.tensor([request.label for request in requests], device=self.model.device)
        return source_latents(
            self.model, rows, labels, self.tokenizer.pad_token_id, self.token_budget
        )

    def _write(self, request: AnchorRequest, plan: EditPlan, words: dict[int, int]) -> str:
        source = request.source
        if not self.splice:
            ids = plan[0].copy()
            for word, place in words.items():
                ids[plan[1][word]] = self.word_tokens[place]
            return self.tokenizer.decode(
                ids.tolist(), skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
        pieces, end = [], 0
        for word in sorted(words):
            start, stop = source.spans[word]
            pieces += [
                source.text[end:start],
                match_case(self.word_texts[words[word]], source.text[start:stop]),
            ]
            end = stop
        return "".join([*pieces, source.text[end:]])
