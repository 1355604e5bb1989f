"""Re-embedding: the training, and what comes out of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer, BartConfig

from hf_oversample import TextEmbedder
from hf_oversample.data.labeled_texts import Texts
from hf_oversample.text.encoding import token_ids
from hf_oversample.training.reembedder import Reembedded, Reembedder
from hf_oversample.training.reembedding import ReembeddingTrainer, TrainingRows
from hf_oversample.training.reembedding_arguments import ReembeddingArguments
from hf_oversample.training.reembedding_files import save_classifier, save_encoder, triplets
from hf_oversample.training.reembedding_heads import (
    rare_precision,
    rare_score,
    solve_head,
)
from miso_fixtures import encoder_folder
from reembedding_fixtures import QUICK, reembedder, rows, split

# ---- training -----------------------------------------------------------------------------------


def weights(result: Reembedded) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in result.model.state_dict().items()}


def assert_same(one: Reembedded, other: Reembedded) -> None:
    for name, value in weights(one).items():
        assert torch.equal(value, weights(other)[name]), name


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"objective": "classification"},
        {"objective": "classification", "balanced": True},
        {"objective": "classification", "head_first": True},
        {"objective": "joint"},
    ],
    ids=["contrastive", "plain", "balanced", "LP-FT", "joint"],
)
def test_the_same_seed_gives_the_same_bits_and_another_others(settings: dict) -> None:
    train = rows()
    first, again = (reembedder(**settings).fit(train) for _ in range(2))
    assert_same(first, again)
    other = reembedder(**settings, seed=1).fit(train)
    name = "encoder.encoder.layer.0.attention.self.query.weight"
    assert not torch.equal(weights(first)[name], weights(other)[name])


def test_it_moves_rare_texts_together_and_away_from_their_neighbours() -> None:
    train = rows((60, 16))
    made = reembedder(steps=60, learning_rate=2e-3)
    before = made.embed(train.texts)
    result = made.fit(train)
    after = result.embed(train.texts)
    rare, near = result.classes[1].rows, result.classes[1].hard_negatives

    def gap(vectors: np.ndarray) -> float:
        own = vectors[rare] @ vectors[rare].T
        own = own[~np.eye(len(rare), dtype=bool)].mean()
        return float(own - np.einsum("id,ikd->ik", vectors[rare], vectors[near]).mean())

    assert gap(after) > gap(before) + 0.2
    assert result.record["history"][-1]["contrastive"] < result.record["history"][0]["contrastive"]


def test_lp_ft_begins_with_the_head_that_the_frozen_encoder_has() -> None:
    train = rows()
    settings = {"objective": "classification", "learning_rate": 1e-12, "steps": 2}
    first = reembedder(**settings, head_first=True).fit(train)
    plain = reembedder(**settings).fit(train)
    labels = train.labels
    assert rare_precision(labels, first.logits(train.texts), [1]) > 0.7
    assert rare_precision(labels, plain.logits(train.texts), [1]) < 0.6
    vectors = first.embed(train.texts)
    solved = solve_head(vectors, labels, classes=2, targets=[1], balanced=False)
    np.testing.assert_allclose(first.logits(train.texts), solved.logits(vectors), atol=1e-3)


def test_balanced_batches_of_cross_entropy_teach_that_no_class_is_rare() -> None:
    """The head of one batch's shares: log-odds of 0 on the mean, and of the prior otherwise."""
    train = rows((96, 8))
    settings = {"objective": "classification", "steps": 60, "learning_rate": 2e-3}
    settings |= {"rare_rows": 6, "majority_rows": 6, "batch_size": 12}
    odds = {}
    for balanced in (False, True):
        result = reembedder(**settings, balanced=balanced).fit(train)
        odds[balanced] = rare_score(result.logits(train.texts), 1)
        assert result.new_head is None  # cross-entropy trained it
    rare = train.labels == 1
    assert odds[True][rare].mean() > odds[False][rare].mean() + 1
    assert (odds[True][rare] > 0).mean() > 0.9


def test_word_embeddings_stay_where_they_are_not_trained() -> None:
    name = "encoder.embeddings.word_embeddings.weight"
    for trains in (True, False):
        result = reembedder(train_word_embeddings=trains).fit(rows())
        assert torch.equal(result.before[name], weights(result)[name]) is not trains
        assert all(one.requires_grad for one in result.model.parameters())


def test_a_run_that_was_stopped_ends_with_the_weights_of_one_that_was_not(tmp_path: Path) -> None:
    train = rows()
    whole = reembedder(objective="joint").fit(train)
    half = reembedder(objective="joint", output_dir=tmp_path)
    with pytest.raises(InterruptedError, match="after 4 steps"):
        half.fit(train, stop_at=4)
    checkpoint = tmp_path / "checkpoint-4"
    rest = reembedder(objective="joint", output_dir=tmp_path)
    assert_same(whole, rest.fit(train, resume_from_checkpoint=checkpoint))
    assert [one["step"] for one in rest.trainer.history] == [2, 4, 6]
    with pytest.raises(ValueError, match=r"learning_rate was 0\.001 and is 0\.5"):
        reembedder(objective="joint", output_dir=tmp_path, learning_rate=0.5).fit(
            train, resume_from_checkpoint=checkpoint
        )
    other = Texts([*train.texts[:-1], "another text"], train.labels)
    with pytest.raises(ValueError, match="the training rows or their labels are others"):
        reembedder(objective="joint", output_dir=tmp_path).fit(
            other, resume_from_checkpoint=checkpoint
        )


def test_gradient_accumulation_takes_all_micro_steps() -> None:
    plain = reembedder(steps=4).fit(rows())
    accumulated = reembedder(steps=4, gradient_accumulation_steps=2).fit(rows())
    name = "encoder.encoder.layer.0.attention.self.query.weight"
    assert not torch.equal(weights(plain)[name], weights(accumulated)[name])
    with pytest.raises(ValueError, match="no multiple of gradient_accumulation_steps"):
        ReembeddingArguments(steps=5, gradient_accumulation_steps=2)


def test_several_rare_classes_each_against_the_rest_and_one_head_for_all() -> None:
    train = rows((40, 12, 9))
    result = reembedder(classes=3, steps=12).fit(train)
    assert result.targets == [1, 2]
    assert set(result.classes) == {1, 2}
    assert result.logits(train.texts).shape == (61, 3)
    alone = Reembedder(
        encoder_folder(),
        class_names=["ham", "spam", "news"],
        target_classes=[2],
        arguments=ReembeddingArguments(**QUICK),
    ).fit(train)
    assert alone.targets == [2]
    assert set(train.labels[alone.classes[2].others]) == {0, 1}


def test_anchors_reach_the_training() -> None:
    train = rows()
    made = Texts(["claim your free voucher now !", "you have won a laptop"], np.array([1, 1]))
    without = reembedder().fit(train)
    with_made = reembedder().fit(train, anchors=made)
    name = "encoder.encoder.layer.0.attention.self.query.weight"
    assert not torch.equal(weights(without)[name], weights(with_made)[name])


def test_interpolation_keeps_what_validation_rows_choose() -> None:
    train, validation = split()
    result = reembedder(
        interpolate=True, objective="classification", head_first=True, steps=30
    ).fit(train, validation)
    found = {float(k): v for k, v in result.record["validation_of_coefficients"].items()}
    chosen = result.record["coefficient"]
    assert len(found) == 5
    assert found[chosen] == max(found.values())
    name = "encoder.encoder.layer.0.attention.self.query.weight"
    mixed = torch.lerp(result.before[name], result.after[name], chosen)
    assert torch.equal(result.model.state_dict()[name], mixed)
    told = rare_precision(validation.labels, result.logits(validation.texts), [1])
    assert told == pytest.approx(found[chosen])
    # a rate that destroys the encoder: the pretrained weights win
    ruined = reembedder(
        interpolate=True, objective="classification", head_first=True, learning_rate=5.0
    ).fit(train, validation)
    assert ruined.record["coefficient"] < 1


def test_the_head_of_an_interpolated_contrastive_encoder_is_solved_again() -> None:
    train, validation = split()
    result = reembedder(interpolate=True).fit(train, validation)
    for coefficient in (0.0, 1.0):
        result.interpolate(coefficient)
        vectors = result.embed(train.texts)
        solved = solve_head(vectors, train.labels, classes=2, targets=[1])
        np.testing.assert_allclose(result.logits(train.texts), solved.logits(vectors), atol=1e-3)


# ---- what is written ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def result() -> Reembedded:
    return reembedder(steps=20).fit(rows())


def test_the_classifier_loads_from_a_fresh_folder(result: Reembedded, tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    save_classifier(result, tmp_path / "first")
    shutil.move(tmp_path / "first", tmp_path / "elsewhere")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "elsewhere").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "elsewhere")
    texts = rows().texts[:5]
    batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        logits = model(**batch).logits.numpy()
    np.testing.assert_allclose(logits, result.logits(texts), atol=1e-4)
    assert model.config.id2label == {0: "ham", 1: "spam"}
    assert tokenizer.model_max_length == 24
    files = {path.suffix for path in (tmp_path / "elsewhere").iterdir()}
    assert ".safetensors" in files
    assert not files & {".bin", ".pt", ".pkl"}
    assert str(encoder_folder()) not in (tmp_path / "elsewhere" / "config.json").read_text()


def test_the_encoder_loads_in_sentence_transformers_and_in_transformers(
    result: Reembedded, tmp_path: Path
) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    (tmp_path / "first").mkdir()
    save_encoder(result, tmp_path / "first")
    shutil.move(tmp_path / "first", tmp_path / "elsewhere")
    texts = rows().texts[:5]
    own = result.embed(texts)
    loaded = sentence_transformers.SentenceTransformer(str(tmp_path / "elsewhere"), device="cpu")
    np.testing.assert_allclose(loaded.encode(texts), own, atol=1e-5)
    assert loaded.max_seq_length == 24
    AutoModel.from_pretrained(tmp_path / "elsewhere")
    for path in (tmp_path / "elsewhere").rglob("*.json"):
        assert str(encoder_folder()) not in path.read_text()
    embedder = TextEmbedder(tmp_path / "elsewhere", max_length=24)
    column = embedder.embed_dataset(datasets.Dataset.from_dict({"text": texts}))["embedding"]
    np.testing.assert_allclose(np.asarray(column[:]), own, atol=1e-5)


def test_triplets_hold_near_negatives_and_positives_that_are_not_difficult(
    result: Reembedded,
) -> None:
    train = rows()
    made = triplets(result, train, per_text=4)
    assert made.column_names == ["anchor", "positive", "negative"]
    of = result.classes[1]
    assert len(made) == 4 * len(of.rows)
    place = {text: row for row, text in enumerate(train.texts)}
    easy = set(of.rows[~of.is_difficult].tolist()) or set(of.rows.tolist())
    for row in made:
        anchor, positive = place[row["anchor"]], place[row["positive"]]
        assert train.labels[anchor] == 1
        assert anchor != positive
        assert positive in easy or easy == {anchor}
        number = of.rows.tolist().index(anchor)
        assert place[row["negative"]] in of.hard_negatives[number, :4]
    assert made[:] == triplets(result, train, per_text=4)[:]
    anchors = Texts(["a made text"], np.array([1]))
    mixed = triplets(result, train, anchors, per_text=4, anchor_share=1.0)
    assert set(mixed["positive"]) == {"a made text"}


def test_no_texts_have_no_vectors_and_no_anchors_change_nothing() -> None:
    train = rows()
    none = Texts([], np.empty(0, np.int64))
    result = reembedder().fit(train, anchors=none)
    assert_same(result, reembedder().fit(train))
    assert result.encode([]) == []
    assert result.embed([]).shape == (0, result.frozen_vectors.shape[1])
    assert result.logits([]).shape == (0, 2)


# ---- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"objective": "classification", "balanced": True}])
def test_batches_around_rare_texts_need_a_rare_class(settings: dict) -> None:
    made, train = reembedder(**settings), rows()
    encoded = token_ids(made.tokenizer, train.texts, made.max_length)
    with pytest.raises(ValueError, match="classes names no rare class"):
        ReembeddingTrainer(made.model, TrainingRows(encoded, train.labels, {}), made.arguments)


@pytest.mark.parametrize(
    ("train", "keywords", "message"),
    [
        (rows((20, 0)), {}, "of 1 class"),
        (rows((12, 12)), {}, "none is rare"),
        (rows((20, 1)), {}, "'spam' has 1 training row"),
        (Texts(["a", "b", "c"], np.array([0, 0, 5])), {}, "row 2 of the train rows has label 5"),
        (rows(), {"anchors": Texts(["x"], np.array([0]))}, "anchors of .'ham'."),
        (rows(), {"validation": rows()}, "52 training texts are validation texts too"),
        (rows(), {"validation": Texts(["x"], np.array([0]))}, "none of the rare classes"),
    ],
)
def test_rows_that_cannot_be_trained_on(train: Texts, keywords: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reembedder().fit(train, **keywords)


def test_what_needs_validation_rows_or_a_contrastive_loss_says_so() -> None:
    with pytest.raises(ValueError, match="interpolate chooses between weights by validation rows"):
        reembedder(interpolate=True).fit(rows())
    with pytest.raises(ValueError, match="anchors are positives of the contrastive loss"):
        reembedder(objective="classification").fit(rows(), anchors=Texts(["x"], np.array([1])))
    fitted = reembedder()
    fitted.fit(rows())
    with pytest.raises(RuntimeError, match="make another one"):
        fitted.fit(rows())


def test_a_model_whose_encoder_could_not_be_loaded_again_is_refused(tmp_path: Path) -> None:
    sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 16}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "decoder_ffn_dim": 16}
    config = BartConfig(vocab_size=120, **sizes, **heads)
    AutoModel.from_config(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(encoder_folder()).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="has an encoder and a decoder"):
        Reembedder(tmp_path, class_names=["a", "b"])


def test_a_model_in_memory_is_copied_and_needs_its_tokenizer() -> None:
    model = AutoModel.from_pretrained(encoder_folder())
    tokenizer = AutoTokenizer.from_pretrained(encoder_folder())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    arguments = ReembeddingArguments(**QUICK)
    with pytest.raises(TypeError, match="give its tokenizer"):
        Reembedder(model, class_names=["ham", "spam"], arguments=arguments)
    made = Reembedder(model, class_names=["ham", "spam"], arguments=arguments, tokenizer=tokenizer)
    assert_same(made.fit(rows()), reembedder().fit(rows()))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_training_that_diverges_is_told(tmp_path: Path) -> None:
    diverges = {"objective": "classification", "learning_rate": 1e30, "logging_steps": 50}
    with pytest.raises(FloatingPointError, match="Lower learning_rate"):
        reembedder(**diverges, steps=20, save_steps=4, output_dir=tmp_path).fit(rows())
    assert not list(tmp_path.glob("checkpoint-*"))  # nor is there one to go on from
