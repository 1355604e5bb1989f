"""The page of benchmarks/reembedding.py has the figures of its record."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def benchmark() -> dict:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        return runpy.run_path(str(BENCHMARKS / "reembedding.py"))


def test_the_page_shows_the_record(benchmark: dict) -> None:
    lines = benchmark["read"](BENCHMARKS / "reembedding.jsonl")
    page = (BENCHMARKS / "reembedding.md").read_text(encoding="utf-8")
    assert lines
    assert benchmark["table"](lines) in page


def test_the_last_line_of_an_arm_counts_and_seeds_are_averaged(
    benchmark: dict, tmp_path: Path
) -> None:
    path = tmp_path / "record.jsonl"
    values = [(1, 0.1), (1, 0.5), (2, 0.7)]
    lines = [
        {"task": "sms-1%", "seed": seed, "arm": "plain", "test_at_prior": value}
        for seed, value in values
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    table = benchmark["table"](benchmark["read"](path))
    assert "| plain | 60.0 ± 14.1 |" in table
    assert "| sms-1% (2) |" in table
    assert "| frozen | – |" in table
