"""What a comparison reads, trains and writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from hf_oversample.runs.arguments import DEMOS
from hf_oversample.training.arguments import MisoTrainingArguments

EVERYTHING = "all"


def _argument(default: Any, help: str) -> Any:
    """A field with its help, which command lines show."""
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class CompareRunArguments:
    """
    Which rows, remedies and classifiers, and where the answer goes. Each field's meaning is its
    `help`; `training` is how MISO generators are trained, where anchors are asked for.

    Raises:
        ValueError: the source of the data is not given exactly once, a demo is unknown, there is a
            validation file without a test file, or a number cannot work.
    """

    output_dir: str = field(metadata={"help": "folder for everything that is written"})
    # ---- the data
    dataset_name: str | None = _argument(None, "a data set on the Hub")
    dataset_config: str | None = _argument(None, "its configuration")
    train_file: str | None = _argument(None, "a csv, jsonl or parquet file")
    validation_file: str | None = _argument(None, "rows to choose by, with test_file")
    test_file: str | None = _argument(
        None, "rows to report on; without it, folds of the training file"
    )
    test_split: str | None = _argument(
        None, "with dataset_name: the split to report on; without it, folds of the training split"
    )
    demo: Literal["sms", "bbc"] | None = _argument(None, "data of the demo extra: sms or bbc")
    revision: str | None = _argument(None, "the data set's revision on the Hub")
    text_column: str = _argument("text", "column of the texts")
    label_column: str = _argument("label", "column of the classes")
    minority_class: str | None = _argument(
        None, "the class whose F1 is reported (default: the rarest)"
    )
    imbalance_ratio: float | None = _argument(
        None, "first make the data imbalanced: minority rows per majority row, such as 0.01"
    )
    language: Literal["en", "zh"] | None = _argument(
        None, "en or zh; found from the texts by default"
    )
    # ---- what is compared
    methods: tuple[str, ...] = _argument(
        (
            "none",
            "threshold moving",
            "logit adjustment",
            "class weights",
            "duplicates",
            "EDA edits",
            "synonym edits",
            "SMOTE",
        ),
        "remedies, comma-separated, hyphens for spaces if you like; all: every one",
    )
    classifiers: tuple[str, ...] = _argument(
        ("textcnn", "linear"),
        "among textcnn, textcnn-pretrained-words, textrnn, linear, mlp, finetune",
    )
    encoder_name: str | None = _argument(
        None,
        "a pretrained encoder for embeddings, word vectors and fine-tuning (default: MiniLM with "
        "an English demo, else embeddings by latent semantic analysis)",
    )
    steps: int = _argument(400, "updates of each training")
    folds: int = _argument(5, "folds, each once the test part")
    repeats: int = _argument(1, "shuffles of the folds; with test rows given: unused")
    seeds: int = _argument(5, "runs, where test rows are given")
    validation_share: float = _argument(0.15, "share of the training rows held back to choose by")
    metric: str = _argument("f1", "what the table is sorted by and the verdict is about")
    seed: int = _argument(0, "of folds, weights, batches and resampling")
    overwrite: bool = _argument(False, "begin anew, rather than go on, in output_dir")
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
        if self.validation_file is not None and self.test_file is None:
            raise ValueError("validation_file goes with test_file: folds hold back their own rows.")
        if self.test_file is not None and self.train_file is None:
            raise ValueError("test_file goes with train_file.")
        if self.test_split is not None and self.dataset_name is None:
            raise ValueError("test_split goes with dataset_name.")
        if not self.methods or not self.classifiers:
            raise ValueError("methods and classifiers must each name one at least.")
        if self.steps < 1:
            raise ValueError(f"steps is {self.steps}; it must be at least 1.")
