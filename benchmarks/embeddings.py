"""Time and memory of the oversamplers of embeddings, each against what it competes with.

    python benchmarks/embeddings.py smote  --rows 10000 100000 1000000 --output smote.jsonl
    python benchmarks/embeddings.py adasyn --rows 10000 100000 1000000 --output adasyn.jsonl
    python benchmarks/embeddings.py io     --rows 100000 --output io.jsonl
    python benchmarks/embeddings.py simpor …      (embeddings_simpor.py)
    python benchmarks/embeddings.py amo …         (embeddings_amo.py)

`smote` and `adasyn`: balance() of a data set on disk, and the arrays without a data set, against
imbalanced-learn's sampler, which is given its array ready in memory. Every run is a fresh process;
the contestants alternate, and turn about each round. `--minority 0.01` of 1000000 rows: 1000000 of
the majority and 10000 of the minority.
`io`: reading, mapping and growing a data set by half, by each route, alternating in one process.

Ratios are medians over rounds of two neighbouring runs. Memory is the process's highest resident
set: as it is, and less what was resident before the run (imports, and the array that
imbalanced-learn is given; pages of a file on disk count when they are read).
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from datasets import (
    ClassLabel,
    Dataset,
    Features,
    List,
    Value,
    concatenate_datasets,
    disable_caching,
    disable_progress_bars,
)

CONTESTANTS = {
    "smote": ("imbalanced-learn", "arrays", "balance"),
    "adasyn": ("imbalanced-learn", "balance", "balance bfloat16"),
}
SEPARATE = ("simpor", "amo")
BLOCK_ROWS = 10_000
MIB = 2**20


# ---- data and records ---------------------------------------------------------------------------


def mixture(rows: int, minority: int, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings and labels: ten majority Gaussians, and three of the minority that overlap them.

    Rows are in mixed order. Made block by block, so that memory's peak is the result.
    """
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(13, width)).astype(np.float32) * 0.5
    centers[10:] = 0.7 * centers[:3] + 0.3 * centers[10:]
    labels = np.zeros(rows + minority, dtype=np.int64)
    labels[rng.permutation(len(labels))[:minority]] = 1
    points = np.empty((len(labels), width), dtype=np.float32)
    for start in range(0, len(labels), BLOCK_ROWS):
        block = points[start : start + BLOCK_ROWS]
        rng.standard_normal(out=block, dtype=np.float32)
        own = labels[start : start + BLOCK_ROWS]
        block += centers[np.where(own == 1, rng.integers(10, 13, len(own)), own)]
        majority = np.flatnonzero(own == 0)
        block[majority] += centers[rng.integers(0, 10, len(majority))] - centers[0]
    return points, labels


def as_dataset(points: np.ndarray, labels: np.ndarray) -> Dataset:
    """The two as a data set that shares the points' memory."""
    count, width = points.shape
    flat = pa.FixedSizeListArray.from_arrays(pa.array(points.reshape(-1)), width)
    features = Features(
        {
            "label": ClassLabel(names=["majority", "minority"]),
            "embedding": List(Value("float32"), length=width),
        }
    )
    table = pa.table({"label": pa.array(labels), "embedding": flat}, schema=features.arrow_schema)
    return Dataset(table, fingerprint=f"benchmark-{count}-{width}")


def machine() -> dict[str, Any]:
    """What the figures depend on besides the code."""
    model = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    names = ("hf_oversample", "torch", "numpy", "pyarrow", "datasets", "imbalanced-learn")
    return {
        "processor": model[0] if model else platform.processor(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in (*names, "scikit-learn")},
    }


def version(name: str) -> str:
    """A package's version, or that it runs from its source."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "source"


class Records:
    """JSON lines, printed and appended to a file."""

    def __init__(self, path: str | None) -> None:
        self.path = path

    def write(self, **record: Any) -> None:
        line = json.dumps(record)
        print(line, flush=True)
        if self.path:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(line + "\n")


def alternating(names: tuple[str, ...], rounds: int) -> Iterator[tuple[int, str]]:
    """(round, name), the order turned about each round."""
    for number in range(rounds):
        for name in names if number % 2 == 0 else names[::-1]:
            yield number, name


def summary(found: dict[str, list[dict[str, Any]]], reference: str) -> dict[str, Any]:
    """Medians by contestant, and the reference's figures as multiples of theirs."""
    result: dict[str, Any] = {}
    for name, runs in found.items():
        medians = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        ratios = {
            f"{key}_ratio": statistics.median(
                other[key] / run[key]
                for run, other in zip(runs, found[reference], strict=True)
                if run[key]
            )
            for key in medians
        }
        result[name] = {key: round(value, 4) for key, value in {**medians, **ratios}.items()}
    return result


# ---- SMOTE and ADASYN: one process a run --------------------------------------------------------


def resident() -> int:
    """Bytes resident now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def one_run(method: str, contestant: str, folder: Path, seed: int) -> dict[str, Any]:
    """Seconds and peak memory of one contestant, in this process."""
    from imblearn.over_sampling import ADASYN, SMOTE

    from hf_oversample.oversamplers.adasyn import AdasynOversampler
    from hf_oversample.oversamplers.smote import SmoteOversampler

    ours = {"smote": SmoteOversampler, "adasyn": AdasynOversampler}[method]
    options: dict[str, Any] = {"seed": seed}
    if contestant.endswith("bfloat16"):
        options["neighbor_dtype"] = "bfloat16"
    labels = np.load(folder / "labels.npy")
    work: Callable[[], int]
    if contestant.startswith("balance"):
        dataset = Dataset.load_from_disk(str(folder / "dataset"))
        work = lambda: len(ours(**options).balance(dataset))  # noqa: E731
    else:
        points = np.load(folder / "points.npy")
        if contestant == "imbalanced-learn":
            sampler = {"smote": SMOTE, "adasyn": ADASYN}[method](random_state=seed)
            work = lambda: len(sampler.fit_resample(points, labels)[0])  # noqa: E731
        else:

            def work() -> int:
                made = ours(**options).fit_arrays(points, labels).new_rows()
                return len(labels) + len(made[0])

    torch.ones(8, 8) @ torch.ones(8, 8)  # the libraries' own start is not what is measured
    before = resident()
    seconds, processor = time.perf_counter(), time.process_time()
    rows = work()
    seconds, processor = time.perf_counter() - seconds, time.process_time() - processor
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "seconds": seconds,
        "cpu_seconds": processor,
        "peak_mib": peak / MIB,
        "before_mib": before / MIB,
        "growth_mib": (peak - before) / MIB,
        "output_rows": rows,
    }


def in_fresh_process(method: str, contestant: str, folder: Path, seed: int) -> dict[str, Any]:
    """:func:`one_run` in a process of its own."""
    command = [sys.executable, __file__, "run", method, contestant, str(folder), str(seed)]
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
        folder = Path(tempfile.mkdtemp(prefix="embeddings-", dir=arguments.scratch))
        try:
            points, labels = mixture(rows, minority, arguments.width, arguments.seed)
            np.save(folder / "points.npy", points)
            np.save(folder / "labels.npy", labels)
            as_dataset(points, labels).save_to_disk(folder / "dataset")
            del points, labels
            found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
            for number, name in alternating(names, arguments.rounds):
                run = in_fresh_process(method, name, folder, arguments.seed)
                found[name].append(run)
                records.write(**setting, contestant=name, round=number, **run)
        finally:
            shutil.rmtree(folder)
        medians = summary(found, names[0])
        records.write(**setting, reference=names[0], summary=medians, machine=machine())


# ---- reading, mapping and growing ---------------------------------------------------------------


def reading(dataset: Dataset) -> dict[str, Callable[[], Any]]:
    """Routes from a data set to one float32 matrix."""
    from hf_oversample.columns import embedding_matrix

    return {
        "Arrow buffers": lambda: embedding_matrix(dataset, "embedding"),
        "numpy formatter": lambda: np.asarray(dataset.with_format("numpy")[:]["embedding"]),
        "torch formatter": lambda: dataset.with_format("torch")[:]["embedding"].numpy(),
        "python lists": lambda: np.asarray(dataset["embedding"][:], dtype=np.float32),
    }


def mapping(dataset: Dataset) -> dict[str, Callable[[], Any]]:
    """Routes to double every embedding by a map."""
    width = dataset.features["embedding"].length

    def in_arrow(table: pa.Table) -> pa.Table:
        flat = table["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False) * 2
        column = pa.FixedSizeListArray.from_arrays(pa.array(flat), width)
        return table.set_column(table.column_names.index("embedding"), "embedding", column)

    def in_numpy(batch: dict[str, Any]) -> dict[str, Any]:
        return {"embedding": batch["embedding"] * 2}

    def in_lists(batch: dict[str, Any]) -> dict[str, Any]:
        return {"embedding": [[2 * value for value in row] for row in batch["embedding"]]}

    routes = {"arrow": in_arrow, "numpy": in_numpy, None: in_lists}
    return {
        f"map {form or 'python lists'}": lambda form=form, double=double: (  # type: ignore[misc]
            dataset.with_format(form).map(double, batched=True, features=dataset.features)
        )
        for form, double in routes.items()
    }


def growing(dataset: Dataset, seed: int) -> dict[str, Callable[[], Any]]:
    """Routes to the data set and half as many rows more."""
    from hf_oversample.oversamplers.smote import SmoteOversampler

    fitted = SmoteOversampler(seed=seed).fit(dataset)
    children = fitted.children(dataset)
    counts = np.bincount(fitted.fitted_plan().parent, minlength=len(dataset))

    def in_numpy(batch: dict[str, Any], rows: list[int]) -> dict[str, Any]:
        repeats = 1 + counts[rows]
        return {name: np.repeat(values, repeats, axis=0) for name, values in batch.items()}

    def in_lists(batch: dict[str, Any], rows: list[int]) -> dict[str, Any]:
        places = np.repeat(np.arange(len(rows)), 1 + counts[rows]).tolist()
        return {name: [values[place] for place in places] for name, values in batch.items()}

    def mapped(form: str | None, grow: Callable) -> Dataset:
        return dataset.with_format(form).map(
            grow, batched=True, with_indices=True, features=dataset.features
        )

    plain = children.select_columns(dataset.column_names)
    return {
        "concatenate made rows": lambda: concatenate_datasets([dataset, plain]),
        "balance, fitted": lambda: fitted.balance(dataset),
        "fit and balance": lambda: SmoteOversampler(seed=seed).balance(dataset),
        "map with the oversampler": lambda: dataset.map(fitted, batched=True, with_indices=True),
        "map numpy, copies": lambda: mapped("numpy", in_numpy),
        "map python lists, copies": lambda: mapped(None, in_lists),
    }


def routes(arguments: argparse.Namespace) -> None:
    """Every route of reading, mapping and growing, at each size."""
    disable_caching()
    disable_progress_bars()
    records = Records(arguments.output)
    for rows in arguments.rows:
        # A quarter is minority, so that balancing grows the data set by half.
        points, labels = mixture(rows - rows // 4, rows // 4, arguments.width, arguments.seed)
        with tempfile.TemporaryDirectory(prefix="embeddings-", dir=arguments.scratch) as folder:
            as_dataset(points, labels).save_to_disk(folder)
            del points, labels
            dataset = Dataset.load_from_disk(folder)
            kinds = {
                "reading": reading(dataset),
                "mapping": mapping(dataset),
                "growing": growing(dataset, arguments.seed),
            }
            for kind, works in kinds.items():
                found: dict[str, list[dict[str, Any]]] = {name: [] for name in works}
                for name in works:  # warm-up: imports, page cache
                    works[name]()
                for _, name in alternating(tuple(works), arguments.rounds):
                    seconds, processor = time.perf_counter(), time.process_time()
                    works[name]()
                    seconds, processor = (
                        time.perf_counter() - seconds,
                        time.process_time() - processor,
                    )
                    found[name].append({"seconds": seconds, "cpu_seconds": processor})
                records.write(
                    benchmark="io",
                    kind=kind,
                    rows=rows,
                    width=arguments.width,
                    seed=arguments.seed,
                    rounds=arguments.rounds,
                    reference=next(iter(works)),
                    summary=summary(found, next(iter(works))),
                    machine=machine(),
                )


# ---- the command line ---------------------------------------------------------------------------


def parser() -> argparse.ArgumentParser:
    """The sub-commands `smote`, `adasyn` and `io`."""
    result = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = result.add_subparsers(dest="command", required=True)
    for name in (*CONTESTANTS, "io"):
        command = commands.add_parser(name)
        sizes = [100_000] if name == "io" else [10_000, 100_000, 1_000_000]
        command.add_argument("--rows", type=int, nargs="+", default=sizes)
        command.add_argument("--width", type=int, default=384)
        command.add_argument("--rounds", type=int, default=3)
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--output", help="file that the JSON lines are appended to")
        command.add_argument("--scratch", help="folder for the data; default: the system's")
        if name != "io":
            command.add_argument("--minority", type=float, default=0.01, help="minority ÷ majority")
            command.add_argument("--leave_out", nargs="*", default=[], help="contestants to skip")
    for name in SEPARATE:
        commands.add_parser(name, help=f"see embeddings_{name}.py --help")
    return result


def main(arguments: list[str]) -> None:
    """Run one sub-command."""
    if arguments[:1] == ["run"]:  # a fresh process of `smote` and `adasyn`
        disable_caching()
        disable_progress_bars()
        method, contestant, folder, seed = arguments[1:]
        print(json.dumps(one_run(method, contestant, Path(folder), int(seed))))
    elif arguments and arguments[0] in SEPARATE:
        importlib.import_module(f"embeddings_{arguments[0]}").main(arguments[1:])
    else:
        parsed = parser().parse_args(arguments)
        (routes if parsed.command == "io" else against_imbalanced_learn)(parsed)


if __name__ == "__main__":
    main(sys.argv[1:])
