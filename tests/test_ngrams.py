"""Heads on n-grams of tokens: what is counted, whatever is beside it, and what it is worth."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_oversample.models.classifiers.ngrams import NgramScores, ngram_buckets
from hf_oversample.models.classifiers.pooled_encoder import PooledEncoderConfig
from hf_oversample.training.ngram_heads import (
    SCALES,
    ngram_matrix,
    solve_ngram_head,
    text_scores,
)
from hf_oversample.training.reembedding_heads import rare_precision
from reembedding_fixtures import reembedder, split

BUCKETS = 2**16
TRAIN, HELD = split((50, 24))

token_lists = st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=9), min_size=1, max_size=5)


def counted(texts: list[list[int]], length: int, *, left: bool = False) -> list[Counter[int]]:
    """Of each text, how often it has each bucket, as one padded batch."""
    longest = max(map(len, texts))
    ids, mask = torch.full((len(texts), longest), 7), torch.zeros(len(texts), longest)
    for row, text in enumerate(texts):
        places = slice(longest - len(text), None) if left else slice(len(text))
        ids[row, places], mask[row, places] = torch.tensor(text), 1.0
    found = [Counter[int]() for _ in texts]
    rows, buckets, counts = ngram_buckets(ids, mask, length, BUCKETS)
    for row, bucket, count in zip(rows.tolist(), buckets.tolist(), counts.tolist(), strict=True):
        assert 0 <= bucket < BUCKETS
        found[row][bucket] += count
    return found


@settings(deadline=None, max_examples=60)
@given(texts=token_lists, length=st.integers(1, 4))
def test_every_ngram_is_counted_and_padding_and_neighbours_change_nothing(
    texts: list[list[int]], length: int
) -> None:
    found = counted(texts, length)
    for text, own in zip(texts, found, strict=True):
        grams = Counter(
            tuple(text[start : start + size])
            for size in range(1, length + 1)
            for start in range(len(text) - size + 1)
        )
        # so few of so many buckets seldom collide, and then two are told as one
        assert sum(own.values()) == sum(grams.values())
        assert len(grams) - 1 <= len(own) <= len(grams)
        assert counted([text], length) == [own]
    assert counted(texts, length, left=True) == found


def test_ids_of_another_integer_type_are_the_same_ngrams() -> None:
    ids, mask = torch.tensor([[30_000, 29_999, 30_000, 7]]), torch.ones(1, 4)
    expected = ngram_buckets(ids, mask, 3, BUCKETS)
    for kind in (torch.int32, torch.int16):
        for one, two in zip(ngram_buckets(ids.to(kind), mask, 3, BUCKETS), expected, strict=True):
            assert torch.equal(one, two)


def test_order_is_told_and_one_token_of_two_is_another_bigram() -> None:
    forth, back, other = counted([[3, 4, 5], [5, 4, 3], [3, 4, 6]], 3)
    assert counted([[3, 4, 5]], 1) == counted([[5, 4, 3]], 1)
    assert len(forth & back) == 3
    assert len(forth & other) == 3  # 3, 4 and their pair


def test_rows_have_length_one_and_scores_are_the_products() -> None:
    torch.manual_seed(0)
    ngrams = NgramScores(BUCKETS, 3, 2)
    with torch.no_grad():
        ngrams.weight.normal_()
        ngrams.idf.uniform_(1, 5)
    texts = [np.array(one) for one in ([1, 2, 3, 1, 2], [4], [2, 2, 2, 2, 2, 2])]
    rows = ngram_matrix(texts, ngrams)
    np.testing.assert_allclose(np.asarray(rows.power(2).sum(1)).ravel(), 1, atol=1e-6)
    # 1 + ln 6 times, 1 + ln 5, 1 + ln 4, each with its idf
    last = ngrams.features(torch.full((1, 6), 2), torch.ones(1, 6))
    raw = (1 + np.log([6, 5, 4])) * np.sort(ngrams.idf[last[1]].numpy())
    assert len(last[2]) == 3
    assert np.linalg.norm(raw) > 1
    for text, row in zip(texts, rows.toarray(), strict=True):
        with torch.no_grad():
            scores = ngrams(torch.from_numpy(text)[None], torch.ones(1, len(text)))
        np.testing.assert_allclose(scores[0], row @ ngrams.weight.detach().numpy(), atol=1e-5)
        with torch.no_grad():
            assert (ngrams(torch.from_numpy(text)[None], torch.zeros(1, len(text))) == 0).all()


def test_what_vectors_do_not_tell_ngrams_do() -> None:
    """The head of vectors that are all alike ranks by n-grams; without them it ranks nothing."""
    reembedded = reembedder(steps=0).fit(TRAIN)
    encoded, held = reembedded.encode(TRAIN.texts), reembedded.encode(HELD.texts)
    alike = np.tile(reembedded.frozen_vectors[:1], (len(TRAIN), 1))
    head = solve_ngram_head(alike, encoded, TRAIN.labels, classes=2, targets=[1], buckets=BUCKETS)
    assert head.scale in SCALES
    classifier = head.classifier(reembedded.model)
    assert rare_precision(HELD.labels, text_scores(classifier, held), [1]) > 0.9
    assert head.left_out is not None
    assert rare_precision(TRAIN.labels, head.left_out, [1]) > 0.9
    # taken away, what is left of the head was fitted on vectors that say nothing
    assert classifier.ngrams is not None
    with torch.no_grad():
        classifier.ngrams.weight.zero_()
    assert rare_precision(HELD.labels, text_scores(classifier, held), [1]) < 0.8


def test_the_model_scores_a_text_as_training_saw_it() -> None:
    reembedded = reembedder(steps=0).fit(TRAIN)
    encoded = reembedded.encode(TRAIN.texts)
    vectors = reembedded.frozen_vectors
    head = solve_ngram_head(vectors, encoded, TRAIN.labels, classes=2, targets=[1], seed=1)
    classifier = head.classifier(reembedded.model)
    assert classifier.ngrams is not None
    rows = ngram_matrix(encoded, classifier.ngrams)
    expected = vectors @ head.weight.T + rows @ head.ngram_weight + head.bias
    np.testing.assert_allclose(text_scores(classifier, encoded), expected, atol=1e-3)
    again = solve_ngram_head(vectors, encoded, TRAIN.labels, classes=2, targets=[1], seed=1)
    assert np.array_equal(head.ngram_weight, again.ngram_weight)
    with torch.no_grad():
        alone = classifier(torch.from_numpy(encoded[0])[None]).logits
    np.testing.assert_allclose(alone[0], expected[0], atol=1e-3)


def test_a_class_of_one_row_and_one_without_rows_have_a_head() -> None:
    reembedded = reembedder(classes=3, steps=0).fit(TRAIN)
    labels = np.zeros(len(TRAIN), np.int64)
    labels[3] = 1
    encoded = reembedded.encode(TRAIN.texts)
    head = solve_ngram_head(
        reembedded.frozen_vectors, encoded, labels, classes=3, targets=[1], buckets=BUCKETS
    )
    assert head.left_out is None
    scores = text_scores(head.classifier(reembedded.model), encoded)
    assert np.isfinite(scores).all()
    assert (scores.argmax(1) < 2).all()  # never the class that no row has


def test_numbers_that_cannot_be_are_refused() -> None:
    for values, message in (
        ({"ngram_buckets": 100}, "ngram_buckets is 100; it must be 0 or a power of two from 2 on"),
        ({"ngram_buckets": 1}, "ngram_buckets is 1"),
        ({"ngram_buckets": -4}, "ngram_buckets is -4"),
        ({"ngram_length": 0}, "ngram_length is 0; at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            PooledEncoderConfig(**values)
