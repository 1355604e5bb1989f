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
"""Balance a text data set by a GAN that follows a Bayesian network: texts in, texts out.

    accelerate launch recipes/bayesian_gan.py --demo sms --output_dir out
    accelerate launch recipes/bayesian_gan.py --train_file mine.csv --text_column text \\
        --label_column label --generator out/generator --network network.json --output_dir balanced

Rows are made in the latent space of a MISO generator, which decodes them to texts. Without
--generator one is trained first; --embeddings_only makes embeddings and no texts.
`--help` lists every argument with its default.
"""

from __future__ import annotations

import sys

from hf_oversample.commands.balancing_arguments import UNUSED
from hf_oversample.commands.bayesian_gan_arguments import BayesianGanRunArguments
from hf_oversample.commands.command import WHERE_NONE_IS_GIVEN, balanced_summary, run_command


def main(argv: list[str] | None = None) -> int:
    """Parse the arguments, run, and print what came out; 2 for what the user can put right."""
    return run_command(
        argv,
        BayesianGanRunArguments,
        balance,
        description=__doc__,
        unused=UNUSED,
        trained=WHERE_NONE_IS_GIVEN,
    )


def balance(arguments: BayesianGanRunArguments, resume: str | None) -> str:
    """Run, and say what was made, how the codes came out, and how long it took."""
    from hf_oversample.commands.bayesian_gan import run_bayesian_gan  # torch: not for --help

    record = run_bayesian_gan(arguments, resume_from_checkpoint=resume)
    if not record:
        return ""
    weakest = min(record["structure"]["codes"], key=lambda code: code["r_squared"])
    return balanced_summary(
        record,
        f"Codes: R² on their parents from {weakest['r_squared']:.2f} ({weakest['code']}) up; see "
        "structure.md and traversals.md.",
    )


if __name__ == "__main__":
    sys.exit(main())
