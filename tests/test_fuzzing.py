"""The fuzzer finds what is planted, and a short run of each of its targets finds nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzzing.contract import Fault, named
from fuzzing.engine import execute, fuzz
from fuzzing.targets import TARGETS, target_named

# How many inputs besides the first ones: seconds in all. `scripts/fuzz.py` runs for minutes.
SHORT = {
    "readers": 40,
    "made": 20,
    "strategies": 30,
    "records": 40,
    "checkpoints": 10,
    "configurations": 10,
    "saved": 12,
}


@pytest.mark.parametrize("name", sorted(SHORT))
def test_bad_input_is_read_rightly_or_refused_by_name(name: str) -> None:
    target = target_named(name)
    found = fuzz(target.run, target.seeds(), seed=0, executions=SHORT[name])
    assert not found.faults
    assert found.executions >= SHORT[name]
    assert found.lines


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(TARGETS) - set(SHORT)))
def test_bad_files_of_models_are_refused_by_name(name: str) -> None:
    target = target_named(name)
    assert not fuzz(target.run, target.seeds(), seed=0, executions=20).faults


def test_what_is_planted_is_found_and_made_short() -> None:
    def run(data: bytes, folder: Path) -> None:
        if b"{" in data and b"null" in data:
            raise KeyError("planted")

    found = fuzz(run, [b'["a", 1]'], seed=0, executions=2000)
    [(text, shortest)] = found.faults.values()
    assert text.startswith("KeyError at test_fuzzing.py")
    assert sorted(shortest) == sorted(b"{null")


def test_what_breaks_the_contract() -> None:
    def refused(error: Exception) -> None:
        def fail() -> None:
            raise error

        assert named(fail, names=("rows.csv",)) is None

    refused(ValueError("rows.csv, line 3: no"))
    refused(FileNotFoundError("rows.csv"))
    for error in (
        ValueError("bad"),
        KeyError("rows.csv"),
        UnicodeDecodeError("utf-8", b"rows.csv", 0, 1, "rows.csv"),
        RecursionError("rows.csv"),
        MemoryError("rows.csv"),
    ):
        with pytest.raises(Fault):
            refused(error)

    def outside(data: bytes, folder: Path) -> None:
        (folder.parent / "x").write_text("x")

    assert "wrote outside: ['x']" in str(execute(outside, b""))
