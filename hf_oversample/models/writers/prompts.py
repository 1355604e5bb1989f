"""Texts by an instruction model that is told the class and shown texts; nothing is trained."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from transformers import LogitsProcessorList, PreTrainedTokenizerBase

from hf_oversample.models.encoders import places
from hf_oversample.models.sampling import KeyedGumbel
from hf_oversample.models.writers.checkpoint import padding_of
from hf_oversample.models.writers.decoding import Usage, drawn_tokens
from hf_oversample.models.writers.guidance import GuidedLogits
from hf_oversample.models.writers.requests import Draft, Refused, WritingRequest
from hf_oversample.models.writers.vocabulary import TrainingWords, WordTree
from hf_oversample.numeric.memory import work_in_batches

BATCH = 32
_THOUGHTS = re.compile(r"<think>.*?</think>", re.DOTALL)
_QUOTES = {'"': '"', "'": "'", "“": "”", "«": "»", "「": "」", "`": "`"}


def messages_of(request: WritingRequest, class_names: Sequence[str]) -> list[dict[str, str]]:
    """The chat that asks for a text: one message, since some templates know no other role."""
    own, other = class_names[request.label], class_names[request.avoid]
    lines = [f'Texts of the class "{own}":', *(f"- {text}" for text in request.examples), ""]
    if request.is_own:
        lines += [f'A text of the class "{other}":', f"- {request.neighbor}", ""]
        lines += [f'A text of the class "{own}" that is easily taken for it:']
        task = f'Write one new text of the class "{own}" that is like the last one'
    else:
        lines += [f'A text of the class "{other}":']
        task = f'Change the last text into one of the class "{own}"'
    lines += [f"- {request.source}", ""]
    lines += [
        f"{task}: in the same language and style, about as long, with other words than the texts "
        "above. Answer with the text alone."
    ]
    return [{"role": "user", "content": "\n".join(lines)}]


def answered_text(answer: str) -> Draft:
    """
    The text of an answer: its first line that is none of a heading ("Here is one:"), a code fence
    or a list's dash, without quotation marks around it; "no answer" where there is none.
    """
    for line in _THOUGHTS.sub("", answer).splitlines():
        line = line.strip().removeprefix("- ").strip()
        if not line or line.startswith("```") or line.endswith((":", "：")):
            continue
        if len(line) > 2 and _QUOTES.get(line[0]) == line[-1]:
            line = line[1:-1].strip()
        if line:
            return line
    return Refused("no answer")


class PromptWriter:
    """
    Asks a causal language model by its chat template.

    Args:
        model, tokenizer: the model and its tokenizer.
        name: what people call it.
        class_names: names of the classes, by code.
        seed: of every draw.
        tree: the words that may be written; None for any.
        max_length: tokens of an answer at most.
        temperature, top_k, top_p: of the drawing, see `KeyedGumbel`.

    Raises:
        ValueError: a tokenizer without a chat template.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: PreTrainedTokenizerBase,
        name: str,
        class_names: Sequence[str],
        *,
        seed: int,
        tree: WordTree | None,
        max_length: int,
        temperature: float,
        top_k: int,
        top_p: float,
    ):
        if not tokenizer.chat_template:
            raise ValueError(
                f"the tokenizer of {name} has no chat template, so that it cannot be asked: name "
                "an instruction model (such as SmolLM2-135M-Instruct), or leave out prompting, "
                "which trains adapters instead."
            )
        self.model, self.tokenizer, self.class_names = model, tokenizer, list(class_names)
        self.seed, self.tree, self.max_length = seed, tree, max_length
        self.temperature, self.top_k, self.top_p = temperature, top_k, top_p
        # a chat's turn may end otherwise than a text does
        stated = model.generation_config.eos_token_id
        stated = stated if isinstance(stated, list) else [stated]
        own = int(tokenizer.eos_token_id)
        self.ends = [own, *(token for token in stated if token not in (None, own))]
        self.longest = places(model)
        self.usage = Usage()

    def __call__(self, requests: Sequence[WritingRequest]) -> list[Draft]:
        """Drafts, in the requests' order; "too long" where prompt and answer are longer than the
        model has places for, "unfinished" for an answer of more than `max_length` tokens."""
        drafts: list[Draft] = [Refused("too long")] * len(requests)
        prompts = [
            list(
                self.tokenizer.apply_chat_template(
                    messages_of(request, self.class_names),
                    add_generation_prompt=True,
                    return_dict=True,
                )["input_ids"]
            )
            for request in requests
        ]
        room = self.max_length
        fitting = [
            i
            for i, prompt in enumerate(prompts)
            if self.longest is None or len(prompt) + room <= self.longest
        ]
        fitting.sort(key=lambda i: len(prompts[i]))

        def write(rows: np.ndarray, _: int) -> None:
            drawn = self._drawn([requests[i] for i in rows], [prompts[i] for i in rows])
            for i, tokens in zip(rows, drawn, strict=True):
                drafts[i] = Refused("unfinished")
                if tokens is not None:
                    text = self.tokenizer.decode(tokens, skip_special_tokens=True)
                    drafts[i] = answered_text(text)

        batches = [fitting[start : start + BATCH] for start in range(0, len(fitting), BATCH)]
        work_in_batches(
            [(np.asarray(rows), len(prompts[rows[-1]]) + room) for rows in batches],
            write,
            what="asking a language model",
            exact=False,
        )
        return drafts

    def _drawn(
        self, requests: Sequence[WritingRequest], prompts: Sequence[list[int]]
    ) -> list[list[int] | None]:
        padding = padding_of(self.tokenizer)
        longest = max(map(len, prompts)) + self.max_length
        logits_of = GuidedLogits(self.model, [], [], prompts, [], 0.0, padding, longest)
        processors = LogitsProcessorList()
        if self.tree is not None:
            processors.append(TrainingWords(self.tree, [[]] * len(prompts), self.ends))
        if self.temperature:
            keys = np.asarray([request.key for request in requests])
            processors.append(
                KeyedGumbel(keys, self.seed, "prompt", self.temperature, self.top_k, self.top_p)
            )
        rows = drawn_tokens(logits_of, processors, [self.max_length] * len(prompts), self.ends)
        self.usage.requests += len(prompts)
        self.usage.prompt_tokens += sum(map(len, prompts))
        self.usage.written_tokens += sum(len(row) for row in rows if row is not None)
        return rows
