"""Command lines made from argument dataclasses, so that a default is declared once."""

from __future__ import annotations

import argparse
import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, NoReturn

_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Help with each flag's value named once: `-o, --output FOLDER`."""

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings:
            return super()._format_action_invocation(action)
        value = ""
        if action.nargs != 0:
            value = " " + self._format_args(action, self._get_default_metavar_for_optional(action))
        # a field's own name is a flag too, which the help does not repeat beside its short names
        own = f"--{action.dest}"
        flags = [flag for flag in action.option_strings if flag != own] or [own]
        return ", ".join(flags) + value


class Parser(argparse.ArgumentParser):
    """
    A parser that names the nearest flag where one is unknown, takes hyphens for underscores, and
    lets a bare boolean flag stand before another word.

    Args:
        description: shown as it is written.
        **options: of `argparse.ArgumentParser`.

    Attributes:
        problem: what could not be read, where something could not.
    """

    def __init__(self, description: str | None, **options: Any) -> None:
        super().__init__(
            description=description, formatter_class=Formatter, allow_abbrev=False, **options
        )
        self.problem = ""

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """As `parse_args`; ends the process with status 2 for what it cannot read."""
        options, unknown = self.parse_known_args(self._as_declared(argv))
        if unknown:
            flags = [word for word in unknown if word.startswith("-")]
            self.error(self._unknown(flags[0].split("=")[0] if flags else unknown[0]))
        return options

    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line, and where the help is; status 2."""
        self.problem = message
        self.exit(2, f"error: {message.rstrip('.')}. See {self.prog} --help.\n")

    def flags(self) -> list[str]:
        """Every flag that this command takes."""
        return [name for action in self._actions for name in action.option_strings]

    def _unknown(self, word: str) -> str:
        if not word.startswith("-"):
            return f"{word!r} is one word too many: put values with spaces in quotes"
        plain = word.replace("-", "_").lstrip("_")
        near = {name.lstrip("-").replace("-", "_"): name for name in self.flags()}
        found = difflib.get_close_matches(plain, near, n=1, cutoff=0.6)
        hint = f" (did you mean {near[found[0]]}?)" if found else ""
        return f"there is no flag {word}{hint}"

    def _as_declared(self, argv: Sequence[str]) -> list[str]:
        """The words with flags as they are declared, and a value behind each boolean."""
        known = {name: action for action in self._actions for name in action.option_strings}
        result: list[str] = []
        for place, word in enumerate(argv):
            flag, equals, value = word.partition("=")
            if flag not in known and flag.startswith("--"):
                body = flag[2:]
                for other in (f"--{body.replace('-', '_')}", f"--{body.replace('_', '-')}"):
                    flag = other if other in known else flag
            action = known.get(flag)
            if action is not None and action.type is _boolean and not equals:
                following = argv[place + 1].lower() if place + 1 < len(argv) else ""
                equals, value = ("", "") if following in _BOOLEANS else ("=", "true")
            result.append(flag + equals + value)
        return result


def _boolean(text: str) -> bool:
    if text.lower() not in _BOOLEANS:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return _BOOLEANS[text.lower()]


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def add_fields(
    parser: Any,
    arguments: type,
    skip: Sequence[str] = (),
    *,
    names: Mapping[str, Sequence[str]] | None = None,
    shown: Sequence[str] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> None:
    """
    Add one `--name` for each field of a dataclass; booleans take true or false (bare: true).

    Args:
        parser: an `argparse` parser or group.
        arguments: a dataclass; a field's `help`, and the `source` of its default, are read from its
            metadata.
        skip: fields that are no command-line arguments.
        names: field → further names of its argument, such as `-o`.
        shown: fields that `--help` shows; None shows all.
        defaults: field → the default that the help tells of, where a command has one of its own.

    Raises:
        ValueError: if a field has no help.
    """
    hints = typing.get_type_hints(arguments)
    for item in fields(arguments):
        if item.name in skip:
            continue
        kind, choices = _kind(hints[item.name])
        text = item.metadata.get("help")
        if text is None:
            raise ValueError(f"The argument {item.name} of {arguments.__name__} has no help text.")
        own = (defaults or {}).get(item.name, item.default)
        required = own is MISSING and item.default_factory is MISSING
        default = None if required else own
        told = ",".join(default) if isinstance(default, tuple) else default
        source = item.metadata.get("source")
        if not required and default not in (None, MISSING, ()):
            # where a default is from is told where there is something to tell
            noted = f"; {source}" if source and source != "choice" else ""
            text += f" (default {told}{noted})"
        options: dict[str, Any] = {"default": argparse.SUPPRESS, "help": text.replace("%", "%%")}
        if kind is bool:
            options |= {"type": _boolean, "nargs": "?", "const": True, "metavar": "BOOL"}
        elif item.metadata.get("repeated"):
            options |= {"action": "append", "metavar": item.name.upper()}
        elif kind is tuple:
            options |= {"type": _names, "metavar": "NAMES"}
        else:
            options |= {"type": kind, "choices": choices}
            options["metavar"] = None if choices else _metavar(item.name, kind)
        if shown is not None and item.name not in shown:
            options["help"] = argparse.SUPPRESS
        flags = [*(names or {}).get(item.name, ()), f"--{item.name}"]
        parser.add_argument(*flags, dest=item.name, required=required, **options)


def _metavar(name: str, kind: type) -> str:
    """What stands for a value in the help."""
    ends = {"_dir": "FOLDER", "_file": "FILE", "_column": "COLUMN", "_name": "NAME"}
    return next((word for end, word in ends.items() if name.endswith(end)), kind.__name__.upper())


def chosen_fields(options: argparse.Namespace, arguments: type) -> dict[str, Any]:
    """Fields of a dataclass that were given on the command line; the others keep their defaults."""
    given = {
        item.name: getattr(options, item.name)
        for item in fields(arguments)
        if hasattr(options, item.name)
    }
    # what was given several times
    return {k: tuple(value) if isinstance(value, list) else value for k, value in given.items()}


def _kind(hint: Any) -> tuple[type, list[Any] | None]:
    """The type that parses a field's values, and its choices if they are listed."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
        origin = typing.get_origin(hint)
    if origin is typing.Literal:
        choices = list(typing.get_args(hint))
        return type(choices[0]), choices
    return (origin, None) if origin is tuple else (hint, None)
