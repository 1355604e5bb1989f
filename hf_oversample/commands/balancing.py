"""A run that balances: texts to embeddings, an oversampler's rows to texts, and the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from datasets import Dataset

from hf_oversample.commands.balancing_arguments import BalancingRunArguments
from hf_oversample.commands.messages import note
from hf_oversample.commands.run import Run
from hf_oversample.commands.screen import screen_of
from hf_oversample.oversamplers.anchors.shortfall import TextCounts
from hf_oversample.oversamplers.base import Oversampler
from hf_oversample.oversamplers.miso.latent_decoder import LatentDecoder
from hf_oversample.text.words import Language
from hf_oversample.training.generator import TrainedGenerator
from hf_oversample.transforms.embed import TextEmbedder

EMBEDDING_COLUMN = "embedding"


class BalancingRun(Run):
    """
    A run with a MISO generator that is given, or will be trained, or with an encoder alone.

    Args:
        arguments: the run's.

    Attributes:
        generator: the generator's folder or name; it may still have to be trained.

    Raises:
        FileExistsError, ValueError: as `Run`; ValueError for `embeddings_only` without anything
            that embeds.
    """

    arguments: BalancingRunArguments

    def __init__(self, arguments: BalancingRunArguments) -> None:
        super().__init__(arguments)
        self.generator = self.trained_folder if arguments.trains_generator else arguments.generator
        if arguments.embeddings_only and self.encoder_name is None and self.generator is None:
            raise ValueError(
                "embeddings_only needs something that embeds: give encoder_name, or a generator."
            )

    @property
    def parts(self) -> Literal["editor", "miso"]:
        """What of a generator the method reads."""
        return self.arguments.parts_read

    def train_generator(self, resume: str | None) -> TrainedGenerator:
        """As `Run.train_generator`; says so where an earlier run's generator could be used."""
        if resume is None and (Path(self.trained_folder) / "training.json").exists():
            note(
                f"{self.trained_folder} is there from an earlier run and is trained anew; "
                f"--generator {self.trained_folder} would use it."
            )
        return super().train_generator(resume)

    @property
    def generator_language(self) -> Language | None:
        """Of a generator that is given, what was asked for by name, else its own; None is that."""
        a = self.arguments
        return self.data.language if a.trains_generator else a.language

    def new_decoder(self) -> LatentDecoder:
        """
        What writes the texts of rows in the generator's latent space; it loads nothing yet.

        Raises:
            ValueError: for an unknown gate, a quantile outside 0 … 1, or less than one try.
        """
        a = self.arguments
        assert self.generator is not None  # given, or to be trained
        return LatentDecoder(
            self.generator,
            embedder=self.encoder_name,
            seed=a.training.seed,
            guidance=a.guidance,
            gate=a.gate,
            gate_quantile=a.gate_quantile,
            gate_ceiling=a.gate_ceiling,
            unknown_words=a.unknown_words,
            max_cosine=a.max_cosine,
            max_tries=a.max_tries,
            language=self.generator_language,
            precision=self.precision,
            max_length=a.training.max_length,
        )

    def embed(self, *, by_generator: bool) -> Dataset:
        """The training rows with their embeddings: the generator's latents, or the encoder's."""
        a = self.arguments
        source = self.generator if by_generator else self.encoder_name
        assert source is not None  # checked, or trained
        embedder = TextEmbedder(
            source,
            text_column=a.text_column,
            embedding_column=EMBEDDING_COLUMN,
            pooling="latent" if by_generator else "mean",
            max_length=a.training.max_length,
            dtype="float32" if by_generator else self.precision,
            language=self.generator_language,
        )
        with self.timed("embedding"):
            return embedder.embed_dataset(self.data.parts["train"])

    def balance(
        self, oversampler: Oversampler, embedded: Dataset, decoder: LatentDecoder | None
    ) -> Dataset:
        """Embedded rows with new ones: with texts by a decoder, or else with embeddings."""
        a = self.arguments
        with self.timed("oversampling"):
            balanced = oversampler.balance(
                embedded, label_column=a.label_column, embedding_column=EMBEDDING_COLUMN
            )
        if decoder is None:
            return balanced
        with self.timed("decoding"):
            decoded = decoder.decode(
                balanced,
                text_column=a.text_column,
                label_column=a.label_column,
                embedding_column=EMBEDDING_COLUMN,
            )
        return decoded.remove_columns(EMBEDDING_COLUMN)

    def record(
        self,
        balanced: Dataset,
        made_texts: TextCounts | None,
        rejections: Mapping[str, int] | None,
        acceptance: Sequence[Mapping[str, Any]] = (),
    ) -> dict[str, Any]:
        """
        The record of a run that measures nothing, as `run.json` holds it but for what the method
        adds: its losses, for one.

        Args:
            balanced: the training part.
            made_texts: what became of the texts that were asked for; None where none were.
            rejections: reason → texts that were drawn; None where none were.
            acceptance: of the methods that translate rows, `acceptance_` of `AmoOversampler`.
        """
        a, screen = self.arguments, None
        trained = self.trained.trainer.record if self.trained is not None else None
        if a.text_column in balanced.column_names and not a.embeddings_only:
            with self.timed("screen"):
                screen = screen_of(
                    balanced,
                    self.data.class_names,
                    text_column=a.text_column,
                    label_column=a.label_column,
                    language=self.data.language,
                    seed=a.training.seed,
                )
        return self.base_record(balanced) | {
            "difficult_share": {"before": None, "after": None},  # not measured
            "outvoted_share": {"before": None, "after": None},
            "losses": {},
            "rejections": dict(rejections or {}),
            "made_texts": asdict(made_texts) if made_texts is not None else None,
            "acceptance": [dict(pair) for pair in acceptance],
            "timings": self.timings,
            "steps": trained.steps if trained is not None else {},
            "cut_short": trained.cut_short if trained is not None else {},
            "metrics": {},
            "screen": screen,
        }
