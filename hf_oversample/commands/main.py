"""The console command `hf-oversample`.

It imports no library before a subcommand runs: help is quick.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import importlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from hf_oversample.commands.command import check_files
from hf_oversample.commands.guard import guarded
from hf_oversample.commands.messages import be_quiet, is_first_process
from hf_oversample.commands.outcome import Outcome
from hf_oversample.commands.parser import add_fields, chosen_fields
from hf_oversample.commands.subcommands import NAMES, SOURCES, SUBCOMMANDS, Subcommand

_DEMOS = "demo:"


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run one subcommand.

    Args:
        argv: the command line's words; None for the process's own.

    Returns:
        The exit status: 0; 2 for what the user can put right; 1 for a fault of this package; 130
        where Ctrl-C stopped it.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "--help-all"):
        print(_overview())
        return 0
    if words[0] == "--version":
        from hf_oversample import __version__

        print(f"hf-oversample {__version__}")
        return 0
    name = words[0]
    if name not in SUBCOMMANDS:
        near = difflib.get_close_matches(name, SUBCOMMANDS, n=1)
        meant = f" Did you mean {near[0]!r}?" if near else ""
        print(
            f"error: there is no command {name!r}; there are {', '.join(SUBCOMMANDS)}.{meant}",
            file=sys.stderr,
        )
        return 2
    try:
        return _run(name, words[1:])
    except SystemExit as end:  # argparse: after help 0, after a wrong flag 2
        return int(end.code or 0)


def _run(name: str, words: list[str]) -> int:
    command = SUBCOMMANDS[name]
    debug = "--debug" in words
    go_on = None
    if command.goes_on:
        go_on = "The same command goes on where it was."
    elif command.resumes:
        go_on = "The same command begins anew; with --save_steps, --resume last goes on."
    if "--quiet" in words:
        be_quiet()
    return guarded(lambda: _work(name, command, words), debug=debug, go_on=go_on)


def _work(name: str, command: Subcommand, words: list[str]) -> None:
    kind = _named(command.arguments)
    parser = parser_of(name, everything="--help-all" in words)
    options = _parsed(parser, words)
    values = {**command.defaults, **chosen_fields(options, kind)}
    if command.positional == "data":
        values |= _data(options, kind, values)
    if command.trains:
        training = _named("hf_oversample.training.arguments:MisoTrainingArguments")
        values["training"] = training(**{**command.training, **chosen_fields(options, training)})
    if options.dry_run and command.plan is None:
        raise ValueError(f"{name} has no --dry-run: it writes nothing that takes long.")
    missing = [field for field in _required(kind) if field not in values]
    if options.dry_run and "output_dir" in missing:  # nothing is written
        values["output_dir"] = "output_dir"
        missing.remove("output_dir")
    if missing:
        shown = ", ".join(NAMES.get(field, (f"--{field}",))[0] for field in missing)
        raise ValueError(f"{name} needs {shown}. For example: {command.example}")
    arguments = kind(**values)
    check_files(arguments)
    if command.trains and not options.dry_run:
        from hf_oversample.commands.cores import use_free_cores

        use_free_cores()
    if options.dry_run:
        outcome = _named(str(command.plan))(arguments)
    else:
        outcome = _named(command.run)(arguments, getattr(options, "resume", None))
    if outcome is not None and is_first_process():
        _show(outcome, options)


def _show(outcome: Outcome, options: argparse.Namespace) -> None:
    """The result on stdout; what comes next on stderr, where it disturbs no program."""
    if options.format == "json":
        print(json.dumps(outcome.record, ensure_ascii=False, default=str))
        return
    print(outcome.text)
    if outcome.hints and not options.quiet:
        print("\n".join(["", "Next:", *(f"  {hint}" for hint in outcome.hints)]), file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    """Says the nearest flag beside an unknown one."""

    def error(self, message: str) -> NoReturn:
        print(f"error: {message}", file=sys.stderr)
        print(f"{self.prog} --help shows the flags.", file=sys.stderr)
        raise SystemExit(2)


def parser_of(name: str, *, everything: bool) -> argparse.ArgumentParser:
    """
    The parser of a subcommand.

    Args:
        name: the subcommand's.
        everything: whether its help shows all flags, not the everyday ones alone.
    """
    command = SUBCOMMANDS[name]
    kind = _named(command.arguments)
    parser = _Parser(
        prog=f"hf-oversample {name}",
        description=f"{command.summary[0].upper()}{command.summary[1:]}.\n\n  {command.example}",
        epilog=None if everything else "--help-all shows every flag.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=False,
    )
    own = {field.name for field in dataclasses.fields(kind)}
    skip = ["training", *command.skip]
    if command.positional == "data":
        parser.add_argument(
            "data",
            nargs="?",
            metavar="DATA",
            help="a csv, tsv, jsonl or parquet file, a data set on the Hub, or demo:sms",
        )
    else:
        skip.append(command.positional)
        parser.add_argument(
            command.positional,
            nargs="?",
            default=argparse.SUPPRESS,
            metavar=command.positional.upper(),
            help="the folder",
        )
    shown = None if everything else command.everyday
    names = {**NAMES, **({"class_name": ("--class",)} if "class_name" in own else {})}
    add_fields(
        parser,
        kind,
        skip,
        names=names,
        shown=shown,
        defaults=dict.fromkeys(_required(kind)) | dict(command.defaults),
    )
    if command.trains:
        training = _named("hf_oversample.training.arguments:MisoTrainingArguments")
        group = parser.add_argument_group("training of a generator") if everything else parser
        add_fields(group, training, shown=shown, defaults=command.training)
    if command.resumes:
        parser.add_argument(
            "--resume",
            "--resume_from_checkpoint",
            dest="resume",
            metavar="FOLDER",
            help="a checkpoint of a stopped training, or 'last'"
            if everything
            else argparse.SUPPRESS,
        )
    every = parser.add_argument_group("every command")
    every.add_argument(
        "--format", choices=("human", "json"), default="human", help="json: one document on stdout"
    )
    every.add_argument(
        "--dry_run",
        action="store_true",
        help="read and check the data, and say what would be made, how long it takes, how much "
        "memory"
        if command.plan
        else argparse.SUPPRESS,
    )
    every.add_argument("--quiet", action="store_true", help="no progress on stderr")
    every.add_argument("--debug", action="store_true", help="tracebacks of errors")
    every.add_argument("-h", "--help", action="help", help="the everyday flags")
    every.add_argument("--help_all", "--help-all", action="help", help="every flag")
    return parser


def _parsed(parser: argparse.ArgumentParser, words: Sequence[str]) -> argparse.Namespace:
    """The options; `--dry-run` and `--dry_run` are the same flag."""
    known = [flag for action in parser._actions for flag in action.option_strings]
    spelled = []
    for word in words:
        flag, equals, value = word.partition("=")
        if flag.startswith("--") and flag not in known and flag.replace("-", "_")[2:]:
            underscored = "--" + flag[2:].replace("-", "_")
            flag = underscored if underscored in known else flag
        spelled.append(flag + equals + value)
    options, unknown = parser.parse_known_args(spelled)
    if unknown:
        near = difflib.get_close_matches(unknown[0].partition("=")[0], known, n=1)
        meant = f" Did you mean {near[0]}?" if near else ""
        parser.error(f"unknown: {unknown[0]}.{meant}")
    return options


def _data(options: argparse.Namespace, kind: type, values: dict[str, Any]) -> dict[str, Any]:
    """The field that DATA stands for: a demo, a file, or the name of a data set on the Hub."""
    if options.data is None:
        return {}
    if given := [name for name in SOURCES if name in values]:
        raise ValueError(f"the data are named twice: {options.data} and --{given[0]}.")
    if options.data.startswith(_DEMOS):
        return {"demo": options.data.removeprefix(_DEMOS)}
    path = Path(options.data)
    is_name = options.data.count("/") <= 1 and not path.suffix and not options.data.startswith(".")
    if path.exists() or not is_name or os.sep in options.data.strip("/")[:1]:
        return {"train_file": options.data}
    return {"dataset_name": options.data}


def _required(kind: type) -> list[str]:
    return [
        field.name
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]


def _named(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def _overview() -> str:
    width = max(map(len, SUBCOMMANDS))
    lines = [f"  {name:<{width}}  {command.summary}" for name, command in SUBCOMMANDS.items()]
    return "\n".join(
        [
            "More and better rows of the rare class of a text data set.",
            "",
            "usage: hf-oversample COMMAND DATA [flags]",
            "",
            *lines,
            "",
            "hf-oversample COMMAND --help shows a command's everyday flags, --help-all every flag.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
