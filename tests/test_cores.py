"""Cores that a process may use, and how its threads wait."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hf_oversample.commands.cores import free_cores

BOUND = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("max 100000", BOUND), ("50000 100000", 1), ("100000 100000", 1), ("9900000 100000", BOUND)],
)
def test_a_control_group_of_version_2_limits_the_cores(
    tmp_path: Path, quota: str, cores: int
) -> None:
    (tmp_path / "cpu.max").write_text(quota + "\n")
    assert free_cores(tmp_path) == cores


@pytest.mark.parametrize(("quota", "cores"), [("-1", BOUND), ("20000", 1), ("9900000", BOUND)])
def test_a_control_group_of_version_1_limits_the_cores(
    tmp_path: Path, quota: str, cores: int
) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert free_cores(tmp_path) == cores


def test_without_control_groups_all_bound_cores_are_free(tmp_path: Path) -> None:
    assert free_cores(tmp_path) == BOUND


THREADS = """
import sys
from hf_oversample.commands import cores, main  # what a command has loaded by then
assert "torch" not in sys.modules  # it reads the policy when it is loaded
print(cores.use_free_cores())
"""


@pytest.mark.parametrize(("given", "policy"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_of_a_command_sleep_unless_the_user_says_otherwise(
    given: str | None, policy: str
) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    if given is not None:
        environment["OMP_WAIT_POLICY"] = given
    # what OpenMP itself says that it does
    environment["OMP_DISPLAY_ENV"] = "TRUE"
    said = subprocess.run(
        [sys.executable, "-c", THREADS], env=environment, capture_output=True, text=True
    )
    assert said.returncode == 0, said.stderr
    assert f"OMP_WAIT_POLICY = '{policy}'" in said.stderr
    assert said.stdout.strip() == str(free_cores())
