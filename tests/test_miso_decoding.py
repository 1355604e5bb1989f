"""From latents to texts: what decoding, generation and filling depend on, and their errors."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput

from hf_oversample import MisoForAnchorGeneration
from miso_fixtures import make_generator, tokenizer
from miso_model_fixtures import (
    LABELS,
    TEXTS,
    WAYS,
    batch_of,
    generate,
    generator_with_bank,
    trained_generator,
)


@pytest.fixture(scope="module")
def model() -> MisoForAnchorGeneration:
    """Tests do not change it."""
    return generator_with_bank()


@pytest.fixture(scope="module")
def trained() -> MisoForAnchorGeneration:
    """Tests do not change it."""
    return trained_generator()


# ---- decoding -----------------------------------------------------------------------------------


def test_separate_decoders_decode_one_side_at_a_time() -> None:
    model = make_generator(TEXTS, share_decoder=False).eval()
    ids, mask = batch_of(TEXTS[:2])
    latents = model.miso(ids, mask).latents
    with torch.no_grad():
        as_minority, as_majority = (
            model.decode_logits(ids, latents, torch.full((2,), label)) for label in (1, 0)
        )
        assert (as_minority - as_majority).abs().max() > 1e-2
        with pytest.raises(ValueError, match=r"target classes or the others, not a mixture"):
            model.decode_logits(ids, latents, torch.tensor([0, 1]))


def test_decoding_depends_on_the_class(trained: MisoForAnchorGeneration) -> None:
    ids, mask = batch_of(TEXTS[:4])
    with torch.no_grad():
        latents = trained.miso(ids, mask).latents
        logits = [trained.decode_logits(ids, latents, torch.full((4,), c)) for c in (0, 1)]
    assert (logits[0] - logits[1]).abs().max() > 0.5


def test_generate_writes_only_output_tokens(trained: MisoForAnchorGeneration) -> None:
    texts = [text for text, label in zip(TEXTS, LABELS, strict=True) if label == 1][:3]
    model = make_generator(texts).eval()
    allowed = set(model.output_tokens.tolist())
    special = {tokenizer().pad_token_id, tokenizer().cls_token_id}
    assert len(allowed) < len(tokenizer()) / 2
    for way in WAYS.values():
        for row in generate(model, fuse=False, **way):
            assert set(row) <= allowed | special
    # sampled at a temperature at which every token would come up
    many = generate(
        model, fuse=False, do_sample=True, temperature=50.0, top_k=0, num_return_sequences=20
    )
    assert {token for row in many for token in row} <= allowed | special
    with torch.no_grad():
        output = model(*batch_of(texts), labels=batch_of(texts)[0])
    assert output.logits.shape[-1] == len(tokenizer())
    forbidden = [token for token in range(len(tokenizer())) if token not in allowed]
    assert (output.logits[..., forbidden] == torch.finfo(torch.float32).min).all()
    log_probabilities = torch.log_softmax(output.logits.double(), -1)
    targets = batch_of(texts)[0]
    written = torch.tensor([[token in allowed for token in row] for row in targets.tolist()])
    picked = log_probabilities.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    assert output.loss.item() == pytest.approx(-picked[written].mean().item(), abs=1e-4)


def test_output_tokens_must_fit_the_configuration(model: MisoForAnchorGeneration) -> None:
    with pytest.raises(ValueError, match=r"3 output tokens were given, but .* room for"):
        model.set_output_tokens(torch.arange(3), torch.ones(3, dtype=torch.bool))


def test_generation_from_latents(trained: MisoForAnchorGeneration) -> None:
    ids, mask = batch_of(TEXTS[:5])
    classes = torch.ones(5, dtype=torch.long)
    with torch.no_grad():
        z = trained.miso(ids, mask, class_ids=classes, fuse=True).last_hidden_state
        q = trained.miso(ids, mask).latents
    for latents, options in ((z, {"fuse": True}), (z, {}), (q, {"fuse": False})):
        for way in ({}, {"num_beams": 3}):
            torch.manual_seed(11)
            made = trained.generate(
                encoder_outputs=BaseModelOutput(last_hidden_state=latents),
                attention_mask=torch.ones(latents.shape[:2]),
                class_ids=classes,
                max_new_tokens=10,
                **way,
            )
            assert made.tolist() == generate(trained, **options, **way)


def test_incremental_decoding_is_the_full_one(trained: MisoForAnchorGeneration) -> None:
    cached = generate(trained, use_cache=True)
    assert cached == generate(trained, use_cache=False)
    assert len({tuple(row) for row in cached}) > 1


def test_forward_needs_something_to_decode(model: MisoForAnchorGeneration) -> None:
    with pytest.raises(ValueError, match="needs labels or decoder_input_ids"):
        model(*batch_of(TEXTS[:2]))


def test_loss_ignores_masked_labels(model: MisoForAnchorGeneration) -> None:
    ids, mask = batch_of(TEXTS[:3])
    labels = ids.masked_fill(mask == 0, -100)
    with torch.no_grad():
        loss = model(ids, mask, labels=labels).loss
        longer = torch.nn.functional.pad(labels, (0, 3), value=-100)
        torch.testing.assert_close(model(ids, mask, labels=longer).loss, loss)
    assert torch.isfinite(loss)


# ---- filling ------------------------------------------------------------------------------------


def test_fill_reads_class_context_and_latent(trained: MisoForAnchorGeneration) -> None:
    ids, mask = batch_of(TEXTS[:4])
    ids[:, 2] = tokenizer().mask_token_id
    places = torch.zeros_like(ids, dtype=torch.bool)
    places[:, 2] = True
    with torch.no_grad():
        latents = trained.miso(ids, mask).latents

        def fill(label: int, z: Tensor | None) -> Tensor:
            return trained.fill(ids, mask, torch.full((4,), label), places, z)

        plain = fill(1, None)
        assert plain.shape == (4, trained.output_tokens.numel())
        torch.testing.assert_close(plain, fill(1, torch.zeros_like(latents)))
        for other in (fill(0, None), fill(2, None), fill(1, latents)):
            assert (other - plain).abs().max() > 1e-2
        changed = ids.clone()
        changed[:, 3] = ids[:, 4]
        moved = trained.fill(changed, mask, torch.ones(4, dtype=torch.long), places)
        assert (moved - plain).abs().max() > 1e-2
