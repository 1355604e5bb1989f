"""Does re-embedding rank rare texts better than a frozen or a plainly fine-tuned encoder?

    OMP_NUM_THREADS=1 python benchmarks/reembedding.py --data_dir DATA \\
        --tasks yelp-1% sms-1% trec6-abbr --seeds 1 2 3 --max_length 32

One network, MiniLM with the mean of its states and a linear head, in every arm, with as many
updates of as many texts: frozen; frozen with n-grams beside the vector; plain cross-entropy, at two
rates of which validation rows choose; cross-entropy at the same rate on batches of as many rare
texts as others, any others or half of them near; mined contrastive training, its head on the vector
alone, and with n-grams; the same with a language model's texts as positives, and with as many rare
rows again; LP-FT; the mean of LP-FT's weights and the pretrained
ones, whose coefficient validation rows choose; and averages of standardised scores, of which that
of two plain models with different seeds is the control. Test rows are scored once, with what
validation rows chose. A run that was stopped goes on at the task and seed where it was.
`--table` prints the records of a file as Markdown, with each arm's difference from plain pooled
over the tasks, and computes nothing else.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pooled_table import pooled_table, read
from reembedding_arms import ARMS, LEFT_OUT, OF_CONTRASTIVE, OF_PLAIN, Cell, setting
from tasks import FURTHER_TASKS, TASKS, task_rows

from hf_oversample.data.labeled_texts import Texts


def left_out(arm: str, names: Sequence[str]) -> bool:
    """Whether an arm is one of the names, or is made of one."""
    return any(part.removesuffix(", interpolated") in names for part in arm.split(" + "))


def fewer(part: Texts, rows: int, seed: int) -> Texts:
    """At most so many rows, drawn by the seed, classes in their shares."""
    if len(part) <= rows:
        return part
    rng, chosen = np.random.default_rng(seed), []
    for label in np.unique(part.labels):
        own = np.flatnonzero(part.labels == label)
        chosen.append(rng.permutation(own)[: round(len(own) * rows / len(part))])
    kept = np.sort(np.concatenate(chosen))
    return Texts([part.texts[row] for row in kept], part.labels[kept])


def table(lines: Sequence[dict[str, Any]]) -> str:
    """Every arm of the records, held against plain."""
    return pooled_table(lines, ARMS, "plain")


def main() -> None:
    """Measure, or print what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data_dir", type=Path)
    parser.add_argument("--tasks", nargs="+", choices=TASKS + FURTHER_TASKS, default=["trec6-abbr"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--max_length", type=int, help="in tokens; default: the task's, 32 to 64")
    parser.add_argument("--held_rows", type=int, default=2000, help="test rows; half to choose by")
    parser.add_argument("--train_word_embeddings", action="store_true")
    parser.add_argument(
        "--leave_out",
        nargs="+",
        default=[],
        choices=LEFT_OUT,
        help="arms; without plain, nothing is trained by cross-entropy from a random head, without "
        "contrastive nothing by the contrastive loss",
    )
    parser.add_argument("--output", type=Path, default=Path("benchmarks/reembedding.jsonl"))
    parser.add_argument("--scores", type=Path, help="keep each arm's scores, for other means")
    parser.add_argument(
        "--written",
        type=Path,
        help="of yelp-1%%: the folder that benchmarks/writers.py leaves beside its record, whose "
        "texts are positives of two more arms",
    )
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if not options.table:
        if options.data_dir is None:
            parser.error("--data_dir is needed to measure")
        for seed in options.seeds:
            for task in options.tasks:
                done = {
                    one["arm"]
                    for one in read(options.output)
                    if (one["task"], one["seed"]) == (task, seed)
                    and one["setting"] == setting(options)
                }
                absent = [*options.leave_out]
                if "plain" in absent:
                    absent += OF_PLAIN
                if "contrastive" in absent:
                    absent += OF_CONTRASTIVE
                if options.written is None:
                    absent += OF_CONTRASTIVE[1:]
                wanted = {arm for arm in ARMS if not left_out(arm, absent)}
                if done >= wanted:
                    continue
                rows = task_rows(task, options.data_dir, seed)
                rows = replace(
                    rows,
                    validation=fewer(rows.validation, options.held_rows // 2, seed),
                    test=fewer(rows.test, options.held_rows, seed),
                )
                Cell(task, rows, seed, options).run()
    print(table(read(options.output)))


if __name__ == "__main__":
    main()
