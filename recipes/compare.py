# /// script
# requires-python = ">=3.11"
# dependencies = ["hf_oversample[demo,report,imblearn]>=0.1.0.dev0"]
#
# # A clone's own package; a job, which has this file alone, takes the released one.
# [tool.uv.sources]
# hf_oversample = { path = "..", editable = true }
#
# [tool.hf-jobs]
# flavor = "t4-small"
# timeout = "6h"
# secrets = ["HF_TOKEN"]
# env = { UV_NO_SOURCES = "1" }
# ///
"""Does a remedy for a rare class help on your data, or would a moved threshold do the same?

    python recipes/compare.py --train_file mine.csv --text_column text --label_column label \\
        --methods none,threshold-moving,class-weights,eda-edits,smote --output_dir compared
    python recipes/compare.py --demo sms --imbalance_ratio 0.01 --methods all --output_dir compared

Every remedy with every classifier on the same folds; resampling sees the training part only, and
validation rows make every choice. A run that was stopped goes on where it was. The last line on
stdout is the verdict for programs, `VERDICT: ` and a JSON object. `--help` lists every argument
with its default.
"""

from __future__ import annotations

import sys

from hf_oversample.commands.command import run_command
from hf_oversample.commands.compare_arguments import CompareRunArguments


def main(argv: list[str] | None = None) -> int:
    """Parse the arguments, compare, and print the answer; 2 for what the user can put right."""
    return run_command(
        argv,
        CompareRunArguments,
        compare,
        description=__doc__,
        trained="of MISO generators, where anchors are asked for",
        resumes=False,
    )


def compare(arguments: CompareRunArguments, _: str | None) -> str:
    """Compare, and give the table, the verdict, and where the pictures are."""
    from hf_oversample.commands.compare import compare_summary  # torch: not for --help

    return compare_summary(arguments)


if __name__ == "__main__":
    sys.exit(main())
