"""A null among texts or labels is told with its row, by every function that takes them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from datasets import Dataset

from hf_oversample.comparison.embedders import LatentSemanticEmbedder, RememberedEmbeddings
from hf_oversample.data.labeled_texts import Texts
from hf_oversample.metrics.classification import (
    average_precision_at,
    best_threshold,
    binary_report,
    expected_calibration_error,
    multiclass_report,
)
from hf_oversample.metrics.difficult import difficult_report
from hf_oversample.metrics.embeddings import hard_to_differentiate_ratio
from hf_oversample.metrics.screening import screen_classes, two_sample_auc
from hf_oversample.metrics.texts import (
    copy_rate,
    distinct_n,
    distinct_share,
    label_agreement,
    self_bleu,
    text_report,
)
from hf_oversample.neighbors.difficult import difficult_samples
from hf_oversample.text.checks import checked_texts
from hf_oversample.text.copies import CopyIndex
from hf_oversample.text.encoding import TextEncoder
from hf_oversample.text.tokenization import train_tokenizer
from hf_oversample.text.words import Segmenter, guess_language, unsegmented_script
from hf_oversample.training.words import encode_words, word_vocabulary
from hf_oversample.transforms.embed import TextEmbedder
from miso_fixtures import SEGMENTER, encoder_folder, tokenizer

GOOD = ["see you at the cafe", "win a free phone now", "my keys are gone", "call me later"]

# every public function of a list of texts
OF_TEXTS: dict[str, Callable[[Any], Any]] = {
    "copy_rate": lambda texts: copy_rate(texts, GOOD),
    "copy_rate's reference": lambda texts: copy_rate(GOOD, texts),
    "distinct_share": distinct_share,
    "distinct_n": lambda texts: distinct_n(texts, 2),
    "self_bleu": self_bleu,
    "text_report": lambda texts: text_report(texts, GOOD),
    "text_report's reference": lambda texts: text_report(GOOD, texts),
    "two_sample_auc": lambda texts: two_sample_auc(texts, GOOD),
    "two_sample_auc, made": lambda texts: two_sample_auc(GOOD, texts),
    "two_sample_auc, known": lambda texts: two_sample_auc(GOOD, GOOD, known=texts),
    "CopyIndex": lambda texts: CopyIndex.build(texts, SEGMENTER),
    "TextEncoder": lambda texts: TextEncoder(tokenizer(), SEGMENTER).many(texts),
    "train_tokenizer": lambda texts: train_tokenizer(texts, min_frequency=1),
    "train_tokenizer, Chinese": lambda texts: train_tokenizer(texts, language="zh"),
    "word_vocabulary": lambda texts: word_vocabulary(texts, SEGMENTER),
    "encode_words": lambda texts: encode_words(tokenizer(), texts, SEGMENTER),
    "guess_language": guess_language,
    "unsegmented_script": unsegmented_script,
    "LatentSemanticEmbedder": lambda texts: LatentSemanticEmbedder(texts, SEGMENTER),
    "LatentSemanticEmbedder, of others": lambda texts: LatentSemanticEmbedder(GOOD, SEGMENTER)(
        texts
    ),
    "RememberedEmbeddings": lambda texts: RememberedEmbeddings(lambda t: np.ones((len(t), 2)))(
        texts
    ),
    "TextEmbedder": lambda texts: TextEmbedder(encoder_folder()).embed(texts),
}


@pytest.mark.parametrize("name", OF_TEXTS)
def test_texts(name: str) -> None:
    OF_TEXTS[name](GOOD)
    for null in (None, math.nan):
        with pytest.raises(ValueError, match=r"(?i)row 2 of \w+( 'text')? is (null|None|nan)"):
            OF_TEXTS[name]([*GOOD[:2], null, *GOOD[3:]])


def test_what_is_no_text() -> None:
    with pytest.raises(ValueError, match=r"row 1 of texts is 3, a int \(2 such rows\)"):
        checked_texts(["a", 3, 4])
    with pytest.raises(ValueError, match="texts is one string"):
        checked_texts("abc")
    with pytest.raises(TypeError, match="a text is needed to find words in, got None"):
        Segmenter("en").spans(None)  # type: ignore[arg-type]


ROWS = np.arange(12.0).reshape(6, 2)
SCORES = [0.1, 0.2, 0.3, 0.4, 0.8, 0.9]

# every public function of labels
OF_LABELS: dict[str, Callable[[Any], Any]] = {
    "binary_report": lambda labels: binary_report(labels, SCORES),
    "best_threshold": lambda labels: best_threshold(labels, SCORES),
    "average_precision_at": lambda labels: average_precision_at(labels, SCORES, 0.1),
    "expected_calibration_error": lambda labels: expected_calibration_error(labels, SCORES),
    "multiclass_report": lambda labels: multiclass_report(labels, np.full((6, 2), 0.5), ["a", "b"]),
    "difficult_report": lambda labels: difficult_report([0] * 6, labels, ROWS, k=2),
    "difficult_report's predictions": lambda labels: difficult_report(labels, [0, 1] * 3, ROWS),
    "difficult_samples": lambda labels: difficult_samples(ROWS, labels, k=2),
    "hard_to_differentiate_ratio": lambda labels: hard_to_differentiate_ratio(ROWS, labels),
    "label_agreement": lambda labels: label_agreement(labels, [0, 1] * 3),
    "label_agreement, intended": lambda labels: label_agreement([0, 1] * 3, labels),
    "screen_classes": lambda labels: screen_classes(
        list("abcdef"), labels, ["x"], [0], ["one", "other"]
    ),
    "screen_classes, made": lambda labels: screen_classes(
        list("abcdef"), [0, 1] * 3, list("abcdef"), labels, ["one", "other"]
    ),
}


@pytest.mark.parametrize("name", OF_LABELS)
def test_labels(name: str) -> None:
    OF_LABELS[name]([0, 1, 0, 1, 0, 1])
    with pytest.raises(ValueError, match=r"row 3( of \w+)? is null"):
        OF_LABELS[name]([0, 1, 0, None, 0, 1])


def test_a_score_that_is_no_number() -> None:
    scores = np.full((4, 2), 0.5)
    scores[2, 1] = np.nan
    with pytest.raises(ValueError, match=r"probabilities of row 2 are \[0.5 nan\]"):
        multiclass_report([0, 1, 0, 1], scores, ["a", "b"])
    with pytest.raises(ValueError, match="the probability of row 1 is nan"):
        expected_calibration_error([0, 1], [0.5, np.nan])


def test_a_column_with_a_null() -> None:
    rows = Dataset.from_dict({"text": ["a", None], "label": [0, 1]})
    with pytest.raises(ValueError, match="row 1 of column 'text' is null"):
        Texts.of(rows)
    rows = Dataset.from_dict({"text": ["a", "b"], "label": [0, None]})
    with pytest.raises(ValueError, match="row 1 of column 'label' is null"):
        Texts.of(rows)
    shown = Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]}).with_format("torch", ["label"])
    assert Texts.of(shown).texts == ["a", "b"]
