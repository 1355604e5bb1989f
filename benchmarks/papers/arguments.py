"""What a reproduction of a paper's table reads, runs and writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from hf_oversample.commands.arguments import argument


@dataclass(frozen=True)
class ReproduceArguments:
    """
    Which table, on which data, at which sizes. Each field's meaning is its `help`.

    Raises:
        ValueError: seeds below 1.
    """

    table: Literal["miso3", "miso4", "miso5", "amo3", "simpor2", "simpor3", "bayesian1"] = field(
        metadata={"help": "the paper, and the number of its table"}
    )
    data_dir: str | None = argument(
        None, "folder with a folder for each data set; simpor2 alone needs none"
    )
    output: str | None = argument(
        None,
        "JSONL file of what was run, a line a cell: what it holds is not run again (default "
        "reproduced/PAPER.jsonl; tables of one paper share it)",
    )
    seeds: int | None = argument(
        None, "seeds, trials or folds of every cell (default: 5, of reduced sizes 2)"
    )
    sizes: Literal["full", "reduced"] | None = argument(
        None,
        "full: the paper's rows and epochs, as far as the data go; reduced: fewer, stated in the "
        "output (default: full where there is a GPU, reduced elsewhere)",
    )
    tasks: tuple[str, ...] = argument(
        (), "only data sets whose name is one of these, or holds one of them (default: all)"
    )
    methods: tuple[str, ...] = argument(
        (), "only methods whose name is one of these, or holds one of them (default: all)"
    )
    encoder_name: str | None = argument(
        None,
        "MISO's tables: the pretrained encoder in the place of XLNet, also the generator's "
        "(default: the demo extra's MiniLM for English, none for Chinese)",
    )
    records_only: bool = argument(False, "run nothing, print what the output file holds")

    def __post_init__(self) -> None:
        if self.seeds is not None and self.seeds < 1:
            raise ValueError(f"seeds is {self.seeds}; it must be at least 1.")
