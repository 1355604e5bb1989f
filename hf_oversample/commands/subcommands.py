"""The subcommands of `hf-oversample`: what each reads, shows and runs. Imports no library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NAMES = {
    "text_column": ("--text",),
    "label_column": ("--label",),
    "output_dir": ("-o", "--output"),
}
"""Field → its short names, in every subcommand."""

# Fewer and smaller steps than a run that is measured takes: 3,000 short texts in three minutes on
# two cores, from the first import to the last file.
QUICK_TRAINING = {"pretrain_steps": 50, "batch_size": 32}


@dataclass(frozen=True)
class Subcommand:
    """
    One subcommand.

    Args:
        summary: a line.
        arguments: "module:dataclass" of its arguments.
        run: "module:function", from the arguments and the checkpoint to resume from to an
            `Outcome`.
        example: a line to copy.
        everyday: fields that `--help` shows.
        positional: what DATA or FOLDER is: "data", or the name of a field.
        plan: "module:function" from the arguments to the `Outcome` of `--dry-run`.
        trains: whether it has arguments of a training; `resumes`: whether a stopped
            training can go on; `goes_on`: whether the same command goes on by itself.
        training_class: "module:dataclass" of these; `trained`: of what they are.
        skip: fields that are no flags here.
        defaults: fields with another default here than in the dataclass; `training` likewise, of
            training arguments.
    """

    summary: str
    arguments: str
    run: str
    example: str
    everyday: tuple[str, ...]
    positional: str = "data"
    plan: str | None = None
    trains: bool = False
    training_class: str = "hf_oversample.training.arguments:MisoTrainingArguments"
    trained: str = "a generator"
    resumes: bool = False
    goes_on: bool = False
    skip: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)


_DATA = ("text_column", "label_column", "output_dir", "seed")
_MEASURED = (
    "evaluation_seeds",
    "evaluation_steps_of_classifiers",
    "validation_share",
    "test_share",
)
_SOURCES = ("train_file", "dataset_name", "demo")

SUBCOMMANDS: dict[str, Subcommand] = {
    "audit": Subcommand(
        summary="look at a data set: classes, difficult rows, repeats, look-alike labels, leaks",
        arguments="hf_oversample.commands.audit_arguments:AuditArguments",
        run="hf_oversample.commands.answers:audit",
        example="hf-oversample audit my.csv --text text --label label",
        everyday=("text_column", "label_column", "test_file", "encoder_name"),
    ),
    "compare": Subcommand(
        summary="which remedy helps on your data, or does a moved threshold do as much?",
        arguments="hf_oversample.commands.compare_arguments:CompareRunArguments",
        run="hf_oversample.commands.answers:compare",
        plan="hf_oversample.commands.estimate:plan_comparison",
        example="hf-oversample compare my.csv --text text --label label -o compared",
        everyday=(*_DATA, "methods", "made", "classifiers"),
        trains=True,
        goes_on=True,
    ),
    "balance": Subcommand(
        summary="make rows of the rare classes: a balanced data set, every row with its origin",
        arguments="hf_oversample.commands.oversample_arguments:OversampleRunArguments",
        run="hf_oversample.commands.answers:balance",
        plan="hf_oversample.commands.estimate:plan_balance",
        example="hf-oversample balance my.csv --text text --label label -o out",
        everyday=(*_DATA, "method", "sampling_strategy", "generator", "writer"),
        trains=True,
        resumes=True,
        training=QUICK_TRAINING,
    ),
    "train": Subcommand(
        summary="train a MISO generator, and write anchors with it",
        arguments="hf_oversample.commands.miso_arguments:MisoRunArguments",
        run="hf_oversample.commands.answers:train",
        plan="hf_oversample.commands.estimate:plan_balance",
        example="hf-oversample train my.csv --text text --label label -o trained",
        everyday=(*_DATA, "encoder_name", "realizer"),
        trains=True,
        resumes=True,
        skip=_MEASURED,
        defaults={"evaluation_seeds": 0},
    ),
    "generate": Subcommand(
        summary="texts in, anchors out, by a trained generator",
        arguments="hf_oversample.commands.generate_arguments:GenerateArguments",
        run="hf_oversample.commands.generate:generate",
        example=(
            "hf-oversample generate new.csv --generator trained/generator --class spam "
            "--output_file anchors.jsonl"
        ),
        everyday=("generator", "text_column", "class_name", "per_text", "output_file", "seed"),
    ),
    "reembed": Subcommand(
        summary="fine-tune an encoder for rare classes: a classifier and a sentence encoder",
        arguments="hf_oversample.commands.reembed_arguments:ReembedRunArguments",
        run="hf_oversample.commands.reembed:reembed",
        plan="hf_oversample.commands.reembed:plan_reembed",
        example="hf-oversample reembed my.csv --text text --label label -o reembedded",
        everyday=(*_DATA, "encoder_name", "frozen", "objective", "anchors_file"),
        trains=True,
        training_class="hf_oversample.training.reembedding_arguments:ReembeddingArguments",
        trained="the encoder",
        resumes=True,
        skip=("protect", "protect_defaults", "user_dictionary"),
    ),
    "report": Subcommand(
        summary="show what a finished run or comparison found",
        arguments="hf_oversample.commands.folder_arguments:ReportArguments",
        run="hf_oversample.commands.answers:report",
        example="hf-oversample report out",
        everyday=("folder", "decisions", "encoder_name"),
        positional="folder",
    ),
    "push": Subcommand(
        summary="push a generator, an oversampler or a balanced data set to the Hub, in one commit",
        arguments="hf_oversample.commands.folder_arguments:PushArguments",
        run="hf_oversample.commands.push:push",
        plan="hf_oversample.commands.push:plan_push",
        example="hf-oversample push out/generator --repo user/name",
        everyday=("folder", "repo", "private"),
        positional="folder",
    ),
}

SOURCES = _SOURCES
