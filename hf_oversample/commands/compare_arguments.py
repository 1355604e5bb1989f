"""What a comparison reads, trains and writes."""

from __future__ import annotations

from dataclasses import dataclass

from hf_oversample.commands.arguments import RunArguments, argument

EVERYTHING = "all"
# The keys of hf_oversample.comparison.remedies.REMEDIES, which imports torch: not for --help.
REMEDY_NAMES = (
    *("none", "threshold moving", "logit adjustment", "class weights", "effective number weights"),
    *("focal loss", "dice loss", "logit-adjusted loss", "LDAM-DRW", "DRS", "cRT"),
    *("tau normalisation", "TMix", "duplicates", "EDA edits", "synonym edits", "SMOTE"),
    *("Borderline-SMOTE", "ADASYN", "AMO", "SIMPOR", "Bayesian GAN", "anchors", "MISO backbone"),
    *("anchors once + logit adjustment", "anchors once + logit-adjusted loss", "plain + anchors"),
    "plain + plain",
)


@dataclass(frozen=True)
class CompareRunArguments(RunArguments):
    """
    Which rows, remedies and classifiers: the fields of every run, and these. Each field's meaning
    is its `help`; `training` is how MISO generators are trained, where anchors are asked for, and
    its seed is that of folds, weights, batches and resampling too.

    Raises:
        ValueError: as `RunArguments`; if there is a validation file without a test file, or a
            number cannot work.
    """

    # ---- the data
    validation_file: str | None = argument(None, "rows to choose by, with test_file")
    test_file: str | None = argument(
        None, "rows to report on; without it, folds of the training file"
    )
    test_split: str | None = argument(
        None, "with dataset_name: the split to report on; without it, folds of the training split"
    )
    minority_class: str | None = argument(
        None, "the class whose F1 is reported (default: the rarest)"
    )
    overwrite: bool = argument(False, "begin anew, rather than go on, in output_dir")
    # ---- what is compared
    methods: tuple[str, ...] = argument(
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
        "remedies, comma-separated, hyphens for spaces if you like; all: every one of "
        + ", ".join(REMEDY_NAMES),
    )
    classifiers: tuple[str, ...] = argument(
        ("textcnn", "linear"),
        "among textcnn, textcnn-pretrained-words, textrnn, linear, mlp, finetune",
    )
    encoder_name: str | None = argument(
        None,
        "a pretrained encoder for embeddings, word vectors and fine-tuning, or scratch for latent "
        "semantic analysis (default: the demo extra's MiniLM for English, else a small one of the "
        "Hub)",
    )
    steps: int = argument(400, "updates of each training")
    folds: int = argument(5, "folds, each once the test part")
    repeats: int = argument(1, "shuffles of the folds; with test rows given: unused")
    seeds: int = argument(5, "runs, where test rows are given")
    validation_share: float = argument(0.15, "share of the training rows held back to choose by")
    metric: str = argument(
        "f1",
        "what the table is sorted by and the verdict is about: f1, f1_tuned, macro_f1, "
        "balanced_accuracy, average_precision, roc_auc, ece and others, which a wrong name lists",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
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
