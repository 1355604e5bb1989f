"""The gate's classifier on real rare rows that it has not seen: how many pass, and which teach.

    OMP_NUM_THREADS=1 python benchmarks/gate.py --data_dir DATA --output benchmarks/gate.json

SMS Spam (the demo extra's) as it is and thinned to 1 %, and Yelp at 1 % (from `--data_dir`; left
out without it), frozen MiniLM. For each seed: the share of held-out rare rows above the gate's
least margin at `gate_quantile` 0.1, by margins in-sample and out of fold; and the average precision
of a balanced logistic regression that gets further *real* rare rows, chosen by their margin or by
their influence.
"""

from __future__ import annotations

import argparse
import json
import platform
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import average_precision_score
from tasks import draw, task_rows

from hf_oversample.data.demo import demo_encoder_path, demo_sms
from hf_oversample.data.labeled_texts import Texts
from hf_oversample.data.splitting import drop_duplicate_texts, stratified_split
from hf_oversample.oversamplers.anchors.gate import MarginBand
from hf_oversample.oversamplers.anchors.influence import Influence
from hf_oversample.oversamplers.anchors.judge import (
    LinearJudge,
    chosen_regularization,
    out_of_fold_margins,
)
from hf_oversample.transforms.embed import TextEmbedder

QUANTILE = 0.1
DRAWS = 5  # of further rows
# of further rows: lower and upper end, as shares of the margins out of fold
BANDS = {
    "any": None,
    "above 0": (0.0, 1.0),
    "above the quantile 0.1": (QUANTILE, 1.0),
    "from 0 to the median": (0.0, 0.5),
    "above the median": (0.5, 1.0),
}


class Embeddings:
    """Embeds each text once."""

    def __init__(self) -> None:
        self.embedder = TextEmbedder(str(demo_encoder_path()), max_length=64)
        self.known: dict[str, np.ndarray] = {}

    def __call__(self, texts: list[str]) -> np.ndarray:
        new = list(dict.fromkeys(text for text in texts if text not in self.known))
        self.known.update(zip(new, self.embedder.embed(new), strict=True))
        return np.stack([self.known[text] for text in texts])


def rows_of(task: str, data: Path | None, seed: int) -> tuple[Texts, Texts, Texts, int]:
    """Training rows, further rare rows that nobody has seen, test rows, and how many to add."""
    if task == "yelp-1%":
        assert data is not None
        rows = task_rows(task, data, seed)
        rare = rows.judge_rows.labels == 1
        further = Texts([t for t, r in zip(rows.judge_rows.texts, rare, strict=True) if r],
                        rows.judge_rows.labels[rare])  # fmt: skip
        return rows.train, further, rows.test, 150
    sms = drop_duplicate_texts(demo_sms(), "text")[0]
    train, test = (Texts.of(p) for p in stratified_split(sms, fractions=(0.65, 0.35), seed=seed))
    ham, spam = np.bincount(train.labels).tolist()
    rare = round(0.01 * ham) if task == "sms-1%" else spam // 2
    train, further = draw(train, {0: ham, 1: rare}, np.random.default_rng(seed))
    return train, further, test, 100


def measured(task: str, data: Path | None, seed: int, embed: Embeddings) -> dict[str, float]:
    """One seed's figures."""
    train, further, test, number = rows_of(task, data, seed)
    x, y = embed(train.texts), train.labels
    judge = LinearJudge.fit(x, y, 2)
    margins = {
        "in-sample": judge.margin(x, y),
        "out of fold": out_of_fold_margins(x, y, 2, seed=seed),
    }
    extra, held = embed(further.texts), embed(test.texts)
    unseen = held[test.labels == 1]
    passing = judge.margin(unseen, np.ones(len(unseen), np.int64))
    found = {"rare rows": int((y == 1).sum()), "median margin, unseen": float(np.median(passing))}
    least = {"in-sample": max(0.0, float(np.quantile(margins["in-sample"][y == 1], QUANTILE)))}
    band = MarginBand.of(margins["out of fold"], y, 2, QUANTILE, 1.0)
    least["out of fold"] = float(band.least[1])
    for name, value in least.items():
        found[f"unseen rare rows that pass, {name}"] = float((passing > value).mean())
    found["AP, none"] = precision(x, y, held, test.labels)
    margin = judge.margin(extra, np.ones(len(extra), np.int64))
    found["further rows with a margin above 0"] = float((margin > 0).mean())
    rng = np.random.default_rng(seed)
    ones = np.ones(len(extra), np.int64)
    strength = chosen_regularization(x, y, 2, seed=seed)
    influence = Influence.fit(x, y, 2, [1], regularization=strength, seed=seed).of(extra, ones)
    found["further rows of positive influence"] = float((influence > 0).mean())
    for name, ends in (*BANDS.items(), ("of positive influence", "influence")):
        fit = np.arange(len(extra))
        if ends == "influence":
            fit = np.flatnonzero(influence > 0)
        elif ends is not None:
            band = MarginBand.of(margins["out of fold"], y, 2, *ends)
            fit = np.flatnonzero((margin > band.least[1]) & (margin <= band.most[1]))
        if len(fit) < number // 2:  # too few to compare
            continue
        values = []
        for _ in range(DRAWS):
            chosen = rng.permutation(fit)[:number]
            both = np.concatenate([x, extra[chosen]])
            labels = np.concatenate([y, np.ones(len(chosen), np.int64)])
            values.append(precision(both, labels, held, test.labels))
        found[f"AP, further rows {name}"] = float(np.mean(values))
    return found


def precision(x: np.ndarray, y: np.ndarray, held: np.ndarray, labels: np.ndarray) -> float:
    """Average precision on the test rows, weighted to the training rows' prior of 1 %."""
    judge = LinearJudge.fit(x, y, 2)
    scores = held @ (judge.weights[1] - judge.weights[0])
    rare = labels == 1
    weights = np.where(rare, 0.01 / rare.mean(), 0.99 / (1 - rare.mean()))
    return float(average_precision_score(labels, scores, sample_weight=weights))


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_dir", type=Path)
    parser.add_argument("--tasks", default="sms,sms-1%,yelp-1%")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    tasks = [t for t in options.tasks.split(",") if t != "yelp-1%" or options.data_dir]
    embed = Embeddings()
    record: dict[str, dict] = {}
    if options.output is not None and options.output.exists():  # tasks that were measured before
        record = json.loads(options.output.read_text(encoding="utf-8"))
    record |= {
        "versions": {n: metadata.version(n) for n in ("torch", "transformers", "scikit-learn")},
        "machine": {"processor": platform.machine(), "threads": torch.get_num_threads()},
    }
    for task in tasks:
        seeds = range(1, options.seeds + 1)
        found = [measured(task, options.data_dir, seed, embed) for seed in seeds]
        names = [name for name in found[0] if all(name in one for one in found)]
        record[task] = {"seeds": list(seeds)}
        for name in names:
            values = [one[name] for one in found]
            record[task][name] = [round(value, 4) for value in values]
            spread = np.std(values, ddof=1) if len(values) > 1 else 0.0
            print(f"{task:8} {name:45} {np.mean(values):.3f} ± {spread:.3f}", flush=True)
        if options.output is not None:
            options.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
