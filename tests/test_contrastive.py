"""Contrastive batches and their loss: which rows are drawn, and what is pulled where."""

from __future__ import annotations

import numpy as np
import torch

from hf_oversample.training.contrastive import (
    RareClass,
    contrastive_loss,
    draw_batch,
    rare_classes,
)
from hf_oversample.training.reembedding_arguments import ReembeddingArguments


def toy_classes() -> dict[int, RareClass]:
    """Ten rare rows 0 … 9, the first four difficult; 30 others, of which 10 … 14 lie near."""
    near = np.tile(np.arange(10, 15), (10, 1))
    return {1: RareClass(np.arange(10), np.arange(10) < 4, near, np.arange(10, 40))}


def test_a_batch_has_rare_queries_and_negatives_of_which_half_are_near() -> None:
    arguments = ReembeddingArguments(rare_rows=8, majority_rows=8, hard_share=0.5)
    batch = draw_batch(toy_classes(), {}, arguments, step=3, process=0)
    negatives = batch.rows[batch.queries :]
    assert batch.queries == 8
    assert set(batch.rows[:8]) <= set(range(10))
    assert len(set(negatives)) == len(negatives) == 8
    assert np.isin(negatives, np.arange(10, 15)).sum() >= 4
    # more of them is a matter of chance; with a share of 0 they come as rarely as any
    none = ReembeddingArguments(rare_rows=8, majority_rows=8, hard_share=0.0)
    drawn = [draw_batch(toy_classes(), {}, none, step, 0).rows[8:] for step in range(60)]
    assert np.isin(np.concatenate(drawn), np.arange(10, 15)).mean() < 0.3


def test_difficult_rows_are_pulled_to_the_others_and_nothing_to_them() -> None:
    batch = draw_batch(toy_classes(), {}, ReembeddingArguments(rare_rows=10), 0, 0)
    difficult = batch.rows[:10] < 4
    assert not batch.positives[:, difficult].any()
    expected = ~difficult[None, :] & ~np.eye(10, dtype=bool)
    assert (batch.positives == expected).all()


def test_where_all_are_difficult_each_is_pulled_to_all_others() -> None:
    of = toy_classes()[1]
    hard = {1: RareClass(of.rows, np.ones(10, bool), of.hard_negatives, of.others)}
    batch = draw_batch(hard, {}, ReembeddingArguments(rare_rows=10), 0, 0)
    assert (batch.positives == ~np.eye(10, dtype=bool)).all()


def test_anchors_are_positives_and_never_queries() -> None:
    arguments = ReembeddingArguments(rare_rows=8, anchor_share=0.5)
    batch = draw_batch(toy_classes(), {1: np.arange(20)}, arguments, 0, 0)
    assert batch.queries == 4
    assert len(batch.anchors) == 4
    assert batch.positives.shape == (4, 8)
    assert batch.positives[:, 4:].all()
    alone = {1: RareClass(np.array([0]), np.array([True]), np.array([[1]]), np.arange(1, 9))}
    assert draw_batch(alone, {1: np.arange(3)}, arguments, 0, 0).positives.any()


def test_batches_are_a_function_of_seed_step_and_process() -> None:
    def drawn(seed: int, step: int, process: int) -> list[int]:
        arguments = ReembeddingArguments(seed=seed, rare_rows=6, majority_rows=6)
        return draw_batch(toy_classes(), {}, arguments, step, process).rows.tolist()

    assert drawn(0, 5, 1) == drawn(0, 5, 1)
    assert len({tuple(drawn(*key)) for key in [(0, 5, 1), (1, 5, 1), (0, 6, 1), (0, 5, 0)]}) == 4


def test_the_loss_is_that_of_the_definition() -> None:
    vectors = torch.nn.functional.normalize(torch.randn(7, 5, dtype=torch.float64), dim=-1)
    positives = torch.tensor([[False, True, True], [True, False, False]])
    found = contrastive_loss(vectors, positives, temperature=0.3)
    terms = []
    for query in range(2):
        similarity = (vectors[query] @ vectors.T / 0.3).exp()
        below = similarity.sum() - similarity[query]
        wanted = torch.nonzero(positives[query]).flatten()
        terms.append(-torch.stack([(similarity[p] / below).log() for p in wanted]).mean())
    torch.testing.assert_close(found, torch.stack(terms).mean())


def test_the_loss_pulls_positives_and_pushes_negatives() -> None:
    vectors = torch.nn.functional.normalize(torch.randn(6, 4), dim=-1).requires_grad_()
    positives = torch.tensor([[False, True], [True, False]])
    contrastive_loss(vectors, positives, 0.1).backward()
    moved = vectors.detach() - 0.01 * vectors.grad
    before, after = vectors.detach() @ vectors.detach().T, moved @ moved.T
    assert after[0, 1] > before[0, 1]
    assert (after[0, 2:] - before[0, 2:]).max() < after[0, 1] - before[0, 1]


def test_rare_classes_are_held_against_all_the_rest() -> None:
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [30, 8, 6])
    embeddings = generator.normal(size=(44, 4)).astype(np.float32) + labels[:, None]
    found = rare_classes(embeddings, labels, [1, 2], neighbors=5, hard_neighbors=3)
    assert set(found) == {1, 2}
    for label, one in found.items():
        assert (labels[one.rows] == label).all()
        assert one.hard_negatives.shape == (len(one.rows), 3)
        assert (labels[one.hard_negatives] != label).all()
        assert (labels[one.others] != label).all()
        # the nearest first, by an exact search
        distances = np.linalg.norm(embeddings[one.rows[0]] - embeddings[one.others], axis=1)
        assert one.hard_negatives[0, 0] == one.others[distances.argmin()]
