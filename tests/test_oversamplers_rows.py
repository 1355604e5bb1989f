"""The contract's rows: the same however they are asked for, in exact counts, by the seed alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset
from datasets.fingerprint import generate_random_fingerprint
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from hf_oversample.oversamplers import OVERSAMPLERS
from hf_oversample.oversamplers.base import Oversampler
from oversampler_checks import (
    COUNTS,
    FORMATS,
    WIDTH,
    Case,
    case_of,
    check_format_kept,
    check_output,
    check_saved_equal,
    check_set_params,
    make_dataset,
    map_rows,
    plain,
    rows_of,
)


@pytest.fixture(params=sorted(OVERSAMPLERS))
def case(request: pytest.FixtureRequest) -> Case:
    return case_of(request.param)


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


def test_data_sets_of_several_default_batches(case: Case) -> None:
    dataset = make_dataset((1004, 1001))
    oversampler = case.fitted(dataset)
    expected = map_rows(dataset, oversampler)
    assert len(expected) == 2 * 1004
    for options in ({"batch_size": -1}, {"batch_size": 1000, "num_proc": 2}):
        options["new_fingerprint"] = generate_random_fingerprint()
        assert map_rows(dataset, oversampler, **options) == expected, options


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


@pytest.mark.parametrize("form", FORMATS)
def test_formats_are_kept(case: Case, form: str) -> None:
    check_format_kept(case, FORMATS[form])


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


# ---- counts and seeds ---------------------------------------------------------------------------


@settings(
    deadline=None,
    max_examples=25,
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


def test_set_params(case: Case) -> None:
    check_set_params(case, make_dataset(COUNTS))


def test_seed(case: Case) -> None:
    dataset = make_dataset(COUNTS)
    first, again, other = (
        rows_of(case.fitted(dataset, seed=seed).children(dataset)) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
