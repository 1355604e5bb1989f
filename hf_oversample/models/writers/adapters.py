"""A writer of one base model and one LoRA adapter (Hu et al., 2022) a class: saved, loaded, and
its texts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from transformers import LogitsProcessorList, PreTrainedModel, PreTrainedTokenizerBase

from hf_oversample.models.encoders import check_max_length
from hf_oversample.models.in_memory import PREFIX
from hf_oversample.models.sampling import KeyedGumbel
from hf_oversample.models.writers.checkpoint import (
    base_digest,
    load_language_model,
    need,
    padding_of,
)
from hf_oversample.models.writers.decoding import Usage, drawn_tokens
from hf_oversample.models.writers.encoding import PrefixedTexts, class_prefix
from hf_oversample.models.writers.guidance import GuidedLogits
from hf_oversample.models.writers.requests import Draft, Refused, WritingRequest
from hf_oversample.models.writers.vocabulary import TrainingWords, WordTree

RECORD = "writer.json"
BASE_FOLDER = "base"
FORMAT = 1
# Texts that are written together: few sizes, and large ones, keep the processor busy.
BATCH = 128
# Token ids of a request's prompt, of that for the class to avoid, and of the text's start.
Prompts = tuple[list[int], list[int], list[int]]


def adapter_name(code: int) -> str:
    """The name of a class's adapter; names of classes may hold what PEFT's may not."""
    return f"class-{code}"


@dataclass
class ClassAdapters:
    """
    A base model with adapters of classes.

    Args:
        model: a `PeftModel`.
        tokenizer: the base's.
        base: what the base is loaded from: a folder, a Hub name, or a model in memory.
        gguf_file: of `base`, where it is one.
        class_names: names of the classes, by code.
        trained: codes of the classes that have an adapter.
        max_length: longest prefix and text in tokens.
        record: of the training: losses by class, seconds, tokens.
    """

    model: Any
    tokenizer: PreTrainedTokenizerBase
    base: str
    gguf_file: str | None
    class_names: list[str]
    trained: list[int]
    max_length: int
    record: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def new(
        cls, base: str, gguf_file: str | None, class_names: Sequence[str], max_length: int
    ) -> Self:
        """
        The base model, without adapters yet.

        Raises:
            ImportError, OSError, ValueError: as `load_language_model`; a `max_length` that the
                model has no places for.
        """
        model, tokenizer = load_language_model(base, gguf_file)
        check_max_length(max_length, base, model, tokenizer)
        return cls(model, tokenizer, base, gguf_file, list(class_names), [], max_length)

    @property
    def base_model(self) -> PreTrainedModel:
        """The causal language model itself."""
        return self.model.get_base_model() if self.trained else self.model

    def add(self, code: int, *, rank: int, alpha: float, like: int | None = None) -> None:
        """
        Give a class an adapter on all linear layers: one that changes nothing yet, or a copy.

        Args:
            code: the class.
            rank, alpha: of LoRA: r, and α of its scale α / r.
            like: the class whose adapter is copied.

        Raises:
            ImportError: without the extra `writers`.
        """
        peft = need("peft", "A writer with an adapter a class")
        config = peft.LoraConfig(
            r=rank,
            lora_alpha=alpha,
            lora_dropout=0.0,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )
        name = adapter_name(code)
        if not self.trained:
            self.model = peft.get_peft_model(self.model, config, adapter_name=name)
        else:
            self.model.add_adapter(name, config)
        if like is not None:
            values = peft.get_peft_model_state_dict(self.model, adapter_name=adapter_name(like))
            peft.set_peft_model_state_dict(
                self.model, {k: v.clone() for k, v in values.items()}, adapter_name=name
            )
        self.trained.append(code)
        self.model.set_adapter(name)

    @contextmanager
    def without_adapters(self) -> Iterator[PreTrainedModel]:
        """The base model as it was."""
        if not self.trained:
            yield self.model
            return
        with self.model.disable_adapter():
            yield self.model.get_base_model()

    def code_of(self, name: str) -> int:
        """
        The code of a class by its name.

        Raises:
            ValueError: there is none, or it has no adapter.
        """
        known = [self.class_names[code] for code in self.trained]
        if name not in known:
            raise ValueError(
                f"The writer has no adapter for the class {name!r}; it was trained for "
                f"{sorted(known)}. Train one on this data set, or rename the labels."
            )
        return self.class_names.index(name)

    # ---- saving

    def save(self, folder: str | Path) -> None:
        """Adapters (each a folder that PEFT loads), and what they belong to. The base model is
        named, not copied, but for one that was given in memory."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        names = [adapter_name(code) for code in self.trained]
        # the base's vocabulary is as it was: nothing to compare with the Hub
        self.model.save_pretrained(folder, selected_adapters=names, save_embedding_layers=False)
        (folder / "README.md").unlink(missing_ok=True)  # PEFT's, with fields to be filled in
        base = self.base
        if base.startswith(PREFIX):
            base = BASE_FOLDER
            with self.without_adapters():
                _save_base(self.base, folder / BASE_FOLDER)
        record = {
            "format": FORMAT,
            "base": base,
            "gguf_file": self.gguf_file,
            "base_digest": base_digest(self.base_model),
            "class_names": self.class_names,
            "trained": self.trained,
            "max_length": self.max_length,
            "record": self.record,
        }
        text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
        (folder / RECORD).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """
        What `save` wrote.

        Raises:
            OSError: no such folder, or a base model that is not where it was.
            ValueError: a base model with other token embeddings than the one that the adapters
                were trained on.
        """
        folder = Path(folder)
        told = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if told["format"] > FORMAT:
            raise ValueError(
                f"{folder} was saved in format {told['format']}; this version reads up to "
                f"{FORMAT}: upgrade hf_oversample"
            )
        base = told["base"]
        if base == BASE_FOLDER:
            base = str(folder / BASE_FOLDER)
        loaded = cls.new(base, told["gguf_file"], told["class_names"], told["max_length"])
        if base_digest(loaded.model) != told["base_digest"]:
            raise ValueError(
                f"{base} has other token embeddings than the model that the adapters of {folder} "
                "were trained on: it is another model, or another version of it. Name that one "
                f"as 'base' in {folder / RECORD}, or train the writer again."
            )
        peft = need("peft", "A writer with an adapter a class")
        for code in told["trained"]:
            name = adapter_name(code)
            if not loaded.trained:
                loaded.model = peft.PeftModel.from_pretrained(
                    loaded.model, str(folder / name), adapter_name=name
                )
            else:
                loaded.model.load_adapter(str(folder / name), adapter_name=name)
            loaded.trained.append(code)
        loaded.record = told["record"]
        loaded.model.eval()
        return loaded


def _save_base(name: str, target: Path) -> None:
    from hf_oversample.models.in_memory import folder_or_name

    shutil.copytree(folder_or_name(name), target, dirs_exist_ok=True)


def is_saved_writer(name: str) -> bool:
    """Whether a name is a folder that `ClassAdapters.save` wrote."""
    return (Path(name) / RECORD).is_file()


class AdapterWriter:
    """
    Writes texts of a class by its adapter, guided away from another class's.

    Args:
        adapters: of all classes that are asked for.
        seed: of every draw.
        tree: the words that may be written; None for any.
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
        guidance: float = 1.0,
        temperature: float = 1.0,
        top_k: int = 50,
        top_p: float = 0.95,
    ):
        self.adapters, self.seed, self.tree = adapters, seed, tree
        self.guidance, self.temperature = guidance, temperature
        self.top_k, self.top_p = top_k, top_p
        self.encode, self.usage = PrefixedTexts(adapters.tokenizer), Usage()

    def __call__(self, requests: Sequence[WritingRequest]) -> list[Draft]:
        """Drafts, in the requests' order; one that reaches the longest length is refused as
        "unfinished", one whose start leaves no room as "too long"."""
        drafts: list[Draft] = [Refused("too long")] * len(requests)
        prompts = [self._prompts(request) for request in requests]
        lengths = [max(len(own), len(other)) for own, other, _ in prompts]
        fitting = [i for i, n in enumerate(lengths) if n + 2 <= self.adapters.max_length]
        fitting.sort(key=lambda i: lengths[i])  # little is padded
        for start in range(0, len(fitting), BATCH):
            rows = fitting[start : start + BATCH]
            written = self._written([requests[i] for i in rows], [prompts[i] for i in rows])
            for i, draft in zip(rows, written, strict=True):
                drafts[i] = draft
        return drafts

    def _prompts(self, request: WritingRequest) -> Prompts:
        kept = request.source[: request.kept]
        rows = []
        for code in (request.label, request.avoid):
            prefix = class_prefix(self.adapters.class_names[code])
            # without a text the space behind the prefix is the first token's
            rows.append(self.encode(prefix if kept else prefix.rstrip(), kept))
        own, other = ([*row.prefix, *row.ids] for row in rows)
        return own, other, rows[0].ids

    def _written(
        self, requests: Sequence[WritingRequest], prompts: Sequence[Prompts]
    ) -> list[Draft]:
        own, against, starts = zip(*prompts, strict=True)
        logits_of = GuidedLogits(
            self.adapters.model,
            [adapter_name(request.label) for request in requests],
            [adapter_name(request.avoid) for request in requests],
            own,
            against,
            self.guidance,
            padding_of(self.adapters.tokenizer),
            self.adapters.max_length,
        )
        processors = LogitsProcessorList()
        if self.tree is not None:
            processors.append(TrainingWords(self.tree, starts, [self.encode.end]))
        if self.temperature:
            keys = np.asarray([request.key for request in requests])
            processors.append(
                KeyedGumbel(keys, self.seed, "writer", self.temperature, self.top_k, self.top_p)
            )
        rooms = [self.adapters.max_length - max(len(a), len(b)) for a, b, _ in prompts]
        rows = drawn_tokens(logits_of, processors, rooms, [self.encode.end])
        self.usage.requests += len(rows)
        self.usage.prompt_tokens += sum(map(len, own))
        self.usage.written_tokens += sum(len(row) for row in rows if row is not None)
        return [
            Refused("unfinished") if row is None else self._draft(request, prompt, row)
            for request, prompt, row in zip(requests, own, rows, strict=True)
        ]

    def _draft(self, request: WritingRequest, prompt: list[int], new: list[int]) -> Draft:
        def decoded(tokens: list[int]) -> str:
            text: str = self.adapters.tokenizer.decode(
                tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
            return text

        # of both together, as some tokenizers drop the space before a first word
        before, whole = decoded(prompt), decoded([*prompt, *new])
        return (request.source[: request.kept] + whole[len(before) :]).strip()
