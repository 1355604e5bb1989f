"""What commands read that look at a folder, or send one away."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from hf_oversample.commands.arguments import argument


@dataclass(frozen=True)
class ReportArguments:
    """A finished run or comparison. Each field's meaning is its `help`."""

    folder: str = field(metadata={"help": "the output folder of a run or a comparison"})


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
