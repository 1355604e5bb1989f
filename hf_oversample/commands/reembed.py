"""One re-embedding run: a data set in; an encoder, a classifier, triplets and a record out."""

from __future__ import annotations

import json
import os
import platform
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from datasets import DatasetDict

from hf_oversample.commands.data import (
    check_columns,
    language_of,
    made_rare,
    minority_code,
    read_rows,
    warn_of_lookalikes,
)
from hf_oversample.commands.encoder import ChosenEncoder, chosen_encoder
from hf_oversample.commands.messages import warn
from hf_oversample.commands.outcome import SHOWN, Outcome
from hf_oversample.commands.output import OutputFolder
from hf_oversample.commands.record import PACKAGES
from hf_oversample.commands.reembed_arguments import ReembedRunArguments
from hf_oversample.comparison.fold import Fold
from hf_oversample.comparison.scores import Scores, cell_metrics
from hf_oversample.data.files import read_file
from hf_oversample.data.labeled_texts import Texts
from hf_oversample.data.reading import prepare_labels
from hf_oversample.data.splitting import stratified_split
from hf_oversample.hub.reembedding_card import PARTS, reembedding_card
from hf_oversample.hub.tables import metrics_table
from hf_oversample.oversamplers.strategy import class_counts
from hf_oversample.text.words import Language, Segmenter, normalized
from hf_oversample.training.reembedder import Reembedded, Reembedder
from hf_oversample.training.reembedding_files import save_classifier, save_encoder, triplets
from hf_oversample.training.reembedding_heads import averaged_scores

FORMAT = 1
ORIGIN_COLUMN = "origin"


@dataclass(frozen=True)
class ReembedData:
    """
    The rows of a run.

    Args:
        name: of the data set, for people.
        texts: "train", and where they are held out "validation" and "test".
        class_names: in the order of the codes.
        targets: the rare classes.
        language: of the texts.
        anchors: made texts; None where none are given.
    """

    name: str
    texts: dict[str, Texts]
    class_names: list[str]
    targets: list[int]
    language: Language
    anchors: Texts | None


def read_reembed_data(a: ReembedRunArguments) -> ReembedData:
    """
    Read, check and split the rows of a run.

    Raises:
        ValueError: for a missing column, a bad text or label, an unknown class, classes of one size
            with none named, or a rare class without rows in one of the parts.
    """
    name = a.dataset_name or Path(str(a.train_file)).stem
    if a.demo is not None:
        name = {"sms": "SMS Spam Collection (demo)", "bbc": "BBC News (demo)"}[a.demo]
    rows = read_rows(a)
    check_columns(rows, f"The rows of {name}", a)
    rows = prepare_labels(rows, a.label_column, strip=a.strip_labels, lowercase=a.lowercase_labels)
    names = list(rows.features[a.label_column].names)
    counts = class_counts(np.asarray(rows[a.label_column], np.int64), names=names)
    warn_of_lookalikes(counts, names)
    rows = made_rare(rows, a, minority_code(a, names))
    shares = {"train": 1 - a.validation_share - a.test_share}
    shares |= {"validation": a.validation_share, "test": a.test_share}
    wanted = {part: share for part, share in shares.items() if share > 0}
    parts = {"train": rows}
    if len(wanted) > 1:
        split = stratified_split(
            rows, a.label_column, a.text_column, tuple(wanted.values()), a.training.seed
        )
        parts = dict(zip(wanted, split, strict=True))
    texts = {part: Texts.of(some, a.text_column, a.label_column) for part, some in parts.items()}
    targets = _targets(a, texts, names)
    anchors = None if a.anchors_file is None else _anchors(a, texts, names, targets)
    return ReembedData(name, texts, names, targets, language_of(a, rows[a.text_column][:]), anchors)


def _targets(a: ReembedRunArguments, texts: dict[str, Texts], names: list[str]) -> list[int]:
    unknown = [name for name in a.target_classes if name not in names]
    if unknown:
        raise ValueError(f"target_classes has {unknown}; the classes are {names}.")
    counts = class_counts(texts["train"].labels, names=names)
    targets = [names.index(name) for name in a.target_classes]
    if not targets:
        largest = max(counts.values())
        targets = [code for code in counts if 0 < counts[code] < largest]
    if not targets:
        told = {names[code]: rows for code, rows in counts.items()}
        raise ValueError(
            f"The classes have {told} rows: none is rare. Name those to re-embed with "
            "--target_classes, or make one rare with --imbalance_ratio."
        )
    for part, some in texts.items():
        for code in targets:
            if not (some.labels == code).any():
                raise ValueError(
                    f"The class {names[code]!r} has no row in the {part} part (rows of the same "
                    "text go to the same part): add rows of it, set other shares with "
                    "--validation_share and --test_share, or leave it out of --target_classes."
                )
    return sorted(targets)


def _anchors(
    a: ReembedRunArguments, texts: dict[str, Texts], names: list[str], targets: list[int]
) -> Texts:
    """Made texts of the rare classes, without those that are texts of the data set."""
    path = Path(str(a.anchors_file))
    rows = read_file(path)
    check_columns(rows, f"The rows of {path}", a)
    if ORIGIN_COLUMN in rows.column_names:
        origin = rows.features[ORIGIN_COLUMN]
        told = rows[ORIGIN_COLUMN][:]
        kinds = [origin.int2str(one) if hasattr(origin, "int2str") else str(one) for one in told]
        rows = rows.select([row for row, kind in enumerate(kinds) if kind == "synthetic"])
    feature = rows.features[a.label_column]
    values = rows[a.label_column][:]
    classes = [feature.int2str(one) if hasattr(feature, "int2str") else str(one) for one in values]
    wanted = {names[code] for code in targets}
    strange = sorted(set(classes) - wanted)
    if strange:
        raise ValueError(
            f"{path} has texts of {strange}, and the rare classes are {sorted(wanted)}: leave "
            "them out of the file, or add them to --target_classes."
        )
    known = {normalized(text) for part in texts.values() for text in part.texts}
    made = rows[a.text_column][:]
    kept = [row for row, text in enumerate(made) if normalized(text) not in known]
    if len(kept) < len(made):
        warn(
            f"{len(made) - len(kept)} of {len(made)} rows of {path} are texts of the data set, and "
            "are left out"
        )
    if not kept:
        raise ValueError(
            f"{path} has no made text that is not a text of the data set already"
            f"{' among its synthetic rows' if ORIGIN_COLUMN in rows.column_names else ''}: leave "
            "--anchors_file out."
        )
    codes = [names.index(classes[row]) for row in kept]
    return Texts([made[row] for row in kept], np.asarray(codes, np.int64))


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
        self.encoder: ChosenEncoder = chosen_encoder(
            a.encoder_name, a.encoder_revision, self.data.language, train
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

    def new_reembedder(self) -> Reembedder:
        """What trains."""
        return Reembedder(
            str(self.encoder.name),
            class_names=self.data.class_names,
            target_classes=self.data.targets,
            arguments=self.arguments.training,
            pooling=self.arguments.pooling,
            output_dir=self.output.path,
        )

    def measured(self, reembedded: Reembedded) -> dict[str, dict[str, float]]:
        """Of test rows, with what validation rows chose: the frozen encoder's balanced logistic
        regression, the re-embedded classifier, and the mean of their standardised scores."""
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
        self, reembedded: Reembedded, metrics: dict[str, Any], number: int
    ) -> dict[str, Any]:
        """What `run.json` holds."""
        a, names = self.arguments, self.data.class_names
        return {
            "format": FORMAT,
            "kind": "reembedding",
            "arguments": asdict(a),
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
                "name": self.data.name,
                "rows": sum(map(len, self.data.texts.values())),
                "language": self.data.language,
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
        reembedded = run.new_reembedder().fit(
            texts["train"],
            texts.get("validation"),
            anchors,
            resume_from_checkpoint=run.output.checkpoint(resume_from_checkpoint),
        )
    if not PartialState().is_main_process:
        return {}
    with run.timed("evaluation"):
        metrics = run.measured(reembedded)
    made = triplets(
        reembedded,
        texts["train"],
        anchors,
        per_text=a.triplets_per_text,
        anchor_share=a.training.anchor_share,
        seed=a.training.seed,
    )
    record = run.record(reembedded, metrics, len(made))
    with run.output.folder("classifier") as folder:
        save_classifier(reembedded, folder)
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
            f"The classifier: {folder / 'classifier'}",
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
        "--methods none,re-embedding,LP-FT",
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
