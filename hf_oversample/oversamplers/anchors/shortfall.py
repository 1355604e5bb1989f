"""Why a generator wrote fewer texts than were asked for, and what to change."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from hf_oversample.oversamplers.anchors.plan import COPY
from hf_oversample.oversamplers.anchors.surface import REASONS

if TYPE_CHECKING:
    from hf_oversample.oversamplers.language_model.oversampler import LanguageModelOversampler
    from hf_oversample.oversamplers.miso.oversampler import MisoOversampler

Way = Literal["edit", "generate", "decode", "write"]
COPIES = ("unchanged", "copy", "near copy")


@dataclass(frozen=True)
class TextCounts:
    """
    How many texts were asked for, and what became of them.

    Args:
        way: how they are made: edits of a source, written anew from a source's latents
            ("generate") or from latents that another method made ("decode"), or begun with a
            source's first words by a language model ("write").
        asked: texts that the options ask for.
        planned: those that the sources can give.
        made: those that were kept.
        rejected: reason → drafts, see `surface.REASONS`, the most frequent first; a text is drawn
            again when its draft is rejected. None where the drafts were not counted: they were
            drawn in other processes, or by an earlier run whose rows `datasets` kept.
    """

    way: Way
    asked: int
    planned: int
    made: int
    rejected: dict[str, int] | None

    @classmethod
    def of(
        cls, way: Way, *, asked: int, planned: int, made: int, rejections: Mapping[str, int] | None
    ) -> TextCounts:
        """From what `rejections` of `MisoOversampler` and `LatentDecoder` counts."""
        if rejections is None:
            return cls(way, asked, planned, made, None)
        found = {reason: rejections[reason] for reason in REASONS if rejections.get(reason)}
        ordered = dict(sorted(found.items(), key=lambda item: -item[1]))
        return cls(way, asked, planned, made, ordered)

    @classmethod
    def of_anchors(
        cls, oversampler: MisoOversampler | LanguageModelOversampler, made: int
    ) -> TextCounts:
        """Of a fitted oversampler that made `made` anchors."""
        plan = oversampler.fitted_plan()
        asked = sum(round(oversampler.anchor_share * n) for n in np.bincount(plan.label).tolist())
        return cls.of(
            oversampler.realizer,
            asked=asked,
            planned=int((plan.extra["kind"] != COPY).sum()),
            made=made,
            rejections=oversampler.rejections,
        )

    @property
    def drawn(self) -> int:
        """Drafts."""
        drafts = {r: n for r, n in (self.rejected or {}).items() if r != "nothing to edit"}
        return self.made + sum(drafts.values())


def shortfall_lines(
    counts: TextCounts, what: str = "anchors", method_options: Collection[str] = ()
) -> list[str]:
    """
    What a person is told of texts that are missing: how many, why, and what to change; nothing
    where none are.

    Args:
        counts: of the run.
        what: the texts are called.
        method_options: options that have no flag of their own but go by `--method_options`.
    """
    if counts.made >= counts.asked:
        return []

    def flag(name: str) -> str:
        return f'"{name}" in --method_options' if name in method_options else f"--{name}"

    lines = [
        f"Fewer {what} than asked: {counts.made} of {counts.asked}; real rows are repeated instead."
    ]
    if counts.planned < counts.asked:
        lines.append(
            f"- Only {counts.planned} were planned: the rows that they start from give no more. "
            f"Raise {flag('max_anchors_per_source')}, or lower {flag('anchor_share')}."
        )
    if counts.rejected:
        reasons = ", ".join(f"{reason} {n}" for reason, n in counts.rejected.items())
        lines.append(f"- {counts.drawn} drafts, {counts.made} kept; rejected: {reasons}.")
    groups: dict[str, list[str]] = {}
    for reason in counts.rejected or {}:
        advice = _advice(reason, counts.way, flag)
        groups.setdefault(advice, []).append(reason)
    return lines + [f"- {', '.join(reasons)}: {advice}." for advice, reasons in groups.items()]


_WRITERS_ADVICE = {
    "wrong class": (
        "lower {gate_quantile}, ask other judges with {gate}, or lead further away from the other "
        'class with "guidance" in {method_options}'
    ),
    "unknown words": 'allow any words with "training_words_only" false in {method_options}',
    "unfinished": 'allow longer texts with "max_length" in {method_options}',
    "too long": 'keep fewer words, or allow longer texts, with "max_length" in {method_options}',
} | dict.fromkeys(
    ("copy", "near copy", "unchanged", "repeats", "empty"),
    'keep fewer words of the source with "most_kept" in {method_options}, draw at a higher '
    '"temperature", or name a larger --writer',
)


def _advice(reason: str, way: Way, flag: Callable[[str], str]) -> str:
    """What to change where many drafts are rejected for a reason."""
    if way == "write" and (advice := _WRITERS_ADVICE.get(reason)):
        return advice.format(
            **{name: flag(name) for name in ("gate_quantile", "gate", "method_options")}
        )
    if reason == "wrong class":
        return (
            f"lower {flag('gate_quantile')}, ask other judges with {flag('gate')}, or train the "
            f"generator longer with {flag('pretrain_steps')}"
        )
    if reason == "too easy":
        return f"raise {flag('gate_ceiling')}"
    if reason == "no help":
        return (
            f"by the class's other rows they would teach nothing: leave 'influence' out of "
            f"{flag('gate')}"
        )
    if reason == "unknown words":
        return (
            f"they have words that no training text has, which mark a row as made: raise "
            f"{flag('max_tries')}, or give {flag('unknown_words')} keep"
        )
    if reason == "too near":
        return f"raise {flag('max_cosine')}"
    if reason == "nothing to edit":
        return (
            f"every word of the source is protected, a number or a negation: narrow "
            f"{flag('protect')}, or give {flag('protect_defaults')} false"
        )
    if reason == "sibling":
        return f"the same text came again: raise {flag('max_tries')}, or give more rare rows"
    if reason in COPIES and way == "edit":
        return (
            f"raise {flag('edit_share')}, so that more words are replaced, or {flag('max_tries')}"
        )
    return f"train the generator longer with {flag('pretrain_steps')}, or raise {flag('max_tries')}"
