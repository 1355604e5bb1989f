"""Encoders of other architectures than BERT under MISO's generator, and those that cannot be."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import (
    AlbertConfig,
    BertConfig,
    DistilBertConfig,
    ElectraConfig,
    PreTrainedConfig,
    RobertaConfig,
    set_seed,
)

from hf_oversample import MisoConfig, MisoForAnchorGeneration

BODY: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 32,
}
ROBERTA = RobertaConfig(**BODY, pad_token_id=1)
DISTILBERT = DistilBertConfig(
    vocab_size=40, dim=16, n_layers=1, n_heads=2, hidden_dim=32, max_position_embeddings=32
)
ELECTRA = ElectraConfig(**BODY, embedding_size=16)


def generator_of(
    encoder: PreTrainedConfig, decoder: PreTrainedConfig | None = None
) -> MisoForAnchorGeneration:
    decoder = decoder or BertConfig(**BODY)
    config = MisoConfig(
        encoder=encoder.to_dict(),
        decoder=decoder.to_dict(),
        num_latent_heads=2,
        latent_size=8,
        bank_size=4,
        critic_hidden_size=8,
        discriminator_hidden_size=8,
        pad_token_id=encoder.pad_token_id,
    )
    set_seed(0)
    model = MisoForAnchorGeneration(config).eval()
    model.generation_config.decoder_start_token_id = 2
    model.generation_config.eos_token_id = None
    return model


@pytest.mark.parametrize(
    "encoder", [ROBERTA, DISTILBERT, ELECTRA], ids=lambda config: config.model_type
)
def test_encoders_of_other_architectures(encoder: PreTrainedConfig) -> None:
    model = generator_of(encoder)
    ids = torch.tensor([[5, 6, 7, 8], [9, 10, 11, encoder.pad_token_id]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
    output = model(ids, mask, labels=ids.masked_fill(mask == 0, -100))
    assert output.logits.shape == (2, 4, 40)
    output.loss.backward()
    assert model.get_input_embeddings().weight.grad.abs().sum() > 0
    # a text's latents do not depend on its padding
    with torch.no_grad():
        alone = model.miso(ids[1:, :3]).latents
        assert torch.allclose(model.miso(ids, mask).latents[1:], alone, atol=1e-5)
        filled = model.fill(ids, mask, torch.tensor([1, 0]), mask.bool())
    assert filled.shape == (7, 40)
    written = model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=3)
    assert written.shape == (2, 4)


NARROW: dict[str, Any] = {"embedding_size": 8}


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (AlbertConfig(**BODY, **NARROW), r"the encoder \(albert\) has word embeddings of width 8"),
        (ElectraConfig(**BODY, **NARROW), r"the encoder \(electra\) .* states of width 16"),
    ],
    ids=["albert", "electra"],
)
def test_encoders_with_narrow_word_embeddings(encoder: PreTrainedConfig, message: str) -> None:
    with pytest.raises(ValueError, match=message + ".*as in BERT"):
        generator_of(encoder)


def test_a_decoder_with_narrow_word_embeddings() -> None:
    with pytest.raises(ValueError, match=r"the decoder \(electra\) has word embeddings of width 8"):
        generator_of(ROBERTA, ElectraConfig(**BODY, **NARROW))
