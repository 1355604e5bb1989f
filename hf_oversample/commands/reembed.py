"""One re-embedding run: a data set in; an encoder, a classifier, triplets and a record out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from datasets import DatasetDict

from hf_oversample.commands.outcome import SHOWN, Outcome
from hf_oversample.commands.output import OutputFolder
from hf_oversample.commands.reembed_arguments import ReembedRunArguments
from hf_oversample.commands.reembed_run import ReembedRun
from hf_oversample.hub.reembedding_card import PARTS, reembedding_card
from hf_oversample.hub.tables import metrics_table
from hf_oversample.training.accelerator import process_state
from hf_oversample.training.reembedding_arguments import ReembeddingArguments
from hf_oversample.training.reembedding_files import save_classifier, save_encoder, triplets

COMPARED = "frozen-with-n-grams,plain-+-frozen-with-n-grams,re-embedding"
"""What the hint names of the comparison's remedies."""


def run_reembed(
    arguments: ReembedRunArguments, resume_from_checkpoint: str | None = None
) -> dict[str, Any]:
    """
    Fine-tune an encoder for rare classes, and measure it.

    Writes to `output_dir`: `classifier/`, `encoder/`, `triplets/` (each with a card; of a frozen
    encoder the first alone), `table.md` and, last, `run.json`. Each is written beside its place and
    then renamed.

    Args:
        arguments: the run's.
        resume_from_checkpoint: a checkpoint of an interrupted run with the same arguments, or
            "last".

    Returns:
        The record, as in `run.json`; empty in processes other than the main one.

    Raises:
        FileExistsError: `output_dir` holds a finished run and `overwrite` is not set.
        FileNotFoundError: the last checkpoint is asked for and there is none.
        FloatingPointError: training diverged.
        ValueError: for bad columns, labels, texts, classes or options.
    """
    run = ReembedRun(arguments)
    texts, anchors, a = run.data.texts, run.data.anchors, arguments
    reembedded = run.fitted(run.output.checkpoint(resume_from_checkpoint))
    averaged = run.averaged(reembedded)
    if not process_state().is_main_process:
        return {}
    with run.timed("evaluation"):
        metrics = run.measured(reembedded, averaged)
    with run.output.folder("classifier") as folder:
        save_classifier(averaged or reembedded, folder)
    number = 0
    if not a.frozen:
        made = triplets(
            reembedded,
            texts["train"],
            anchors,
            per_text=a.triplets_per_text,
            anchor_share=a.training.anchor_share,
            seed=a.training.seed,
        )
        number = len(made)
        with run.output.folder("encoder") as folder:
            save_encoder(reembedded, folder)
        with run.output.folder("triplets") as folder:
            DatasetDict({"train": made}).save_to_disk(folder)
            made.to_parquet(str(folder / "train.parquet"))
    record = run.record(reembedded, averaged, metrics, number)
    write_pages(run.output, record)
    text = json.dumps(record, indent=2, ensure_ascii=False)
    run.output.write("run.json", text + "\n")
    run.output.remove_checkpoints()
    return record


def parts_of(record: dict[str, Any]) -> tuple[str, ...]:
    """The folders that a run writes: of a frozen encoder the classifier alone."""
    return PARTS[:1] if record["arguments"]["frozen"] else PARTS


def write_pages(output: OutputFolder, record: dict[str, Any]) -> None:
    """The table and the cards of a run, from its record alone."""
    output.write("table.md", table_of(record) + "\n")
    for part in parts_of(record):
        output.write(f"{part}/README.md", reembedding_card(record, part))


def table_of(record: dict[str, Any]) -> str:
    """The table of what was measured."""
    if not record["metrics"]:
        return "No table: validation_share or test_share is 0."
    return metrics_table(record["metrics"], SHOWN)


def reembed_summary(record: dict[str, Any], folder: Path) -> str:
    """The last lines of a run: what was trained, the table, and where it is."""
    found, share = record["reembedding"], record["reembedding"]["difficult_share"]
    hard = ", ".join(f"{100 * value:.0f} % of {name!r}" for name, value in share.items())
    seconds = ", ".join(f"{name} {value:.0f}" for name, value in record["timings"].items())
    is_frozen = record["arguments"]["frozen"]
    weights = "" if is_frozen else f" Weights: {found['coefficient']:g} of the fine-tuned ones."
    lines = [
        f"Rare texts that other classes outvote among their neighbours, before: {hard}.{weights}",
        "",
        table_of(record),
        "",
        f"The classifier: {folder / 'classifier'}"
        + (f", {_made_of(record['average'])}" if record["average"] else ""),
    ]
    if not is_frozen:
        lines += [
            f"The encoder:    {folder / 'encoder'}",
            f"Triplets:       {folder / 'triplets'} ({record['triplets']})",
        ]
    return "\n".join([*lines, f"Seconds: {seconds}"])


def _made_of(average: dict[str, Any]) -> str:
    names = average["members"]
    return f"the mean of {'; '.join(names)}" if len(names) > 1 else str(names[0])


def reembed(arguments: ReembedRunArguments, resume: str | None = None) -> Outcome | None:
    """What `hf-oversample reembed` does; None in processes other than the main one."""
    record = run_reembed(arguments, resume)
    if not record:
        return None
    folder = Path(arguments.output_dir)
    hints = [
        "against plain fine-tuning, on folds: hf-oversample compare ... --classifiers finetune "
        f"--methods none,plain-+-plain,{COMPARED}",
    ]
    if not arguments.frozen:
        hints.insert(0, f'Python: SentenceTransformer("{folder / "encoder"}")')
    steps = steps_to_read_twice(record, process_state().num_processes)
    if steps is not None:
        hints.insert(
            0,
            "cross-entropy read each training row less than twice; a rare one takes more to be "
            f"learnt (benchmarks/reembedding.md): --steps {steps}, or --balanced",
        )
    return Outcome(record, reembed_summary(record, folder), hints)


def steps_to_read_twice(record: dict[str, Any], processes: int) -> int | None:
    """Steps in which cross-entropy reads every training row twice; None where it did, or where it
    does not read all rows in turn."""
    training = ReembeddingArguments(**record["arguments"]["training"])
    steps = training.steps_of_passes(2.0, record["data"]["splits"]["train"], processes)
    is_read = (training.steps or 0) >= steps
    if record["arguments"]["frozen"] or not training.reads_all_rows or is_read:
        return None
    return steps


def plan_reembed(arguments: ReembedRunArguments) -> Outcome:
    """
    Read and check the data, and say what would be trained.

    Raises:
        ValueError: as the run itself, for data that it would refuse.
    """
    run = ReembedRun(arguments)
    a, data = arguments.training, run.data
    steps = a.of_rows(len(data.texts["train"])).steps
    rows = {part: len(some) for part, some in data.texts.items()}
    rare = {
        data.class_names[code]: int((data.texts["train"].labels == code).sum())
        for code in data.targets
    }
    record = {
        "rows": rows,
        "rare": rare,
        "anchors": 0 if data.anchors is None else len(data.anchors),
        "encoder": run.encoder.to_dict(),
        "steps": steps,
        "rates": 2 if arguments.tunes_rate else 1,
        "plain_steps": run.plain_steps,
        "averages": arguments.averages,
        "texts_a_step": a.texts_a_step,
        "output_dir": arguments.output_dir,
    }
    if arguments.frozen:
        return Outcome(
            record | {"steps": 0, "rates": 0, "texts_a_step": 0},
            f"would leave {run.encoder.to_dict()['name']} as it is, solve a head on its vectors "
            f"and on n-grams, and write to {arguments.output_dir}.\nRows: {rows}; rare classes in "
            f"training: {rare}.",
        )
    where = ", in one process" if a.steps is None else ""
    where += ", at two rates" if arguments.tunes_rate else ""
    plain = ""
    if run.plain_steps is not None:
        plain = f" (and plainly for {run.plain_steps} steps of {a.batch_size} texts, at two rates)"
    return Outcome(
        record,
        f"would fine-tune {run.encoder.to_dict()['name']} for {steps} steps of "
        f"{a.texts_a_step} texts ({a.told_objective}{where}){plain} and write to "
        f"{arguments.output_dir}.\nRows: {rows}; rare classes in training: {rare}; made texts: "
        f"{record['anchors']}.",
    )
