"""Tiny language models with random weights, and a trained writer, made once in a test session."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    set_seed,
)

from hf_oversample.models.writers.adapters import ClassAdapters
from hf_oversample.models.writers.checkpoint import load_language_model
from hf_oversample.models.writers.decoding import drawn_tokens
from hf_oversample.models.writers.encoding import PrefixedTexts, class_prefix
from hf_oversample.models.writers.latents import LatentReader
from hf_oversample.numeric import memory
from hf_oversample.text.encoding import pad
from hf_oversample.training.writer import train_writer
from hf_oversample.training.writer_arguments import WriterTrainingArguments
from miso_fixtures import CLASS_NAMES, make_corpus, make_generator, new_folder, set_random_bank
from miso_fixtures import tokenizer as miso_tokenizer

MAX_LENGTH = 40
END, PAD = "<end>", "<pad>"


def contract_rows() -> list[str]:
    """Texts such as those of ``make_dataset``."""
    return [f"{name} message number {i} for you" for name in CLASS_NAMES for i in range(40)]


@lru_cache(maxsize=2)
def subword_tokenizer(padding: bool = True) -> PreTrainedTokenizerBase:
    """Byte-level BPE of few tokens, so that words are several."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=360,
        special_tokens=[END, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts, _ = make_corpus((120, 80, 40))
    tokenizer.train_from_iterator([*texts, *contract_rows()], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, pad_token=PAD if padding else None
    )


@lru_cache(maxsize=4)
def language_model_folder(kind: str = "llama", padding: bool = True) -> Path:
    """A saved causal language model of one small layer with random weights, and its tokenizer."""
    folder = new_folder()
    tokenizer = subword_tokenizer(padding)
    set_seed(0)
    ids: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
    }
    model: PreTrainedModel
    if kind == "llama":
        config = LlamaConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=64,
            **ids,
        )
        model = LlamaForCausalLM(config)
    else:
        model = GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=1, n_head=2, n_positions=64, **ids))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def few(**changes: Any) -> dict[str, Any]:
    """Training arguments of a few small updates."""
    small: dict[str, Any] = {"max_updates": 4, "batch_size": 8, "rank": 2, "evaluation_updates": 2}
    return {**small, **changes}


def labelled_texts() -> dict[int, list[str]]:
    """Class code → texts of the corpus, and such as those of ``make_dataset``."""
    texts = {c: [t for t in contract_rows() if t.startswith(n)] for c, n in enumerate(CLASS_NAMES)}
    more, labels = make_corpus((60, 40, 20))
    for code in texts:
        own = [more[i] for i in np.flatnonzero(labels == code)]
        texts[code] += own + [f"{CLASS_NAMES[code]} message {text}" for text in own]
    return texts


@lru_cache(maxsize=1)
def pretrained_folder() -> Path:
    """The same, after so much training on texts of the classes that it writes some that pass."""
    folder = new_folder()
    model, tokenizer = load_language_model(str(language_model_folder("gpt2")))
    encode = PrefixedTexts(tokenizer)
    rows = [
        encode.row(class_prefix(CLASS_NAMES[code]), text, MAX_LENGTH)[0]
        for code, own in labelled_texts().items()
        for text in own
    ]
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2, fused=True)
    order = np.random.default_rng(0)
    model.train()
    for _ in range(80):
        batch = [rows[i] for i in order.integers(len(rows), size=16)]
        ids, mask = pad(batch, tokenizer.pad_token_id)
        labels = ids.masked_fill(mask == 0, -100)
        model(input_ids=ids, attention_mask=mask, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@lru_cache(maxsize=1)
def contract_writer_folder() -> Path:
    """A trained writer for the classes of ``make_dataset``."""
    base = str(pretrained_folder())
    adapters = ClassAdapters.new(base, None, list(CLASS_NAMES), MAX_LENGTH)
    train_writer(adapters, labelled_texts(), WriterTrainingArguments(**few()))
    folder = new_folder()
    adapters.save(folder)
    return folder


@lru_cache(maxsize=2)
def latents_folder(heads: int = 4) -> Path:
    """A MISO generator with random weights and reference pairs, for all classes."""
    texts, _ = make_corpus((30, 20, 20))
    model = make_generator(texts, classes=3, targets=(0, 1, 2), num_latent_heads=heads)
    set_random_bank(model)
    folder = new_folder()
    model.save_pretrained(folder)
    miso_tokenizer().save_pretrained(folder)
    return folder


@lru_cache(maxsize=1)
def latent_writer_folder() -> Path:
    """A writer whose adapters read that generator's latents."""
    adapters = ClassAdapters.new(str(pretrained_folder()), None, list(CLASS_NAMES), MAX_LENGTH)
    latents = LatentReader.load(str(latents_folder()))
    arguments = WriterTrainingArguments(**few(max_updates=12, learning_rate=1e-2), latent_noise=0.0)
    train_writer(adapters, labelled_texts(), arguments, latents)
    folder = new_folder()
    adapters.save(folder)
    return folder


def little_room(monkeypatch: Any, module: Any, most: int) -> list[int]:
    """Let a module's writer draw at most so many texts at a time, as if memory had no room for
    more; the sizes that were refused, as they come."""
    refused: list[int] = []

    def drawn(logits_of: Any, processors: Any, rooms: Any, *others: Any) -> Any:
        if len(rooms) > most:
            refused.append(len(rooms))
            raise torch.OutOfMemoryError("CUDA out of memory")
        return drawn_tokens(logits_of, processors, rooms, *others)

    monkeypatch.setattr(memory, "_WORKED", {})
    monkeypatch.setattr(module, "drawn_tokens", drawn)
    return refused
