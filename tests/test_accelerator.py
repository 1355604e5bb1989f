"""The configurations of Accelerate that are given, and those that are refused."""

from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser

from hf_oversample.training.accelerator import SPLIT_WEIGHTS, new_accelerator
from project import PROJECT

FILES = sorted((PROJECT / "recipes" / "accelerate").glob("*.yaml"))
KINDS = {"cpu": "MULTI_CPU", "gpu": "NO", "gpus": "MULTI_GPU", "nodes": "MULTI_GPU"}


def test_every_kind_of_machine_has_a_file() -> None:
    assert {file.stem for file in FILES} == set(KINDS)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_accelerate_reads_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config_from_file(str(file))
    assert config.distributed_type.value == KINDS[file.stem]
    words = ["--config_file", str(file), str(PROJECT / "recipes" / "miso.py")]
    arguments, _, _ = _validate_launch_command(launch_command_parser().parse_args(words))
    assert arguments.num_processes == config.num_processes
    assert arguments.num_machines == config.num_machines
    assert arguments.multi_gpu == (config.distributed_type.value == "MULTI_GPU")


@pytest.mark.parametrize("name", SPLIT_WEIGHTS)
def test_split_weights_are_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SPLIT_WEIGHTS[name], "true")
    with pytest.raises(ValueError, match=rf"asks for {name}, .* take --multi_gpu"):
        new_accelerator(None, gradient_accumulation_steps=1, save_steps=0, report_to="")
