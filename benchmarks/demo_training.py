"""A new MISO generator of the demo's SMS texts, and its trainer, for what is timed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from hf_oversample.data.demo import demo_encoder_path, demo_sms
from hf_oversample.models.miso.modeling_miso import MisoForAnchorGeneration
from hf_oversample.text.encoding import EncodedText, TextEncoder
from hf_oversample.text.words import Segmenter
from hf_oversample.training.arguments import MisoTrainingArguments
from hf_oversample.training.generator import new_generator
from hf_oversample.training.miso import MisoTrainer


@dataclass(frozen=True)
class DemoTexts:
    """Texts of the demo, encoded, with their labels `[n]` (0 ham, 1 spam)."""

    encoded: list[EncodedText]
    labels: np.ndarray
    tokenizer: PreTrainedTokenizerBase
    segmenter: Segmenter

    @classmethod
    def read(cls, number: int | None = None) -> DemoTexts:
        """The first `number` of them; all by default."""
        rows = demo_sms()[:number]
        tokenizer = AutoTokenizer.from_pretrained(str(demo_encoder_path()))
        segmenter = Segmenter("en")
        encoded = TextEncoder(tokenizer, segmenter, 64).many(rows["text"])
        return cls(encoded, np.asarray(rows["label"], np.int64), tokenizer, segmenter)

    @classmethod
    def of_length(cls, tokens: int, number: int) -> DemoTexts:
        """So many texts of about as many tokens: neighbouring ones joined, and cut."""
        rows = demo_sms()[:]
        joined = [" ".join((rows["text"] * 2)[row : row + tokens]) for row in range(number)]
        tokenizer, segmenter = cls.read(1).tokenizer, Segmenter("en")
        encoded = TextEncoder(tokenizer, segmenter, tokens).many(joined)
        return cls(encoded, np.asarray(rows["label"][:number], np.int64), tokenizer, segmenter)

    def generator(self) -> MisoForAnchorGeneration:
        """A new one, on the demo's encoder."""
        return new_generator(
            self.encoded,
            self.tokenizer,
            self.segmenter,
            class_names=["ham", "spam"],
            target_classes=[1],
            encoder_name_or_path=str(demo_encoder_path()),
        )

    def trainer(self, arguments: MisoTrainingArguments) -> MisoTrainer:
        """Of a new generator, its pairs found."""
        trainer = MisoTrainer(
            self.generator(),
            self.encoded,
            self.labels,
            arguments,
            padding=self.tokenizer.pad_token_id,
            mask_token=self.tokenizer.mask_token_id,
        )
        trainer.find_pairs()
        return trainer
