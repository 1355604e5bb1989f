"""What MISO's training learns when it is given time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hf_oversample.models.miso.modeling_miso import MisoForAnchorGeneration
from miso_fixtures import arguments, encode, make_corpus, make_generator, make_trainer


@torch.no_grad()
def share_of_tokens_rebuilt(
    model: MisoForAnchorGeneration, texts: list[str], labels: np.ndarray, shift: int = 0
) -> float:
    """Share of tokens that are the most likely ones given the text so far and its latent.

    With a shift, given the latent of another text of the same class.
    """
    model.eval()
    right = total = 0
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        encoded = [torch.from_numpy(text.input_ids) for text in encode([texts[r] for r in rows])]
        latents = torch.cat([model.miso(ids[None]).latents for ids in encoded]).roll(shift, 0)
        for ids, latent in zip(encoded, latents, strict=True):
            logits = model.decode_logits(ids[None, :-1], latent[None], torch.tensor([int(label)]))
            best = model.output_tokens[logits[0].argmax(-1)]
            right += int((best == ids[1:]).sum())
            total += len(ids) - 1
    return right / total


@pytest.mark.slow
def test_fifty_texts_are_rebuilt() -> None:
    texts, labels = make_corpus((38, 12), seed=9)
    model = make_generator(texts, dropout=0.0, num_latent_heads=8, latent_size=32)
    training = arguments(
        pretrain_steps=350,
        critic_steps=0,
        adversarial_steps=0,
        batch_size=50,
        decoder_rows=50,
        learning_rate=3e-3,
        encoder_learning_rate=3e-3,
        logging_steps=100,
    )
    make_trainer(model, texts, labels, training).train()
    assert share_of_tokens_rebuilt(model, texts, labels) >= 0.95
    # it is the latent that tells: from another text's, the decoder writes the other text
    assert share_of_tokens_rebuilt(model, texts, labels, shift=1) < 0.85


@pytest.mark.slow
def test_information_moves_the_right_way() -> None:
    """What is called I(K) falls and I(Q) rises while SFM and encoder train against the critics."""
    texts, labels = make_corpus((300, 60))
    model = make_generator(texts)
    training = arguments(
        pretrain_steps=150,
        critic_steps=40,
        adversarial_steps=120,
        batch_size=32,
        pair_batch_size=64,
        learning_rate=2e-3,
        encoder_learning_rate=1e-3,
        # with the defaults α ends at 0.9 and the last steps move z back to q
        alpha_maximum=0.5,
        proximity=0.3,
    )
    trainer = make_trainer(model, texts, labels, training)
    trainer.train()
    reports = [h for h in trainer.record.history if h["phase"] == "adversarial"]
    assert len(reports) == 120
    early, late = (
        {name: np.mean([h[name] for h in part]) for name in ("I(K)", "I(Q)", "z/spread")}
        for part in (reports[:30], reports[-30:])
    )
    assert late["I(K)"] < early["I(K)"] - 0.3
    assert late["I(Q)"] > early["I(Q)"] + 0.3
    assert late["z/spread"] > 0.3  # and not because all z became one
