"""What a run reads, makes and writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from hf_oversample.training.arguments import MisoTrainingArguments

DEMOS = ("sms", "bbc")


def _argument(default: Any, help: str) -> Any:
    """A field with its help, which command lines show."""
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class MisoRunArguments:
    """
    What a run reads, makes and writes; how the generator is trained is in `training`, see
    `MisoTrainingArguments`. Each field's meaning is its `help`.

    Raises:
        ValueError: if the source of the data is not given exactly once, a demo is unknown, the
            number of seeds is negative, or there is nowhere to push to.
    """

    output_dir: str = field(metadata={"help": "folder for everything that is written"})
    # ---- the data
    dataset_name: str | None = _argument(None, "a data set on the Hub")
    dataset_config: str | None = _argument(None, "its configuration")
    train_file: str | None = _argument(None, "a csv, jsonl or parquet file")
    demo: Literal["sms", "bbc"] | None = _argument(None, "data of the demo extra: sms or bbc")
    revision: str | None = _argument(None, "the data set's revision on the Hub")
    text_column: str = _argument("text", "column of the texts")
    label_column: str = _argument("label", "column of the classes")
    imbalance_ratio: float | None = _argument(
        None, "first make the data imbalanced: minority rows per majority row, such as 0.01"
    )
    minority_class: str | None = _argument(
        None, "with imbalance_ratio, the class that is made rare (default: the smallest)"
    )
    language: Literal["en", "zh"] | None = _argument(
        None, "en or zh; found from the texts by default"
    )
    # ---- the generator
    encoder_name: str | None = _argument(
        None, "a pretrained encoder (default: a small one from scratch; MiniLM with --demo)"
    )
    encoder_revision: str | None = _argument(None, "its revision on the Hub")
    tokenizer_kind: Literal["bpe", "word"] = _argument(
        "bpe", "bpe or word, for a tokenizer trained on the data"
    )
    use_sfm: bool = _argument(
        True, "the semantic fusion module; false with use_mi=false is the paper's CAG ablation"
    )
    use_mi: bool = _argument(True, "the mutual-information loss")
    share_decoder: bool = _argument(
        True, "one decoder told apart by class embeddings; false: the paper's pair"
    )
    critic_mode: Literal["class", "instance"] = _argument(
        "class", "class, or instance (the paper's, whose optimum is a copy)"
    )
    critic_bound: Literal["dv", "jsd"] = _argument("dv", "dv or jsd")
    # ---- the anchors
    sampling_strategy: str = _argument(
        "auto", "auto, minority, 'not minority', all: which classes grow"
    )
    realizer: Literal["edit", "generate"] = _argument(
        "edit", "edit (mask and refill words) or generate (decode a latent, the paper's)"
    )
    anchor_share: float = _argument(
        0.5, "share of the new rows that are anchors; the rest are repeated real rows"
    )
    max_anchors_per_source: int = _argument(10, "distinct anchors that one text may give")
    guidance: float = _argument(1.0, "contrastive guidance g")
    use_latent: bool = _argument(False, "condition edits on z")
    gate: tuple[str, ...] = _argument(
        ("classifier",),
        "judges of the quality gate, comma-separated: classifier, critics, neighbors",
    )
    # ---- what is measured, and where it goes
    evaluation_seeds: int = _argument(
        1, "seeds of the comparison at the end; 0: none, and all rows are for training"
    )
    evaluation_steps_of_classifiers: int = _argument(300, "steps of each of its classifiers")
    validation_share: float = _argument(0.1, "share of the rows held out to choose by")
    test_share: float = _argument(0.2, "share of the rows held out to report on")
    hub_model_id: str | None = _argument(None, "repository for the generator")
    push_to_hub: bool = _argument(False, "push the generator there")
    overwrite: bool = _argument(False, "replace a finished run in output_dir")
    training: MisoTrainingArguments = field(default_factory=MisoTrainingArguments)

    def __post_init__(self) -> None:
        given = [n for n in ("dataset_name", "train_file", "demo") if getattr(self, n) is not None]
        if len(given) != 1:
            raise ValueError(
                f"The data come from {given or 'nowhere'}: give exactly one of dataset_name (on "
                "the Hub), train_file (csv, jsonl or parquet) and demo (sms or bbc)."
            )
        if self.demo is not None and self.demo not in DEMOS:
            raise ValueError(f"demo is {self.demo!r}; it must be one of {list(DEMOS)}.")
        if self.push_to_hub and not self.hub_model_id:
            raise ValueError(
                "push_to_hub needs hub_model_id, the repository to push the generator to."
            )
        if self.evaluation_seeds < 0:
            raise ValueError(
                f"evaluation_seeds is {self.evaluation_seeds}; 0 measures nothing, 1 or more does."
            )
