"""Balance a text data set by a GAN that follows a Bayesian network: texts in, texts out.

    accelerate launch recipes/bayesian_gan.py --demo sms --output_dir out
    accelerate launch recipes/bayesian_gan.py --train_file mine.csv --text_column text \\
        --label_column label --generator out/generator --network network.json --output_dir balanced

Rows are made in the latent space of a MISO generator, which decodes them to texts. Without
--generator one is trained first; --embeddings_only makes embeddings and no texts.
`--help` lists every argument with its default.
"""

from __future__ import annotations

import argparse
import sys

from hf_oversample.cli import add_fields, chosen_fields
from hf_oversample.runs.bayesian_gan_arguments import UNUSED, BayesianGanRunArguments
from hf_oversample.training.arguments import MisoTrainingArguments


def main(argv: list[str] | None = None) -> int:
    """Parse the arguments, run, and print what came out; 2 for what the user can put right."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_fields(parser, BayesianGanRunArguments, skip=UNUSED)
    add_fields(
        parser.add_argument_group("training", "of the generator, where none is given"),
        MisoTrainingArguments,
    )
    parser.add_argument(
        "--resume_from_checkpoint", "--resume", metavar="FOLDER", help="a checkpoint, or 'last'"
    )
    options = parser.parse_args(argv)
    try:
        arguments = BayesianGanRunArguments(
            **chosen_fields(options, BayesianGanRunArguments),
            training=MisoTrainingArguments(**chosen_fields(options, MisoTrainingArguments)),
        )
        # imports torch: not for --help
        from hf_oversample.runs.bayesian_gan import run_bayesian_gan

        record = run_bayesian_gan(arguments, resume_from_checkpoint=options.resume_from_checkpoint)
    except (ValueError, FileNotFoundError, FileExistsError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if record:
        print(record_summary(record))
    return 0


def record_summary(record: dict) -> str:
    """The last lines of a run: what was made, how the codes came out, and how long it took."""
    origin = record["counts"]["origin"]
    counts = ", ".join(f"{name} {rows}" for name, rows in record["counts"]["after"].items())
    seconds = ", ".join(f"{name} {value:.1f}" for name, value in record["timings"].items())
    lines = [
        f"{origin['synthetic']} synthetic and {origin['resampled']} repeated rows beside "
        f"{origin['real']} real rows. Rows by class: {counts}."
    ]
    weakest = min(record["structure"]["codes"], key=lambda code: code["r_squared"])
    lines.append(
        f"Codes: R² on their parents from {weakest['r_squared']:.2f} ({weakest['code']}) up; see "
        "structure.md and traversals.md."
    )
    if record["rejections"]:
        reasons = ", ".join(f"{reason} {n}" for reason, n in record["rejections"].items())
        lines.append(f"Texts drawn: {reasons}.")
    return "\n".join([*lines, f"Seconds: {seconds}"])


if __name__ == "__main__":
    sys.exit(main())
