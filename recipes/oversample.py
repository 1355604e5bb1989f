# /// script
# requires-python = ">=3.11"
# dependencies = ["hf_oversample[demo,writers]>=0.1.0.dev0"]
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
"""Balance a text data set by any method: texts in, a balanced data set of texts out.

    accelerate launch recipes/oversample.py --method smote --demo sms --output_dir out
    accelerate launch recipes/oversample.py --method amo --train_file mine.csv --text_column text \\
        --label_column label --generator out/generator --output_dir balanced

SMOTE and its kin make rows in the latent space of a MISO generator, which decodes them to texts.
Without --generator one is trained first; --embeddings_only makes embeddings and no texts.
`--help` lists every argument with its default.
"""

from __future__ import annotations

import sys

from hf_oversample.commands.balancing_arguments import UNUSED
from hf_oversample.commands.command import WHERE_NONE_IS_GIVEN, balanced_summary, run_command
from hf_oversample.commands.oversample_arguments import OversampleRunArguments


def main(argv: list[str] | None = None) -> int:
    """Parse the arguments, run, and print what came out; 2 for what the user can put right."""
    return run_command(
        argv,
        OversampleRunArguments,
        balance,
        description=__doc__,
        unused=UNUSED,
        trained=WHERE_NONE_IS_GIVEN,
    )


def balance(arguments: OversampleRunArguments, resume: str | None) -> str:
    """Run, and say what was made, what was rejected, and how long it took."""
    from hf_oversample.commands.oversample import run_oversample  # torch: not for --help

    record = run_oversample(arguments, resume_from_checkpoint=resume)
    return balanced_summary(record) if record else ""


if __name__ == "__main__":
    sys.exit(main())
