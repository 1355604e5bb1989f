"""Masks in difficult texts: by what pulls their words to the majority, or at random.

    python benchmarks/focus.py --data_dir DATA --output benchmarks/focus.json

An editor (a small encoder from scratch, or MiniLM) is trained on the rows of a seed. It edits the
rare class's own texts alone, so that nothing but the masks in them differs: words drawn evenly, or
by `own_focus`. Judged by the gate (MiniLM's embeddings), by a classifier of words that has nothing
in common with it, and by average precision of logistic regression on a frozen MiniLM (its penalty
by validation rows), with and without anchors.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from miso import agreement, anchors, machine, mini_lm
from tasks import TaskRows, pick, task_rows

from hf_oversample.comparison.fold import Fold
from hf_oversample.comparison.miso import GivenAnchors
from hf_oversample.comparison.registry import classifier_named
from hf_oversample.comparison.remedies import REMEDIES
from hf_oversample.comparison.scores import cell_metrics
from hf_oversample.data.demo import demo_encoder_path
from hf_oversample.data.labeled_texts import Texts
from hf_oversample.text.words import Segmenter
from hf_oversample.training.arguments import MisoTrainingArguments
from hf_oversample.training.generator import train_generator

BATCH = 16  # a quarter of the default: time on a busy core
OWN = {"sources": ["outvoted", "minority"]}
REMEDY = "anchors once + logit adjustment"


def fewer(p: TaskRows, rows: int, seed: int) -> TaskRows:
    """A task with its rare training rows, and at most `rows` others and rows of each other part."""
    rng = np.random.default_rng(seed)

    def drawn(texts: Texts) -> Texts:
        return pick(texts, np.sort(rng.permutation(len(texts))[:rows]))

    rare = np.isin(p.train.labels, p.targets)
    others = np.sort(rng.permutation(np.flatnonzero(~rare))[:rows])
    kept = np.sort(np.concatenate([np.flatnonzero(rare), others]))
    return replace(
        p,
        train=pick(p.train, kept),
        validation=drawn(p.validation),
        test=drawn(p.test),
        judge_rows=drawn(p.judge_rows),
    )


def measured(
    task: str,
    data: Path,
    seed: int,
    steps: int,
    strengths: list[float],
    pretrained: bool,
    rows: int,
) -> dict:
    """Strength → what was written, and what it is worth."""
    p = fewer(task_rows(task, data, seed), rows, seed)
    training = MisoTrainingArguments(
        seed=seed,
        max_length=p.max_length,
        pretrain_steps=steps,
        batch_size=BATCH,
        mixed_precision="no",
    )
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "generator"
        editor = train_generator(
            p.train,
            class_names=p.class_names,
            target_classes=p.targets,
            language=p.language,
            training=training,
            encoder_name=str(demo_encoder_path()) if pretrained else None,
        )
        editor.save(folder)
        for strength in strengths:
            options = {**OWN, "own_focus": strength, "precision": "float32"}
            made, oversampler, quality = anchors(p, folder, seed, options)
            rejections = dict(quality["rejections"])
            drafts = sum(n for name, n in rejections.items() if name != "tries used up")
            embed = mini_lm()[2].embed
            one = {
                "anchors": len(made),
                "kept": rejections.get("kept", 0) / drafts,
                "wrong class": rejections.get("wrong class", 0) / drafts,
                "median margin": float(
                    np.median(oversampler.judge.margin(embed(made.texts), made.labels))
                ),
                **agreement(p, made, embed),
            }
            fold = Fold(
                p.train,
                p.validation,
                p.test,
                p.class_names,
                Segmenter(p.language),
                minority=p.targets[0],
                embed=embed,
                encoder_name=str(demo_encoder_path()),
                generator=GivenAnchors(made),
            )
            for remedy in ("none", "anchors", REMEDY):
                scores = REMEDIES[remedy].fit(fold, classifier_named("linear", 300), seed)
                one[f"AP, {remedy}"] = cell_metrics(fold, scores)["average_precision"]
            found[str(strength)] = one
            print(task, seed, strength, json.dumps(one), flush=True)
    return found


def main() -> None:
    """Measure what the output file does not have, and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_dir", type=Path, required=True)
    parser.add_argument("--tasks", nargs="+", default=["yelp-1%"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--strengths", nargs="+", type=float, default=[0.0, 3.0])
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--encoder", choices=["scratch", "minilm"], default="scratch")
    parser.add_argument("--pretrain_steps", type=int, default=400)
    parser.add_argument("--output", type=Path, required=True)
    a = parser.parse_args()
    record: dict[str, Any] = {}
    if a.output.exists():
        record = json.loads(a.output.read_text(encoding="utf-8"))
    for seed in a.seeds:
        for task in a.tasks:
            seeds = record.setdefault(task, {})
            if str(seed) not in seeds:
                pretrained = a.encoder == "minilm"
                found = measured(
                    task, a.data_dir, seed, a.pretrain_steps, a.strengths, pretrained, a.rows
                )
                seeds[str(seed)] = found
                record |= machine() | {
                    "pretrain_steps": a.pretrain_steps,
                    "batch_size": BATCH,
                    "encoder": a.encoder,
                    "rows": a.rows,
                }
                a.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
