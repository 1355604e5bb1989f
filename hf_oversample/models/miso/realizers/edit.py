"""The *edit* realiser: words of a source are masked, refilled as another class's, spliced in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from hf_oversample.models.miso.modeling_miso import MisoForAnchorGeneration
from hf_oversample.models.miso.realizers.common import AnchorRequest, autocast, source_latents
from hf_oversample.numeric import noise
from hf_oversample.numeric.memory import work_in_batches
from hf_oversample.text.encoding import SMALLEST_BATCH, EncodedText, pad, token_budget_batches
from hf_oversample.text.protection import DEFAULT_PROTECTION, Protection, replaceable_words
from hf_oversample.text.words import Segmenter

DRAFTS_PER_READING = 4
"""At most: the last is led away from the other class 4 times as strongly as the first."""

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
    A word that stands beside the one to fill is not written there once more.

    Args:
        model, tokenizer, segmenter: the generator and its language.
        seed: of every draw.
        guidance: g; 0 fills from the class alone.
        temperature: of the drawing; 0 takes the most likely word.
        top_k: words that can be drawn.
        rounds: masked words are filled in so many rounds, each seeing the earlier ones' words; in
            one, a reading of the source gives several drafts (`drafts`).
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
        rounds: int = 1,
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
        self.folded_texts = [text.casefold() for text in self.word_texts]
        tokens = model.output_tokens[self.word_places].tolist()
        self.word_tokens = np.asarray(tokens, np.int64)

    def __call__(self, requests: Sequence[AnchorRequest]) -> list[str]:
        """
        The anchors' texts, in the requests' order and each independent of the others; a text
        without a word to replace comes back unchanged.
        """
        return [texts[0] for texts in self.drafts(requests, 1)]

    @property
    def drafts_per_reading(self) -> int:
        """How many drafts of a request one reading of its source can give: several where words
        are filled in one round; in more, a draft's second round reads what its first one wrote."""
        return DRAFTS_PER_READING if self.rounds == 1 else 1

    @torch.no_grad()
    def drafts(self, requests: Sequence[AnchorRequest], number: int) -> list[list[str]]:
        """
        Several texts of each request, from one reading of its source: the same words are
        replaced, by others.

        Draft d, from 0, is drawn with the key of try + d, and led away from the other class 1 + d
        times as strongly: it is asked for where those before it were rejected.

        Args:
            requests: n requests; the last counter of a key is the try.
            number: drafts of each, from 1 to `drafts_per_reading`.

        Returns: n lists of texts, each independent of the other requests; a text without a word to
            replace comes back unchanged.

        Raises:
            ValueError: for more drafts than a reading gives, or none.
        """
        if not 1 <= number <= self.drafts_per_reading:
            raise ValueError(
                f"{number} drafts were asked of a reading, which gives 1 to "
                f"{self.drafts_per_reading} (rounds is {self.rounds}): ask for those, and again "
                "with keys of later tries."
            )
        self.model.eval()
        results = [[request.source.text] * number for request in requests]
        if not self.word_texts:  # every word is protected: there is none to write
            return results
        plans = [self._mask(request) for request in requests]
        work = [i for i, (_, places) in enumerate(plans) if places]
        lengths = [len(plans[i][0]) for i in work]

        def fill(rows: np.ndarray, length: int) -> None:
            batch = [work[row] for row in rows]
            with autocast(self.model, self.precision):
                filled = self._fill(
                    [requests[i] for i in batch], [plans[i] for i in batch], length, number
                )
            for i, words in zip(batch, filled, strict=True):
                results[i] = [self._write(requests[i], plans[i], one) for one in words]

        # guided, a text is read twice in a batch
        budget = self.token_budget // 2 if self.guidance else self.token_budget
        batches = token_budget_batches(lengths, budget)
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
        self,
        requests: Sequence[AnchorRequest],
        plans: Sequence[EditPlan],
        length: int,
        number: int,
    ) -> list[list[dict[int, int]]]:
        """Word → place among `word_texts`, for each request of one batch and each of its
        `number` drafts."""
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
        filled: list[list[dict[int, int]]] = [[{} for _ in range(number)] for _ in requests]
        for turn in range(self.rounds):
            targets = self._targets(requests, plans, turn)
            if not targets:
                continue
            at = torch.tensor([(row, plans[row][1][word]) for row, word in targets], device=device)
            own, difference = self._word_logits(ids, mask, wanted, avoided, latents, at)
            for draft in range(number):
                logits = own
                if difference is not None:
                    logits = own + self.guidance * (1 + draft) * difference
                values, candidates = self._drawn(logits, requests, targets, draft)
                for (row, word), value, candidate in zip(targets, values, candidates, strict=True):
                    words = filled[row][draft]
                    barred = self._beside(requests[row].source, plans[row][1], words, word)
                    words[word] = self._best(value, candidate, barred)
            if turn + 1 < self.rounds:
                for row, word in targets:
                    token = int(self.word_tokens[filled[row][0][word]])
                    ids[row, plans[row][1][word]] = token
        return filled

    def _targets(
        self, requests: Sequence[AnchorRequest], plans: Sequence[EditPlan], turn: int
    ) -> list[tuple[int, int]]:
        """Row and word of what is filled in a round, a row's words in their order."""
        found = []
        for row, (request, (_, places)) in enumerate(zip(requests, plans, strict=True)):
            words = np.asarray(list(places))
            drawn = noise.uniform(self.seed, noise.stream("turns"), *request.key, words)
            part = np.array_split(words[np.argsort(drawn)], self.rounds)[turn]
            found += [(row, word) for word in sorted(part.tolist())]
        return found

    def _drawn(
        self,
        logits: Tensor,
        requests: Sequence[AnchorRequest],
        targets: Sequence[tuple[int, int]],
        draft: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The `top_k` words that can be drawn for each of m targets, by place, and their values,
        `[m, k]` each: the largest value wins."""
        top = torch.topk(logits, min(self.top_k, logits.shape[1]), dim=1)
        values, candidates = top.values.double().cpu().numpy(), top.indices.cpu().numpy()
        if self.temperature:
            keys = np.asarray([requests[row].key for row, _ in targets])
            keys[:, -1] += draft
            words = np.asarray([word for _, word in targets])[:, None]
            counters = (*keys.T[:, :, None], words, candidates)
            drawn = noise.gumbel(self.seed, noise.stream("fill"), *counters)
            values = values / self.temperature + drawn
        return values, candidates

    def _beside(
        self, source: EncodedText, masked: Mapping[int, int], filled: Mapping[int, int], word: int
    ) -> set[str]:
        """The words beside a word, in folded case, as far as they are known: written there once
        more, they would make the text repeat itself."""
        found = set()
        for step in (-1, 1):
            other = word + step
            while 0 <= other < len(source.spans):
                if other in filled:
                    found.add(self.folded_texts[filled[other]])
                elif other not in masked:
                    text = source.word(other)
                    if not self.segmenter.is_word(text):  # punctuation and numbers in between
                        other += step
                        continue
                    found.add(text.casefold())
                break
        return found

    def _best(self, values: np.ndarray, candidates: np.ndarray, barred: set[str]) -> int:
        """The candidate of the highest value whose text is not barred; the highest if all are."""
        best = int(candidates[values.argmax()])
        if self.folded_texts[best] not in barred:
            return best
        ordered = candidates[np.argsort(-values, kind="stable")].tolist()
        return next((one for one in ordered if self.folded_texts[one] not in barred), best)

    def _word_logits(
        self,
        ids: Tensor,
        mask: Tensor,
        wanted: Tensor,
        avoided: Tensor,
        latents: Tensor | None,
        at: Tensor,
    ) -> tuple[Tensor, Tensor | None]:
        """
        At (row, position) pairs `[m, 2]`: log-probabilities over whole words as the wanted class,
        and by how much they are above those as the class to avoid, `[m, words]` each; None without
        guidance.
        """
        if not self.guidance:
            return self._read(ids, mask, wanted, latents, at), None
        # both classes in one batch
        shift = torch.tensor([len(ids), 0], device=at.device)
        both = self._read(
            ids.repeat(2, 1),
            mask.repeat(2, 1),
            torch.cat([wanted, avoided]),
            None,
            torch.cat([at, at + shift]),
        )
        own, against = both[: len(at)], both[len(at) :]
        # z says what a text is about and of which class: told z, both readings would say the same,
        # and guidance nothing
        told = own if latents is None else self._read(ids, mask, wanted, latents, at)
        return told, own - against

    def _read(
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
