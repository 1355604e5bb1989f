"""One run of the Bayesian-network GAN: texts in; balanced texts, structure, traversals out."""

from __future__ import annotations

import json
import platform
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib import metadata
from typing import Any, Literal

import numpy as np
import torch
from accelerate import PartialState
from datasets import Dataset, DatasetDict

from hf_oversample.columns import embedding_matrix
from hf_oversample.data import demo_encoder_path
from hf_oversample.hub.card import dataset_card
from hf_oversample.oversamplers.bayesian_gan import BayesianGanOversampler
from hf_oversample.plan import ORIGINS
from hf_oversample.report import markdown_table
from hf_oversample.runs.bayesian_gan_arguments import BayesianGanRunArguments
from hf_oversample.runs.data import RunData, read_data
from hf_oversample.runs.output import OutputFolder
from hf_oversample.runs.report import PACKAGES
from hf_oversample.training.generator import train_generator
from hf_oversample.transforms.decode import LatentDecoder
from hf_oversample.transforms.embed import TextEmbedder
from hf_oversample.traversals import Decoder, traversal_markdown, traversal_texts

EMBEDDING_COLUMN = "embedding"
MOVED_TO = (-2.0, -1.0, 0.0, 1.0, 2.0)


class _Run:
    """A run's steps, in the order in which `run_bayesian_gan` takes them."""

    def __init__(self, arguments: BayesianGanRunArguments) -> None:
        self.arguments, self.timings = arguments, dict[str, float]()
        self.output = OutputFolder(arguments.output_dir, overwrite=arguments.overwrite)
        with self.timed("data"):
            self.data: RunData = read_data(arguments)
        self.encoder_name = arguments.encoder_name
        if self.encoder_name is None and arguments.demo and self.data.language == "en":
            self.encoder_name = str(demo_encoder_path())
        self.generator = arguments.generator
        if arguments.embeddings_only and self.encoder_name is None and self.generator is None:
            raise ValueError(
                "embeddings_only needs something that embeds: give encoder_name, or a generator."
            )
        self.oversampler = self._new_oversampler()  # bad options fail before the training
        self.decoder: LatentDecoder | None = None

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.timings[name] = round(time.perf_counter() - start, 2)

    @property
    def precision(self) -> Literal["float32", "bfloat16"]:
        is_half = self.arguments.training.resolved_precision() == "bf16"
        return "bfloat16" if is_half else "float32"

    def _new_oversampler(self) -> BayesianGanOversampler:
        a = self.arguments
        try:
            return BayesianGanOversampler(
                structure=a.bayesian_network(),
                training=a.options("gan_options"),
                model_options={"structure_loss": a.structure_loss} | a.options("model_options"),
                sampling_strategy=a.sampling_strategy,
                seed=a.training.seed,
            )
        except TypeError as error:  # a value of another type
            raise ValueError(
                f"gan_options {a.gan_options} or model_options {a.model_options}: {error}"
            ) from error

    def train_text_generator(self, resume: str | None) -> None:
        """A MISO generator, in whose latent space the GAN works."""
        a, data = self.arguments, self.data
        trained = train_generator(
            data.train,
            class_names=data.class_names,
            target_classes=data.targets,
            language=data.language,
            training=a.training,
            encoder_name=self.encoder_name,
            encoder_revision=a.encoder_revision,
            tokenizer_kind=a.tokenizer_kind,
            output_dir=self.output.path,
            resume_from_checkpoint=self.output.checkpoint(resume),
            use_sfm=a.use_sfm,
            use_mi=a.use_mi,
            share_decoder=a.share_decoder,
            critic_mode=a.critic_mode,
            critic_bound=a.critic_bound,
        )
        self.generator = str(self.output.path / "generator")
        if trained.trainer.accelerator.is_main_process:
            with self.output.folder("generator") as folder:
                trained.save(folder)

    def embed(self) -> Dataset:
        """The training rows with their embeddings: latents, or an encoder's."""
        a = self.arguments
        is_latent = self.generator is not None
        source = self.generator or self.encoder_name
        assert source is not None  # checked, or trained
        embedder = TextEmbedder(
            source,
            text_column=a.text_column,
            embedding_column=EMBEDDING_COLUMN,
            pooling="latent" if is_latent else "mean",
            max_length=a.training.max_length,
            dtype="float32" if is_latent else self.precision,
            revision=None if is_latent else a.encoder_revision,
            language=self.data.language,
        )
        with self.timed("embedding"):
            return embedder.embed_dataset(self.data.parts["train"])

    def decode(self, balanced: Dataset) -> Dataset:
        """Texts of the rows that were made."""
        a = self.arguments
        assert self.generator is not None
        self.decoder = LatentDecoder(
            self.generator,
            embedder=self.encoder_name,
            seed=a.training.seed,
            guidance=a.guidance,
            gate=a.gate,
            max_tries=a.max_tries,
            language=self.data.language,
            precision=self.precision,
            max_length=a.training.max_length,
        )
        with self.timed("decoding"):
            decoded = self.decoder.decode(
                balanced,
                text_column=a.text_column,
                label_column=a.label_column,
                embedding_column=EMBEDDING_COLUMN,
            )
        return decoded.remove_columns(EMBEDDING_COLUMN)

    def decoder_of_class(self, code: int) -> Decoder | None:
        """Rows → texts of a class, ungated: what a traversal shows."""
        if self.decoder is None:
            return None
        models, names = self.decoder.loaded, self.data.class_names
        ids = models.class_ids(names, [code])
        other = int(np.argmax([(self.data.train.labels == c).sum() for c in range(len(names))]))
        config = models.model.config

        def decode(rows: np.ndarray) -> list[str]:
            slots = torch.from_numpy(rows.reshape(-1, config.num_latent_heads, config.latent_size))
            classes, away = (torch.full((len(rows),), int(ids[c])) for c in (code, other))
            keys = np.stack([np.arange(len(rows)), np.full(len(rows), code)], axis=1)
            assert hasattr(models.realizer, "from_latents")  # it was loaded as "generate"
            device = models.model.device
            return models.realizer.from_latents(
                slots.to(device), classes.to(device), away.to(device), keys
            )

        return decode


def run_bayesian_gan(
    arguments: BayesianGanRunArguments, resume_from_checkpoint: str | None = None
) -> dict[str, Any]:
    """
    Balance a text data set by a Bayesian-network GAN in the latent space of a MISO generator, which
    decodes its rows to texts; where none is given, one is trained first.

    Writes to `output_dir`: `balanced/` (a saved data set, and a parquet file), `oversampler/` (with
    the GAN in `oversampler/generator`), `structure.md`, `structure.png` (with the `report` extra),
    `traversals.md`, `run.json` and, where one was trained, `generator/`. Each is written beside its
    place and then renamed.

    Args:
        arguments: the run's.
        resume_from_checkpoint: a checkpoint of an interrupted training of the MISO generator, or
            "last".

    Returns:
        The record, as in `run.json`; empty in processes other than the main one.

    Raises:
        FileExistsError: if `output_dir` holds a finished run and `overwrite` is not set.
        FileNotFoundError: if the last checkpoint is asked for and there is none.
        ValueError: for bad columns, labels, texts, counts or options, `embeddings_only` without an
            encoder, or a generator of other classes.
        FloatingPointError: if the GAN's training diverged; the message names the term.
    """
    a = arguments
    run = _Run(a)
    if not a.embeddings_only and a.generator is None:
        with run.timed("training"):
            run.train_text_generator(resume_from_checkpoint)
    if not PartialState().is_main_process:
        return {}
    embedded = run.embed()
    with run.timed("oversampling"):
        balanced = run.oversampler.balance(
            embedded, label_column=a.label_column, embedding_column=EMBEDDING_COLUMN
        )
    if not a.embeddings_only:
        balanced = run.decode(balanced)
    with run.output.folder("balanced") as folder:
        DatasetDict({"train": balanced}).save_to_disk(folder)
        balanced.to_parquet(str(folder / "train.parquet"))
    with run.output.folder("oversampler") as folder:
        run.oversampler.save_pretrained(folder)
    _write_structure(run)
    with run.timed("traversals"):
        _write_traversals(run, embedded)
    record = _record(run, balanced)
    run.output.write("balanced/README.md", dataset_card(record))
    run.output.write("run.json", json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    return record


def _write_structure(run: _Run) -> None:
    found = run.oversampler.structure_
    codes = [
        [code["code"], code["r_squared"], code["variance"], code["largest_leak"]]
        for code in found["codes"]
    ]
    edges = [[edge["parent"], edge["child"], edge["weight"]] for edge in found["edges"]]
    lines = [
        "# The structure that was learnt",
        "",
        f"Fitted on {found['rows']} generated rows; log-likelihood {found['log_likelihood']:.2f} "
        "nats a row.",
        "",
        markdown_table(["code", "R² on its parents", "variance left", "largest leak"], codes),
        "",
        markdown_table(["parent", "code", "weight"], edges),
        "",
    ]
    run.output.write("structure.md", "\n".join(lines))
    weights = {(edge["parent"], edge["child"]): edge["weight"] for edge in found["edges"]}
    try:
        with run.output.file("structure.png") as path:
            run.arguments.bayesian_network().figure(path, weights)
    except ImportError as error:
        # The picture needs an extra; the table above says the same.
        print(f"structure.png is left out: {error}")


def _write_traversals(run: _Run, embedded: Dataset) -> None:
    a, model = run.arguments, run.oversampler.generator_
    if not a.traversals:
        return
    rows = embedding_matrix(embedded, EMBEDDING_COLUMN)
    texts, labels = run.data.train.texts, run.data.train.labels
    lines = ["# One variable moved, all else the same", ""]
    for code in run.data.targets:
        name, own = run.data.class_names[code], np.flatnonzero(labels == code)
        lines += [f"# {name}", ""]
        for variable in model.config.network["observed"]:
            moved = model.traverse(variable, name, MOVED_TO, n=a.traversals, seed=a.training.seed)
            found = traversal_texts(
                moved.numpy(),
                MOVED_TO,
                rows[own],
                [texts[row] for row in own],
                run.decoder_of_class(code),
            )
            lines.append(traversal_markdown(variable, found))
    run.output.write("traversals.md", "\n".join(lines))


def _record(run: _Run, balanced: Dataset) -> dict[str, Any]:
    a, data = run.arguments, run.data
    names = data.class_names
    before = dict(Counter(names[code] for code in data.train.labels.tolist()))
    origin = np.asarray(balanced["origin"])
    return {
        "format": 1,
        "arguments": asdict(a)
        | {"training": a.training.to_dict(), "method": "bayesian_gan", "method_options": "{}"},
        "versions": {name: metadata.version(name) for name in PACKAGES}
        | {"python": platform.python_version()},
        "machine": {
            "system": platform.system(),
            "processor": platform.machine(),
            "threads": torch.get_num_threads(),
            "device": str(PartialState().device),
            "processes": PartialState().num_processes,
        },
        "seed": a.training.seed,
        "data": {
            "name": data.name,
            "rows": data.rows,
            "classes": before,
            "text_column": a.text_column,
            "label_column": a.label_column,
            "language": data.language,
            "imbalance_ratio": a.imbalance_ratio,
            "splits": {name: len(rows) for name, rows in data.parts.items()},
        },
        "counts": {
            "before": before,
            "after": dict(Counter(names[code] for code in balanced[a.label_column])),
            "origin": {name: int((origin == i).sum()) for i, name in enumerate(ORIGINS)},
        },
        "difficult_share": {"before": None, "after": None},  # not measured
        "losses": {"bayesian_gan": run.oversampler.losses_},
        "structure": run.oversampler.structure_,
        "network": a.bayesian_network().to_dict(),
        "rejections": dict(run.decoder.rejections) if run.decoder is not None else {},
        "timings": run.timings,
        "steps": {},
        "metrics": {},
    }
