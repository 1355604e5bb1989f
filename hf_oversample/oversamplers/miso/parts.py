"""Which parts of a generator an oversampler reads; cheap to import."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal


def parts_read(
    realizer: str = "edit", use_latent: bool = False, gate: Sequence[str] = ()
) -> Literal["editor", "miso"]:
    """
    What of a generator a `MisoOversampler` with these options reads, and has to be trained
    (`MisoConfig.parts`): the encoder and the filler, or all of MISO.
    """
    return "miso" if realizer != "edit" or use_latent or "critics" in gate else "editor"
