"""The Bayesian-network GAN as an oversampler, and from a text file by its recipe."""

from __future__ import annotations

import json
import pickle
import runpy
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, List, Value
from datasets.fingerprint import Hasher
from transformers import AutoModel

from bayesian_gan_fixtures import NAMES, QUICK_OVERSAMPLER, dataset
from hf_oversample.models.bayesian_gan.modeling_bayesian_gan import BayesianGanModel
from hf_oversample.models.bayesian_gan.network import BayesianNetwork
from hf_oversample.numeric import memory
from hf_oversample.oversamplers.bayesian_gan import BayesianGanOversampler

RECIPE = Path(__file__).resolve().parent.parent / "recipes" / "bayesian_gan.py"


@pytest.fixture(scope="module")
def fitted() -> BayesianGanOversampler:
    return BayesianGanOversampler(
        structure=BayesianNetwork.disentangled(2), **QUICK_OVERSAMPLER
    ).fit(dataset())


def test_counts_and_provenance(fitted: BayesianGanOversampler) -> None:
    balanced = fitted.balance(dataset())
    assert Counter(balanced["label"]) == {0: 40, 1: 40}
    assert Counter(balanced["origin"]) == {0: 52, 1: 28}
    labels = dataset()["label"][:]
    parents = [row["parent"] for row in balanced if row["origin"] == 1]
    assert {labels[parent] for parent in parents} == {0}
    assert len(set(map(tuple, balanced["embedding"]))) == len(balanced)


def test_children_do_not_depend_on_batches(fitted: BayesianGanOversampler) -> None:
    def rows(size: int) -> list:
        mapped = dataset().map(
            fitted,
            batched=True,
            with_indices=True,
            batch_size=size,
            new_fingerprint=f"batch{size}",
        )
        return [dict(row) for row in mapped]

    assert rows(7) == rows(1000)
    again = BayesianGanOversampler(**fitted.get_params()).fit(dataset())
    assert np.array_equal(again.made_, fitted.made_)
    other = BayesianGanOversampler(**{**fitted.get_params(), "seed": 1}).fit(dataset())
    assert not np.array_equal(other.made_, fitted.made_)


def test_saved_and_copied_ones_are_the_same(fitted: BayesianGanOversampler, tmp_path: Path) -> None:
    before = Hasher.hash(fitted)
    fitted.save_pretrained(tmp_path / "saved")
    loaded = BayesianGanOversampler.from_pretrained(tmp_path / "saved")
    copied = pickle.loads(pickle.dumps(fitted))
    wanted = fitted.generator_.generate("rare", {"c1": 1.0}, n=3)
    for one in (loaded, copied):
        assert np.array_equal(one.made_, fitted.made_)
        assert one.structure_ == fitted.structure_
        assert torch.equal(one.generator_.generate("rare", {"c1": 1.0}, n=3), wanted)
        assert Hasher.hash(one) == before
    assert Hasher.hash(fitted) == before  # rebuilding the model changes nothing
    generator = BayesianGanModel.from_pretrained(tmp_path / "saved" / "generator")
    assert torch.equal(generator.generate("rare", {"c1": 1.0}, n=3), wanted)


def test_the_auto_classes_find_it(fitted: BayesianGanOversampler, tmp_path: Path) -> None:
    fitted.generator_.save_pretrained(tmp_path)
    assert type(AutoModel.from_pretrained(tmp_path)).__name__ == "BayesianGanModel"


def test_a_given_generator_is_used(fitted: BayesianGanOversampler, tmp_path: Path) -> None:
    fitted.generator_.save_pretrained(tmp_path)
    given = BayesianGanOversampler(generator=tmp_path).fit(dataset())
    assert np.array_equal(given.made_, fitted.made_)
    assert given.losses_ == {}
    held = BayesianGanOversampler(generator=tmp_path, codes={"c1": 2.0}).fit(dataset())
    assert not np.array_equal(held.made_, fitted.made_)
    other = BayesianGanOversampler(**{**fitted.get_params(), "seed": 1}).fit(dataset())
    other.generator_.save_pretrained(tmp_path)  # in the same place
    changed = BayesianGanOversampler(generator=tmp_path).fit(dataset())
    fingerprints = [one.children(dataset())._fingerprint for one in (given, changed)]
    assert fingerprints[0] != fingerprints[1]
    narrow = dataset().map(
        lambda row: {"embedding": row["embedding"][:4]},
        features=Features(
            {"label": ClassLabel(names=list(NAMES)), "embedding": List(Value("float32"), length=4)}
        ),
    )
    renamed = dataset().cast_column("label", ClassLabel(names=["odd", "common"]))
    for rows, values, message in (
        (narrow, {}, "10 numbers"),
        (renamed, {}, r"class\(es\) \['odd'\]"),
        (dataset(), {"codes": {"c7": 1}}, r"\['c7'\]"),
    ):
        with pytest.raises(ValueError, match=message):
            BayesianGanOversampler(generator=tmp_path, **values).fit(rows)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"training": {"epochs": 3}}, "epochs"),
        ({"training": {"seed": 3}}, "seed"),
        ({"training": {"steps": -3}}, "steps is -3"),
        ({"model_options": {"width": 3}}, "width"),
        ({"model_options": {"input_size": 3}}, "input_size"),
        ({"structure": {"nodes": []}}, "nodes"),
        ({"structure": {"observed": "c1", "latent": ["a"], "edges": []}}, "'observed' is a list"),
        ({"structure": {"observed": ["c"], "latent": ["a"], "edges": [5]}}, "an edge is a pair"),
        ({"model_options": {"hidden_size": 0}}, "hidden_size is 0"),
        (
            {
                "structure": BayesianNetwork.entangled({"j": ["c1", "c2"]}),
                "model_options": {"structure_loss": "infogan"},
            },
            "'j' has the parents",
        ),
        ({"training": {"save_steps": 5}}, "save_steps"),
        ({"codes": {"c9": 1.0}}, "c9"),
        ({"codes": {"c1": float("nan")}}, "'c1' to nan"),
        ({"generator": "folder", "structure": BayesianNetwork.disentangled(2)}, "already"),
    ],
)
def test_wrong_values_are_refused(values: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BayesianGanOversampler(**values)


def test_options_that_the_data_do_not_allow_are_refused_when_fitted() -> None:
    with pytest.raises(ValueError, match="divisible by 4"):
        BayesianGanOversampler(kind="image", **QUICK_OVERSAMPLER).fit(dataset())
    diverging = {
        **QUICK_OVERSAMPLER,
        "training": {"steps": 4, "batch_size": 8, "learning_rate": 1e30},
    }
    one = BayesianGanOversampler(**diverging)
    with pytest.raises(FloatingPointError, match="diverged"):
        one.fit(dataset())
    with pytest.raises(RuntimeError, match="not fitted"):
        one.generator_  # noqa: B018


def recipe(*arguments: str) -> int:
    try:
        return runpy.run_path(str(RECIPE))["main"](list(arguments))
    except SystemExit as stop:
        return int(stop.code or 0)


def test_texts_in_texts_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from miso_fixtures import CLASS_NAMES, contract_generator_folder, make_corpus

    texts, labels = make_corpus((40, 16))
    names = [CLASS_NAMES[label] for label in labels]
    file, out = tmp_path / "messages.csv", tmp_path / "out"
    Dataset.from_dict({"message": texts, "kind": names}).to_csv(str(file))
    common = ["--train_file", str(file), "--text_column", "message", "--label_column", "kind"]
    common += ["--output_dir", str(out), "--language", "en", "--max_length", "24"]
    options = ["--generator", str(contract_generator_folder()), "--variables", "2"]
    options += ["--gan_options", json.dumps(QUICK_OVERSAMPLER["training"]), "--traversals", "1"]
    options += ["--model_options", json.dumps(QUICK_OVERSAMPLER["model_options"])]
    for wrong, message in (
        (["--network", '{"nodes": []}'], "nodes"),
        (["--network", str(tmp_path / "none.json")], "none.json"),
        (["--gan_options", "[1]"], "JSON object"),
        (["--gan_options", '{"epochs": 1}'], "epochs"),
        (["--embeddings_only"], "give encoder_name"),
    ):
        assert recipe(*common, *wrong) == 2
        assert message in capsys.readouterr().err
        assert not (out / "run.json").exists()
    assert recipe(*common, *options) == 0, capsys.readouterr().err
    train = datasets.load_from_disk(str(out / "balanced"))["train"]
    assert Counter(train["kind"]) == {0: 40, 1: 40}
    assert all(text for text in train["message"])
    record = json.loads((out / "run.json").read_text())
    assert record["network"]["observed"] == ["c1", "c2"]
    assert {"structure", "generator"} <= set(record["losses"]["bayesian_gan"])
    assert (out / "structure.png").read_bytes().startswith(b"\x89PNG")
    assert "R²" in (out / "structure.md").read_text()
    assert "decoded" in (out / "traversals.md").read_text()
    assert BayesianGanOversampler.from_pretrained(out / "oversampler").generator_.class_names
    assert recipe(*common, *options) == 2
    assert "finished run" in capsys.readouterr().err


def test_rows_are_the_same_where_memory_has_room_for_few(
    fitted: BayesianGanOversampler, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fitted.generator_.save_pretrained(tmp_path)
    refused, whole = [], BayesianGanModel.rows_from

    def with_little_room(model: Any, noise: torch.Tensor, *others: Any) -> Any:
        if 5 < len(noise) <= len(expected):  # its probes of the structure are larger
            refused.append(len(noise))
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(model, noise, *others)

    monkeypatch.setattr(memory, "_WORKED", {})
    expected = BayesianGanOversampler(generator=tmp_path).fit(dataset()).made_
    monkeypatch.setattr(BayesianGanModel, "rows_from", with_little_room)
    found = BayesianGanOversampler(generator=tmp_path).fit(dataset()).made_
    assert refused == [28, 14, 7]
    np.testing.assert_allclose(found, expected, atol=1e-6, rtol=1e-5)
