"""The two ways in which a MISO generator makes text: editing a source, generating from a latent."""

from hf_oversample.models.miso.realizers.common import AnchorRequest, source_latents
from hf_oversample.models.miso.realizers.edit import EditRealizer, choose_words, match_case
from hf_oversample.models.miso.realizers.generate import (
    ContrastiveGuidance,
    GenerateRealizer,
)

__all__ = [
    "AnchorRequest",
    "ContrastiveGuidance",
    "EditRealizer",
    "GenerateRealizer",
    "choose_words",
    "match_case",
    "source_latents",
]
