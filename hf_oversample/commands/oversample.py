"""One run of any oversampler: a text data set in, a balanced text data set and a record out."""

from __future__ import annotations

import importlib
from typing import Any

from datasets import DatasetDict

from hf_oversample.commands.balancing import BalancingRun
from hf_oversample.commands.data_checks import check_class_sizes, check_words
from hf_oversample.commands.oversample_arguments import METHODS, OversampleRunArguments
from hf_oversample.commands.writer import ChosenWriter, chosen_writer
from hf_oversample.data.row_weights import WEIGHT_COLUMN, with_prior_weights
from hf_oversample.oversamplers.anchors.shortfall import TextCounts
from hf_oversample.oversamplers.base import SYNTHETIC, Oversampler
from hf_oversample.oversamplers.language_model.oversampler import LanguageModelOversampler
from hf_oversample.oversamplers.miso.oversampler import MisoOversampler
from hf_oversample.training.accelerator import process_state

JOURNAL = "drafts.jsonl"
"""What a language model wrote so far: the same command goes on from it."""


def run_oversample(
    arguments: OversampleRunArguments, resume_from_checkpoint: str | None = None
) -> dict[str, Any]:
    """
    Balance a text data set by any method.

    Rows of the methods of embeddings are made in a MISO generator's latent space, and decoded to
    texts; where no generator is given, one is trained first. With `embeddings_only` new rows have
    an embedding and no text.

    Writes to `output_dir`: `balanced/` (a saved data set, and a parquet file), `run.json` and,
    where one was trained, `generator/`, or `writer/` of the method language_model. Each is written
    beside its place and then renamed. What a language model writes is in `drafts.jsonl` as soon as
    it is there, and a run that was stopped goes on from it, if the same command is given again.

    Args:
        arguments: the run's.
        resume_from_checkpoint: a checkpoint of an interrupted training of the generator, or "last".

    Returns:
        The record, as in `run.json`; empty in processes other than the main one.

    Raises:
        FileExistsError: if `output_dir` holds a finished run and `overwrite` is not set.
        FileNotFoundError: if the last checkpoint is asked for and there is none.
        ValueError: for bad columns, labels, texts or counts, keywords that the method does not
            have, `embeddings_only` without an encoder, or a generator of other classes.
        FloatingPointError: if the generator's training diverged; the message names the loss.
    """
    a = arguments
    run = BalancingRun(a)
    check_class_sizes(run.data, a.method)
    if a.weights and WEIGHT_COLUMN in run.data.parts["train"].column_names:
        raise ValueError(
            f"--weights writes the column {WEIGHT_COLUMN!r}, and the data have one: rename it, "
            "or leave --weights out."
        )
    if a.edits:
        instead = '--method_options \'{"realizer": "generate"}\''
        check_words(run.data, run.segmenter, a.protection, instead)
    writer = None
    if a.method == "language_model":
        writer = chosen_writer(a.writer, run.data.language, run.data.train.texts)
    # bad options fail before the training
    oversampler = new_oversampler(a, run, writer)
    decoder = run.new_decoder() if a.is_of_embeddings and not a.embeddings_only else None
    if a.trains_generator:
        run.train_generator(resume_from_checkpoint)
    if not process_state().is_main_process:
        return {}
    if a.is_of_embeddings:
        embedded = run.embed(by_generator=decoder is not None or run.encoder_name is None)
        balanced = run.balance(oversampler, embedded, decoder)
        rejections = decoder.rejections if decoder is not None else None
        made_texts = decoder.counts() if decoder is not None else None
    else:
        with run.timed("oversampling"):
            balanced = oversampler.balance(
                run.data.parts["train"], label_column=a.label_column, text_column=a.text_column
            )
        rejections, made_texts = getattr(oversampler, "rejections", None), None
        if isinstance(oversampler, MisoOversampler | LanguageModelOversampler):
            made = balanced["origin"][:].count(SYNTHETIC)
            made_texts = TextCounts.of_anchors(oversampler, made)
    written = with_prior_weights(balanced, a.label_column) if a.weights else balanced
    run.write_balanced(DatasetDict({"train": written}))
    record = run.record(balanced, made_texts, rejections, getattr(oversampler, "acceptance_", ()))
    if run.trained is not None:
        record["losses"] = run.trained.trainer.record.losses
    if isinstance(oversampler, LanguageModelOversampler) and writer is not None:
        if not oversampler.is_prompted:
            with run.output.folder("writer") as folder:
                oversampler.adapters.save(folder)
        record["writer"] = {
            **writer.to_dict(),
            "base_url": a.base_url,
            "latents_digest": oversampler.latents_digest_,
            "usage": oversampler.usage_,
            "training": oversampler.training_,
            "training_seconds": oversampler.training_seconds_,
        }
    run.write_record(record)
    return record


def new_oversampler(
    a: OversampleRunArguments, run: BalancingRun, writer: ChosenWriter | None = None
) -> Oversampler:
    """
    The oversampler of a run's arguments.

    Args:
        a: the arguments.
        run: the run.
        writer: the language model, where the method writes with one.

    Raises:
        ValueError: for a keyword that the method does not have, or a value that cannot work.
    """
    module, _, name = METHODS[a.method].partition(":")
    method = getattr(importlib.import_module(module), name)
    values: dict[str, Any] = {"sampling_strategy": a.sampling_strategy, "seed": a.training.seed}
    if a.method == "miso":
        values |= {
            "generator": run.generator,
            "embedder": run.encoder_name,
            "guidance": a.guidance,
            "gate": a.gate,
            "gate_quantile": a.gate_quantile,
            "gate_ceiling": a.gate_ceiling,
            "unknown_words": a.unknown_words,
            "max_cosine": a.max_cosine,
            "max_tries": a.max_tries,
            "k": a.training.neighbors,
            "protect": a.protect,
            "protect_defaults": a.protect_defaults,
            "user_dictionary": a.user_dictionary,
            "language": run.generator_language,
            "max_length": a.training.max_length,
            "precision": run.precision,
        }
    if a.method == "emco":
        values |= {"language": run.data.language, "user_dictionary": a.user_dictionary}
    if writer is not None:
        values |= {
            "writer": writer.name,
            "latents": a.latents,
            "embedder": run.encoder_name,
            "guidance": a.guidance,
            "gate": a.gate,
            "gate_quantile": a.gate_quantile,
            "gate_ceiling": a.gate_ceiling,
            "training_words_only": a.unknown_words == "reject",
            "max_cosine": a.max_cosine,
            "max_tries": a.max_tries,
            "k": a.training.neighbors,
            "language": run.data.language,
            "max_length": a.training.max_length,
            "prompting": a.prompting,
            "base_url": a.base_url,
            "journal": str(run.output.path / JOURNAL),
        }
    try:
        return method(**(values | a.options()))
    except TypeError as error:  # an unknown keyword, or a value of another type
        raise ValueError(f"method_options {a.method_options} for {a.method}: {error}") from error
