"""Train a MISO generator, balance a text data set with its anchors, and measure the effect.

    accelerate launch recipes/miso.py --demo sms --output_dir out
    accelerate launch recipes/miso.py --train_file mine.csv --text_column text \\
        --label_column label --output_dir out

`--help` lists every argument with its default; training defaults come with their source.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hf_oversample.cli import add_fields, chosen_fields
from hf_oversample.runs.arguments import MisoRunArguments
from hf_oversample.training.arguments import MisoTrainingArguments


def main(argv: list[str] | None = None) -> int:
    """Parse the arguments, run, and print what came out; 2 for what the user can put right."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_fields(parser, MisoRunArguments, skip=("training",))
    add_fields(parser.add_argument_group("training"), MisoTrainingArguments)
    parser.add_argument(
        "--resume_from_checkpoint", "--resume", metavar="FOLDER", help="a checkpoint, or 'last'"
    )
    options = parser.parse_args(argv)
    try:
        arguments = MisoRunArguments(
            **chosen_fields(options, MisoRunArguments),
            training=MisoTrainingArguments(**chosen_fields(options, MisoTrainingArguments)),
        )
        # imports torch: not for --help
        from hf_oversample.runs.miso import run_miso

        record = run_miso(arguments, resume_from_checkpoint=options.resume_from_checkpoint)
    except (ValueError, FileNotFoundError, FileExistsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if record:
        print(record_summary(record, Path(arguments.output_dir)))
    return 0


def record_summary(record: dict, folder: Path) -> str:
    """The last lines of a run: what was made, the table, and where it is."""
    origin, quality = record["counts"]["origin"], record["quality"]
    difficult = record["difficult_share"]
    seconds = ", ".join(f"{name} {value:.0f}" for name, value in record["timings"].items())
    return "\n".join(
        [
            f"{origin['synthetic']} anchors and {origin['resampled']} repeated rows beside "
            f"{origin['real']} real rows; exact copies {quality.get('exact_copies', 0):.1%}, "
            f"distinct {quality.get('distinct', 1):.1%}; "
            f"difficult texts {difficult['before']:.1%} → {difficult['after']:.1%}.",
            "",
            (folder / "table.md").read_text(encoding="utf-8"),
            f"Seconds: {seconds}",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
