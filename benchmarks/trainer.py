"""What two lines add to a Trainer script: a plain fine-tuned MiniLM, and the same with a loss.

Demo SMS with one spam to 99 ham in training; the other parts have the ratio that the messages come
with, and measures are taken at one in a hundred where they depend on it. Texts are cut at 32
tokens. For each of five seeds: another choice of rows, another start.

    OMP_NUM_THREADS=1 python benchmarks/trainer.py
    OMP_NUM_THREADS=1 python benchmarks/trainer.py --steps 150 --losses none logit_adjusted

Each line of the output is a training; a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from scipy.special import softmax
from sklearn.metrics import f1_score
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    set_seed,
)

from hf_oversample import minority_loss
from hf_oversample.data.demo import demo_encoder_path, demo_sms
from hf_oversample.data.splitting import drop_duplicate_texts, make_imbalanced, stratified_split
from hf_oversample.metrics.classification import average_precision_at
from hf_oversample.metrics.decisions import choose_decision

PRIOR, TOKENS = 0.01, 32
LOSSES = ("none", "logit_adjusted", "weighted")


def parts_of(seed: int, rows: int) -> dict[str, Dataset]:
    """Training, validation and test rows of a seed; in training one in a hundred is spam."""
    messages, _ = drop_duplicate_texts(demo_sms())
    train, validation, test = stratified_split(messages, fractions=(0.6, 0.2, 0.2), seed=seed)
    ham = train.filter(lambda row: row["label"] == 0).num_rows
    keep = min(rows, ham) / ham
    train = stratified_split(train, fractions=(keep,), seed=seed)[0] if keep < 1 else train
    train = make_imbalanced(train, "label", PRIOR / (1 - PRIOR), minority=1, seed=seed)
    return {"train": train, "validation": validation, "test": test}


def measures(name: str, seed: int, parts: dict[str, Dataset], steps: int) -> dict[str, Any]:
    """One training, and what it is worth on the test rows."""
    folder = str(demo_encoder_path())
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenized = {
        part: rows.map(
            lambda batch: tokenizer(batch["text"], truncation=True, max_length=TOKENS), batched=True
        )
        for part, rows in parts.items()
    }
    set_seed(seed)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
    loss = None if name == "none" else minority_loss(name, parts["train"])
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as output:
        arguments = TrainingArguments(
            output,
            max_steps=steps,
            per_device_train_batch_size=32,
            per_device_eval_batch_size=128,
            learning_rate=5e-5,
            warmup_steps=steps // 10,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
            seed=seed,
        )
        trainer = Trainer(
            model,
            arguments,
            train_dataset=tokenized["train"],
            data_collator=DataCollatorWithPadding(tokenizer),
            compute_loss_func=loss,
        )
        trainer.train()
        seconds = time.perf_counter() - start
        told = {part: trainer.predict(tokenized[part]) for part in ("validation", "test")}
    logits, labels = told["test"].predictions, told["test"].label_ids
    decision = choose_decision(told["validation"].predictions, told["validation"].label_ids)
    stated = softmax(logits.astype(np.float64), axis=1)
    tuned = decision.classes(decision.probabilities(logits))
    return {
        "loss": name,
        "seed": seed,
        "rows": len(parts["train"]),
        "rare": int(sum(parts["train"]["label"][:])),
        "average_precision_at_1_percent": average_precision_at(labels, stated[:, 1], PRIOR),
        "f1_as_predicted": float(f1_score(labels, stated.argmax(axis=1))),
        "f1_tuned": float(f1_score(labels, tuned)),
        "seconds": seconds,
    }


def summary(lines: list[dict[str, Any]]) -> str:
    """A table: mean and standard deviation over the seeds."""
    rows = [
        "| updates | loss | seeds | AP at 1 % | F1 as predicted | F1, threshold from validation |"
    ]
    rows.append("|---:|---|---:|---:|---:|---:|")
    for steps, name in dict.fromkeys((line["steps"], line["loss"]) for line in lines):
        own = [line for line in lines if (line["steps"], line["loss"]) == (steps, name)]
        cells = [str(steps), name, str(len(own))]
        for measure in ("average_precision_at_1_percent", "f1_as_predicted", "f1_tuned"):
            values = [100 * line[measure] for line in own]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            cells.append(f"{statistics.mean(values):.1f} ± {spread:.1f}")
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of a file, none where there is no file."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [json.loads(line) for line in text.splitlines()]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--losses", nargs="+", choices=LOSSES, default=list(LOSSES))
    parser.add_argument("--rows", type=int, default=2000, help="ham rows in training at most")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/trainer.jsonl"))
    options = parser.parse_args()
    about = {
        "steps": options.steps,
        "torch": metadata.version("torch"),
        "transformers": metadata.version("transformers"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }
    done = {(line["loss"], line["seed"], line["steps"]) for line in read(options.output)}
    for seed in range(options.seeds):
        for name in options.losses:
            if (name, seed, options.steps) in done:
                continue
            found = measures(name, seed, parts_of(seed, options.rows), options.steps) | about
            print(json.dumps(found), flush=True)
            with options.output.open("a", encoding="utf-8") as file:
                file.write(json.dumps(found) + "\n")
    print(summary(read(options.output)))


if __name__ == "__main__":
    main()
