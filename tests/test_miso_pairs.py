"""Pairs of difficult texts and their neighbours: order, draws, files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hf_oversample.training.batches import MisoPairs
from miso_fixtures import arguments


def test_pairs_are_difficult_first_with_their_nearest_neighbours(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.asarray([0] * 30 + [1] * 8)
    embeddings = rng.normal(size=(38, 5)).astype(np.float32) + 1.5 * labels[:, None]
    pairs = MisoPairs.find(embeddings, labels, [1], arguments())
    distances = np.linalg.norm(embeddings[:, None] - embeddings[None], axis=-1)
    difficulty = {}
    for row in np.flatnonzero(labels == 1):
        near = [other for other in np.argsort(distances[row]) if other != row][:5]
        difficulty[row] = np.mean(labels[near] == 0)
    assert sorted(pairs.rows[1].tolist()) == sorted(difficulty)
    shares = [difficulty[row] for row in pairs.rows[1]]
    assert pairs.difficulty[1] == pytest.approx(shares)
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0
    # of the other 37 rows 7 are the class's own: one neighbour of five is more than chance gives
    assert pairs.outvoted[1].tolist() == [share == 1 for share in shares]
    for row, neighbors in zip(pairs.rows[1], pairs.neighbors[1], strict=True):
        assert neighbors.tolist() == np.argsort(distances[row][:30], kind="stable")[:5].tolist()
    assert pairs.counts == {1: (8, 30)}

    # difficult rows alone are paired (section 4.2)
    hard = sum(share > 0 for share in shares)
    assert 1 < hard < 8, "the example has both kinds"
    own, other = pairs.reference(1, 20)
    assert own.tolist() == (pairs.rows[1][:hard].tolist() * 20)[:20]
    assert other[:hard].tolist() == pairs.neighbors[1][:hard, 0].tolist()
    assert other[hard : 2 * hard].tolist() == pairs.neighbors[1][:hard, 1].tolist()

    size = min(hard, 3)
    label, drawn, partners = pairs.draw(arguments(), 3, size)
    again = pairs.draw(arguments(), 3, size)
    assert label == 1
    assert (drawn == again[1]).all()
    assert (partners == again[2]).all()
    assert len(set(drawn.tolist())) == size  # no row twice where there are enough
    _, many, _ = pairs.draw(arguments(), 3, 50)
    assert many.tolist() != pairs.draw(arguments(), 4, 50)[1].tolist()
    assert set(many.tolist()) == set(pairs.rows[1][:hard].tolist())
    for row, partner in zip(drawn, partners, strict=True):
        place = int(np.flatnonzero(pairs.rows[1] == row)[0])
        assert partner in pairs.neighbors[1][place]

    pairs.save(tmp_path / "pairs.safetensors")
    loaded = MisoPairs.load(tmp_path / "pairs.safetensors")
    assert loaded.counts == pairs.counts
    for name in ("rows", "neighbors", "difficulty", "outvoted"):
        assert np.array_equal(getattr(loaded, name)[1], getattr(pairs, name)[1])


def test_outvoted_rows_are_drawn_twice_as_often() -> None:
    # all rare rows have a neighbour of another class, and one lies amid it
    labels = np.asarray([0] * 44 + [1] * 6)
    places = np.concatenate([np.arange(43.0), [-100.25], -100 - 0.1 * np.arange(5), [20.5]])
    embeddings = places[:, None].astype(np.float32)
    pairs = MisoPairs.find(embeddings, labels, [1], arguments())
    assert (pairs.difficulty[1] > 0).all()
    assert pairs.outvoted[1].tolist() == [True] + [False] * 5
    drawn = np.concatenate([pairs.draw(arguments(), step, 1)[1] for step in range(2000)])
    counts = np.bincount(drawn, minlength=50)[44:]
    assert counts[-1] / 2000 == pytest.approx(2 / 7, abs=0.04)
    assert counts[:-1] / 2000 == pytest.approx([1 / 7] * 5, abs=0.04)


def test_a_class_without_difficult_rows_is_paired_all_the_same() -> None:
    labels = np.asarray([0] * 20 + [1] * 8)
    embeddings = np.eye(28, dtype=np.float32) + 50 * labels[:, None]
    pairs = MisoPairs.find(embeddings, labels, [1], arguments())
    assert not pairs.difficulty[1].any()
    _, drawn, partners = pairs.draw(arguments(), 0, 60)
    assert set(drawn.tolist()) == set(range(20, 28))
    assert set(labels[partners].tolist()) == {0}
    assert set(pairs.reference(1, 8)[0].tolist()) == set(range(20, 28))
