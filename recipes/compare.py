"""Does a remedy for a rare class help on your data, or would a moved threshold do the same?

    python recipes/compare.py --train_file mine.csv --text_column text --label_column label \\
        --methods none,threshold-moving,class-weights,eda-edits,smote --output_dir compared
    python recipes/compare.py --demo sms --imbalance_ratio 0.01 --methods all --output_dir compared

Every remedy with every classifier on the same folds; resampling sees the training part only, and
validation rows make every choice. A run that was stopped goes on where it was. `--help` lists every
argument with its default.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hf_oversample.cli import add_fields, chosen_fields
from hf_oversample.runs.compare_arguments import CompareRunArguments
from hf_oversample.training.arguments import MisoTrainingArguments


def main(argv: list[str] | None = None) -> int:
    """Parse the arguments, compare, and print the answer; 2 for what the user can put right."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_fields(parser, CompareRunArguments, skip=("training", "seed"))
    add_fields(
        parser.add_argument_group("training", "of MISO generators, where anchors are asked for"),
        MisoTrainingArguments,
    )
    options = parser.parse_args(argv)
    try:
        training = MisoTrainingArguments(**chosen_fields(options, MisoTrainingArguments))
        arguments = CompareRunArguments(
            **chosen_fields(options, CompareRunArguments) | {"seed": training.seed},
            training=training,
        )
        # imports torch: not for --help
        from hf_oversample.runs.compare import run_compare

        run_compare(arguments)
    except (ValueError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    folder = Path(arguments.output_dir)
    for name in ("table.md", "verdict.md"):
        print((folder / name).read_text(encoding="utf-8"))
    print(f"Pictures: {folder / 'report.html'}, {folder / 'report.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
