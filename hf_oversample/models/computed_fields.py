"""Fields of a configuration that are computed of others, and that no file may set."""

from __future__ import annotations

from collections.abc import Iterable

from transformers import PreTrainedConfig


def refuse_computed(config: PreTrainedConfig, names: Iterable[str]) -> None:
    """
    Raises:
        ValueError: one of the names is a property without a setter.
    """
    for name in names:
        own = getattr(type(config), name, None)
        if isinstance(own, property) and own.fset is None:
            raise ValueError(
                f"{type(config).__name__} computes {name} from its other fields, and it cannot be "
                "given: leave it out of config.json."
            )
