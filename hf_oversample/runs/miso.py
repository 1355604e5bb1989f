"""One MISO run: a data set in; a generator, a balanced data set, a record and a table out."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from hf_oversample.comparison.fold import Fold
from hf_oversample.comparison.miso import GivenAnchors
from hf_oversample.comparison.registry import CLASSIFIERS, classifier_named
from hf_oversample.comparison.remedies import REMEDIES
from hf_oversample.comparison.scores import cell_metrics
from hf_oversample.data import demo_encoder_path
from hf_oversample.hub.card import dataset_card, generator_card
from hf_oversample.hub.push import push_folder
from hf_oversample.oversamplers.miso import MisoOversampler
from hf_oversample.report import metrics_table
from hf_oversample.runs.arguments import MisoRunArguments
from hf_oversample.runs.data import RunData, read_data
from hf_oversample.runs.output import OutputFolder
from hf_oversample.runs.report import BalancedData, run_record, write_report
from hf_oversample.training.generator import TrainedGenerator, train_generator

__all__ = ["TrainedGenerator", "run_miso", "train_generator"]

EVALUATED = ("textcnn", "linear")

# what the table shows; run.json has every metric
SHOWN = (
    "f1",
    "macro_f1",
    "average_precision",
    "f1_tuned",
    "f1_difficult",
    "f1_other",
    "difficult_share",
)


def run_miso(
    arguments: MisoRunArguments, resume_from_checkpoint: str | None = None
) -> dict[str, Any]:
    """
    Train a generator, write the balanced data set, and measure whether it helped.

    Writes to `output_dir`: `generator/`, `balanced/` (a saved data set, and parquet files),
    `run.json`, `anchors.md`, `report.png`, `table.md`. Each is written beside its place and then
    renamed.

    Args:
        arguments: the run's and the training's arguments.
        resume_from_checkpoint: a checkpoint of an interrupted run with the same arguments, or
            "last".

    Returns:
        The record, as in `run.json`; empty in processes other than the main one.

    Raises:
        FileExistsError: if `output_dir` holds a finished run and `overwrite` is not set.
        FileNotFoundError: if the last checkpoint is asked for and there is none.
        ValueError: for bad columns, labels, texts or counts; the message names column and row.
    """
    a = arguments
    output = OutputFolder(a.output_dir, overwrite=a.overwrite)
    timings: dict[str, float] = {}
    with _timed(timings, "data"):
        data = read_data(a)
    encoder_name = a.encoder_name
    if encoder_name is None and a.demo is not None and data.language == "en":
        encoder_name = str(demo_encoder_path())
    with _timed(timings, "training"):
        trained = _train(a, data, encoder_name, output, resume_from_checkpoint)
    if not trained.trainer.accelerator.is_main_process:
        return {}
    with _timed(timings, "anchors"):
        balanced = _balance(a, data, encoder_name, output)
    with _timed(timings, "evaluation"):
        metrics = _evaluate(a, data, balanced, trained, encoder_name)
    with _timed(timings, "report"):
        report = write_report(output, data, balanced, a.training.neighbors)
    record = run_record(
        a, data, trained.trainer, balanced, metrics=metrics, report=report, timings=timings
    )
    table = metrics_table(metrics, SHOWN) if metrics else "No table: evaluation_seeds is 0."
    output.write("table.md", table + "\n")
    output.write("generator/README.md", generator_card(record))
    output.write("balanced/README.md", dataset_card(record))
    output.write("run.json", json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    if a.push_to_hub and a.hub_model_id is not None:
        push_folder(output.path / "generator", a.hub_model_id)
    return record


@contextmanager
def _timed(timings: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    timings[name] = round(time.perf_counter() - start, 2)


def _train(
    a: MisoRunArguments,
    data: RunData,
    encoder_name: str | None,
    output: OutputFolder,
    resume: str | None,
) -> TrainedGenerator:
    trained = train_generator(
        data.train,
        class_names=data.class_names,
        target_classes=data.targets,
        language=data.language,
        training=a.training,
        encoder_name=encoder_name,
        encoder_revision=a.encoder_revision,
        tokenizer_kind=a.tokenizer_kind,
        validation=data.texts.get("validation"),
        output_dir=output.path,
        resume_from_checkpoint=output.checkpoint(resume),
        use_sfm=a.use_sfm,
        use_mi=a.use_mi,
        share_decoder=a.share_decoder,
        critic_mode=a.critic_mode,
        critic_bound=a.critic_bound,
    )
    if trained.trainer.accelerator.is_main_process:
        with output.folder("generator") as folder:
            trained.save(folder)
            settings = json.dumps(a.training.to_dict(), indent=2)
            (folder / "training.json").write_text(settings + "\n")
    return trained


def _balance(
    a: MisoRunArguments, data: RunData, encoder_name: str | None, output: OutputFolder
) -> BalancedData:
    oversampler = MisoOversampler(
        str(output.path / "generator"),
        embedder=encoder_name,
        sampling_strategy=a.sampling_strategy,
        seed=a.training.seed,
        anchor_share=a.anchor_share,
        max_anchors_per_source=a.max_anchors_per_source,
        realizer=a.realizer,
        guidance=a.guidance,
        use_latent=a.use_latent,
        gate=a.gate,
        k=a.training.neighbors,
        language=data.language,
        max_length=a.training.max_length,
        precision="bfloat16" if a.training.resolved_precision() == "bf16" else "float32",
    )
    balanced = BalancedData.make(oversampler, data.parts, a.text_column, a.label_column)
    with output.folder("balanced") as folder:
        balanced.parts.save_to_disk(folder)
        for split, rows in balanced.parts.items():
            rows.to_parquet(str(folder / f"{split}.parquet"))
    return balanced


def _evaluate(
    a: MisoRunArguments,
    data: RunData,
    balanced: BalancedData,
    trained: TrainedGenerator,
    encoder_name: str | None,
) -> dict[str, dict[str, float]]:
    """Classifier and remedy → metrics, the mean over seeds; nothing where no seed is asked for."""
    if not a.evaluation_seeds:
        return {}
    anchors = balanced.anchors if len(balanced.anchors) else None
    counts = None
    if anchors is not None:  # edits are as many as the anchors
        counts = np.bincount(anchors.labels, minlength=len(data.class_names))
    fold = Fold(
        data.texts["train"],
        data.texts["validation"],
        data.texts["test"],
        data.class_names,
        trained.segmenter,
        minority=data.targets[0] if len(data.class_names) == 2 else -1,
        embed=balanced.oversampler.embed,
        encoder_name=encoder_name,
        generator=GivenAnchors(anchors) if anchors is not None else None,
        edits=counts,
    )
    remedies = ["none", "class weights", "logit adjustment", "duplicates", "EDA edits"]
    if anchors is not None:
        remedies += ["anchors", "anchors once + logit adjustment"]
    runs: dict[str, list[dict[str, float]]] = {}
    for seed in range(a.evaluation_seeds):
        for kind in EVALUATED:
            classifier = classifier_named(kind, a.evaluation_steps_of_classifiers)
            for remedy in remedies:
                scores = REMEDIES[remedy].fit(fold, classifier, a.training.seed + seed)
                metrics = cell_metrics(fold, scores)
                runs.setdefault(f"{CLASSIFIERS[kind].title}: {remedy}", []).append(metrics)
        fold.cache.drop("trained")
    return {
        remedy: {
            name: float(np.mean([one[name] for one in values if name in one])) for name in values[0]
        }
        for remedy, values in runs.items()
    }
