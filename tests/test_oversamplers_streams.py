"""The contract's streams: right parents, or a refusal that says why and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, Features, Value
from datasets.distributed import split_dataset_by_node
from torch.utils.data import DataLoader

from hf_oversample.oversamplers import OVERSAMPLERS
from hf_oversample.oversamplers.random import RandomOversampler
from oversampler_checks import Case, case_of, plain, rows_of

ADVICE = r"num_workers.*split_dataset_by_node.*oversampler\.balance\(dataset\)\.to_iterable_dataset"


@pytest.fixture(params=sorted(OVERSAMPLERS))
def case(request: pytest.FixtureRequest) -> Case:
    return case_of(request.param)


def grown(stream: Any, oversampler: Any, dataset: Dataset, batch_size: int = 1000) -> Any:
    return stream.map(
        oversampler,
        batched=True,
        with_indices=True,
        batch_size=batch_size,
        features=oversampler.output_features(dataset.features),
    )


def same_rows(rows: Iterable[Any], dataset: Dataset, oversampler: Any) -> bool:
    expected = rows_of(dataset.map(oversampler, batched=True, with_indices=True))
    return sorted(map(str, rows)) == sorted(map(str, expected))


def test_several_workers_are_refused_and_one_is_right(case: Case) -> None:
    dataset, oversampler = plain(case)
    stream = grown(dataset.to_iterable_dataset(num_shards=2), oversampler, dataset)
    with pytest.raises(ValueError, match=rf"(?s)DataLoader worker \d of 2.*{ADVICE}"):
        list(DataLoader(stream, batch_size=None, num_workers=2))
    for workers in (0, 1):
        rows = DataLoader(stream, batch_size=None, num_workers=workers)
        assert same_rows(rows, dataset, oversampler)
    # what the advice says
    balanced = oversampler.balance(dataset).to_iterable_dataset(num_shards=2)
    rows = [dict(row) for row in DataLoader(balanced, batch_size=None, num_workers=2)]
    assert same_rows(rows, dataset, oversampler)


def test_nodes_and_reordered_streams(case: Case) -> None:
    dataset, oversampler = plain(case)
    stream = dataset.to_iterable_dataset(num_shards=2)
    for part in (
        split_dataset_by_node(grown(stream, oversampler, dataset), rank=1, world_size=2),
        grown(split_dataset_by_node(stream, rank=1, world_size=2), oversampler, dataset),
        grown(stream.shuffle(seed=1, buffer_size=9), oversampler, dataset),
        grown(stream.skip(3), oversampler, dataset),
        grown(stream.shard(2, 1), oversampler, dataset),
    ):
        with pytest.raises(ValueError, match=ADVICE):
            list(part)
    # of one shard, each node makes all rows and keeps its own: these are right
    one = grown(dataset.to_iterable_dataset(), oversampler, dataset)
    nodes = [rows_of(split_dataset_by_node(one, rank=rank, world_size=2)) for rank in range(2)]
    assert same_rows([*nodes[0], *nodes[1]], dataset, oversampler)


def test_accelerate_deals_out_right_rows(case: Case) -> None:
    from accelerate import Accelerator
    from accelerate.utils import DataLoaderConfiguration

    dataset, oversampler = plain(case)
    stream = grown(dataset.to_iterable_dataset(num_shards=2), oversampler, dataset)
    numbers = stream.select_columns(["label", "origin", "parent"]).with_format("torch")
    expected = dataset.map(oversampler, batched=True, with_indices=True)
    accelerator = Accelerator(
        cpu=True, dataloader_config=DataLoaderConfiguration(dispatch_batches=True)
    )
    loader = accelerator.prepare(DataLoader(numbers, batch_size=4))
    assert [int(one) for batch in loader for one in batch["parent"]] == expected["parent"][:]


def test_rows_without_a_text_column_are_known_by_all_their_columns() -> None:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["a", "b"])})
    rows = {"text": [f"t{i}" for i in range(20)], "label": [0, 0, 0, 0, 1] * 4}
    dataset = Dataset.from_dict(rows, features=features)
    oversampler = RandomOversampler().fit(dataset)
    # both shards have the same labels, so that labels alone do not tell the rows apart
    stream = grown(dataset.to_iterable_dataset(num_shards=2), oversampler, dataset)
    with pytest.raises(ValueError, match=rf"(?s)'text, label' in row 0 .*worker 1 of 2.*{ADVICE}"):
        list(DataLoader(stream, batch_size=None, num_workers=2))
    second = split_dataset_by_node(stream, rank=1, world_size=2)
    with pytest.raises(ValueError, match=ADVICE):
        list(second)


def test_equal_rows_have_no_known_parent_in_a_worker() -> None:
    dataset = Dataset.from_dict({"label": [0, 0, 0, 1] * 2})
    oversampler = RandomOversampler().fit(dataset)
    stream = grown(dataset.to_iterable_dataset(num_shards=2), oversampler, dataset)
    with pytest.raises(ValueError, match=r"(?s)row 0 has the content of other rows.*num_workers=0"):
        list(DataLoader(stream, batch_size=None, num_workers=2))
    assert len(list(DataLoader(stream, batch_size=None, num_workers=1))) == 12


@pytest.mark.parametrize("kind", [None, "numpy", "torch"])
def test_keys_are_the_same_in_every_format(kind: str | None) -> None:
    dataset = Dataset.from_dict(
        {
            "label": [0, 0, 0, 1],
            "number": [1, -2, 2**62, 4],
            "share": [0.1, 1e300, float("nan"), -0.5],
            "flag": [True, False, True, True],
            "vector": [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6], [0.7, 0.8]],
            "text": ["a", "b", "", "d"],
            "missing": [None, "x", None, "y"],
        }
    )
    oversampler = RandomOversampler().fit(dataset)
    assert len(set(oversampler.row_keys_.tolist())) == 4
    batch = dataset.with_format(kind)[:]
    assert len(oversampler(batch, range(4))["label"]) == 6
    formatted = dataset.with_format(kind).map(oversampler, batched=True, with_indices=True)
    assert len(formatted) == 6
    with pytest.raises(ValueError, match="is not what it was when fitted"):
        oversampler({**batch, "text": ["a", "b", "z", "d"]}, range(4))
