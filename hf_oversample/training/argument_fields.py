"""How training arguments are declared: a default, its meaning, its source and its range, once."""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import Any

_RANGES: dict[str, tuple[Callable[[float], bool], str]] = {
    "positive": (lambda value: value > 0, "it must be positive"),
    "not negative": (lambda value: value >= 0, "it must not be negative"),
    "micro-steps": (lambda value: value >= 0, "it must not be negative"),
    "share": (lambda value: 0 <= value <= 1, "it is a share, from 0 to 1"),
}


def argument(default: Any, help: str, source: str, range: str | None = None) -> Any:
    """
    A field of `CheckedArguments`.

    Args:
        default: its default.
        help: what it means; command lines and docs show it.
        source: where the default comes from; command lines and docs show it.
        range: "positive", "not negative", "micro-steps" or "share", each with a function below;
            none: any value of the field's type.
    """
    return field(default=default, metadata={"help": help, "source": source, "range": range})


def positive(default: float, help: str, source: str) -> Any:
    """An `argument` above 0."""
    return argument(default, help, source, "positive")


def not_negative(default: float, help: str, source: str) -> Any:
    """An `argument` of 0 or more."""
    return argument(default, help, source, "not negative")


def micro_steps(default: int | None, help: str, source: str) -> Any:
    """An `argument` of 0 or more micro-steps, a multiple of `gradient_accumulation_steps`; or None,
    where the field's type allows it."""
    return argument(default, help, source, "micro-steps")


def share(default: float, help: str, source: str) -> Any:
    """An `argument` from 0 to 1."""
    return argument(default, help, source, "share")


@dataclass(frozen=True)
class CheckedArguments:
    """
    Base of the training arguments: checks each field's range, and shows all of them.

    Subclasses are frozen dataclasses whose fields come from this module's functions, a field
    `gradient_accumulation_steps` among them; fields of a `Literal` type take its values only.

    Raises:
        ValueError: if a value is out of its field's range; the message names the field.
    """

    def __post_init__(self) -> None:
        hints, values = typing.get_type_hints(type(self)), self.to_dict()
        for item in fields(self):
            value, hint = values[item.name], hints[item.name]
            if item.metadata["range"] and value is not None:
                holds, rule = _RANGES[item.metadata["range"]]
                if not holds(value):
                    raise ValueError(f"{item.name} is {value}; {rule}.")
            choices = typing.get_args(hint) if typing.get_origin(hint) is typing.Literal else ()
            if choices and value not in choices:
                allowed = ", ".join(repr(choice) for choice in choices)
                raise ValueError(f"{item.name} is {value!r}; it must be one of {allowed}.")
        # after the ranges: only then the number of micro-steps is known to be positive
        per_update = values["gradient_accumulation_steps"]
        for item in fields(self):
            if item.metadata["range"] == "micro-steps" and (values[item.name] or 0) % per_update:
                raise ValueError(
                    f"{item.name} is {values[item.name]}, no multiple of "
                    f"gradient_accumulation_steps ({per_update}): a phase of training or a "
                    "checkpoint would end inside an optimiser step."
                )

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values."""
        return asdict(self)

    @classmethod
    def describe(cls) -> str:
        """A Markdown table of the fields, their defaults, meaning and source."""
        rows = []
        for item in fields(cls):
            meaning = item.metadata["help"].replace("|", "\\|")  # a bar would end the cell
            rows.append(
                f"| `{item.name}` | {item.default} | {meaning} | {item.metadata['source']} |"
            )
        return "\n".join(
            ["| argument | default | meaning | source of the default |", "|---|---|---|---|", *rows]
        )


def check_whole_step(stop_at: int | None, accumulation: int) -> None:
    """
    Check that a training is not stopped inside an optimiser step.

    Args:
        stop_at: steps after which it stops; None: it runs to its end.
        accumulation: micro-steps of an optimiser step, `gradient_accumulation_steps`.

    Raises:
        ValueError: if `stop_at` is no multiple of it.
    """
    if stop_at and stop_at % accumulation:
        raise ValueError(
            f"stop_at is {stop_at}, no multiple of gradient_accumulation_steps "
            f"({accumulation}): the checkpoint would lack the gradients of an unfinished optimiser "
            "step."
        )
