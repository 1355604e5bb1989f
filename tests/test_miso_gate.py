"""The gate by itself, with a space of embeddings and critics that a test can see through."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_oversample.oversamplers.anchors.gate import TextGate, check_gate
from hf_oversample.oversamplers.anchors.judge import chosen_regularization, out_of_fold_margins
from hf_oversample.oversamplers.miso.latent_decoder import LatentDecoder
from hf_oversample.oversamplers.miso.models import MisoModels
from hf_oversample.text.vocabulary import KnownWords
from miso_fixtures import SEGMENTER

WORDS = ("calm", "mild", "warm", "hot", "burning", "molten")
TEXTS = [f"a {word} day in {place}" for word in WORDS for place in ("rome", "oslo", "lima")]
LABELS = np.repeat([0, 0, 0, 1, 1, 1], 3)
CLASS_IDS = np.array([1, 0])  # the generator's labels are the other way round


class Models:
    """Embeds a text as its place on the scale of ``WORDS``, places of one word hardly apart; its
    critics read the class id."""

    segmenter = SEGMENTER

    def __init__(self, *, use_mi: bool = True):
        config = SimpleNamespace(use_mi=use_mi, parts="miso")
        self.model = SimpleNamespace(config=config, name_or_path="a/generator")

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        places = [next((i for i, w in enumerate(WORDS) if w in text), 2.5) for text in texts]
        apart = [0.01 * sum(map(ord, text)) % 0.01 for text in texts]
        return np.asarray(places, np.float32)[:, None] - 2.5 + np.float32(apart)[:, None]

    def check_critics(self) -> None:
        MisoModels.check_critics(self)  # type: ignore[arg-type]

    def evidence(self, texts: Sequence[str], classes: np.ndarray) -> np.ndarray:
        return np.where(classes == 0, 1.0, -1.0)


def gate_of(
    *judges: str,
    quantile: float = 0.0,
    ceiling: float = 1.0,
    use_mi: bool = True,
    unknown_words: str = "keep",
    max_cosine: float = 1.0,
) -> TextGate:
    models: Any = Models(use_mi=use_mi)
    embeddings = models.embed(TEXTS)
    return TextGate.fit(
        models,
        TEXTS,
        embeddings,
        LABELS,
        CLASS_IDS,
        class_names=("cold", "hot"),
        written=(1,),
        judges=judges,
        quantile=quantile,
        ceiling=ceiling,
        unknown_words=unknown_words,
        max_cosine=max_cosine,
    )


def reasons(gate: TextGate, texts: list[str], label: int = 1) -> list[str | None]:
    models: Any = Models()
    labels = np.full(len(texts), label)
    return gate.reasons(models, texts, ["some source of it"] * len(texts), labels)


NEW = [f"we had {word} weather there" for word in WORDS]


def test_the_surface_is_judged_first_and_without_judges_alone() -> None:
    found = reasons(gate_of(), ["", "some source of it", TEXTS[4].upper(), *NEW])
    assert found == ["empty", "unchanged", "copy"] + [None] * len(NEW)


@pytest.mark.parametrize("judge", ["classifier", "neighbors"])
def test_judges_place_texts_on_their_side(judge: str) -> None:
    """At quantile 0 the classifier asks for no more than a margin above 0."""
    is_wrong = ["wrong class"] * 3
    assert reasons(gate_of(judge), NEW) == [*is_wrong, None, None, None]
    assert reasons(gate_of(judge), NEW, label=0) == [None, None, None, *is_wrong]


def test_what_would_not_help_is_rejected() -> None:
    gate, models = gate_of("influence"), Models()
    assert gate.influence is not None
    places = np.linspace(-10, 10, 41, dtype=np.float32)[:, None]
    ones = np.ones(len(places), np.int64)
    helps = gate.influence.of(places, ones) > 0
    assert 0 < helps.sum() < len(helps)
    models.embed = lambda texts: places  # type: ignore[method-assign]
    texts = ["new"] * len(places)
    told: Any = models
    assert gate.judged(told, texts, ["old"] * len(places), ones) == [
        None if one else "no help" for one in helps.tolist()
    ]


@pytest.mark.parametrize(
    ("quantile", "ceiling", "expected"),
    [
        (0.5, 1.0, ["wrong class", None]),
        (1.0, 1.0, ["wrong class", "wrong class"]),
        (0.0, 0.5, [None, "too easy"]),
    ],
)
def test_quantiles_are_of_margins_out_of_fold(
    quantile: float, ceiling: float, expected: list[str | None]
) -> None:
    """A text's margin is the class's median, less or more a little."""
    embeddings = Models().embed(TEXTS)
    strength = chosen_regularization(embeddings, LABELS, 2, seed=0)
    margins = out_of_fold_margins(embeddings, LABELS, 2, seed=0, regularization=strength)
    least, middle, most = np.quantile(margins[LABELS == 1], [0, 0.5, 1], method="weibull")
    gate = gate_of("classifier", quantile=quantile, ceiling=ceiling)
    asked = np.quantile(margins[LABELS == 1], [quantile, ceiling], method="weibull").tolist()
    assert gate.band.least[1] == np.float32(max(0.0, asked[0]) if quantile else 0.0)
    assert gate.band.most[1] == np.float32(asked[1] if ceiling < 1 else np.inf)
    assert gate.band.rows.tolist() == [9, 9]
    weights, bias = gate.classifier.weights[:, 0], gate.classifier.bias
    slope, start = weights[1] - weights[0], bias[1] - bias[0]
    models: Any = Models()
    for below, reason in zip((-0.01, 0.01), expected, strict=True):
        place = (middle + below - start) / slope
        models.embed = lambda texts, place=place: np.full((len(texts), 1), place, np.float32)
        assert gate.judged(models, ["new"], ["old"], np.array([1])) == [reason]


def test_a_class_that_cannot_be_held_out_is_said(caplog: pytest.LogCaptureFixture) -> None:
    models: Any = Models()
    texts, labels = TEXTS[:10], LABELS[:10]  # one hot text

    def fit(**asked: float) -> TextGate:
        return TextGate.fit(
            models,
            texts,
            models.embed(texts),
            labels,
            CLASS_IDS,
            class_names=("cold", "hot"),
            written=(1,),
            judges=("classifier",),
            **{"quantile": 0.0, **asked},
        )

    assert not caplog.records
    gate = fit(quantile=0.1, ceiling=0.5)
    assert "class 'hot' has too few different rows to hold one out" in caplog.text
    assert (gate.band.least[1], gate.band.most[1], gate.band.rows[1]) == (0, np.inf, 0)
    caplog.clear()
    fit()  # nothing is asked of the rows
    assert not caplog.records


def test_neighbors_do_not_count_the_source_and_its_copies() -> None:
    """A hot text, twice among cold ones, gave the text to judge: its own two votes are none."""
    models: Any = Models()
    texts = [*TEXTS[:9], "a burning day in rome", "A  burning day in ROME", *TEXTS[12:15]]
    labels = np.array([0] * 9 + [1, 1] + [0, 0, 1])
    gate = TextGate.fit(
        models,
        texts,
        models.embed(texts),
        labels,
        CLASS_IDS,
        class_names=("cold", "hot"),
        written=(1,),
        judges=("neighbors",),
        quantile=0.0,
        unknown_words="keep",
    )
    new = ["we had burning weather there"]
    assert gate.reasons(models, new, ["some other text"], np.array([1])) == [None]
    assert gate.reasons(models, new, [texts[9]], np.array([1])) == ["wrong class"]
    assert gate.reasons(models, new, [texts[9].upper()], np.array([1])) == ["wrong class"]


def test_a_word_that_no_real_row_has_is_a_reason() -> None:
    new = [
        "a hot day in burning lima oslo",
        "a HOT day - in Burning Lima, Oslo 1,000!",  # marks, cases and numbers are no words
        "a hot day in burning paris oslo",
    ]
    told = [None, None, "unknown words"]
    assert reasons(gate_of(unknown_words="reject"), new) == told
    assert reasons(gate_of(unknown_words="keep"), new) == [None] * 3
    # before the judges are asked
    strict = gate_of("classifier", unknown_words="reject")
    assert reasons(strict, ["a mild day in paris"]) == ["unknown words"]


def test_known_words_are_those_of_the_texts() -> None:
    """Words whose hash is below, between and above all known ones are told alike."""
    words = [f"{a}{b}" for a in "abcdefgh" for b in "klmnopqr"]
    known = KnownWords.of([" ".join(words[::2])], SEGMENTER)
    assert known.unknown(" ".join(words), SEGMENTER) == words[1::2]
    assert KnownWords.of([], SEGMENTER).unknown("a word", SEGMENTER) == ["a", "word"]


def test_a_text_that_is_too_near_to_a_row_is_told() -> None:
    """Directions of rows are 0, 10, 20 … degrees."""
    models: Any = Models()
    degrees = np.radians(10 * np.arange(len(TEXTS)))
    rows = np.stack([np.cos(degrees), np.sin(degrees)], axis=1).astype(np.float32)

    def fit(max_cosine: float) -> TextGate:
        return TextGate.fit(
            models,
            TEXTS,
            3 * rows,
            LABELS,
            CLASS_IDS,
            class_names=("cold", "hot"),
            written=(1,),
            judges=(),
            quantile=0.0,
            unknown_words="keep",
            max_cosine=max_cosine,
        )

    places = np.radians([40.0, 42.0, 44.0])
    models.embed = lambda texts: np.stack([np.cos(places), np.sin(places)], 1).astype(np.float32)
    for most, expected in {
        0.9999: ["too near", None, None],
        float(np.cos(np.radians(3))): ["too near", "too near", None],
        1.0: [None, None, None],
    }.items():
        found = fit(most).judged(models, ["a", "b", "c"], ["d"] * 3, np.array([1, 1, 1]))
        assert found == expected
        again = TextGate.from_arrays(fit(most).arrays(), (), LABELS)
        assert again.judged(models, ["a", "b", "c"], ["d"] * 3, np.array([1, 1, 1])) == expected


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
    judges=st.lists(
        st.sampled_from(["classifier", "critics", "neighbors", "influence"]), unique=True
    ),
    quantile=st.floats(0, 0.5),
    ceiling=st.floats(0.6, 1),
    unknown_words=st.sampled_from(["reject", "keep"]),
    max_cosine=st.sampled_from([0.5, 1.0]),
    texts=st.lists(st.sampled_from([*NEW, *TEXTS, "", "some source of it"]), max_size=6),
)
def test_saved_arrays_give_the_same_gate(
    judges: list[str],
    quantile: float,
    ceiling: float,
    unknown_words: str,
    max_cosine: float,
    texts: list[str],
) -> None:
    gate = gate_of(
        *judges,
        quantile=quantile,
        ceiling=ceiling,
        unknown_words=unknown_words,
        max_cosine=max_cosine,
    )
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


def test_other_options_that_it_refuses() -> None:
    with pytest.raises(ValueError, match="unknown_words is 'maybe'; it is 'reject' or 'keep'"):
        LatentDecoder("no/model", unknown_words="maybe")  # type: ignore[arg-type]
    for cosine in (0.0, 1.1, float("nan")):
        with pytest.raises(ValueError, match=f"max_cosine is {cosine}; it is a cosine above 0"):
            check_gate((), 0.0, max_cosine=cosine)


@pytest.mark.parametrize(("quantile", "ceiling"), [(0.5, 0.2), (0.3, 0.3), (0.0, 0.0)])
def test_a_band_has_room(quantile: float, ceiling: float) -> None:
    with pytest.raises(ValueError, match=f"gate_quantile is {quantile} and gate_ceiling {ceiling}"):
        check_gate((), quantile, ceiling)
    with pytest.raises(ValueError, match="gate_ceiling is 1\\.5; it is a share"):
        check_gate((), 0.0, 1.5)
