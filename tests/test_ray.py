"""Balancing on Ray: the same bytes as in one process, whatever the workers, and when they die."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from datasets import Dataset

from hf_oversample import AdasynOversampler, SmoteOversampler, TextEmbedder
from hf_oversample.commands.errors import known_error
from hf_oversample.oversamplers.sharded import balance_files
from hf_oversample.oversamplers.sharded.tasks import Task
from miso_fixtures import MAX_LENGTH, encoder_folder, make_corpus
from test_sharded import METHODS, bad, content, read, rows_of, write

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A cluster of this machine alone: two workers."""
    pytest.importorskip("ray.data")
    patched = pytest.MonkeyPatch()
    # Ray's workers are nice, and starve beside other work of a small machine.
    patched.setenv("RAY_worker_niceness", "0")
    patched.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # of these tests' own tasks
    context = ray.init(num_cpus=2, include_dashboard=False, object_store_memory=80 * 2**20)
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield context.address_info["address"]
    ray.shutdown()
    patched.undo()


@dataclass(frozen=True)
class DiesOnce:
    """A task whose process is killed, at some moment of its first run."""

    task: Task

    @property
    def output(self) -> Path:
        return self.task.output

    @property
    def died(self) -> Path:
        return self.output.with_suffix(".died")

    def run(self, device: str = "cpu") -> None:
        if self.died.exists():
            self.task.run(device)
            return
        self.died.parent.mkdir(parents=True, exist_ok=True)
        self.died.touch()
        killer = threading.Timer(random.uniform(0, 0.03), os.kill, (os.getpid(), signal.SIGKILL))
        killer.start()
        self.task.run(device)
        killer.join()


@pytest.mark.parametrize("number", [2, 5])
def test_workers_make_the_rows_of_the_oversampler_in_memory(
    cluster: str, number: int, tmp_path: Path
) -> None:
    import hf_oversample.ray as on_ray

    rows, method = rows_of(), METHODS[number]
    source = write(rows, tmp_path / "rows")
    balanced = on_ray.balance(source, method, tmp_path / "many", block_rows=60)
    made = sorted((tmp_path / "many" / "children").iterdir())
    children = method.fit(rows).children(rows)
    assert read(made, tmp_path / "cache")[:] == children[:]
    expected = method.balance(rows)
    found = balanced.take_batch(len(expected) + 1, batch_format="pyarrow").to_pylist()
    assert sorted(found, key=str) == sorted(expected.to_list(), key=str)

    on_ray.balance(source, method, tmp_path / "one", block_rows=60, workers=1)
    assert content(made) == content(sorted((tmp_path / "one" / "children").iterdir()))


def test_killed_workers_leave_the_same_bytes(cluster: str, tmp_path: Path) -> None:
    import hf_oversample.ray as on_ray

    source, method = write(rows_of(), tmp_path / "rows"), AdasynOversampler(seed=3)
    expected = content(balance_files(source, method, tmp_path / "whole", block_rows=60))
    deaths = 0

    def run(tasks: Sequence[Task]) -> None:
        nonlocal deaths
        dying = [DiesOnce(task) if number == 1 else task for number, task in enumerate(tasks)]
        on_ray.RayTasks()(dying)
        for task in dying:
            if isinstance(task, DiesOnce):
                deaths += task.died.exists()
                task.died.unlink()

    files = balance_files(source, method, tmp_path / "out", block_rows=60, executor=run)
    assert deaths > 4
    assert content(files) == expected


DRIVER = """
import sys, ray
ray.init(address=sys.argv[1])
import hf_oversample.ray
from test_sharded import METHODS
hf_oversample.ray.balance(sys.argv[2], METHODS[6], sys.argv[3], block_rows=60)
"""


def test_a_killed_driver_goes_on_to_the_same_bytes(cluster: str, tmp_path: Path) -> None:
    source, out = write(rows_of(), tmp_path / "rows"), tmp_path / "out"
    expected = content(balance_files(source, METHODS[6], tmp_path / "whole", block_rows=60))
    command = [sys.executable, "-c", DRIVER, cluster, str(source), str(out)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    for step in ("counts", "search"):
        driver = subprocess.Popen(command, env=environment)
        while driver.poll() is None and not any((out / "steps").glob(f"{step}/**/*.*")):
            time.sleep(0.02)
        time.sleep(random.uniform(0, 0.3))
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        assert not (out / "children").exists()
    subprocess.run(command, env=environment, check=True)
    assert content(sorted((out / "children").iterdir())) == expected


def test_a_bad_row_is_named_and_a_ray_data_set_is_refused(cluster: str, tmp_path: Path) -> None:
    import hf_oversample.ray as on_ray

    rows = bad(rows_of(), 201, embedding=[0.0, float("nan"), 1.0])
    source = write(rows, tmp_path / "rows")
    with pytest.raises(ValueError, match="'embedding' is nan in row 201, position 1"):
        on_ray.balance(source, SmoteOversampler(), tmp_path / "out", block_rows=60)
    with pytest.raises(TypeError, match=r"write them with dataset.write_parquet"):
        on_ray.balance(ray.data.range(3), SmoteOversampler(), tmp_path / "out")


@dataclass(frozen=True)
class FullDisk:
    """A task that finds no room."""

    task: Task

    @property
    def output(self) -> Path:
        return self.task.output

    def run(self, device: str = "cpu") -> None:
        raise OSError(28, "there is no room left on the disk")


def test_a_full_disk_of_a_worker_is_the_drivers_error(cluster: str, tmp_path: Path) -> None:
    import hf_oversample.ray as on_ray

    def run(tasks: Sequence[Task]) -> None:
        on_ray.RayTasks()([FullDisk(task) for task in tasks])

    source = write(rows_of(), tmp_path / "rows")
    with pytest.raises(OSError, match=r"\[Errno 28\] there is no room") as told:
        balance_files(source, SmoteOversampler(), tmp_path / "out", block_rows=60, executor=run)
    assert known_error(told.value) == str(told.value)


def test_embeddings_by_actors_are_those_of_the_embedder(cluster: str, tmp_path: Path) -> None:
    import hf_oversample.ray as on_ray

    texts, labels = make_corpus((20, 10))
    rows = Dataset.from_dict({"text": texts, "label": labels})
    embedder = TextEmbedder(encoder_folder(), max_length=MAX_LENGTH)
    source = write(rows, tmp_path / "rows", files=3)
    files = on_ray.embed_files(source, embedder, tmp_path / "out", workers=2, block_rows=7)
    expected = embedder.embed_dataset(rows)
    embedded = read(files, tmp_path / "cache")
    assert embedded.features == expected.features
    assert embedded[:] == expected[:]

    again = on_ray.embed_files(source, embedder, tmp_path / "out", workers=2, block_rows=7)
    assert again == files
    other = TextEmbedder(encoder_folder(), max_length=MAX_LENGTH, pooling="cls")
    with pytest.raises(ValueError, match="pooling was 'mean' and is now 'cls'"):
        on_ray.embed_files(source, other, tmp_path / "out", workers=2, block_rows=7)
    empty = write(Dataset.from_dict({"text": [*texts, " "]}), tmp_path / "empty")
    with pytest.raises(ValueError, match="column 'text' is empty in row 30"):
        on_ray.embed_files(empty, embedder, tmp_path / "none", workers=1)
