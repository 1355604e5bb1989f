"""From latents back to texts: every row gets one, good ones alone, the same ones every time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_oversample.data.columns import Labels, read_labels
from hf_oversample.oversamplers.miso.latent_decoder import LatentDecoder
from hf_oversample.oversamplers.miso.made_rows import DecodingRequests
from hf_oversample.oversamplers.plan import REAL, RESAMPLED, SYNTHETIC
from hf_oversample.oversamplers.smote import SmoteOversampler
from hf_oversample.text.copies import words_of
from hf_oversample.text.words import normalized
from hf_oversample.transforms.embed import TextEmbedder
from miso_fixtures import (
    MAX_LENGTH,
    SEGMENTER,
    contract_generator_folder,
    make_corpus,
    make_generator,
)

FEATURES = Features(
    {"text": Value("string"), "label": ClassLabel(names=["ham", "spam"]), "id": Value("string")}
)


@pytest.fixture(scope="module")
def latents() -> Dataset:
    texts, labels = make_corpus((30, 12))
    rows = {"text": texts, "label": labels, "id": [f"row-{i}" for i in range(len(texts))]}
    embedder = TextEmbedder(contract_generator_folder(), pooling="latent", max_length=MAX_LENGTH)
    return embedder.embed_dataset(Dataset.from_dict(rows, features=FEATURES))


@pytest.fixture(scope="module")
def balanced(latents: Dataset) -> Dataset:
    return (
        SmoteOversampler(copy_columns=True)
        .balance(latents)
        .remove_columns("text")
        .add_column("text", [*latents["text"], *[None] * 18], feature=Value("string"))
    )


def decoder(**params: Any) -> LatentDecoder:
    few = {"max_length": MAX_LENGTH, "max_new_tokens": 10, "gate": (), "max_tries": 2}
    few["unknown_words"] = "keep"  # hardly trained, it writes few known ones
    return LatentDecoder(str(contract_generator_folder()), **{**few, **params})


def made_texts(dataset: Dataset) -> list[str]:
    return dataset.filter(lambda row: row["origin"] != REAL)["text"][:]


def test_every_row_gets_a_text_and_real_rows_stay(balanced: Dataset, latents: Dataset) -> None:
    tool = decoder()
    decoded = tool.decode(balanced)
    assert decoded.features == balanced.features
    assert len(decoded) == len(balanced) == 60
    assert decoded["label"][:] == balanced["label"][:]
    for name in balanced.column_names:
        assert decoded.select(range(42))[name][:] == balanced.select(range(42))[name][:]
    texts = decoded["text"][:]
    assert all(isinstance(text, str) and text.strip() for text in texts)
    origin, parent = np.asarray(decoded["origin"]), np.asarray(decoded["parent"])
    written = [normalized(text) for text, code in zip(texts, origin, strict=True) if code == 1]
    assert written, "a gate without judges lets some through"
    assert len(set(written)) == len(written)
    assert not set(written) & {normalized(text) for text in latents["text"]}
    for row in np.flatnonzero(origin == RESAMPLED).tolist():
        own = int(parent[row])
        assert texts[row] == texts[own]
        assert decoded["embedding"][row] == decoded["embedding"][own]
        assert decoded["label"][row] == decoded["label"][own]
        assert decoded["id"][row] is None
    for row in np.flatnonzero(origin == SYNTHETIC).tolist():
        assert decoded["embedding"][row] == balanced["embedding"][row]
        assert decoded["id"][row] == balanced["id"][row]
    assert tool.rejections["kept"] == len(written)
    assert tool.rejections["tries used up"] == (origin == RESAMPLED).sum()


def test_words_that_no_real_row_has_are_rejected_as_it_comes(balanced: Dataset) -> None:
    known = {word for text in balanced["text"] if text for word in words_of(text, SEGMENTER)}

    def unknown(texts: list[str]) -> int:
        return sum(bool(set(words_of(text, SEGMENTER)) - known) for text in texts)

    assert unknown(decoder().decode(balanced)["text"][:]) > 0
    strict = decoder(unknown_words="reject")
    assert unknown(strict.decode(balanced)["text"][:]) == 0
    assert strict.rejections["unknown words"] > 0


def test_the_format_is_kept(balanced: Dataset) -> None:
    """And texts and latents are read that are not shown."""
    form = {"type": "torch", "columns": ["label"], "output_all_columns": True}
    decoded = decoder().decode(balanced.with_format(**form))
    assert {name: decoded.format[name] for name in form} == form
    assert decoded.with_format(None).to_dict() == decoder().decode(balanced).to_dict()


def test_the_same_texts_for_every_batch_and_number_of_processes(balanced: Dataset) -> None:
    expected = decoder().decode(balanced)["text"][:]
    for batch_size in (1, 7, 1000):
        assert decoder().decode(balanced, batch_size=batch_size)["text"][:] == expected
    assert decoder().decode(balanced, num_proc=2, batch_size=5)["text"][:] == expected
    assert decoder(seed=1).decode(balanced)["text"][:] != expected


def test_the_same_texts_where_children_follow_their_parents(latents: Dataset) -> None:
    oversampler = SmoteOversampler().fit(latents)
    after = decoder().decode(oversampler.balance(latents))
    between = decoder().decode(latents.map(oversampler, batched=True, with_indices=True))
    assert between["origin"][:] != after["origin"][:]
    assert made_texts(between) == made_texts(after)
    real = between.filter(lambda row: row["origin"] == REAL)
    assert real["text"][:] == latents["text"][:]


@pytest.mark.parametrize("origin", ["as it is", "all resampled"])
def test_rows_in_another_order_are_refused(latents: Dataset, origin: str) -> None:
    oversampler = SmoteOversampler().fit(latents)
    mapped = latents.map(oversampler, batched=True, with_indices=True)
    for whole in (oversampler.balance(latents), mapped):
        if origin == "all resampled":
            whole = whole.map(lambda row: {"origin": 2 * min(row["origin"], 1)})
        codes, parents = (np.asarray(whole[name]) for name in ("origin", "parent"))
        DecodingRequests.of(codes, parents, read_labels(whole, "label"))
        for seed in range(3):
            with pytest.raises(ValueError, match="not in the oversampler's order"):
                decoder().decode(whole.shuffle(seed=seed))


def test_the_judge_places_every_text_with_its_class(balanced: Dataset) -> None:
    tool = decoder(gate=("classifier", "neighbors"), max_tries=8)
    decoded = tool.decode(balanced)
    origin = np.asarray(decoded["origin"])
    kept = [decoded["text"][int(row)] for row in np.flatnonzero(origin == SYNTHETIC)]
    assert tool.rejections["wrong class"] > 0, "of a generator that was hardly trained"
    assert kept, "but not so little that nothing gets through"
    spam = np.ones(len(kept), np.int64)
    margins = tool.gate_.classifier.margin(tool.loaded.embed(kept), spam)
    assert (margins > tool.gate_.band.least[1]).all()
    assert np.bincount(decoded["label"]).tolist() == [30, 30]


def test_critics_judge_decoded_texts(balanced: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = decoder(gate=("critics",))
    evidence, seen = tool.loaded.evidence, list[float]()

    def heard(texts: Sequence[str], codes: np.ndarray) -> np.ndarray:
        found = evidence(texts, codes)
        seen.extend(found.tolist())
        return found

    monkeypatch.setattr(tool.loaded, "evidence", heard)
    decoded = tool.decode(balanced)
    # of a generator that was hardly trained
    assert 0 < tool.rejections["wrong class"] == sum(value <= 0 for value in seen)
    for row in np.flatnonzero(np.asarray(decoded["origin"]) == SYNTHETIC):
        assert tool.loaded.evidence([decoded["text"][int(row)]], np.ones(1, np.int64))[0] > 0
    assert np.bincount(decoded["label"]).tolist() == [30, 30]


def test_copies_and_repeats_are_redrawn_and_then_replaced(
    balanced: Dataset, latents: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the realiser gives is forced: a copy of a real row at every try."""
    tool = decoder(max_tries=3)
    copy = latents["text"][0].upper()
    monkeypatch.setattr(
        tool.loaded.realizer, "from_latents", lambda latents, *_: [copy] * len(latents)
    )
    decoded = tool.decode(balanced)
    assert tool.rejections["tries used up"] == 18
    assert sum(tool.rejections[name] for name in ("copy", "unchanged", "repeats")) == 3 * 18
    assert Counter(decoded["origin"]) == {REAL: 42, RESAMPLED: 18}
    # a text that is new is taken once: the others are its siblings
    monkeypatch.setattr(
        tool.loaded.realizer, "from_latents", lambda latents, *_: ["all is new"] * len(latents)
    )
    decoded = tool.decode(balanced)
    assert decoded["text"][:].count("all is new") == 1
    assert tool.rejections["kept"] == 1
    assert tool.rejections["sibling"] == 17 * 3
    first = np.flatnonzero(np.asarray(balanced["origin"]) == SYNTHETIC)
    parents = np.asarray(balanced["parent"])[first]
    assert decoded["text"][int(first[np.argmin(parents)])] == "all is new"


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_requests_are_the_synthetic_rows_in_the_order_of_the_plan(data: st.DataObject) -> None:
    real = data.draw(st.integers(2, 8))
    children = data.draw(
        st.lists(st.tuples(st.integers(0, real - 1), st.sampled_from([1, 2])), max_size=12)
    )
    # As balance gives them: by their parents, and a resampled row's parent is of its class.
    children = sorted(
        (row if kind == SYNTHETIC or row % 2 else row + 1 - 2 * (row + 1 == real), kind)
        for row, kind in children
    )
    codes = np.asarray([i % 2 for i in range(real)] + [1] * len(children))
    origin = np.asarray([REAL] * real + [kind for _, kind in children])
    parent = np.asarray([-1] * real + [row for row, _ in children])
    requests = DecodingRequests.of(origin, parent, Labels(codes, [0, 1], ["a", "b"]))
    assert sorted(requests.rows) == np.flatnonzero(origin == SYNTHETIC).tolist()
    keys = list(zip(requests.parent.tolist(), requests.child.tolist(), strict=True))
    assert keys == sorted(set(keys))
    for row, (owner, number) in zip(requests.rows.tolist(), keys, strict=True):
        brothers = [i for i in range(real, len(parent)) if parent[i] == owner]
        assert brothers[number] == row
    assert (requests.label == 1).all()
    assert (requests.avoid == 0).all()


def test_a_parent_of_another_class_says_what_to_avoid() -> None:
    codes = np.asarray([0, 0, 0, 1, 1, 2, 2, 2])
    origin = np.asarray([REAL] * 6 + [SYNTHETIC] * 2)
    parent = np.asarray([-1] * 6 + [3, 5])
    labels = Labels(codes, [0, 1, 2], ["a", "b", "c"])
    assert DecodingRequests.of(origin, parent, labels).avoid.tolist() == [1, 0]
    with pytest.raises(ValueError, match="'parent' is 6 in row 7, but there are 6 real"):
        DecodingRequests.of(origin, np.asarray([-1] * 6 + [3, 6]), labels)


def test_a_resampled_row_without_text_gets_its_parents(latents: Dataset) -> None:
    """As AMO leaves the rows that it rejects; nothing is to be decoded then."""
    grown = SmoteOversampler().balance(latents)
    codes = np.where(np.asarray(grown["origin"]) == SYNTHETIC, RESAMPLED, REAL)
    rejected = grown.remove_columns("origin").add_column(
        "origin", codes, feature=grown.features["origin"]
    )
    decoded = decoder().decode(rejected)
    rows = zip(decoded["text"][42:], decoded["parent"][42:], strict=True)
    assert all(text == latents["text"][parent] for text, parent in rows)
    assert decoded["embedding"][:] == rejected["embedding"][:]


def test_what_it_refuses(balanced: Dataset, latents: Dataset) -> None:
    with pytest.raises(ValueError, match="gate has"):
        decoder(gate=("taste",))
    with pytest.raises(ValueError, match="max_tries is 0"):
        decoder(max_tries=0)
    with pytest.raises(ValueError, match="no column 'origin'"):
        decoder().decode(latents)
    narrow = balanced.map(
        lambda batch: {"embedding": [row[:8] for row in batch["embedding"]]},
        batched=True,
        remove_columns=["embedding"],
    )
    with pytest.raises(ValueError, match="4 × 16"):
        decoder().decode(narrow)
    renamed = balanced.cast_column("label", ClassLabel(names=["ham", "cheese"]))
    with pytest.raises(ValueError, match=r"does not know the class\(es\) \['cheese'\]"):
        decoder().decode(renamed)


def test_classes_that_the_generator_was_not_trained_for(
    balanced: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from miso_fixtures import tokenizer

    folder = tmp_path_factory.mktemp("generator")
    make_generator(balanced["text"][:42], targets=(0,)).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    with pytest.raises(ValueError, match=r"not trained to write the class\(es\) \['spam'\]"):
        LatentDecoder(str(folder), max_length=MAX_LENGTH).decode(balanced)
