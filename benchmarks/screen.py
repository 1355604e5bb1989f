"""How high the two-sample screen goes by chance, and on texts that were made.

    python benchmarks/screen.py --data_dir DATA --output benchmarks/screen.json
    python benchmarks/screen.py --table --output benchmarks/screen.json

For each task and number of rows, halves of real texts of the rare class (from all of its rows) are
drawn again and again, one called real and one made. Then edits that are known to show: EDA's, a
space before each mark, and one word in ten that nobody wrote.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from miso import machine
from tasks import TASKS, task_rows

from hf_oversample.hub.tables import markdown_table
from hf_oversample.metrics.screening import LEVEL, two_sample_auc
from hf_oversample.text.edits import eda
from hf_oversample.text.words import Language, Segmenter

SIZES = ((20, 20), (20, 200), (30, 30), (30, 300), (50, 50), (50, 200), (100, 100), (200, 200))
MARKED = 200


def rare_texts(task: str, data: Path, seed: int) -> tuple[list[str], list[str], Language]:
    """All texts of the rare class that the task does not train on, others, and the language."""
    p = task_rows(task, data, seed)
    rows = [
        (text, label)
        for part in (p.judge_rows, p.test)
        for text, label in zip(part.texts, part.labels.tolist(), strict=True)
    ]
    rows = list(dict(rows).items())
    own = [text for text, label in rows if label == p.targets[0]]
    others = [text for text, label in rows if label != p.targets[0]][:2000]
    return own, others, p.language


def changed(texts: list[str], name: str, language: Language, seed: int) -> list[str]:
    """Texts with a mark that shows."""
    rng = np.random.default_rng(seed)
    segmenter = Segmenter(language)
    if name == "spaced":
        return [" ".join(segmenter.words(text)) for text in texts]
    if name == "strange words":
        letters = list("abcdefghijklmnopqrstuvwxyz")

        def one(text: str) -> str:
            # Chinese has no spaces between words
            words = segmenter.words(text) if language == "zh" else text.split()
            for place in np.flatnonzero(rng.random(len(words)) < 0.1):
                words[place] = "".join(rng.choice(letters, 7))
            return ("" if language == "zh" else " ").join(words)

        return [one(text) for text in texts]
    return [eda(text, segmenter, rng) for text in texts]


def table(record: dict[str, Any]) -> str:
    """AUC by chance, then of what shows, a task a column."""
    tasks = {name: found for name, found in record.items() if name in TASKS}
    lines: dict[str, list[str]] = {}
    for found in tasks.values():
        for name in [name for name in found if name != "rows"]:
            lines.setdefault(name, [])
    for name, cells in lines.items():
        for found in tasks.values():
            one = found.get(name)
            if one is None:
                cells.append("–")
            elif "auc" in one:
                cells.append(f"{one['auc']:.2f}")
            else:
                cells.append(f"{one['mean']:.2f} ± {one['sd']:.2f}, at most {one['largest']:.2f}")
    return markdown_table(["texts", *tasks], [[name, *cells] for name, cells in lines.items()])


def main() -> None:
    """Measure what the output file does not have, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_dir", type=Path)
    parser.add_argument("--table", action="store_true", help="print what was measured, no more")
    parser.add_argument("--tasks", nargs="+", default=["sms", "yelp-1%", "toutiao"])
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument("--output", type=Path, required=True)
    a = parser.parse_args()
    if a.table:
        print(table(json.loads(a.output.read_text(encoding="utf-8"))))
        return
    if a.data_dir is None:
        parser.error("--data_dir is needed to measure")
    record: dict[str, Any] = {**machine(), "level": LEVEL, "draws": a.draws}
    if a.output.exists():
        record = json.loads(a.output.read_text(encoding="utf-8"))
    for task in [task for task in a.tasks if task not in record]:
        own, others, language = rare_texts(task, a.data_dir, 1)
        rows: dict[str, Any] = {"rows": len(own)}
        record[task] = rows
        for size, other in [pair for pair in SIZES if sum(pair) <= len(own)]:
            values = []
            for draw in range(a.draws):
                texts = [own[i] for i in np.random.default_rng(draw).permutation(len(own))]
                found = two_sample_auc(
                    texts[:size],
                    texts[size : size + other],
                    known=others,
                    language=language,
                    seed=draw,
                )
                values.append(found.auc)
            rows[f"real against real, {size} and {other}"] = {
                "mean": round(float(np.mean(values)), 3),
                "sd": round(float(np.std(values)), 3),
                "largest": round(max(values), 3),
                "above the level": float(np.mean(np.asarray(values) > LEVEL)),
            }
            a.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
            print(task, size, other, rows[f"real against real, {size} and {other}"], flush=True)
        half = len(own) // 2
        for name in ("EDA edits", "spaced", "strange words"):
            real = own[:half][:MARKED]
            for kind, source in (("the same", real), ("other", own[half:][:MARKED])):
                made = changed(source, name, language, 1)
                found = two_sample_auc(real, made, known=others, language=language, seed=1)
                rows[f"{name} of {kind} texts"] = found.to_dict()
                print(task, name, kind, found.auc, *map(str, found.giveaways[:4]), flush=True)
        a.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
