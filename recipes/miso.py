# /// script
# requires-python = ">=3.11"
# dependencies = ["hf_oversample[demo,report]>=0.1.0.dev0"]
#
# # A clone's own package; a job, which has this file alone, takes the released one.
# [tool.uv.sources]
# hf_oversample = { path = "..", editable = true }
#
# [tool.hf-jobs]
# flavor = "t4-small"
# timeout = "2h"
# secrets = ["HF_TOKEN"]
# env = { UV_NO_SOURCES = "1" }
# ///
"""Train a MISO generator, balance a text data set with its anchors, and measure the effect.

    accelerate launch recipes/miso.py --demo sms --output_dir out
    accelerate launch recipes/miso.py --train_file mine.csv --text_column text \\
        --label_column label --output_dir out

`--help` lists every argument with its default; training defaults come with their source.
"""

from __future__ import annotations

import sys
from pathlib import Path

from hf_oversample.commands.command import run_command
from hf_oversample.commands.miso_arguments import MisoRunArguments


def main(argv: list[str] | None = None) -> int:
    """Parse the arguments, run, and print what came out; 2 for what the user can put right."""
    return run_command(argv, MisoRunArguments, train_and_measure, description=__doc__)


def train_and_measure(arguments: MisoRunArguments, resume: str | None) -> str:
    """Run, and say what was made, what it is worth, and where it is."""
    from hf_oversample.commands.miso import run_miso  # torch: not for --help

    record = run_miso(arguments, resume_from_checkpoint=resume)
    return record_summary(record, Path(arguments.output_dir)) if record else ""


def record_summary(record: dict, folder: Path) -> str:
    """The last lines of a run: what was made, the table, and where it is."""
    from hf_oversample.commands.command import time_limit_lines
    from hf_oversample.commands.screen import screen_lines
    from hf_oversample.oversamplers.anchors.shortfall import TextCounts, shortfall_lines

    origin, quality = record["counts"]["origin"], record["quality"]
    outvoted = record["outvoted_share"]
    anchors = ""
    if origin["synthetic"]:  # of no anchors there are no shares
        anchors = (
            f"exact copies {quality['exact_copies']:.1%}, distinct {quality['distinct']:.1%}; "
        )
    seconds = ", ".join(f"{name} {value:.0f}" for name, value in record["timings"].items())
    return "\n".join(
        [
            f"{origin['synthetic']} anchors and {origin['resampled']} repeated rows beside "
            f"{origin['real']} real rows; {anchors}"
            f"rare texts that other classes outvote among their neighbours, votes by class size: "
            f"{outvoted['before']:.1%} → {outvoted['after']:.1%} "
            f"(by chance {outvoted['before_by_chance']:.1%} → {outvoted['after_by_chance']:.1%}).",
            *time_limit_lines(record),
            *shortfall_lines(TextCounts(**record["made_texts"])),
            *screen_lines(record["screen"]),
            "",
            (folder / "table.md").read_text(encoding="utf-8"),
            f"Seconds: {seconds}",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
