"""Options of the heads that an oversampler trains, checked when it is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

from hf_oversample.oversamplers.option_checks import check_numbers, check_values
from hf_oversample.training.heads import train_head

NOT_HEAD_OPTIONS = {
    *("embeddings", "labels", "num_labels", "hidden_size", "epochs", "seed"),  # AMO's own
    *("model", "collator", "return"),  # both heads would be one, or not see the data set's rows
}


def checked_head_options(options: Any) -> dict[str, Any]:
    """Head options, checked by what ``train_head`` declares.

    Raises:
        TypeError: no mapping, or a value of another type than declared.
        ValueError: an unknown name, or a value out of range.
    """
    if not isinstance(options, Mapping):
        raise TypeError(f"head_options must be a mapping of names to values, got {options!r}")
    hints = get_type_hints(train_head)
    known = sorted(set(hints) - NOT_HEAD_OPTIONS)
    if unknown := sorted(set(map(str, options)) - set(known)):
        raise ValueError(f"head_options has {unknown}; it takes {known}")
    for name, value in options.items():
        hint, label = hints[name], f"head_options[{name!r}]"
        if get_origin(hint) is Literal:
            choices = get_args(hint)
            check_values(**{label: (value, value in choices, f"one of {list(choices)}")})
        elif hint is bool:
            check_values(**{label: (value, isinstance(value, bool), "a bool")})
        elif hint is int:
            smallest = 1 if name == "batch_size" else 0
            check_numbers(int, **{label: value})
            check_values(**{label: (value, value >= smallest, f"at least {smallest}")})
        elif hint is float or (hint == float | None and value is not None):
            check_numbers(float, **{label: value})
            check_values(**{label: (value, value >= 0, "at least 0")})
    return dict(options)
