"""One MISO run: a data set in; a generator, a balanced data set, a record, a report and a table out."""

from __future__ import annotations

import json
import logging
import os
import platform
import shutil
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
from datasets import DatasetDict
from transformers import AutoModel, AutoTokenizer, PreTrainedTokenizerBase

from hf_oversample.data import (
    check_text_column,
    demo_bbc,
    demo_encoder_path,
    demo_sms,
    load_text_dataset,
    make_imbalanced,
    prepare_labels,
    stratified_split,
)
from hf_oversample.encoding import TextEncoder
from hf_oversample.evaluation import Task, Texts, compare
from hf_oversample.hub.card import dataset_card, generator_card
from hf_oversample.hub.push import push_folder
from hf_oversample.metrics.texts import copy_rate, distinct_n, distinct_share, self_bleu
from hf_oversample.models.miso.modeling_miso import MisoForAnchorGeneration
from hf_oversample.neighbors import difficult_samples
from hf_oversample.oversamplers.miso import MAJORITY_ANCHOR, OWN_ANCHOR, MisoOversampler
from hf_oversample.plan import ORIGINS
from hf_oversample.report import anchors_markdown, metrics_table, projection_figure
from hf_oversample.runs.arguments import MisoRunArguments
from hf_oversample.sampling import children_per_class, class_counts
from hf_oversample.text import Segmenter, guess_language
from hf_oversample.training.arguments import MisoTrainingArguments
from hf_oversample.training.generator import load_tokenizer, new_generator
from hf_oversample.training.miso import MisoTrainer

logger = logging.getLogger(__name__)

PACKAGES = ("hf_oversample", "torch", "transformers", "datasets", "accelerate", "tokenizers", "numpy", "scikit-learn")


def run_miso(arguments: MisoRunArguments, resume_from_checkpoint: str | None = None) -> dict[str, Any]:
    """
    Train a generator, write the balanced data set, and measure whether it helped.

    Writes to `output_dir`: `generator/`, `balanced/` (a saved data set, and parquet files), `run.json`, `anchors.md`,
    `report.png`, `table.md`. Each is written beside its place and then renamed.

    Args:
        arguments: the run's and the training's arguments.
        resume_from_checkpoint: a checkpoint of an interrupted run with the same arguments, or "last".

    Returns:
        The record, as in `run.json`.

    Raises:
        FileExistsError: if `output_dir` holds a finished run and `overwrite` is not set.
        ValueError: for bad columns, labels, texts or counts; the message names column and row.
    """
    run = _Run(arguments)
    return run.execute(resume_from_checkpoint)


@dataclass
class TrainedGenerator:
    """A generator as training leaves it, with what reads and writes its texts."""

    model: MisoForAnchorGeneration
    tokenizer: PreTrainedTokenizerBase
    segmenter: Segmenter
    trainer: MisoTrainer

    def save(self, folder: str | Path) -> None:
        """Weights, configuration and tokenizer, for `from_pretrained`."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def train_generator(
    train: Texts,
    *,
    class_names: list[str],
    target_classes: list[int],
    language: str,
    training: MisoTrainingArguments,
    encoder_name: str | None = None,
    encoder_revision: str | None = None,
    tokenizer_kind: str = "bpe",
    validation: Texts | None = None,
    output_dir: str | Path | None = None,
    resume_from_checkpoint: str | Path | None = None,
    **settings: Any,
) -> TrainedGenerator:
    """
    Tokenizer, new generator, training: from labelled texts to a generator of their rare classes.

    Args:
        train: training texts.
        class_names, target_classes: the labels' names, and those that anchors are for.
        language: "en" or "zh".
        training: steps and rates.
        encoder_name: a pretrained encoder; None starts a small one from scratch, with a tokenizer
            trained on the texts (`tokenizer_kind`: "bpe" or "word"; Chinese is cut by jieba).
        encoder_revision: its revision on the Hub.
        validation: texts that the losses are evaluated on.
        output_dir: where checkpoints go.
        resume_from_checkpoint: a checkpoint to go on from.
        **settings: further fields of `MisoConfig`.
    """
    segmenter = Segmenter(language)
    tokenizer = load_tokenizer(
        train.texts,
        encoder_name_or_path=encoder_name,
        language=language,
        kind=tokenizer_kind,
        revision=encoder_revision,
    )
    encoder = TextEncoder(tokenizer, segmenter, training.max_length)
    encoded = encoder.many(train.texts)
    model = new_generator(
        encoded,
        tokenizer,
        segmenter,
        class_names=class_names,
        target_classes=target_classes,
        encoder_name_or_path=encoder_name,
        revision=encoder_revision,
        seed=training.seed,
        **settings,
    )
    trainer = MisoTrainer(
        model,
        encoded,
        train.labels,
        training,
        padding=tokenizer.pad_token_id,
        mask_token=tokenizer.mask_token_id,
        encoder_is_pretrained=encoder_name is not None,
        validation=encoder.many(validation.texts) if validation is not None else (),
        validation_labels=validation.labels if validation is not None else None,
        output_dir=output_dir,
    )
    trainer.train(resume_from_checkpoint=resume_from_checkpoint)
    return TrainedGenerator(model, tokenizer, segmenter, trainer)


class _Run:
    def __init__(self, arguments: MisoRunArguments):
        self.arguments = arguments
        self.output = Path(arguments.output_dir)
        if (self.output / "run.json").exists() and not arguments.overwrite:
            raise FileExistsError(
                f"{self.output} holds a finished run (run.json). Choose another output_dir, or pass --overwrite."
            )
        self.timings: dict[str, float] = {}

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.timings[name] = round(time.perf_counter() - start, 2)

    def execute(self, resume: str | None) -> dict[str, Any]:
        a = self.arguments
        self.output.mkdir(parents=True, exist_ok=True)
        with self.timed("data"):
            self.read()
        with self.timed("training"):
            trainer = self.train(resume)
        if not trainer.accelerator.is_main_process:
            return {}
        with self.timed("anchors"):
            self.balance()
        with self.timed("evaluation"):
            metrics = self.evaluate()
        with self.timed("report"):
            quality = self.report()
        record = self.record(trainer, metrics, quality)
        self._write_text("table.md", metrics_table(metrics) + "\n" if metrics else "No table: evaluation_seeds is 0.\n")
        cards = (("generator", generator_card(record)), ("balanced", dataset_card(record)))
        for folder, card in cards:
            self._write_text(f"{folder}/README.md", card)
        self._write_text("run.json", json.dumps(record, indent=2, ensure_ascii=False) + "\n")
        if a.push_to_hub and a.hub_model_id is not None:
            push_folder(self.output / "generator", a.hub_model_id)
        return record

    # ---- data

    def read(self) -> None:
        a = self.arguments
        if a.demo == "sms":
            dataset, name = demo_sms(), "SMS Spam Collection (demo)"
        elif a.demo == "bbc":
            dataset, name = demo_bbc(), "BBC News (demo)"
        else:
            dataset = load_text_dataset(
                dataset_name=a.dataset_name,
                dataset_config=a.dataset_config,
                train_file=a.train_file,
                revision=a.revision,
            )
            name = a.dataset_name or Path(str(a.train_file)).stem
        for column in (a.text_column, a.label_column):
            if column not in dataset.column_names:
                raise ValueError(
                    f"The data set {name} has no column {column!r}; it has {dataset.column_names}. Name yours with "
                    "--text_column and --label_column."
                )
        check_text_column(dataset, a.text_column)
        dataset = prepare_labels(dataset, a.label_column)
        self.class_names = list(dataset.features[a.label_column].names)
        if a.imbalance_ratio is not None:
            minority = self.class_names.index(a.minority_class) if a.minority_class in self.class_names else None
            if a.minority_class is not None and minority is None:
                raise ValueError(f"minority_class is {a.minority_class!r}; the classes are {self.class_names}.")
            dataset = make_imbalanced(
                dataset, a.label_column, a.imbalance_ratio, minority=minority, seed=a.training.seed
            )
        self.name, self.dataset = name, dataset
        self.language = a.language or guess_language(dataset[a.text_column][:])
        if a.evaluation_seeds:
            shares = (1 - a.validation_share - a.test_share, a.validation_share, a.test_share)
            parts = stratified_split(dataset, a.label_column, a.text_column, shares, a.training.seed)
            self.parts = DatasetDict(dict(zip(("train", "validation", "test"), parts, strict=True)))
        else:  # nothing is measured: every row is for training
            self.parts = DatasetDict({"train": dataset})
        self.train_texts = list(self.parts["train"][a.text_column])
        self.labels = np.asarray(self.parts["train"][a.label_column], np.int64)
        counts = class_counts(self.labels, names=self.class_names)
        self.children = children_per_class(a.sampling_strategy, counts, self.class_names)
        self.targets = sorted(code for code, number in self.children.items() if number)
        if not self.targets:
            raise ValueError(f"The classes have {counts} rows: there is nothing to balance.")

    # ---- training

    def train(self, resume: str | None) -> MisoTrainer:
        a, t = self.arguments, self.arguments.training
        encoder_name = a.encoder_name
        if encoder_name is None and a.demo is not None and self.language == "en":
            encoder_name = str(demo_encoder_path())
        self.encoder_name = encoder_name
        validation = None
        if "validation" in self.parts:
            rows = self.parts["validation"]
            validation = Texts(
                list(rows[a.text_column]), np.asarray(rows[a.label_column], np.int64)
            )
        trained = train_generator(
            Texts(self.train_texts, self.labels),
            class_names=self.class_names,
            target_classes=self.targets,
            language=self.language,
            training=t,
            encoder_name=encoder_name,
            encoder_revision=a.encoder_revision,
            tokenizer_kind=a.tokenizer_kind,
            validation=validation,
            output_dir=self.output,
            resume_from_checkpoint=self._checkpoint(resume),
            use_sfm=a.use_sfm,
            use_mi=a.use_mi,
            share_decoder=a.share_decoder,
            critic_mode=a.critic_mode,
            critic_bound=a.critic_bound,
        )
        trainer = trained.trainer
        if trainer.accelerator.is_main_process:
            with self._replaced("generator") as folder:
                trained.save(folder)
                (folder / "training.json").write_text(json.dumps(t.to_dict(), indent=2) + "\n")
        self.segmenter = trained.segmenter
        return trainer

    def _checkpoint(self, resume: str | None) -> Path | None:
        if resume is None:
            return None
        if resume != "last":
            return Path(resume)
        found = sorted(self.output.glob("checkpoint-*"), key=lambda p: int(p.name.split("-")[1]))
        if not found:
            raise FileNotFoundError(f"There is no checkpoint in {self.output} to resume from; set --save_steps.")
        return found[-1]

    # ---- anchors

    def balance(self) -> None:
        a = self.arguments
        self.oversampler = MisoOversampler(
            str(self.output / "generator"),
            embedder=self.encoder_name,
            sampling_strategy=a.sampling_strategy,
            seed=a.training.seed,
            anchor_share=a.anchor_share,
            max_anchors_per_source=a.max_anchors_per_source,
            realizer=a.realizer,
            guidance=a.guidance,
            use_latent=a.use_latent,
            gate=a.gate,
            k=a.training.neighbors,
            language=self.language,
            max_length=a.training.max_length,
            precision="bfloat16" if a.training.resolved_precision() == "bf16" else "float32",
        )
        self.balanced = self.oversampler.balance(
            self.parts, label_column=a.label_column, text_column=a.text_column
        )
        with self._replaced("balanced") as folder:
            self.balanced.save_to_disk(folder)
            for split, rows in self.balanced.items():
                rows.to_parquet(str(folder / f"{split}.parquet"))
        train = self.balanced["train"]
        origin = np.asarray(train["origin"])
        made = train.select(np.flatnonzero(origin == ORIGINS.index("synthetic")))
        self.anchors = Texts(list(made[a.text_column]), np.asarray(made[a.label_column], np.int64))
        self.anchor_parents = np.asarray(made["parent"], np.int64)
        self.origin_counts = {name: int((origin == i).sum()) for i, name in enumerate(ORIGINS)}

    # ---- what it does to a classifier

    def evaluate(self) -> dict[str, dict[str, float]]:
        a = self.arguments
        if not a.evaluation_seeds:
            return {}
        parts = {
            name: Texts(list(rows[a.text_column]), np.asarray(rows[a.label_column], np.int64))
            for name, rows in self.parts.items()
        }
        encoder = None
        if self.encoder_name is not None:
            encoder = (AutoModel.from_pretrained(self.encoder_name), AutoTokenizer.from_pretrained(self.encoder_name))
        binary = len(self.class_names) == 2
        self.task = Task(
            parts["train"], parts["validation"], parts["test"], self.class_names, self.segmenter,
            minority=self.targets[0] if binary else None,
            anchors=self.anchors if len(self.anchors) else None,
            embed=self.oversampler.embed,
            encoder=encoder,
        )  # fmt: skip
        remedies = ["none", "class weights", "logit adjustment", "duplicates", "EDA edits"]
        if self.task.anchors is not None:
            remedies += ["anchors", "anchors once + logit adjustment"]
        runs: dict[str, list[dict[str, float]]] = {}
        for seed in range(a.evaluation_seeds):
            for kind in ("textcnn", "linear"):
                results = compare(
                    self.task,
                    classifier=kind,
                    remedies=remedies,
                    steps=a.evaluation_steps_of_classifiers,
                    seed=a.training.seed + seed,
                )
                title = {"textcnn": "TextCNN", "linear": "frozen encoder + logistic regression"}[kind]
                for remedy, metrics in results.items():
                    runs.setdefault(f"{title}: {remedy}", []).append(metrics)
        return {
            remedy: {
                name: float(np.mean([one[name] for one in values if name in one]))
                for name in values[0]
            }
            for remedy, values in runs.items()
        }

    # ---- what a person sees

    def report(self) -> dict[str, Any]:
        a = self.arguments
        embeddings = self.oversampler.embed(self.train_texts)
        found = difficult_samples(embeddings, self.labels, k=min(a.training.neighbors, len(self.labels) - 1),
                                  minority=self.targets)  # fmt: skip
        kinds = np.where(np.isin(self.labels, self.targets), "minority", "majority").astype(object)
        kinds[found.rows[found.is_difficult]] = "difficult"
        anchors = self.oversampler.embed(self.anchors.texts)
        with self._replaced_file("report.png") as path:
            projection_figure(
                np.concatenate([embeddings, anchors]) if len(anchors) else embeddings,
                [*kinds.tolist(), *["anchor"] * len(anchors)],
                path,
                title=f"{self.name}: training texts before and after MISO",
            )
        order = found.rows[np.argsort(-found.other_class_share, kind="stable")]
        by_parent: dict[int, list[str]] = {}
        for parent, text in zip(self.anchor_parents.tolist(), self.anchors.texts, strict=True):
            by_parent.setdefault(parent, []).append(text)
        shown = [row for row in order.tolist() if row in by_parent][:20]
        with self._replaced_file("anchors.md") as path:
            anchors_markdown(
                (
                    {
                        "source": self.train_texts[row],
                        "source_label": self.class_names[self.labels[row]],
                        "anchors": by_parent[row],
                    }
                    for row in shown
                ),
                path,
            )
        quality: dict[str, Any] = {"anchors": len(self.anchors)}
        if len(self.anchors):
            copies = copy_rate(self.anchors.texts, self.train_texts, language=self.language)
            quality |= {
                "exact_copies": copies.exact_rate,
                "near_copies": copies.near_rate,
                "distinct": distinct_share(self.anchors.texts),
                "distinct_2": distinct_n(self.anchors.texts, 2, language=self.language),
            }
            if len(self.anchors) > 1:
                quality["self_bleu"] = self_bleu(self.anchors.texts, language=self.language)
        self.difficult_before = found.share()
        # the same rows, with the anchors among their neighbours
        if len(anchors):
            joined = np.concatenate([embeddings, anchors])
            labels = np.concatenate([self.labels, self.anchors.labels])
            after = difficult_samples(joined, labels, k=a.training.neighbors, minority=self.targets)
            real = after.rows < len(self.labels)
            self.difficult_after = float(after.is_difficult[real].mean())
        else:
            self.difficult_after = self.difficult_before
        return quality

    def record(self, trainer: MisoTrainer, metrics: dict, quality: dict[str, Any]) -> dict[str, Any]:
        a = self.arguments
        plain = {k: v for k, v in asdict(a).items() if k != "training"}
        named = dict(enumerate(self.class_names))
        before = Counter(named[c] for c in self.labels.tolist())
        after = Counter(named[c] for c in self.balanced["train"][a.label_column])
        kinds = self.oversampler.fitted_plan().extra["kind"]
        return {
            "format": 1,
            "arguments": plain | {"training": a.training.to_dict()},
            "versions": {name: metadata.version(name) for name in PACKAGES} | {"python": platform.python_version()},
            "machine": {
                "system": platform.system(),
                "processor": platform.machine(),
                "cores": os.cpu_count(),
                "threads": torch.get_num_threads(),
                "device": str(trainer.accelerator.device),
                "processes": trainer.accelerator.num_processes,
            },
            "seed": a.training.seed,
            "data": {
                "name": self.name,
                "rows": len(self.dataset),
                "classes": dict(before),
                "text_column": a.text_column,
                "label_column": a.label_column,
                "language": self.language,
                "imbalance_ratio": a.imbalance_ratio,
                "splits": {name: len(rows) for name, rows in self.parts.items()},
            },
            "counts": {"before": dict(before), "after": dict(after), "origin": self.origin_counts,
                       "planned_anchors": {"own": int((kinds == OWN_ANCHOR).sum()),
                                           "majority": int((kinds == MAJORITY_ANCHOR).sum())}},
            "difficult_share": {"before": self.difficult_before, "after": self.difficult_after},
            "losses": trainer.record.losses,
            "history": trainer.record.history,
            "rejections": dict(self.oversampler.rejections or {}),
            "timings": self.timings | {f"training: {k}": round(v, 2) for k, v in trainer.record.seconds.items()},
            "steps": trainer.record.steps,
            "metrics": metrics,
            "quality": quality,
        }  # fmt: skip

    # ---- writing

    def _write_text(self, name: str, text: str) -> None:
        with self._replaced_file(name) as path:
            path.write_text(text, encoding="utf-8")

    @contextmanager
    def _replaced_file(self, name: str) -> Iterator[Path]:
        final = self.output / name
        temporary = final.with_name(f".part-{final.name}")
        yield temporary
        temporary.replace(final)

    @contextmanager
    def _replaced(self, name: str) -> Iterator[Path]:
        """A folder written beside its place and then renamed; an older one is replaced."""
        final, temporary = self.output / name, self.output / f".{name}.part"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        if final.exists():
            shutil.rmtree(final)
        temporary.rename(final)
