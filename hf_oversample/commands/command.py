"""
The command line of a run: arguments from dataclasses, and what a user can put right as one line.
It imports no torch, so that `--help` is quick.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from hf_oversample.commands.arguments import RunArguments
from hf_oversample.commands.cores import use_free_cores
from hf_oversample.commands.guard import goes_on_by_itself, guarded, how_to_go_on
from hf_oversample.commands.messages import quietly
from hf_oversample.commands.parser import Parser, add_fields, chosen_fields
from hf_oversample.commands.subcommands import NAMES
from hf_oversample.training.arguments import MisoTrainingArguments

Arguments = TypeVar("Arguments", bound=RunArguments)

ANCHOR_OPTIONS = ("anchor_share", "max_anchors_per_source", "edit_share")
"""What of MISO's goes by `--method_options` where the method is chosen by a flag; elsewhere each
has a flag of its own."""
WHERE_NONE_IS_GIVEN = "of the generator, where none is given"
"""What training arguments are for, where a generator may be given."""


def run_command(
    argv: Sequence[str] | None,
    arguments_class: type[Arguments],
    run: Callable[[Arguments, str | None], str],
    *,
    description: str | None,
    unused: Sequence[str] = (),
    trained: str | None = None,
    resumes: bool = True,
    training_class: type = MisoTrainingArguments,
) -> int:
    """
    Parse the arguments, run, and print what came out.

    Args:
        argv: the command line's words; None for the process's own.
        arguments_class: the run's arguments; each field is one `--name`.
        run: from the arguments, and the checkpoint to resume from, to what is printed; nothing is
            where it is empty, as in processes other than the main one.
        description: of the command, for `--help`.
        unused: fields that are no command-line arguments, besides `training`.
        trained: what the training arguments are for, for `--help`.
        resumes: whether there is `--resume_from_checkpoint`; otherwise the same command goes on
            where it was.
        training_class: of the arguments' field `training`.

    Returns:
        The exit status: 0; 2 for what the user can put right; 1 for a fault of this package; 130
        where Ctrl-C stopped it.
    """
    parser = Parser(description)
    add_fields(parser, arguments_class, skip=("training", *unused), names=NAMES)
    add_fields(parser.add_argument_group("training", trained), training_class)
    if resumes:
        parser.add_argument(
            "--resume_from_checkpoint", "--resume", metavar="FOLDER", help="a checkpoint, or 'last'"
        )
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    parser.add_argument("--debug", action="store_true", help="tracebacks of errors")
    words = list(sys.argv[1:] if argv is None else argv)
    options = parser.parse(words)

    def work() -> None:
        arguments = arguments_class(
            **chosen_fields(options, arguments_class),
            training=training_class(**chosen_fields(options, training_class)),
        )
        check_files(arguments)
        use_free_cores()
        said = run(arguments, options.resume_from_checkpoint if resumes else None)
        if said:
            print(said)

    def go_on() -> str:
        return how_to_go_on(words, options.output_dir) if resumes else goes_on_by_itself(words)

    with quietly(options.quiet):
        return guarded(work, debug=options.debug, go_on=go_on, flags=parser.flags())


def check_files(arguments: Any) -> None:
    """Missing files are told at once, before seconds of imports."""
    for one in dataclasses.fields(arguments):
        is_read = one.name.endswith("_file") and not one.name.startswith("output")
        path = getattr(arguments, one.name) if is_read else None
        if path is not None and not Path(path).is_file():
            raise FileNotFoundError(f"{one.name} {path!r} is not a file")


def balanced_summary(record: Mapping[str, Any], *more: str) -> str:
    """
    The last lines of a run that balances: rows made, translations accepted, texts rejected, and how
    long it took.

    Args:
        record: the run's.
        *more: lines of the method's own, after the first.
    """
    origin = record["counts"]["origin"]
    counts = ", ".join(f"{name} {rows}" for name, rows in record["counts"]["after"].items())
    lines = [
        f"{origin['synthetic']} synthetic and {origin['resampled']} repeated rows beside "
        f"{origin['real']} real rows. Rows by class: {counts}.",
        *more,
        *time_limit_lines(record),
    ]
    lines += _acceptance_lines(record.get("acceptance", ()))
    if record["rejections"]:
        reasons = ", ".join(f"{reason} {n}" for reason, n in record["rejections"].items())
        lines.append(f"Texts drawn: {reasons}.")
    if record.get("made_texts"):
        from hf_oversample.oversamplers.anchors.shortfall import TextCounts, shortfall_lines

        by_method = ANCHOR_OPTIONS if "method_options" in record["arguments"] else ()
        lines += shortfall_lines(TextCounts(**record["made_texts"]), "texts", by_method)
    if record.get("screen"):
        from hf_oversample.commands.screen import screen_lines

        lines += screen_lines(record["screen"])
    seconds = ", ".join(f"{name} {value:.1f}" for name, value in record["timings"].items())
    return "\n".join([*lines, f"Seconds: {seconds}"])


def time_limit_lines(record: Mapping[str, Any]) -> list[str]:
    """That the generator's training was cut short, and where; nothing where it was not."""
    cut = record.get("cut_short") or {}
    if not cut:
        return []
    done = record["steps"]
    phases = ", ".join(
        f"{done.get(phase, 0)} of {asked} steps ({phase})" for phase, asked in cut.items()
    )
    return [f"The generator's training was stopped by --max_train_seconds after {phases}."]


def _acceptance_lines(pairs: Sequence[Mapping[str, Any]]) -> list[str]:
    """What AMO's classifier accepted, with a warning where that is less than half."""
    drawn, translated, accepted = (
        sum(pair[name] for pair in pairs) for name in ("drawn", "translated", "accepted")
    )
    if not drawn:
        return []
    lines = [f"AMO: {accepted} of {drawn} rows accepted, {translated} were translated."]
    if 2 * accepted < drawn:
        lines.append(
            "Warning: fewer than half of AMO's rows were accepted, and the others repeat real "
            "rows: lower beta where few were translated, and else acceptance, or train a stronger "
            "classifier."
        )
    return lines
