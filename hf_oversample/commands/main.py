"""The console command `hf-oversample`.

It imports no library before a subcommand runs: help is quick.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import difflib
import importlib
import json
import os
import re
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from hf_oversample.commands import extension
from hf_oversample.commands.command import check_files
from hf_oversample.commands.cores import let_threads_sleep, use_free_cores
from hf_oversample.commands.guard import (
    USERS,
    goes_on_by_itself,
    guarded,
    how_to_go_on,
    same_command,
)
from hf_oversample.commands.messages import is_first_process, quietly
from hf_oversample.commands.outcome import Outcome
from hf_oversample.commands.parser import Parser, add_fields, chosen_fields
from hf_oversample.commands.subcommands import NAMES, SOURCES, SUBCOMMANDS, Subcommand

_DEMOS = "demo:"
_ROWS = re.compile(r".*\.(csv|tsv|json|jsonl|parquet)(\.gz)?", re.IGNORECASE)
# `my.cvs`, `rows.xlsx`: what has no "/" and ends so is no name on the Hub
_FILE = re.compile(r"[^/]*\.[A-Za-z]{2,7}(\.gz)?")


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
    if words[0] == extension.FLAG:
        return guarded(lambda: print(extension.register()))
    name = words[0]
    if name not in SUBCOMMANDS:
        near = difflib.get_close_matches(name, SUBCOMMANDS, n=1)
        meant = f" (did you mean {near[0]}?)" if near else ""
        print(
            f"error: there is no command {name!r}{meant}; there are {', '.join(SUBCOMMANDS)}.",
            file=sys.stderr,
        )
        return 2
    return _run(name, words[1:])


def _run(name: str, words: list[str]) -> int:
    command = SUBCOMMANDS[name]
    kind = _named(command.arguments)
    parser = parser_of(name, everything="--help-all" in words)
    try:
        options = parser.parse(words)
    except SystemExit as end:  # after help 0, after what cannot be read 2
        if parser.problem and ("--format=json" in words or "json" in words):
            _print_json({"status": USERS, "error": parser.problem})
        return int(end.code or 0)
    with quietly(options.quiet):
        return _carry_out(name, command, kind, options, words, parser.flags())


def _carry_out(
    name: str,
    command: Subcommand,
    kind: type,
    options: argparse.Namespace,
    words: list[str],
    flags: Collection[str],
) -> int:
    """Run what was read, here or in as many processes as were asked for; the exit status."""
    processes = getattr(options, "num_processes", 1)
    if processes > 1 and not options.dry_run and "LOCAL_RANK" not in os.environ:
        from hf_oversample.commands.launch import launch  # torch: not for --help

        return launch([name, *words], processes)

    read: list[Any] = []  # the arguments, once they are
    outcomes: list[Outcome] = []

    def go_on() -> str:
        if options.dry_run:
            return f"Begin anew: {same_command([name, *words])}"
        if command.goes_on:
            return goes_on_by_itself([name, *words])
        trains = command.resumes and all(getattr(a, "trains_generator", True) for a in read)
        folder = getattr(options, "output_dir", None)
        return how_to_go_on([name, *words], folder, trains=trains)

    failures: list[dict[str, Any]] = []
    # what a library prints is no part of the result
    with contextlib.redirect_stdout(sys.stderr):
        status = guarded(
            lambda: outcomes.extend(_outcomes(name, command, kind, options, read)),
            debug=options.debug,
            go_on=go_on,
            flags=flags,
            tell=lambda status, error: failures.append({"status": status, "error": error}),
        )
    if is_first_process():
        if options.format == "json":
            for record in failures or [outcome.record for outcome in outcomes]:
                _print_json(record)
        else:
            for outcome in outcomes:
                _show(outcome, quiet=options.quiet)
    return status


def _outcomes(
    name: str, command: Subcommand, kind: type, options: argparse.Namespace, read: list[Any]
) -> list[Outcome]:
    """What came out, in a list; an empty one in processes other than the main one. `read` gets the
    arguments as soon as they are read."""
    values = {**command.defaults, **chosen_fields(options, kind)}
    if command.positional == "data":
        values |= _data(options, values)
    if command.trains:
        training = _named(command.training_class)
        values["training"] = training(**{**command.training, **chosen_fields(options, training)})
    if options.dry_run and command.plan is None:
        raise ValueError(f"{name} has no --dry-run: it writes nothing that takes long.")
    missing = [field for field in _required(kind) if field not in values]
    if options.dry_run and "output_dir" in missing:  # nothing is written
        values["output_dir"] = "output_dir"
        missing.remove("output_dir")
    needed = [
        field.upper() if field == command.positional else NAMES.get(field, (f"--{field}",))[0]
        for field in missing
    ]
    if command.positional == "data" and not any(source in values for source in SOURCES):
        needed.insert(0, "DATA (a file, a data set on the Hub, demo:sms or demo:bbc)")
    if needed:
        shown = ", ".join(needed)
        raise ValueError(f"{name} needs {shown}. For example: {command.example}")
    arguments = kind(**values)
    read.append(arguments)
    check_files(arguments)
    let_threads_sleep()
    if command.trains:
        use_free_cores()
    if options.dry_run:
        outcome = _named(str(command.plan))(arguments)
    else:
        outcome = _named(command.run)(arguments, getattr(options, "resume", None))
    return [] if outcome is None else [outcome]


def _print_json(record: dict[str, Any]) -> None:
    print(json.dumps(record, ensure_ascii=False, default=str))


def _show(outcome: Outcome, *, quiet: bool) -> None:
    """The result on stdout; what comes next on stderr, where it disturbs no program."""
    print(outcome.text)
    if outcome.hints and not quiet:
        hints = "\n".join(f"  {hint}" for hint in outcome.hints)
        print(f"\nNext:\n{hints}", file=sys.stderr)


def parser_of(name: str, *, everything: bool) -> Parser:
    """
    The parser of a subcommand.

    Args:
        name: the subcommand's.
        everything: whether its help shows all flags, not the everyday ones alone.
    """
    command = SUBCOMMANDS[name]
    kind = _named(command.arguments)
    summary = command.summary[0].upper() + command.summary[1:]
    word = "DATA" if command.positional == "data" else command.positional.upper()
    parser = Parser(
        f"{summary}.\n\n  {command.example}".replace("?.", "?"),
        prog=f"hf-oversample {name}",
        usage=f"hf-oversample {name} {word} [flags]",
        epilog=None if everything else "--help-all shows every flag.",
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
        training = _named(command.training_class)
        group = (
            parser.add_argument_group(f"training of {command.trained}") if everything else parser
        )
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
        parser.add_argument(
            "--num_processes",
            type=int,
            default=1,
            metavar="INT",
            help="processes of this machine that train together, a GPU each where there are"
            if everything
            else argparse.SUPPRESS,
        )
    every = parser.add_argument_group("every command")
    every.add_argument(
        "--format", choices=("human", "json"), default="human", help="json: one document on stdout"
    )
    every.add_argument(
        "--dry-run",
        dest="dry_run",
        action="store_true",
        help="check everything, and say what would be made or pushed, and what that takes; nothing "
        "is written"
        if command.plan
        else argparse.SUPPRESS,
    )
    every.add_argument("--quiet", action="store_true", help="no progress on stderr")
    every.add_argument("--debug", action="store_true", help="tracebacks of errors")
    every.add_argument("-h", "--help", action="help", help="the everyday flags")
    every.add_argument("--help-all", action="help", help="every flag")
    return parser


def _data(options: argparse.Namespace, values: dict[str, Any]) -> dict[str, Any]:
    """The field that DATA stands for: a demo, a file, or the name of a data set on the Hub.

    Raises:
        ValueError: the data are named twice, or it is a folder.
        FileNotFoundError: it looks like a file's name, and there is no such file.
    """
    word = options.data
    if word is None:
        return {}
    if given := [name for name in SOURCES if name in values]:
        raise ValueError(f"the data are named twice: {word} and --{given[0]}.")
    if word.startswith(_DEMOS):
        return {"demo": word.removeprefix(_DEMOS)}
    path = Path(word)
    if path.is_file():
        return {"train_file": word}
    if path.is_dir():
        inside = sorted(one for one in path.iterdir() if _ROWS.fullmatch(one.name))
        hint = f", such as {inside[0]}" if inside else ""
        raise ValueError(f"{word} is a folder: name one file of rows{hint}.")
    is_path = word.startswith((".", "/", "~")) or word.count("/") > 1
    if is_path or _ROWS.fullmatch(word) or _FILE.fullmatch(word):
        raise FileNotFoundError(f"{word!r} is not a file{_nearest(path)}.")
    return {"dataset_name": word}


def _nearest(path: Path) -> str:
    if not path.parent.is_dir():
        return f", and there is no folder {path.parent}"
    names = [one.name for one in path.parent.iterdir() if one.is_file()]
    near = difflib.get_close_matches(path.name, names, n=1)
    return f" (did you mean {path.parent / near[0]}?)" if near else ""


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
            f"hf-oversample {extension.FLAG}, once: `hf oversample` is the same from then on.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
