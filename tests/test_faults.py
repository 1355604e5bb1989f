"""Faults at random points: a few of those of `benchmarks/faults.py`, and a disk that is full."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from safetensors.numpy import save_file

from hf_oversample import RandomOversampler
from hf_oversample.commands.errors import known_error
from hf_oversample.commands.output import OutputFolder
from hf_oversample.data.whole_files import put_folder, whole, writing_to
from hf_oversample.oversamplers.sharded.folder import save_array
from project import PROJECT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits and signals of Linux")


def test_restarts_after_faults_end_in_the_same_bytes(tmp_path: Path) -> None:
    command = [sys.executable, "benchmarks/faults.py", "--faults", "24", "--seed", "3"]
    record = tmp_path / "faults.jsonl"
    answer = subprocess.run(
        [*command, "--jobs", "records,files,bayesian_gan", "--record", str(record)],
        capture_output=True,
        text=True,
        cwd=PROJECT,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    told, *counts = map(json.loads, record.read_text().splitlines())
    kinds = [one for one in counts if not one["what"].startswith("job: ")]
    assert sum(one["times"] for one in kinds) == told["faults"] == 24
    assert sum(one["half_written"] + one["lost_or_wrong"] for one in counts) == 0


ROWS = Dataset.from_dict({"text": [np.random.default_rng(i).bytes(40).hex() for i in range(999)]})
ARRAY = np.zeros(50_000, np.float32)
WRITERS: dict[str, Callable[[Path], Any]] = {
    "text": lambda path: path.write_text("x" * 100_000),
    "safetensors": lambda path: save_file({"a": ARRAY}, path),
    "torch": lambda path: torch.save(torch.from_numpy(ARRAY), path),
    "torch, open": lambda path: torch.save(torch.from_numpy(ARRAY), path.open("wb")),
    "arrow": lambda path: ROWS.save_to_disk(path),
    "parquet": lambda path: ROWS.to_parquet(path),
    "jsonl": lambda path: ROWS.to_json(path),
    "numpy": lambda path: np.save(path.open("wb"), ARRAY),
    "array in steps": lambda path: save_array(path, ARRAY),
    "array in steps, the last bytes": lambda path: save_array(path, ARRAY[:4990]),
}


def _writes_too_much(folder: Path, name: str) -> None:
    """In a process of its own, whose files may not be larger than 20 kB."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    output = OutputFolder(folder)
    for place in (output.folder,) if name in ("arrow", "torch") else (output.file, output.folder):
        with pytest.raises(OSError, match="could not be written to") as told, place("made") as path:
            WRITERS[name](path if place == output.file else path / "inner")
        line = known_error(told.value)
        assert line is not None
        assert str(folder) in line
        assert "name another folder" in line
    assert not list(folder.iterdir())


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_what_cannot_be_written_whole_is_not_there_and_told(name: str, tmp_path: Path) -> None:
    arguments = (tmp_path / "out", name)
    process = multiprocessing.get_context("fork").Process(target=_writes_too_much, args=arguments)
    process.start()
    process.join(60)
    assert process.exitcode == 0


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_an_error_of_a_disk_names_the_folder_once(code: int, tmp_path: Path) -> None:
    def write() -> None:
        with writing_to(tmp_path), whole(tmp_path / "inner" / "file"):
            raise OSError(code, os.strerror(code))

    with pytest.raises(OSError, match="Nothing in it is half written") as told:
        write()
    assert told.value.errno == code
    assert str(told.value).count(str(tmp_path)) == 1
    elsewhere = FileNotFoundError(errno.ENOENT, "none", "/elsewhere")
    with pytest.raises(FileNotFoundError), writing_to(tmp_path):
        raise elsewhere
    read = PermissionError(errno.EACCES, "not yours", "/elsewhere/file")
    with pytest.raises(PermissionError, match="/elsewhere/file"), writing_to(tmp_path):
        raise read


def test_a_folder_makes_way_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped before the old one is gone, the new one is there, and the next one takes both on."""
    place = tmp_path / "made"
    for content in ("one", "two", "three"):
        scratch = tmp_path / ".made.part"
        scratch.mkdir()
        (scratch / "file").write_text(content)
        with monkeypatch.context() as patched:
            if content == "two":
                patched.setattr(shutil, "rmtree", lambda *_, **__: None)
            put_folder(scratch, place)
        assert (place / "file").read_text() == content
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_a_save_that_is_stopped_leaves_no_old_configuration_with_new_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = Dataset.from_dict({"text": list("abcdef"), "label": [0, 0, 0, 0, 1, 1]})
    fitted = RandomOversampler(seed=1).fit(rows)
    fitted.save_pretrained(tmp_path / "saved")
    replaced: list[str] = []
    replace = os.replace

    def stops(source: Any, target: Any) -> None:
        if replaced:
            raise KeyboardInterrupt
        replaced.append(str(target))
        replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", stops)
        with pytest.raises(KeyboardInterrupt):
            fitted.save_pretrained(tmp_path / "saved")
    with pytest.raises((OSError, ValueError), match=r"config\.json"):
        RandomOversampler.from_pretrained(tmp_path / "saved")
    fitted.save_pretrained(tmp_path / "saved")
    assert (
        RandomOversampler.from_pretrained(tmp_path / "saved").children(rows)[:]
        == (fitted.children(rows)[:])
    )


def test_what_only_sounds_like_a_failed_write_is_left_as_it_is(tmp_path: Path) -> None:
    error = ValueError("20 rows requested and 3 written: name fewer")
    with pytest.raises(ValueError, match="name fewer") as raised, writing_to(tmp_path):
        raise error
    assert raised.value is error
    with pytest.raises(OSError, match="not written whole"), writing_to(tmp_path):
        raise OSError("50000 requested and 4976 written")  # numpy's own words
