"""The contract of fitted oversamplers as objects: hashed, pickled, cached, saved and pushed."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from datasets.fingerprint import Hasher
from safetensors.numpy import load_file, save_file

from hf_oversample.models.loading import write_sums
from hf_oversample.oversamplers import OVERSAMPLERS
from hf_oversample.oversamplers.base import Oversampler
from oversampler_checks import (
    FRESH_PROCESS,
    Case,
    case_of,
    check_saved_equal,
    map_rows,
    plain,
    rows_of,
    write_for_process,
)


@pytest.fixture(params=sorted(OVERSAMPLERS))
def case(request: pytest.FixtureRequest) -> Case:
    return case_of(request.param)


def test_pickles_small_and_hashes_stably(case: Case) -> None:
    dataset, oversampler = plain(case)
    before = Hasher.hash(oversampler)
    expected = rows_of(oversampler.children(dataset))
    assert Hasher.hash(oversampler) == before
    data = pickle.dumps(oversampler)
    assert len(data) < 50_000
    copy = pickle.loads(data)
    assert Hasher.hash(copy) == before
    assert rows_of(copy.children(dataset)) == expected
    assert Hasher.hash(case.fitted(dataset, seed=3)) == before
    assert Hasher.hash(case.fitted(dataset, seed=4)) != before


def test_the_second_map_comes_from_the_cache(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, oversampler = plain(case)
    dataset.save_to_disk(tmp_path / "data")
    dataset = Dataset.load_from_disk(tmp_path / "data")
    first = dataset.map(oversampler, batched=True, with_indices=True)

    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("the map ran again")

    monkeypatch.setattr(type(oversampler), "children_table", fail)
    loaded = pickle.loads(pickle.dumps(oversampler))
    again = dataset.map(loaded, batched=True, with_indices=True)
    assert again._fingerprint == first._fingerprint
    assert rows_of(again) == rows_of(first)
    with pytest.raises(AssertionError, match="ran again"):
        dataset.map(case.fitted(dataset, seed=9), batched=True, with_indices=True)


def test_code_version_is_part_of_the_hash(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    _, oversampler = plain(case)
    before = Hasher.hash(oversampler)
    monkeypatch.setattr(type(oversampler), "code_version", 999)
    assert Hasher.hash(oversampler) != before


def test_save_and_load(case: Case, tmp_path: Path) -> None:
    dataset, oversampler = plain(case)
    folder = tmp_path / "deep" / "saved"
    oversampler.save_pretrained(folder)
    assert {"config.json", "state.safetensors"} <= {path.name for path in folder.iterdir()}
    assert not list(folder.parent.glob(".*"))  # no scratch folder is left
    assert not [path for path in folder.rglob("*") if path.suffix in {".pkl", ".pt", ".bin"}]
    for loader in (Oversampler, type(oversampler)):
        loaded = loader.from_pretrained(str(folder))
        check_saved_equal(oversampler, loaded, dataset)
        assert case.plain_params(loaded) == case.plain_params(oversampler)
        assert map_rows(dataset, loaded) == map_rows(dataset, oversampler)
    (folder / "README.md").write_text("mine")
    case.fitted(dataset, seed=5).save_pretrained(folder)
    assert Oversampler.from_pretrained(folder).seed == 5
    assert (folder / "README.md").read_text() == "mine"


@pytest.fixture(scope="module")
def read_in_a_fresh_process(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder a method, with what one process told of all of them."""
    root = tmp_path_factory.mktemp("saved")
    for name in sorted(OVERSAMPLERS):
        dataset, oversampler = plain(case_of(name))
        write_for_process(root / name, oversampler, dataset)
    folders = [str(folder) for folder in sorted(root.iterdir())]
    subprocess.run([sys.executable, "-c", FRESH_PROCESS, *folders], check=True)
    return root


def test_equal_in_a_fresh_process(case: Case, read_in_a_fresh_process: Path) -> None:
    dataset, oversampler = plain(case)
    folder = read_in_a_fresh_process / type(oversampler).__name__
    found = json.loads((folder / "found.json").read_text())
    assert found["rows"] == rows_of(oversampler.children(dataset))
    loaded = Oversampler.from_pretrained(folder / "oversampler")
    assert found["hash"] == found["after"] == Hasher.hash(loaded)


def test_loading_errors(case: Case, tmp_path: Path) -> None:
    _, oversampler = plain(case)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        Oversampler.from_pretrained(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"holds no config\.json"):
        Oversampler.from_pretrained(tmp_path / "empty")
    with pytest.raises(RuntimeError, match="is not fitted"):
        case.make().save_pretrained(tmp_path / "unfitted")
    assert not (tmp_path / "unfitted").exists()
    oversampler.save_pretrained(tmp_path / "saved")

    class Other(Oversampler):
        pass

    with pytest.raises(ValueError, match=f"holds a {type(oversampler).__name__}, not a Other"):
        Other.from_pretrained(tmp_path / "saved")
    config = tmp_path / "saved" / "config.json"
    written = json.loads(config.read_text())
    for change, message in (
        ({"format": 99}, "saved in format 99"),
        ({"oversampler": "Magic"}, "names the oversampler 'Magic'"),
    ):
        config.write_text(json.dumps({**written, **change}))
        with pytest.raises(ValueError, match=message):
            Oversampler.from_pretrained(tmp_path / "saved")
    with pytest.raises(NotADirectoryError, match="is a file"):
        oversampler.save_pretrained(config)


def change_arrays(folder: Path, **changed: np.ndarray | None) -> None:
    """Write arrays anew, None for one that is left out, with their sums: as on purpose."""
    arrays = {**load_file(folder / "state.safetensors"), **changed}
    kept = {name: np.ascontiguousarray(v) for name, v in arrays.items() if v is not None}
    save_file(kept, folder / "state.safetensors")
    write_sums(folder)


def test_arrays_that_were_changed_are_refused(case: Case, tmp_path: Path) -> None:
    dataset, oversampler = plain(case)
    oversampler.save_pretrained(tmp_path / "saved")
    labels, plan = oversampler.labels_, oversampler.fitted_plan()
    for number, (changed, message) in enumerate(
        [
            ({"labels": labels[:-1]}, "the array 'labels' is of type int8 and shape"),
            ({"labels": labels.astype(np.float32)}, "must be of shape .32. and of integers"),
            ({"labels": np.full_like(labels, 9)}, "holds 9 to 9, and what it numbers"),
            ({"labels": None}, "lack 'labels'"),
            ({"plan.parent": plan.parent + 1000}, "'plan.parent' holds"),
            ({"plan.parent": plan.parent[1:]}, "'plan.parent' is of"),
            ({"plan.child": np.zeros_like(plan.child)}, "number them 0, 1, 2"),
            ({"plan.label": -plan.label - 1}, "'plan.label' holds"),
        ]
    ):
        folder = tmp_path / str(number)
        shutil.copytree(tmp_path / "saved", folder)
        change_arrays(folder, **changed)
        with pytest.raises(ValueError, match=message) as raised:
            Oversampler.from_pretrained(folder)
        assert str(folder) in str(raised.value)


def test_arrays_of_a_method_that_were_changed_are_refused(case: Case, tmp_path: Path) -> None:
    """Shorter by a row, and NaN where numbers are: arrays that the method reads by place."""
    dataset, oversampler = plain(case)
    oversampler.save_pretrained(tmp_path / "saved")
    for name, values in oversampler._state_arrays().items():
        if name not in METHODS_ARRAYS or not len(values):
            continue
        changes = [values[:-1]]
        if values.dtype.kind == "f":
            changes.append(np.full_like(values, np.nan))
        for changed in changes:
            folder = tmp_path / "changed"
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(tmp_path / "saved", folder)
            change_arrays(folder, **{f"state.{name}": changed})
            with pytest.raises(ValueError, match="changed"):
                Oversampler.from_pretrained(folder)


METHODS_ARRAYS = ("made", "copied", "informative", "rows", "starts", "values", "origins", "parents")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": None}, "its 'format' is 'None', where a whole number is needed"),
        ({"oversampler": ["a"]}, "where a string is needed"),
        ({"params": []}, "where an object is needed"),
        ({"params": {"sampling_strategy": {"final_counts": 3}}}, "does not take|do not make"),
        ({"params": {"sampling_strategy": "auto", "seed": "x"}}, "seed must be an int"),
        ({"fitted": {}}, "lack"),
        ({"state": 7}, "where an object is needed"),
    ],
)
def test_a_configuration_that_was_changed_is_refused(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    _, oversampler = plain(case_of("RandomOversampler"))
    oversampler.save_pretrained(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **change}))
    with pytest.raises(ValueError, match=message) as raised:
        Oversampler.from_pretrained(tmp_path)
    assert str(tmp_path) in str(raised.value)
    for content in (b"[" * 100_000, b"\xff", b"9" * 5000):
        config.write_bytes(content)
        with pytest.raises(ValueError, match=r"config\.json is "):
            Oversampler.from_pretrained(tmp_path)
    config.write_text(json.dumps(oversampler._config()))
    (tmp_path / "SHA256SUMS").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"is not the file that .* was written for"):
        Oversampler.from_pretrained(tmp_path)


def test_card_names_the_classes(case: Case) -> None:
    _, oversampler = plain(case)
    card = oversampler.card("someone/mine")
    assert card.data.library_name == "hf_oversample"
    assert "| spam | 6 | 17 |" in card.content
    assert 'from_pretrained("someone/mine")' in card.content


def test_push_and_load_over_http(case: Case, hub: Any) -> None:
    dataset, oversampler = plain(case)
    url = oversampler.push_to_hub("tester/mine")
    assert url.startswith(hub.url)
    for loader in (Oversampler, type(oversampler)):
        check_saved_equal(oversampler, loader.from_pretrained("tester/mine"), dataset)
