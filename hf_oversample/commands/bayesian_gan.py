"""One run of the Bayesian-network GAN: texts in; balanced texts, structure, traversals out."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from datasets import Dataset, DatasetDict

from hf_oversample.commands.balancing import EMBEDDING_COLUMN, BalancingRun
from hf_oversample.commands.bayesian_gan_arguments import BayesianGanRunArguments
from hf_oversample.commands.messages import warn
from hf_oversample.data.embeddings import embedding_matrix
from hf_oversample.hub.tables import markdown_table
from hf_oversample.models.bayesian_gan.traversals import (
    Decoder,
    traversal_markdown,
    traversal_texts,
)
from hf_oversample.oversamplers.bayesian_gan import BayesianGanOversampler
from hf_oversample.oversamplers.miso.latent_decoder import LatentDecoder
from hf_oversample.training.accelerator import process_state

MOVED_TO = (-2.0, -1.0, 0.0, 1.0, 2.0)


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
        FloatingPointError: if a training diverged; the message names the term.
    """
    a = arguments
    run = BalancingRun(a)
    # bad options fail before the training
    oversampler = _new_oversampler(a)
    decoder = None if a.embeddings_only else run.new_decoder()
    if a.trains_generator:
        run.train_generator(resume_from_checkpoint)
    if not process_state().is_main_process:
        return {}
    embedded = run.embed(by_generator=run.generator is not None)
    balanced = run.balance(oversampler, embedded, decoder)
    run.write_balanced(DatasetDict({"train": balanced}))
    with run.output.folder("oversampler") as folder:
        oversampler.save_pretrained(folder)
    _write_structure(run, oversampler, a)
    with run.timed("traversals"):
        _write_traversals(run, oversampler, a, embedded, decoder)
    record = run.record(
        balanced,
        decoder.counts() if decoder is not None else None,
        decoder.rejections if decoder is not None else None,
    )
    record["arguments"] |= {"method": "bayesian_gan", "method_options": "{}"}
    record["losses"] = {"bayesian_gan": oversampler.losses_}
    record["structure"] = oversampler.structure_
    record["network"] = a.bayesian_network().to_dict()
    run.write_record(record)
    return record


def _new_oversampler(a: BayesianGanRunArguments) -> BayesianGanOversampler:
    try:
        return BayesianGanOversampler(
            structure=a.bayesian_network(),
            training=a.training_options(),
            model_options={"structure_loss": a.structure_loss} | a.size_options(),
            sampling_strategy=a.sampling_strategy,
            seed=a.training.seed,
        )
    except TypeError as error:  # a value of another type
        raise ValueError(
            f"gan_options {a.gan_options} or model_options {a.model_options}: {error}"
        ) from error


def _write_structure(
    run: BalancingRun, oversampler: BayesianGanOversampler, a: BayesianGanRunArguments
) -> None:
    found = oversampler.structure_
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
            a.bayesian_network().figure(path, weights)
    except ImportError as error:
        # The picture needs an extra; the table above says the same.
        warn(f"structure.png is left out: {error}")


def _write_traversals(
    run: BalancingRun,
    oversampler: BayesianGanOversampler,
    a: BayesianGanRunArguments,
    embedded: Dataset,
    decoder: LatentDecoder | None,
) -> None:
    if not a.traversals:
        return
    model = oversampler.generator_
    rows = embedding_matrix(embedded, EMBEDDING_COLUMN)
    texts, labels = run.data.train.texts, run.data.train.labels
    # Among all classes, with their names: a row that left its class shows it.
    known = [
        f"({run.data.class_names[label]}) {text}" for text, label in zip(texts, labels, strict=True)
    ]
    lines = ["# One variable moved, all else the same", ""]
    for code in run.data.targets:
        name = run.data.class_names[code]
        lines += [f"# {name}", ""]
        for variable in model.config.network["observed"]:
            moved = model.traverse(variable, name, MOVED_TO, n=a.traversals, seed=a.training.seed)
            found = traversal_texts(
                moved.numpy(),
                MOVED_TO,
                rows,
                known,
                _decoder_of_class(run, decoder, code),
            )
            lines.append(traversal_markdown(variable, found))
    run.output.write("traversals.md", "\n".join(lines))


def _decoder_of_class(
    run: BalancingRun, decoder: LatentDecoder | None, code: int
) -> Decoder | None:
    """Rows → texts of a class, ungated: what a traversal shows."""
    if decoder is None:
        return None
    models, names = decoder.loaded, run.data.class_names
    ids = models.class_ids(names, [code])
    other = int(np.argmax([(run.data.train.labels == c).sum() for c in range(len(names))]))
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
