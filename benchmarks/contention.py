"""What a training costs beside busy processes, by how its threads wait for one another.

    python benchmarks/contention.py

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
    "spinning 10,000 times": {"GOMP_SPINCOUNT": "10000"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}


def child(steps: int) -> None:
    """Train, and print seconds by the clock and of the processor, without the start."""
    import torch
    from demo_training import DemoTexts

    from hf_oversample.commands.cores import free_cores
    from hf_oversample.training.arguments import MisoTrainingArguments

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", free_cores())))
    trainer = DemoTexts.read(TEXTS).trainer(
        MisoTrainingArguments(pretrain_steps=steps + 1, critic_steps=0, adversarial_steps=0)
    )
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


def one(steps: int, way: str, busy: int, limit: float) -> dict[str, Any]:
    """Seconds by the clock and of the processor, beside so many busy processes."""
    others = [multiprocessing.Process(target=count, daemon=True) for _ in range(busy)]
    for other in others:
        other.start()
    free = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    found: dict[str, Any] = {"way": way, "busy": busy, "steps": steps}
    try:
        done = subprocess.run(
            [sys.executable, __file__, "--child", "--steps", str(steps)],
            env=free | WAYS[way],
            check=True,
            capture_output=True,
            text=True,
            timeout=limit,
        )
        seconds, processor = json.loads(done.stdout.splitlines()[-1])
        found |= {"seconds": round(seconds, 2), "processor_seconds": round(processor, 2)}
    except subprocess.TimeoutExpired:
        found |= {"given_up_after": limit}
    finally:
        for other in others:
            other.kill()
            other.join()
    return found


def main() -> None:
    """Measure, a line each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 1, 4])
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--limit", type=float, default=240, help="seconds, with the start")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/contention.jsonl"))
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.steps)
        return
    versions = {name: metadata.version(name) for name in ("torch", "transformers")}
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    for number in range(options.rounds):
        for busy in options.busy:
            for way in options.ways if number % 2 == 0 else options.ways[::-1]:
                found = one(options.steps, way, busy, options.limit)
                found |= {"round": number, "machine": machine, "versions": versions}
                print(json.dumps(found), flush=True)
                with options.output.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
