"""The generator's losses: which decoder writes a class, and from which latents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from hf_oversample.models.miso.realizers.common import source_latents
from hf_oversample.text.encoding import pad
from hf_oversample.training.gathering import gathered
from hf_oversample.training.miso_objectives import GeneratorObjective, surrogate_latents
from miso_fixtures import arguments, encode, make_corpus, make_generator, make_trainer, tokenizer
from two_processes import run_two_processes

TEXTS, LABELS = make_corpus((20, 10, 10))


@pytest.fixture(scope="module")
def objective() -> GeneratorObjective:
    model = make_generator(TEXTS, classes=3, targets=(1, 2), share_decoder=False)
    return GeneratorObjective(model.eval(), arguments())


@pytest.mark.parametrize("classes", [[0, 1, 2, 0, 1], [1, 2, 1, 2, 1], [0, 0, 0, 0, 0]])
def test_each_class_is_decoded_by_its_decoder(
    objective: GeneratorObjective, classes: list[int]
) -> None:
    rows = [text.input_ids for text in encode(TEXTS[:5])]
    ids, mask = pad(rows, tokenizer().pad_token_id)
    labels = torch.tensor(classes)
    with torch.no_grad():
        latents = objective.latents(ids, mask)
        together = objective.decoder_logits(ids, mask, latents, labels)
        for row in range(5):
            one = slice(row, row + 1)
            alone = objective.model.decode_logits(ids[one], latents[one], labels[one])
            torch.testing.assert_close(
                together[one][mask[one] == 1], alone[mask[one] == 1], rtol=1e-4, atol=1e-5
            )
        groups = objective.decoder_groups(labels)
        parts = [
            len(group)
            * objective.reconstruction(ids[group], mask[group], latents[group], labels[group])
            for group in groups
        ]
        whole = objective.reconstruction(ids, mask, latents, labels)
    assert sorted(torch.cat(groups).tolist()) == list(range(5))
    torch.testing.assert_close(whole, torch.stack(parts).sum() / 5)


def test_two_decoders_train_where_a_target_class_is_another_ones_neighbour() -> None:
    """The majority neighbours of one target class are texts of another, for the other decoder."""
    model = make_generator(TEXTS, classes=3, targets=(1, 2), share_decoder=False)
    before = [value.clone() for value in model.decoders.parameters()]
    trainer = make_trainer(model, TEXTS, LABELS, arguments(adversarial_steps=8))
    neighbors = LABELS[trainer.find_pairs().neighbors[1]]
    assert {0, 2} <= set(neighbors.ravel().tolist()), "the corpus has no such neighbours"
    trainer.train()
    after = list(model.decoders.parameters())
    assert all(torch.isfinite(value).all() for value in after)
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("use_sfm", [False, True])
def test_without_fusion_training_decodes_what_inference_decodes(use_sfm: bool) -> None:
    """Without SFM all phases train on q, the latent that anchors are written from."""
    model = make_generator(TEXTS, classes=3, targets=(1, 2), dropout=0.0, use_sfm=use_sfm)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():  # a stand-in that moves latents
        weight = model.miso.surrogate_fusion.narrow.weight
        weight.copy_(torch.randn(weight.shape, generator=generator))
    trainer = make_trainer(model, TEXTS, LABELS, arguments(critic_steps=1))
    pairs = trainer.find_pairs()
    objective = GeneratorObjective(model.eval(), trainer.arguments)
    decoded: list[torch.Tensor] = []
    written, filled = objective.reconstruction, objective.noisy

    def reconstruction(ids: Any, mask: Any, latents: torch.Tensor, classes: Any) -> torch.Tensor:
        decoded.append(latents)
        return written(ids, mask, latents, classes)

    def noisy(latents: torch.Tensor) -> torch.Tensor:
        decoded.append(latents)
        return filled(latents)

    objective.reconstruction, objective.noisy = reconstruction, noisy  # type: ignore[method-assign]

    def inferred(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        rows = [row[: int(kept.sum())].numpy() for row, kept in zip(ids, mask, strict=True)]
        labels = torch.ones(len(rows), dtype=torch.long)
        model.config.use_sfm = False  # q: a generator that is being trained has no reference pairs
        latents = source_latents(model, rows, labels, tokenizer().pad_token_id)
        model.config.use_sfm = use_sfm
        return latents

    def agree(one: torch.Tensor, other: torch.Tensor) -> bool:
        return bool(torch.allclose(one, other, atol=1e-4))

    with torch.no_grad():
        batch = trainer.batches.pretrain(0, pairs)
        objective.pretrain(batch)
        expected = inferred(batch["decoder_ids"], batch["decoder_mask"])
        assert len(decoded) == 2
        assert [agree(latents, expected) for latents in decoded] == [not use_sfm] * 2

        decoded.clear()
        batch, _ = trainer.batches.adversarial(0, pairs)
        parts = objective.adversarial(batch, 2.0, 1.0)
        q = inferred(batch["minority_ids"], batch["minority_mask"])
        k = inferred(batch["majority_ids"], batch["majority_mask"])
        minority, majority, both = decoded
        assert agree(majority, k)
        assert agree(parts["q"], q)
        assert torch.equal(both, torch.cat([minority, majority]))
        if not use_sfm:
            assert agree(minority, q)
            assert agree(parts["z"], q)
    # phase 2
    trainer._cache_latents()
    _, own, other = pairs.draw(trainer.arguments, 0, 4)
    assert trainer.cached_latents is not None
    q, k = (torch.stack([trainer.cached_latents[row] for row in rows]) for rows in (own, other))
    with torch.no_grad():
        assert torch.equal(surrogate_latents(model, q, k), q) == (not use_sfm)


HALVES = """
import sys

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from hf_oversample.models.miso.layers_miso import SemanticFusion, normalize_latents
from hf_oversample.models.miso.losses_miso import (
    MutualInformationCritic, critic_pairs, donsker_varadhan
)
from hf_oversample.training.gathering import gathered, own_share

HEADS, SIZE, PAIRS = 2, 8, 12


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.fusion = nn.Linear(SIZE, SIZE), SemanticFusion(SIZE)
        for layer in (self.fusion.widen, self.fusion.narrow):
            nn.init.normal_(layer.weight, std=0.3)

    def forward(self, texts):
        q, k = (normalize_latents(self.encoder(part)) for part in texts)
        return q, k, self.fusion(q, k, 1.5, gathered(q), gathered(k))


def run(rank, world):
    torch.manual_seed(0)
    net, critic = Net(), MutualInformationCritic(HEADS * SIZE, 16)
    texts = own_share(torch.randn(2, PAIRS, HEADS, SIZE).transpose(0, 1), rank, world)
    wrapped = DistributedDataParallel(net) if world > 1 else net
    q, k, z = wrapped(texts.transpose(0, 1))
    every = [gathered(part) for part in (q, k, z)]
    pairs = critic_pairs("pair", *every, torch.Generator().manual_seed(1))
    a, b, c, d = pairs["minority_of_z"]
    loss = donsker_varadhan(critic(a, b), critic(c, d))
    (loss + 0.3 * (z - q.detach()).square().mean()).backward()
    return {name: weight.grad for name, weight in net.named_parameters()} | {"loss": loss.detach()}


if __name__ == "__main__":
    torch.distributed.init_process_group("gloo")
    rank = torch.distributed.get_rank()
    torch.save(run(rank, 2), f"{sys.argv[1]}/{sys.argv[2]}-{rank}.pt")
    torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_learn_from_each_others_pairs(tmp_path: Path) -> None:
    """Negatives and attended pairs are those of all processes: two halves of a batch have the loss
    and the gradients of the whole one."""
    script = tmp_path / "halves.py"
    script.write_text(HALVES)
    names: dict[str, Any] = {"__name__": "halves"}
    exec(compile(HALVES, str(script), "exec"), names)
    whole = names["run"](0, 1)
    for half in run_two_processes(script, tmp_path, "halves"):
        assert set(half) == set(whole)
        for name, value in whole.items():
            torch.testing.assert_close(half[name], value, rtol=1e-4, atol=1e-6, msg=name)


def test_one_process_is_all_processes() -> None:
    rows = torch.ones(3, 2)
    assert gathered(rows) is rows
