"""What a run of the Bayesian-network GAN reads, makes and writes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hf_oversample.bayesian_network import BayesianNetwork
from hf_oversample.runs.arguments import MisoRunArguments
from hf_oversample.runs.oversample_arguments import UNUSED

__all__ = ["UNUSED", "BayesianGanRunArguments"]


@dataclass(frozen=True)
class BayesianGanRunArguments(MisoRunArguments):
    """
    A run of the Bayesian-network GAN: the fields of a MISO run, of which `UNUSED` keep their
    defaults, and these.

    Raises:
        ValueError: as `MisoRunArguments`; for a network that is none, or options that are no JSON
            object.
    """

    network: str | None = field(
        default=None,
        metadata={
            "help": "a JSON file with the Bayesian network (observed, latent, edges), or the JSON "
            "itself; by default one code for each of --variables"
        },
    )
    variables: int = field(
        default=5, metadata={"help": "observed variables, where no network is given"}
    )
    structure_loss: Literal["bounded", "literal", "infogan"] = field(
        default="bounded",
        metadata={"help": "the regulariser: bounded, literal (Eq. 6) or infogan (the competitor)"},
    )
    gan_options: str = field(
        default="{}",
        metadata={"help": "the GAN's training arguments as JSON, such as '{\"steps\": 5000}'"},
    )
    model_options: str = field(
        default="{}",
        metadata={"help": "the GAN's sizes as JSON, such as '{\"hidden_size\": 512}'"},
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
    traversals: int = field(
        default=2, metadata={"help": "rows per rare class along which each variable is moved"}
    )
    max_tries: int = field(
        default=4, metadata={"help": "how often a text is drawn before a real row takes its place"}
    )
    # Nothing is measured: every row is for training.
    evaluation_seeds: int = field(default=0, metadata={"help": "none here"})

    def __post_init__(self) -> None:
        super().__post_init__()
        self.bayesian_network()
        self.options("gan_options")
        self.options("model_options")

    def options(self, name: str) -> dict[str, Any]:
        """`gan_options` or `model_options`, read."""
        text = getattr(self, name)
        try:
            options = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"{name} is {text!r}: {error}") from error
        if not isinstance(options, dict):
            raise ValueError(f"{name} is {text!r}; it must be a JSON object.")
        return options

    def bayesian_network(self) -> BayesianNetwork:
        """The network that was given, or one code for each variable."""
        if self.network is None:
            return BayesianNetwork.disentangled(self.variables)
        text = self.network
        if not text.lstrip().startswith("{"):
            text = Path(text).read_text(encoding="utf-8")
        try:
            return BayesianNetwork.from_json(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"network is {self.network!r}: {error}") from error
