"""From texts to latents: what pooling, semantic fusion and the reference bank compute."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hf_oversample import MisoForAnchorGeneration
from hf_oversample.models.miso.layers_miso import SemanticFusion, attention_perplexity
from miso_fixtures import make_generator, set_random_bank
from miso_model_fixtures import TEXTS, batch_of, generator_with_bank


@pytest.fixture(scope="module")
def model() -> MisoForAnchorGeneration:
    """Tests do not change it."""
    return generator_with_bank()


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
        gate = torch.softmax(own.T @ other / (7 * 3.0**0.5), -1)  # the mean over 7 pairs
        expected = torch.softmax(own @ other.T / 3.0**0.5, -1) @ own @ gate
        torch.testing.assert_close(result[:, head], expected)
    torch.testing.assert_close(fusion(q, k, 3.0), fusion.fuse(q, result, k))


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


@settings(deadline=None, max_examples=25)
@given(copies=st.integers(2, 9), temperature=st.floats(1, 500), seed=st.integers(0, 99))
def test_fusion_is_the_same_for_any_number_of_pairs(
    copies: int, temperature: float, seed: int
) -> None:
    """Attention is scale-free: the same pairs, each several times over, give the same z."""
    fusion, q, k = fusion_and_pairs(seed=seed)
    many_q, many_k = q.repeat(copies, 1, 1), k.repeat(copies, 1, 1)
    expected = SemanticFusion.attend(q, q, k, temperature)
    attended = SemanticFusion.attend(q, many_q, many_k, temperature)
    torch.testing.assert_close(attended, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        fusion(many_q, many_k, temperature)[:7], fusion(q, k, temperature), atol=1e-5, rtol=0
    )
    near = SemanticFusion.neighbors(q, k, temperature)
    torch.testing.assert_close(
        SemanticFusion.neighbors(q, many_k, temperature), near, atol=1e-5, rtol=0
    )


def test_attention_perplexities_by_hand() -> None:
    one_hot = 100 * torch.eye(4).unsqueeze(1)  # each text attends to one pair
    pairs, features = attention_perplexity(one_hot, one_hot, 1.0)
    assert pairs == pytest.approx(1)
    assert features == pytest.approx(1)
    pairs, features = attention_perplexity(one_hot, torch.zeros(4, 1, 4), 1.0)
    assert pairs == pytest.approx(4)
    assert features == pytest.approx(4)
    # half and half: two keys that are alike
    keys = torch.tensor([[[9.0, 0.0]], [[9.0, 0.0]]])
    pairs, features = attention_perplexity(torch.tensor([[[9.0, 0.0]], [[0.0, 9.0]]]), keys, 1.0)
    assert pairs == pytest.approx(2)
    # features: row 1 of QᵀK/2 is (81/2, 0), row 2 the same
    assert features == pytest.approx(1)


@pytest.mark.parametrize("n", [32, 64, 512])
def test_the_gate_is_not_one_hot_however_many_pairs_there_are(n: int) -> None:
    """Latents that have a part in common, as those of an encoder have: a sum over 32 pairs has a
    perplexity of 1.1 of 64 features."""
    generator = torch.Generator().manual_seed(0)
    common = torch.randn(1, 8, 64, generator=generator)
    q, k = (
        torch.nn.functional.layer_norm(common + torch.randn(n, 8, 64, generator=generator), (64,))
        for _ in range(2)
    )
    _, features = attention_perplexity(q, k, 1.0)
    assert 16 < features < 64


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
    with pytest.raises(ValueError, match=r"no reference pairs for class 'ham': .*\['spam'\]"):
        model.miso(ids, mask, class_ids=torch.tensor([1, 0]), fuse=True)
    with pytest.raises(ValueError, match="Fused latents need class_ids"):
        model.miso(ids, mask, fuse=True)


def test_z_is_that_of_the_pair_where_one_is_given(model: MisoForAnchorGeneration) -> None:
    ids, mask = batch_of(TEXTS[:6])
    classes = torch.ones(6, dtype=torch.long)
    with torch.no_grad():
        k = torch.randn(6, 4, 16, generator=torch.Generator().manual_seed(3))

        def fused(partners: Tensor | None) -> Tensor:
            output = model.miso(ids, mask, class_ids=classes, fuse=True, partners=partners)
            return output.last_hidden_state

        alone, paired, swapped = fused(None), fused(k), fused(k.roll(1, 0))
        # each text by itself
        one = model.miso(
            ids[:1, : int(mask[0].sum())], class_ids=classes[:1], fuse=True, partners=k[:1]
        )
        q = model.miso(ids, mask).latents
        bank = model.miso.bank_keys[1]
        stand_in = fused(SemanticFusion.neighbors(q, bank, model.config.bank_temperature))
    torch.testing.assert_close(one.last_hidden_state[0], paired[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(alone, stand_in)
    for other in (alone, swapped):
        assert (other - paired).abs().amax((1, 2)).min() > 1e-2


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
