"""What a person is told where fewer texts were made than asked for."""

from __future__ import annotations

import argparse
import re
from typing import Any

import pytest

from hf_oversample.commands.command import ANCHOR_OPTIONS, balanced_summary
from hf_oversample.commands.miso_arguments import MisoRunArguments
from hf_oversample.commands.parser import add_fields
from hf_oversample.oversamplers.anchors.shortfall import TextCounts, shortfall_lines
from hf_oversample.oversamplers.anchors.surface import REASONS
from hf_oversample.training.arguments import MisoTrainingArguments


def counts(made: int = 3, **rejections: int) -> TextCounts:
    named = {name.replace("_", " "): n for name, n in rejections.items()}
    return TextCounts.of("edit", asked=40, planned=20, made=made, rejections=named)


def test_enough_is_nothing_to_tell() -> None:
    assert shortfall_lines(counts(made=40, wrong_class=900)) == []


def test_how_many_why_and_what_to_change() -> None:
    found = counts(kept=3, copy=5, wrong_class=60, near_copy=7, tries_used_up=17)
    assert found.rejected == {"wrong class": 60, "near copy": 7, "copy": 5}
    assert found.drawn == 75
    told = shortfall_lines(found)
    assert told[0] == "Fewer anchors than asked: 3 of 40; real rows are repeated instead."
    assert told[1].startswith("- Only 20 were planned: the rows that they start from give no more.")
    assert "--max_anchors_per_source" in told[1]
    assert told[2] == "- 75 drafts, 3 kept; rejected: wrong class 60, near copy 7, copy 5."
    assert told[3].startswith("- wrong class: lower --gate_quantile")
    assert told[4].startswith("- near copy, copy: raise --edit_share")
    assert len(told) == 5


def test_drafts_that_were_not_counted_have_no_reasons() -> None:
    found = TextCounts.of("edit", asked=40, planned=40, made=3, rejections=None)
    assert shortfall_lines(found) == [
        "Fewer anchors than asked: 3 of 40; real rows are repeated instead."
    ]


@pytest.mark.parametrize("way", ["edit", "generate", "decode"])
@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_names_a_flag_that_is_there(way: str, reason: str) -> None:
    parser = argparse.ArgumentParser()
    add_fields(parser, MisoRunArguments, skip=("training",))
    add_fields(parser, MisoTrainingArguments)
    flags = {option for action in parser._actions for option in action.option_strings}
    found = TextCounts.of(way, asked=9, planned=8, made=0, rejections={reason: 8})  # type: ignore[arg-type]
    told = shortfall_lines(found)
    assert len(told) == 4
    for line in (told[1], told[3]):
        named = re.findall(r"--\w+", line)
        assert named
        assert set(named) <= flags
    # where an option has no flag of its own, it is named as one of the method's
    for line in shortfall_lines(found, "texts", ANCHOR_OPTIONS):
        assert not [name for name in ANCHOR_OPTIONS if f"--{name}" in line]


SHORT: dict[str, Any] = {
    "arguments": {"method_options": "{}"},
    "counts": {
        "origin": {"real": 50, "synthetic": 0, "resampled": 40},
        "after": {"ham": 45, "spam": 45},
    },
    "acceptance": [],
    "rejections": {"nothing to edit": 20, "tries used up": 20, "kept": 0},
    "made_texts": {
        "way": "edit",
        "asked": 20,
        "planned": 20,
        "made": 0,
        "rejected": {"nothing to edit": 20},
    },
    "timings": {"oversampling": 1.0},
}


def test_a_summary_of_any_run_tells_it() -> None:
    said = balanced_summary(SHORT)
    assert "Fewer texts than asked: 0 of 20" in said
    assert "- 0 drafts, 0 kept; rejected: nothing to edit 20." in said
    assert "narrow --protect" in said
    assert "Fewer" not in balanced_summary(SHORT | {"made_texts": None})


@pytest.mark.parametrize(
    ("arguments", "named"),
    [({"method_options": "{}"}, '"edit_share" in --method_options'), ({}, "--edit_share")],
)
def test_the_advice_names_a_flag_of_the_command_that_ran(
    arguments: dict[str, str], named: str
) -> None:
    """`train` has no --method_options, and `balance` no --edit_share."""
    made = SHORT["made_texts"] | {"rejected": {"copy": 9}}
    said = balanced_summary(SHORT | {"arguments": arguments, "made_texts": made})
    assert f"- copy: raise {named}, so that more words are replaced" in said
    assert ("--method_options" in said) == ("method_options" in arguments)


def test_a_summary_tells_of_a_training_that_was_cut_short() -> None:
    assert "--max_train_seconds" not in balanced_summary(SHORT)
    cut = {"steps": {"pretrain": 10}, "cut_short": {"pretrain": 240, "critics": 100}}
    said = balanced_summary(SHORT | cut)
    assert (
        "stopped by --max_train_seconds after 10 of 240 steps (pretrain), 0 of 100 steps (critics)."
    ) in said
