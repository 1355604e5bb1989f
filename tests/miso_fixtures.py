"""A small corpus of two classes and tiny MISO generators, made once in a test session."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.state import AcceleratorState, GradientState
from transformers import BertConfig, BertModel, PreTrainedTokenizerBase, set_seed

from hf_oversample.models.miso.modeling_miso import MisoForAnchorGeneration
from hf_oversample.text.encoding import EncodedText, TextEncoder
from hf_oversample.text.tokenization import train_tokenizer
from hf_oversample.text.words import Segmenter
from hf_oversample.training.arguments import MisoTrainingArguments
from hf_oversample.training.generator import new_generator
from hf_oversample.training.miso import MisoTrainer

CLASS_NAMES = ("ham", "spam", "news")
SEGMENTER = Segmenter("en")
MAX_LENGTH = 24

_WORDS = {
    "place": ["station", "cafe", "office", "library", "market", "harbour", "garden", "museum"],
    "time": ["tonight", "tomorrow", "today", "later", "soon", "monday", "friday"],
    "thing": ["keys", "book", "umbrella", "jacket", "wallet", "phone", "ticket", "camera"],
    "person": ["sister", "brother", "mother", "teacher", "friend", "boss", "cousin"],
    "prize": ["phone", "holiday", "ticket", "camera", "voucher", "laptop", "bonus", "ringtone"],
    "number": ["8007", "8712", "6130", "4403", "9055"],
    "topic": ["budget", "harvest", "election", "storm", "railway", "museum"],
}
# The last template of a class shares its words with another class: its texts are the difficult ones
_TEMPLATES = (
    (
        "see you at the {place} {time}",
        "are you coming to the {place} {time} ?",
        "I left my {thing} at the {place}, sorry",
        "my {person} will not be at home {time}",
        "thanks for the {thing}, my {person} loved it",
        "I have won a {prize} at the {place} {time} !",
    ),
    (
        "win a free {prize} now !",
        "call {number} to claim your {prize} {time}",
        "you have won a {prize}, text WIN to {number}",
        "urgent ! your {prize} is waiting, reply {time}",
        "my {person} left your {prize} at the {place}",
    ),
    (
        "the {topic} was debated in parliament {time}",
        "officials expect the {topic} to end {time}",
        "experts said the {topic} near the {place} grew",
        "your {topic} is waiting at the {place}",
    ),
)

_SCRATCH = tempfile.TemporaryDirectory(prefix="hf_oversample_miso_")


def new_folder() -> Path:
    """A folder that lives as long as the test session."""
    return Path(tempfile.mkdtemp(dir=_SCRATCH.name))


def make_corpus(counts: Sequence[int], seed: int = 0) -> tuple[list[str], np.ndarray]:
    """``counts[c]`` distinct texts of each class, in mixed order, and their labels."""
    rng = np.random.default_rng(seed)
    texts: list[str] = []
    labels: list[int] = []
    for label, count in enumerate(counts):
        made: dict[str, None] = {}
        while len(made) < count:
            slots = {name: str(rng.choice(words)) for name, words in _WORDS.items()}
            made[str(rng.choice(_TEMPLATES[label])).format(**slots)] = None
        texts += made
        labels += [label] * count
    order = rng.permutation(len(texts))
    return [texts[i] for i in order], np.asarray(labels)[order]


@lru_cache(maxsize=1)
def tokenizer() -> PreTrainedTokenizerBase:
    """One token a word: those of the corpus, and those of the texts of ``make_dataset``."""
    texts, _ = make_corpus((300, 200, 100))
    rows = [f"{name} message number {i} for you" for name in CLASS_NAMES for i in range(40)]
    return train_tokenizer([*texts, *rows], kind="word", min_frequency=1)


@lru_cache(maxsize=2)
def encoder_folder(dropout: float = 0.1) -> Path:
    """A saved BERT of two layers of width 32 with random weights, and its tokenizer."""
    folder = new_folder()
    set_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer()),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        pad_token_id=tokenizer().pad_token_id,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def encode(texts: Sequence[str]) -> list[EncodedText]:
    return TextEncoder(tokenizer(), SEGMENTER, MAX_LENGTH).many(texts)


def make_generator(
    texts: Sequence[str],
    *,
    classes: int = 2,
    targets: Sequence[int] = (1,),
    seed: int = 0,
    dropout: float = 0.1,
    **settings: Any,
) -> MisoForAnchorGeneration:
    """An untrained generator whose words are those of the texts."""
    sizes = {
        "num_latent_heads": 4,
        "latent_size": 16,
        "critic_hidden_size": 32,
        "discriminator_hidden_size": 16,
        "bank_size": 8,
    }
    return new_generator(
        encode(texts),
        tokenizer(),
        SEGMENTER,
        class_names=CLASS_NAMES[:classes],
        target_classes=targets,
        encoder_name_or_path=encoder_folder(dropout),
        seed=seed,
        **{**sizes, **settings},
    )


def arguments(**changes: Any) -> MisoTrainingArguments:
    """Arguments of a training run of a few small steps."""
    few: dict[str, Any] = {
        "pretrain_steps": 4,
        "critic_steps": 4,
        "adversarial_steps": 4,
        "batch_size": 12,
        "pair_batch_size": 6,
        "decoder_rows": 8,
        "adversarial_rows": 4,
        "logging_steps": 1,
        "max_length": MAX_LENGTH,
        "train_word_embeddings": "yes",
        "mixed_precision": "no",
    }
    return MisoTrainingArguments(**{**few, **changes})


def reset_accelerate() -> None:
    """Accelerate forgets the training before."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def make_trainer(
    model: MisoForAnchorGeneration,
    texts: Sequence[str],
    labels: np.ndarray,
    training: MisoTrainingArguments,
    **options: Any,
) -> MisoTrainer:
    """A trainer of its own, whatever Accelerate remembers of the one before."""
    reset_accelerate()
    return MisoTrainer(
        model,
        encode(texts),
        labels,
        training,
        padding=tokenizer().pad_token_id,
        mask_token=tokenizer().mask_token_id,
        **options,
    )


def set_random_bank(model: MisoForAnchorGeneration, seed: int = 0) -> None:
    """Random reference pairs for every target class, and a fusion that moves latents."""
    generator = torch.Generator().manual_seed(seed)
    config = model.config
    for label in config.target_classes:
        shape = (config.bank_size, config.num_latent_heads, config.latent_size)
        pairs = [torch.randn(shape, generator=generator) for _ in range(2)]
        model.miso.set_bank(label, *pairs)
    with torch.no_grad():
        for weight in (model.miso.fusion.narrow.weight, model.latent_to_hidden.weight):
            weight.copy_(0.2 * torch.randn(weight.shape, generator=generator))


@lru_cache(maxsize=1)
def trained_generator_folder() -> Path:
    """A generator that was trained long enough for its classes to differ, with its tokenizer."""
    texts, labels = make_corpus((120, 30))
    model = make_generator(texts)
    training = arguments(
        pretrain_steps=150,
        critic_steps=10,
        adversarial_steps=10,
        batch_size=32,
        learning_rate=3e-3,
        encoder_learning_rate=3e-3,
        logging_steps=50,
    )
    make_trainer(model, texts, labels, training).train()
    folder = new_folder()
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


@lru_cache(maxsize=1)
def contract_generator_folder() -> Path:
    """A generator of all three classes, hardly trained: for checks that hold for any weights."""
    texts, labels = make_corpus((30, 20, 20))
    rows = [f"{name} message number {i} for you" for name in CLASS_NAMES for i in range(10)]
    texts = [*texts, *rows]
    labels = np.concatenate([labels, np.repeat(np.arange(3), 10)])
    model = make_generator(texts, classes=3, targets=(0, 1, 2))
    make_trainer(model, texts, labels, arguments(logging_steps=10)).train()
    folder = new_folder()
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder
