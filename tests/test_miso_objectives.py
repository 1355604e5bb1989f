"""The generator's losses: with two decoders, each class is written by its own."""

from __future__ import annotations

import pytest
import torch

from hf_oversample.encoding import pad
from hf_oversample.training.miso_objectives import GeneratorObjective
from miso_fixtures import arguments, encode, make_corpus, make_generator, make_trainer, tokenizer

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
