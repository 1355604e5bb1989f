"""Several processes beside GPUs, on a machine that has none: torch is told that there are two.

What is faked is torch's word on devices, and where a model is moved to, which is noted.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import multiprocess
import pytest
import torch
from datasets import Dataset
from datasets.fingerprint import generate_random_fingerprint

from hf_oversample.numeric import workers
from hf_oversample.numeric.workers import device_of_process, processes_that_can_use_gpus
from hf_oversample.oversamplers.miso.latent_decoder import LatentDecoder
from hf_oversample.oversamplers.smote import SmoteOversampler
from hf_oversample.transforms.embed import TextEmbedder
from miso_fixtures import MAX_LENGTH, contract_generator_folder, encoder_folder
from oversampler_checks import COUNTS, make_dataset, make_miso, rows_of


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Two GPUs that are not there; a folder with a file for each process that moved a model, and
    the devices in it."""
    contract_generator_folder()  # trained before, on what there is
    encoder_folder()
    folder = tmp_path / "moves"
    folder.mkdir()
    move = torch.nn.Module.to

    def noted(self: Any, *args: Any, **kwargs: Any) -> Any:
        if args and str(args[0]).startswith("cuda"):
            with (folder / str(os.getpid())).open("a") as file:
                file.write(f"{args[0]}\n")
            return self
        return move(self, *args, **kwargs)

    monkeypatch.setattr(torch.nn.Module, "to", noted)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (7, 0))
    return folder


def devices(folder: Path) -> dict[int, set[str]]:
    """Process → the GPUs that models were moved to in it."""
    return {int(path.name): set(path.read_text().split()) for path in folder.iterdir()}


def test_a_process_has_the_gpu_of_its_number(
    two_gpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert device_of_process() == "cuda:0"
    assert [device_of_process(rank) for rank in range(4)] == ["cuda:0", "cuda:1"] * 2
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert device_of_process() == "cuda:1"
    with multiprocess.get_context("fork").Pool(2) as pool:
        pool.map(lambda _: None, range(2))
        found = set(pool.map(lambda _: device_of_process(), range(20), chunksize=1))
    assert found <= {"cuda:0", "cuda:1"}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of_process(1) == "cpu"


def test_miso_writes_on_the_gpu_of_each_process(two_gpus: Path) -> None:
    dataset = make_dataset(COUNTS)
    oversampler = make_miso(seed=3).fit(dataset, text_column="text")
    assert devices(two_gpus) == {os.getpid(): {"cuda:0"}}  # fitted here
    expected = rows_of(oversampler.children(dataset))
    made = rows_of(oversampler.children(dataset, num_proc=2))
    mapped = dataset.map(
        oversampler,
        batched=True,
        with_indices=True,
        num_proc=2,
        new_fingerprint=generate_random_fingerprint(),
    )
    assert made == expected == [row for row in rows_of(mapped) if row["origin"]]
    others = {pid: found for pid, found in devices(two_gpus).items() if pid != os.getpid()}
    assert len(others) == 4  # two pools of two processes
    assert sorted(min(found) for found in others.values()) == [
        "cuda:0",
        "cuda:0",
        "cuda:1",
        "cuda:1",
    ]
    assert all(len(found) == 1 for found in others.values())


def test_latents_are_decoded_and_texts_embedded_on_the_gpu_of_each_process(two_gpus: Path) -> None:
    folder = contract_generator_folder()
    embedder = TextEmbedder(folder, pooling="latent", max_length=MAX_LENGTH)
    rows = make_dataset(COUNTS).remove_columns("embedding")
    latents = embedder.embed_dataset(rows, num_proc=2)
    in_children = [found for pid, found in devices(two_gpus).items() if pid != os.getpid()]
    assert sorted(map(min, in_children)) == ["cuda:0", "cuda:1"]
    balanced = SmoteOversampler().balance(latents)
    before = {*devices(two_gpus), os.getpid()}
    LatentDecoder(str(folder), gate=(), max_length=MAX_LENGTH, max_tries=1).decode(
        balanced, num_proc=2
    )
    new = [found for pid, found in devices(two_gpus).items() if pid not in before]
    assert sorted(map(min, new)) == ["cuda:0", "cuda:1"]


def test_processes_are_spawned_where_a_gpu_is_in_use(
    two_gpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str | None] = []

    def noted(self: Dataset, *_: Any, **__: Any) -> Any:
        seen.append(multiprocess.get_start_method(allow_none=True))
        raise InterruptedError

    dataset = make_dataset(COUNTS)
    oversampler = make_miso(seed=3).fit(dataset, text_column="text")
    embedder = TextEmbedder(encoder_folder(), text_column="text", embedding_column="other")
    before = multiprocess.get_start_method(allow_none=True)
    monkeypatch.setattr(Dataset, "map", noted)
    for in_use in (False, True):
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda in_use=in_use: in_use)
        for call in (oversampler.children, embedder.embed_dataset, oversampler.balance):
            for num_proc in (None, 2):
                with pytest.raises(InterruptedError):
                    call(dataset, num_proc=num_proc)
                spawned = in_use and num_proc == 2
                assert seen.pop() == ("spawn" if spawned else before)
                assert multiprocess.get_start_method(allow_none=True) == before


def test_a_spawned_process_starts_afresh() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_initialized", lambda: True)
        with processes_that_can_use_gpus(2), multiprocess.Pool(1) as pool:
            assert pool.apply(_is_fresh)


def _is_fresh() -> bool:
    return not workers._FORKED


def test_a_fork_from_a_process_with_a_gpu_is_told(
    two_gpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)

    def found(_: Any) -> str:
        try:
            return device_of_process()
        except RuntimeError as error:
            return str(error)

    with multiprocess.get_context("fork").Pool(1) as pool:
        said = pool.map(found, [0])[0]
    assert "forked from one that had used a GPU" in said
    assert "balance(dataset, num_proc=...)" in said
    assert device_of_process() == "cuda:0"  # the parent itself goes on
