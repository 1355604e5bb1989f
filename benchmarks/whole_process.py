"""SMOTE of arrays as a process of its own, from Python's start to its end, with the imports.

    python benchmarks/whole_process.py --rows 300000 --minority 10000 --grown 50000 --output o.jsonl

`hf_oversample.sklearn`'s SmoteSampler against imbalanced-learn's SMOTE, in turn, and each one's
imports alone. Seconds are by the clock and of the processor; memory is the highest resident set.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from embeddings_measuring import Records, alternating, machine, mixture, summary

IMPORTS = {
    "imbalanced-learn": "from imblearn.over_sampling import SMOTE",
    "hf_oversample": "from hf_oversample.sklearn import SmoteSampler as SMOTE",
}
WORK = """
import sys
import numpy as np
X, y = np.load(sys.argv[1] + "/points.npy"), np.load(sys.argv[1] + "/labels.npy")
X, y = SMOTE(random_state=0, sampling_strategy={1: int(sys.argv[2])}).fit_resample(X, y)
assert (y == 1).sum() == int(sys.argv[2])
"""
# Not ru_maxrss, which a process inherits from the one that started it.
PEAK = """
lines = open("/proc/self/status").read().splitlines()
print(next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")))
"""


def measured(code: str, *arguments: str) -> dict[str, float]:
    """Times and memory of a Python process that runs some code."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-c", code + PEAK, *arguments]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "seconds": seconds,
        "cpu_seconds": processor,
        "peak_mib": float(answer.stdout.splitlines()[-1]),
    }


def main() -> None:
    """Measure imports, and the work with them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--minority", type=int, default=10_000)
    parser.add_argument("--grown", type=int, default=50_000)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", help="file that the JSON lines are appended to")
    a = parser.parse_args()
    records = Records(a.output)
    setting = {name: vars(a)[name] for name in ("rows", "minority", "grown", "width", "seed")}
    with tempfile.TemporaryDirectory() as folder:
        points, labels = mixture(a.rows, a.minority, a.width, a.seed)
        np.save(Path(folder) / "points.npy", points)
        np.save(Path(folder) / "labels.npy", labels)
        del points, labels
        for what, code in (("import", ""), ("whole process", WORK)):
            found: dict[str, list[dict[str, float]]] = {name: [] for name in IMPORTS}
            for number, name in alternating(tuple(IMPORTS), a.rounds):
                run = measured(IMPORTS[name] + code, folder, str(a.grown))
                found[name].append(run)
                records.write(benchmark=what, **setting, contestant=name, round=number, **run)
            medians = summary(found, "imbalanced-learn")
            records.write(benchmark=what, **setting, summary=medians, machine=machine())


if __name__ == "__main__":
    main()
