"""One base model and one LoRA adapter (Hu et al., 2022) a class: made, saved and loaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hf_oversample.models.encoders import check_max_length, longest_text
from hf_oversample.models.in_memory import PREFIX
from hf_oversample.models.loading import OF_VALUES
from hf_oversample.models.writers.checkpoint import (
    base_digest,
    load_language_model,
    need,
)
from hf_oversample.models.writers.encoding import PrefixedTexts
from hf_oversample.models.writers.latents import LatentKind, LatentPrefix

RECORD = "writer.json"
BASE_FOLDER = "base"
FORMAT = 1
PREFIX_FILE = "prefix.safetensors"


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
        max_length: longest prefix and text in tokens; with an encoder, which reads the class, the
            longest text.
        record: of the training: losses by class, seconds, tokens.
        latents: what latents they read before a text; None for none (`read_latents`).
        prefixes: class code → how its adapter reads them.
    """

    model: Any
    tokenizer: PreTrainedTokenizerBase
    base: str
    gguf_file: str | None
    class_names: list[str]
    trained: list[int]
    max_length: int
    record: dict[str, Any] = field(default_factory=dict)
    latents: LatentKind | None = None
    prefixes: dict[int, LatentPrefix] = field(default_factory=dict)

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
        """The language model itself."""
        return self.model.get_base_model() if self.trained else self.model

    @property
    def has_encoder(self) -> bool:
        """Whether the class is read by an encoder, and the text written by a decoder."""
        return bool(self.base_model.config.is_encoder_decoder)

    @property
    def texts(self) -> PrefixedTexts:
        """Encodes texts as the model reads and writes them."""
        return PrefixedTexts.of(self.base_model, self.tokenizer)

    def read_latents(self, kind: LatentKind) -> None:
        """
        Let the adapters that are added from now on read latents before their texts.

        Raises:
            ValueError: the model has no places for a latent's slots and `max_length` tokens, or it
                has an encoder.
        """
        if self.has_encoder:
            raise ValueError(
                f"latents are read by a causal language model, before the text, but {self.base} "
                "has an encoder and a decoder: name a causal one, or leave out latents."
            )
        longest = longest_text(self.base_model, self.tokenizer)
        if longest is not None and kind.heads + self.max_length > longest:
            raise ValueError(
                f"a latent has {kind.heads} slots, which stand before a text of max_length = "
                f"{self.max_length} tokens, but {self.base} has places for {longest} tokens: give "
                f"max_length={longest - kind.heads} or less, or leave out latents."
            )
        self.latents = kind

    def to(self, device: torch.device | str) -> None:
        """Move the model, and what reads latents."""
        self.model.to(device)
        for prefix in self.prefixes.values():
            prefix.to(device)

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
            task_type="SEQ_2_SEQ_LM" if self.has_encoder else "CAUSAL_LM",
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
        if self.latents is not None:
            embedding = self.base_model.get_input_embeddings()
            prefix = LatentPrefix(self.latents, embedding).to(embedding.weight.device)
            if like is not None:
                prefix.load_state_dict(self.prefixes[like].state_dict())
            self.prefixes[code] = prefix
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
        for code, prefix in self.prefixes.items():
            save_file(prefix.state_dict(), folder / adapter_name(code) / PREFIX_FILE)
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
        if self.latents is not None:
            record["latents"] = self.latents._asdict()
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
        told = _read_record(folder / RECORD)
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
            try:
                if not loaded.trained:
                    loaded.model = peft.PeftModel.from_pretrained(
                        loaded.model, str(folder / name), adapter_name=name
                    )
                else:
                    loaded.model.load_adapter(str(folder / name), adapter_name=name)
            # what peft raises of files that are damaged, of other shapes, or of another adapter
            except (*OF_VALUES, RuntimeError, SafetensorError) as error:
                raise ValueError(
                    f"the adapter {folder / name} cannot be loaded "
                    f"({' '.join(str(error).split())[:300]}): its files are damaged, missing or of "
                    "another model; download or save it again."
                ) from error
            loaded.trained.append(code)
        if (kind := told.get("latents")) is not None:
            loaded.read_latents(LatentKind(**kind))
            embedding = loaded.base_model.get_input_embeddings()
            for code in loaded.trained:
                prefix = LatentPrefix(LatentKind(**kind), embedding)
                prefix.load_state_dict(load_file(folder / adapter_name(code) / PREFIX_FILE))
                loaded.prefixes[code] = prefix.eval()
        loaded.record = told["record"]
        loaded.model.eval()
        return loaded


def _read_record(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error}): save or download it again") from error
    for name, (kinds, wanted) in _RECORD.items():
        value = told.get(name) if isinstance(told, dict) else None
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise ValueError(
                f"{path} is no record of adapters: its {name!r} is {str(value)[:60]!r}, and must "
                f"be {wanted}"
            )
    if not all(type(code) is int for code in told["trained"]):
        raise ValueError(f"{path} is no record of adapters: its 'trained' must be codes of classes")
    return told


_RECORD: dict[str, tuple[Any, str]] = {
    "format": (int, "a whole number"),
    "base": (str, "a string"),
    "gguf_file": (str | None, "a string or null"),
    "class_names": (list, "a list"),
    "max_length": (int, "a whole number"),
    "base_digest": (str, "a string"),
    "trained": (list, "a list"),
    "record": (dict, "an object"),
}


def _save_base(name: str, target: Path) -> None:
    from hf_oversample.models.in_memory import folder_or_name

    shutil.copytree(folder_or_name(name), target, dirs_exist_ok=True)


def is_saved_writer(name: str) -> bool:
    """Whether a name is a folder that `ClassAdapters.save` wrote."""
    return (Path(name) / RECORD).is_file()
