"""What `hf-oversample generate` reads and writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hf_oversample.commands.arguments import argument

if TYPE_CHECKING:
    from hf_oversample.text.protection import Protection

WRITTEN = (".jsonl", ".csv", ".parquet")


@dataclass(frozen=True)
class GenerateArguments:
    """
    Texts, and the generator that writes anchors for them. Each field's meaning is its `help`.

    Raises:
        ValueError: a number that cannot work, an output file of another kind, or protect is no
            regular expression.
    """

    generator: str = field(metadata={"help": "folder or Hub name of a trained generator"})
    output_file: str = field(metadata={"help": "a .jsonl, .csv or .parquet file to write"})
    generator_revision: str | None = argument(
        None, "the generator's revision on the Hub: a tag, a branch or a commit's 40 digits"
    )
    train_file: str | None = argument(
        None, "a csv, tsv, json, jsonl (each also .gz) or parquet file of texts"
    )
    encoding: str | None = argument(
        None, "of the text file, such as cp1252, gb18030 or utf-16 (by default UTF-8)"
    )
    dataset_name: str | None = argument(None, "a data set on the Hub")
    demo: Literal["sms", "bbc"] | None = argument(None, "data of the demo extra: sms or bbc")
    text_column: str = argument("text", "column of the texts")
    label_column: str | None = argument(
        None, "column of the class that each text's anchors are for, in place of --class"
    )
    class_name: str | None = argument(
        None, "the class that all anchors are for (default: the generator's, if it writes one)"
    )
    per_text: int = argument(3, "distinct anchors for each text at most")
    edit_share: float = argument(0.35, "share of a text's words that are replaced")
    protect: str | None = argument(
        None,
        "a regular expression of what edits of texts leave as it is, besides placeholders in [], "
        "<> and {}, %s, addresses, @names, #tags, numbers and code",
    )
    protect_defaults: bool = argument(True, "false: edits leave what protect matches alone")
    guidance: float = argument(1.0, "contrastive guidance g")
    max_tries: int = argument(4, "how often an anchor is drawn before it is given up")
    seed: int = argument(0, "seed of every draw")
    overwrite: bool = argument(False, "replace output_file")

    def __post_init__(self) -> None:
        given = [n for n in ("dataset_name", "train_file", "demo") if getattr(self, n) is not None]
        if len(given) != 1:
            raise ValueError("name the texts: a file, a data set on the Hub, or demo:sms.")
        if self.encoding is not None and self.train_file is None:
            raise ValueError(f"encoding is {self.encoding!r}, which goes with train_file.")
        if self.per_text < 1 or self.max_tries < 1:
            raise ValueError(
                f"per_text is {self.per_text} and max_tries {self.max_tries}; each must be at "
                "least 1."
            )
        if not 0 < self.edit_share <= 1:
            raise ValueError(f"edit_share is {self.edit_share}; it is a share, above 0, at most 1.")
        if Path(self.output_file).suffix.lower() not in WRITTEN:
            raise ValueError(
                f"output_file is {self.output_file!r}; its name must end in one of "
                f"{', '.join(WRITTEN)}."
            )
        if Path(self.output_file).exists() and not self.overwrite:
            raise FileExistsError(
                f"{self.output_file} is there already: choose another --output_file, or pass "
                "--overwrite."
            )
        _ = self.protection  # a bad pattern is told before the texts are read

    @property
    def protection(self) -> Protection:
        """What edits of texts leave as it is."""
        from hf_oversample.text.protection import Protection

        return Protection(self.protect, self.protect_defaults)
