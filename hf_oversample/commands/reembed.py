"""One re-embedding run: a data set in; an encoder, a classifier, triplets and a record out."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from datasets import DatasetDict

from hf_oversample.commands.encoder import ChosenEncoder, chosen_encoder, the_same_everywhere
from hf_oversample.commands.outcome import SHOWN, Outcome
from hf_oversample.commands.output import OutputFolder
from hf_oversample.commands.record import circumstances, license_of_rows
from hf_oversample.commands.reembed_arguments import ReembedRunArguments
from hf_oversample.commands.reembed_data import read_reembed_data
from hf_oversample.comparison.fold import Fold
from hf_oversample.comparison.scores import Scores, cell_metrics
from hf_oversample.hub.reembedding_card import PARTS, reembedding_card
from hf_oversample.hub.tables import metrics_table
from hf_oversample.text.words import Segmenter
from hf_oversample.training.accelerator import process_state
from hf_oversample.training.averaging import Averaged, average
from hf_oversample.training.reembedder import Reembedded, Reembedder
from hf_oversample.training.reembedding_files import save_classifier, save_encoder, triplets
from hf_oversample.training.reembedding_heads import averaged_scores

FORMAT = 2


class ReembedRun:
    """
    A run whose data and encoder are found.

    Raises:
        FileExistsError: `output_dir` holds a finished run and `overwrite` is not set.
        ValueError: as `read_reembed_data`; or there is no pretrained encoder.
    """

    def __init__(self, arguments: ReembedRunArguments) -> None:
        a = self.arguments = arguments
        self.timings: dict[str, float] = {}
        self.output = OutputFolder(a.output_dir, overwrite=a.overwrite)
        with self.timed("data"):
            self.data = read_reembed_data(a)
        train = self.data.texts["train"].texts
        self.encoder: ChosenEncoder = the_same_everywhere(
            lambda: chosen_encoder(a.encoder_name, a.encoder_revision, self.data.language, train)
        )
        if self.encoder.name is None:
            raise ValueError(
                "re-embedding fine-tunes a pretrained encoder, and there is none "
                f"({self.encoder.why}): name one with --encoder_name, a folder or a name on the "
                "Hub."
            )

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Adds what is done in it to `timings`."""
        start = time.perf_counter()
        yield
        self.timings[name] = round(time.perf_counter() - start, 2)

    def new_reembedder(self, output_dir: Path | None = None, **changes: Any) -> Reembedder:
        """What trains, with some of its arguments changed."""
        return Reembedder(
            str(self.encoder.name),
            class_names=self.data.class_names,
            target_classes=self.data.targets,
            arguments=replace(self.arguments.training, **changes),
            pooling=self.arguments.pooling,
            output_dir=output_dir,
        )

    def averaged(self, reembedded: Reembedded) -> Averaged | None:
        """The mean of three models, where it is asked for. The plain ones write no checkpoints: a
        run that goes on trains them anew."""
        if not self.arguments.average:
            return None
        with self.timed("plain members"):
            return average(
                reembedded,
                # plain means plain: a head from nothing, and weights as training leaves them
                lambda **changes: self.new_reembedder(
                    **changes, save_steps=0, interpolate=False, head_first=False
                ),
                self.data.texts["train"],
                self.data.texts["validation"],
            )

    def measured(
        self, reembedded: Reembedded, averaged: Averaged | None
    ) -> dict[str, dict[str, float]]:
        """Of test rows, with what validation rows chose: the frozen encoder's balanced logistic
        regression, the re-embedded classifier, the plain one where it is trained, and means."""
        texts, a = self.data.texts, self.arguments
        if not {"validation", "test"} <= set(texts):
            return {}
        held = [texts["validation"].texts, texts["test"].texts]
        chosen, new = reembedded.record["coefficient"], [reembedded.logits(one) for one in held]
        after = {name: value.clone() for name, value in reembedded.model.state_dict().items()}
        reembedded.model.load_state_dict(reembedded.before)
        frozen = [reembedded.frozen_head.logits(reembedded.embed(one)) for one in held]
        reembedded.model.load_state_dict(after)
        arms = {
            "frozen encoder, balanced logistic regression": frozen,
            f"re-embedded ({a.training.objective}, weights {chosen:g})": new,
            "mean of both": averaged_scores(frozen, new),
        }
        if averaged is not None:
            scores = [averaged.plain.logits(one) for one in held]
            rate = averaged.record["plain_learning_rate"]
            arms[f"plain fine-tuning (rate {rate:g})"] = scores
            arms["mean of plain, re-embedded and frozen"] = averaged_scores(scores, new, frozen)
        fold = Fold(
            texts["train"],
            texts["validation"],
            texts["test"],
            self.data.class_names,
            Segmenter(self.data.language),
            minority=self.data.targets[0] if len(self.data.targets) == 1 else -1,
        )
        return {
            name: cell_metrics(fold, Scores.of_logits(scores[0], scores[1]))
            for name, scores in arms.items()
        }

    def record(
        self,
        reembedded: Reembedded,
        averaged: Averaged | None,
        metrics: dict[str, Any],
        number: int,
    ) -> dict[str, Any]:
        """What `run.json` holds."""
        a, names = self.arguments, self.data.class_names
        return {
            "format": FORMAT,
            "kind": "reembedding",
            "arguments": asdict(a),
            **circumstances(),
            "seed": a.training.seed,
            "data": {
                "name": self.data.name,
                "rows": sum(map(len, self.data.texts.values())),
                "language": self.data.language,
                "license": license_of_rows(a.license, a.demo),
                "text_column": a.text_column,
                "label_column": a.label_column,
                "splits": {part: len(some) for part, some in self.data.texts.items()},
                "classes": dict(
                    Counter(names[c] for c in self.data.texts["train"].labels.tolist())
                ),
                "anchors": 0 if self.data.anchors is None else len(self.data.anchors),
            },
            "encoder": self.encoder.to_dict(),
            "reembedding": reembedded.record,
            "average": None if averaged is None else averaged.record,
            "triplets": number,
            "metrics": metrics,
            "timings": self.timings,
        }


def run_reembed(
    arguments: ReembedRunArguments, resume_from_checkpoint: str | None = None
) -> dict[str, Any]:
    """
    Fine-tune an encoder on difficult texts and their neighbours, and measure it.

    Writes to `output_dir`: `classifier/`, `encoder/`, `triplets/` (each with a card), `table.md`
    and, last, `run.json`. Each is written beside its place and then renamed.

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
    with run.timed("training"):
        reembedded = run.new_reembedder(run.output.path).fit(
            texts["train"],
            texts.get("validation"),
            anchors,
            resume_from_checkpoint=run.output.checkpoint(resume_from_checkpoint),
        )
    averaged = run.averaged(reembedded)
    if not process_state().is_main_process:
        return {}
    with run.timed("evaluation"):
        metrics = run.measured(reembedded, averaged)
    made = triplets(
        reembedded,
        texts["train"],
        anchors,
        per_text=a.triplets_per_text,
        anchor_share=a.training.anchor_share,
        seed=a.training.seed,
    )
    record = run.record(reembedded, averaged, metrics, len(made))
    with run.output.folder("classifier") as folder:
        save_classifier(averaged or reembedded, folder)
    with run.output.folder("encoder") as folder:
        save_encoder(reembedded, folder)
    with run.output.folder("triplets") as folder:
        DatasetDict({"train": made}).save_to_disk(folder)
        made.to_parquet(str(folder / "train.parquet"))
    write_pages(run.output, record)
    text = json.dumps(record, indent=2, ensure_ascii=False)
    run.output.write("run.json", text + "\n")
    run.output.remove_checkpoints()
    return record


def write_pages(output: OutputFolder, record: dict[str, Any]) -> None:
    """The table and the cards of a run, from its record alone."""
    output.write("table.md", table_of(record) + "\n")
    for part in PARTS:
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
    return "\n".join(
        [
            f"Rare texts that other classes outvote among their neighbours, before: {hard}. "
            f"Weights: {found['coefficient']:g} of the fine-tuned ones.",
            "",
            table_of(record),
            "",
            f"The classifier: {folder / 'classifier'}"
            + (", the mean of plain, re-embedded and frozen" if record["average"] else ""),
            f"The encoder:    {folder / 'encoder'}",
            f"Triplets:       {folder / 'triplets'} ({record['triplets']})",
            f"Seconds: {seconds}",
        ]
    )


def reembed(arguments: ReembedRunArguments, resume: str | None = None) -> Outcome | None:
    """What `hf-oversample reembed` does; None in processes other than the main one."""
    record = run_reembed(arguments, resume)
    if not record:
        return None
    folder = Path(arguments.output_dir)
    hints = [
        f'Python: SentenceTransformer("{folder / "encoder"}")',
        "against plain fine-tuning, on folds: hf-oversample compare ... --classifiers finetune "
        "--methods none,re-embedding,plain-+-re-embedding-+-frozen,plain-+-plain",
    ]
    return Outcome(record, reembed_summary(record, folder), hints)


def plan_reembed(arguments: ReembedRunArguments) -> Outcome:
    """
    Read and check the data, and say what would be trained.

    Raises:
        ValueError: as the run itself, for data that it would refuse.
    """
    run = ReembedRun(arguments)
    a, data = arguments.training, run.data
    rows = {part: len(some) for part, some in data.texts.items()}
    rare = {
        data.class_names[code]: int((data.texts["train"].labels == code).sum())
        for code in data.targets
    }
    number = (a.rare_rows + a.majority_rows) * a.is_contrastive + a.batch_size * a.trains_head
    record = {
        "rows": rows,
        "rare": rare,
        "anchors": 0 if data.anchors is None else len(data.anchors),
        "encoder": run.encoder.to_dict(),
        "steps": a.steps,
        "texts_a_step": number,
        "output_dir": arguments.output_dir,
    }
    return Outcome(
        record,
        f"would fine-tune {run.encoder.to_dict()['name']} for {a.steps} steps of {number} texts "
        f"({a.objective}) and write to {arguments.output_dir}.\nRows: {rows}; rare classes in "
        f"training: {rare}; made texts: {record['anchors']}.",
    )
