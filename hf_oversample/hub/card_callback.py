"""A card for anyone's run of transformers' Trainer on rows that this package made."""

from __future__ import annotations

import json
import os
import platform
from collections import Counter
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from huggingface_hub import EvalResult, ModelCardData
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hf_oversample.data.whole_files import whole
from hf_oversample.hub.citations import PAPERS, citation
from hf_oversample.hub.rendering import (
    UNNAMED,
    environment_line,
    is_number,
    license_of,
    public,
    rendered,
    repository_name,
    samples_list,
)
from hf_oversample.hub.tables import markdown_table

if TYPE_CHECKING:
    from datasets import Dataset

FORMAT = 1
SAMPLES = 8
RECORD_FILE = "training_record.json"
# What says how it was trained. Tokens, paths and names of machines are not among them.
_SHOWN = (
    "learning_rate",
    "lr_scheduler_type",
    "optim",
    "weight_decay",
    "num_train_epochs",
    "max_steps",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "bf16",
    "fp16",
)
_PACKAGES = ("hf_oversample", "torch", "transformers", "datasets", "accelerate")


class CardCallback(TrainerCallback):
    """
    Keeps the record of a `Trainer`'s run, and writes a card (README.md) from it alone.

    At the end of training, and after each evaluation that follows it, the card and the record
    (`training_record.json`) are written to the run's `output_dir`, by the main process. `save`
    writes them beside a model that was saved elsewhere. `Trainer.push_to_hub` writes a card of its
    own over it: push the folder with `hf-oversample push`, which keeps this one.

    Args:
        train_dataset: what the model is trained on, before the Trainer leaves out columns. Its
            `origin` tells made rows from real ones; without it all rows are real.
        name: of the data set, for people.
        label_column, text_column: of it; texts are shown where rows were made, and only those.
        method: what made the rows, a key of `hf_oversample.hub.citations.PAPERS`; None: another.
        remedies: what else was done about the imbalance, in words, such as "logit-adjusted loss".
        base_model: what was fine-tuned, as on the Hub; default: the model's own name for itself.
        language, license: of the rows, as the Hub names them.
        show_texts: False leaves the samples out: texts of private rows do not belong on a card.

    Raises:
        ValueError: the data set lacks the label column, or the method is unknown.
    """

    def __init__(
        self,
        train_dataset: Dataset,
        *,
        name: str,
        label_column: str = "label",
        text_column: str = "text",
        method: str | None = None,
        remedies: Sequence[str] = (),
        base_model: str | None = None,
        language: str | None = None,
        license: str | None = None,
        show_texts: bool = True,
    ) -> None:
        if label_column not in train_dataset.column_names:
            raise ValueError(
                f"train_dataset has no column {label_column!r}; it has "
                f"{train_dataset.column_names}. Name the classes' column with label_column."
            )
        if method is not None and method not in PAPERS:
            raise ValueError(f"method is {method!r}; it must be one of {sorted(PAPERS)}, or None.")
        rows = train_dataset.with_format(None)
        classes = _names(rows, label_column)
        origins = ["real"] * len(rows)
        if "origin" in rows.column_names:
            origins = _names(rows, "origin")
        samples = []
        if show_texts and text_column in rows.column_names:
            samples = _samples(rows, classes, origins, text_column)
        real = [one for one, origin in zip(classes, origins, strict=True) if origin == "real"]
        self._base_model = base_model
        self.record: dict[str, Any] = {
            "format": FORMAT,
            "kind": "trainer",
            "arguments": {"method": method, "remedies": list(remedies)},
            "versions": {one: metadata.version(one) for one in _PACKAGES}
            | {"python": platform.python_version()},
            "machine": {
                "system": platform.system(),
                "processor": platform.machine(),
                "cores": os.cpu_count(),
            },
            "data": {
                "name": name,
                "rows": len(rows),
                "language": language,
                "license": license,
                "label_column": label_column,
                "text_column": text_column,
            },
            "counts": {
                "before": dict(Counter(real)),
                "after": dict(Counter(classes)),
                "origin": dict(Counter(origins)),
            },
            "samples": samples,
            "metrics": {},
        }

    # ---- what the Trainer calls

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Notes the seed, the arguments, the model and the machine."""
        model = kwargs.get("model")
        values = args.to_sanitized_dict()
        self.record["seed"] = args.seed
        self.record["arguments"] |= {one: values[one] for one in _SHOWN if one in values}
        self.record["machine"] |= {"device": str(args.device), "processes": args.world_size}
        self.record["model"] = {
            "class": type(model).__name__,
            "base_model": self._base_model or getattr(model, "name_or_path", "") or None,
        }

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Notes what was measured; a later evaluation of the same name takes its place."""
        metrics = kwargs.get("metrics") or {}
        self.record["metrics"] |= {one: float(v) for one, v in metrics.items() if is_number(v)}
        if "trained" in self.record and state.is_world_process_zero:
            self.save(str(args.output_dir))

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Writes the card and the record."""
        losses = [one["loss"] for one in state.log_history if "loss" in one]
        self.record["trained"] = {
            "steps": state.global_step,
            "epochs": round(float(state.epoch or 0), 3),
            "last_loss": losses[-1] if losses else None,
        }
        if state.is_world_process_zero:
            self.save(str(args.output_dir))

    # ---- what people call

    def save(self, folder: str | Path, repo_id: str | None = None) -> Path:
        """
        Write the card and the record to a folder, each whole or not at all.

        Args:
            folder: where the model lies, or will.
            repo_id: what a reader passes to `from_pretrained`.

        Returns: the card's path.

        Raises:
            RuntimeError: nothing has been trained yet.
        """
        text = trainer_card(self.record, repo_id)
        card, record_file = Path(folder) / "README.md", Path(folder) / RECORD_FILE
        record = json.dumps(self.record, indent=2, ensure_ascii=False) + "\n"
        for path, content in ((record_file, record), (card, text)):
            with whole(path) as scratch:
                scratch.write_text(content, encoding="utf-8")
        return card


def trainer_card(record: dict[str, Any], repo_id: str | None = None) -> str:
    """
    The card of a Trainer's run, from the record that `CardCallback` kept.

    Args:
        record: the content of `training_record.json`.
        repo_id: what a reader passes to `from_pretrained`.

    Raises:
        RuntimeError: the record is of a run that has not ended.
    """
    if "trained" not in record:
        raise RuntimeError(
            "this run has no record yet: pass the callback to Trainer(callbacks=[...]) and call "
            "train() first."
        )
    data, counts, metrics = record["data"], record["counts"], record["metrics"]
    base, method = record["model"]["base_model"], record["arguments"]["method"]
    title = f"A classifier of {data['name']}"
    results = [
        EvalResult(
            task_type="text-classification",
            task_name="Text classification",
            dataset_type=repository_name(data["name"]) or data["name"],
            dataset_name=data["name"],
            dataset_split="evaluation",
            metric_type=name.removeprefix("eval_").removeprefix("test_"),
            metric_name=f"{name}, seed {record['seed']}",
            metric_value=round(value, 6),
        )
        for name, value in metrics.items()
        if not name.endswith(("_runtime", "_per_second", "epoch"))
    ]
    head = ModelCardData(
        model_name=title,
        license=license_of(record),
        language=data["language"],
        library_name="transformers",
        pipeline_tag="text-classification",
        tags=["hf_oversample", "oversampling", "imbalanced"],
        base_model=repository_name(base),
        eval_results=results or None,
    )
    shown = {k: v for k, v in record["arguments"].items() if k not in ("method", "remedies")}
    return rendered(
        "trainer.md",
        metadata=head.to_yaml().strip(),
        name=title,
        repo_id=repo_id or UNNAMED,
        data=data,
        base=public(base),
        model=record["model"]["class"],
        method=method,
        remedies=record["arguments"]["remedies"],
        seed=record["seed"],
        trained=record["trained"],
        origin=counts["origin"],
        counts_table=markdown_table(
            ["class", "real rows", "rows trained on"],
            [(c, counts["before"].get(c, 0), n) for c, n in counts["after"].items()],
        ),
        metrics_table=markdown_table(["measure", "value"], list(metrics.items())),
        samples=samples_list(record["samples"], with_parents=False),
        license=license_of(record),
        arguments_table=markdown_table(["argument", "value"], list(shown.items())),
        environment=environment_line(record),
        citation=citation(record, method=method or "none"),
        versions=record["versions"],
    )


def _names(rows: Dataset, column: str) -> list[str]:
    """The values of a column, by name where they are codes of a ClassLabel."""
    feature, values = rows.features[column], rows[column][:]
    if hasattr(feature, "names"):
        return [feature.names[code] for code in values]
    return [str(value) for value in values]


def _samples(
    rows: Dataset, classes: list[str], origins: list[str], text_column: str
) -> list[dict[str, str]]:
    """Made texts at even distances among all of them."""
    made = [row for row, origin in enumerate(origins) if origin == "synthetic"]
    if not made:
        return []
    places = np.linspace(0, len(made) - 1, min(SAMPLES, len(made))).round().astype(int)
    chosen = [made[place] for place in places.tolist()]
    texts = rows.select(chosen)[text_column]
    return [
        {"label": classes[row], "text": str(text)} for row, text in zip(chosen, texts, strict=True)
    ]
