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
"""Fine-tune an encoder for rare classes, and measure it.

    accelerate launch recipes/reembed.py --demo sms --imbalance_ratio 0.01 --output_dir out
    accelerate launch recipes/reembed.py --train_file mine.csv --text_column text \\
        --label_column label --encoder_name sentence-transformers/all-MiniLM-L6-v2 --output_dir out

Writes a classifier for `AutoModelForSequenceClassification`, an encoder for sentence-transformers,
and triplets. By default cross-entropy reads every row twice, and the classifier is the mean with
the frozen encoder whose head reads n-grams too; with `--head_first` it is LP-FT. `--objective
contrastive` trains on difficult rare texts and their majority neighbours. `--interpolate` keeps the
mean of the pretrained and the fine-tuned weights that validation rows choose. `--help` lists every
argument with its default.
"""

from __future__ import annotations

import sys
from pathlib import Path

from hf_oversample.commands.command import run_command
from hf_oversample.commands.reembed_arguments import UNUSED, ReembedRunArguments
from hf_oversample.training.reembedding_arguments import ReembeddingArguments


def main(argv: list[str] | None = None) -> int:
    """Parse the arguments, run, and print what came out; 2 for what the user can put right."""
    return run_command(
        argv,
        ReembedRunArguments,
        reembed,
        description=__doc__,
        unused=UNUSED,
        trained="of the encoder",
        training_class=ReembeddingArguments,
    )


def reembed(arguments: ReembedRunArguments, resume: str | None) -> str:
    """Run, and say what was trained, what it is worth, and where it is."""
    from hf_oversample.commands.reembed import (  # torch: not for --help
        reembed_summary,
        run_reembed,
    )

    record = run_reembed(arguments, resume_from_checkpoint=resume)
    return reembed_summary(record, Path(arguments.output_dir)) if record else ""


if __name__ == "__main__":
    sys.exit(main())
