"""Texts to embeddings: the same whatever the batch, process or order, and stable in the cache."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, IterableDataset, List, Value
from datasets.fingerprint import Hasher
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    AutoModel,
    AutoTokenizer,
    BartConfig,
    BertConfig,
    BertModel,
    PreTrainedConfig,
    RobertaConfig,
    T5Config,
)

from hf_oversample.models.miso.modeling_miso import MisoForAnchorGeneration
from hf_oversample.transforms.embed import TextEmbedder
from miso_fixtures import (
    MAX_LENGTH,
    contract_generator_folder,
    encode,
    encoder_folder,
    make_corpus,
    tokenizer,
)

TEXTS, LABELS = make_corpus((20, 10))


def embedder(**params: Any) -> TextEmbedder:
    return TextEmbedder(encoder_folder(), **{"max_length": MAX_LENGTH, **params})


def latent_embedder(**params: Any) -> TextEmbedder:
    return TextEmbedder(
        contract_generator_folder(), pooling="latent", max_length=MAX_LENGTH, **params
    )


def dataset(**columns: Any) -> Dataset:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["ham", "spam"])})
    rows = {"text": TEXTS, "label": LABELS.tolist()} | columns
    return Dataset.from_dict(rows, features=features)


@pytest.mark.parametrize("columns", [None, ["label"]])
def test_the_format_is_kept(columns: list[str] | None) -> None:
    """And texts are read that are not shown."""
    made = embedder().embed_dataset(dataset().with_format("numpy", columns=columns))
    assert made.format["type"] == "numpy"
    assert made.format["columns"] == [*(columns or ["text", "label"]), "embedding"]
    expected = embedder().embed_dataset(dataset())
    assert made.with_format(None).to_dict() == expected.to_dict()


def test_mean_and_first_token_are_those_of_the_encoder() -> None:
    model = AutoModel.from_pretrained(encoder_folder()).eval()
    tokenizer = AutoTokenizer.from_pretrained(encoder_folder())
    for pooling in ("mean", "cls"):
        made = embedder(pooling=pooling, normalize=False).embed(TEXTS[:6])
        for text, row in zip(TEXTS, made, strict=False):
            with torch.no_grad():
                states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
            expected = states.mean(0) if pooling == "mean" else states[0]
            np.testing.assert_allclose(row, expected.numpy(), atol=1e-5)
    lengths = np.linalg.norm(embedder().embed(TEXTS), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-5)


def tiny_model_folder(folder: Path, config: PreTrainedConfig) -> Path:
    torch.manual_seed(0)
    AutoModel.from_config(config).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def other_encoders() -> dict[str, PreTrainedConfig]:
    """One tiny model of each kind that is not BERT's; RoBERTa's has places for 63 tokens."""
    size: dict[str, Any] = {"vocab_size": len(tokenizer())}
    size["pad_token_id"] = padding = tokenizer().pad_token_id
    bart = {"encoder_layers": 1, "decoder_layers": 1, "d_model": 16, "max_position_embeddings": 32}
    bart |= {f"{part}_ffn_dim": 32 for part in ("encoder", "decoder")}
    bart |= {f"{part}_attention_heads": 2 for part in ("encoder", "decoder")}
    roberta = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    roberta |= {"intermediate_size": 32, "max_position_embeddings": 64 + padding}
    return {
        "t5": T5Config(**size, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2),
        "bart": BartConfig(**size, **bart),
        "roberta": RobertaConfig(**size, **roberta),
    }


@pytest.mark.parametrize("kind", ["t5", "bart", "roberta"])
def test_other_models_give_the_mean_of_their_encoder(kind: str, tmp_path: Path) -> None:
    folder = tiny_model_folder(tmp_path, other_encoders()[kind])
    whole = AutoModel.from_pretrained(folder).eval()
    encoder = whole.get_encoder() if whole.config.is_encoder_decoder else whole
    transform = TextEmbedder(folder, max_length=MAX_LENGTH, normalize=False)
    assert transform.width == 16
    for text, row in zip(TEXTS[:6], transform.embed(TEXTS[:6]), strict=True):
        with torch.no_grad():
            states = encoder(**tokenizer()(text, return_tensors="pt")).last_hidden_state[0]
        np.testing.assert_allclose(row, states.mean(0).numpy(), atol=1e-5)


@pytest.mark.parametrize(("kind", "places"), [("t5", None), ("bart", 32), ("roberta", 60)])
def test_the_longest_text_that_a_model_has_places_for(
    kind: str, places: int | None, tmp_path: Path
) -> None:
    folder = tiny_model_folder(tmp_path, other_encoders()[kind])
    text = " ".join(TEXTS * 3)
    longest = TextEmbedder(folder, max_length=places or 100)
    assert np.isfinite(longest.embed([text])).all()
    if places is not None:
        with pytest.raises(ValueError, match=f"places for {places} tokens"):
            TextEmbedder(folder, max_length=places + 1).embed([text])


def test_latents_are_those_of_the_generator_and_not_scaled() -> None:
    model = MisoForAnchorGeneration.from_pretrained(contract_generator_folder()).eval()
    made = latent_embedder().embed(TEXTS[:6])
    config = model.config
    assert made.shape == (6, config.num_latent_heads * config.latent_size)
    for text, row in zip(encode(TEXTS[:6]), made, strict=True):
        with torch.no_grad():
            latents = model.miso(torch.as_tensor(text.input_ids)[None]).latents[0]
        np.testing.assert_allclose(row, latents.flatten().numpy(), atol=1e-5)
    # and a generator's encoder gives plain embeddings too
    plain = TextEmbedder(contract_generator_folder(), max_length=MAX_LENGTH).embed(TEXTS[:3])
    assert plain.shape == (3, config.hidden_size)


@pytest.mark.parametrize("make", [embedder, latent_embedder])
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_a_text_is_embedded_the_same_whatever_is_beside_it(
    make: Callable[..., TextEmbedder], data: st.DataObject
) -> None:
    budget = data.draw(st.sampled_from([1, 40, 8192]))
    rows = data.draw(st.lists(st.integers(0, len(TEXTS) - 1), min_size=1, max_size=30))
    alone = make().embed(TEXTS)
    together = make(token_budget=budget).embed([TEXTS[row] for row in rows])
    assert np.array_equal(together, alone[rows])


def test_bfloat16_is_near_float32_and_comes_out_as_float32() -> None:
    made = embedder(dtype="bfloat16").embed(TEXTS)
    assert made.dtype == np.float32
    assert (made * embedder().embed(TEXTS)).sum(1).min() > 0.99


def test_the_column_is_fixed_in_width_and_the_rest_is_untouched() -> None:
    rows = dataset()
    made = embedder().embed_dataset(rows, batch_size=7)
    assert made.features["embedding"] == List(Value("float32"), length=32)
    assert made.features["label"] == rows.features["label"]
    assert made["text"][:] == TEXTS
    expected = embedder().embed(TEXTS)
    assert np.array_equal(np.asarray(made["embedding"][:], np.float32), expected)
    empty = embedder().embed_dataset(rows.select([]))
    assert empty.features == made.features
    assert embedder().embed([]).shape == (0, 32)


def test_two_processes_after_a_run_in_the_parent() -> None:
    transform = embedder()
    transform.embed(TEXTS)  # a parent that ran a model: a careless fork would hang
    one = transform.embed_dataset(dataset(), num_proc=1)
    two = transform.embed_dataset(dataset(), num_proc=2)
    np.testing.assert_allclose(one["embedding"][:], two["embedding"][:], atol=1e-6)
    assert two.features == one.features


def test_as_a_map_function_of_both_kinds_of_data_set() -> None:
    rows, transform = dataset(), embedder()
    expected = transform.embed(TEXTS)
    mapped = rows.map(transform, batched=True, batch_size=7)
    assert np.array_equal(np.asarray(mapped["embedding"][:], np.float32), expected)
    stream = rows.to_iterable_dataset().map(
        transform, batched=True, batch_size=7, features=transform.output_features(rows.features)
    )
    assert isinstance(stream, IterableDataset)
    assert stream.features["embedding"].length == 32
    assert np.array_equal(np.stack([row["embedding"] for row in stream]), expected)


def test_the_hash_is_the_same_before_and_after_a_call_and_in_another_process() -> None:
    transform = embedder()
    before = Hasher.hash(transform)
    transform.embed(TEXTS[:5])
    assert Hasher.hash(transform) == before
    code = (
        "from datasets.fingerprint import Hasher\n"
        "from hf_oversample.transforms.embed import TextEmbedder\n"
        f"print(Hasher.hash(TextEmbedder({str(encoder_folder())!r}, max_length={MAX_LENGTH})))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.strip() == before, answer.stderr
    assert Hasher.hash(embedder(pooling="cls")) != before
    assert len(transform.__getstate__()["_digest"]) == 32
    assert transform.__getstate__()["_encoder"] is None


def test_the_second_call_finds_the_rows_in_the_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dataset().save_to_disk(tmp_path)  # rows in memory have no cache
    rows = Dataset.load_from_disk(str(tmp_path))
    first = embedder().embed_dataset(rows)

    def refuse(*_: Any) -> None:
        raise AssertionError("it was embedded again")

    monkeypatch.setattr(TextEmbedder, "embed", refuse)
    second = embedder().embed_dataset(rows)
    assert second._fingerprint == first._fingerprint


def test_new_weights_in_the_same_folder_are_other_embeddings(tmp_path: Path) -> None:
    folder = tmp_path / "encoder"
    shutil.copytree(encoder_folder(), folder)
    old = TextEmbedder(folder, max_length=MAX_LENGTH)
    dataset().save_to_disk(tmp_path / "rows")
    rows = Dataset.load_from_disk(str(tmp_path / "rows"))
    made = old.embed_dataset(rows)
    state = old.__getstate__()
    torch.manual_seed(1)
    BertModel(BertConfig.from_pretrained(folder)).save_pretrained(folder)
    new = TextEmbedder(folder, max_length=MAX_LENGTH)
    assert Hasher.hash(new) != Hasher.hash(old)
    assert new.embed_dataset(rows)["embedding"][:] != made["embedding"][:]
    travelled = TextEmbedder.__new__(TextEmbedder)
    travelled.__setstate__(state)
    with pytest.raises(ValueError, match="other weights"):
        travelled.embed(TEXTS[:1])


def test_what_it_refuses() -> None:
    with pytest.raises(ValueError, match="'median'"):
        embedder(pooling="median")
    with pytest.raises(ValueError, match="dtype is 'int8'"):
        embedder(dtype="int8")
    for name in ("max_length", "token_budget"):
        with pytest.raises(ValueError, match=f"{name} is 0"):
            embedder(**{name: 0})
        for value in (2.5, "64", True):
            with pytest.raises(TypeError, match=f"{name} must be an int"):
                embedder(**{name: value})
    with pytest.raises(ValueError, match="cannot be decoded"):
        latent_embedder(normalize=True)
    with pytest.raises(ValueError, match="a BertModel, which has no latents"):
        embedder(pooling="latent").embed(TEXTS[:1])
    with pytest.raises(ValueError, match="places for 64 tokens"):
        embedder(max_length=65).embed(TEXTS[:1])
    with pytest.raises(ValueError, match=r"Row 1 of column 'text' is ' '"):
        embedder().embed(["see you", " "])
    with pytest.raises(ValueError, match="no column 'body'"):
        embedder(text_column="body")({"text": ["a"]})
    with pytest.raises(ValueError, match="empty in row 2"):
        embedder().embed_dataset(dataset(text=[*TEXTS[:2], "", *TEXTS[3:]]))
    made = embedder().embed_dataset(dataset())
    with pytest.raises(ValueError, match="a column 'embedding' already"):
        embedder().embed_dataset(made)
