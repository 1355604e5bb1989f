"""Command lines made from argument dataclasses, so that a default is declared once."""

from __future__ import annotations

import argparse
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any


def _boolean(text: str) -> bool:
    values = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if text.lower() not in values:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return values[text.lower()]


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
        if not required and default is not None and default is not MISSING:
            text += f" (default {told}{f'; {source}' if source else ''})"
        options: dict[str, Any] = {"default": argparse.SUPPRESS, "help": text.replace("%", "%%")}
        if kind is bool:
            options |= {"type": _boolean, "nargs": "?", "const": True, "metavar": "BOOL"}
        elif kind is tuple:
            options |= {"type": _names, "metavar": "NAMES"}
        else:
            options |= {"type": kind, "choices": choices}
            options["metavar"] = None if choices else kind.__name__.upper()
        if shown is not None and item.name not in shown:
            options["help"] = argparse.SUPPRESS
        flags = [*(names or {}).get(item.name, ()), f"--{item.name}"]
        parser.add_argument(*flags, dest=item.name, required=required, **options)


def chosen_fields(options: argparse.Namespace, arguments: type) -> dict[str, Any]:
    """Fields of a dataclass that were given on the command line; the others keep their defaults."""
    return {
        item.name: getattr(options, item.name)
        for item in fields(arguments)
        if hasattr(options, item.name)
    }


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
