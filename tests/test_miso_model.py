"""The generator: its configuration, latents, fusion, decoding, and what survives saving."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import AutoConfig, AutoModel, AutoModelForSeq2SeqLM, BertConfig
from transformers.modeling_outputs import BaseModelOutput

from hf_oversample import MisoConfig, MisoForAnchorGeneration, MisoModel
from hf_oversample.encoding import pad
from hf_oversample.models.miso.layers_miso import SemanticFusion
from miso_fixtures import (
    encode,
    make_corpus,
    make_generator,
    set_random_bank,
    tokenizer,
    trained_generator_folder,
)

TEXTS, LABELS = make_corpus((20, 12))


def batch_of(texts: list[str]) -> tuple[Tensor, Tensor]:
    return pad([text.input_ids for text in encode(texts)], tokenizer().pad_token_id)


@pytest.fixture(scope="module")
def model() -> MisoForAnchorGeneration:
    """An untrained generator with a random bank; tests do not change it."""
    model = make_generator(TEXTS).eval()
    set_random_bank(model)
    return model


@pytest.fixture(scope="module")
def trained() -> MisoForAnchorGeneration:
    return MisoForAnchorGeneration.from_pretrained(trained_generator_folder()).eval()


# ---- latents ------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=25)
@given(
    texts=st.lists(st.sampled_from(TEXTS), min_size=1, max_size=5),
    extra=st.integers(0, 20),
    token=st.integers(0, 20),
)
def test_padding_never_changes_a_latent(
    model: MisoForAnchorGeneration, texts: list[str], extra: int, token: int
) -> None:
    ids, mask = batch_of(texts)
    ids = torch.nn.functional.pad(ids, (0, extra), value=0)
    mask = torch.nn.functional.pad(mask, (0, extra))
    # whatever token stands behind the mask
    other = ids.masked_fill(mask == 0, token)
    classes = torch.ones(len(texts), dtype=torch.long)
    with torch.no_grad():
        together = model.miso(other, mask, class_ids=classes, fuse=True)
        for row, text in enumerate(texts):
            alone, _ = batch_of([text])
            output = model.miso(alone, class_ids=classes[:1], fuse=True)
            assert output.latents.shape == (1, 4, 16)
            for one, all_rows in (
                (output.latents, together.latents),
                (output.last_hidden_state, together.last_hidden_state),
            ):
                torch.testing.assert_close(one[0], all_rows[row], atol=1e-5, rtol=0)


def test_latents_tell_texts_apart_and_are_normalised(model: MisoForAnchorGeneration) -> None:
    with torch.no_grad():
        latents = model.miso(*batch_of(TEXTS)).latents
    torch.testing.assert_close(latents.mean(-1), torch.zeros(32, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(latents.std(-1, correction=0), torch.ones(32, 4), atol=1e-2, rtol=0)
    distances = torch.cdist(latents.flatten(1), latents.flatten(1)) + 9 * torch.eye(32)
    assert distances.min() > 1e-2


# ---- semantic fusion (section 4.2) --------------------------------------------------------------


def fusion_and_pairs(n: int = 7, seed: int = 0) -> tuple[SemanticFusion, Tensor, Tensor]:
    """A fusion module whose residual is not zero, and q and k of n pairs."""
    torch.manual_seed(seed)
    fusion = SemanticFusion(6)
    q, k = (
        torch.nn.functional.layer_norm(torch.randn(n, 3, 6), (6,)).requires_grad_()
        for _ in range(2)
    )
    return fusion, q, k


def attention(q: Tensor, k: Tensor, temperature: float) -> Tensor:
    return torch.softmax(torch.einsum("nhd,mhd->hnm", q, k) / temperature**0.5, -1)


def test_fusion_is_the_papers_equation() -> None:
    fusion, q, k = fusion_and_pairs()
    result = SemanticFusion.attend(q, q, k, 3.0)
    for head in range(3):
        own, other = q[:, head], k[:, head]
        gate = torch.softmax(own.T @ other / 3.0**0.5, -1)
        expected = torch.softmax(own @ other.T / 3.0**0.5, -1) @ own @ gate
        torch.testing.assert_close(result[:, head], expected)
    torch.testing.assert_close(fusion(q, k, 3.0), fusion.fuse(q, result))


def test_a_high_temperature_gives_uniform_attention() -> None:
    fusion, q, k = fusion_and_pairs()
    attended = SemanticFusion.attend(q, q, k, 1e12)
    torch.testing.assert_close(attended, attended[:1].expand(7, -1, -1), atol=1e-4, rtol=0)
    # uniform over pairs and over features: the mean of all of Q
    mean = q.mean((0, 2))[None, :, None].expand(7, 3, 6)
    torch.testing.assert_close(attended, mean, atol=1e-4, rtol=0)


def test_a_low_temperature_concentrates_attention() -> None:
    _, q, k = fusion_and_pairs(n=20)
    spread, entropy = [], []
    for temperature in (1e6, 100.0, 10.0, 1.0):
        weights = attention(q, k, temperature)
        entropy.append(-(weights * weights.log()).sum(-1).mean().item())
        spread.append(SemanticFusion.attend(q, q, k, temperature).std(0).mean().item())
    assert entropy == sorted(entropy, reverse=True)
    assert entropy[0] == pytest.approx(torch.tensor(20.0).log().item(), abs=1e-3)
    assert entropy[-1] < 0.6 * entropy[0]
    assert spread == sorted(spread)
    assert spread[-1] > 20 * spread[0]


@settings(deadline=None, max_examples=25)
@given(order=st.permutations(range(7)), temperature=st.floats(1, 500))
def test_permuting_the_pairs_permutes_the_output(order: list[int], temperature: float) -> None:
    fusion, q, k = fusion_and_pairs()
    moved = fusion(q[order], k[order], temperature)
    torch.testing.assert_close(moved, fusion(q, k, temperature)[order], atol=1e-5, rtol=0)


def test_q_and_k_get_a_gradient() -> None:
    fusion, q, k = fusion_and_pairs()
    fusion(q, k, 2.0).square().mul(torch.randn(7, 3, 6)).sum().backward()
    for latents in (q, k):
        assert latents.grad is not None
        assert (latents.grad.flatten(1).norm(dim=1) > 0).all()


def test_z_starts_as_q() -> None:
    model = make_generator(TEXTS).eval()
    ids, mask = batch_of(TEXTS[:6])
    with torch.no_grad():
        q = model.miso(ids, mask).latents
        k = model.miso(*batch_of(TEXTS[6:12])).latents
        for z in (model.miso.fusion(q, k, 40.0), model.miso.surrogate_fusion.fuse(q, k)):
            torch.testing.assert_close(z, q, atol=1e-2, rtol=0)  # normalised once more
        model.miso.set_bank(1, q, k)
        output = model.miso(ids, mask, class_ids=torch.ones(6, dtype=torch.long), fuse=True)
    torch.testing.assert_close(output.last_hidden_state, q, atol=1e-2, rtol=0)
    # and K counts as soon as the residual is not zero
    set_random_bank(model)
    with torch.no_grad():
        moved = model.miso.fusion(q, k, 1.0)
        assert (moved - q).abs().max() > 0.1
        assert (moved - model.miso.fusion(q, q, 1.0)).abs().max() > 1e-3


def test_layers_start_as_meant() -> None:
    """transformers skips modules without weights of their own when it initialises."""
    model = make_generator(TEXTS)
    for fusion in (model.miso.fusion, model.miso.surrogate_fusion):
        assert not fusion.narrow.weight.any()
        assert fusion.widen.weight.any()
    assert not model.latent_to_hidden.weight.any()
    for opponent in (model.minority_critic, model.majority_discriminator):
        layer = opponent.layers[0]
        limit = (6 / (layer.in_features + layer.out_features)) ** 0.5  # Glorot & Bengio (2010)
        assert layer.weight.abs().max().item() == pytest.approx(limit, rel=0.05)
        assert not layer.bias.any()


# ---- the reference bank -------------------------------------------------------------------------


def test_bank_repeats_pairs_in_order() -> None:
    model = make_generator(TEXTS)
    pairs = torch.arange(3.0).view(3, 1, 1).expand(3, 4, 16)
    model.miso.set_bank(1, pairs, 10 + pairs)
    assert model.miso.bank_queries[1, :, 0, 0].tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert model.miso.bank_keys[1, :, 0, 0].tolist() == [10, 11, 12, 10, 11, 12, 10, 11]
    assert model.miso.bank_is_filled.tolist() == [False, True]
    many = torch.arange(20.0).view(20, 1, 1).expand(20, 4, 16)
    model.miso.set_bank(1, many, 30 + many)
    assert model.miso.bank_queries[1, :, 0, 0].tolist() == list(range(8))


def test_fusing_without_a_bank_is_an_error(model: MisoForAnchorGeneration) -> None:
    ids, mask = batch_of(TEXTS[:2])
    with pytest.raises(ValueError, match=r"no reference pairs for class 0: .* classes \[1\]"):
        model.miso(ids, mask, class_ids=torch.tensor([1, 0]), fuse=True)
    with pytest.raises(ValueError, match="Fused latents need class_ids"):
        model.miso(ids, mask, fuse=True)


def test_evidence_is_the_difference_of_the_critics(model: MisoForAnchorGeneration) -> None:
    with torch.no_grad():
        latents = model.miso(*batch_of(TEXTS[:3])).latents
        evidence = model.evidence(latents, torch.ones(3, dtype=torch.long))
        for row in range(3):
            z = latents[row].flatten().expand(8, -1)
            queries, keys = (
                bank[1].flatten(1) for bank in (model.miso.bank_queries, model.miso.bank_keys)
            )
            expected = (
                model.minority_critic(queries, z).mean() - model.majority_critic(keys, z).mean()
            )
            torch.testing.assert_close(evidence[row], expected)


# ---- decoding -----------------------------------------------------------------------------------


def generate(model: MisoForAnchorGeneration, **options: Any) -> list[list[int]]:
    ids, mask = batch_of(TEXTS[:5])
    torch.manual_seed(11)
    classes = options.pop("class_ids", torch.ones(5, dtype=torch.long))
    output = model.generate(
        input_ids=ids, attention_mask=mask, class_ids=classes, max_new_tokens=10, **options
    )
    return output.tolist()


WAYS = {
    "greedy": {},
    "beams": {"num_beams": 3},
    "sampling": {"do_sample": True, "top_p": 0.9},
    "beams and sampling": {"do_sample": True, "num_beams": 2, "num_return_sequences": 2},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_saving_keeps_weights_and_texts(
    trained: MisoForAnchorGeneration, way: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    model = MisoForAnchorGeneration.from_pretrained(trained_generator_folder(), dtype=dtype).eval()
    assert model.dtype == dtype
    model.save_pretrained(tmp_path / "saved")
    loaded = MisoForAnchorGeneration.from_pretrained(tmp_path / "saved").eval()
    assert loaded.dtype == dtype
    ours, theirs = model.state_dict(), loaded.state_dict()
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert value.dtype == theirs[name].dtype, name
        assert torch.equal(value, theirs[name]), name
    assert generate(model, **WAYS[way]) == generate(loaded, **WAYS[way])
    assert {path.suffix for path in (tmp_path / "saved").iterdir()} == {".json", ".safetensors"}


@pytest.mark.parametrize(
    "settings_of_model",
    [
        {"share_decoder": False},
        {"use_sfm": False, "use_mi": False},
        {"critic_mode": "instance", "critic_bound": "jsd"},
    ],
)
def test_saving_other_architectures(settings_of_model: dict[str, Any], tmp_path: Path) -> None:
    model = make_generator(TEXTS, **settings_of_model).eval()
    set_random_bank(model)
    model.save_pretrained(tmp_path)
    loaded, report = MisoForAnchorGeneration.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    for name, value in model.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name]), name
    for label in (0, 1):
        classes = torch.full((5,), label)
        options = {"class_ids": classes, "fuse": label == 1 and model.config.use_sfm}
        assert generate(model, **options) == generate(loaded.eval(), **options)


def test_word_embeddings_stay_shared(tmp_path: Path) -> None:
    model = make_generator(TEXTS, share_decoder=False)
    model.save_pretrained(tmp_path)
    for one in (model, MisoForAnchorGeneration.from_pretrained(tmp_path)):
        words = one.get_input_embeddings().weight
        assert len(one.decoders) == 2
        for decoder in one.decoders:
            assert decoder.get_input_embeddings().weight is words


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


def test_auto_classes(tmp_path: Path) -> None:
    folder = trained_generator_folder()
    assert isinstance(AutoConfig.from_pretrained(folder), MisoConfig)
    loaded = AutoModelForSeq2SeqLM.from_pretrained(folder)
    assert isinstance(loaded, MisoForAnchorGeneration)
    body = AutoModel.from_pretrained(folder)
    assert isinstance(body, MisoModel)
    for name, value in body.state_dict().items():
        assert torch.equal(value, loaded.miso.state_dict()[name]), name
    texts = generate(loaded.eval())
    assert texts == generate(MisoForAnchorGeneration.from_pretrained(folder).eval())


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


# ---- configuration ------------------------------------------------------------------------------


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
