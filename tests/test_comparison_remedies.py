"""Every remedy trains, and does what its name says, with every kind of classifier."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertModel,
    GPT2Config,
    GPT2Model,
    XLNetConfig,
    XLNetModel,
)

from hf_oversample.comparison import classifiers, heads
from hf_oversample.comparison.base import Trained, Training
from hf_oversample.comparison.costs import SharedValues
from hf_oversample.comparison.fold import Fold
from hf_oversample.comparison.miso import GivenAnchors, MisoSource
from hf_oversample.comparison.registry import classifier_named
from hf_oversample.comparison.remedies import REMEDIES
from hf_oversample.comparison.remedy_fits import ldam_drw
from hf_oversample.comparison.resampling import made_embeddings
from hf_oversample.comparison.scores import Scores, cell_metrics, tuned_offsets
from hf_oversample.data.labeled_texts import Texts
from hf_oversample.training.classifier import ranking_score, train_classifier
from hf_oversample.training.heads import train_head
from miso_fixtures import arguments, encoder_folder
from test_comparison_fold import make_fold

TRAINED = ["none", "class weights", "effective number weights", "focal loss", "dice loss"]
TRAINED += ["LDAM-DRW", "DRS", "cRT", "tau normalisation", "TMix"]
TRAINED += ["duplicates", "EDA edits", "EMCO"]


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
        if name in ("TMix", "EDA edits", "EMCO"):
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


class Given(Trained):
    """A classifier that was trained before: a head, and what it reads."""

    def __init__(self, weight: np.ndarray, parts: dict[str, np.ndarray]) -> None:
        self.weight, self.parts = weight.astype(np.float32), parts

    def logits(self, part: str) -> np.ndarray:
        return self.parts[part] @ self.weight.T + 1

    def features(self, part: str) -> np.ndarray:
        return self.parts[part]

    def head(self) -> tuple[np.ndarray, np.ndarray]:
        return self.weight, np.ones(len(self.weight), np.float32)


def given(fold: Fold, weight: np.ndarray, rows: dict[int, list[float]]) -> Fold:
    """The fold with a plain model trained before, which reads one vector for each class."""
    parts = {
        name: np.array([rows[label] for label in fold.part(name).labels.tolist()], np.float32)
        for name in ("train", "validation", "test")
    }
    fold = replace(fold, cache=type(fold.cache)())
    fold.cache.get(("trained", "mlp", 0), lambda: Given(weight, parts))
    return fold


def test_tau_is_the_least_that_puts_the_minority_right(fold: Fold) -> None:
    """Weights of norms 4 and 1, rows of the minority at (1, 1.5): its score is the larger one where
    4^(1 - tau) < 1.5, from tau = 0.7075 on; the grid has 0.8."""
    own = given(fold, np.diag([4.0, 1.0]), {0: [1.0, 0.5], 1: [1.0, 1.5]})
    scores = REMEDIES["tau normalisation"].fit(own, classifier_named("mlp", steps=1), 0)
    expected = {0: [4**0.2, 0.5], 1: [4**0.2, 1.5]}
    logits = np.array([expected[label] for label in own.test.labels.tolist()])
    np.testing.assert_allclose(scores.test, softmax(logits, axis=1), atol=1e-6)


def test_a_plain_network_tells_whether_it_fits_its_own_rare_rows(fold: Fold) -> None:
    rows = {0: [1.0, 0.5], 1: [1.0, 1.5]}
    for weight, fitted in ((np.eye(2), 1.0), (np.diag([4.0, 1.0]), 0.0)):
        own = given(fold, weight, rows)
        scores = REMEDIES["none"].fit(own, classifier_named("mlp", steps=1), 0)
        assert cell_metrics(own, scores)["train_recall"] == fitted
        # it is no property of scores that were moved
        moved = REMEDIES["threshold moving"].fit(own, classifier_named("mlp", steps=1), 0)
        assert moved.train_recall is None
    assert REMEDIES["none"].fit(fold, classifier_named("linear"), 0).train_recall is None


def test_a_head_retrained_on_vectors_that_tell_nothing_forgets_the_class_shares(fold: Fold) -> None:
    """cRT reads the plain model's vectors, and sees the classes equally often."""
    own = given(fold, np.eye(2), {0: [1.0, -1.0], 1: [1.0, -1.0]})
    scores = REMEDIES["cRT"].fit(own, classifier_named("mlp", steps=1), 0)
    np.testing.assert_allclose(scores.test, 0.5, atol=0.1)
    assert fold.counts[1] < 0.3 * fold.counts.sum()


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
    assert again.cache.costs.saved > 0
    swapped = replace(fold.validation, labels=1 - fold.validation.labels)
    other = replace(fold, validation=swapped, cache=type(fold.cache)())
    assert source._digest(other) != source._digest(fold)
    # runs on the same rows have a generator each, but where one seed is given for all
    seeds = [replace(source, seed=seed) for seed in (None, 0)]
    assert [one._digest(replace(fold, seed=1)) == one._digest(fold) for one in seeds] == [
        False,
        True,
    ]
    record = json.loads((trained / "generator.json").read_text())
    (trained / "generator.json").write_text(json.dumps(record | {"digest": "of other rows"}))
    assert source.generator(replace(fold, cache=type(fold.cache)())) == trained
    assert json.loads((trained / "generator.json").read_text())["digest"] == record["digest"]
    for kind, name in (("linear", "anchors"), ("linear", "MISO backbone")):
        scores = REMEDIES[name].fit(fold, classifier_named(kind), 0)
        assert cell_metrics(fold, scores)["roc_auc"] > 0.5


@pytest.fixture(params=["bert", "gpt2", "xlnet"])
def pretrained(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Folder of an encoder, or of a decoder without a padding token."""
    if request.param == "bert":
        return str(encoder_folder())
    tokenizer = AutoTokenizer.from_pretrained(encoder_folder())
    tokenizer.pad_token = None
    tokenizer.save_pretrained(tmp_path)
    sizes = {"n_head": 2, "vocab_size": len(tokenizer)}
    if request.param == "gpt2":
        config = GPT2Config(n_embd=32, n_layer=2, n_positions=64, **sizes)
        GPT2Model(config).save_pretrained(tmp_path)
    else:
        XLNetModel(XLNetConfig(d_model=32, n_layer=2, d_inner=32, **sizes)).save_pretrained(
            tmp_path
        )
    return str(tmp_path)


def test_a_head_of_another_number_of_classes_is_drawn_anew(pretrained: str, tmp_path: Path) -> None:
    AutoModelForSequenceClassification.from_pretrained(pretrained, num_labels=3).save_pretrained(
        tmp_path
    )
    AutoTokenizer.from_pretrained(pretrained).save_pretrained(tmp_path)
    fold = replace(make_fold((40, 12)), encoder_name=str(tmp_path))
    scores = REMEDIES["none"].fit(fold, classifier_named("finetune", steps=1), 0)
    assert scores.test.shape == (len(fold.test), 2)


def test_a_learning_rate_that_diverges_leaves_the_answer_to_the_other(
    fold: Fold, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = classifier_named("textcnn", steps=5)
    monkeypatch.setattr(type(classifier), "learning_rates", (3e-3, float("inf")))
    assert np.isfinite(REMEDIES["none"].fit(fold, classifier, 0).test).all()
    monkeypatch.setattr(type(classifier), "learning_rates", (float("inf"),))
    alone = replace(fold, cache=SharedValues())
    with pytest.raises(FloatingPointError, match="training diverged at a learning rate of inf"):
        REMEDIES["none"].fit(alone, classifier, 0)


@pytest.mark.parametrize("remedy", ["none", "class weights", "duplicates", "cRT"])
def test_fine_tuning_chooses_between_two_rates_for_every_remedy(
    remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None gets the same chances as what it is compared with, on validation rows alone."""
    fold = replace(make_fold((40, 12)), encoder_name=str(encoder_folder()))
    tried: list[tuple[float, float, bool]] = []

    def train(model: Any, *args: Any, **options: Any) -> Any:
        held_out = options["validation"][1] is fold.validation.labels
        tried.append((options["learning_rate"], options["warmup"], held_out))
        return train_classifier(model, *args, **options)

    monkeypatch.setattr(classifiers, "train_classifier", train)
    REMEDIES[remedy].fit(fold, classifier_named("finetune", steps=4), 0)
    rates = classifiers.FineTuned.learning_rates
    assert len(rates) == 2
    assert classifiers.FineTuned.warmup > 0
    assert tried == [(rate, classifiers.FineTuned.warmup, True) for rate in rates]


@pytest.mark.parametrize("chosen", [0, 1])
@pytest.mark.parametrize("remedy", ["none", "focal loss", "duplicates", "SMOTE"])
def test_two_layers_choose_between_two_rates_for_every_remedy(
    remedy: str, chosen: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fold, tried = make_fold((40, 12)), list[float]()

    def train(*args: Any, **options: Any) -> Any:
        tried.append(options["learning_rate"])
        if tried[-1] != heads.Mlp.learning_rates[chosen]:
            options["learning_rate"] = 1e-12  # learns nothing
        return train_head(*args, **options)

    monkeypatch.setattr(heads, "train_head", train)
    scores = REMEDIES[remedy].fit(fold, classifier_named("mlp", steps=40), 0)
    assert tried == list(heads.Mlp.learning_rates)
    found = ranking_score(fold.validation.labels, scores.validation, fold.minority)
    assert found > 0.9, "the rate that learns is taken, first or second"


@pytest.mark.parametrize(
    "remedy", ["none", "class weights", "duplicates", "logit adjustment", "SMOTE"]
)
def test_logistic_regression_chooses_its_penalty_for_every_remedy(
    remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fold, tried = make_fold((60, 16)), list[float]()
    fit = LogisticRegression.fit

    def observed(model: LogisticRegression, *args: Any, **options: Any) -> LogisticRegression:
        tried.append(model.C)
        return fit(model, *args, **options)

    monkeypatch.setattr(LogisticRegression, "fit", observed)
    REMEDIES[remedy].fit(fold, classifier_named("linear"), 0)
    assert {0.1, 1.0, 10.0} <= set(tried)
    assert len(tried) == len(set(tried))  # each once, on the training rows


@pytest.mark.parametrize("low", [1e-3, 1e-12, 1e-200])
def test_a_moved_threshold_may_be_as_low_as_it_has_to(low: float) -> None:
    """A model that is sure of the majority everywhere still ranks: its threshold is between."""
    labels = np.array([0, 0, 0, 1, 1])
    told = low * np.array([1.0, 2.0, 3.0, 5.0, 6.0])
    scores = Scores(np.stack([1 - told, told], axis=1), np.stack([1 - told, told], axis=1))
    moved = scores.moved(tuned_offsets(labels, scores.validation, 1))
    assert moved.test.argmax(axis=1).tolist() == labels.tolist()


def test_an_encoder_is_fine_tuned_and_its_hidden_states_are_mixed(pretrained: str) -> None:
    fold = replace(make_fold((40, 12)), encoder_name=pretrained)
    classifier = classifier_named("finetune", steps=3)
    assert REMEDIES["none"].refusal(fold, classifier) is None
    for name in ("none", "TMix", "cRT", "LDAM-DRW", "synonym edits"):
        scores = REMEDIES[name].fit(fold, classifier, 0)
        assert scores.features is not None
        assert scores.features.shape == (len(fold.test), 32)


def test_a_language_models_texts_are_a_remedy(fold: Fold) -> None:
    """Trained on the fold's training part alone; its cells are not mixed with another model's."""
    from hf_oversample.comparison.language_model import LanguageModelSource
    from writer_fixtures import contract_writer_folder

    options = {"gate_quantile": 0.0, "training_words_only": False}
    source = LanguageModelSource(str(contract_writer_folder()), options=options)
    fold = replace(fold, writer=source)
    classifier = classifier_named("linear")
    none = REMEDIES["none"].fit(fold, classifier, 0)
    for name in ("language model", "language model once + logit adjustment"):
        remedy = REMEDIES[name]
        assert remedy.needs_writer
        assert "no language model" in (remedy.refusal(replace(fold, writer=None), classifier) or "")
        scores = remedy.fit(fold, classifier, 0)
        assert scores.made > 0
        assert not np.array_equal(scores.test, none.test)
    again = LanguageModelSource(str(contract_writer_folder()), options={"gate": []})
    assert again.identity() != source.identity()
    with pytest.raises(ValueError, match="no encoder to start from"):
        source.backbone(fold)
