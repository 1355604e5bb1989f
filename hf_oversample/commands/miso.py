"""One MISO run: a data set in; a generator, a balanced data set, a record and a table out."""

from __future__ import annotations

from typing import Any

import numpy as np

from hf_oversample.commands.data_checks import check_words
from hf_oversample.commands.miso_arguments import MisoRunArguments
from hf_oversample.commands.outcome import SHOWN
from hf_oversample.commands.report import BalancedData, measured, planned_anchors, write_report
from hf_oversample.commands.run import Run
from hf_oversample.comparison.fold import Fold
from hf_oversample.comparison.miso import GivenAnchors
from hf_oversample.comparison.registry import CLASSIFIERS, classifier_named
from hf_oversample.comparison.remedies import REMEDIES
from hf_oversample.comparison.scores import cell_metrics
from hf_oversample.hub.card import generator_card
from hf_oversample.hub.push import push_folder
from hf_oversample.hub.tables import metrics_table
from hf_oversample.oversamplers.miso.oversampler import MisoOversampler
from hf_oversample.training.generator import TrainedGenerator

EVALUATED = ("textcnn", "linear")


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
        FloatingPointError: if training diverged; the message names the loss.
    """
    a = arguments
    run = Run(a)
    if a.edits:
        check_words(run.data, run.segmenter, a.protection, "--realizer generate")
    oversampler = new_oversampler(run)  # bad options fail before the training
    trained = run.train_generator(resume_from_checkpoint)
    if not trained.trainer.accelerator.is_main_process:
        return {}
    with run.timed("anchors"):
        balanced = BalancedData.make(oversampler, run.data.parts, a.text_column, a.label_column)
        run.write_balanced(balanced.parts)
    with run.timed("evaluation"):
        metrics = _evaluate(run, balanced, trained)
    with run.timed("report"):
        report = write_report(run.output, run.data, balanced, a.training.neighbors)
    record = run.base_record(balanced.parts["train"])
    record["counts"]["planned_anchors"] = planned_anchors(oversampler)
    record |= measured(balanced, trained.trainer, report, metrics=metrics, timings=run.timings)
    table = metrics_table(metrics, SHOWN) if metrics else "No table: evaluation_seeds is 0."
    run.output.write("table.md", table + "\n")
    repository = a.hub_model_id if a.push_to_hub else None
    run.output.write("generator/README.md", generator_card(record, repository))
    run.write_record(record)
    if repository is not None:
        push_folder(run.trained_folder, repository)
    return record


def new_oversampler(run: Run) -> MisoOversampler:
    """The oversampler of a run's arguments; it loads nothing until it is fitted."""
    a = run.arguments
    return MisoOversampler(
        run.trained_folder,
        embedder=run.encoder_name,
        sampling_strategy=a.sampling_strategy,
        seed=a.training.seed,
        anchor_share=a.anchor_share,
        max_anchors_per_source=a.max_anchors_per_source,
        edit_share=a.edit_share,
        max_tries=a.max_tries,
        realizer=a.realizer,
        guidance=a.guidance,
        use_latent=a.use_latent,
        gate=a.gate,
        gate_quantile=a.gate_quantile,
        gate_ceiling=a.gate_ceiling,
        unknown_words=a.unknown_words,
        max_cosine=a.max_cosine,
        k=a.training.neighbors,
        protect=a.protect,
        protect_defaults=a.protect_defaults,
        user_dictionary=a.user_dictionary,
        language=run.data.language,
        max_length=a.training.max_length,
        precision=run.precision,
    )


def _evaluate(
    run: Run, balanced: BalancedData, trained: TrainedGenerator
) -> dict[str, dict[str, float]]:
    """Classifier and remedy → metrics, the mean over seeds; nothing where no seed is asked for."""
    a, data = run.arguments, run.data
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
        encoder_name=run.encoder_name,
        generator=GivenAnchors(anchors) if anchors is not None else None,
        edits=counts,
        protection=a.protection,
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
