"""Texts, generators and calls that the tests of MISO's model share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hf_oversample import MisoForAnchorGeneration
from hf_oversample.text.encoding import pad
from miso_fixtures import (
    encode,
    make_corpus,
    make_generator,
    set_random_bank,
    tokenizer,
    trained_generator_folder,
)

TEXTS, LABELS = make_corpus((20, 12))

# Ways to generate, by name: options of `generate`.
WAYS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "beams": {"num_beams": 3},
    "sampling": {"do_sample": True, "top_p": 0.9},
    "beams and sampling": {"do_sample": True, "num_beams": 2, "num_return_sequences": 2},
}


def batch_of(texts: list[str]) -> tuple[Tensor, Tensor]:
    return pad([text.input_ids for text in encode(texts)], tokenizer().pad_token_id)


def generator_with_bank() -> MisoForAnchorGeneration:
    """An untrained generator with a random bank."""
    model = make_generator(TEXTS).eval()
    set_random_bank(model)
    return model


def trained_generator() -> MisoForAnchorGeneration:
    """A generator that was trained long enough for its classes to differ."""
    return MisoForAnchorGeneration.from_pretrained(trained_generator_folder()).eval()


def generate(model: MisoForAnchorGeneration, **options: Any) -> list[list[int]]:
    ids, mask = batch_of(TEXTS[:5])
    torch.manual_seed(11)
    classes = options.pop("class_ids", torch.ones(5, dtype=torch.long))
    output = model.generate(
        input_ids=ids, attention_mask=mask, class_ids=classes, max_new_tokens=10, **options
    )
    return output.tolist()
