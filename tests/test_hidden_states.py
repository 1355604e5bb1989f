"""What heads read, and training on mixtures of hidden states and of vectors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    XLNetConfig,
    XLNetForSequenceClassification,
)

from hf_oversample.models.classifiers.textcnn import (
    TextCnnConfig,
    TextCnnForSequenceClassification,
)
from hf_oversample.models.classifiers.textrnn import (
    TextRnnConfig,
    TextRnnForSequenceClassification,
)
from hf_oversample.training.classifier import predict_logits, text_features, train_classifier
from hf_oversample.training.hidden_states import (
    MixedVectors,
    TMix,
    classifier_head,
    head_inputs,
    mixed_layers,
)


def tiny_bert() -> BertForSequenceClassification:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=30, hidden_size=16, num_hidden_layers=4, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=16, num_labels=3,
    )  # fmt: skip
    return BertForSequenceClassification(config).eval()


def tiny_cnn() -> TextCnnForSequenceClassification:
    torch.manual_seed(0)
    return TextCnnForSequenceClassification(TextCnnConfig(vocab_size=30, num_labels=3)).eval()


def tiny_rnn() -> TextRnnForSequenceClassification:
    torch.manual_seed(0)
    return TextRnnForSequenceClassification(TextRnnConfig(vocab_size=30, num_labels=3)).eval()


def tiny_gpt2() -> GPT2ForSequenceClassification:
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=30, n_embd=16, n_layer=4, n_head=2, n_positions=16, num_labels=3, pad_token_id=0,
    )  # fmt: skip
    return GPT2ForSequenceClassification(config).eval()


def tiny_xlnet() -> XLNetForSequenceClassification:
    torch.manual_seed(0)
    config = XLNetConfig(vocab_size=30, d_model=16, n_layer=4, n_head=2, d_inner=16, num_labels=3)
    return XLNetForSequenceClassification(config).eval()


@pytest.mark.parametrize("make", [tiny_bert, tiny_gpt2, tiny_xlnet, tiny_cnn])
def test_the_heads_inputs_are_what_the_scores_come_from(make) -> None:
    model = make()
    rows = [[4, 5, 6], [7, 8], [9, 10, 11, 12]]
    head = classifier_head(model)
    features = torch.from_numpy(text_features(model, rows))
    logits = torch.from_numpy(predict_logits(model, rows))
    torch.testing.assert_close(head(features), logits, atol=1e-5, rtol=1e-4)
    for row, own in zip(rows, features, strict=True):  # alone, nothing is padding
        ids = torch.tensor([row])
        read = head_inputs(model)(ids, torch.ones_like(ids))[0]
        torch.testing.assert_close(read, own, atol=1e-5, rtol=1e-4)


def test_a_head_of_every_token_whose_last_is_not_the_texts_is_refused() -> None:
    model = tiny_gpt2()
    ids = torch.tensor([[4, 5, 6]])
    with pytest.raises(ValueError, match="not those of the last token"):
        head_inputs(model)(ids, torch.tensor([[1, 1, 0]]))


def test_layers_that_are_mixed() -> None:
    bert = tiny_bert()
    assert mixed_layers(bert) == list(bert.bert.encoder.layer)[2:]
    xlnet = tiny_xlnet()
    assert mixed_layers(xlnet) == list(xlnet.transformer.layer)[2:]


@pytest.mark.parametrize("make", [tiny_bert, tiny_gpt2, tiny_xlnet])
@pytest.mark.parametrize("length", [3, 4, 5])
def test_rows_are_mixed_with_rows_whatever_the_length(make, length: int) -> None:
    """Mixed wholly with its partner, a row goes on as that one: its scores are the partner's."""
    model = make()
    ids = torch.arange(4 * length).reshape(4, length) % 23 + 4
    mixer, mask = TMix(model, seed=1), torch.ones_like(ids)
    mixer.layers = mixer.layers[-1:]
    partner = torch.tensor([1, 2, 3, 0])
    mixed = mixer._mixed_logits(ids, mask, partner, share=0.0)
    plain = model(input_ids=ids, attention_mask=mask).logits
    torch.testing.assert_close(mixed, plain[partner], atol=1e-5, rtol=1e-4)


def test_layers_without_a_dimension_of_texts_are_refused() -> None:
    model = tiny_xlnet()
    model.config.model_type = "another"
    ids = torch.tensor([[4, 5, 6], [7, 8, 9]])
    with pytest.raises(ValueError, match="cannot be mixed"):
        TMix(model)(ids, torch.ones_like(ids), torch.tensor([0, 1]))


@pytest.mark.parametrize("make", [tiny_cnn, tiny_rnn])
def test_networks_of_words_mix_their_word_vectors(make) -> None:
    model = make()
    ids = torch.tensor([[4, 5, 6, 7], [8, 9, 4, 0], [10, 0, 0, 0]])
    labels, mask = torch.tensor([0, 1, 2]), (ids != 0).long()
    losses = TMix(model, seed=4)(ids, mask, labels)
    rng = TMix(model, seed=4).rng
    share = float(rng.beta(0.75, 0.75))
    share, partner = max(share, 1 - share), torch.from_numpy(rng.permutation(3))
    assert partner.tolist() != [0, 1, 2]
    # mixtures as if they were words of their own: places 0 to 11 of another model's vocabulary
    vectors = model.embedding(ids)
    mixed = share * vectors + (1 - share) * vectors[partner]
    model.set_input_embeddings(torch.nn.Embedding.from_pretrained(mixed.flatten(0, 1).detach()))
    logits = model(torch.arange(12).view(3, 4), mask | mask[partner]).logits
    own, other = (
        torch.nn.functional.cross_entropy(logits, y, reduction="none")
        for y in (labels, labels[partner])
    )
    torch.testing.assert_close(losses, share * own + (1 - share) * other)


@pytest.mark.parametrize("make", [tiny_bert, tiny_gpt2, tiny_xlnet, tiny_cnn])
def test_mixing_equal_rows_is_cross_entropy(make) -> None:
    """Of equal rows every mixture is the row itself, and the losses are those of both labels."""
    model = make()
    ids = torch.tensor([[4, 5, 6]]).repeat(4, 1)
    labels = torch.tensor([1, 1, 1, 1])
    losses = TMix(model, seed=3)(ids, torch.ones_like(ids), labels)
    logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    expected = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(losses, expected, atol=1e-5, rtol=1e-4)
    different = torch.tensor([[4, 5, 6], [7, 8, 9], [10, 11, 12], [13, 14, 15]])
    assert not torch.allclose(
        TMix(model, seed=3)(different, torch.ones_like(ids), labels),
        torch.nn.functional.cross_entropy(model(input_ids=different).logits, labels),
    )
    losses.sum().backward()


def test_vectors_are_drawn_by_weight_and_mixed_in_pairs() -> None:
    vectors, labels = np.eye(4, dtype=np.float32), np.array([0, 0, 1, 1])
    drawn = MixedVectors(vectors, labels, row_weights=np.array([0, 0, 1.0, 1.0]))
    x, y = drawn(np.arange(50))
    assert y.tolist() == [1] * 50
    assert x[:, :2].sum() == 0
    mixed = MixedVectors(vectors, labels, mix=True, seed=1)
    x, y = mixed(np.arange(4))
    assert y.tolist() == labels.tolist()
    torch.testing.assert_close(x.sum(dim=1), torch.ones(4))
    assert float(x.diagonal().min()) >= 0.5
    losses = mixed.loss(torch.zeros(4, 2), y)
    torch.testing.assert_close(losses, torch.full((4,), float(np.log(2))))


def test_deferred_weights_leave_the_first_steps_as_they_were() -> None:
    rows, labels = [[4 + i % 8, 5, 6] for i in range(24)], np.array([0] * 18 + [1] * 6)
    histories: list[list[dict[str, float]]] = []
    for options in (
        {},
        {"row_weights": np.where(labels == 1, 5.0, 1.0), "class_weights": [1.0, 9.0, 1.0]},
    ):
        history: list[dict[str, float]] = []
        model = tiny_cnn()
        validation = (rows, labels)
        train_classifier(
            model, rows, labels, steps=6, batch_size=8, eval_every=2, deferred_start=4,
            history=history, validation=validation, **options,
        )  # fmt: skip
        histories.append(history)
    plain, deferred = histories
    assert [h["loss"] for h in plain[:2]] == [h["loss"] for h in deferred[:2]]
    assert plain[2]["loss"] != deferred[2]["loss"]
    assert ["average_precision" in h for h in deferred] == [False, False, True]
