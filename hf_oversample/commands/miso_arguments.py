"""What a MISO run reads, makes and writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hf_oversample.commands.arguments import RunArguments, argument, license_argument
from hf_oversample.oversamplers.miso.parts import parts_read


@dataclass(frozen=True)
class MisoRunArguments(RunArguments):
    """
    A run that trains a MISO generator, balances with its anchors and measures them: the fields of
    every run, and these. Each field's meaning is its `help`.

    Raises:
        ValueError: as `RunArguments`; if the number of seeds is negative, the gate asks critics
            that are not trained, the realiser reads parts that are not, or there is no full name of
            a repository to push to.
    """

    # ---- the generator
    encoder_name: str | None = argument(
        None,
        "a pretrained encoder, a folder or a name on the Hub, or scratch for none (default: the "
        "demo extra's MiniLM for English, else a small one of the Hub)",
    )
    encoder_revision: str | None = argument(None, "its revision on the Hub")
    tokenizer_kind: Literal["bpe", "word"] = argument(
        "bpe", "bpe or word, for a tokenizer trained on the data"
    )
    parts: Literal["auto", "editor", "miso"] = argument(
        "auto",
        "what is trained: editor (encoder and filler), miso (latents, fusion, critics and decoders "
        "too), or auto: what realizer, use_latent and gate read",
    )
    use_sfm: bool = argument(
        True, "the semantic fusion module; false with use_mi=false is the paper's CAG ablation"
    )
    use_mi: bool = argument(True, "the mutual-information loss")
    share_decoder: bool = argument(
        True, "one decoder told apart by class embeddings; false: the paper's pair"
    )
    critic_mode: Literal["class", "pair", "instance"] = argument(
        "class", "class, pair (class and texts), or instance (the paper's, whose optimum is a copy)"
    )
    critic_bound: Literal["dv", "jsd"] = argument("dv", "dv or jsd")
    # ---- the anchors
    sampling_strategy: str = argument(
        "auto", "auto, minority, 'not minority', all: which classes grow"
    )
    realizer: Literal["edit", "generate"] = argument(
        "edit", "edit (mask and refill words) or generate (decode a latent, the paper's)"
    )
    anchor_share: float = argument(
        0.5, "share of the new rows that are anchors; the rest are repeated real rows"
    )
    max_anchors_per_source: int = argument(10, "distinct anchors that one text may give")
    edit_share: float = argument(0.35, "share of the words of a rare text that an edit replaces")
    max_tries: int = argument(4, "how often a text is drawn before a real row takes its place")
    guidance: float = argument(1.0, "contrastive guidance g")
    use_latent: bool = argument(False, "condition edits on z")
    gate: tuple[str, ...] = argument(
        ("classifier",),
        "judges of the quality gate, comma-separated: classifier, critics, neighbors",
    )
    gate_quantile: float = argument(
        0.1,
        "how clearly the gate's classifier must see a text's class: above this quantile of the "
        "margins of the class's own real rows, measured on rows held out; 0: placed with it at all",
    )
    gate_ceiling: float = argument(
        1.0, "how clearly it may: at most this quantile of the same margins; 1: no limit"
    )
    unknown_words: Literal["reject", "keep"] = argument(
        "reject",
        "reject or keep new texts with words that no training text has: they mark a row as made",
    )
    max_cosine: float = argument(
        1.0,
        "largest cosine of a new text's embedding with a training text's: nearer is a copy in "
        "meaning; 1: no limit",
    )
    # ---- what is measured, and where it goes
    evaluation_seeds: int = argument(
        1, "seeds of the comparison at the end; 0: none, and all rows are for training"
    )
    evaluation_steps_of_classifiers: int = argument(300, "steps of each of its classifiers")
    validation_share: float = argument(0.1, "share of the rows held out to choose by")
    test_share: float = argument(0.2, "share of the rows held out to report on")
    license: str | None = license_argument()
    hub_model_id: str | None = argument(None, "repository for the generator, as user/name")
    push_to_hub: bool = argument(False, "push the generator there")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.push_to_hub and not self.hub_model_id:
            raise ValueError(
                "push_to_hub needs hub_model_id, the repository to push the generator to."
            )
        if self.push_to_hub and "/" not in str(self.hub_model_id):
            raise ValueError(
                f"hub_model_id is {self.hub_model_id!r}; write it as user/name: the generator's "
                "card tells its readers to load it by that name."
            )
        if self.trains_generator and "critics" in self.gate and not self.use_mi:
            raise ValueError(
                "gate has 'critics' and use_mi is false, which trains none: take 'critics' out of "
                "the gate, or leave use_mi true."
            )
        read = parts_read(self.realizer, self.use_latent, self.gate)
        if self.trains_generator and self.parts == "editor" and read == "miso":
            raise ValueError(
                f"parts is 'editor', which trains no latents, critics or decoders, and realizer "
                f"{self.realizer!r}, use_latent {self.use_latent} and gate {self.gate} read some: "
                "leave parts out, or edit without latents and critics."
            )
        if self.evaluation_seeds < 0:
            raise ValueError(
                f"evaluation_seeds is {self.evaluation_seeds}; 0 measures nothing, 1 or more does."
            )

    @property
    def edits(self) -> bool:
        """Whether new texts are edits of texts."""
        return self.realizer == "edit"

    @property
    def needs_encoder(self) -> bool:
        """Whether a pretrained encoder is of use: to train from, to embed, or to judge."""
        return True

    @property
    def trains_generator(self) -> bool:
        """Whether a generator is trained."""
        return True
