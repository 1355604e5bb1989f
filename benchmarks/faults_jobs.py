"""The jobs that `faults.py` stops: small, real, and each goes on from what is in its folder."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import torch
from datasets import Dataset, DatasetDict, load_from_disk

from bayesian_gan_fixtures import linear_gaussian
from bayesian_gan_fixtures import trainer as bayesian_gan_trainer
from hf_oversample import AdasynOversampler, SmoteOversampler, TextEmbedder
from hf_oversample.commands.generate import generate
from hf_oversample.commands.generate_arguments import GenerateArguments
from hf_oversample.commands.output import OutputFolder
from hf_oversample.commands.run import Run
from hf_oversample.comparison.json_lines import JsonLines
from hf_oversample.comparison.problem import repeated_folds
from hf_oversample.comparison.protocol import compare
from hf_oversample.data.labeled_texts import Texts
from hf_oversample.data.whole_files import whole_folder
from hf_oversample.hub.push import push_folder
from hf_oversample.oversamplers.sharded import balance_files
from hf_oversample.training.checkpoints import checkpoints_of, damage_of
from miso_fixtures import (
    CLASS_NAMES,
    MAX_LENGTH,
    arguments,
    encoder_folder,
    make_corpus,
    make_generator,
    make_trainer,
    new_folder,
    tokenizer,
)
from oversampler_checks import case_of, make_dataset
from reembedding_fixtures import reembedder, split

Found = dict[str, list[str]]
"""Outputs that are there → digests of their rows; of a file that holds none, of its content."""


def digest(value: bytes | str) -> str:
    """Of bytes or text."""
    return hashlib.blake2b(value.encode() if isinstance(value, str) else value).hexdigest()[:24]


def files_of(folder: Path) -> Found:
    """All files of a folder, if it is there."""
    return {
        path.relative_to(folder.parent).as_posix(): [digest(path.read_bytes())]
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def rows_of_parquet(path: Path) -> list[str]:
    """Of each row, and of the bytes."""
    rows = [digest(repr(row)) for row in pq.ParquetFile(path).read(use_threads=False).to_pylist()]
    return [*rows, digest(path.read_bytes())]


class Job(ABC):
    """Something that takes a moment, and writes into a folder."""

    name: str
    grows: tuple[str, ...] = ()
    """Outputs that are added to row by row: some of their rows may be there."""

    @abstractmethod
    def run(self, folder: Path) -> None:
        """Go on to the end, from whatever is in the folder."""

    @abstractmethod
    def found(self, folder: Path) -> Found:
        """What of the outputs is there."""

    def damages(self, folder: Path) -> list[str]:
        """What is there under its name, and is not whole."""
        return []

    def settle(self) -> None:  # noqa: B027  # most jobs have none
        """Wait for processes that outlive the job's own, if there are any."""

    def close(self) -> None:  # noqa: B027
        """End what the job needs beside its runs."""


class Training(Job):
    """A training with checkpoints; its result is the weights."""

    def __init__(self) -> None:
        encoder_folder(0.1)  # made here once: its path is in a generator's configuration

    def run(self, folder: Path) -> None:
        output = OutputFolder(folder, overwrite=True)
        if (folder / "run.json").exists():
            return
        resume = output.checkpoint("last") if checkpoints_of(folder) else None
        model = self.train(folder, resume, None)
        with output.folder("model") as scratch:
            model.save_pretrained(scratch)
        output.write("run.json", "{}")
        output.remove_checkpoints()

    @abstractmethod
    def train(self, folder: Path, resume: Path | None, stop_at: int | None) -> Any:
        """The trained model."""

    def found(self, folder: Path) -> Found:
        return files_of(folder / "model") if (folder / "model").exists() else {}

    def damages(self, folder: Path) -> list[str]:
        told = {place.name: damage_of(place) for place in checkpoints_of(folder)}
        return [f"{name}: {damage}" for name, damage in told.items() if damage is not None]


class MisoTraining(Training):
    """A generator, in its three phases."""

    name = "MISO training"

    def train(self, folder: Path, resume: Path | None, stop_at: int | None) -> Any:
        texts, labels = make_corpus((24, 10))
        model = make_generator(texts)
        settings = arguments(
            pretrain_steps=3, critic_steps=2, adversarial_steps=2, save_steps=2, save_total_limit=2
        )
        trainer = make_trainer(model, texts, labels, settings, output_dir=folder)
        trainer.train(resume_from_checkpoint=resume, stop_at=stop_at)
        return model


class BayesianGanTraining(Training):
    """Both players."""

    name = "Bayesian GAN training"

    def train(self, folder: Path, resume: Path | None, stop_at: int | None) -> Any:
        rows, labels = linear_gaussian((16, 40))
        torch.manual_seed(0)
        settings = {"steps": 6, "save_steps": 2, "save_total_limit": 2}
        trainer = bayesian_gan_trainer(rows, labels, folder, arguments=settings)
        trainer.train(resume_from_checkpoint=resume, stop_at=stop_at)
        return trainer.model


class Reembedding(Training):
    """An encoder, on difficult texts."""

    name = "re-embedding"

    def train(self, folder: Path, resume: Path | None, stop_at: int | None) -> Any:
        train, validation = split((24, 12))
        made = reembedder(output_dir=folder, save_steps=2, save_total_limit=2)
        made.fit(train, validation, resume_from_checkpoint=resume, stop_at=stop_at)
        return made.trainer.model


class Generation(Job):
    """`hf-oversample generate`: anchors of the texts of a file."""

    name = "generate"

    def __init__(self) -> None:
        self.inputs = new_folder()
        texts, _ = make_corpus((12, 6))
        make_generator(texts, parts="editor").save_pretrained(self.inputs / "generator")
        tokenizer().save_pretrained(self.inputs / "generator")
        lines = [json.dumps({"text": text}) + "\n" for text in texts[:8]]
        (self.inputs / "texts.jsonl").write_text("".join(lines))

    def run(self, folder: Path) -> None:
        generate(
            GenerateArguments(
                generator=str(self.inputs / "generator"),
                output_file=str(folder / "made.jsonl"),
                train_file=str(self.inputs / "texts.jsonl"),
                overwrite=True,
            )
        )

    def found(self, folder: Path) -> Found:
        path = folder / "made.jsonl"
        return (
            {path.name: list(map(digest, path.read_text().splitlines()))} if path.exists() else {}
        )


class Balancing(Job):
    """Texts embedded and balanced by `map`, written as `hf-oversample balance` does."""

    name = "embed and balance"

    def __init__(self) -> None:
        self.rows = make_dataset((40, 14, 8)).remove_columns("embedding")

    def run(self, folder: Path) -> None:
        rows = folder / "rows"
        if not rows.exists():
            with whole_folder(rows, folder / ".rows.part") as scratch:
                self.rows.save_to_disk(scratch)
        embedder = TextEmbedder(encoder_folder(), max_length=MAX_LENGTH)
        dataset = load_from_disk(str(rows))
        assert isinstance(dataset, Dataset)
        embedded = embedder.embed_dataset(dataset)
        method = SmoteOversampler(seed=1).fit(embedded)
        balanced = embedded.map(method, batched=True, with_indices=True, batch_size=16)
        output = SimpleNamespace(output=OutputFolder(folder, overwrite=True))
        Run.write_balanced(output, DatasetDict(train=balanced))  # type: ignore[arg-type]

    def found(self, folder: Path) -> Found:
        if not (folder / "balanced").exists():
            return {}
        # a file that is mapped would keep the disk from being made read-only
        loaded = load_from_disk(str(folder / "balanced"), keep_in_memory=True)["train"]
        rows = [digest(repr(row)) for row in loaded.with_format(None).to_list()]
        return {"balanced": rows, "parquet": rows_of_parquet(folder / "balanced/train.parquet")}


class InFiles(Job):
    """`balance_files`: ADASYN from parquet files, in steps."""

    name = "balance_files"

    def __init__(self) -> None:
        self.inputs = new_folder() / "rows"
        self.inputs.mkdir()
        rows = make_dataset((60, 30, 15)).remove_columns("id")
        for number in range(3):
            part = rows.shard(3, number, contiguous=True)
            part.to_parquet(str(self.inputs / f"{number}.parquet"), batch_size=17)

    def run(self, folder: Path) -> None:
        balance_files(self.inputs, AdasynOversampler(seed=3), folder / "out", block_rows=25)

    def found(self, folder: Path) -> Found:
        return {
            path.name: rows_of_parquet(path)
            for path in sorted((folder / "out/children").glob("*.parquet"))
        }


class Comparing(Job):
    """A comparison that keeps its cells."""

    name = "compare"
    grows = ("records.jsonl",)

    def __init__(self) -> None:
        texts, labels = make_corpus((40, 14))
        rows = Texts(texts, labels)
        self.problem = repeated_folds(rows, CLASS_NAMES[:2], folds=2, language="en")

    def run(self, folder: Path) -> None:
        compare(
            self.problem,
            remedies=["duplicates", "SMOTE"],
            classifiers=["linear"],
            records=folder / "records.jsonl",
            steps=2,
        )

    def found(self, folder: Path) -> Found:
        cells = map(json.loads, JsonLines(folder / "records.jsonl").read())
        timeless = [{**cell, "seconds": 0, "shared": 0} for cell in cells]
        rows = [digest(json.dumps(cell, sort_keys=True)) for cell in timeless]
        return {"records.jsonl": rows} if rows else {}


class Recording(Job):
    """Lines of results, each kept at once."""

    name = "records"
    grows = ("lines.jsonl",)

    def run(self, folder: Path) -> None:
        lines = JsonLines(folder / "lines.jsonl")
        for number in range(len(lines.read()), 60):
            lines.append({"line": number, "text": "é" * (number * 37 % 400)})

    def found(self, folder: Path) -> Found:
        rows = [digest(line) for line in JsonLines(folder / "lines.jsonl").read()]
        return {"lines.jsonl": rows} if rows else {}


class Saving(Job):
    """Every oversampler saved, over an earlier save where there is one."""

    name = "save_pretrained"

    def __init__(self, names: Sequence[str]) -> None:
        rows = make_dataset((23, 6, 3))
        self.fitted = {name: case_of(name).fitted(rows) for name in names}

    def run(self, folder: Path) -> None:
        for name, oversampler in self.fitted.items():
            oversampler.save_pretrained(folder / name)

    def found(self, folder: Path) -> Found:
        # without its configuration, which is written last, a folder is no oversampler
        places = [folder / name for name in self.fitted if (folder / name / "config.json").exists()]
        return {name: value for place in places for name, value in files_of(place).items()}


class Pushing(Job):
    """A folder to a hub on the loopback address, over HTTP."""

    name = "push"

    def __init__(self) -> None:
        self.inputs = new_folder() / "model"
        make_generator(make_corpus((12, 6))[0], parts="editor").save_pretrained(self.inputs)
        tokenizer().save_pretrained(self.inputs)
        (self.inputs / "README.md").write_text("---\nlicense: mit\n---\nA generator.\n")

    def run(self, folder: Path) -> None:
        if not (folder / "model").exists():
            with whole_folder(folder / "model", folder / ".model.part") as scratch:
                shutil.copytree(self.inputs, scratch, dirs_exist_ok=True)
        push_folder(folder / "model", self._repository(folder))

    def found(self, folder: Path) -> Found:
        name = self._repository(folder)
        try:
            listed = json.loads(_asked(f"/api/models/{name}"))["siblings"]
        except urllib.error.HTTPError:  # there is none yet
            return {}
        paths = [one["rfilename"] for one in listed]
        return {path: [digest(_asked(f"/{name}/resolve/main/{path}"))] for path in paths}

    def _repository(self, folder: Path) -> str:
        return f"someone/{folder.name}"


def _asked(path: str) -> bytes:
    token = {"Authorization": f"Bearer {os.environ['HF_TOKEN']}"}
    request = urllib.request.Request(os.environ["HF_ENDPOINT"] + path, headers=token)
    with urllib.request.urlopen(request) as answer:
        content: bytes = answer.read()
    return content


QUICK_TO_FIT = (
    "RandomOversampler",
    "SmoteOversampler",
    "BorderlineSmoteOversampler",
    "AdasynOversampler",
    "EmcoOversampler",
)
SLOWER_TO_FIT = (
    "AmoOversampler",
    "SimporOversampler",
    "BayesianGanOversampler",
    "MisoOversampler",
    "LanguageModelOversampler",
)
JOBS = {
    "miso": MisoTraining,
    "bayesian_gan": BayesianGanTraining,
    "reembed": Reembedding,
    "generate": Generation,
    "balance": Balancing,
    "files": InFiles,
    "compare": Comparing,
    "records": Recording,
    "save": lambda: Saving(QUICK_TO_FIT),
    "save_all": lambda: Saving(SLOWER_TO_FIT),
    "push": Pushing,
}
"""Short name → what makes the job."""
