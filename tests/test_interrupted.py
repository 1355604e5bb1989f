"""Ctrl-C in real processes: nothing half written, and the line that is printed goes on."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import datasets
import pytest

from hf_oversample.commands.guard import DONE, STOPPED
from miso_fixtures import CLASS_NAMES, encoder_folder, make_corpus

PROGRAM = [sys.executable, "-m", "hf_oversample.commands.main"]


def environment() -> dict[str, str]:
    return os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


def interrupted(words: list[str], output: Path, seen: str) -> tuple[int, str]:
    """The status and the stderr of a command that gets what a terminal sends at Ctrl-C, to all of
    its processes, when a file of that pattern is in its output folder."""
    process = subprocess.Popen(
        [*PROGRAM, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
    )
    end = time.monotonic() + 120
    while not list(output.glob(seen)) and process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    assert process.poll() is None, process.communicate()
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    return process.returncode, stderr


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_stopped_training_goes_on_by_the_line_it_prints(processes: int, tmp_path: Path) -> None:
    texts, labels = make_corpus((90, 30), seed=0)
    table = tmp_path / "messages.csv"
    names = [CLASS_NAMES[label] for label in labels]
    datasets.Dataset.from_dict({"message": texts, "kind": names}).to_csv(str(table))
    output = tmp_path / "out"
    words = [
        "balance", str(table), "--text", "message", "--label", "kind", "-o", str(output),
        "--encoder_name", str(encoder_folder()), "--language", "en", "--pretrain_steps", "16",
        "--batch_size", "8", "--max_length", "24", "--save_steps", "4", "--gate", "",
        "--num_processes", str(processes),
    ]  # fmt: skip
    status, said = interrupted(words, output, "checkpoint-*")
    assert status == STOPPED, said
    assert "Traceback" not in said
    assert said.count("stopped: nothing is half written") == 1
    assert not list(output.rglob("*.part*")) + list(output.rglob(".part*"))
    assert not (output / "run.json").exists()
    line = said.split("Go on from the last checkpoint: ")[1].splitlines()[0]
    again = shlex.split(line)
    assert again == ["hf-oversample", *words, "--resume", "last"]
    answer = subprocess.run(
        [*PROGRAM, *again[1:]], capture_output=True, text=True, env=environment(), timeout=240
    )
    assert answer.returncode == DONE, answer.stderr
    balanced = datasets.load_from_disk(str(output / "balanced"))["train"]
    counts = [balanced["kind"].count(code) for code in (0, 1)]
    assert counts == [90, 90]
    assert not list(output.glob("checkpoint-*"))
