"""What a run of any oversampler reads, makes and writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from hf_oversample.commands.arguments import argument
from hf_oversample.commands.balancing_arguments import BalancingRunArguments
from hf_oversample.oversamplers.miso.parts import parts_read

METHODS: dict[str, str] = {
    "smote": "hf_oversample.oversamplers.smote:SmoteOversampler",
    "borderline_smote": "hf_oversample.oversamplers.borderline_smote:BorderlineSmoteOversampler",
    "adasyn": "hf_oversample.oversamplers.adasyn:AdasynOversampler",
    "amo": "hf_oversample.oversamplers.amo.oversampler:AmoOversampler",
    "simpor": "hf_oversample.oversamplers.simpor.oversampler:SimporOversampler",
    "random": "hf_oversample.oversamplers.random:RandomOversampler",
    "emco": "hf_oversample.oversamplers.emco:EmcoOversampler",
    "miso": "hf_oversample.oversamplers.miso.oversampler:MisoOversampler",
    "language_model": (
        "hf_oversample.oversamplers.language_model.oversampler:LanguageModelOversampler"
    ),
}
"""Where each method's class is; strings, because a command line's help loads none of them."""

NOT_OF_EMBEDDINGS = ("random", "emco", "miso", "language_model")
WITHOUT_MODELS = ("random", "emco")


@dataclass(frozen=True)
class OversampleRunArguments(BalancingRunArguments):
    """
    A run of one method: the fields of a balancing run, and these. What is MISO's alone goes by
    `method_options`.

    Raises:
        ValueError: as `BalancingRunArguments`; for an unknown method, a writer that it does not
            use, options that are no JSON object, or `embeddings_only` with a method that makes no
            embeddings.
    """

    method: Literal[
        "miso",
        "language_model",
        "emco",
        "random",
        "smote",
        "borderline_smote",
        "adasyn",
        "amo",
        "simpor",
    ] = argument(
        "miso",
        "how rows are made: miso edits real texts, language_model writes new ones with a "
        "pretrained language model, emco draws words by a Markov chain, random repeats texts, the "
        "others make embeddings, which a generator writes as texts",
    )
    writer: str | None = argument(
        None,
        "with method language_model: a language model, causal or with encoder and decoder (a "
        "folder, a GGUF file or a name on the Hub), or the writer/ folder of an earlier run "
        "(default for English: SmolLM2-135M-Instruct)",
    )
    prompting: bool = argument(
        False,
        "with method language_model: ask an instruction model by its chat template, and train "
        "nothing",
    )
    base_url: str | None = argument(
        None,
        "with method language_model: address of a server with OpenAI's interface, such as "
        "http://localhost:8000/v1, which is prompted; writer is the model's name there, and the "
        "key is read from the environment variable OPENAI_API_KEY",
    )
    latents: str | None = argument(
        None,
        "with method language_model: a trained MISO generator (train --parts miso), whose latent "
        "of a text the writer reads before it writes the text anew",
    )
    weights: bool = argument(
        False,
        "also write a column weight, under which each class counts as much as its real rows did: a "
        "classifier that is trained with these weights states right probabilities",
    )
    method_options: str = argument(
        "{}", "further keywords of the method as JSON, such as '{\"k_neighbors\": 3}'"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method not in METHODS:
            raise ValueError(f"method is {self.method!r}; it must be one of {list(METHODS)}.")
        self.options()
        own = ("writer", "prompting", "base_url", "latents")
        given = [name for name in own if getattr(self, name)]
        if given and self.method != "language_model":
            raise ValueError(
                f"{given[0]} is given, but method {self.method!r} writes with no language model: "
                "add --method language_model, or leave it out."
            )
        if self.base_url is not None and self.writer is None:
            raise ValueError("base_url is given without the model's name there: add --writer NAME.")
        if self.embeddings_only and not self.is_of_embeddings:
            raise ValueError(
                f"embeddings_only with method {self.method!r}, which makes no embeddings: leave it "
                "out, or choose another method."
            )

    def options(self) -> dict[str, Any]:
        """`method_options`, read."""
        return self.json_options("method_options", '{"k_neighbors": 3}')

    @property
    def edits(self) -> bool:
        """Whether new texts are edits of texts, as MISO's are by default."""
        return self.method == "miso" and self.options().get("realizer", "edit") == "edit"

    @property
    def parts_read(self) -> Literal["editor", "miso"]:
        """What of a generator is read: by the method's edits of texts the editor alone, by methods
        whose rows are decoded all of MISO."""
        if self.method != "miso":
            return "miso"
        options = {"gate": self.gate, **self.options()}
        names = ("realizer", "use_latent", "gate")
        return parts_read(**{name: options[name] for name in names if name in options})

    @property
    def is_of_embeddings(self) -> bool:
        """Whether the method makes embeddings, which are decoded, and not texts."""
        return self.method not in NOT_OF_EMBEDDINGS

    @property
    def needs_encoder(self) -> bool:
        """Whether a pretrained encoder is of use: repeated rows and chains need none."""
        return self.method not in WITHOUT_MODELS

    @property
    def needs_generator(self) -> bool:
        """Whether texts can only come out by a MISO generator."""
        without = (*WITHOUT_MODELS, "language_model")
        return self.method not in without and super().needs_generator
