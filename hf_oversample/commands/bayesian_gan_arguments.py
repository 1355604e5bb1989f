"""What a run of the Bayesian-network GAN reads, makes and writes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hf_oversample.commands.arguments import argument
from hf_oversample.commands.balancing_arguments import BalancingRunArguments
from hf_oversample.data.decoding import read_text
from hf_oversample.models.bayesian_gan.network import BayesianNetwork


@dataclass(frozen=True)
class BayesianGanRunArguments(BalancingRunArguments):
    """
    A run of the Bayesian-network GAN: the fields of a balancing run, and these.

    Raises:
        ValueError: as `BalancingRunArguments`; for a network that is none, or options that are no
            JSON object.
    """

    network: str | None = argument(
        None,
        "a JSON file with the Bayesian network (observed, latent, edges), or the JSON itself; by "
        "default one code for each of --variables",
    )
    variables: int = argument(5, "observed variables, where no network is given")
    structure_loss: Literal["bounded", "literal", "infogan"] = argument(
        "bounded", "the regulariser: bounded, literal (Eq. 6) or infogan (the competitor)"
    )
    gan_options: str = argument(
        "{}", "the GAN's training arguments as JSON, such as '{\"steps\": 5000}'"
    )
    model_options: str = argument("{}", "the GAN's sizes as JSON, such as '{\"hidden_size\": 512}'")
    traversals: int = argument(2, "rows per rare class along which each variable is moved")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.bayesian_network()
        self.training_options()
        self.size_options()

    def training_options(self) -> dict[str, Any]:
        """`gan_options`, read."""
        return self.json_options("gan_options", '{"steps": 5000}')

    def size_options(self) -> dict[str, Any]:
        """`model_options`, read."""
        return self.json_options("model_options", '{"hidden_size": 512}')

    def bayesian_network(self) -> BayesianNetwork:
        """The network that was given, or one code for each variable."""
        if self.network is None:
            return BayesianNetwork.disentangled(self.variables)
        text = self.network
        if not text.lstrip().startswith("{"):
            text = read_text(Path(text))
        try:
            return BayesianNetwork.from_json(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"network is {self.network!r}: {error}") from error
