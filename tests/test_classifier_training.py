"""Training of small classifiers, their words, and heads on fixed vectors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from hf_oversample.text.words import Segmenter
from hf_oversample.training.classifier import (
    _batches,
    linear_head,
    predict,
    ranking_score,
    text_features,
    train_classifier,
)
from hf_oversample.training.words import encode_words, word_vectors, word_vocabulary
from test_classifiers import VARIANTS


# Token 5 or 6 anywhere means class 1; the rest is chance.
def toy(rows, seed, share=0.5):
    generator = np.random.default_rng(seed)
    labels = (generator.random(rows) < share).astype(int)
    texts = []
    for label in labels:
        ids = generator.integers(10, 40, size=generator.integers(3, 30)).tolist()
        if label:
            ids[int(generator.integers(len(ids)))] = int(generator.integers(5, 7))
        texts.append(ids)
    return texts, labels


def test_models_are_chosen_by_the_minority_whatever_its_code():
    labels = np.array([1, 1, 0, 0, 0, 0])
    first = np.array([0.9, 0.4, 0.6, 0.3, 0.2, 0.1])
    probabilities = np.stack([1 - first, first], axis=1)
    expected = average_precision_score(labels, first)
    assert ranking_score(labels, probabilities) == expected
    assert ranking_score(1 - labels, probabilities[:, ::-1], minority=0) == expected
    assert ranking_score(labels, probabilities, minority=0) != expected
    # columns of a head that has not seen class 0, and a validation row of a class it has not seen
    mixed = np.array([2, 2, 1, 1, 1, 0])
    assert ranking_score(mixed, probabilities, minority=2, classes=[1, 2]) == (
        average_precision_score(mixed == 2, first)
    )
    assert 0 < ranking_score(mixed, np.eye(3)[mixed] * 0.5 + 0.1, minority=2) <= 1


class TestTraining:
    def test_rows_are_mixed_within_the_whole_batch(self):
        seen = []

        def losses(ids, mask, labels):
            seen.append(len(ids))
            return model(input_ids=ids, attention_mask=mask).logits.sum(1)

        texts = [[5] * (3 if row % 2 else 40) for row in range(16)]  # cut in two for a plain loss
        model = VARIANTS["cnn"]()
        train_classifier(model, texts, [0, 1] * 8, steps=2, batch_size=8, batch_losses=losses)
        assert seen == [8, 8]

    @pytest.mark.parametrize("name", ["cnn", "gru"])
    def test_learns_and_predicts_in_order(self, name):
        torch.manual_seed(0)
        model = VARIANTS[name](dropout=0.1)
        texts, labels = toy(300, 0)
        train_classifier(model, texts, labels, steps=250, batch_size=32, learning_rate=5e-3)
        assert not model.training
        unseen, truth = toy(100, 1)
        probabilities = predict(model, unseen)
        assert probabilities.shape == (100, 2)
        assert probabilities.dtype == np.float64
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
        assert (probabilities.argmax(axis=1) == truth).mean() > 0.95
        np.testing.assert_allclose(predict(model, unseen, batch_size=7), probabilities, atol=1e-5)
        assert text_features(model, unseen).shape == (100, model.classifier.in_features)

    def test_products_in_bfloat16_leave_predictions_in_float32(self):
        texts, labels = toy(300, 0)
        unseen, truth = toy(200, 1)
        found = []
        for half in (False, True):
            torch.manual_seed(0)
            model = VARIANTS["cnn"](dropout=0.1)
            train_classifier(
                model, texts, labels, steps=150, batch_size=32, learning_rate=5e-3, bfloat16=half
            )
            assert {weight.dtype for weight in model.parameters()} == {torch.float32}
            found.append(predict(model, unseen)[:, 1])
            assert average_precision_score(truth, found[-1]) > 0.9
        assert not np.allclose(*found, atol=1e-7)
        # of 200 texts some are alike to the model; rounded to bfloat16, half of them would be
        assert len(np.unique(found[1])) > 150

    def test_seed_decides_and_the_global_generator_is_left(self):
        texts, labels = toy(60, 0)

        def weights(seed):
            torch.manual_seed(0)
            model = VARIANTS["cnn"]()
            state = torch.get_rng_state()
            train_classifier(model, texts, labels, steps=12, batch_size=16, seed=seed)
            assert torch.equal(torch.get_rng_state(), state)
            return torch.cat([value.flatten() for value in model.state_dict().values()])

        assert torch.equal(weights(0), weights(0))
        assert not torch.equal(weights(0), weights(1))

    def test_cutting_a_batch_by_length_leaves_the_gradient(self, monkeypatch):
        texts, labels = toy(40, 0)
        texts[3] = texts[3] * 8

        def trained():
            torch.manual_seed(0)
            model = VARIANTS["cnn"](dropout=0.0)
            train_classifier(model, texts, labels, steps=5, batch_size=40, class_weights=[1.0, 3.0])
            return torch.cat([value.flatten() for value in model.state_dict().values()])

        cut = trained()
        monkeypatch.setattr(
            "hf_oversample.training.classifier.length_groups", lambda rows, texts: [rows]
        )
        torch.testing.assert_close(cut, trained(), atol=2e-5, rtol=1e-3)

    def test_row_weights_decide_what_is_seen(self):
        texts, labels = toy(200, 0, share=0.05)
        weights = np.where(labels == 1, 0.5 / labels.sum(), 0.5 / (1 - labels).sum())
        seen = []

        def loss(logits, target):
            seen.append(target.float().mean().item())
            return torch.nn.functional.cross_entropy(logits, target, reduction="none")

        model = VARIANTS["cnn"]()
        train_classifier(model, texts, labels, steps=20, row_weights=weights, loss=loss)
        assert 0.35 < np.mean(seen) < 0.65

    def test_without_weights_every_row_is_seen_once_an_epoch(self):
        batches = _batches(30, 8, 15, None, 0)
        rows = np.concatenate(list(batches))
        assert len(rows) == 120
        np.testing.assert_array_equal(np.bincount(rows), np.full(30, 4))

    def test_best_validation_state_is_kept(self):
        texts, labels = toy(80, 0)
        validation = toy(60, 2)
        history: list[dict[str, float]] = []
        torch.manual_seed(0)
        model = train_classifier(
            VARIANTS["cnn"](),
            texts,
            labels,
            steps=60,
            learning_rate=2e-2,
            schedule="constant",
            validation=validation,
            eval_every=10,
            history=history,
        )
        assert [record["step"] for record in history] == [10, 20, 30, 40, 50, 60]
        scores = [record["average_precision"] for record in history]
        kept = average_precision_score(validation[1], predict(model, validation[0])[:, 1])
        assert kept == pytest.approx(max(scores))

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"labels": [0]}, "2 encoded texts, but 1 labels"),
            ({"labels": [0, 2]}, "num_labels is 2"),
            ({"encoded": [[5], []]}, "text 1 has no token"),
            ({"steps": 0}, "steps=0"),
            ({"schedule": "linear"}, "schedule='linear'"),
            ({"row_weights": [1.0, -1.0]}, "none negative"),
            ({"class_weights": [1.0]}, "must be 2 positive numbers"),
        ],
    )
    def test_errors(self, options, message):
        arguments = {"encoded": [[5], [6]], "labels": [0, 1], "steps": 1, **options}
        with pytest.raises(ValueError, match=message):
            train_classifier(VARIANTS["cnn"](), **arguments)

    def test_divergence_is_an_error(self):
        texts, labels = toy(20, 0)
        with pytest.raises(FloatingPointError, match="lower learning_rate"):
            train_classifier(
                VARIANTS["cnn"](), texts, labels, steps=5, loss=lambda x, y: x.sum(1) * torch.nan
            )


class TestWords:
    TEXTS = ["The food was not good!", "good food and the staff", "bad staff"]

    def test_stop_words_are_dropped_but_negations(self):
        segmenter = Segmenter("en")
        vocabulary = word_vocabulary(self.TEXTS, segmenter)
        ids = encode_words(vocabulary, [*self.TEXTS, "the"], segmenter, drop_stop_words=True)
        assert [vocabulary.convert_ids_to_tokens(row) for row in ids] == [
            ["food", "not", "good", "!"],
            ["good", "food", "staff"],
            ["bad", "staff"],
            ["[UNK]"],
        ]
        whole = encode_words(vocabulary, self.TEXTS, segmenter, max_length=3)
        assert [len(row) for row in whole] == [3, 3, 2]

    def test_vectors_are_means_of_the_encoders_pieces(self):
        from transformers import BertConfig, BertModel

        segmenter = Segmenter("en")
        vocabulary = word_vocabulary([*self.TEXTS, "goodbad"], segmenter)
        pieces = word_vocabulary(self.TEXTS, segmenter)
        pieces.add_tokens(["stafff"])
        encoder = BertModel(
            BertConfig(
                vocab_size=len(pieces),
                hidden_size=8,
                num_hidden_layers=1,
                num_attention_heads=1,
                intermediate_size=8,
            )
        )
        matrix = word_vectors(vocabulary, encoder, pieces, scale=None)
        table = encoder.get_input_embeddings().weight.detach()
        ids = vocabulary.get_vocab()
        torch.testing.assert_close(matrix[ids["food"]], table[pieces.get_vocab()["food"]])
        torch.testing.assert_close(matrix[ids["goodbad"]], table[pieces.unk_token_id])
        assert not matrix[0].any()
        words = [index for index in ids.values() if index > 4]
        torch.testing.assert_close(matrix[1], matrix[words].mean(dim=0))
        scaled = word_vectors(vocabulary, encoder, pieces, scale=0.15)
        assert scaled[words].square().mean().sqrt().item() == pytest.approx(0.15, rel=1e-4)
        torch.testing.assert_close(scaled[words].mean(dim=0), torch.zeros(8), atol=1e-6, rtol=0)


class TestLinearHead:
    def test_c_is_chosen_on_validation(self):
        generator = np.random.default_rng(0)
        x = generator.normal(size=(200, 30))
        y = (x[:, 0] + generator.normal(size=200) * 2 > 0).astype(int)
        head = linear_head(x[:100], y[:100], x[100:], y[100:], grid=(1e-3, 1e3))
        assert head.C == 1e-3
        assert linear_head(x, y, class_weight="balanced").class_weight == "balanced"
        assert linear_head(x, y).C == 1.0
        with pytest.raises(ValueError, match="both"):
            linear_head(x, y, x)

    def test_of_penalties_that_rank_alike_one_that_finds_the_minority_is_chosen(self):
        y = np.repeat([0, 1], [95, 5])
        x = np.where(y == 1, 1.0, -0.1)[:, None]
        assert not linear_head(x, y, x, y, grid=(1e-3,)).predict(x).any()
        head = linear_head(x, y, x, y, grid=(1e-3, 100.0))
        assert head.C == 100.0
        assert (head.predict(x) == y).all()

    def test_sample_weights_count_as_repeated_rows(self):
        generator = np.random.default_rng(0)
        x = generator.normal(size=(40, 3))
        y = np.array([0, 1] * 20)
        weights = np.where(y == 1, 3.0, 1.0)
        weighted = linear_head(x, y, sample_weight=weights)
        repeated = linear_head(
            np.repeat(x, weights.astype(int), 0), np.repeat(y, weights.astype(int))
        )
        np.testing.assert_allclose(weighted.coef_, repeated.coef_, atol=1e-3)
