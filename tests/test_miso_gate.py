"""The gate by itself, with a space of embeddings and critics that a test can see through."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_oversample.oversamplers.miso.gate import TextGate, check_gate
from hf_oversample.oversamplers.miso.latent_decoder import LatentDecoder
from miso_fixtures import SEGMENTER

WORDS = ("calm", "mild", "warm", "hot", "burning", "molten")
TEXTS = [f"a {word} day in {place}" for word in WORDS for place in ("rome", "oslo", "lima")]
LABELS = np.repeat([0, 0, 0, 1, 1, 1], 3)
CLASS_IDS = np.array([1, 0])  # the generator's labels are the other way round


class Models:
    """Embeds a text as its place on the scale of ``WORDS``; its critics read the class id."""

    segmenter = SEGMENTER

    def __init__(self, *, use_mi: bool = True):
        config = SimpleNamespace(use_mi=use_mi, parts="miso")
        self.model = SimpleNamespace(config=config, name_or_path="a/generator")

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        places = [next((i for i, w in enumerate(WORDS) if w in text), 2.5) for text in texts]
        return np.asarray(places, np.float32)[:, None] - 2.5

    def evidence(self, texts: Sequence[str], classes: np.ndarray) -> np.ndarray:
        return np.where(classes == 0, 1.0, -1.0)


def gate_of(*judges: str, quantile: float = 0.0, use_mi: bool = True) -> TextGate:
    models: Any = Models(use_mi=use_mi)
    embeddings = models.embed(TEXTS)
    return TextGate.fit(
        models, TEXTS, embeddings, LABELS, CLASS_IDS, judges=judges, quantile=quantile
    )


def reasons(gate: TextGate, texts: list[str], label: int = 1) -> list[str | None]:
    models: Any = Models()
    labels = np.full(len(texts), label)
    return gate.reasons(models, texts, ["some source of it"] * len(texts), labels)


NEW = [f"we had {word} weather there" for word in WORDS]


def test_the_surface_is_judged_first_and_without_judges_alone() -> None:
    found = reasons(gate_of(), ["", "some source of it", TEXTS[4].upper(), *NEW])
    assert found == ["empty", "unchanged", "copy"] + [None] * len(NEW)


@pytest.mark.parametrize(("judge", "kept"), [("classifier", 2), ("neighbors", 3)])
def test_judges_place_texts_on_their_side(judge: str, kept: int) -> None:
    """The classifier asks for more than the least margin of real rows, even at quantile 0."""
    is_wrong = ["wrong class"] * (6 - kept)
    assert reasons(gate_of(judge), NEW) == is_wrong + [None] * kept
    assert reasons(gate_of(judge), NEW, label=0) == [None] * kept + is_wrong


def test_the_quantile_asks_for_the_margin_of_real_rows() -> None:
    kept = [
        [text for text, reason in zip(NEW, reasons(gate, NEW), strict=True) if reason is None]
        for gate in (gate_of("classifier", quantile=share) for share in (0.0, 0.5, 1.0))
    ]
    # above the margin of that share of the class's rows: of the least, the middle, the greatest
    assert kept == [NEW[4:], NEW[5:], []]


def test_critics_are_asked_with_the_generators_labels() -> None:
    assert reasons(gate_of("critics"), NEW[:2], label=1) == [None, None]
    assert reasons(gate_of("critics"), NEW[:2], label=0) == ["wrong class"] * 2


def test_critics_that_were_never_trained_are_not_asked() -> None:
    with pytest.raises(
        ValueError, match=r"a/generator was trained with use_mi=False.*'critics' out"
    ):
        gate_of("classifier", "critics", use_mi=False)
    assert gate_of("classifier", use_mi=False).judges == ("classifier",)


@settings(max_examples=20, deadline=None)
@given(
    judges=st.lists(st.sampled_from(["classifier", "critics", "neighbors"]), unique=True),
    quantile=st.floats(0, 1),
    texts=st.lists(st.sampled_from([*NEW, *TEXTS, "", "some source of it"]), max_size=6),
)
def test_saved_arrays_give_the_same_gate(
    judges: list[str], quantile: float, texts: list[str]
) -> None:
    gate = gate_of(*judges, quantile=quantile)
    again = TextGate.from_arrays(gate.arrays(), judges, LABELS)
    assert again.judges == gate.judges
    expected = reasons(gate, texts)
    assert reasons(again, texts) == expected
    # a text's reason is its own
    assert [reason for text in texts for reason in reasons(gate, [text])] == expected


@pytest.mark.parametrize(
    ("gate", "quantile", "message"),
    [
        (("taste",), 0.1, r"gate has \['taste'\]; it takes some of"),
        ((), -0.1, "gate_quantile is -0.1; it is a share, from 0 to 1"),
        (("classifier",), float("nan"), "gate_quantile is nan"),
    ],
)
def test_what_it_refuses(gate: tuple[str, ...], quantile: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_gate(gate, quantile)
    with pytest.raises(ValueError, match=message):
        LatentDecoder("no/model", gate=gate, gate_quantile=quantile)
