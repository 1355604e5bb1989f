"""One run of any oversampler: a text data set in, a balanced text data set and a record out."""

from __future__ import annotations

import importlib
import json
import os
import platform
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib import metadata
from typing import Any, Literal

import numpy as np
import torch
from accelerate import PartialState
from datasets import Dataset, DatasetDict

from hf_oversample.data import demo_encoder_path
from hf_oversample.hub.card import dataset_card
from hf_oversample.oversamplers.base import Oversampler
from hf_oversample.plan import ORIGINS
from hf_oversample.runs.data import RunData, read_data
from hf_oversample.runs.output import OutputFolder
from hf_oversample.runs.oversample_arguments import METHODS, OversampleRunArguments
from hf_oversample.runs.report import PACKAGES
from hf_oversample.training.generator import TrainedGenerator, train_generator
from hf_oversample.transforms.decode import LatentDecoder
from hf_oversample.transforms.embed import TextEmbedder

EMBEDDING_COLUMN = "embedding"


@dataclass
class _Run:
    """What a run holds while it goes."""

    arguments: OversampleRunArguments
    data: RunData
    output: OutputFolder
    encoder_name: str | None
    timings: dict[str, float] = field(default_factory=dict)
    rejections: Mapping[str, int] = field(default_factory=dict)
    trained: TrainedGenerator | None = None
    generator: str | None = None

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.timings[name] = round(time.perf_counter() - start, 2)

    @property
    def precision(self) -> Literal["float32", "bfloat16"]:
        is_half = self.arguments.training.resolved_precision() == "bf16"
        return "bfloat16" if is_half else "float32"


def run_oversample(
    arguments: OversampleRunArguments, resume_from_checkpoint: str | None = None
) -> dict[str, Any]:
    """
    Balance a text data set by any method.

    Rows of the methods of embeddings are made in a MISO generator's latent space, and decoded to
    texts; where no generator is given, one is trained first. With `embeddings_only` new rows have
    an embedding and no text.

    Writes to `output_dir`: `balanced/` (a saved data set, and a parquet file), `run.json` and,
    where one was trained, `generator/`. Each is written beside its place and then renamed.

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
    """
    a = arguments
    output = OutputFolder(a.output_dir, overwrite=a.overwrite)
    start = time.perf_counter()
    data = read_data(a)
    encoder_name = a.encoder_name
    if encoder_name is None and a.demo is not None and data.language == "en":
        encoder_name = str(demo_encoder_path())
    run = _Run(a, data, output, encoder_name, generator=a.generator)
    run.timings["data"] = round(time.perf_counter() - start, 2)
    if a.embeddings_only and encoder_name is None and a.generator is None:
        raise ValueError(
            "embeddings_only needs something that embeds: give encoder_name, or a generator."
        )
    _new_oversampler(run, generator="to be trained")  # bad keywords fail before the training
    if a.needs_generator and a.generator is None:
        with run.timed("training"):
            _train(run, resume_from_checkpoint)
    if not PartialState().is_main_process:
        return {}
    balanced = _text_rows(run) if a.method in ("random", "miso") else _embedding_rows(run)
    with output.folder("balanced") as folder:
        DatasetDict({"train": balanced}).save_to_disk(folder)
        balanced.to_parquet(str(folder / "train.parquet"))
    record = _record(run, balanced)
    output.write("balanced/README.md", dataset_card(record))
    output.write("run.json", json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    return record


def _new_oversampler(run: _Run, generator: str | None = None) -> Oversampler:
    a = run.arguments
    module, _, name = METHODS[a.method].partition(":")
    method = getattr(importlib.import_module(module), name)
    values: dict[str, Any] = {"sampling_strategy": a.sampling_strategy, "seed": a.training.seed}
    if a.method == "miso":
        values |= {
            "generator": run.generator or generator,
            "embedder": run.encoder_name,
            "guidance": a.guidance,
            "gate": a.gate,
            "max_tries": a.max_tries,
            "k": a.training.neighbors,
            "language": run.data.language,
            "max_length": a.training.max_length,
            "precision": run.precision,
        }
    try:
        return method(**(values | a.options()))
    except TypeError as error:  # an unknown keyword, or a value of another type
        raise ValueError(f"method_options {a.method_options} for {a.method}: {error}") from error


def _train(run: _Run, resume: str | None) -> None:
    a, data = run.arguments, run.data
    run.trained = train_generator(
        data.train,
        class_names=data.class_names,
        target_classes=data.targets,
        language=data.language,
        training=a.training,
        encoder_name=run.encoder_name,
        encoder_revision=a.encoder_revision,
        tokenizer_kind=a.tokenizer_kind,
        output_dir=run.output.path,
        resume_from_checkpoint=run.output.checkpoint(resume),
        use_sfm=a.use_sfm,
        use_mi=a.use_mi,
        share_decoder=a.share_decoder,
        critic_mode=a.critic_mode,
        critic_bound=a.critic_bound,
    )
    run.generator = str(run.output.path / "generator")
    if run.trained.trainer.accelerator.is_main_process:
        with run.output.folder("generator") as folder:
            run.trained.save(folder)


def _text_rows(run: _Run) -> Dataset:
    """By the methods that make texts themselves."""
    a = run.arguments
    oversampler = _new_oversampler(run)
    with run.timed("oversampling"):
        balanced = oversampler.balance(
            run.data.parts["train"], label_column=a.label_column, text_column=a.text_column
        )
    run.rejections = dict(getattr(oversampler, "rejections", None) or {})
    return balanced


def _embedding_rows(run: _Run) -> Dataset:
    """By the methods that make embeddings, and by a decoder after them."""
    a, language, text_column = run.arguments, run.data.language, run.arguments.text_column
    max_length = a.training.max_length
    decodes = not a.embeddings_only
    is_latent = decodes or run.encoder_name is None
    source = run.generator if is_latent else run.encoder_name
    assert source is not None  # checked, or trained
    embedder = TextEmbedder(
        source,
        text_column=text_column,
        embedding_column=EMBEDDING_COLUMN,
        pooling="latent" if is_latent else "mean",
        max_length=max_length,
        dtype="float32" if is_latent else run.precision,
        revision=None if is_latent else a.encoder_revision,
        language=language,
    )
    with run.timed("embedding"):
        embedded = embedder.embed_dataset(run.data.parts["train"])
    with run.timed("oversampling"):
        balanced = _new_oversampler(run).balance(
            embedded, label_column=a.label_column, embedding_column=EMBEDDING_COLUMN
        )
    if not decodes:
        return balanced
    decoder = LatentDecoder(
        source,
        embedder=run.encoder_name,
        seed=a.training.seed,
        guidance=a.guidance,
        gate=a.gate,
        max_tries=a.max_tries,
        language=language,
        precision=run.precision,
        max_length=max_length,
    )
    with run.timed("decoding"):
        decoded = decoder.decode(
            balanced,
            text_column=text_column,
            label_column=a.label_column,
            embedding_column=EMBEDDING_COLUMN,
        )
    run.rejections = dict(decoder.rejections)
    return decoded.remove_columns(EMBEDDING_COLUMN)


def _record(run: _Run, balanced: Dataset) -> dict[str, Any]:
    a, data = run.arguments, run.data
    names = data.class_names
    origin = np.asarray(balanced["origin"])
    trainer = run.trained.trainer if run.trained is not None else None
    return {
        "format": 1,
        "arguments": asdict(a) | {"training": a.training.to_dict()},
        "versions": {name: metadata.version(name) for name in PACKAGES}
        | {"python": platform.python_version()},
        "machine": {
            "system": platform.system(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "device": str(PartialState().device),
            "processes": PartialState().num_processes,
        },
        "seed": a.training.seed,
        "data": {
            "name": data.name,
            "rows": data.rows,
            "classes": dict(Counter(names[code] for code in data.train.labels.tolist())),
            "text_column": a.text_column,
            "label_column": a.label_column,
            "language": data.language,
            "imbalance_ratio": a.imbalance_ratio,
            "splits": {name: len(rows) for name, rows in data.parts.items()},
        },
        "counts": {
            "before": dict(Counter(names[code] for code in data.train.labels.tolist())),
            "after": dict(Counter(names[code] for code in balanced[a.label_column])),
            "origin": {name: int((origin == i).sum()) for i, name in enumerate(ORIGINS)},
        },
        "difficult_share": {"before": None, "after": None},  # not measured
        "losses": trainer.record.losses if trainer is not None else {},
        "rejections": dict(run.rejections),
        "timings": run.timings,
        "steps": trainer.record.steps if trainer is not None else {},
        "metrics": {},
    }
