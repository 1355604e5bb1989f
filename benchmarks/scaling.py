"""How the cost of each method grows: with rows, dimensions, classes and processes, and of MISO's
training with batch size and length of text.

    python benchmarks/scaling.py --record benchmarks/scaling.jsonl
    python benchmarks/scaling.py --record benchmarks/scaling.jsonl --table
    python benchmarks/scaling.py --record benchmarks/scaling.jsonl \\
      --picture docs/pictures/scaling.png

The first measures the points that the record lacks, each in a process of its own with one thread:
`balance` of a data set in memory, with default settings. Imports, and making the data, are not
timed. A point of less than 2 processor seconds is the median of three runs.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
from pathlib import Path
from typing import Any


def measure(record: Path, curves: list[str] | None, methods: list[str] | None) -> None:
    """Append the points that a record lacks, of some curves and methods or of all."""
    from embeddings_measuring import Records, machine
    from scaling_curves import CURVES
    from scaling_page import points_of
    from scaling_points import CLASSES, warm_up

    warm_up(name for name in CLASSES if not methods or name in methods)
    known = {(p["curve"], p["method"], p["value"]) for p in points_of(record)}
    records = Records(str(record))
    told = False
    for curve in curves or CURVES:
        # a value of all methods before the next, so that what else runs meets all of them
        values = CURVES[curve].values
        for value in sorted({value for own in values.values() for value in own}):
            for method in (name for name, own in values.items() if value in own):
                if (curve, method, value) in known or (methods and method not in methods):
                    continue
                if not told:
                    records.write(machine=machine())
                    told = True
                records.write(**in_own_process(curve, method, value))


def in_own_process(curve: str, method: str, value: int) -> dict[str, Any]:
    """One point, measured in a process of its own, which is forked from this one."""
    from scaling_points import measured

    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(
        target=lambda: theirs.send(measured(curve, method, value))
    )
    process.start()
    theirs.close()
    try:
        found: dict[str, Any] = ours.recv()
    except EOFError:
        raise RuntimeError(f"{curve}, {method}, {value} failed: see above") from None
    process.join()
    return {"curve": curve, "method": method, "value": value, **found}


def main() -> None:
    """Measure, or show what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--record", type=Path, required=True, help="JSON lines, of one point each")
    parser.add_argument("--curves", nargs="+", help="those to measure; default: all")
    parser.add_argument("--methods", nargs="+", help="those to measure; default: all")
    parser.add_argument("--table", action="store_true", help="print the tables of the page")
    parser.add_argument("--picture", type=Path, help="PNG file to draw")
    a = parser.parse_args()
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    if a.table:
        from scaling_page import tables

        print(tables(a.record))
    elif a.picture:
        from scaling_page import draw

        draw(a.record, a.picture)
    else:
        measure(a.record, a.curves, a.methods)


if __name__ == "__main__":
    main()
