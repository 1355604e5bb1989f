"""Class-balanced draws: exact shares, one global order, and resumed where they stopped."""

from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.data_loader import (
    BatchSamplerShard,
    prepare_data_loader,
    skip_first_batches,
)
from datasets import Dataset
from torch.utils.data import BatchSampler, DataLoader
from transformers import Trainer

from hf_oversample.training.minority_trainer import MinoritySamplingMixin, MinorityTrainer
from hf_oversample.training.samplers import MinoritySampler, MinorityStream, class_shares
from trainer_fixtures import arguments, new_model, rows_of, trained
from two_processes import run_two_processes

IDS = [0] * 14 + [1] * 5 + [2]


def numbered(labels: list[int] = IDS) -> Dataset:
    """Rows whose first word is their number."""
    rows = rows_of(labels)
    words = np.asarray(rows["input_ids"][:])
    words[:, 0] = np.arange(len(labels))
    return rows.remove_columns("input_ids").add_column("input_ids", words.tolist())


class Noting(MinorityTrainer):
    """Notes the rows of every step that is trained."""

    noted: list[list[int]]

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        self.noted = getattr(self, "noted", [])
        self.noted.append(inputs["input_ids"][:, 0].tolist())
        return super().training_step(model, inputs, num_items_in_batch)


def run(folder: Path, train: Any = None, **options: Any) -> tuple[list[list[int]], Any]:
    """Two epochs of 5 steps of 4 rows; the rows of each step, and the trained weights."""
    rows = numbered() if train is None else train
    sampler = options.pop("sampler", MinoritySampler(numbered(), start_epoch=1, seed=3))
    settings = {"per_device_train_batch_size": 4, "max_steps": -1, "num_train_epochs": 2}
    settings |= {"learning_rate": 0.1}
    given = {"train_sampler": sampler}
    made = trained(rows, folder, trainer=Noting, given=given, **settings | options)
    return made.noted, torch.cat([p.detach().flatten() for p in made.model.parameters()])


class TestShares:
    def test_by_name_and_by_power(self) -> None:
        counts = np.array([16, 4])
        np.testing.assert_allclose(class_shares(counts, "balanced"), [0.5, 0.5])
        np.testing.assert_allclose(class_shares(counts, "square_root"), [2 / 3, 1 / 3])
        np.testing.assert_allclose(class_shares(counts, "rows"), [0.8, 0.2])
        np.testing.assert_allclose(class_shares(counts, 0.5), class_shares(counts, "square_root"))

    def test_unknown_ones(self) -> None:
        with pytest.raises(ValueError, match="no sampling 'sqrt'"):
            class_shares(np.array([1, 2]), "sqrt")
        with pytest.raises(ValueError, match="from 0 to 1"):
            class_shares(np.array([1, 2]), 2)


class TestSampler:
    def test_classes_and_rows_come_as_often_as_they_should(self) -> None:
        sampler = MinoritySampler(numbered(), num_samples=60)
        drawn = Counter(sampler)
        classes = Counter(IDS[row] for row in sampler)
        assert classes == {0: 20, 1: 20, 2: 20}
        assert {drawn[row] for row in range(14)} == {1, 2}
        assert {drawn[row] for row in range(14, 19)} == {4}
        assert drawn[19] == 20

    def test_square_root(self) -> None:
        sampler = MinoritySampler(
            rows_of([0] * 16 + [1] * 4, names=["a", "b"]), "square_root", num_samples=30
        )
        assert Counter(row < 16 for row in sampler) == {True: 20, False: 10}

    def test_a_class_of_less_than_a_row_an_epoch_comes_in_some(self) -> None:
        sampler = MinoritySampler(rows_of(IDS), "rows", num_samples=4)
        seen = sum(19 in sampler.rows(epoch) for epoch in range(400))
        assert 40 < seen < 130  # 80 expected, by draws that the seed fixes

    def test_each_epoch_is_another_and_always_the_same(self) -> None:
        sampler = MinoritySampler(numbered(), seed=1)
        first = list(sampler)
        assert list(sampler) == first
        sampler.set_epoch(1)
        assert list(sampler) != first
        assert list(pickle.loads(pickle.dumps(sampler))) == list(sampler)
        assert MinoritySampler(numbered(), seed=2).rows(0).tolist() != first

    def test_deferred(self) -> None:
        sampler = MinoritySampler(numbered(), start_epoch=2)
        assert sorted(sampler.rows(1)) == list(range(20))
        assert Counter(IDS[row] for row in sampler.rows(2))[2] >= 6

    @pytest.mark.parametrize("processes", [2, 4])
    def test_processes_together_draw_what_one_does(self, processes: int) -> None:
        sampler = MinoritySampler(numbered(), num_samples=32)
        parts = [
            list(BatchSamplerShard(BatchSampler(sampler, 4, False), processes, process))
            for process in range(processes)
        ]
        together = [row for step in zip(*parts, strict=True) for batch in step for row in batch]
        assert together == list(sampler)

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"label_column": "class"}, "no column 'class'"),
            ({"num_samples": 0}, "num_samples=0"),
            ({"start_epoch": -1}, "start_epoch=-1"),
        ],
    )
    def test_bad_arguments(self, options: dict[str, Any], told: str) -> None:
        with pytest.raises(ValueError, match=told):
            MinoritySampler(numbered(), **options)

    def test_a_class_that_a_shard_lacks_is_named(self) -> None:
        with pytest.raises(ValueError, match=r"'scam' \(2\) has no row"):
            MinoritySampler(numbered().select(range(19)))


class TestStream:
    def test_classes_come_as_often_as_they_should(self) -> None:
        rows = rows_of([0] * 960 + [1] * 40, names=["a", "b"]).to_iterable_dataset()
        stream = MinorityStream(rows, [960, 40], buffer_size=50)
        found = Counter(row["label"] for row in stream)
        assert found == {0: 500, 1: 500}
        assert len(stream) == 1000

    def test_it_is_shuffled_and_a_function_of_seed_and_epoch(self) -> None:
        stream = MinorityStream(numbered(), [14, 5, 1], buffer_size=8, start_epoch=1)
        first = [row["input_ids"][0] for row in stream]
        assert sorted(first) == list(range(20))
        assert first != list(range(20))
        assert [row["input_ids"][0] for row in stream] == first
        stream.set_epoch(1)
        assert Counter(row["label"] for row in stream)[2] in (6, 7)

    def test_it_tells_its_source_the_epoch(self) -> None:
        source = numbered().to_iterable_dataset().shuffle(seed=0, buffer_size=20)
        stream = MinorityStream(source, [14, 5, 1], "rows", buffer_size=1)
        first = [row["input_ids"][0] for row in stream]
        stream.set_epoch(1)
        assert [row["input_ids"][0] for row in stream] != first

    def test_bad_rows(self) -> None:
        with pytest.raises(ValueError, match="row 0 of the stream has no 'class'"):
            list(MinorityStream(numbered(), [14, 5, 1], label_column="class"))
        with pytest.raises(ValueError, match="'label' is 2 in row 19"):
            list(MinorityStream(numbered(), [14, 5]))
        with pytest.raises(ValueError, match=r"had \[14, 5, 1\] rows .* counts=\[9, 9, 9\]"):
            list(MinorityStream(numbered(), [9, 9, 9]))
        with pytest.raises(ValueError, match="one of 2 workers"):
            list(DataLoader(MinorityStream(numbered(), [14, 5, 1]), None, num_workers=2))
        with pytest.raises(ValueError, match="class '1'"):
            MinorityStream(numbered(), [14, 0])
        with pytest.raises(ValueError, match="buffer_size=0"):
            MinorityStream(numbered(), [14, 5, 1], buffer_size=0)


def stream() -> MinorityStream:
    return MinorityStream(numbered().to_iterable_dataset(), [14, 5, 1], buffer_size=8, seed=3)


OF_STREAM = {"sampler": None}


class TestInTheTrainer:
    def test_it_draws_what_the_sampler_says(self, tmp_path: Path) -> None:
        noted, _ = run(tmp_path)
        sampler = MinoritySampler(numbered(), start_epoch=1, seed=3)
        flat = [row for rows in noted for row in rows]
        assert flat == [*sampler.rows(0), *sampler.rows(1)]

    @pytest.mark.parametrize("kind", ["rows", "stream"])
    def test_resumed_in_the_middle_of_an_epoch(self, kind: str, tmp_path: Path) -> None:
        options = OF_STREAM if kind == "stream" else {}
        saving = {"save_strategy": "steps", "save_steps": 7}
        make = stream if kind == "stream" else numbered
        whole, weights = run(tmp_path, make(), **saving, **options)
        assert len(whole) == 10
        resumed, again = run(
            tmp_path / "again", make(), resume=str(tmp_path / "checkpoint-7"), **options
        )
        assert resumed == whole[7:]
        torch.testing.assert_close(again, weights)

    def test_a_resumed_process_of_several_learns_the_epoch(self, tmp_path: Path) -> None:
        """Its loader's own call stops at Accelerate's wrappings: without the callback it would
        draw the first epoch again."""
        sampler = MinoritySampler(numbered())
        trainer = MinorityTrainer(
            new_model(), arguments(tmp_path), train_dataset=numbered(), train_sampler=sampler
        )
        whole = prepare_data_loader(
            DataLoader(numbered(), batch_size=2, sampler=sampler), None, 2, 0, put_on_device=False
        )
        resumed = skip_first_batches(whole, 1)
        trainer.state.epoch = 3.4
        trainer.callback_handler.on_epoch_begin(trainer.args, trainer.state, trainer.control)
        resumed.set_epoch(3)
        assert sampler.epoch == 3

    def test_a_mixin_for_any_trainer(self, tmp_path: Path) -> None:
        class Own(Trainer):
            pass

        class Mixed(MinoritySamplingMixin, Own):
            pass

        made = trained(numbered(), tmp_path, trainer=Mixed, per_device_train_batch_size=4)
        assert made.train_sampler is None
        assert made.state.global_step == 1

    def test_errors(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="20 rows, and its sampler was made of 19"):
            run(tmp_path, sampler=MinoritySampler(numbered([0] * 12 + [1] * 4 + [2] * 3)))
        with pytest.raises(ValueError, match="MinorityStream"):
            run(tmp_path, numbered().to_iterable_dataset(), max_steps=2)
        with pytest.raises(ValueError, match="train_sampling_strategy='sequential'"):
            run(tmp_path, train_sampling_strategy="sequential")


TWO_PROCESSES = """
import sys
from pathlib import Path
import torch
from test_samplers import OF_STREAM, numbered, run, stream
folder, phase = Path(sys.argv[1]), sys.argv[2]
rank = int(__import__("os").environ["RANK"])
found = {}
for kind in ("rows", "stream", "stream, not dispatched"):
    options = {"per_device_train_batch_size": 2}
    if kind != "rows":
        options |= OF_STREAM
    if "not" in kind:
        options["accelerator_config"] = {"dispatch_batches": False}
    make = numbered if kind == "rows" else stream
    own = folder / kind
    whole, _ = run(own, make(), save_strategy="steps", save_steps=7, **options)
    resumed, _ = run(folder / "again", make(), resume=str(own / "checkpoint-7"), **options)
    found[kind] = torch.tensor(whole)
    found[f"{kind}, resumed"] = torch.tensor(resumed)
torch.save(found, folder / f"{phase}-{rank}.pt")
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_share_one_draw_and_resume_it(tmp_path: Path) -> None:
    script = tmp_path / "samplers.py"
    script.write_text(TWO_PROCESSES)
    found = run_two_processes(script, tmp_path, "rows")
    alone, _ = run(tmp_path / "alone")
    streamed, _ = run(tmp_path / "streamed", stream(), **OF_STREAM)
    for kind in ("rows", "stream", "stream, not dispatched"):
        expected = alone if kind == "rows" else streamed
        both = torch.cat([part[kind] for part in found], dim=1).tolist()
        assert both == expected, kind
        for part in found:
            assert torch.equal(part[f"{kind}, resumed"], part[kind][7:]), kind


def test_the_small_model_reads_the_rows_numbers() -> None:
    assert new_model().config.vocab_size > len(IDS)
