"""What a comparison reads, trains and writes."""

from __future__ import annotations

from dataclasses import dataclass

from hf_oversample.commands.arguments import RunArguments, argument, repeated
from hf_oversample.comparison.remedies import REMEDIES

EVERYTHING = "all"


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
    label_column: str = argument(
        "label",
        "column of the classes; a column of lists of labels, or several columns of 0 and 1 with "
        "commas between, for rows with any number of labels",
    )
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
            "frozen with n-grams",
        ),
        "remedies, comma-separated, or all. One or more of "
        + ", ".join(name.replace(" ", "-") for name in REMEDIES),
    )
    made: tuple[str, ...] = repeated(
        "rows that somebody made, compared as a remedy and judged: a csv, tsv, jsonl or parquet "
        "file, a saved data set or a data set on the Hub, named by its stem or as NAME=ROWS; may "
        "be given several times"
    )
    made_text: str | None = argument(None, "column of the made rows' texts (default: as --text)")
    made_label: str | None = argument(None, "of their classes (default: as --label)")
    made_parent: str | None = argument(
        None,
        "of what each was made of, the number of a training row, from 0, or its text (default: "
        "parent, where there is such a column): a fold leaves out what was made of rows that it "
        "holds out",
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
    writer: str | None = argument(
        None,
        "for the remedies of a language model: a causal language model, a folder, a GGUF file or a "
        "name on the Hub (default for English: SmolLM2-135M-Instruct)",
    )
    steps: int = argument(400, "updates of each training")
    folds: int = argument(5, "folds, each once the test part")
    repeats: int = argument(1, "shuffles of the folds; with test rows given: unused")
    seeds: int = argument(5, "runs, where test rows are given")
    validation_share: float = argument(0.15, "share of the training rows held back to choose by")
    metric: str = argument(
        "average_precision",
        "what the tables are sorted by: average_precision, f1_tuned, f1, macro_f1, "
        "balanced_accuracy, roc_auc, ece and others, which a wrong name lists. The verdict rests "
        "on average precision and on F1 at a threshold that validation rows chose in any case; of "
        "several classes, on their macro averages where the metric is one of all classes. Of rows "
        "with any number of labels: macro_average_precision",
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
        given = [n for n in ("text", "label", "parent") if getattr(self, f"made_{n}") is not None]
        if given and not self.made:
            raise ValueError(f"made_{given[0]} goes with made, the rows whose column it names.")
        if self.steps < 1:
            raise ValueError(f"steps is {self.steps}; it must be at least 1.")
