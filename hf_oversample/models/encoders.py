"""Pretrained encoders: how each is loaded, and the longest text that it reads.

Whatever reads texts with an encoder loads it here and asks here for its longest text, so that
embedding, fine-tuning, MISO and the decoders behave alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Sized
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoConfig,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from hf_oversample.models.asked_for import asking_for
from hf_oversample.models.loading import damaged
from hf_oversample.models.miso.encoder_miso import MisoModel, encoder_class, encoder_part
from hf_oversample.text.encoding import LENGTH_STEP

# What modules with one learnt or fixed vector a place are called in transformers.
_POSITION_TABLES = ("position_embeddings", "embed_positions", "wpe", "positions_embed")
# Tokenizers say "no limit" by a number near 1e30.
_NO_LIMIT = 10**9


def load_encoder(
    name: str | Path, *, revision: str | None = None, dtype: torch.dtype = torch.float32
) -> PreTrainedModel:
    """
    A pretrained encoder, in evaluation mode, on the CPU.

    Of a model with encoder and decoder this is the whole model, or its encoder's own class where
    transformers has one (T5 and its kin, whose checkpoints may hold the encoder alone);
    `encoder_part` gives what reads texts.

    Args:
        name: folder, or name on the Hub.
        revision: of the model on the Hub.
        dtype: of the weights.

    Raises:
        OSError: no such folder or name.
        ValueError: a folder without config.json; weights that are damaged; or weights of the
            encoder are missing, which would start at random.
    """
    if Path(name).is_dir() and not (Path(name) / "config.json").is_file():
        raise ValueError(
            f"the folder {name} holds no config.json, so it is no model: it has "
            f"{sorted(path.name for path in Path(name).iterdir())[:8]}; give the folder that "
            "save_pretrained wrote, or a name on the Hub."
        )
    config = load_config(name, revision=revision)
    try:
        model, found = encoder_class(config).from_pretrained(
            str(name),
            revision=revision,
            dtype=dtype,
            output_loading_info=True,
            trust_remote_code=False,
        )
    except SafetensorError as error:
        raise damaged(name, error) from error
    has_decoder = encoder_part(model) is not model  # which is not asked for anything
    missing = {key for key in found["missing_keys"] if not (has_decoder and "decoder." in key)}
    check_complete(name, model, missing)
    return model.eval()


def load_config(name: str | Path, *, revision: str | None = None) -> PreTrainedConfig:
    """
    The configuration of a model that needs no code but transformers' and ours.

    Args:
        name: folder, or name on the Hub.
        revision: on the Hub.

    Raises:
        OSError: no such folder or name.
        ValueError: an architecture that neither knows, or one with code of its own.
    """
    try:
        # left open, a terminal would be asked whether to run it
        with asking_for(name):
            return AutoConfig.from_pretrained(str(name), revision=revision, trust_remote_code=False)
    except ValueError as error:
        if "trust_remote_code" not in str(error):
            raise
        raise ValueError(
            f"{name} is of an architecture that transformers does not know, and brings code of its "
            "own (auto_map in its config.json), which is never run here: name a model of a known "
            "architecture."
        ) from error


def load_tokenizer(name: str | Path, *, revision: str | None = None) -> PreTrainedTokenizerBase:
    """
    A pretrained tokenizer.

    Args:
        name: folder, or name on the Hub.
        revision: on the Hub.

    Raises:
        OSError: no such folder or name.
        ImportError: a library that the tokenizer needs is not installed.
        ValueError: its files cannot be read.
    """
    try:
        with asking_for(name):
            return AutoTokenizer.from_pretrained(
                str(name), revision=revision, trust_remote_code=False
            )
    except (OSError, ImportError):
        raise
    except Exception as error:  # of any type: each library under it has its own
        said = " ".join(str(error).split())[:200]
        raise ValueError(
            f"the tokenizer of {name} cannot be read ({type(error).__name__}: {said}): its files "
            "are damaged, missing, or of another kind; download or save it again."
        ) from error


def check_complete(name: str | Path, model: PreTrainedModel, missing: Iterable[str]) -> None:
    """
    Check that no weight of a model was missing in its checkpoint. Poolers may be: many checkpoints
    have none, and embeddings do not read them.

    Raises:
        ValueError: one was.
    """
    lost = sorted(key for key in missing if "pooler." not in key)
    if lost:
        raise ValueError(
            f"{name} is said to be a {type(model).__name__}, but its files lack {len(lost)} of "
            f"its weights, such as {lost[0]}, which would be random: save the whole model with "
            "save_pretrained, or name another encoder."
        )


def places(model: nn.Module) -> int | None:
    """
    Tokens of the longest text that a model can number, special tokens included; None: any length.

    Tables of positions are counted as they are: RoBERTa, XLM-R and their kin number tokens from
    `padding_idx + 1` on, BART and OPT leave out two rows. Models with rotary positions are held to
    the length that they were made for. T5, XLNet and DeBERTa's relative positions have no limit.
    """
    if isinstance(model, MisoModel):
        model = model.encoder
    config = getattr(model, "config", None)
    limits = []
    stated = getattr(config, "max_position_embeddings", None)
    if isinstance(stated, int) and stated > 0:
        limits.append(stated)
    table = next(
        (
            module
            for name, module in model.named_modules()
            if name.rsplit(".", 1)[-1] in _POSITION_TABLES and isinstance(module, nn.Embedding)
        ),
        None,
    )
    if table is not None:
        unused = 0 if table.padding_idx is None else table.padding_idx + 1
        limits.append(table.num_embeddings - unused - int(getattr(table, "offset", 0)))
    elif getattr(config, "relative_attention", False):
        return None
    return min(limits) if limits else None


def longest_text(model: nn.Module, tokenizer: PreTrainedTokenizerBase | None = None) -> int | None:
    """
    Tokens of the longest text that a model is given here; None: any length.

    The `places` of the model, or what its tokenizer states (`model_max_length`) where that is
    less, down to a multiple of four: texts are padded to such lengths.
    """
    limits = [] if (own := places(model)) is None else [own]
    stated = getattr(tokenizer, "model_max_length", None)
    if stated is not None and stated < _NO_LIMIT:
        limits.append(int(stated))
    return min(limits) // LENGTH_STEP * LENGTH_STEP if limits else None


def check_max_length(
    max_length: int,
    name: str | Path,
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> None:
    """
    Check that a model reads texts of `max_length` tokens.

    Raises:
        ValueError: it does not.
    """
    longest = longest_text(model, tokenizer)
    if longest is not None and longest < max_length:
        raise ValueError(
            f"max_length is {max_length}, but {name} has places for {longest} tokens: give "
            f"max_length={longest} or less (--max_length {longest})."
        )


def check_lengths(texts: Sequence[Sized], model: PreTrainedModel) -> None:
    """
    Check that a model has places for texts as token ids.

    Raises:
        ValueError: one is longer; its row is named.
    """
    longest = places(model)
    if longest is None:
        return
    long = next((row for row, ids in enumerate(texts) if len(ids) > longest), None)
    if long is not None:
        raise ValueError(
            f"encoded text {long} has {len(texts[long])} tokens, but {type(model).__name__} has "
            f"places for {longest}: cut the texts, with the tokenizer's truncation=True and "
            f"max_length={longest}"
        )


__all__ = [
    "check_complete",
    "check_lengths",
    "check_max_length",
    "encoder_part",
    "load_encoder",
    "load_tokenizer",
    "longest_text",
    "places",
]
