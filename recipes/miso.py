"""Train a MISO generator on an imbalanced text data set, balance it with anchors, and measure the effect.

    accelerate launch recipes/miso.py --demo sms --output_dir out
    accelerate launch recipes/miso.py --train_file mine.csv --text_column text --label_column label --output_dir out

`--help` lists every argument with its default; training defaults come with their source.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hf_oversample.cli import add_fields, chosen_fields
from hf_oversample.training.arguments import MisoTrainingArguments

HELP = {
    "output_dir": "folder for everything that is written",
    "dataset_name": "a data set on the Hub",
    "dataset_config": "its configuration",
    "train_file": "a csv, jsonl or parquet file",
    "demo": "data of the demo extra: sms or bbc",
    "revision": "the data set's revision on the Hub",
    "text_column": "column of the texts",
    "label_column": "column of the classes",
    "imbalance_ratio": "first make the data imbalanced: minority rows per majority row, such as 0.01",
    "minority_class": "with imbalance_ratio, the class that is made rare (default: the smallest)",
    "language": "en or zh; found from the texts by default",
    "encoder_name": "a pretrained encoder (default: a small one from scratch; MiniLM with --demo)",
    "encoder_revision": "its revision on the Hub",
    "tokenizer_kind": "bpe or word, for a tokenizer trained on the data",
    "use_sfm": "the semantic fusion module; false with use_mi=false is the paper's CAG ablation",
    "use_mi": "the mutual-information loss",
    "share_decoder": "one decoder told apart by class embeddings; false: the paper's pair",
    "critic_mode": "class, or instance (the paper's, whose optimum is a copy)",
    "critic_bound": "dv or jsd",
    "sampling_strategy": "auto, minority, 'not minority', all: which classes grow",
    "realizer": "edit (mask and refill words) or generate (decode a latent, the paper's)",
    "anchor_share": "share of the new rows that are anchors; the rest are repeated real rows",
    "max_anchors_per_source": "distinct anchors that one text may give",
    "guidance": "contrastive guidance g",
    "use_latent": "condition edits on z",
    "gate": "judges of the quality gate, comma-separated: classifier, critics, neighbors",
    "evaluation_seeds": "seeds of the comparison at the end; 0: none, and all rows are for training",
    "evaluation_steps_of_classifiers": "steps of each of its classifiers",
    "validation_share": "share of the rows held out to choose by",
    "test_share": "share of the rows held out to report on",
    "hub_model_id": "repository for the generator",
    "push_to_hub": "push the generator there",
    "overwrite": "replace a finished run in output_dir",
}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    from hf_oversample.runs.arguments import MisoRunArguments

    add_fields(parser, MisoRunArguments, HELP, skip=("training",))
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
    return "\n".join(
        [
            f"{origin['synthetic']} anchors and {origin['resampled']} repeated rows beside {origin['real']} real rows; "
            f"exact copies {quality.get('exact_copies', 0):.1%}, distinct {quality.get('distinct', 1):.1%}; "
            f"difficult texts {difficult['before']:.1%} → {difficult['after']:.1%}.",
            "",
            (folder / "table.md").read_text(encoding="utf-8"),
            f"Seconds: {', '.join(f'{k} {v:.0f}' for k, v in record['timings'].items())}",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
