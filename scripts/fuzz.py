"""Feeds a part of the package bad input of every kind, and tells what it did not refuse by name.

python scripts/fuzz.py --target readers --seconds 60 --seed 0
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NAMES = (
    *("readers", "made", "strategies", "configurations", "saved", "saved-models", "records"),
    "checkpoints",
)
_GIB = 2**30


def main(words: list[str] | None = None) -> int:
    """Returns 0 where no fault was found, else 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", choices=NAMES, required=True)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--engine",
        choices=("lines", "atheris"),
        default="lines",
        help="lines: the loop of tests/fuzzing/engine.py; atheris: libFuzzer (pip install atheris)",
    )
    parser.add_argument("--output", type=Path, default=Path("fuzz_found"), help="of faulty inputs")
    parser.add_argument("--input", type=Path, help="try this one input, and show the whole error")
    a = parser.parse_args(words)
    # No model hub: names that fuzzing makes up are looked for here alone.
    os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    if a.engine == "atheris":
        import atheris

        with atheris.instrument_imports(include=["hf_oversample"]):
            target, engine = _loaded(a.target)
        return _with_atheris(a, target, engine)
    target, engine = _loaded(a.target)
    if a.input is not None:
        fault = engine.execute(target.run, a.input.read_bytes())
        if fault is not None:
            raise fault
        print("the contract is kept")
        return 0
    folder = a.output / a.target
    folder.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    found = engine.fuzz(
        target.run,
        target.seeds(),
        seed=a.seed,
        seconds=a.seconds,
        current=folder / "current",
        tell=lambda text: print(text, file=sys.stderr, flush=True),
    )
    for number, (text, data) in enumerate(found.faults.values()):
        (folder / f"fault-{number}").write_bytes(data)
        (folder / f"fault-{number}.txt").write_text(text, errors="replace")
    told = {
        "target": a.target,
        "engine": a.engine,
        "seed": a.seed,
        "seconds": round(time.monotonic() - start, 1),
        "executions": found.executions,
        "lines": found.lines,
        "corpus": len(found.corpus),
        "faults": sorted(found.faults),
    }
    print(json.dumps(told))
    return int(bool(found.faults))


def _loaded(name: str) -> tuple[Any, Any]:
    """The target and the engine; what is used once in a process is used here."""
    from logging import ERROR, disable

    import datasets
    from transformers.utils import logging

    from fuzzing import engine
    from fuzzing.targets import target_named

    datasets.disable_progress_bars()
    datasets.utils.logging.set_verbosity_error()
    logging.set_verbosity_error()
    disable(ERROR)
    logging.disable_progress_bar()
    target = target_named(name)
    for data in target.seeds()[:3]:
        engine.execute(target.run, data)
    # A file that asks for more memory than there is shall fail, and not the machine.
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + 4 * _GIB, most))
    return target, engine


def _with_atheris(a: argparse.Namespace, target: Any, engine: Any) -> int:
    """libFuzzer's loop; a fault is written once for each place where it arises."""
    import atheris

    folder = a.output / f"{a.target}-atheris"
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(data)
    known: set[str] = set()

    def one(data: bytes) -> None:
        fault = engine.execute(target.run, data)
        if fault is not None and fault.key not in known:
            known.add(fault.key)
            (folder / f"fault-{len(known)}").write_bytes(data)
            (folder / f"fault-{len(known)}.txt").write_text(str(fault), errors="replace")
            print(f"FAULT {fault}", file=sys.stderr, flush=True)

    flags = [f"-max_total_time={int(a.seconds)}", f"-seed={a.seed + 1}", "-print_final_stats=1"]
    flags += ["-timeout=60", "-rss_limit_mb=8192", f"-artifact_prefix={folder}/", "-max_len=65536"]
    atheris.Setup([sys.argv[0], *flags, str(corpus)], one)
    atheris.Fuzz()
    return int(bool(known))


if __name__ == "__main__":
    sys.exit(main())
