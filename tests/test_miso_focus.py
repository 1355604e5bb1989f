"""Which words of difficult texts are replaced, and that no unknown ones come in their place."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Value

from hf_oversample import MisoOversampler
from hf_oversample.models.miso.realizers import AnchorRequest
from hf_oversample.models.miso.realizers.edit import choose_words
from hf_oversample.oversamplers.anchors.shortfall import TextCounts
from hf_oversample.oversamplers.plan import SYNTHETIC
from hf_oversample.text.copies import words_of
from hf_oversample.text.protection import replaceable_words
from miso_fixtures import (
    CLASS_NAMES,
    MAX_LENGTH,
    SEGMENTER,
    make_corpus,
    trained_generator_folder,
)


@lru_cache(maxsize=1)
def dataset() -> Dataset:
    texts, labels = make_corpus((60, 12), 7)
    features = Features({"text": Value("string"), "label": ClassLabel(names=list(CLASS_NAMES[:2]))})
    return Dataset.from_dict({"text": texts, "label": labels.tolist()}, features=features)


def oversampler_of(**params: Any) -> MisoOversampler:
    return MisoOversampler(str(trained_generator_folder()), max_length=MAX_LENGTH, **params)


def made_by(oversampler: MisoOversampler, rows: Dataset) -> list[str]:
    children = oversampler.fit(rows).children(rows)
    return [row["text"] for row in children if row["origin"] == SYNTHETIC]


def masked(oversampler: MisoOversampler) -> tuple[np.ndarray, np.ndarray, list]:
    """Of all words of own-class sources that an edit may replace: how much they pull to the class
    that is led away from (standardised), whether they were masked, and the requests."""
    oversampler.fit(dataset())
    realizer = oversampler.loaded.realizer
    requests: list[AnchorRequest] = []
    write = type(realizer).drafts
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            type(realizer),
            "drafts",
            lambda self, r, number: requests.extend(r) or write(self, r, number),
        )
        oversampler.children(dataset())
    labels = dataset()["label"]
    pulls, is_masked, own = [], [], []
    for request in requests:
        if labels[request.key[0]] != 1 or request.key[2]:
            continue
        own.append(request)
        source = request.source
        (pull,) = oversampler.word_pulls([source], [0], [1])
        free = replaceable_words(source.text, source.spans, SEGMENTER, oversampler.protection)
        pulls.append(((pull - pull.mean()) / pull.std())[free])
        chosen = choose_words(request, SEGMENTER, oversampler.seed, oversampler.protection)
        is_masked.append(chosen[free])
    return np.concatenate(pulls), np.concatenate(is_masked), own


def test_masks_in_difficult_texts_fall_on_the_words_that_pull_to_the_majority() -> None:
    options: dict[str, Any] = {"sources": ("outvoted", "minority"), "max_tries": 1, "gate": ()}
    gaps = {}
    for strength in (0.0, 3.0):
        pulls, is_masked, requests = masked(oversampler_of(own_focus=strength, **options))
        assert len(requests) > 20
        assert all((request.weights is not None) == bool(strength) for request in requests)
        gaps[strength] = float(pulls[is_masked].mean() - pulls[~is_masked].mean())
    # a standard deviation of a text's pulls; at random the two are alike
    assert gaps[3.0] > 1.0
    assert abs(gaps[0.0]) < 0.4


def test_focused_masks_are_the_same_for_every_batch_size() -> None:
    texts = [
        oversampler_of(own_focus=3.0).fit(dataset()).children(dataset(), batch_size=size)["text"][:]
        for size in (5, 1000)
    ]
    assert texts[0] == texts[1]
    assert texts[0] != oversampler_of(own_focus=0.0).fit(dataset()).children(dataset())["text"][:]


# ---- words that no training text has ------------------------------------------------------------


def test_no_anchor_has_a_word_that_no_training_text_has() -> None:
    """The generator of the tests learnt words of the rare class that these texts lack."""
    texts, labels = make_corpus((60, 20), 7)
    lacking = {"call", "urgent", "won", "text", "claim", "reply"}
    rows = [i for i, text in enumerate(texts) if not lacking & set(words_of(text, SEGMENTER))]
    few = Dataset.from_dict(
        {"text": [texts[i] for i in rows], "label": labels[rows].tolist()},
        features=dataset().features,
    )
    known = {word for text in few["text"] for word in words_of(text, SEGMENTER)}

    def unknown(written: list[str]) -> int:
        return sum(bool(set(words_of(text, SEGMENTER)) - known) for text in written)

    kept = oversampler_of(gate=(), unknown_words="keep", anchor_share=1.0)
    assert unknown(made_by(kept, few)) > 0
    assert kept.rejections["unknown words"] == 0
    strict = oversampler_of(gate=(), anchor_share=1.0)
    anchors = made_by(strict, few)
    assert anchors
    assert unknown(anchors) == 0
    assert strict.rejections["unknown words"] > 0
    counts = TextCounts.of_anchors(strict, len(anchors))
    assert counts.rejected["unknown words"] == strict.rejections["unknown words"]
