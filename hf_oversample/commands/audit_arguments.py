"""What an audit reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hf_oversample.commands.arguments import DEMOS, argument


@dataclass(frozen=True)
class AuditArguments:
    """
    The data of an audit and how they are looked at. Each field's meaning is its `help`.

    Raises:
        ValueError: if the source of the data is not given exactly once, a further part does not go
            with it, or a number cannot work.
    """

    train_file: str | None = argument(
        None, "a csv, tsv, json, jsonl (each also .gz) or parquet file"
    )
    validation_file: str | None = argument(None, "rows to choose by, with train_file")
    test_file: str | None = argument(None, "rows to report on, with train_file")
    encoding: str | None = argument(
        None, "of the text files, such as cp1252, gb18030 or utf-16 (by default UTF-8)"
    )
    dataset_name: str | None = argument(None, "a data set on the Hub")
    dataset_config: str | None = argument(None, "its configuration")
    revision: str | None = argument(None, "the data set's revision on the Hub")
    validation_split: str | None = argument(None, "with dataset_name: the split to choose by")
    test_split: str | None = argument(None, "with dataset_name: the split to report on")
    demo: Literal["sms", "bbc"] | None = argument(None, "data of the demo extra: sms or bbc")
    text_column: str = argument("text", "column of the texts")
    label_column: str = argument(
        "label",
        "column of the classes; a column of lists of labels, or several columns of 0 and 1 with "
        "commas between, for rows with any number of labels",
    )
    strip_labels: bool = argument(
        False, "take white space from both ends of class names: 'ham ' is 'ham'"
    )
    lowercase_labels: bool = argument(
        False, "write class names in lower case: 'Ham' is 'ham'; never done unasked"
    )
    language: Literal["en", "zh"] | None = argument(
        None, "en or zh; found from the texts by default"
    )
    encoder_name: str | None = argument(
        None,
        "a pretrained encoder, by whose embeddings rows are near or far (default: latent semantic "
        "analysis of the texts' words)",
    )
    neighbors: int = argument(5, "nearest rows that tell whether a row is difficult")
    difficult_rows: int = argument(
        20_000, "rows at most that are looked at for difficult ones, drawn by chance"
    )
    examples: int = argument(3, "examples of each finding")
    seed: int = argument(0, "of what is drawn by chance")

    def __post_init__(self) -> None:
        given = [n for n in ("dataset_name", "train_file", "demo") if getattr(self, n) is not None]
        if len(given) != 1:
            raise ValueError(
                f"The data come from {given or 'nowhere'}: give exactly one of dataset_name (on "
                "the Hub), train_file (csv, tsv, json, jsonl or parquet) and demo (sms or bbc)."
            )
        if self.demo is not None and self.demo not in DEMOS:
            raise ValueError(f"demo is {self.demo!r}; it must be one of {list(DEMOS)}.")
        for source, names in (
            ("train_file", ("validation_file", "test_file", "encoding")),
            ("dataset_name", ("validation_split", "test_split", "dataset_config", "revision")),
        ):
            for name in names:
                if getattr(self, name) is not None and getattr(self, source) is None:
                    raise ValueError(f"{name} goes with {source}.")
        for name, least in (("neighbors", 1), ("difficult_rows", 2), ("examples", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least {least}.")
