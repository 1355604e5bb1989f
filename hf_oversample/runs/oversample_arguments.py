"""What a run of any oversampler reads, makes and writes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from hf_oversample.runs.arguments import MisoRunArguments

METHODS: dict[str, str] = {
    "smote": "hf_oversample.oversamplers.smote:SmoteOversampler",
    "borderline_smote": "hf_oversample.oversamplers.borderline_smote:BorderlineSmoteOversampler",
    "adasyn": "hf_oversample.oversamplers.adasyn:AdasynOversampler",
    "amo": "hf_oversample.oversamplers.amo:AmoOversampler",
    "simpor": "hf_oversample.oversamplers.simpor:SimporOversampler",
    "random": "hf_oversample.oversamplers.random:RandomOversampler",
    "miso": "hf_oversample.oversamplers.miso:MisoOversampler",
}
"""Where each method's class is; strings, because a command line's help loads none of them."""

NOT_OF_EMBEDDINGS = ("random", "miso")

UNUSED = (
    "training",  # a dataclass of its own
    "realizer",
    "anchor_share",
    "max_anchors_per_source",
    "use_latent",
    "evaluation_seeds",
    "evaluation_steps_of_classifiers",
    "validation_share",
    "test_share",
    "hub_model_id",
    "push_to_hub",
)
"""Fields of a MISO run that have no command-line argument here: nothing is measured or pushed, and
what is MISO's alone goes by ``method_options``."""


@dataclass(frozen=True)
class OversampleRunArguments(MisoRunArguments):
    """
    A run of one method: the fields of a MISO run, of which `UNUSED` keep their defaults, and these.

    Raises:
        ValueError: as `MisoRunArguments`; for an unknown method, options that are no JSON object,
            evaluation seeds, or `embeddings_only` with a method that makes no embeddings.
    """

    method: Literal["smote", "borderline_smote", "adasyn", "amo", "simpor", "random", "miso"] = (
        field(
            kw_only=True,
            metadata={"help": "how rows are made; all but random need a generator for texts"},
        )
    )
    method_options: str = field(
        default="{}",
        metadata={"help": "further keywords of the method as JSON, such as '{\"k_neighbors\": 3}'"},
    )
    generator: str | None = field(
        default=None,
        metadata={
            "help": "folder or Hub name of a MISO generator in whose latent space rows are made "
            "and decoded; by default one is trained, with the arguments under 'training'"
        },
    )
    embeddings_only: bool = field(
        default=False,
        metadata={
            "help": "make embeddings and no texts: those of encoder_name, or the generator's "
            "latents; the text of a new row is null"
        },
    )
    max_tries: int = field(
        default=4, metadata={"help": "how often a text is drawn before a real row takes its place"}
    )
    # Nothing is measured: every row is for training.
    evaluation_seeds: int = field(default=0, metadata={"help": "none here"})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method not in METHODS:
            raise ValueError(f"method is {self.method!r}; it must be one of {list(METHODS)}.")
        if self.evaluation_seeds:
            raise ValueError("evaluation_seeds: nothing is measured here; recipes/miso.py does.")
        self.options()
        if self.embeddings_only and self.method in NOT_OF_EMBEDDINGS:
            raise ValueError(
                f"embeddings_only with method {self.method!r}, which makes no embeddings: leave it "
                "out, or choose another method."
            )

    def options(self) -> dict[str, Any]:
        """`method_options`, read."""
        try:
            options = json.loads(self.method_options)
        except json.JSONDecodeError as error:
            raise ValueError(f"method_options is {self.method_options!r}: {error}") from error
        if not isinstance(options, dict):
            raise ValueError(
                f"method_options is {self.method_options!r}; it must be a JSON object, such as "
                '{"k_neighbors": 3}.'
            )
        return options

    @property
    def needs_generator(self) -> bool:
        """Whether texts can only come out by a generator."""
        return self.method != "random" and not self.embeddings_only
