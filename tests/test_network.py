"""The network that a user draws: what it refuses, its presets, JSON and picture; traversals."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.papers.disentanglement import kim_mnih_score
from benchmarks.papers.shapes import FACTORS, SHAPES, draw_shapes, random_factors
from hf_oversample.models.bayesian_gan.network import BayesianNetwork
from hf_oversample.models.bayesian_gan.traversals import (
    traversal_figure,
    traversal_markdown,
    traversal_texts,
)


@pytest.mark.parametrize(
    ("observed", "latent", "edges", "message"),
    [
        ((), ("a",), [], "at least one observed"),
        (("c",), ("a", "b"), [("c", "a"), ("a", "b"), ("b", "a")], "a → b → a|b → a → b"),
        (("c", "d"), ("a",), [("c", "a"), ("d", "a"), ("a", "d")], "observed variable 'd'"),
        (("c",), ("a",), [("c", "a"), ("e", "a")], "'e', which is no variable"),
        (("c",), ("a",), [("c", "a"), ("c", "a")], "c → a is given twice"),
        (("c", "c"), ("a",), [("c", "a")], "'c' is used twice"),
        (("c",), ("c",), [], "'c' is used twice"),
        (("c",), ("a",), [("c", "a"), ("a", "a")], "ends where it begins"),
        (("c",), ("a", "b"), [("c", "a")], "'b' has no parent"),
        (("c", "d"), ("a",), [("c", "a")], "observed variable 'd'"),
        (("class",), ("a",), [("class", "a")], "'class' is always there"),
        (("c",), ("a",), [("c", "a"), ("class", "a")], "strictly disentangled"),
        (("c", " "), ("a",), [("c", "a")], "empty name"),
        (("c",), ("a",), ["ca"], "pair"),
        (("c",), ("a",), [("c", "a", "b")], "pair"),
        ("c", ("a",), [("c", "a")], "list of names"),
        ((1,), ("a",), [("c", "a")], "must be names"),
    ],
)
def test_a_wrong_network_is_refused_with_the_offender(observed, latent, edges, message) -> None:
    with pytest.raises(ValueError, match=message):
        BayesianNetwork(observed, latent, edges)


def test_a_long_cycle_is_shown_as_a_path() -> None:
    edges = [("c", "a1"), *((f"a{i}", f"a{i + 1}") for i in range(1, 6)), ("a6", "a3")]
    with pytest.raises(ValueError, match="a3 → a4 → a5 → a6 → a3"):
        BayesianNetwork.from_edges(edges)


def test_edges_say_which_variables_are_observed() -> None:
    network = BayesianNetwork.from_edges([("c1", "a"), ("c2", "b"), ("a", "b")])
    assert network.observed == ("c1", "c2")
    assert network.latent == ("a", "b")
    assert network.parents("b") == ("c2", "a")
    assert network.children("a") == ("b",)


def test_presets() -> None:
    plain = BayesianNetwork.disentangled(2)
    assert plain.edges == (("c1", "c1'"), ("c2", "c2'"))
    joint = BayesianNetwork.entangled({"size": ("width", "height")}, ("width", "height", "tilt"))
    assert joint.latent == ("width'", "height'", "tilt'", "size")
    assert joint.parents("size") == ("width'", "height'")
    for groups, message in (({"j": ["c1"]}, "at least two"), ({"j": ["c1", "e"]}, "'e'")):
        with pytest.raises(ValueError, match=message):
            BayesianNetwork.entangled(groups, ["c1", "c2"])


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_json_gives_the_same_network_back(data: st.DataObject) -> None:
    observed = [f"c{i}" for i in range(data.draw(st.integers(1, 4)))]
    latent = [f"{name}'" for name in observed]
    latent += [f"k{i}" for i in range(data.draw(st.integers(0, 3)))]
    edges = list(zip(observed, latent, strict=False))
    for place, code in enumerate(latent):
        before = [*observed, *latent[:place]]  # so there is no cycle
        further = data.draw(st.sets(st.sampled_from(before), min_size=1, max_size=3))
        edges += [(name, code) for name in sorted(further) if (name, code) not in edges]
    network = BayesianNetwork(tuple(observed), tuple(latent), tuple(edges))
    assert BayesianNetwork.from_json(network.to_json()) == network
    assert hash(BayesianNetwork.from_dict(json.loads(network.to_json()))) == hash(network)


def test_json_of_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON object"):
        BayesianNetwork.from_json("[1]")
    with pytest.raises(ValueError, match="nodes"):
        BayesianNetwork.from_dict({"nodes": []})


def test_figures(tmp_path: Path) -> None:
    network = BayesianNetwork.entangled({"size": ("width", "height")})
    network.figure(tmp_path / "network.png", {("width", "width'"): 0.97})
    rows = draw_shapes([0, 1, 2], random_factors(3)).reshape(1, 3, -1).repeat(2, axis=0)
    names = [f"c{number}" for number in range(len(rows))]
    traversal_figure(rows, tmp_path / "grid.png", (-1, 0, 1), "x", names)
    for name in ("network.png", "grid.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="2 values"):
        traversal_figure(rows, tmp_path / "grid.png", (0, 1))
    with pytest.raises(ValueError, match="side"):
        traversal_figure(rows[:, :, :7], tmp_path / "grid.png", (-1, 0, 1))
    with pytest.raises(ValueError, match="1 names"):
        traversal_figure(rows, tmp_path / "grid.png", (-1, 0, 1), names=["c1"])


def test_texts_along_a_traversal() -> None:
    real = np.eye(3, dtype=np.float32)
    rows = np.array([[[0, 2, 0.1], [0.1, 0, 3]]], dtype=np.float32)
    ((first, second),) = traversal_texts(rows, (-1, 1), real, ["a", "b", "c|d"])
    assert (first.nearest, first.row, second.nearest, second.value) == ("b", 1, "c|d", 1.0)
    assert first.decoded is None
    assert first.cosine == pytest.approx(2 / np.hypot(2, 0.1))
    found = traversal_texts(rows, (-1, 1), real, ["a", "b", "c|d"], lambda x: [str(len(x))] * 2)
    assert found[0][0].decoded == "2"
    assert "c\\|d" in traversal_markdown("width", found)
    with pytest.raises(ValueError, match="needed"):
        traversal_texts(rows, (1,), real, ["a", "b", "c"])
    with pytest.raises(ValueError, match="1 texts"):
        traversal_texts(rows, (-1, 1), real, ["a"])


def test_shapes_have_the_factors_that_they_are_drawn_with() -> None:
    factors = np.zeros((4, 4))
    factors[1, 0], factors[2, 1], factors[3, 2] = 1, 1, 1
    images = draw_shapes([0, 0, 0, 0], factors, side=20).reshape(4, 20, 20)
    down, across = np.mgrid[:20, :20]
    weights = images.sum(axis=(1, 2))
    x, y = ((images * grid).sum(axis=(1, 2)) / weights for grid in (across, down))
    assert x[1] > x[0] + 3
    assert y[2] > y[0] + 3
    assert abs(x[2] - x[0]) < 0.1
    assert weights[3] > 1.5 * weights[0]
    of_each = draw_shapes(range(len(SHAPES)), np.zeros((3, 4)))
    assert np.abs(of_each[0] - of_each[1]).sum() > 5
    assert np.abs(of_each[1] - of_each[2]).sum() > 5
    with pytest.raises(ValueError, match="3 shapes"):
        draw_shapes([3], np.zeros((1, 4)))


def test_the_score_of_kim_and_mnih_tells_separate_codes_from_mixed_ones() -> None:
    def score(encode) -> float:
        return kim_mnih_score(encode, random_factors, len(FACTORS), votes=200, rows_per_vote=32)

    pairs = np.array([[1, 1], [1, -1]]) / np.sqrt(2)
    rotation = np.kron(pairs, pairs)  # every code has as much of every factor
    # whatever their order and units
    assert score(lambda f: f[:, ::-1] ** 3 * [1, 100, 0.01, 1]) == 1.0
    assert score(lambda f: f @ rotation) < 0.8
    assert score(lambda f: f[:, :1] @ np.ones((1, 4))) < 0.5
    assert score(lambda f: np.zeros_like(f)) == pytest.approx(0.25)


def test_the_network_needs_no_heavy_library() -> None:
    code = (
        "import sys; from hf_oversample.models.bayesian_gan.network import BayesianNetwork\n"
        "BayesianNetwork.disentangled(3)\n"
        "print([m for m in ('torch', 'matplotlib', 'datasets') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.strip() == "[]", answer.stderr
