"""What a re-embedding run reads, trains and writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from hf_oversample.commands.arguments import RunArguments, argument, license_argument
from hf_oversample.training.reembedding_arguments import ReembeddingArguments

UNUSED = ("protect", "protect_defaults", "user_dictionary")
"""Fields of every run that are no flags here: nothing is edited."""


@dataclass(frozen=True)
class ReembedRunArguments(RunArguments):
    """
    A run that fine-tunes an encoder for rare classes: the fields of every run, and these. Each
    field's meaning is its `help`; how it is trained is in `training`, see `ReembeddingArguments`.

    Raises:
        ValueError: as `RunArguments`; for shares that leave no training rows, or an option that
            needs validation rows where none are held out.
    """

    encoder_name: str | None = argument(
        None,
        "the pretrained encoder, a folder or a name on the Hub (default: the demo extra's MiniLM "
        "for English, else a small one of the Hub)",
    )
    encoder_revision: str | None = argument(None, "its revision on the Hub")
    pooling: Literal["mean", "cls"] = argument(
        "mean", "a text's vector: mean of its tokens' states, or cls, the first one's"
    )
    target_classes: tuple[str, ...] = argument(
        (), "the rare classes, comma-separated (default: all but the largest)"
    )
    anchors_file: str | None = argument(
        None,
        "made texts of rare classes, with the same columns: a file that generate wrote, or the "
        "parquet file of balance, of which the synthetic rows are taken",
    )
    average: bool | None = argument(
        None,
        "write the mean of the fine-tuned encoder and the frozen one, whose head reads n-grams "
        "too, as the classifier; where training is other than plain cross-entropy, a plainly "
        "fine-tuned one is trained too, at two rates, and is in it (default: where training is "
        "plain and validation rows are held out)",
    )
    tune_rate: bool | None = argument(
        None,
        "train at twice the learning_rate too, and keep what ranks validation rows better: twice "
        "the time (default: where training is plain cross-entropy and validation rows are held "
        "out)",
    )
    frozen: bool = argument(
        False,
        "train nothing of the encoder: write the frozen one, with a head that reads n-grams too, "
        "as the classifier, in seconds",
    )
    triplets_per_text: int = argument(5, "triplets of each rare text in the data set of triplets")
    validation_share: float = argument(
        0.1, "share of the rows held out to choose by; 0: none, and nothing is measured"
    )
    test_share: float = argument(
        0.2, "share of the rows held out to report on; 0: none, and nothing is measured"
    )
    license: str | None = license_argument()
    training: ReembeddingArguments = field(  # type: ignore[assignment]
        default_factory=ReembeddingArguments
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("validation_share", "test_share"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise ValueError(f"{name} is {value}; it is a share, from 0 to below 1.")
        if self.validation_share + self.test_share >= 1:
            raise ValueError(
                f"validation_share {self.validation_share} and test_share {self.test_share} leave "
                "no rows to train on."
            )
        if self.training.interpolate and not self.validation_share:
            raise ValueError(
                "interpolate chooses between weights by validation rows, and validation_share is "
                "0: hold some out, or leave interpolate out."
            )
        if self.tune_rate and not self.validation_share:
            raise ValueError(
                "tune_rate chooses the learning rate by validation rows, and validation_share is "
                "0: hold some out, or leave tune_rate out."
            )
        for name in ("average", "frozen"):
            if getattr(self, name) and not self.validation_share:
                raise ValueError(
                    f"{name} brings scores to the scale of chances by validation rows, and "
                    f"validation_share is 0: hold some out, or leave {name} out."
                )
        told = {
            "average": bool(self.average),
            "tune_rate": bool(self.tune_rate),
            "anchors_file": self.anchors_file is not None,
            "interpolate": self.training.interpolate,
            "head_first": self.training.head_first,
        }
        if self.frozen and any(told.values()):
            names = " and ".join(name for name, is_given in told.items() if is_given)
            raise ValueError(
                f"frozen trains nothing of the encoder, and {names} would: leave one of them out."
            )
        if self.anchors_file is not None and not self.training.is_contrastive:
            raise ValueError(
                "anchors_file goes with objective 'contrastive' or 'joint': cross-entropy reads no "
                "positives."
            )
        if self.triplets_per_text < 1:
            raise ValueError(f"triplets_per_text is {self.triplets_per_text}; at least 1.")

    @property
    def averages(self) -> bool:
        """`average`, decided where it is not given."""
        return self._is_plain_and_held if self.average is None else self.average

    @property
    def tunes_rate(self) -> bool:
        """`tune_rate`, decided where it is not given."""
        return self._is_plain_and_held if self.tune_rate is None else self.tune_rate

    @property
    def _is_plain_and_held(self) -> bool:
        return self.training.is_plain and self.validation_share > 0 and not self.frozen
