"""What a training costs beside busy processes, by how its threads wait for one another.

    python benchmarks/contention.py --output benchmarks/contention.json

The same steps of the first phase of MISO on texts of the demo data, each time in a fresh process on
all the cores that it may use, beside 0, 1 and 4 processes that do nothing but count. Threads that
spin while they wait (the default of torch's OpenMP) use their turns on a core to wait; threads that
sleep (`OMP_WAIT_POLICY=PASSIVE`, which the commands set) leave it. Ways alternate in each round;
what is worth quoting is the ratio to the same way alone.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

TEXTS = 600
WAYS = {
    "spinning": {},
    "sleeping": {"OMP_WAIT_POLICY": "PASSIVE"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}


def child(steps: int) -> None:
    """Train, and print seconds by the clock and of the processor, without the start."""
    import numpy as np
    import torch
    from transformers import AutoTokenizer

    from hf_oversample.commands.cores import free_cores
    from hf_oversample.data.demo import demo_encoder_path, demo_sms
    from hf_oversample.text.encoding import TextEncoder
    from hf_oversample.text.words import Segmenter
    from hf_oversample.training.arguments import MisoTrainingArguments
    from hf_oversample.training.generator import new_generator
    from hf_oversample.training.miso import MisoTrainer

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", free_cores())))
    dataset = demo_sms().select(range(TEXTS))
    path = str(demo_encoder_path())
    tokenizer, segmenter = AutoTokenizer.from_pretrained(path), Segmenter("en")
    encoded = TextEncoder(tokenizer, segmenter, 64).many(list(dataset["text"]))
    model = new_generator(
        encoded,
        tokenizer,
        segmenter,
        class_names=["ham", "spam"],
        target_classes=[1],
        encoder_name_or_path=path,
    )
    trainer = MisoTrainer(
        model,
        encoded,
        np.asarray(dataset["label"], np.int64),
        MisoTrainingArguments(pretrain_steps=steps + 1, critic_steps=0, adversarial_steps=0),
        padding=tokenizer.pad_token_id,
        mask_token=tokenizer.mask_token_id,
    )
    trainer.find_pairs()
    trainer.model.train()
    trainer._pretrain_step(0, 0.5)
    wall, processor = time.perf_counter(), time.process_time()
    for number in range(1, steps + 1):
        trainer._pretrain_step(number, 0.5)
    found = [time.perf_counter() - wall, time.process_time() - processor]
    print(json.dumps(found))


def count() -> None:
    """Keep a core busy."""
    number = 0
    while True:
        number += 1


def one(steps: int, way: str, busy: int) -> list[float]:
    """Seconds by the clock and of the processor, beside so many busy processes."""
    others = [multiprocessing.Process(target=count, daemon=True) for _ in range(busy)]
    for other in others:
        other.start()
    free = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    try:
        done = subprocess.run(
            [sys.executable, __file__, "--child", "--steps", str(steps)],
            env=free | WAYS[way],
            check=True,
            capture_output=True,
            text=True,
        )
    finally:
        for other in others:
            other.kill()
            other.join()
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure, and write the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 1, 4])
    parser.add_argument("--output", type=Path, default=Path("benchmarks/contention.json"))
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.steps)
        return
    seconds: dict[str, list[list[float]]] = {}
    for number in range(options.rounds):
        for busy in options.busy:
            for way in list(WAYS) if number % 2 == 0 else list(WAYS)[::-1]:
                found = one(options.steps, way, busy)
                seconds.setdefault(f"{way}, beside {busy}", []).append(found)
                print(f"{way}, beside {busy}: {found}", flush=True)
    record: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {name: metadata.version(name) for name in ("torch", "transformers")},
        "steps": options.steps,
        "rounds": options.rounds,
    }
    for way in WAYS:
        alone = seconds[f"{way}, beside {options.busy[0]}"]
        for busy in options.busy:
            own = seconds[f"{way}, beside {busy}"]
            record[f"{way}, beside {busy}"] = {
                "seconds": statistics.median(wall for wall, _ in own),
                "processor_seconds": statistics.median(used for _, used in own),
                "times_alone": statistics.median(
                    a[0] / b[0] for a, b in zip(own, alone, strict=True)
                ),
            }
    options.output.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()
