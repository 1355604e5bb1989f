"""Training data for sentence-transformers and SetFit: which rows, which columns, and trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_oversample import RandomOversampler, TextEmbedder, contrastive_dataset, difficult_samples
from hf_oversample.neighbors.difficult import nearest_neighbors
from miso_fixtures import encoder_folder, make_corpus

NAMES = ["ham", "spam", "news"]
ORIGIN = ClassLabel(names=["real", "synthetic", "resampled"])


def rows(counts: tuple[int, ...] = (30, 8), *, width: int = 4, seed: int = 0) -> Dataset:
    """Texts that name their row, with embeddings that overlap."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    vectors = rng.normal(size=(len(labels), width)) + 0.8 * labels[:, None]
    return Dataset.from_dict(
        {
            "text": [f"{NAMES[label]} {row}" for row, label in enumerate(labels)],
            "label": labels,
            "embedding": vectors.astype(np.float32),
        },
        features=Features(
            text=Value("string"),
            label=ClassLabel(names=NAMES[: len(counts)]),
            embedding=List(Value("float32"), length=width),
        ),
    )


def with_children(dataset: Dataset, synthetic: int, resampled: int) -> Dataset:
    """As an oversampler leaves it: children of class 1 behind the rows, without an embedding."""
    number = synthetic + resampled
    columns: dict[str, list[Any]] = {
        "text": dataset["text"][:] + [f"made {n}" for n in range(number)],
        "label": dataset["label"][:] + [1] * number,
        "embedding": dataset["embedding"][:] + [None] * number,
        "origin": [0] * len(dataset) + [1] * synthetic + [2] * resampled,
    }
    return Dataset.from_dict(columns, features=Features({**dataset.features, "origin": ORIGIN}))


# ---- which rows ---------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    counts=st.tuples(st.integers(8, 14), st.integers(2, 6), st.integers(2, 6)),
    per_text=st.integers(1, 30),
    k=st.integers(1, 8),
    seed=st.integers(0, 5),
)
def test_triplets_are_those_that_re_embedding_compares(
    counts: tuple[int, int, int], per_text: int, k: int, seed: int
) -> None:
    dataset = rows(counts, seed=seed)
    made = contrastive_dataset(dataset, per_text=per_text, neighbors=k, provenance=True, seed=seed)
    texts, labels = dataset["text"][:], np.asarray(dataset["label"][:])
    vectors = np.asarray(dataset["embedding"][:], np.float32)
    targets = [code for code in (1, 2) if counts[code] < max(counts)]
    samples = difficult_samples(vectors, labels, k=k, minority=targets)
    outvoted = dict(zip(samples.rows.tolist(), samples.is_outvoted.tolist(), strict=True))
    place = 0
    for label in targets:
        own, others = np.flatnonzero(labels == label), np.flatnonzero(labels != label)
        number = min(per_text, len(others))
        _, nearest = nearest_neighbors(vectors[own], vectors[others], number)
        for row, near in zip(own.tolist(), others[np.asarray(nearest)], strict=True):
            part = made[place : place + number]
            place += number
            assert part["anchor_row"] == [row] * number
            assert part["negative_row"] == near.tolist()
            rest = [one for one in own.tolist() if one != row]
            easy = [one for one in rest if not outvoted[one]] or rest
            assert set(part["positive_row"]) <= set(easy)
            # none twice before each had its turn
            assert len(set(part["positive_row"])) == min(number, len(easy))
    assert len(made) == place
    for name in ("anchor", "positive", "negative"):
        assert made[name][:] == [texts[row] for row in made[f"{name}_row"]]
    again = contrastive_dataset(dataset, per_text=per_text, neighbors=k, provenance=True, seed=seed)
    assert again[:] == made[:]


def test_pairs_are_the_triplets_taken_apart() -> None:
    dataset = rows()
    triplets = contrastive_dataset(dataset, per_text=3)
    assert triplets.features == Features(
        {name: Value("string") for name in ("anchor", "positive", "negative")}
    )
    classes = contrastive_dataset(dataset, "pair-class", per_text=3)
    scores = contrastive_dataset(dataset, "pair-score", per_text=3)
    assert classes.column_names == ["sentence1", "sentence2", "label"]
    assert scores.column_names == ["sentence1", "sentence2", "score"]
    assert (classes.features["label"].dtype, scores.features["score"].dtype) == ("int64", "float32")
    assert len(triplets) == 8 * 3
    assert len(classes) == len(scores) == 2 * len(triplets)
    for number, row in enumerate(triplets):
        for pairs, name in ((classes, "label"), (scores, "score")):
            first, second = pairs[2 * number], pairs[2 * number + 1]
            assert first == {"sentence1": row["anchor"], "sentence2": row["positive"], name: 1}
            assert second == {"sentence1": row["anchor"], "sentence2": row["negative"], name: 0}


def test_another_seed_draws_other_positives_of_the_same_anchors_and_negatives() -> None:
    first, second = (contrastive_dataset(rows(), seed=seed) for seed in (0, 1))
    assert first["anchor"][:] == second["anchor"][:]
    assert first["negative"][:] == second["negative"][:]
    assert first["positive"][:] != second["positive"][:]


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_synthetic_texts_are_positives_alone_and_copies_are_left_out(share: float) -> None:
    real = rows()
    balanced = with_children(real, synthetic=12, resampled=5)
    made = contrastive_dataset(balanced, made_share=share, provenance=True)
    assert len(made) == 8 * 5
    assert max(made["anchor_row"]) < len(real) > max(made["negative_row"])
    positives = np.asarray(made["positive_row"][:])
    synthetic = positives >= len(real)
    assert (positives < len(real) + 12).all()
    assert {0.0: not synthetic.any(), 1.0: synthetic.all(), 0.5: 0 < synthetic.mean() < 1}[share]
    if share == 0:
        plain = contrastive_dataset(real)
        assert made.select_columns(plain.column_names)[:] == plain[:]


def test_a_class_of_one_text_takes_made_ones() -> None:
    dataset = with_children(rows((12, 1)), synthetic=3, resampled=0)
    made = contrastive_dataset(dataset, made_share=0.0, per_text=4)
    assert len(made) == 4
    assert set(made["positive"]) == {"made 0", "made 1", "made 2"}


def test_a_balanced_set_of_copies_gives_what_its_real_rows_give() -> None:
    dataset = rows()
    balanced = RandomOversampler(seed=0, copy_columns=True).balance(dataset)
    assert contrastive_dataset(balanced)[:] == contrastive_dataset(dataset)[:]


def test_texts_for_setfit_are_all_rare_ones_and_as_many_others_half_of_them_near() -> None:
    balanced = with_children(rows((40, 9)), synthetic=3, resampled=4)
    few = contrastive_dataset(balanced, "text", per_text=2, provenance=True)
    assert few.column_names == ["text", "label", "row"]
    assert few.features["label"] == balanced.features["label"]
    chosen = few["row"][:]
    assert chosen == sorted(set(chosen))
    labels = np.asarray(few["label"][:])
    assert (np.bincount(labels) == [12, 12]).all()
    assert few["text"][:] == [balanced["text"][row] for row in chosen]
    triplets = contrastive_dataset(balanced, per_text=2, provenance=True)
    near = set(triplets["negative_row"])
    assert len(near & set(chosen)) >= min(6, len(near))
    # and no more than there are
    few = contrastive_dataset(rows((7, 6)), "text")
    assert np.bincount(few["label"][:]).tolist() == [6, 6]
    three = contrastive_dataset(rows((9, 4, 4)), "text", target_classes=["spam", "news"])
    assert np.bincount(three["label"][:]).tolist() == [8, 4, 4]


@pytest.mark.parametrize("kind", ["string", "int64", "bool"])
def test_labels_of_any_kind_and_columns_of_any_name(kind: str) -> None:
    dataset = rows()
    plain = contrastive_dataset(dataset)
    values = {"string": ["ham", "spam"], "int64": [10, 20], "bool": [False, True]}[kind]
    labels = [values[code] for code in dataset["label"]]
    other = dataset.remove_columns("label").add_column("kind", labels)
    other = other.rename_columns({"text": "message", "embedding": "place"}).with_format("numpy")
    names: dict[str, Any] = {
        "text_column": "message",
        "label_column": "kind",
        "embedding_column": "place",
    }
    assert contrastive_dataset(other, **names)[:] == plain[:]
    assert contrastive_dataset(other, **names, target_classes=[values[1]])[:] == plain[:]
    few = contrastive_dataset(other, "text", **names)
    assert few.column_names == ["text", "label"]
    assert set(few["label"]) == set(values)


# ---- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "pairs"}, "layout is 'pairs'; it must be one of"),
        ({"per_text": 0}, "per_text is 0; it must be at least 1"),
        ({"neighbors": 0}, "neighbors is 0"),
        ({"made_share": 1.5}, "made_share is 1.5"),
        ({"embedding_column": "place"}, "there is no column 'place'"),
        ({"target_classes": []}, "target_classes is empty"),
        ({"target_classes": ["news"]}, "has 'news', which is no class; they are .'ham', 'spam'."),
    ],
)
def test_options_that_cannot_work(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        contrastive_dataset(rows(), **options)


def test_rows_that_cannot_be_compared() -> None:
    dataset = rows()
    with pytest.raises(TypeError, match="pass dataset\\['train'\\]"):
        contrastive_dataset(DatasetDict(train=dataset))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="none is rare; name those"):
        contrastive_dataset(rows((6, 6)))
    with pytest.raises(ValueError, match="of 1 class"):
        contrastive_dataset(dataset.filter(lambda row: row["label"] == 0))
    with pytest.raises(ValueError, match="'spam' has 1 real and 0 synthetic row"):
        contrastive_dataset(rows((6, 1)))
    for column, value in (("text", " "), ("embedding", None)):
        values = dataset[column][:]
        values[3] = value
        broken = dataset.remove_columns(column).add_column(column, values)
        with pytest.raises(ValueError, match=f"column '{column}' is (empty|null) in row 3"):
            contrastive_dataset(broken)
    # the number is the row's, where synthetic rows come before it
    mixed = with_children(dataset, 3, 0)
    mixed = mixed.select([*range(len(dataset), len(mixed)), *range(len(dataset))])
    vectors = mixed["embedding"][:]
    vectors[-2] = [0.0, float("nan"), 0.0, 0.0]
    broken = mixed.remove_columns("embedding").add_column("embedding", vectors)
    with pytest.raises(ValueError, match=f"is nan in row {len(mixed) - 2}, position 1"):
        contrastive_dataset(broken)
    with pytest.raises(ValueError, match=r"column 'origin' holds \['Paris'\], and oversamplers"):
        contrastive_dataset(dataset.add_column("origin", ["Paris"] * len(dataset)))
    children = with_children(dataset, 3, 0).filter(lambda row: row["origin"] == 1)
    with pytest.raises(ValueError, match="no real row"):
        contrastive_dataset(children)


# ---- trained on ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def embedded() -> Dataset:
    texts, labels = make_corpus((40, 12))
    dataset = Dataset.from_dict({"text": texts, "label": labels})
    dataset = dataset.cast_column("label", ClassLabel(names=NAMES[:2]))
    return TextEmbedder(encoder_folder()).embed_dataset(dataset)


def margin(model: Any, triplets: Dataset) -> float:
    """How much nearer anchors are to their positives than to their negatives, by the cosine."""
    anchor, positive, negative = (
        model.encode(triplets[name][:], normalize_embeddings=True) for name in triplets.column_names
    )
    return float((anchor * (positive - negative)).sum(axis=1).mean())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layout", "loss"),
    [
        ("triplet", "TripletLoss"),
        ("triplet", "MultipleNegativesRankingLoss"),
        ("pair-class", "ContrastiveLoss"),
        ("pair-class", "OnlineContrastiveLoss"),
        ("pair-score", "CosineSimilarityLoss"),
        ("pair-score", "CoSENTLoss"),
        ("text", "BatchAllTripletLoss"),
    ],
)
def test_losses_of_sentence_transformers_train_on_it(
    embedded: Dataset, layout: Any, loss: str, tmp_path: Path
) -> None:
    """A few steps, and anchors are nearer to their positives; what is saved loads as it was."""
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
    from sentence_transformers import SentenceTransformerTrainingArguments as Arguments
    from sentence_transformers.sentence_transformer import losses

    triplets = contrastive_dataset(embedded)
    model = SentenceTransformer(str(encoder_folder()), device="cpu")
    before = margin(model, triplets)
    trainer = SentenceTransformerTrainer(
        model=model,
        args=Arguments(
            output_dir=str(tmp_path / "run"),
            max_steps=12,
            learning_rate=1e-3,
            per_device_train_batch_size=16,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            seed=0,
        ),
        train_dataset=contrastive_dataset(embedded, layout),
        loss=getattr(losses, loss)(model),
    )
    trainer.train()
    after = margin(model, triplets)
    assert after > before + 0.02
    model.save_pretrained(str(tmp_path / "encoder"))
    loaded = SentenceTransformer(str(tmp_path / "encoder"), device="cpu")
    assert margin(loaded, triplets) == pytest.approx(after, abs=1e-5)
    vectors = TextEmbedder(tmp_path / "encoder").embed_dataset(embedded.select_columns("text"))
    own = model.encode(embedded["text"][:], normalize_embeddings=True)
    np.testing.assert_allclose(np.asarray(vectors["embedding"][:]), own, atol=1e-5)


@pytest.mark.slow
def test_setfit_trains_on_it_and_loads(embedded: Dataset, tmp_path: Path) -> None:
    from setfit import SetFitModel, Trainer, TrainingArguments

    few = contrastive_dataset(embedded, "text")
    model = SetFitModel.from_pretrained(str(encoder_folder()), labels=NAMES[:2], device="cpu")
    arguments = TrainingArguments(
        output_dir=str(tmp_path / "run"),
        max_steps=40,
        batch_size=16,
        body_learning_rate=1e-3,
        save_strategy="no",
        report_to="none",
        seed=0,
    )
    Trainer(model=model, args=arguments, train_dataset=few).train()
    texts = embedded["text"][:]
    told = model.predict(texts)
    right = np.mean(
        [NAMES[code] == name for code, name in zip(embedded["label"], told, strict=True)]
    )
    assert right > 0.8
    model.save_pretrained(str(tmp_path / "model"))
    loaded = SetFitModel.from_pretrained(str(tmp_path / "model"), device="cpu")
    assert loaded.predict(texts) == told
