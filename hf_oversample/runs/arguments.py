"""What a run reads, makes and writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from hf_oversample.training.arguments import MisoTrainingArguments

DEMOS = ("sms", "bbc")


@dataclass(frozen=True)
class MisoRunArguments:
    """
    What a run reads, makes and writes; how the generator is trained is in `MisoTrainingArguments`.

    Raises:
        ValueError: if the source of the data is not given exactly once.
    """

    output_dir: str
    dataset_name: str | None = None
    dataset_config: str | None = None
    train_file: str | None = None
    demo: Literal["sms", "bbc"] | None = None
    revision: str | None = None
    text_column: str = "text"
    label_column: str = "label"
    imbalance_ratio: float | None = None
    minority_class: str | None = None
    language: Literal["en", "zh"] | None = None
    encoder_name: str | None = None
    encoder_revision: str | None = None
    tokenizer_kind: Literal["bpe", "word"] = "bpe"
    use_sfm: bool = True
    use_mi: bool = True
    share_decoder: bool = True
    critic_mode: Literal["class", "instance"] = "class"
    critic_bound: Literal["dv", "jsd"] = "dv"
    sampling_strategy: str = "auto"
    realizer: Literal["edit", "generate"] = "edit"
    anchor_share: float = 0.5
    max_anchors_per_source: int = 10
    guidance: float = 1.0
    use_latent: bool = False
    gate: tuple[str, ...] = ("classifier",)
    evaluation_seeds: int = 1
    evaluation_steps_of_classifiers: int = 300
    validation_share: float = 0.1
    test_share: float = 0.2
    hub_model_id: str | None = None
    push_to_hub: bool = False
    overwrite: bool = False
    training: MisoTrainingArguments = field(default_factory=MisoTrainingArguments)

    def __post_init__(self) -> None:
        given = [n for n in ("dataset_name", "train_file", "demo") if getattr(self, n) is not None]
        if len(given) != 1:
            raise ValueError(
                f"The data come from {given or 'nowhere'}: give exactly one of dataset_name (on the Hub), train_file "
                "(csv, jsonl or parquet) and demo (sms or bbc)."
            )
        if self.demo is not None and self.demo not in DEMOS:
            raise ValueError(f"demo is {self.demo!r}; it must be one of {list(DEMOS)}.")
        if self.push_to_hub and not self.hub_model_id:
            raise ValueError("push_to_hub needs hub_model_id, the repository to push the generator to.")
        if self.evaluation_seeds < 0:
            raise ValueError(f"evaluation_seeds is {self.evaluation_seeds}; 0 measures nothing, 1 or more does.")
