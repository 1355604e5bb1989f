"""What every run reads and writes: its data, its folder, and how a MISO generator is trained."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from hf_oversample.training.arguments import MisoTrainingArguments

if TYPE_CHECKING:
    from hf_oversample.text.protection import Protection

DEMOS = ("sms", "bbc")


def argument(default: Any, help: str) -> Any:
    """A field with its help, which command lines show."""
    return field(default=default, metadata={"help": help})


def repeated(help: str) -> Any:
    """A field of several values, whose flag is given once for each: by default none."""
    return field(default=(), metadata={"help": help, "repeated": True})


def license_argument() -> Any:
    """The field `license` of runs that write cards."""
    return argument(
        None,
        "licence of the rows, as the Hub names it (cc-by-4.0, mit, other), for the cards (default: "
        "a demo's own, else unknown)",
    )


@dataclass(frozen=True)
class RunArguments:
    """
    What every run reads and writes; how a MISO generator is trained is in `training`, see
    `MisoTrainingArguments`. Each field's meaning is its `help`.

    Raises:
        FileNotFoundError: if there is no such user dictionary.
        ValueError: if the source of the data is not given exactly once, a demo is unknown, protect
            is no regular expression, or a line of the user dictionary is no entry.
    """

    output_dir: str = field(metadata={"help": "folder for everything that is written"})
    dataset_name: str | None = argument(None, "a data set on the Hub")
    dataset_config: str | None = argument(None, "its configuration")
    train_file: str | None = argument(
        None, "a csv, tsv, json, jsonl (each also .gz) or parquet file"
    )
    encoding: str | None = argument(
        None, "of the text files, such as cp1252, gb18030 or utf-16 (by default UTF-8)"
    )
    demo: Literal["sms", "bbc"] | None = argument(None, "data of the demo extra: sms or bbc")
    revision: str | None = argument(None, "the data set's revision on the Hub")
    text_column: str = argument("text", "column of the texts")
    label_column: str = argument("label", "column of the classes")
    strip_labels: bool = argument(
        False, "take white space from both ends of class names: 'ham ' is 'ham'"
    )
    lowercase_labels: bool = argument(
        False, "write class names in lower case: 'Ham' is 'ham'; never done unasked"
    )
    imbalance_ratio: float | None = argument(
        None, "first make the data imbalanced: minority rows per majority row, such as 0.01"
    )
    minority_class: str | None = argument(
        None, "with imbalance_ratio, the class that is made rare (default: the smallest)"
    )
    language: Literal["en", "zh"] | None = argument(
        None, "en or zh; found from the texts by default"
    )
    protect: str | None = argument(
        None,
        "a regular expression of what edits of texts leave as it is, besides placeholders in [], "
        "<> and {}, %s, addresses, @names, #tags, numbers and code",
    )
    protect_defaults: bool = argument(True, "false: edits leave what protect matches alone")
    user_dictionary: str | None = argument(
        None, "a file of words that jieba shall know, a line each: word, frequency and tag if any"
    )
    overwrite: bool = argument(False, "replace a finished run in output_dir")
    training: MisoTrainingArguments = field(default_factory=MisoTrainingArguments)

    def __post_init__(self) -> None:
        given = [n for n in ("dataset_name", "train_file", "demo") if getattr(self, n) is not None]
        if len(given) != 1:
            raise ValueError(
                f"The data come from {given or 'nowhere'}: give exactly one of dataset_name (on "
                "the Hub), train_file (csv, tsv, json, jsonl or parquet) and demo (sms or bbc)."
            )
        if self.encoding is not None and self.train_file is None:
            raise ValueError(f"encoding is {self.encoding!r}, which goes with train_file.")
        if self.demo is not None and self.demo not in DEMOS:
            raise ValueError(f"demo is {self.demo!r}; it must be one of {list(DEMOS)}.")
        # not at the top: --help needs neither numpy nor the patterns of words
        from hf_oversample.text.protection import Protection
        from hf_oversample.text.user_dictionary import user_dictionary_of

        Protection(self.protect)  # a bad pattern is told before the data are read
        user_dictionary_of(self.user_dictionary)

    @property
    def protection(self) -> Protection:
        """What edits of texts leave as it is."""
        from hf_oversample.text.protection import Protection

        return Protection(self.protect, self.protect_defaults)

    def json_options(self, name: str, example: str) -> dict[str, Any]:
        """
        The field `name`, which holds a JSON object, read.

        Raises:
            ValueError: it holds something else; the message shows the `example`.
        """
        text = getattr(self, name)
        try:
            options = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"{name} is {text!r}: {error}") from error
        if not isinstance(options, dict):
            raise ValueError(f"{name} is {text!r}; it must be a JSON object, such as {example}.")
        return options
