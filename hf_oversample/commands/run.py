"""What every run does that has to do with a MISO generator: reading, training it, writing."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from datasets import Dataset, DatasetDict

from hf_oversample.commands.data import RunData, read_data
from hf_oversample.commands.encoder import ChosenEncoder, chosen_encoder, the_same_everywhere
from hf_oversample.commands.miso_arguments import MisoRunArguments
from hf_oversample.commands.output import OutputFolder
from hf_oversample.commands.record import run_record
from hf_oversample.hub.card import dataset_card
from hf_oversample.hub.croissant import croissant
from hf_oversample.oversamplers.miso.parts import parts_read
from hf_oversample.text.words import Segmenter
from hf_oversample.training.generator import TrainedGenerator, train_generator


class Run:
    """
    A run whose data are read, and the steps that runs share; each is taken by the run's function.

    Args:
        arguments: the run's.

    Attributes:
        output: the folder that is written to.
        data: what was read.
        segmenter: of its language, with the user's words.
        encoder: the pretrained encoder, and why it is this one.
        trained: the generator that was trained, after `train_generator`.
        timings: part of the run → seconds.

    Raises:
        FileExistsError: if `output_dir` holds a finished run and `overwrite` is not set.
        ValueError: for bad columns, labels, texts or counts (the message names column and row), or
            a revision of an encoder that is not on the Hub.
    """

    arguments: MisoRunArguments

    def __init__(self, arguments: MisoRunArguments) -> None:
        self.arguments, self.timings = arguments, dict[str, float]()
        self.output = OutputFolder(arguments.output_dir, overwrite=arguments.overwrite)
        with self.timed("data"):
            self.data: RunData = read_data(arguments)
        self.segmenter = Segmenter(self.data.language, arguments.user_dictionary)
        # one folder for all that read it: training, neighbours, gate, evaluation
        self.encoder = ChosenEncoder(None, "not needed")
        if arguments.needs_encoder:
            self.encoder = the_same_everywhere(
                lambda: chosen_encoder(
                    arguments.encoder_name,
                    arguments.encoder_revision,
                    self.data.language,
                    self.data.train.texts,
                )
            )
        self.trained: TrainedGenerator | None = None

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Adds what is done in it to `timings`."""
        start = time.perf_counter()
        yield
        self.timings[name] = round(time.perf_counter() - start, 2)

    @property
    def encoder_name(self) -> str | None:
        """The pretrained encoder's folder or name on the Hub, if there is one."""
        return self.encoder.name

    @property
    def precision(self) -> Literal["float32", "bfloat16"]:
        """Of models that are used and not trained."""
        is_half = self.arguments.training.resolved_precision() == "bf16"
        return "bfloat16" if is_half else "float32"

    @property
    def trained_folder(self) -> str:
        """Where a generator that is trained here goes."""
        return str(self.output.path / "generator")

    @property
    def parts(self) -> Literal["editor", "miso"]:
        """What of a generator is trained here: what its rows are made with, or what was asked."""
        a = self.arguments
        return parts_read(a.realizer, a.use_latent, a.gate) if a.parts == "auto" else a.parts

    def train_generator(self, resume: str | None) -> TrainedGenerator:
        """
        Train a MISO generator on the data, and write it to `trained_folder`.

        Args:
            resume: a checkpoint of an interrupted training with the same arguments, or "last".

        Raises:
            FileNotFoundError: if the last checkpoint is asked for and there is none.
            FloatingPointError: if training diverged; the message names the loss.
        """
        a, data = self.arguments, self.data
        with self.timed("training"):
            self.trained = train_generator(
                data.train,
                class_names=data.class_names,
                target_classes=data.targets,
                language=data.language,
                training=a.training,
                encoder_name=self.encoder_name,
                tokenizer_kind=a.tokenizer_kind,
                validation=data.texts.get("validation"),
                output_dir=self.output.path,
                protection=a.protection,
                user_dictionary=self.segmenter.user_dictionary,
                resume_from_checkpoint=self.output.checkpoint(resume),
                parts=self.parts,
                edits=a.edits,
                use_sfm=a.use_sfm,
                use_mi=a.use_mi,
                share_decoder=a.share_decoder,
                critic_mode=a.critic_mode,
                critic_bound=a.critic_bound,
            )
            if self.trained.trainer.accelerator.is_main_process:
                with self.output.folder("generator") as folder:
                    self.trained.save(folder)
                    settings = json.dumps(a.training.to_dict(), indent=2)
                    (folder / "training.json").write_text(settings + "\n")
        return self.trained

    def write_balanced(self, parts: DatasetDict) -> None:
        """Write `balanced/`: a saved data set, and a parquet file for each part."""
        with self.output.folder("balanced") as folder:
            parts.save_to_disk(folder)
            for name, rows in parts.items():
                rows.to_parquet(str(folder / f"{name}.parquet"))

    def base_record(self, balanced: Dataset) -> dict[str, Any]:
        """The part of the run's record that is the same for every run, with its encoder."""
        base = run_record(self.arguments, self.data, balanced)
        return base | {"encoder": self.encoder.to_dict()}

    def write_record(self, record: dict[str, Any]) -> None:
        """Write the data set's card and, last, `run.json`, which says that the run is finished;
        no checkpoint is left then."""
        write_dataset_pages(self.output, record)
        self.output.write("run.json", json.dumps(record, indent=2, ensure_ascii=False) + "\n")
        self.output.remove_checkpoints()


def write_dataset_pages(
    output: OutputFolder, record: dict[str, Any], folder: str = "balanced"
) -> None:
    """What lies beside the rows in `folder`: their card, and the same for programs."""
    output.write(f"{folder}/README.md", dataset_card(record))
    about = croissant(record, sorted((output.path / folder).glob("*.parquet")))
    text = json.dumps(about, indent=2, ensure_ascii=False)
    output.write(f"{folder}/croissant.json", text + "\n")
