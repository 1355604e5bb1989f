"""Where a fold's written texts come from: a language model with adapters of its training part."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hf_oversample.comparison.fold import Fold
from hf_oversample.comparison.miso import written_for
from hf_oversample.data.labeled_texts import Texts
from hf_oversample.oversamplers.language_model.oversampler import LanguageModelOversampler


@dataclass
class LanguageModelSource:
    """Trains adapters on a fold's training part, and writes texts of its rare classes.

    Args:
        writer: of `LanguageModelOversampler`.
        called: what people call it, where that is another name: a folder differs by machine.
        options: further arguments of `LanguageModelOversampler`.
    """

    writer: str
    called: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    has_backbone = False

    def identity(self) -> str:
        """Of the model and all settings; rows and encoder are the comparison's."""
        values = json.dumps([self.called or self.writer, self.options], sort_keys=True, default=str)
        return hashlib.sha256(values.encode()).hexdigest()[:16]

    def anchors(self, fold: Fold, seed: int) -> Texts:
        """
        New texts of the fold's rare classes; repeated real rows are not among them.

        Raises:
            ValueError: none was let through; the message counts the reasons.
        """

        def make() -> Texts:
            oversampler = LanguageModelOversampler(
                self.writer,
                embedder=fold.encoder_name,
                seed=seed,
                language=fold.segmenter.language,
                **self.options,
            )
            return written_for(fold, oversampler, "the language model wrote no text that the gate")

        return fold.cache.get(("written texts", seed), make)

    def backbone(self, fold: Fold) -> Path:
        """There is none.

        Raises:
            ValueError: always.
        """
        raise ValueError("a language model that writes texts is no encoder to start from")
