"""The work of a point of `scaling.py`'s curves, and how it is measured."""

from __future__ import annotations

import multiprocessing
import os
import statistics
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, disable_caching, disable_progress_bars
from embeddings_measuring import as_dataset, highest_resident, mixture, timed
from scaling_curves import CURVES

REPEATED_BELOW = 2.0
"""Processor seconds; what is shorter is run three times, and its median counts."""
PRODUCTS = 96
CLASSES = {
    "random": "RandomOversampler",
    "SMOTE": "SmoteOversampler",
    "Borderline-SMOTE": "BorderlineSmoteOversampler",
    "ADASYN": "AdasynOversampler",
    "AMO": "AmoOversampler",
    "SIMPOR": "SimporOversampler",
}


def warm_up(methods: Iterable[str]) -> None:
    """Make what methods make once only, so that processes that are forked have it: imports are not
    measured."""
    disable_caching()
    disable_progress_bars()
    few = rows_of("dimensions", 16)[0].select(range(500))
    for method in methods:
        oversampler(method).balance(few)


def oversampler(method: str, **options: Any) -> Any:
    """One with its defaults."""
    import hf_oversample as package

    return getattr(package, CLASSES[method])(seed=0, **options)


def spread_classes(rows: int, width: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Half the rows in class 0, the others in equal parts in the other classes, all of which are
    Gaussians about centres of their own."""
    rng = np.random.default_rng(0)
    labels = np.where(np.arange(rows) < rows // 2, 0, 1 + np.arange(rows) % (classes - 1))
    labels = rng.permutation(labels)
    centers = rng.standard_normal((classes, width), dtype=np.float32)
    return centers[labels] + rng.standard_normal((rows, width), dtype=np.float32), labels


def rows_of(curve: str, value: int) -> tuple[Dataset, dict[str, Any]]:
    """The data set of a point, and the options by which it grows: to equal classes, or, where
    there are many, twice the rows of each but the largest."""
    setting = CURVES[curve].setting
    if curve == "classes":
        points, labels = spread_classes(int(setting["rows"]), int(setting["width"]), value)
        names = [f"class {code}" for code in range(value)]
        counts = np.bincount(labels)
        strategy = {names[code]: int(2 * counts[code]) for code in range(1, value)}
        return as_dataset(points, labels, names), {"sampling_strategy": strategy}
    rows = value if curve == "rows" else int(setting["rows"])
    width = value if curve == "dimensions" else int(setting["width"])
    rare = round(rows * setting["rare_share"])
    return as_dataset(*mixture(rows - rare, rare, width, 0)), {}


def generated(dataset: Dataset) -> Callable[[], int]:
    """The rows that a Bayesian GAN makes for the rare class, its short training left out."""
    from hf_oversample import BayesianGanOversampler

    few = dataset.select(range(2000))
    trained = BayesianGanOversampler(training={"steps": 20}).fit(few).generator_
    return lambda: len(BayesianGanOversampler(generator=trained).balance(dataset))


def updates(batch: int, tokens: int) -> Callable[[], int]:
    """One update of MISO's first phase, on texts that are joined and cut to so many tokens."""
    import torch
    from demo_training import DemoTexts

    from hf_oversample.training.arguments import MisoTrainingArguments

    arguments = MisoTrainingArguments(
        batch_size=batch,
        max_length=tokens,
        pretrain_steps=9,
        critic_steps=0,
        adversarial_steps=0,
    )
    trainer = DemoTexts.of_length(tokens, 600).trainer(arguments)
    trainer.model.train()
    steps = iter(range(9))

    def work() -> int:
        torch.manual_seed(0)
        trainer._pretrain_step(next(steps), 0.5)
        return batch

    work()  # the first makes the optimiser's state
    return work


def products(rounds: int) -> None:
    """Matrix products of one thread, which know no other limit than the processor."""
    rows = np.random.default_rng(0).standard_normal((1500, 1500), dtype=np.float32)
    for _ in range(rounds):
        rows @ rows


def shared_products(processes: int) -> int:
    """The same number of products, dealt out to so many processes at once."""
    context = multiprocessing.get_context("fork")
    begun = [
        context.Process(target=products, args=(PRODUCTS // processes,)) for _ in range(processes)
    ]
    for process in begun:
        process.start()
    for process in begun:
        process.join()
        if process.exitcode:
            raise RuntimeError(f"a process of products ended with {process.exitcode}")
    return PRODUCTS


def mapped(method: str, processes: int, folder: Path) -> Callable[[], int]:
    """`map` of a data set on disk with a fitted oversampler, by so many processes, to a file."""
    rows_of("processes", processes)[0].save_to_disk(folder / "rows")
    dataset = Dataset.load_from_disk(str(folder / "rows"))
    fitted = oversampler(method).fit(dataset)

    def work() -> int:
        grown = dataset.map(
            fitted,
            batched=True,
            with_indices=True,
            num_proc=processes if processes > 1 else None,
            load_from_cache_file=False,
            cache_file_name=str(folder / "grown.arrow"),
        )
        return len(grown)

    return work


def work_of(curve: str, method: str, value: int, folder: Path) -> Callable[[], int]:
    """What is timed of a point; it returns the rows that come out."""
    if curve == "processes":
        if method == "products":
            return lambda: shared_products(value)
        return mapped(method.removeprefix("map, "), value, folder)
    if method == "MISO update":
        setting = {name: int(number) for name, number in CURVES[curve].setting.items()}
        return updates(**{"batch": value, "tokens": value, **setting})
    dataset, options = rows_of(curve, value)
    if method == "Bayesian GAN, sampling":
        return generated(dataset)
    return lambda: len(oversampler(method, **options).balance(dataset))


def children_seconds() -> float:
    """Processor seconds of the processes that this one started and that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def measured(curve: str, method: str, value: int) -> dict[str, Any]:
    """One point, in this process: seconds of the processor (of its children too) and by the clock,
    the median of three where it is short; and the highest resident set after the first, data
    included."""
    runs: list[dict[str, float]] = []
    made: list[int] = []
    with tempfile.TemporaryDirectory(prefix="scaling-") as folder:
        work = work_of(curve, method, value, Path(folder))
        while not runs or (len(runs) < 3 and runs[0]["cpu_seconds"] < REPEATED_BELOW):
            own = children_seconds()
            times = timed(lambda: made.append(work()))
            times["cpu_seconds"] += children_seconds() - own
            runs.append({**times, "peak_mib": highest_resident()})
    median = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    return {
        "output_rows": made[0],
        **{name: round(median[name], 4) for name in ("cpu_seconds", "seconds")},
        "runs": [round(run["cpu_seconds"], 4) for run in runs],
        "peak_mib": round(runs[0]["peak_mib"], 1),
    }
