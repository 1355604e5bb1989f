"""The pages of benchmarks on re-embedding, n-grams and made texts have their records' figures."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
from scipy import stats

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def of_file(name: str) -> dict:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        return runpy.run_path(str(BENCHMARKS / f"{name}.py"))


@pytest.fixture(scope="module")
def benchmark() -> dict:
    return of_file("reembedding")


@pytest.mark.parametrize("name", ["reembedding", "ngrams"])
def test_the_page_shows_the_record(name: str) -> None:
    own = of_file(name)
    lines = own["read"](BENCHMARKS / f"{name}.jsonl")
    page = (BENCHMARKS / f"{name}.md").read_text(encoding="utf-8")
    assert lines
    assert own["table"](lines) in page


@pytest.mark.parametrize(
    "record", ["reembedding_longer", "reembedding_four_passes", "reembedding_written"]
)
def test_the_page_of_re_embedding_shows_its_further_records(benchmark: dict, record: str) -> None:
    lines = benchmark["read"](BENCHMARKS / f"{record}.jsonl")
    assert lines
    assert benchmark["table"](lines) in (BENCHMARKS / "reembedding.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["writers", "selection", "screen"])
def test_the_page_of_made_texts_shows_the_record(name: str) -> None:
    record = json.loads((BENCHMARKS / f"{name}.json").read_text(encoding="utf-8"))
    page = (BENCHMARKS / "made_texts.md").read_text(encoding="utf-8")
    assert of_file(name)["table"](record) in page


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
    assert "| frozen" not in table  # nothing of it was measured


def test_arms_are_held_against_plain_over_all_tasks(benchmark: dict, tmp_path: Path) -> None:
    lines = [
        {
            "task": task,
            "seed": seed,
            "arm": arm,
            "test_at_prior": value,
            "rows": {"train": [400, 4], "test": [100, 9]},
        }
        for task, shift in (("yelp-1%", 0.1), ("sms-1%", 0.0))
        for seed, noise in ((1, 0.00), (2, 0.02), (3, 0.01))
        for arm, value in (("plain", 0.5 + noise), ("frozen", 0.5 + shift + 2 * noise))
    ]
    row = next(
        line for line in benchmark["table"](lines).splitlines() if line.startswith("| frozen")
    )
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    # mean differences of 11 and 1 points; their spread of 1 point makes the error of the one task
    # 1 / 3 and, as the seeds of the other share rows, of the other 1 / 3 + 1 / 4
    error = (1 / 3 + 1 / 3 + 1 / 4) ** 0.5 / 2
    freedom = (1 / 3 + 7 / 12) ** 2 / ((1 / 3) ** 2 / 2 + (7 / 12) ** 2 / 2)
    half_width = stats.t.ppf(0.975, freedom) * error
    assert cells[3] == f"+6.0 ± {half_width:.1f}"
    assert cells[5] == "no"
