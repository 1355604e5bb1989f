"""Encoders of every kind: loaded whole, and never given a longer text than they have places for."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers import (
    AutoModel,
    BartConfig,
    BertConfig,
    BertModel,
    BloomConfig,
    DebertaV2Config,
    GPT2Config,
    LlamaConfig,
    ModernBertConfig,
    MT5Config,
    MT5EncoderModel,
    OPTConfig,
    PreTrainedConfig,
    PreTrainedModel,
    RobertaConfig,
    T5Config,
    T5EncoderModel,
    T5ForConditionalGeneration,
    XLMRobertaConfig,
    XLNetConfig,
)

from hf_oversample import MisoForAnchorGeneration
from hf_oversample.comparison.classifiers import FineTuned
from hf_oversample.models.encoders import (
    check_max_length,
    encoder_part,
    load_encoder,
    longest_text,
    places,
)
from hf_oversample.oversamplers.miso.models import MisoModels
from hf_oversample.text.encoding import TextEncoder
from hf_oversample.training.classifier import predict, train_classifier
from hf_oversample.training.generator import new_generator
from hf_oversample.training.miso import MisoTrainer
from hf_oversample.transforms.embed import TextEmbedder
from miso_fixtures import (
    CLASS_NAMES,
    SEGMENTER,
    arguments,
    contract_generator_folder,
    encode,
    encoder_folder,
    make_corpus,
    reset_accelerate,
    tokenizer,
)

TEXTS, LABELS = make_corpus((20, 10))
SIZES: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "pad_token_id": 0,
}
PLACES: dict[str, Any] = SIZES | {"max_position_embeddings": 20}
BART: dict[str, Any] = {
    "vocab_size": 64,
    "d_model": 16,
    "max_position_embeddings": 20,
    "pad_token_id": 0,
} | {
    f"{part}_{name}": size
    for part in ("encoder", "decoder")
    for name, size in (("layers", 1), ("ffn_dim", 32), ("attention_heads", 2))
}
T5: dict[str, Any] = {
    "vocab_size": 64,
    "d_model": 16,
    "d_kv": 8,
    "d_ff": 32,
    "num_layers": 1,
    "num_heads": 2,
}

MODERNBERT: dict[str, tuple[PreTrainedConfig, int | None]] = {}
# older ones can make none of any kind
if tuple(map(int, transformers.__version__.split(".")[:2])) >= (5, 13):
    tokens = {"bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
    MODERNBERT["modernbert"] = (ModernBertConfig(**(PLACES | tokens)), 20)
# configuration, and the longest text that a model of it runs on (None: any)
KINDS: dict[str, tuple[PreTrainedConfig, int | None]] = {
    "bert": (BertConfig(**PLACES), 20),
    "roberta": (RobertaConfig(**(PLACES | {"pad_token_id": 1})), 18),
    "xlm-roberta": (XLMRobertaConfig(**(PLACES | {"pad_token_id": 1})), 18),
    "gpt2": (GPT2Config(vocab_size=64, n_embd=16, n_layer=1, n_head=2, n_positions=20), 20),
    "opt": (OPTConfig(**(PLACES | {"ffn_dim": 32, "word_embed_proj_dim": 16})), 20),
    "bart": (BartConfig(**BART), 20),
    **MODERNBERT,
    "llama": (LlamaConfig(**PLACES), 20),
    "deberta-v2": (
        DebertaV2Config(
            **PLACES, relative_attention=True, position_biased_input=False, pos_att_type=["c2p"]
        ),
        None,
    ),
    "t5": (T5Config(**T5), None),
    "xlnet": (XLNetConfig(vocab_size=64, d_model=16, n_layer=1, n_head=2, d_inner=32), None),
    "bloom": (BloomConfig(vocab_size=64, hidden_size=16, n_layer=1, n_head=2), None),
}


def encoder_of(config: PreTrainedConfig) -> PreTrainedModel:
    return encoder_part(AutoModel.from_config(config)).eval()


@pytest.mark.parametrize("kind", KINDS)
def test_the_places_of_every_kind_of_model(kind: str) -> None:
    config, expected = KINDS[kind]
    model = encoder_of(config)
    assert places(model) == expected
    longest = 70 if expected is None else expected
    ids = torch.full((2, longest), 5)
    with torch.no_grad():
        states = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
    assert states.shape == (2, longest, 16)
    if expected is None:
        assert longest_text(model) is None
        check_max_length(10_000, "any", model)
        return
    assert longest_text(model) == expected // 4 * 4  # texts are padded to multiples of four
    check_max_length(expected // 4 * 4, "few", model)
    with pytest.raises(
        ValueError, match=f"max_length is 24, but few has places for {expected // 4 * 4}"
    ):
        check_max_length(24, "few", model)


def test_a_tokenizer_may_state_less() -> None:
    class Stating:
        model_max_length: int = 12

    model: Any = encoder_of(KINDS["bert"][0])
    stating: Any = Stating()
    assert longest_text(model, stating) == 12
    assert longest_text(encoder_of(KINDS["t5"][0]), stating) == 12
    stating.model_max_length = int(1e30)
    assert longest_text(model, stating) == 20


def saved(model: PreTrainedModel, folder: Path) -> Path:
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def t5_encoders() -> dict[str, PreTrainedModel]:
    size = T5 | {"vocab_size": len(tokenizer()), "pad_token_id": tokenizer().pad_token_id}
    torch.manual_seed(0)
    return {
        "encoder alone": T5EncoderModel(T5Config(**size)),
        "mT5's encoder alone": MT5EncoderModel(MT5Config(**size)),
        "whole": T5ForConditionalGeneration(T5Config(**size)),
    }


@pytest.mark.parametrize("kind", ["encoder alone", "mT5's encoder alone", "whole"])
def test_t5_checkpoints_embed_by_their_encoder(kind: str, tmp_path: Path) -> None:
    whole = t5_encoders()[kind].eval()
    folder = saved(whole, tmp_path / "t5")
    embedder = TextEmbedder(folder, normalize=False)
    encoder: Any = whole if "alone" in kind else whole.get_encoder()
    with torch.no_grad():
        ids = tokenizer()(TEXTS[0], return_tensors="pt")
        expected = encoder(**ids).last_hidden_state[0].mean(0)
    np.testing.assert_allclose(embedder.embed(TEXTS[:1])[0], expected.numpy(), atol=1e-5)
    assert not any("decoder" in name for name in embedder.loaded[0].state_dict())
    embedder.save_pretrained(tmp_path / "again")
    again = TextEmbedder(tmp_path / "again", normalize=False)
    assert np.array_equal(again.embed(TEXTS), embedder.embed(TEXTS))


@pytest.mark.parametrize("kind", ["bart", "bert"])
def test_an_embedder_saves_what_it_can_load(kind: str, tmp_path: Path) -> None:
    config = KINDS[kind][0].__class__(
        **((BART if kind == "bart" else PLACES) | {"vocab_size": len(tokenizer())})
    )
    folder = saved(AutoModel.from_config(config), tmp_path / kind)
    embedder = TextEmbedder(folder)
    embedder.save_pretrained(tmp_path / "again")
    again = TextEmbedder(tmp_path / "again").embed(TEXTS)
    assert np.array_equal(again, embedder.embed(TEXTS))


def test_missing_weights_are_no_random_encoder(tmp_path: Path) -> None:
    folder, config = tmp_path / "part", BertConfig(**PLACES)
    model = BertModel(config)
    kept = {k: v for k, v in model.state_dict().items() if not k.startswith("encoder.layer.0.att")}
    model.save_pretrained(folder, state_dict=kept)
    with pytest.raises(ValueError, match=r"BertModel, but its files lack 10 of its weights"):
        load_encoder(folder)
    without_pooler = BertModel(config, add_pooling_layer=False)
    without_pooler.save_pretrained(tmp_path / "other")
    assert load_encoder(tmp_path / "other").config.hidden_size == 16


def test_the_default_length_is_what_the_encoder_has_places_for() -> None:
    text = " ".join(TEXTS)  # BERT of 64 places
    assert TextEmbedder(encoder_folder()).longest == 64
    made = TextEmbedder(encoder_folder()).embed([text])
    assert np.array_equal(made, TextEmbedder(encoder_folder(), max_length=64).embed([text]))
    with pytest.raises(ValueError, match=r"max_length is 65, but .* has places for 64 tokens"):
        TextEmbedder(encoder_folder(), max_length=65).embed([text])


def test_a_generators_training_keeps_to_the_places_of_its_encoder(tmp_path: Path) -> None:
    """Texts that are too long are named; those that fit are not padded past the last place."""
    longest = 60  # of which the next multiple of eight would be past the last place
    config = BertModel.from_pretrained(encoder_folder()).config
    config.max_position_embeddings = longest
    BertModel(config).save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    long = [f"{text} " + " ".join(TEXTS) for text in TEXTS]
    training = arguments(pretrain_steps=1, critic_steps=0, adversarial_steps=1)
    tokens = {"padding": tokenizer().pad_token_id, "mask_token": tokenizer().mask_token_id}

    def train(length: int) -> None:
        encoded = TextEncoder(tokenizer(), SEGMENTER, length).many(long)
        assert max(map(len, encoded)) == length
        model = new_generator(
            encoded,
            tokenizer(),
            SEGMENTER,
            class_names=CLASS_NAMES[:2],
            target_classes=[1],
            encoder_name_or_path=tmp_path,
            max_length=longest,
        )
        reset_accelerate()
        MisoTrainer(model, encoded, LABELS, training, **tokens).train()

    train(longest)
    with pytest.raises(ValueError, match=r"encoded text \d+ has 61 tokens, but .* for 60:"):
        train(longest + 1)


def test_a_generator_is_given_no_longer_texts_than_its_encoder_has_places_for() -> None:
    encoded = encode(TEXTS)
    few: dict[str, Any] = {"class_names": CLASS_NAMES[:2], "target_classes": [1]}
    with pytest.raises(
        ValueError, match=r"max_length is 100, but .*places for 64.*--max_length 64"
    ):
        new_generator(
            encoded,
            tokenizer(),
            SEGMENTER,
            encoder_name_or_path=encoder_folder(),
            max_length=100,
            **few,
        )
    made = new_generator(encoded, tokenizer(), SEGMENTER, max_length=700, **few)
    assert places(made.miso) == 700
    assert all(places(decoder) == 700 for decoder in made.decoders)
    with pytest.raises(ValueError, match=r"max_length is 80, but .* has places for 64 tokens"):
        MisoModels.load(
            str(contract_generator_folder()),
            None,
            realizer="edit",
            language="en",
            max_length=80,
            user_dictionary=(),
            precision="float32",
            edit_options={},
        )
    with pytest.raises(ValueError, match=r"max_new_tokens is 600.*at most 511"):
        MisoModels.load(
            str(contract_generator_folder()),
            None,
            realizer="generate",
            language="en",
            max_length=24,
            user_dictionary=(),
            precision="float32",
            edit_options={},
            max_new_tokens=600,
        )


@pytest.mark.parametrize(("kind", "most"), [("bert", 20), ("roberta", 18)])
def test_fine_tuning_tells_of_a_text_that_is_too_long(kind: str, most: int) -> None:
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_config(KINDS[kind][0])
    texts = [[5] * most, [6] * (most + 1)]
    with pytest.raises(ValueError, match=f"text 1 has {most + 1} tokens.*places for {most}"):
        train_classifier(model, texts, [0, 1], steps=1)
    with pytest.raises(ValueError, match=f"text 1 has {most + 1} tokens.*places for {most}"):
        predict(model, texts)
    assert predict(model, texts[:1]).shape == (1, 2)


def test_a_generator_over_the_encoder_of_a_t5_loads_again(tmp_path: Path) -> None:
    folder = saved(t5_encoders()["encoder alone"], tmp_path / "t5")
    sizes = {"num_latent_heads": 2, "latent_size": 8, "bank_size": 4}
    sizes |= {"critic_hidden_size": 8, "discriminator_hidden_size": 8}
    model = new_generator(
        encode(TEXTS),
        tokenizer(),
        SEGMENTER,
        class_names=CLASS_NAMES[:2],
        target_classes=[1],
        encoder_name_or_path=folder,
        **sizes,
    ).eval()
    model.save_pretrained(tmp_path / "generator")
    again = MisoForAnchorGeneration.from_pretrained(tmp_path / "generator").eval()
    ids = torch.as_tensor(encode(TEXTS[:1])[0].input_ids)[None]
    with torch.no_grad():
        assert torch.equal(model.miso(ids).latents, again.miso(ids).latents)


def test_no_classifier_is_fine_tuned_over_random_layers(tmp_path: Path) -> None:
    fold: Any = SimpleNamespace(encoder_name=str(tmp_path / "t5"), class_names=["ham", "spam"])
    saved(t5_encoders()["encoder alone"], tmp_path / "t5")
    with pytest.raises(ValueError, match=r"T5ForSequenceClassification, but its files lack \d+ of"):
        FineTuned()._model(fold, None, 0)
    saved(t5_encoders()["whole"], tmp_path / "t5")
    _, encode_texts = FineTuned()._model(fold, None, 0)
    assert len(encode_texts([" ".join(TEXTS)])[0]) == 128  # T5 has no limit of its own
    fold.encoder_name = str(encoder_folder())  # BERT of 64 places
    model, encode_texts = FineTuned()._model(fold, None, 0)
    ids = encode_texts([" ".join(TEXTS)])
    assert len(ids[0]) == 64
    assert predict(model, ids).shape == (1, 2)
