from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Value
from datasets.fingerprint import Hasher, generate_random_fingerprint
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from hf_oversample.oversamplers import OVERSAMPLERS
from hf_oversample.oversamplers.base import Oversampler
from oversampler_checks import (
    CASES,
    FRESH_PROCESS,
    WIDTH,
    Case,
    check_output,
    check_saved_equal,
    make_dataset,
    map_rows,
    rows_of,
    write_for_process,
)

COUNTS = (23, 6, 3)


@pytest.fixture(params=sorted(OVERSAMPLERS))
def case(request: pytest.FixtureRequest) -> Case:
    assert request.param in CASES, f"{request.param} needs an entry in oversampler_checks.CASES"
    return CASES[request.param]


def plain(request_case: Case) -> tuple[Dataset, Oversampler]:
    dataset = make_dataset(COUNTS)
    return dataset, request_case.fitted(dataset, seed=3)


# ---- the same rows however they are asked for ---------------------------------------------------


def test_same_output_for_every_batch_size_and_number_of_processes(case: Case) -> None:
    dataset, oversampler = plain(case)
    mapped = dataset.map(oversampler, batched=True, with_indices=True)
    check_output(case, dataset, mapped, {0: 23, 1: 23, 2: 23})
    expected = rows_of(mapped)
    for options in (
        {"batch_size": 1},
        {"batch_size": 7},
        {"batch_size": -1},
        {"num_proc": 2},
        {"num_proc": 2, "batch_size": 5},
    ):
        # A fresh fingerprint: a cached result would be returned, or one process silently run.
        options["new_fingerprint"] = generate_random_fingerprint()
        assert map_rows(dataset, oversampler, **options) == expected, options
    features = oversampler.output_features(dataset.features)
    assert map_rows(dataset, oversampler, features=features) == expected


def test_each_row_is_followed_by_its_children(case: Case) -> None:
    dataset, oversampler = plain(case)
    rows = map_rows(dataset, oversampler)
    last = -1
    for row in rows:
        if row["origin"] == 0:
            last += 1
            planned = oversampler.plan_.label[oversampler.plan_.parent == last].tolist()
        else:
            assert row["label"] == planned.pop(0)
    assert last == len(dataset) - 1


@pytest.mark.parametrize("shards", [1, 4])
def test_iterable_dataset(case: Case, shards: int) -> None:
    dataset, oversampler = plain(case)
    expected = map_rows(dataset, oversampler)
    stream = dataset.to_iterable_dataset(num_shards=shards)
    features = oversampler.output_features(dataset.features)
    for batch_size in (1, 7, 1000):
        options = {"batch_size": batch_size, "features": features}
        assert map_rows(stream, oversampler, **options) == expected
    mapped = stream.map(oversampler, batched=True, with_indices=True, features=features)
    assert mapped.features["origin"] == ClassLabel(names=["real", "synthetic", "resampled"])


def test_direct_call_gives_columns(case: Case) -> None:
    dataset, oversampler = plain(case)
    output = oversampler(dataset[:], range(len(dataset)))
    assert isinstance(output, dict)
    expected = map_rows(dataset, oversampler)
    assert output == {name: [row[name] for row in expected] for name in expected[0]}


def test_balance_holds_the_same_rows_with_the_real_ones_first(case: Case) -> None:
    dataset, oversampler = plain(case)
    mapped = map_rows(dataset, oversampler)
    for options in ({}, {"batch_size": 2}, {"num_proc": 2}):
        balanced = oversampler.balance(dataset, **options)
        check_output(case, dataset, balanced, {0: 23, 1: 23, 2: 23})
        rows = rows_of(balanced)
        assert rows[: len(dataset)] == [row for row in mapped if row["origin"] == 0]
        assert rows[len(dataset) :] == [row for row in mapped if row["origin"] != 0]
        assert rows_of(oversampler.children(dataset)) == rows[len(dataset) :]


@settings(
    deadline=None,
    max_examples=max(case.max_examples for case in CASES.values()),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    counts=st.lists(st.integers(0, 12), min_size=2, max_size=3),
    batch_size=st.integers(1, 9),
    seed=st.integers(0, 3),
    copy_columns=st.booleans(),
    data=st.data(),
)
def test_any_shape(
    case: Case,
    counts: list[int],
    batch_size: int,
    seed: int,
    copy_columns: bool,
    data: st.DataObject,
) -> None:
    counts = [n and max(n, case.smallest_class) for n in counts]
    assume(sum(n > 0 for n in counts) >= 2)
    final = {
        label: data.draw(st.integers(count, count + 10))
        for label, count in enumerate(counts)
        if count
    }
    strategy = data.draw(st.sampled_from(["auto", "all", final]))
    asked = final if strategy == final else {label: max(counts) for label in final}
    # other methods do not look at embeddings
    is_embedding = "embedding_column" in case.fit_columns
    width = data.draw(st.integers(1, 1024)) if is_embedding else WIDTH
    dataset = make_dataset(tuple(counts), seed, width=width)
    oversampler = case.fitted(
        dataset, sampling_strategy=strategy, seed=seed, copy_columns=copy_columns
    )
    columns = oversampler(dataset[:], range(len(dataset)))
    output = Dataset.from_dict(columns, features=oversampler.output_features(dataset.features))
    check_output(case, dataset, output, asked)
    parts: dict[str, list[Any]] = {name: [] for name in columns}
    for start in range(0, len(dataset), batch_size):
        indices = range(start, min(start + batch_size, len(dataset)))
        for name, values in oversampler(dataset[start : start + batch_size], indices).items():
            parts[name] += values
    assert columns == parts


@pytest.mark.parametrize(
    ("strategy", "counts", "asked"),
    [
        ("auto", COUNTS, (23, 23, 23)),
        ("not majority", COUNTS, (23, 23, 23)),
        ("minority", COUNTS, (23, 6, 23)),
        ("not minority", COUNTS, (23, 23, 3)),
        ("all", COUNTS, (23, 23, 23)),
        (0.5, (20, 4), (20, 10)),
        ({"spam": 8, 2: 40}, COUNTS, (23, 8, 40)),
        ({0: 25}, COUNTS, (25, 6, 3)),
        (lambda labels: {1: 2 * list(labels).count(1)}, COUNTS, (23, 12, 3)),
        ({1: 6}, COUNTS, COUNTS),
    ],
)
def test_exact_counts(
    case: Case, strategy: Any, counts: tuple[int, ...], asked: tuple[int, ...], tmp_path: Path
) -> None:
    dataset = make_dataset(counts)
    oversampler = case.make(sampling_strategy=strategy)
    balanced = oversampler.balance(dataset, **case.fit_columns)
    check_output(case, dataset, balanced, dict(enumerate(asked)))
    assert balanced.features == oversampler.output_features(dataset.features)
    oversampler.save_pretrained(tmp_path / "saved")
    loaded = Oversampler.from_pretrained(tmp_path / "saved")
    check_saved_equal(oversampler, loaded, dataset)
    refitted = loaded.fit(dataset, **case.fit_columns)  # its saved strategy gives the same counts
    assert len(refitted.fitted_plan()) == sum(asked) - sum(counts)


def test_seed(case: Case) -> None:
    dataset = make_dataset(COUNTS)
    first, again, other = (
        rows_of(case.fitted(dataset, seed=seed).children(dataset)) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


# ---- hashing, pickling, saving ------------------------------------------------------------------


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


def test_equal_in_a_fresh_process(case: Case, tmp_path: Path) -> None:
    dataset, oversampler = plain(case)
    write_for_process(tmp_path, oversampler, dataset)
    run = subprocess.run(
        [sys.executable, "-c", FRESH_PROCESS, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    printed = json.loads(run.stdout.splitlines()[-1])
    assert printed["rows"] == rows_of(oversampler.children(dataset))
    assert (
        printed["hash"]
        == printed["after"]
        == Hasher.hash(Oversampler.from_pretrained(tmp_path / "oversampler"))
    )


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


def test_card_names_the_classes(case: Case) -> None:
    _, oversampler = plain(case)
    card = oversampler._card("someone/mine")
    assert card.data.library_name == "hf_oversample"
    assert "| spam | 6 | 17 |" in card.content
    assert 'from_pretrained("someone/mine")' in card.content


def test_push_and_load_over_http(case: Case, hub: Any) -> None:
    dataset, oversampler = plain(case)
    url = oversampler.push_to_hub("tester/mine")
    assert url.startswith(hub.url)
    for loader in (Oversampler, type(oversampler)):
        check_saved_equal(oversampler, loader.from_pretrained("tester/mine"), dataset)


# ---- bad input ----------------------------------------------------------------------------------


def fit_error(case: Case, dataset: Any, message: str, **arguments: Any) -> None:
    oversampler = case.make(**arguments.pop("params", {}))
    with pytest.raises(ValueError, match=message):
        oversampler.fit(dataset, **{**case.fit_columns, **arguments})
    with pytest.raises(RuntimeError, match="not fitted"):  # nothing half done
        oversampler.fitted_plan()


def test_bad_labels(case: Case) -> None:
    dataset = make_dataset((5, 3))
    fit_error(
        case,
        dataset,
        r"no column 'labels'; the data set has \['text', 'label', 'embedding', 'id'\]",
        label_column="labels",
    )
    fit_error(case, make_dataset((5, 0)), r"found 1 class\(es\) with rows \('ham': 5 rows\)")
    fit_error(
        case,
        make_dataset((5, 3), label=[0, 0, 1, None, 1, 0, 0, 1]),
        "'label' is null in row 3: give the row a label, or drop it",
    )
    unlabelled = make_dataset((5, 3), label=[0, 0, 1, 1, 1, 0, -1, 1])
    fit_error(case, unlabelled, "'label' is -1 in row 6, outside the ClassLabel's 0 … 1")
    fit_error(case, dataset, "labels must be a ClassLabel", label_column="embedding")
    fit_error(case, dataset.select([]), "the data set has no rows")
    fit_error(case, dataset.add_column("origin", [0] * 8), r"already has the column\(s\)")


def test_bad_strategy(case: Case) -> None:
    dataset = make_dataset((9, 3))
    fit_error(case, dataset, "'majority' is unknown", params={"sampling_strategy": "majority"})
    fit_error(case, dataset, "asks for 2 rows, but 3", params={"sampling_strategy": {"spam": 2}})
    fit_error(case, dataset, "class 'eggs' has no", params={"sampling_strategy": {"eggs": 2}})
    fit_error(case, dataset, "removes no rows", params={"sampling_strategy": 0.1})
    with pytest.raises(TypeError, match="seed must be an int"):
        case.make(seed="0")


def test_bad_texts_and_embeddings(case: Case) -> None:
    dataset = make_dataset((4, 2))
    kind = type(case.make()).input_kind
    if kind in ("any", "text"):
        for value, message in ((None, "null"), (" \n", "empty")):
            bad = make_dataset((4, 2), text=["a", "b", "c", value, "e", value])
            text = f"'text' is {message} in row 3 \\(2 such rows\\)"
            fit_error(case, bad, text, text_column="text")
        fit_error(case, dataset, "not strings: name the text column", text_column="embedding")
        fit_error(case, dataset, "no column 'body'; the data set has", text_column="body")
    if kind in ("any", "embedding"):
        vectors = np.ones((6, 4), dtype=np.float32)
        for value in (np.nan, np.inf):
            vectors[2, 1] = value
            bad = make_dataset((4, 2), embedding=vectors.tolist())
            text = f"'embedding' is {value} in row 2, position 1"
            fit_error(case, bad, text, embedding_column="embedding")
        fit_error(case, dataset, "must be lists of numbers", embedding_column="text")
        ragged = dataset.remove_columns("embedding").add_column(
            "embedding", [[1.0, 2.0]] * 4 + [[1.0]] + [[1.0, 2.0]]
        )
        text = "'embedding' has 1 values in row 4 but 2 in row 0"
        fit_error(case, ragged, text, embedding_column="embedding")
    fit_error(case, dataset, "give one", text_column="text", embedding_column="embedding")


def test_only_a_dataset_can_be_fitted(case: Case) -> None:
    dataset = make_dataset((4, 2))
    for other in (DatasetDict(train=dataset), dataset.to_iterable_dataset(), [{"label": 1}]):
        with pytest.raises(TypeError, match="fit needs all rows of one split"):
            case.make().fit(other)


def test_use_before_fit(case: Case) -> None:
    dataset = make_dataset((4, 2))
    with pytest.raises(RuntimeError, match="is not fitted"):
        case.make()(dataset[:], range(6))
    with pytest.raises(RuntimeError, match="is not fitted"):
        case.make().children(dataset)


def test_another_data_set(case: Case) -> None:
    dataset, oversampler = plain(case)
    batch = dataset[:4]
    with pytest.raises(ValueError, match="row 32 is beyond the 32 rows"):
        oversampler(batch, [0, 1, 2, 32])
    wrong = {**batch, "label": [1 - min(label, 1) for label in batch["label"]]}
    with pytest.raises(ValueError, match=r"in row 0 but was .* when fitted"):
        oversampler(wrong, range(4))
    with pytest.raises(ValueError, match=r"missing \['id'\], new \['more'\]"):
        oversampler({**{n: v for n, v in batch.items() if n != "id"}, "more": [0] * 4}, range(4))
    with pytest.raises(ValueError, match="4 rows but 3 indices"):
        oversampler(batch, range(3))
    with pytest.raises(TypeError, match="must be a dict of columns"):
        oversampler(dataset.with_format("arrow")[:4], range(4))
    with pytest.raises(ValueError, match="already has the column"):
        oversampler.balance(dataset).map(oversampler, batched=True, with_indices=True)
    with pytest.raises(ValueError, match="when fitted: this is another data set, or another order"):
        dataset.shuffle(seed=1).map(oversampler, batched=True, with_indices=True)
    for other, message in (
        (dataset.select(range(30)), "it has 30 rows, the fitted one has 32"),
        (
            dataset.rename_column("id", "key"),
            r"differ from the fitted ones in the columns \['id', ",
        ),
        (dataset.cast_column("id", Value("large_string")), r"in the columns \['id'\]"),
        (dataset.shuffle(seed=1), "is not the fitted one"),
    ):
        with pytest.raises(ValueError, match=message):
            oversampler.children(other)
