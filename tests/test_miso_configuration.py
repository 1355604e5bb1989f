"""MISO's configuration: what it refuses, and its way through a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig, BertConfig

from hf_oversample import MisoConfig


def config_of(**changes: Any) -> MisoConfig:
    body = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, vocab_size=11)
    return MisoConfig(**{"encoder": body.to_dict(), "decoder": body.to_dict(), **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_latent_heads": 0}, "num_latent_heads is 0; it must be at least 1"),
        ({"latent_size": -3}, "latent_size is -3; it must be at least 1"),
        ({"bank_size": 0}, "bank_size is 0"),
        ({"critic_hidden_size": 0}, "critic_hidden_size is 0"),
        ({"discriminator_hidden_size": 0}, "discriminator_hidden_size is 0"),
        ({"bank_temperature": 0.0}, "bank_temperature is 0.0; τ must be positive"),
        ({"target_classes": [1, 2]}, r"target_classes has \[2\], but labels run from 0 to 1"),
        ({"target_classes": [-1]}, r"target_classes has \[-1\]"),
        ({"decoder": BertConfig(hidden_size=16, vocab_size=11).to_dict()}, "decoder's 16"),
        ({"decoder": BertConfig(hidden_size=8, vocab_size=12).to_dict()}, "vocab_size is 11"),
        ({"critic_mode": "word"}, "critic_mode"),
        ({"critic_bound": "nwj"}, "critic_bound"),
        ({"latent_size": "64"}, "latent_size"),
    ],
)
def test_configuration_errors(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(Exception, match=message):
        config_of(**changes)


def test_a_wrong_type_raises_at_assignment() -> None:
    config = config_of()
    with pytest.raises(Exception, match="use_sfm"):
        config.use_sfm = "yes"


def test_configuration_round_trip(tmp_path: Path) -> None:
    config = config_of(
        target_classes=[0, 2],
        id2label={0: "a", 1: "b", 2: "c"},
        critic_bound="jsd",
        latent_dropout=0.25,
        share_decoder=False,
    )
    config.save_pretrained(tmp_path)
    for loaded in (MisoConfig.from_pretrained(tmp_path), AutoConfig.from_pretrained(tmp_path)):
        assert isinstance(loaded, MisoConfig)
        assert isinstance(loaded.encoder, BertConfig)
        ours, theirs = config.to_dict(), loaded.to_dict()
        for values in (ours, theirs):
            for name in ("transformers_version", "_name_or_path"):
                values.pop(name, None)
        assert json.loads(json.dumps(ours)) == json.loads(json.dumps(theirs))
        assert (loaded.num_labels, loaded.target_classes) == (3, [0, 2])
        assert loaded.decoder.is_decoder
        assert loaded.decoder.add_cross_attention
        assert not loaded.encoder.is_decoder
    assert MisoConfig().target_classes == [1]
