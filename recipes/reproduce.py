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
# timeout = "12h"
# secrets = ["HF_TOKEN"]
# env = { UV_NO_SOURCES = "1" }
# ///
"""A paper's table, run again, with the paper's figures beside ours.

    python recipes/reproduce.py --table amo3 --data_dir DATA
    python recipes/reproduce.py --table miso3 --data_dir DATA --sizes full --seeds 5

DATA has a folder for each data set (sms_spam, yelp, imdb, toutiao, reuters_r52, twitter_pos,
creditcard, mnist) with its train and test files. Every cell is a line of the output file: a run
that was stopped goes on where it was. What is smaller than the paper's, and what the paper leaves
open, is printed with the table. `--help` lists every argument with its default.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hf_oversample.commands.parser import add_fields, chosen_fields

# The tables are not part of the installed package: they lie beside this folder, in a clone.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.papers.arguments import ReproduceArguments


def main(argv: list[str] | None = None) -> int:
    """Parse the arguments, run, and print the page; 2 for what the user can put right."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_fields(parser, ReproduceArguments)
    options = parser.parse_args(argv)
    try:
        arguments = ReproduceArguments(**chosen_fields(options, ReproduceArguments))
        # imports torch: not for --help
        from benchmarks.papers.run import run_reproduce

        print(run_reproduce(arguments))
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
