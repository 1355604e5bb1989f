"""MISO as an oversampler: what the contract checks of all oversamplers do not cover."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Value
from datasets.fingerprint import Hasher

from hf_oversample import MisoForAnchorGeneration, MisoOversampler
from hf_oversample.models.digest import weights_digest
from hf_oversample.models.miso.realizers import EditRealizer
from hf_oversample.neighbors.difficult import difficult_samples
from hf_oversample.oversamplers.anchors.gate import TextGate
from hf_oversample.oversamplers.anchors.judge import LinearJudge, chosen_regularization
from hf_oversample.oversamplers.anchors.plan import (
    COPY,
    MAJORITY_ANCHOR,
    OWN_ANCHOR,
    AnchorPlanner,
)
from hf_oversample.oversamplers.miso.latent_decoder import LatentDecoder
from hf_oversample.text.copies import CopyIndex, words_of
from hf_oversample.text.words import normalized
from hf_oversample.transforms.embed import TextEmbedder
from miso_fixtures import (
    CLASS_NAMES,
    MAX_LENGTH,
    SEGMENTER,
    contract_generator_folder,
    encoder_folder,
    make_corpus,
    new_folder,
    tokenizer,
    trained_generator_folder,
)

REAL, SYNTHETIC, RESAMPLED = range(3)


@lru_cache(maxsize=3)
def dataset_of(counts: tuple[int, ...], seed: int = 7) -> Dataset:
    texts, labels = make_corpus(counts, seed)
    features = Features(
        {"text": Value("string"), "label": ClassLabel(names=list(CLASS_NAMES[: len(counts)]))}
    )
    return Dataset.from_dict({"text": texts, "label": labels.tolist()}, features=features)


def oversampler_of(**params: Any) -> MisoOversampler:
    return MisoOversampler(str(trained_generator_folder()), max_length=MAX_LENGTH, **params)


def made_by(oversampler: MisoOversampler, dataset: Dataset) -> list[dict[str, Any]]:
    oversampler.fit(dataset)
    return [dict(row) for row in oversampler.children(dataset)]


TWO = (60, 12)


# ---- counts and provenance ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "gate", [(), ("classifier",), ("classifier", "critics", "neighbors", "influence")]
)
@pytest.mark.parametrize("realizer", ["edit", "generate"])
def test_counts_are_exact_although_anchors_are_rejected(gate: tuple[str], realizer: str) -> None:
    dataset = dataset_of(TWO)
    oversampler = oversampler_of(gate=gate, realizer=realizer, max_tries=2)
    balanced = oversampler.balance(dataset)
    assert Counter(balanced["label"]) == {0: 60, 1: 60}
    rejections = oversampler.rejections
    assert rejections is not None
    kinds = oversampler.plan_.extra["kind"]
    anchors = int((kinds != COPY).sum())
    origins = Counter(balanced["origin"])
    # every anchor is kept or its tries are used up; every try is kept or has a reason
    assert rejections["kept"] == origins[SYNTHETIC]
    assert rejections["kept"] + rejections["tries used up"] == anchors
    assert origins[RESAMPLED] == (kinds == COPY).sum() + rejections["tries used up"]
    rejected = sum(n for name, n in rejections.items() if name not in ("kept", "tries used up"))
    assert rejected >= 2 * rejections["tries used up"]
    assert rejected <= rejections["tries used up"] * 2 + rejections["kept"]
    assert rejected
    assert ("wrong class" in rejections) <= bool(gate)


def test_a_gate_that_rejects_all_gives_real_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = dataset_of(TWO)
    oversampler = oversampler_of(max_tries=3)

    def nothing(self: Any, models: Any, texts: list[str], *_: Any) -> list[str]:
        return ["wrong class"] * len(texts)

    monkeypatch.setattr(TextGate, "judged", nothing)
    rows = made_by(oversampler, dataset)
    assert len(rows) == 48
    assert {row["origin"] for row in rows} == {RESAMPLED}
    assert all(dataset[row["parent"]]["text"] == row["text"] for row in rows)
    assert all(dataset[row["parent"]]["label"] == 1 for row in rows)
    assert oversampler.rejections["kept"] == 0
    assert oversampler.rejections["tries used up"] == 24
    # not one row for all of them
    assert len({row["parent"] for row in rows}) == 12


def test_a_source_is_read_once_for_four_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    """And anew after them, with other words to replace; no more drafts are made than tries."""
    oversampler, asked = oversampler_of(max_tries=6), []
    drafts = EditRealizer.drafts

    def counted(self: Any, requests: list[Any], number: int) -> list[list[str]]:
        asked.append(([request.key for request in requests], number))
        return drafts(self, requests, number)

    def nothing(self: Any, models: Any, texts: list[str], *_: Any) -> list[str]:
        judged.append(texts)
        return ["wrong class"] * len(texts)

    judged: list[list[str]] = []
    monkeypatch.setattr(EditRealizer, "drafts", counted)
    monkeypatch.setattr(TextGate, "reasons", nothing)
    made_by(oversampler, dataset_of(TWO))
    assert [number for _, number in asked] == [4, 2]
    assert [{key[-1] for key in keys} for keys, _ in asked] == [{0}, {4}]
    assert [len(texts) for texts in judged] == [24] * 6
    assert len({tuple(texts) for texts in judged}) == 6


def test_rows_say_what_they_are() -> None:
    dataset = dataset_of(TWO)
    oversampler = oversampler_of()
    rows = made_by(oversampler, dataset)
    originals = {normalized(text) for text in dataset["text"]}
    copies = CopyIndex.build(dataset["text"], SEGMENTER)
    for row in rows:
        parent = dataset[row["parent"]]
        assert row["label"] == 1
        if row["origin"] == RESAMPLED:
            assert row["text"] == parent["text"]
            assert parent["label"] == 1
        else:
            assert normalized(row["text"]) not in originals
            assert not copies.is_near_copy(row["text"], SEGMENTER)
            assert len(words_of(row["text"], SEGMENTER)) > 0
            # spliced: what is no word is where it was
            kept = [token for token in SEGMENTER.words(parent["text"]) if not token.isalpha()]
            assert [t for t in SEGMENTER.words(row["text"]) if not t.isalpha()] == kept
    by_parent: dict[int, list[str]] = {}
    for row in rows:
        if row["origin"] == SYNTHETIC:
            by_parent.setdefault(row["parent"], []).append(normalized(row["text"]))
    assert all(len(set(texts)) == len(texts) for texts in by_parent.values())


def test_the_classifier_gate_keeps_what_it_says() -> None:
    dataset = dataset_of(TWO)
    # hardly edited, and not as its class: most of what starts from a majority text stays one
    weak: dict[str, Any] = {"guidance": 0.0, "use_class": False, "majority_edit_share": 0.1}
    strict, free = oversampler_of(**weak), oversampler_of(gate=(), **weak)
    made = [row["text"] for row in made_by(strict, dataset) if row["origin"] == SYNTHETIC]
    labels = np.asarray(dataset["label"])
    embeddings = strict.embed(dataset["text"])
    strength = chosen_regularization(embeddings, labels, 2, seed=0)
    judge = LinearJudge.fit(embeddings, labels, 2, strength)
    margin = judge.margin(strict.embed(made), np.ones(len(made), np.int64))
    assert (margin > 0).all()
    others = [row["text"] for row in made_by(free, dataset) if row["origin"] == SYNTHETIC]
    assert (judge.margin(free.embed(others), np.ones(len(others), np.int64)) < 0).any()
    assert strict.rejections["wrong class"] > 0


@pytest.mark.parametrize("gate", ["critics", "neighbors"])
def test_the_other_gates_keep_what_they_say(gate: str) -> None:
    dataset = dataset_of(TWO)
    oversampler = oversampler_of(gate=(gate,))
    made = [row["text"] for row in made_by(oversampler, dataset) if row["origin"] == SYNTHETIC]
    assert made
    if gate == "neighbors":
        train, labels = oversampler.embed(dataset["text"]), np.asarray(dataset["label"])
        distances = ((oversampler.embed(made)[:, None] - train[None]) ** 2).sum(-1)
        votes = labels[np.argsort(distances, axis=1, kind="stable")[:, :5]]
        # a class's votes count by how much more there are than its share of the rows
        assert (votes.mean(1) / (12 / 72) > (1 - votes.mean(1)) / (60 / 72)).all()
    else:
        model, encoder = oversampler.loaded.model, oversampler.loaded.encoder
        for text in made:
            ids = torch.from_numpy(encoder(text).input_ids)[None]
            with torch.no_grad():
                q = model.miso(ids).latents
                assert model.evidence(q, torch.tensor([1])) > -1e-4


# ---- sources ------------------------------------------------------------------------------------


def plan_of(**params: Any) -> tuple[Any, np.ndarray, np.ndarray, MisoOversampler]:
    """The plan, the share of other classes around each row of class 1, and these rows."""
    dataset = dataset_of(TWO)
    oversampler = oversampler_of(**params).fit(dataset)
    labels = np.asarray(dataset["label"])
    samples = difficult_samples(oversampler.embed(dataset["text"]), labels, k=5, minority=[1])
    assert oversampler.difficult_share_ == {"spam": samples.share()}
    assert oversampler.outvoted_share_ == {"spam": samples.outvoted_share()}
    return oversampler.plan_, samples.other_class_share, samples.rows, oversampler


def test_difficult_sources_come_first() -> None:
    plan, shares, rows, _ = plan_of(
        sources=("difficult", "minority"), sampling_strategy={1: 24}, anchor_share=0.5
    )
    assert len(set(shares.tolist())) > 1
    # 12 children, of which 6 are anchors: of the 6 most difficult rows
    chosen = plan.parent[plan.extra["kind"] == OWN_ANCHOR]
    assert sorted(chosen) == sorted(rows[np.argsort(-shares, kind="stable")[:6]])
    assert (plan.extra["kind"] == COPY).sum() == 6


def test_anchors_go_round_the_sources() -> None:
    plan, _, rows, _ = plan_of(sources=("minority",), anchor_share=1.0, max_anchors_per_source=3)
    parents = plan.parent[plan.extra["kind"] == OWN_ANCHOR]
    # 48 are asked for; 12 rows give 3 each, and real rows are repeated for the rest
    assert Counter(parents.tolist()) == dict.fromkeys(rows.tolist(), 3)
    copies = Counter(plan.parent[plan.extra["kind"] == COPY].tolist())
    assert copies == dict.fromkeys(rows.tolist(), 1)


def test_difficult_rows_alone() -> None:
    plan, shares, rows, _ = plan_of(sources=("difficult",), anchor_share=1.0)
    parents = set(plan.parent[plan.extra["kind"] == OWN_ANCHOR].tolist())
    assert parents == set(rows[shares > 0].tolist())
    assert parents != set(rows.tolist())


class FlatJudge:
    """Places nothing with any class."""

    def margin(self, embeddings: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """One for all rows: [n]."""
        return np.full(len(codes), -1.0)


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (("outvoted",), [49]),
        (("difficult",), [49, 44, 45, 46, 47, 48]),
        (("outvoted", "difficult"), [49, 44, 45, 46, 47, 48]),
        (("minority",), [49, 44, 45, 46, 47, 48]),
        (("majority",), []),
    ],
)
def test_outvoted_rows_are_told_from_rare_rows_among_their_own(
    sources: tuple[str, ...], expected: list[int]
) -> None:
    """Six rare rows of fifty, each with a row of the other class among five neighbours, and one
    amid them."""
    places = np.concatenate([np.arange(43.0), [-100.25], -100 - 0.1 * np.arange(5), [20.5]])
    planner = AnchorPlanner(
        places[:, None],
        np.asarray([0] * 44 + [1] * 6),
        FlatJudge(),  # type: ignore[arg-type]
        k=5,
        sources=sources,
        anchor_share=1.0,
        max_anchors_per_source=1,
        majority_share=0.0,
        seed=0,
    )
    planner.add_class(1, 20)
    own = [parent for parent, _, kind, _ in planner.entries if kind == OWN_ANCHOR]
    assert own == expected
    assert (planner.difficult_share, planner.outvoted_share) == ({1: 1.0}, {1: 1 / 6})


def test_majority_sources_are_the_nearest_that_are_not_taken_for_the_class() -> None:
    plan, _, _, oversampler = plan_of(majority_share=0.5, anchor_share=0.5)
    kinds = plan.extra["kind"]
    assert Counter(kinds.tolist()) == {COPY: 24, OWN_ANCHOR: 12, MAJORITY_ANCHOR: 12}
    dataset = dataset_of(TWO)
    labels = np.asarray(dataset["label"])
    margin = oversampler.judge.margin(
        oversampler.embed(dataset["text"]), np.ones(len(labels), np.int64)
    )
    candidates = [row for row in np.argsort(-margin) if labels[row] == 0 and margin[row] < 0]
    chosen = plan.parent[kinds == MAJORITY_ANCHOR]
    assert sorted(chosen.tolist()) == sorted(candidates[:12])
    assert (plan.label[kinds == MAJORITY_ANCHOR] == 1).all()
    assert (plan.extra["avoid"] == 0).all()


def test_majority_rows_alone() -> None:
    plan, _, _, oversampler = plan_of(sources=("majority",), anchor_share=1.0)
    assert OWN_ANCHOR not in plan.extra["kind"]
    rows = [dict(row) for row in oversampler.children(dataset_of(TWO))]
    texts = [row["text"] for row in rows if row["origin"] == SYNTHETIC]
    assert texts
    assert all(dataset_of(TWO)[r["parent"]]["label"] == 0 for r in rows if r["origin"] == SYNTHETIC)


def test_a_majority_text_loses_the_words_that_pull_to_its_class() -> None:
    dataset = dataset_of(TWO)
    oversampler = oversampler_of().fit(dataset)
    text = "my sister will not be at home tonight"
    source = oversampler.loaded.encoder(text)
    (pull,) = oversampler.word_pulls([source], [0], [1])
    assert pull.shape == (8,)
    # the judge is linear in the mean of the states: a text's pulls are its margin, but for the
    # special tokens, the length and the bias
    ids = torch.from_numpy(source.input_ids)[None]
    with torch.no_grad():
        states = oversampler.loaded.model.miso.encoder(ids).last_hidden_state[0].numpy()
    direction = oversampler.judge.weights[0] - oversampler.judge.weights[1]
    scores = states @ direction
    assert pull == pytest.approx(scores[1:-1], abs=1e-4)


# ---- classes ------------------------------------------------------------------------------------


def test_several_classes() -> None:
    dataset = dataset_of((30, 9, 6))
    oversampler = MisoOversampler(str(contract_generator_folder()), max_length=MAX_LENGTH, gate=())
    balanced = oversampler.balance(dataset)
    assert Counter(balanced["label"]) == {0: 30, 1: 30, 2: 30}
    plan = oversampler.plan_
    for code in (1, 2):
        mine = plan.label == code
        assert set(plan.extra["kind"][mine]) == {COPY, OWN_ANCHOR, MAJORITY_ANCHOR}
        assert code not in plan.extra["avoid"][mine]
    # a row of another class serves one class alone
    others = plan.parent[plan.extra["kind"] == MAJORITY_ANCHOR]
    assert len(set(others.tolist())) == len(others)
    assert set(oversampler.difficult_share_) == {"spam", "news"}


def test_classes_are_matched_by_name() -> None:
    texts, labels = make_corpus(TWO, 7)
    swapped = Dataset.from_dict(
        {"text": texts, "label": (1 - labels).tolist()},
        features=Features({"text": Value("string"), "label": ClassLabel(names=["spam", "ham"])}),
    )
    oversampler = oversampler_of().fit(swapped)
    assert oversampler.gate_.class_ids.tolist() == [1, 0]
    rows = [dict(row) for row in oversampler.children(swapped)]
    plain = made_by(oversampler_of(), dataset_of(TWO))
    assert [row["text"] for row in rows] == [row["text"] for row in plain]
    assert {row["label"] for row in rows} == {0}


def test_unknown_and_untrained_classes() -> None:
    texts, labels = make_corpus(TWO)
    names = np.asarray(["ham", "eggs"])[labels].tolist()
    dataset = Dataset.from_dict({"text": texts, "label": names})
    with pytest.raises(ValueError, match=r"does not know the class\(es\) \['eggs'\]; it was train"):
        oversampler_of().fit(dataset)
    with pytest.raises(ValueError, match=r"not trained to write the class\(es\) \['ham'\]"):
        oversampler_of(sampling_strategy={"ham": 70}).fit(dataset_of(TWO))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"sources": ("easy",)}, r"sources is \['easy'\]; it takes some of"),
        ({"sources": ()}, r"sources is \[\]"),
        ({"gate": ("judge",)}, r"gate has \['judge'\]"),
        ({"realizer": "write"}, "realizer is 'write'; it must be 'edit' or 'generate'"),
        ({"anchor_share": 1.5}, "anchor_share is 1.5; it is a share"),
        ({"edit_share": -0.1}, "edit_share is -0.1"),
        ({"max_tries": 0}, "max_tries 0: both must be at least 1"),
        ({"max_anchors_per_source": 0}, "max_anchors_per_source is 0"),
    ],
)
def test_wrong_values(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        oversampler_of(**params)


# ---- language -----------------------------------------------------------------------------------


def test_the_language_is_that_of_the_generator(tmp_path: Path) -> None:
    chinese = MisoForAnchorGeneration.from_pretrained(contract_generator_folder())
    chinese.config.language = "zh"
    chinese.save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    generators = {"en": contract_generator_folder(), "zh": tmp_path}
    for language, folder in generators.items():
        models = MisoOversampler(str(folder)).loaded
        assert models.segmenter.language == language
        assert LatentDecoder(str(folder)).loaded.segmenter.language == language
        # another language than the generator's, where it is asked for by name
        assert MisoOversampler(str(folder), language="zh").loaded.segmenter.language == "zh"
    text = ["球队昨晚赢得比赛"]  # five words, which a tokenizer sees only if they are cut for it
    cut = {
        name: TextEmbedder(str(folder), pooling="latent", max_length=32).embed(text)
        for name, folder in generators.items()
    }
    assert not np.array_equal(cut["en"], cut["zh"])


# ---- models beside it ---------------------------------------------------------------------------


def test_an_embedder_of_its_own_is_saved_too(tmp_path: Path) -> None:
    dataset = dataset_of(TWO)
    oversampler = oversampler_of(embedder=str(encoder_folder()), gate=("classifier", "neighbors"))
    expected = made_by(oversampler, dataset)
    assert expected != made_by(oversampler_of(gate=("classifier", "neighbors")), dataset)
    oversampler.save_pretrained(tmp_path / "saved")
    loaded = MisoOversampler.from_pretrained(tmp_path / "saved")
    assert {Path(loaded.generator).parent, Path(loaded.embedder).parent} == {tmp_path / "saved"}
    assert [dict(row) for row in loaded.children(dataset)] == expected
    config = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert config["state"]["models"] == ["generator", "embedder"]
    assert config["params"]["language"] is None
    folders = {path.name for path in (tmp_path / "saved").iterdir() if path.is_dir()}
    assert folders == {"generator", "embedder"}
    # the saved generator is one that transformers loads
    generator = MisoForAnchorGeneration.from_pretrained(tmp_path / "saved" / "generator")
    assert weights_digest(generator) == oversampler.generator_digest_


def test_other_weights_in_the_same_folder_are_noticed() -> None:
    """`datasets` keys its cache by the pickle, which holds the folder's name and no weights."""
    folder = new_folder() / "generator"
    shutil.copytree(trained_generator_folder(), folder)
    dataset = dataset_of(TWO)

    def fitted() -> MisoOversampler:
        return MisoOversampler(str(folder), max_length=MAX_LENGTH).fit(dataset)

    first, same = fitted(), fitted()
    assert Hasher.hash(first) == Hasher.hash(same)
    # a layer that only the filler has, and no embedding depends on
    model = MisoForAnchorGeneration.from_pretrained(folder)
    with torch.no_grad():
        model.fill_head.dense.weight.mul_(-1)
    # as commands write: beside its place, for what is loaded may still be read from the old file
    written = shutil.copytree(folder, new_folder() / "generator")
    model.save_pretrained(written)
    shutil.rmtree(folder)
    written.rename(folder)
    other = fitted()
    assert np.array_equal(first.judge.weights, other.judge.weights)
    assert Hasher.hash(other) != Hasher.hash(first)
    assert [r["text"] for r in other.children(dataset)] != [
        r["text"] for r in first.children(dataset)
    ]


def test_a_digest_of_weights() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    before = weights_digest(model)
    assert before == weights_digest(model)
    assert len(before) == 32
    model[1].num_batches_tracked += 1
    assert weights_digest(model) != before
    assert weights_digest(model.bfloat16()) != weights_digest(model.float())


# ---- what is protected --------------------------------------------------------------------------


def test_placeholders_stay_and_a_text_of_nothing_else_is_a_counted_reason() -> None:
    dataset = dataset_of(TWO)
    rare = np.flatnonzero(np.asarray(dataset["label"]) == 1)
    texts = list(dataset["text"])
    for row in rare[:6].tolist():
        texts[row] = f"[{texts[row]}] {row} not {{link}}"
    for row in rare[6:].tolist():
        texts[row] = f"dear [NAME], {texts[row]} at <PLACE>"
    dataset = dataset.remove_columns("text").add_column("text", texts)
    oversampler = oversampler_of(gate=(), sources=("minority",), edit_share=1.0)
    rows = made_by(oversampler, dataset)
    made = [row for row in rows if row["origin"] == SYNTHETIC]
    assert made
    for row in made:
        assert row["parent"] in rare[6:], "there is no word to edit in the others"
        assert row["text"].count("[NAME]") == row["text"].count("<PLACE>") == 1
    planned = oversampler.plan_.extra["kind"] != COPY
    hopeless = int(np.isin(oversampler.plan_.parent[planned], rare[:6]).sum())
    assert oversampler.rejections["nothing to edit"] == hopeless > 0
    # nothing at all can be edited: real rows, and no crash
    nothing = oversampler_of(gate=(), protect=".+")
    rows = made_by(nothing, dataset)
    assert {row["origin"] for row in rows} == {RESAMPLED}
    assert nothing.rejections["nothing to edit"] == nothing.rejections["tries used up"] == 24
    # and with the defaults off, placeholders are words like others
    free = oversampler_of(gate=(), protect_defaults=False, edit_share=1.0, majority_edit_share=1.0)
    texts = [row["text"] for row in made_by(free, dataset) if row["origin"] == SYNTHETIC]
    assert [text for text in texts if "[" in text and "[NAME]" not in text]


def test_a_bad_pattern_is_refused() -> None:
    with pytest.raises(ValueError, match=r"protect is '\[', which is no regular expression"):
        oversampler_of(protect="[")
