"""What commands read that look at a folder, or send one away."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from hf_oversample.commands.arguments import argument


@dataclass(frozen=True)
class ReportArguments:
    """
    A finished run or comparison. Each field's meaning is its `help`.

    Raises:
        ValueError: an unknown projection.
    """

    folder: str = field(metadata={"help": "the output folder of a run or a comparison"})
    decisions: str | None = argument(
        None,
        "a list of accepted and rejected rows that rows.html gave (jsonl or csv): writes the "
        "folder reviewed, the balanced data set without the rejected ones",
    )
    encoder_name: str | None = argument(
        None,
        "what embeds the rows for rows.html, a folder or a name on the Hub (default: words alone, "
        "and no model is read)",
    )
    projection: Literal["pca", "umap"] = argument(
        "pca", "how rows.html draws embeddings: pca, or umap, which needs umap-learn"
    )

    def __post_init__(self) -> None:
        if self.projection not in ("pca", "umap"):
            raise ValueError(f"projection is {self.projection!r}; it must be pca or umap.")


@dataclass(frozen=True)
class PushArguments:
    """
    A folder and where it goes. Each field's meaning is its `help`.

    Raises:
        ValueError: the repository is not given as user/name.
    """

    folder: str = field(
        metadata={"help": "a generator, a saved oversampler, or a balanced data set"}
    )
    repo: str = field(metadata={"help": "the repository, as user/name"})
    repo_type: Literal["model", "dataset"] | None = argument(
        None, "model or dataset (default: what the folder holds)"
    )
    private: bool = argument(False, "make a new repository private")

    def __post_init__(self) -> None:
        parts = self.repo.split("/")
        if len(parts) != 2 or not all(parts):
            raise ValueError(f"--repo is {self.repo!r}; write it as user/name.")
