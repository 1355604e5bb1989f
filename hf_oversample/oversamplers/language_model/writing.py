"""The writer of an oversampler's values: loaded, made, and given a journal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hf_oversample.models.writers.adapter_writer import AdapterWriter
from hf_oversample.models.writers.adapters import ClassAdapters, is_saved_writer
from hf_oversample.models.writers.journal import JournaledWriter
from hf_oversample.models.writers.latents import LatentKind, LatentReader
from hf_oversample.models.writers.prompts import PromptWriter
from hf_oversample.models.writers.requests import Writer
from hf_oversample.models.writers.server import ServerWriter
from hf_oversample.models.writers.vocabulary import WordTree
from hf_oversample.numeric.workers import device_of_process
from hf_oversample.text.words import Segmenter

if TYPE_CHECKING:
    from hf_oversample.oversamplers.language_model.oversampler import LanguageModelOversampler

LONGEST = 64
"""Tokens of the longest text where nothing is said."""
JOURNAL_CHUNK = 128
# latents are known by their generator's digest
NOT_OF_DRAFTS = (
    "journal",
    "api_key_variable",
    "sampling_strategy",
    "copy_columns",
    "max_tries",
    "latents",
)


def base_or_trained(
    o: LanguageModelOversampler, latents: LatentReader | None = None
) -> ClassAdapters | None:
    """
    The given writer, or a base model without adapters yet; none behind a server.

    Raises:
        ValueError: a trained writer of fewer tokens, or of other latents; a model to be prompted
            that has an encoder.
    """
    if o.base_url is not None:
        return None
    names = [str(name) for name in o.label_names_]
    if is_saved_writer(o.writer):
        adapters = ClassAdapters.load(o.writer)
        length = o.max_length or adapters.max_length
        if adapters.max_length < length:
            raise ValueError(
                f"max_length is {length}, but the writer {o.writer} was trained "
                f"with {adapters.max_length}: give that, or train another."
            )
        adapters.max_length = length
        _check_latents(o, adapters.latents, latents)
    else:
        adapters = ClassAdapters.new(o.writer, o.gguf_file, names, o.max_length or LONGEST)
        if o.prompting and adapters.has_encoder:
            raise ValueError(
                f"prompting asks a causal language model by its chat template, but {o.writer} has "
                "an encoder and a decoder: name another, or leave prompting out."
            )
        if latents is not None:  # before anything is embedded
            adapters.read_latents(latents.kind)
    adapters.to(device_of_process())
    return adapters


def _check_latents(
    o: LanguageModelOversampler, trained: LatentKind | None, given: LatentReader | None
) -> None:
    if trained is None and given is not None:
        raise ValueError(
            f"latents is given, but the writer {o.writer} was trained without: leave latents out, "
            "or train another from its language model."
        )
    if trained is None:
        return
    size = f"latents of {trained.heads} slots of {trained.size}"
    if given is None:
        raise ValueError(
            f"the writer {o.writer} was trained to read {size}, and no latents are given: name the "
            "generator that it was trained with (latents, --latents)."
        )
    if given.kind[:2] != trained[:2]:
        raise ValueError(
            f"the writer {o.writer} was trained to read {size}, but {o.latents} makes "
            f"{given.kind.heads} of {given.kind.size}: name the generator that it was trained with."
        )
    if given.kind.digest != trained.digest:
        raise ValueError(
            f"the writer {o.writer} was trained with the latents of another generator than "
            f"{o.latents}, whose weights differ: name that one, or train another writer."
        )


def new_writer(
    o: LanguageModelOversampler,
    adapters: ClassAdapters | None,
    texts: Sequence[str],
    segmenter: Segmenter,
    latents: LatentReader | None = None,
) -> Writer:
    """What writes an oversampler's texts: a server, a prompted model, or the adapters."""
    names = [str(name) for name in o.label_names_]
    if adapters is None:
        assert o.base_url is not None
        return ServerWriter(
            o.base_url,
            o.writer,
            names,
            key_variable=o.api_key_variable,
            seed=o.seed,
            max_length=o.max_length or LONGEST,
            temperature=o.temperature,
            top_p=o.top_p,
        )
    tree = None
    if o.training_words_only:
        encode = adapters.texts
        tree = WordTree.of(texts, encode, segmenter, encode.prefix_of(names[0]))
    if o.prompting:
        return PromptWriter(
            adapters.model,
            adapters.tokenizer,
            o.writer,
            names,
            seed=o.seed,
            tree=tree,
            max_length=adapters.max_length,
            temperature=o.temperature,
            top_k=o.top_k,
            top_p=o.top_p,
        )
    return AdapterWriter(
        adapters,
        seed=o.seed,
        tree=tree,
        latents=latents,
        guidance=o.guidance,
        temperature=o.temperature,
        top_k=o.top_k,
        top_p=o.top_p,
    )


def journaled(o: LanguageModelOversampler, writer: Writer) -> Writer:
    """A writer that keeps its drafts in the oversampler's journal, if it has one."""
    if o.journal is None:
        return writer
    # all that drafts are a function of, beside their requests
    params = {k: v for k, v in o.get_params().items() if k not in NOT_OF_DRAFTS}
    identity = [params, o.digest_, o.label_names_, o.training_, o.latents_digest_]
    chunk = writer.concurrency if isinstance(writer, ServerWriter) else JOURNAL_CHUNK
    return JournaledWriter(writer, o.journal, identity, chunk)
