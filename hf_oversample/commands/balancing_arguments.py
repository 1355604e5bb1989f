"""What a run reads and makes that balances a data set, and measures nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hf_oversample.commands.arguments import argument
from hf_oversample.commands.miso_arguments import MisoRunArguments

UNUSED = (
    "training",  # a dataclass of its own
    "parts",
    "realizer",
    "anchor_share",
    "max_anchors_per_source",
    "edit_share",
    "use_latent",
    "evaluation_seeds",
    "evaluation_steps_of_classifiers",
    "validation_share",
    "test_share",
    "hub_model_id",
    "push_to_hub",
)
"""Fields of a MISO run that have no command-line argument here: nothing is measured or pushed, and
how MISO makes anchors is no matter of other methods."""


@dataclass(frozen=True)
class BalancingRunArguments(MisoRunArguments):
    """
    A run whose rows are made in a MISO generator's latent space, and decoded: the fields of a MISO
    run, of which `UNUSED` keep their defaults, and these.

    Raises:
        ValueError: as `MisoRunArguments`; for evaluation seeds.
    """

    generator: str | None = argument(
        None,
        "folder or Hub name of a MISO generator in whose latent space rows are made and decoded; "
        "by default one is trained, with the arguments under 'training'",
    )
    embeddings_only: bool = argument(
        False,
        "make embeddings and no texts: those of encoder_name, or the generator's latents; the "
        "text of a new row is null",
    )
    # Nothing is measured: every row is for training.
    evaluation_seeds: int = argument(0, "none here")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.evaluation_seeds:
            raise ValueError("evaluation_seeds: nothing is measured here; recipes/miso.py does.")

    @property
    def edits(self) -> bool:
        """Whether new texts are edits of texts: rows are decoded here."""
        return False

    @property
    def parts_to_train(self) -> Literal["editor", "miso"]:
        """What of a generator is trained where none is given: all, for rows of its latent space."""
        return "miso"

    @property
    def needs_generator(self) -> bool:
        """Whether texts can only come out by a generator."""
        return not self.embeddings_only

    @property
    def trains_generator(self) -> bool:
        """Whether one is needed and none is given."""
        return self.needs_generator and self.generator is None
