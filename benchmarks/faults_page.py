"""What came of faults: counts, and the tables and the page that tell them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faults_injection import HUNG, NAMED, STOPPED, UNNAMED, WENT_ON

if TYPE_CHECKING:
    from faults import Trials

KILLED = "killed"
ENDS = {
    STOPPED: "Ctrl-C",
    WENT_ON: "went on",
    NAMED: "named error",
    UNNAMED: "other error",
    HUNG: "hung",
}


@dataclass
class Count:
    """What came of the faults of one kind, or of one job."""

    times: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    half: int = 0
    wrong: int = 0


def table(first: str, counts: dict[str, Count]) -> list[str]:
    """Of a page."""
    columns = [first, "times", KILLED, *ENDS.values(), "half written", "lost or wrong rows"]
    lines = [f"| {' | '.join(columns)} |", f"|---|{'---:|' * (len(columns) - 1)}"]
    total = Count()
    for name, count in counts.items():
        lines.append(_line(name, count))
        total.times, total.ends = total.times + count.times, total.ends + count.ends
        total.half, total.wrong = total.half + count.half, total.wrong + count.wrong
    return [*lines, _line("**all**", total)]


def _line(name: str, count: Count) -> str:
    ends = [count.ends[end] for end in (KILLED, *ENDS.values())]
    values = [count.times, *ends, count.half, count.wrong]
    return f"| {name} | " + " | ".join(map(str, values)) + " |"


PAGE = """# Faults

{total} faults in {runs} runs of small jobs, by

```bash
python benchmarks/faults.py --faults {faults} --seed {seed}{chosen} \\
  --record benchmarks/faults.jsonl --page benchmarks/faults.md
```

A job's process is hit at a random point, up to three times in one folder, and run again to its end.
Half written: what lies under its name after a fault and is neither whole nor, of a file that grows
line by line, a beginning. Lost or wrong rows: of the finished job against an undisturbed run, in
bytes (of weights: files; of comparisons: cells, but for their seconds). A named error is one line
that says what was found and what to do.

{kinds}

{jobs}

The disk that is full or read-only is {disk}. Out of memory is a limit of the address space, 0.1 to
16 MB above what the process has. A damaged checkpoint is the newest of two: a file of it cut, gone,
or with another bit; the run goes on from the older one, with a warning. {machine[processor]},
{machine[torch_threads]} thread, {minutes} minutes; torch {torch}, datasets {datasets}.
"""


def page(trials: Trials, told: dict[str, Any]) -> str:
    """The tables, with what they were measured on."""
    jobs = {trials.jobs[name].name: count for name, count in trials.by_job.items()}
    if "save_all" in trials.by_job:
        jobs = {
            trials.jobs[name].name + (", with models" if name == "save_all" else ""): count
            for name, count in trials.by_job.items()
        }
    total = sum(count.times for count in trials.by_kind.values())
    return PAGE.format(
        total=total,
        chosen=f" --jobs {','.join(trials.jobs)}" if told["chosen_jobs"] else "",
        runs=trials.number + trials.restarts,
        kinds="\n".join(table("fault", trials.by_kind)),
        jobs="\n".join(table("job", jobs)),
        disk="a real one (a tmpfs)" if trials.disk.is_real else "simulated",
        **told,
        **told["machine"]["versions"],
    )


def write(trials: Trials, told: dict[str, Any], record: Path | None, tables: Path | None) -> str:
    """Write what has been counted so far; the page."""
    counts = {**trials.by_kind, **{f"job: {name}": one for name, one in trials.by_job.items()}}
    lines = [told] + [
        {
            "what": name,
            "times": one.times,
            "ends": dict(one.ends),
            "half_written": one.half,
            "lost_or_wrong": one.wrong,
        }
        for name, one in counts.items()
    ]
    if record:
        record.write_text("".join(json.dumps(line) + "\n" for line in lines))
    text = page(trials, told)
    if tables:
        tables.write_text(text)
    return text
