"""The Bayesian-network GAN: closed form, regulariser, players, control, saving."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub.errors import StrictDataclassClassValidationError
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesian_gan_fixtures import NAMES, linear_gaussian, tiny_model
from hf_oversample.models.bayesian_gan.configuration_bayesian_gan import BayesianGanConfig
from hf_oversample.models.bayesian_gan.losses_bayesian_gan import (
    Structure,
    bounded_regularizer,
    fit_conditionals,
    literal_regularizer,
    log_likelihood,
    mutual_information_bound,
)
from hf_oversample.models.bayesian_gan.modeling_bayesian_gan import BLOCK_ROWS, BayesianGanModel
from hf_oversample.models.bayesian_gan.network import BayesianNetwork

# c1 → a, c2 → b, a → b, c2 → d: a descendant, and parents of both kinds
EDGES = [("c1", "a"), ("c2", "b"), ("a", "b"), ("c2", "d")]
STRUCTURE = Structure.of(BayesianNetwork.from_edges(EDGES).to_dict(), NAMES)
PLACES = {name: place for place, name in enumerate(STRUCTURE.names)}


def sampled(n: int, seed: int = 0, noise: float = 0.1) -> torch.Tensor:
    """Rows of a known linear-Gaussian network, in the order of `STRUCTURE.names`."""
    rng = np.random.default_rng(seed)
    c1, c2 = rng.normal(size=(2, n))
    classes = np.eye(2)[rng.integers(0, 2, n)]
    e = rng.normal(size=(5, n)) * noise
    a = 3 + 2 * c1 + 2 * e[0]
    b = -1 + 0.5 * a - 1.5 * c2 + e[1]
    d = 0.01 * c2 + 0.01 * e[2]
    logits = 4 * classes - 2 + 4 * e[3:].T
    return torch.from_numpy(np.column_stack([c1, c2, classes, a, b, d, logits]))


def test_the_structure_knows_parents_descendants_and_all_others() -> None:
    assert STRUCTURE.names == (
        *("c1", "c2", "class rare", "class common", "a", "b", "d"),
        *("class' rare", "class' common"),
    )

    def named(columns: tuple[int, ...]) -> set[str]:
        return {STRUCTURE.names[column] for column in columns}

    a, b, _, rare, _ = range(5)
    both = {"class rare", "class common", "class' rare", "class' common"}
    assert named(STRUCTURE.parents[b]) == {"a", "c2"}
    assert named(STRUCTURE.descendants[a]) == {"b"}
    assert named(STRUCTURE.others[a]) == {"c2", "d"} | both
    assert named(STRUCTURE.others[b]) == {"c1", "d"} | both
    assert named(STRUCTURE.parents[rare]) == {"class rare"}
    assert named(STRUCTURE.others[rare]) == {"c1", "c2", "a", "b", "d"}


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.integers(8, 200))
def test_the_closed_form_is_ordinary_least_squares(seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, len(STRUCTURE.names))) * rng.uniform(0.1, 10, size=9)
    values += rng.normal(size=9)
    fitted = fit_conditionals(torch.from_numpy(values), STRUCTURE, ridge=0.0)
    for number, code in enumerate(STRUCTURE.codes):
        parents = list(STRUCTURE.parents[number])
        design = np.column_stack([values[:, parents], np.ones(rows)])
        solution, *_ = np.linalg.lstsq(design, values[:, code], rcond=None)
        residual = values[:, code] - design @ solution
        assert fitted.weights[number, parents].numpy() == pytest.approx(solution[:-1], rel=1e-5)
        assert float(fitted.intercepts[number]) == pytest.approx(solution[-1], rel=1e-4, abs=1e-6)
        assert float(fitted.variances[number]) == pytest.approx(residual.var(), rel=1e-4)
        share = 1 - residual.var() / values[:, code].var()
        assert float(fitted.r_squared[number]) == pytest.approx(share, abs=1e-5)
        for other in STRUCTURE.others[number]:
            scale = values[:, code].std() * values[:, other].std()
            common = np.cov(residual, values[:, other], bias=True)[0, 1] / scale
            assert float(fitted.semi_partial[number, other]) == pytest.approx(common, abs=1e-5)


def test_a_known_network_is_recovered() -> None:
    fitted = fit_conditionals(sampled(4000), STRUCTURE)
    a, b, d = (number for number in range(3))
    assert float(fitted.weights[a, PLACES["c1"]]) == pytest.approx(2, abs=0.02)
    assert float(fitted.weights[b, PLACES["a"]]) == pytest.approx(0.5, abs=0.02)
    assert float(fitted.weights[b, PLACES["c2"]]) == pytest.approx(-1.5, abs=0.02)
    assert float(fitted.intercepts[a]) == pytest.approx(3, abs=0.02)
    assert float(fitted.variances[d]) == pytest.approx(1e-6, rel=0.1)
    assert fitted.r_squared.min() >= 0.9
    for number, others in enumerate(STRUCTURE.others):
        assert fitted.semi_partial[number, list(others)].square().max() <= 0.05


def test_the_likelihood_is_that_of_the_local_conditionals() -> None:
    values = sampled(500)
    fitted = fit_conditionals(values, STRUCTURE, ridge=0.0)
    expected = torch.distributions.Normal(0, 1).log_prob(values[:, :2]).sum(1)
    for number, code in enumerate(STRUCTURE.codes):
        mean = values @ fitted.weights[number] + fitted.intercepts[number]
        local = torch.distributions.Normal(mean, fitted.variances[number].sqrt())
        expected = expected + local.log_prob(values[:, code])
    found = log_likelihood(values, STRUCTURE, fitted)
    assert torch.allclose(found, expected)
    other = fit_conditionals(values[torch.randperm(500)], STRUCTURE, ridge=0.0)
    assert torch.allclose(found, log_likelihood(values, STRUCTURE, other))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.floats(0.01, 100))
def test_the_bounded_regulariser_is_bounded_and_knows_no_units(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    values = torch.from_numpy(rng.normal(size=(64, 9)))
    structure, leakage = bounded_regularizer(values, STRUCTURE)
    assert 0 <= structure <= 1
    assert 0 <= leakage <= 7
    scaled = values.clone()
    scaled[:, list(STRUCTURE.codes)] *= factor
    for one, two in zip(bounded_regularizer(scaled, STRUCTURE), (structure, leakage), strict=True):
        assert float(one) == pytest.approx(float(two), abs=1e-3)


def test_the_regulariser_prefers_the_right_network() -> None:
    values = sampled(512)
    right = sum(bounded_regularizer(values, STRUCTURE))
    swapped = BayesianNetwork.from_edges([("c2", "a"), ("c1", "b"), ("a", "b"), ("c1", "d")])
    order = [*(PLACES[n] for n in ("c2", "c1")), *range(2, 9)]
    wrong = sum(bounded_regularizer(values[:, order], Structure.of(swapped.to_dict(), NAMES)))
    assert right < 0.15
    assert wrong > right + 0.5


def test_codes_that_do_not_vary_give_finite_terms_and_gradients() -> None:
    values = sampled(32)
    values[:, PLACES["a"]] = 7.0
    values[:, PLACES["class rare"]] = 0.0  # a batch without the class
    values.requires_grad_(True)
    sum(bounded_regularizer(values, STRUCTURE)).backward()
    assert torch.isfinite(values.grad).all()


def test_equation_6_as_printed_by_hand() -> None:
    """ℓ is of the batch's expectations: (mean of a code − mean of another variable)²."""
    structure = Structure.of(BayesianNetwork.from_edges([("c1", "a")]).to_dict(), NAMES)
    names = ("c1", "class rare", "class common", "a", "class' rare", "class' common")
    assert structure.names == names
    # means 1, ½, ½, 3, 0, 2, of rows that have nothing else in common
    values = torch.tensor([[5.0, 1, 0, -4, 6, 2], [-3.0, 0, 1, 10, -6, 2]], dtype=torch.float64)
    values.requires_grad_(True)
    near, far = literal_regularizer(values, structure)
    # a and c1, and each class's code and its class
    assert near.item() == (3 - 1) ** 2 + (0 - 0.5) ** 2 + (2 - 0.5) ** 2
    of_a = 2 * (3 - 0.5) ** 2 + (3 - 0) ** 2 + (3 - 2) ** 2
    of_classes = (0 - 1) ** 2 + (0 - 3) ** 2 + (2 - 1) ** 2 + (2 - 3) ** 2
    assert far.item() == -(of_a + of_classes)
    # all rows of a batch are moved alike
    (near + far).backward()
    assert values.grad is not None
    assert torch.equal(values.grad[0], values.grad[1])
    assert values.grad.any()


def test_infogans_bound_is_the_information_of_a_gaussian_channel() -> None:
    rng = np.random.default_rng(0)
    c = torch.from_numpy(rng.normal(size=(200_000, 2)))
    noise = torch.from_numpy(rng.normal(size=(200_000, 2)))
    seen = c + 0.5 * noise
    # the best estimate of c, and its error's variance
    estimate, variance = seen / 1.25, torch.full((2,), 0.2, dtype=torch.float64)
    bound = mutual_information_bound(c, estimate, variance.log())
    assert float(bound) == pytest.approx(2 * 0.5 * np.log(1 + 1 / 0.25), rel=0.02)
    assert mutual_information_bound(c, noise, variance.log()) < 0


@pytest.mark.parametrize("kind", ["vector", "image"])
@pytest.mark.parametrize("loss", ["bounded", "literal", "infogan"])
def test_gradients_reach_both_players_at_the_start(kind: str, loss: str) -> None:
    rows = np.random.default_rng(0).normal(size=(64, 16)).astype(np.float32)
    model = tiny_model(rows, kind=kind, structure_loss=loss, num_channels=4)
    labels = torch.arange(64) % 2
    z, c = torch.randn(64, 4), torch.randn(64, 2)
    seen = model.discriminator(model.generator(z, c, labels), labels)
    terms = model.regularizer(c, labels, seen)
    assert set(terms) == ({"information"} if loss == "infogan" else {"structure", "leakage"})
    sum(terms.values()).backward()
    for player in (model.generator, model.discriminator.body, model.discriminator.codes):
        gradients = [p.grad for p in player.parameters()]
        assert all(g is not None and torch.isfinite(g).all() for g in gradients)
        assert sum(float(g.abs().sum()) for g in gradients) > 0


@pytest.mark.parametrize("kind", ["vector", "image"])
def test_a_saved_model_is_the_same(kind: str, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(40, 16)).astype(np.float32)
    model = tiny_model(rows, kind=kind, num_channels=4).eval()
    model.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").is_file()
    loaded = BayesianGanModel.from_pretrained(tmp_path)
    others = loaded.state_dict()
    assert all(torch.equal(v, others[k]) for k, v in model.state_dict().items())
    assert loaded.config.network == model.config.network
    assert loaded.class_names == list(NAMES)
    assert torch.equal(model.generate("rare", n=5), loaded.generate(0, n=5))
    values, labels = torch.from_numpy(rows), torch.zeros(40, dtype=torch.int64)
    one, two = model(values, labels), loaded(values, labels)
    assert torch.equal(one.scores, two.scores)
    assert one.codes.shape == (40, 2)
    assert one.noise.shape == (40, 4)
    assert torch.isfinite(one.loss)
    assert model(values).scores is None


def test_rows_do_not_depend_on_how_many_are_made() -> None:
    rows, _ = linear_gaussian((20, 30))
    model = tiny_model(rows)
    many = BLOCK_ROWS + 7
    z, c = torch.randn(many, 4), torch.randn(many, 2)
    labels = torch.arange(many) % 2
    whole = model.rows_from(z, c, labels)
    for part in (slice(0, 1), slice(5, 300), slice(BLOCK_ROWS - 1, None)):
        assert torch.equal(model.rows_from(z[part], c[part], labels[part]), whole[part])
    assert model.rows_from(z[:0], c[:0], labels[:0]).shape == (0, 10)


def test_control() -> None:
    rows, _ = linear_gaussian((20, 30))
    model = tiny_model(rows)
    low, high = (model.generate("rare", {"c1": v}, n=4, seed=3) for v in (-1, 1))
    assert not torch.equal(low, high)
    assert torch.equal(low, model.generate(0, {"c1'": -1}, n=4, seed=3))
    moved = model.traverse("c1", "rare", (-1, 1), n=4, seed=3)
    assert torch.equal(moved, torch.stack([low, high], dim=1))
    assert not torch.equal(low, model.generate("common", {"c1": -1}, n=4, seed=3))
    assert model.generate("rare", n=0).shape == (0, 10)
    assert torch.equal(low, model.generate(np.int64(0), {"c1": -1}, n=4, seed=3))
    half = tiny_model(rows).to(torch.bfloat16).generate("rare", {"c1": -1}, n=4, seed=3)
    assert half.dtype == torch.float32
    assert torch.allclose(half, low, atol=0.2)
    network = BayesianNetwork.from_edges(EDGES)
    deep = tiny_model(rows, network=network)
    for wrong, message in (
        (lambda: model.generate("nobody"), "no class 'nobody'"),
        (lambda: model.generate(2), "ids 0 to 1"),
        (lambda: model.generate(0, {"c9": 1}), "no variable 'c9'"),
        (lambda: model.generate(0, {"c1": float("nan")}), "finite"),
        (lambda: model.generate(0, n=-1), "at least 0"),
        (lambda: model.traverse("c1", 0, ()), "no values"),
        (lambda: deep.generate(0, {"b": 1}), "depends on"),
        (lambda: model.generate(0, {"c1": 1, "c1'": 2}), "'c1' is set twice, .* as \"c1'\""),
    ):
        with pytest.raises(ValueError, match=message):
            wrong()


def test_units_are_the_datas() -> None:
    rows = np.random.default_rng(0).normal(3, 2, size=(50, 6)).astype(np.float32)
    rows[:, 4] = 5.0
    model = tiny_model(rows)
    there = model.to_model_units(torch.from_numpy(rows))
    assert there[:, :4].mean(0).abs().max() < 1e-4
    assert torch.allclose(model.to_data_units(there), torch.from_numpy(rows), atol=1e-4)
    assert (model.generate("rare", n=10)[:, 4] == 5).all()
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    lengths = tiny_model(unit).generate("rare", n=10).norm(dim=1)
    assert torch.allclose(lengths, torch.ones(10))
    with pytest.raises(ValueError, match="the same"):
        tiny_model(np.ones((5, 4)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden_size": 0}, "hidden_size is 0"),
        ({"kind": "image", "input_size": 50}, "divisible by 4"),
        ({"kind": "image", "input_size": 36}, "divisible by 4"),
        ({"ridge": -1.0}, "ridge"),
        ({"network": {"nodes": []}}, "observed, latent and edges"),
        (
            {"network": {"observed": ["c"], "latent": ["a"], "edges": [["e", "a"]]}},
            "unknown names",
        ),
        (
            {"network": {"observed": ["c", "c"], "latent": ["a"], "edges": [["c", "a"]]}},
            "a name twice",
        ),
        (
            {
                "network": {
                    "observed": ["c"],
                    "latent": ["a", "b"],
                    "edges": [["c", "a"], ["a", "b"], ["b", "a"]],
                }
            },
            "a cycle among",
        ),
        (
            {
                "network": BayesianNetwork.entangled({"j": ["c1", "c2"]}).to_dict(),
                "structure_loss": "infogan",
            },
            "'j' has the parents",
        ),
    ],
)
def test_a_wrong_configuration_says_what_is_wrong(settings: dict, message: str) -> None:
    with pytest.raises(StrictDataclassClassValidationError, match=message):
        BayesianGanConfig(**settings)


def test_model_files_import_torch_transformers_and_siblings_only() -> None:
    folder = Path(__file__).resolve().parent.parent / "hf_oversample" / "models" / "bayesian_gan"
    for path in folder.glob("*_bayesian_gan.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                assert not (node.module or "").startswith("hf_oversample"), path.name
