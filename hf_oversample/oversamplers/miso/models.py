"""The models that MISO's oversampler works with: loaded at need, and saved with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from transformers import PreTrainedTokenizerBase

from hf_oversample.models.encoders import check_max_length, load_tokenizer, longest_text
from hf_oversample.models.in_memory import folder_or_name
from hf_oversample.models.loading import load_complete
from hf_oversample.models.miso.modeling_miso import MisoForAnchorGeneration
from hf_oversample.models.miso.realizers import EditRealizer, GenerateRealizer
from hf_oversample.models.miso.realizers.common import generator_labels
from hf_oversample.numeric.workers import device_of_process, one_thread_if_forked
from hf_oversample.oversamplers.anchors.judge import LinearJudge
from hf_oversample.oversamplers.miso.critics import critic_evidence
from hf_oversample.oversamplers.miso.parts import parts_read
from hf_oversample.text.encoding import EncodedText, TextEncoder
from hf_oversample.text.user_dictionary import UserDictionary
from hf_oversample.text.words import Language, Segmenter
from hf_oversample.transforms.embed import TextEmbedder
from hf_oversample.transforms.token_vectors import embed_token_ids

LONGEST = 64
"""Tokens of the longest text, where a generator has places for more and none is asked for."""


@dataclass
class MisoModels:
    """
    A generator and what works with it.

    Args:
        model, tokenizer, segmenter: the generator and its language.
        encoder: cuts texts into its words and tokens.
        realizer: writes anchors.
        embedder: another encoder for the space of neighbours and the gate, if one is used.
    """

    model: MisoForAnchorGeneration
    tokenizer: PreTrainedTokenizerBase
    segmenter: Segmenter
    encoder: TextEncoder
    realizer: EditRealizer | GenerateRealizer
    embedder: TextEmbedder | None

    @classmethod
    def load(
        cls,
        generator: str,
        embedder: str | None,
        *,
        realizer: Literal["edit", "generate"],
        language: Language | None,
        max_length: int | None,
        precision: Literal["float32", "bfloat16"],
        user_dictionary: UserDictionary,
        edit_options: dict[str, Any],
        **options: Any,
    ) -> Self:
        """
        Load from folders or the Hub, on the process's GPU where there are some.

        Args:
            generator, embedder, realizer, language, max_length, precision, user_dictionary: of
                `MisoOversampler`; without a max_length it is 64, or less where the generator has
                fewer places.
            edit_options: further options that `EditRealizer` alone takes.
            **options: those of both realisers.

        Raises:
            ValueError: for an editor whose latents or decoders would be read; for a `max_length`
                that is more than the generator has places for.
        """
        one_thread_if_forked()
        folder = folder_or_name(generator)
        model = load_complete(MisoForAnchorGeneration, folder)
        use_latent = bool(edit_options.get("use_latent", False))
        if model.config.parts == "editor" and parts_read(realizer, use_latent) == "miso":
            asked = f"realizer={realizer!r}" if realizer != "edit" else "use_latent=True"
            raise ValueError(
                f"The generator {generator} is an editor (parts='editor'): its latents and "
                f"decoders were not trained, and {asked} reads them. Train a generator with "
                "parts='miso', or edit without latents."
            )
        model.to(device_of_process())  # type: ignore[arg-type]
        tokenizer = load_tokenizer(folder)
        if max_length is None:
            longest = longest_text(model.miso, tokenizer)
            max_length = LONGEST if longest is None else min(LONGEST, longest)
        check_max_length(max_length, generator, model.miso, tokenizer)
        language = language or model.config.language
        words = user_dictionary or model.config.user_dictionary
        segmenter = Segmenter(language, words if language == "zh" or user_dictionary else None)
        options["precision"] = precision
        writer: EditRealizer | GenerateRealizer
        if realizer == "edit":
            writer = EditRealizer(model, tokenizer, segmenter, **options, **edit_options)
        else:
            writer = GenerateRealizer(model, tokenizer, segmenter, **options)
        other = None
        if embedder is not None:
            device = str(model.device)
            other = TextEmbedder(embedder, max_length=max_length, dtype=precision, device=device)
        encoder = TextEncoder(tokenizer, segmenter, max_length)
        return cls(model, tokenizer, segmenter, encoder, writer, other)

    def class_ids(self, names: Sequence[str], written: Iterable[int]) -> np.ndarray:
        """
        The generator's label of each class, by name: `[classes]` int64.

        Args:
            names: the data set's classes, by class code.
            written: codes of the classes that texts are to be written for.

        Raises:
            ValueError: a class that the generator does not know, or was not trained to write.
        """
        return generator_labels(self.model, names, written)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """`[n, d]` float32 in the space of neighbours and the gate."""
        if self.embedder is not None:
            return self.embedder.embed(texts)
        rows = [self.encoder(text).input_ids for text in texts]
        return embed_token_ids(self.model.miso.encoder, rows, padding=self.tokenizer.pad_token_id)

    def word_pulls(
        self,
        judge: LinearJudge,
        sources: Sequence[EncodedText],
        toward: np.ndarray,
        away: np.ndarray,
    ) -> list[np.ndarray]:
        """
        How much each word of a text pulls a judge to class `toward` from class `away`.

        Args:
            judge: fitted on what `embed` gives.
            sources: n texts, as `encoder` cuts them.
            toward, away: `[n]`, class codes.

        Returns: `[words]` per text.
        """
        if self.embedder is not None:
            model, tokenizer = self.embedder.loaded
            encoder = TextEncoder(tokenizer, self.segmenter, self.encoder.max_length)
            texts = encoder.many(source.text for source in sources)
        else:
            model, tokenizer, texts = self.model.miso.encoder, self.tokenizer, list(sources)
        pulls = judge.word_pulls(model, texts, toward, away, padding=tokenizer.pad_token_id)
        # two tokenizers cut long texts at different words
        result = [np.zeros(len(source.spans)) for source in sources]
        for whole, pull in zip(result, pulls, strict=True):
            shared = min(len(whole), len(pull))
            whole[:shared] = pull[:shared]
        return result

    def check_critics(self) -> None:
        """
        Check that the generator has critics that were trained.

        Raises:
            ValueError: it has none.
        """
        config, generator = self.model.config, self.model.name_or_path
        if config.parts == "editor":
            raise ValueError(
                f"The gate asks the critics, but the generator {generator} is an "
                "editor (parts='editor'), whose critics were not trained: take 'critics' out of "
                "the gate, or train a generator with parts='miso'."
            )
        if not config.use_mi:
            raise ValueError(
                f"gate has 'critics', but the generator {generator} was trained "
                "with use_mi=False, which leaves its critics as random as they started: take "
                "'critics' out of the gate, or train a generator with use_mi=True."
            )

    def evidence(self, texts: Sequence[str], classes: np.ndarray) -> np.ndarray:
        """`critic_evidence` of texts for the generator's labels `classes` `[n]`: `[n]`, in nats."""
        rows = [self.encoder(text).input_ids for text in texts]
        return critic_evidence(self.model, rows, classes, padding=self.tokenizer.pad_token_id)

    def save(self, folder: Path) -> None:
        """`folder/generator`, and `folder/embedder` if there is one, for `from_pretrained`."""
        self.model.save_pretrained(folder / "generator")
        self.tokenizer.save_pretrained(folder / "generator")
        if self.embedder is not None:
            self.embedder.save_pretrained(folder / "embedder")
