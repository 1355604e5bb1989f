"""Every remedy trains, and does what its name says, with every kind of classifier."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification, BertModel

from hf_oversample.comparison.classifiers import Training
from hf_oversample.comparison.fold import Fold
from hf_oversample.comparison.miso import GivenAnchors, MisoSource
from hf_oversample.comparison.registry import classifier_named
from hf_oversample.comparison.remedies import REMEDIES, ldam_drw, plain_model
from hf_oversample.comparison.resampling import made_embeddings
from hf_oversample.comparison.scores import cell_metrics
from hf_oversample.labeled_texts import Texts
from hf_oversample.models.classifiers.textcnn import (
    TextCnnConfig,
    TextCnnForSequenceClassification,
)
from hf_oversample.models.classifiers.textrnn import (
    TextRnnConfig,
    TextRnnForSequenceClassification,
)
from hf_oversample.training.classifier import text_features, train_classifier
from hf_oversample.training.hidden_states import (
    MixedVectors,
    TMix,
    classifier_head,
    head_inputs,
    mixed_layers,
)
from miso_fixtures import arguments, encoder_folder
from test_comparison_fold import make_fold

TRAINED = ["none", "class weights", "effective number weights", "focal loss", "dice loss"]
TRAINED += ["LDAM-DRW", "DRS", "cRT", "tau normalisation", "TMix", "duplicates", "EDA edits"]


@pytest.fixture(scope="module")
def fold() -> Fold:
    return make_fold((60, 16))


@pytest.mark.parametrize("kind", ["textcnn", "mlp"])
def test_remedies_of_networks_differ_from_none(fold: Fold, kind: str) -> None:
    classifier = classifier_named(kind, steps=6)
    none = REMEDIES["none"].fit(fold, classifier, 1).test
    for name in TRAINED:
        scores = REMEDIES[name].fit(fold, classifier, 1)
        assert scores.test.shape == (len(fold.test), 2)
        assert np.isfinite(scores.test).all()
        np.testing.assert_allclose(scores.test.sum(axis=1), 1, rtol=1e-6)
        assert (name == "none") == np.array_equal(scores.test, none), name
        if name in ("TMix", "EDA edits"):
            again = REMEDIES[name].fit(fold, classifier, 1).test
            np.testing.assert_array_equal(scores.test, again, name)


@pytest.mark.parametrize("method", ["SMOTE", "Borderline-SMOTE"])
def test_embeddings_are_made_until_the_classes_are_even(method: str) -> None:
    fold = make_fold((60, 16))
    training = made_embeddings(method)(fold, 0)
    assert training.made_vectors is not None
    made = training.made_vectors
    assert np.bincount(np.append(fold.train.labels, made.labels)).tolist() == [30, 30]
    assert made.vectors.shape == (22, fold.embedded("train").shape[1])
    assert (fold.train.labels[made.parents] == 1).all()


def test_a_class_of_few_rows_gets_fewer_neighbors() -> None:
    fold = make_fold((40, 8))  # four in the training part: SMOTE's five neighbours do not exist
    assert fold.counts.tolist() == [20, 4]
    assert REMEDIES["SMOTE"].fit(fold, classifier_named("linear"), 0).made == 16


def test_a_remedy_does_not_depend_on_what_ran_before_it(tmp_path: Path) -> None:
    """The encoder lacks a pooler, so that loading it for the word vectors draws random numbers."""
    BertModel.from_pretrained(encoder_folder(), add_pooling_layer=False).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(encoder_folder()).save_pretrained(tmp_path)
    classifier = classifier_named("textcnn-pretrained-words", steps=2)

    def focal(*before: str) -> np.ndarray:
        fold = replace(make_fold((60, 16)), encoder_name=str(tmp_path))
        for name in before:
            REMEDIES[name].fit(fold, classifier, 0)
        return REMEDIES["focal loss"].fit(fold, classifier, 0).test

    np.testing.assert_array_equal(focal(), focal("none"))


@pytest.mark.parametrize("kind", ["textcnn", "mlp"])
def test_ldam_has_a_head_of_cosines(fold: Fold, kind: str) -> None:
    training = ldam_drw(fold)
    trained = classifier_named(kind, steps=3).train(fold, training, 0)
    weight, bias = trained.head()
    features = trained.features("test")
    lengths = np.linalg.norm(features, axis=1)[:, None] * np.linalg.norm(weight, axis=1)
    cosines = features @ weight.T / lengths
    logits = trained.logits("test")
    assert not bias.any()
    np.testing.assert_allclose(  # differences: a network's logits are log-probabilities here
        logits[:, 1] - logits[:, 0], 30 * (cosines[:, 1] - cosines[:, 0]), atol=1e-2
    )
    assert training.loss is not None
    scores, labels = 30 * torch.tensor([[0.2, 0.1], [0.2, 0.1]]), torch.tensor([0, 1])
    ratios = fold.counts / fold.counts.min()
    margins = torch.tensor(0.5 * ratios**-0.25, dtype=torch.float32)
    lowered = scores - 30 * torch.eye(2) * margins
    expected = torch.nn.functional.cross_entropy(lowered, labels, reduction="none")
    torch.testing.assert_close(training.loss(scores, labels), expected)


def test_an_average_has_a_control_of_two_plain_models(fold: Fold) -> None:
    classifier = classifier_named("mlp", steps=5)
    made = Texts(["win a golden thing now !", "claim the thing today, call 99"], np.array([1, 1]))
    with_anchors = replace(fold, generator=GivenAnchors(made))
    for name in ("plain + plain", "plain + anchors"):
        other = REMEDIES[name].fit(with_anchors, classifier, 0)
        assert not np.array_equal(
            other.test, REMEDIES["none"].fit(with_anchors, classifier, 0).test
        )
    anchored = REMEDIES["anchors"].fit(with_anchors, classifier, 0)
    none = REMEDIES["none"].fit(with_anchors, classifier, 0)
    assert anchored.made == 2
    mean = REMEDIES["plain + anchors"].fit(with_anchors, classifier, 0).test
    np.testing.assert_allclose(mean, (anchored.test + none.test) / 2)
    assert REMEDIES["MISO backbone"].refusal(with_anchors, classifier) is not None


def test_what_needs_a_generator_says_so(fold: Fold) -> None:
    """A comparison trains one only where a remedy says that it needs it."""
    classifier = classifier_named("mlp", steps=5)
    with_anchors = replace(fold, generator=GivenAnchors(Texts(["win !"], np.array([1]))))
    assert fold.generator is None
    for name, remedy in REMEDIES.items():
        without, given = (remedy.refuse(one, classifier) for one in (fold, with_anchors))
        assert remedy.needs_generator == ("MISO generator" in (without or "")), name
        assert remedy.needs_generator or without == given


def test_anchors_once_with_the_logit_adjusted_loss(fold: Fold) -> None:
    """The loss has the priors of what is trained on: real rows and anchors."""
    made = Texts([f"win prize number {i}" for i in range(7)], np.ones(7, np.int64))
    with_anchors = replace(fold, generator=GivenAnchors(made))
    seen = []

    class Noted:
        def scores(self, fold: Fold, training: Training, seed: int) -> Training:
            seen.append(training)
            return training

    REMEDIES["anchors once + logit-adjusted loss"].fit(with_anchors, Noted(), 0)  # type: ignore[arg-type]
    (training,) = seen
    counts = np.bincount(fold.train.labels) + np.array([0, 7])
    assert len(training.rows(with_anchors).labels) == counts.sum()
    logits, labels = torch.zeros(2, 2), torch.tensor([0, 1])
    expected = -torch.log(torch.tensor(counts / counts.sum(), dtype=torch.float32))
    torch.testing.assert_close(training.loss(logits, labels), expected)
    classifier = classifier_named("mlp", steps=5)
    scores = REMEDIES["anchors once + logit-adjusted loss"].fit(with_anchors, classifier, 0)
    assert scores.made == 7


def test_tau_zero_is_the_head_without_its_biases(fold: Fold) -> None:
    classifier = classifier_named("mlp", steps=20)
    model = plain_model(fold, classifier, 0)
    weight, bias = model.head()
    features = model.features("test")
    np.testing.assert_allclose(features @ weight.T + bias, model.logits("test"), atol=1e-4)


def test_a_generator_is_trained_once_and_gives_anchors_and_a_backbone(tmp_path: Path) -> None:
    fold = make_fold((60, 20))
    source = MisoSource(
        tmp_path / "generators",
        arguments(),
        settings={"num_latent_heads": 4, "latent_size": 16, "bank_size": 8},
        options={"gate": [], "anchor_share": 1.0},
    )
    folder = str(encoder_folder())
    fold = replace(fold, encoder_name=folder, generator=source, key="fold0")
    trained = source.generator(fold)
    made_at = (trained / "generator.json").stat().st_mtime_ns
    anchors = source.anchors(fold, seed=0)
    assert len(anchors)
    assert set(anchors.labels.tolist()) == {1}
    again = replace(fold, cache=type(fold.cache)())  # as a run that goes on
    assert source.generator(again) == trained
    assert (trained / "generator.json").stat().st_mtime_ns == made_at
    assert again.cache.saved > 0
    swapped = replace(fold.validation, labels=1 - fold.validation.labels)
    other = replace(fold, validation=swapped, cache=type(fold.cache)())
    assert source._digest(other) != source._digest(fold)
    record = json.loads((trained / "generator.json").read_text())
    (trained / "generator.json").write_text(json.dumps(record | {"digest": "of other rows"}))
    assert source.generator(replace(fold, cache=type(fold.cache)())) == trained
    assert json.loads((trained / "generator.json").read_text())["digest"] == record["digest"]
    for kind, name in (("linear", "anchors"), ("linear", "MISO backbone")):
        scores = REMEDIES[name].fit(fold, classifier_named(kind), 0)
        assert cell_metrics(fold, scores)["roc_auc"] > 0.5


def test_an_encoder_is_fine_tuned_and_its_hidden_states_are_mixed() -> None:
    fold = replace(make_fold((40, 12)), encoder_name=str(encoder_folder()))
    classifier = classifier_named("finetune", steps=3)
    assert REMEDIES["none"].refusal(fold, classifier) is None
    for name in ("none", "TMix", "cRT", "synonym edits"):
        scores = REMEDIES[name].fit(fold, classifier, 0)
        assert scores.features is not None
        assert scores.features.shape == (len(fold.test), 32)


# ---- hidden states ------------------------------------------------------------------------------


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


@pytest.mark.parametrize("make", [tiny_bert, tiny_cnn])
def test_the_heads_inputs_are_what_the_scores_come_from(make) -> None:
    model = make()
    rows = [[4, 5, 6], [7, 8], [9, 10, 11, 12]]
    head = classifier_head(model)
    features = torch.from_numpy(text_features(model, rows))
    ids = torch.tensor([[4, 5, 6, 0], [7, 8, 0, 0], [9, 10, 11, 12]])
    logits = model(input_ids=ids, attention_mask=(ids != 0).long()).logits
    torch.testing.assert_close(head(features), logits, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        head_inputs(model)(ids, (ids != 0).long()), features, atol=1e-5, rtol=1e-4
    )


def test_layers_that_are_mixed() -> None:
    bert = tiny_bert()
    assert mixed_layers(bert) == list(bert.bert.encoder.layer)[2:]


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


@pytest.mark.parametrize("make", [tiny_bert, tiny_cnn])
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
