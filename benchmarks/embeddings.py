"""Time and memory of SMOTE and ADASYN over embeddings, against imbalanced-learn's.

    python benchmarks/embeddings.py smote  --rows 10000 100000 1000000 --output smote.jsonl
    python benchmarks/embeddings.py adasyn --rows 10000 100000 1000000 --output adasyn.jsonl
    python benchmarks/embeddings.py smote --rows 300000 --minority 0.0333334 --grown 50000

balance() of a data set on disk, and the arrays without a data set, against imbalanced-learn's
sampler, which is given its array ready in memory. Every run is a fresh process; the contestants
alternate, and turn about each round. `--minority 0.01` of 1000000 rows: 1000000 of the majority and
10000 of the minority.

Ratios are medians over rounds of two neighbouring runs. Memory is the process's highest resident
set: as it is, and less what was resident before the run (imports, and the array that
imbalanced-learn is given; pages of a file on disk count when they are read).
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset, disable_caching, disable_progress_bars
from embeddings_measuring import (
    Records,
    add_options,
    alternating,
    as_dataset,
    highest_resident,
    machine,
    mixture,
    summary,
    timed,
)

CONTESTANTS = {
    "smote": ("imbalanced-learn", "arrays", "balance"),
    "adasyn": ("imbalanced-learn", "arrays", "balance", "balance float32"),
}
MIB = 2**20


def resident() -> int:
    """Bytes resident now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def one_run(method: str, contestant: str, folder: Path, seed: int, grown: int) -> dict[str, Any]:
    """Seconds and peak memory of one contestant, in this process; ``grown`` 0 is to equal."""
    from imblearn.over_sampling import ADASYN, SMOTE

    from hf_oversample.oversamplers.adasyn import AdasynOversampler
    from hf_oversample.oversamplers.smote import SmoteOversampler

    ours = {"smote": SmoteOversampler, "adasyn": AdasynOversampler}[method]
    counts: Any = {1: grown} if grown else "auto"
    options: dict[str, Any] = {"seed": seed, "sampling_strategy": counts}
    if contestant.endswith("float32"):
        options["neighbor_dtype"] = "float32"
    labels = np.load(folder / "labels.npy")
    work: Callable[[], int]
    if contestant.startswith("balance"):
        dataset = Dataset.load_from_disk(str(folder / "dataset"))
        if grown:
            options["sampling_strategy"] = {"minority": grown}
        work = lambda: len(ours(**options).balance(dataset))  # noqa: E731
    else:
        points = np.load(folder / "points.npy")
        if contestant == "imbalanced-learn":
            sampler = {"smote": SMOTE, "adasyn": ADASYN}[method](
                random_state=seed, sampling_strategy=counts
            )
            work = lambda: len(sampler.fit_resample(points, labels)[0])  # noqa: E731
        else:

            def work() -> int:
                made = ours(**options).fit_arrays(points, labels).new_rows()
                return len(labels) + len(made[0])

    torch.ones(8, 8) @ torch.ones(8, 8)  # the libraries' own start is not what is measured
    before = resident()
    output_rows: list[int] = []
    times = timed(lambda: output_rows.append(work()))
    peak = highest_resident() * MIB
    return {
        **times,
        "peak_mib": peak / MIB,
        "before_mib": before / MIB,
        "growth_mib": (peak - before) / MIB,
        "output_rows": output_rows[0],
    }


def in_fresh_process(
    method: str, contestant: str, folder: Path, seed: int, grown: int
) -> dict[str, Any]:
    """:func:`one_run` in a process of its own."""
    values = [method, contestant, str(folder), str(seed), str(grown)]
    command = [sys.executable, __file__, "run", *values]
    answer = subprocess.run(command, capture_output=True, text=True)
    if answer.returncode:
        raise RuntimeError(f"{contestant} failed:\n{answer.stderr}")
    return json.loads(answer.stdout.splitlines()[-1])


def against_imbalanced_learn(arguments: argparse.Namespace) -> None:
    """SMOTE or ADASYN at each size."""
    records, method = Records(arguments.output), arguments.command
    names = tuple(name for name in CONTESTANTS[method] if name not in arguments.leave_out)
    for rows in arguments.rows:
        minority = max(10, round(rows * arguments.minority))
        setting = {"benchmark": method, "rows": rows, "minority": minority}
        setting |= {"width": arguments.width, "seed": arguments.seed}
        if arguments.grown:
            setting["grown"] = arguments.grown
        folder = Path(tempfile.mkdtemp(prefix="embeddings-", dir=arguments.scratch))
        try:
            points, labels = mixture(rows, minority, arguments.width, arguments.seed)
            np.save(folder / "points.npy", points)
            np.save(folder / "labels.npy", labels)
            as_dataset(points, labels).save_to_disk(folder / "dataset")
            del points, labels
            found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
            for number, name in alternating(names, arguments.rounds):
                run = in_fresh_process(method, name, folder, arguments.seed, arguments.grown)
                found[name].append(run)
                records.write(**setting, contestant=name, round=number, **run)
        finally:
            shutil.rmtree(folder)
        medians = summary(found, names[0])
        records.write(**setting, reference=names[0], summary=medians, machine=machine())


def parser() -> argparse.ArgumentParser:
    """The sub-commands `smote` and `adasyn`."""
    result = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = result.add_subparsers(dest="command", required=True)
    for name in CONTESTANTS:
        command = commands.add_parser(name)
        add_options(command, rows=[10_000, 100_000, 1_000_000])
        command.add_argument("--minority", type=float, default=0.01, help="minority ÷ majority")
        command.add_argument("--grown", type=int, default=0, help="minority rows afterwards")
        command.add_argument("--leave_out", nargs="*", default=[], help="contestants to skip")
    return result


def main(arguments: list[str]) -> None:
    """Run one sub-command."""
    if arguments[:1] == ["run"]:  # a fresh process of `smote` and `adasyn`
        disable_caching()
        disable_progress_bars()
        method, contestant, folder, seed, grown = arguments[1:]
        print(json.dumps(one_run(method, contestant, Path(folder), int(seed), int(grown))))
    else:
        against_imbalanced_learn(parser().parse_args(arguments))


if __name__ == "__main__":
    main(sys.argv[1:])
