"""Does MISO help? Every remedy on every data set and seed; one JSON line a variant of a seed, so
that a killed run goes on.

    python benchmarks/miso.py --data_dir DATA --tasks yelp-1% --seeds 1 2 3 4 5
    python benchmarks/miso_tables.py benchmarks/miso.jsonl

DATA is described in tasks.py. The pretrained encoder is the demo extra's MiniLM. Nothing is chosen
on test rows: steps and thresholds come from validation rows, settings are the library's defaults.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import ClassLabel, Dataset, Features, Value
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from tasks import TASKS, TaskRows, task_rows
from transformers import AutoModel, AutoTokenizer

from hf_oversample.comparison.costs import SharedValues
from hf_oversample.comparison.fold import Fold
from hf_oversample.comparison.json_lines import JsonLines
from hf_oversample.comparison.miso import GivenAnchors
from hf_oversample.comparison.registry import classifier_named
from hf_oversample.comparison.remedies import REMEDIES
from hf_oversample.comparison.scores import cell_metrics
from hf_oversample.data.demo import demo_encoder_path
from hf_oversample.data.labeled_texts import Texts
from hf_oversample.metrics.texts import text_report
from hf_oversample.numeric.precision import has_fast_bfloat16
from hf_oversample.oversamplers.miso.oversampler import MisoOversampler
from hf_oversample.oversamplers.plan import ORIGINS
from hf_oversample.text.words import Segmenter
from hf_oversample.training.arguments import MisoTrainingArguments
from hf_oversample.training.generator import TrainedGenerator, train_generator
from hf_oversample.training.miso_record import MisoTrainingRecord
from hf_oversample.transforms.embed import TextEmbedder
from hf_oversample.transforms.token_vectors import embed_token_ids

ALONE = "remedies alone"
Embed = Callable[[Sequence[str]], np.ndarray]
REMEDIES_COMPARED = (
    "none",
    "class weights",
    "logit adjustment",
    "logit-adjusted loss",
    "duplicates",
    "EDA edits",
    "synonym edits",
    "anchors",
    "anchors once + logit adjustment",
    "anchors once + logit-adjusted loss",
)
CLASSIFIERS: tuple[tuple[str, bool], ...] = (
    ("textcnn", False),
    ("textcnn", True),
    ("textrnn", False),
    ("linear", False),
)
# What needs no generator, and makes no edits, whose number is that of the anchors
REMEDIES_ALONE = REMEDIES_COMPARED[: REMEDIES_COMPARED.index("duplicates") + 1]
# Where an ablation differs from the default: of the model, of the training, of the oversampler
ABLATIONS: dict[str, tuple[dict, dict]] = {
    "CAG (no SFM, no MI)": ({"use_sfm": False, "use_mi": False}, {}),
    "CAG, edits read their latent": ({"use_sfm": False, "use_mi": False}, {"use_latent": True}),
    "no MI, edits read z": ({"use_mi": False}, {"use_latent": True}),
    "edits read z": ({}, {"use_latent": True}),
    "no guidance": ({}, {"guidance": 0.0}),
    "no class, no guidance": ({}, {"use_class": False, "guidance": 0.0}),
    "no gate": ({}, {"gate": []}),
    "gate: critics": ({}, {"gate": ["critics"]}),
    "no splicing": ({}, {"splice": False}),
    "own texts only": ({}, {"sources": ["difficult", "minority"]}),
    "generate from z (the paper's realiser)": ({}, {"realizer": "generate"}),
}


@lru_cache(maxsize=1)
def mini_lm() -> tuple[Any, Any, TextEmbedder]:
    """The demo extra's encoder, its tokenizer, and both as an embedder."""
    path = str(demo_encoder_path())
    return (
        AutoModel.from_pretrained(path),
        AutoTokenizer.from_pretrained(path),
        TextEmbedder(path, max_length=96, dtype="bfloat16" if has_fast_bfloat16() else "float32"),
    )


def generator(p: TaskRows, training: MisoTrainingArguments, settings: dict) -> TrainedGenerator:
    """A generator trained on the problem's rows; `settings` are fields of `MisoConfig`."""
    return train_generator(
        p.train,
        class_names=p.class_names,
        target_classes=p.targets,
        language=p.language,
        training=training,
        encoder_name=str(demo_encoder_path()) if p.language == "en" else None,
        validation=p.validation,
        **({"parts": "miso"} | settings),
    )


def anchors(
    p: TaskRows, folder: Path, seed: int, options: dict
) -> tuple[Texts, MisoOversampler, dict[str, Any]]:
    """The new texts that a generator makes, and what they are worth on their own."""
    features = Features({"text": Value("string"), "label": ClassLabel(names=p.class_names)})
    dataset = Dataset.from_dict({"text": p.train.texts, "label": p.train.labels}, features=features)
    oversampler = MisoOversampler(
        str(folder),
        embedder=str(demo_encoder_path()) if p.language == "en" else None,
        seed=seed,
        language=p.language,
        max_length=p.max_length,
        **({"precision": "bfloat16" if has_fast_bfloat16() else "float32"} | options),
    )
    start = time.perf_counter()
    children = oversampler.fit(dataset).children(dataset)
    seconds = time.perf_counter() - start
    made = children.select(
        np.flatnonzero(np.asarray(children["origin"]) == ORIGINS.index("synthetic"))
    )
    texts = Texts.of(made)
    quality: dict[str, Any] = {
        "anchors": len(texts),
        "seconds": seconds,
        "rejections": dict(oversampler.rejections or {}),
        "children": len(children),
        "difficult_share": oversampler.difficult_share_,
    }
    if len(texts) > 1:
        quality |= text_report(texts.texts, p.train.texts, p.language)
        rows = np.linspace(0, len(texts) - 1, 8).round().astype(int)
        parents = np.asarray(made["parent"])
        quality["samples"] = [[p.train.texts[parents[i]], texts.texts[i]] for i in rows]
    return texts, oversampler, quality


def agreement(p: TaskRows, made: Texts, embed: Embed) -> dict[str, float]:
    """
    Share of new texts, and of real test rows, that judges fitted on real rows alone place with
    their class: one of embeddings, which is the gate's kind of classifier in the gate's space, and
    one of words and pairs of words, which has nothing in common with it.
    """
    segmenter = Segmenter(p.language)
    tables = TfidfVectorizer(analyzer=lambda text: _grams(segmenter, text), sublinear_tf=True)
    tables.fit(p.judge_rows.texts)
    rows = np.isin(p.test.labels, p.targets)
    found = {}
    for name, read in {"judged": embed, "judged_by_words": tables.transform}.items():
        judge = LogisticRegression(C=10, max_iter=2000, class_weight="balanced")
        judge.fit(read(p.judge_rows.texts), p.judge_rows.labels)
        real = judge.predict(read(p.test.texts)) == p.test.labels
        own = judge.predict(read(made.texts)) == made.labels if len(made) else np.zeros(1)
        found |= {
            f"{name}_own_class": float(own.mean()),
            f"{name}_own_class_real": float(real[rows].mean()),
        }
    return found


def _grams(segmenter: Segmenter, text: str) -> list[str]:
    words = segmenter.words(text.casefold())
    return words + [" ".join(pair) for pair in pairwise(words)]


def cells(
    p: TaskRows,
    made: Texts,
    oversampler: MisoOversampler | None,
    classifiers: Sequence[tuple[str, bool]],
    remedies: Sequence[str],
    steps: int,
    seed: int,
) -> Iterator[dict[str, Any]]:
    """Every classifier and remedy on one problem; without an oversampler, without a generator's."""
    pretrained = p.language == "en"
    embed = mini_lm()[2].embed if pretrained else None
    if embed is None and oversampler is not None:
        embed = oversampler.embed
    fold = Fold(
        p.train,
        p.validation,
        p.test,
        p.class_names,
        Segmenter(p.language),
        minority=-1 if p.minority is None else p.minority,
        embed=embed,
        encoder_name=str(demo_encoder_path()) if pretrained else None,
        generator=GivenAnchors(made) if len(made) else None,
        # edits are as many as the anchors
        edits=np.bincount(made.labels, minlength=len(p.class_names)) if len(made) else None,
    )
    for kind, words in classifiers:
        if not (words and not pretrained):
            own_kind = f"{kind}-pretrained-words" if words else kind
            yield from cells_of(fold, own_kind, kind, words, remedies, steps, seed)
    if oversampler is not None and any(kind == "linear" for kind, _ in classifiers):
        # the encoder as MISO leaves it, as the classifier's starting point
        models = oversampler.loaded

        def trained_states(texts: Sequence[str]) -> np.ndarray:
            rows = [models.encoder(text).input_ids for text in texts]
            encoder, padding = models.model.miso.encoder, models.tokenizer.pad_token_id
            return embed_token_ids(encoder, rows, padding=padding)

        own = replace(fold, embed=trained_states, cache=SharedValues())
        wanted = ["none", "class weights", "logit adjustment"] + (["anchors"] if len(made) else [])
        shown = "linear on MISO's encoder"
        yield from cells_of(own, "linear", shown, False, wanted, steps, seed)


def cells_of(
    fold: Fold, kind: str, shown: str, words: bool, remedies: Sequence[str], steps: int, seed: int
) -> Iterator[dict[str, Any]]:
    """The results of one classifier as the record has them; what does not apply is left out."""
    classifier = classifier_named(kind, steps)
    for remedy in remedies:
        if REMEDIES[remedy].refusal(fold, classifier) is None:
            scores = REMEDIES[remedy].fit(fold, classifier, seed)
            yield {
                "classifier": shown,
                "pretrained_words": words,
                "remedy": remedy,
                "metrics": cell_metrics(fold, scores),
            }
    fold.cache.drop("trained")


def machine() -> dict[str, Any]:
    """Where the figures come from."""
    names = ("torch", "transformers", "datasets", "scikit-learn", "numpy")
    cores, threads = os.cpu_count(), torch.get_num_threads()
    return {
        "machine": f"{platform.machine()}, {cores} cores, {threads} threads",
        "versions": {name: metadata.version(name) for name in names},
    }


def main() -> int:
    """Run what the output file does not have yet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data_dir", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "miso.jsonl")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    # rows of seed 0 were looked at while the defaults were chosen
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3, 4, 5])
    parser.add_argument(
        "--ablations", action="store_true", help="the ablations instead of the comparison"
    )
    parser.add_argument(
        "--remedies", nargs="+", choices=REMEDIES_ALONE, help="these alone, without a generator"
    )
    parser.add_argument("--pretrain_steps", type=int, default=MisoTrainingArguments.pretrain_steps)
    parser.add_argument(
        "--adversarial_steps", type=int, default=MisoTrainingArguments.adversarial_steps
    )
    parser.add_argument("--steps", type=int, default=300, help="of each classifier")
    kinds = sorted({kind for kind, _ in CLASSIFIERS})
    parser.add_argument("--classifiers", nargs="+", choices=kinds, default=kinds)
    options = parser.parse_args()
    done = set()
    for line in JsonLines(options.output).read():
        cell = json.loads(line)
        done.add((cell["task"], cell["seed"], cell["variant"]))
    for task in options.tasks:
        for seed in options.seeds:
            if options.remedies:
                if (task, seed, ALONE) not in done:
                    run_alone(task, seed, options)
                continue
            variants = ABLATIONS if options.ablations else {"default": ({}, {})}
            missing = {name: v for name, v in variants.items() if (task, seed, name) not in done}
            if missing:
                run(task, seed, missing, options)
    return 0


def run_alone(task: str, seed: int, options: argparse.Namespace) -> None:
    """Remedies that need no generator, on the rows and with the weights of `run`."""
    p = task_rows(task, options.data_dir, seed)
    classifiers = [one for one in CLASSIFIERS if one[0] in options.classifiers]
    start, nothing = time.perf_counter(), Texts([], np.zeros(0, np.int64))
    found = list(cells(p, nothing, None, classifiers, options.remedies, options.steps, seed))
    write(
        {
            "task": task,
            "seed": seed,
            "variant": ALONE,
            "cells": found,
            "classifier_steps": options.steps,
            "seconds": {"classifiers": time.perf_counter() - start},
            **machine(),
        },
        options.output,
    )


def write(line: dict[str, Any], output: Path) -> None:
    """Append a line, and show its first classifier's results."""
    JsonLines(output).append(line)
    shown = {}
    for cell in line["cells"]:
        metrics = cell["metrics"]
        if cell["classifier"] == "textcnn":
            value = metrics.get("roc_auc", metrics.get("macro_f1", 0.0))
            shown[cell["remedy"]] = round(value, 3)
    print(line["task"], line["seed"], line["variant"], shown, flush=True)


def run(
    task: str, seed: int, variants: dict[str, tuple[dict, dict]], options: argparse.Namespace
) -> None:
    """All variants of one task and seed; one JSON line each."""
    p = task_rows(task, options.data_dir, seed)
    training = MisoTrainingArguments(
        seed=seed,
        max_length=p.max_length,
        pretrain_steps=options.pretrain_steps,
        adversarial_steps=options.adversarial_steps,
    )
    remedies = list(REMEDIES_COMPARED)
    if options.ablations:
        remedies = ["none", "anchors", "anchors once + logit adjustment"]
    classifiers = [one for one in CLASSIFIERS if one[0] in options.classifiers]
    if options.ablations:
        classifiers = classifiers[:1]
    trained: dict[str, tuple[Path, MisoTrainingRecord]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, (settings, choices) in variants.items():
            key = json.dumps(settings, sort_keys=True)
            if key not in trained:
                folder = Path(scratch) / f"generator-{len(trained)}"
                result = generator(p, training, settings)
                result.save(folder)
                trained[key] = (folder, result.trainer.record)
            folder, record = trained[key]
            made, oversampler, quality = anchors(p, folder, seed, choices)
            embed = mini_lm()[2].embed if p.language == "en" else oversampler.embed
            quality |= agreement(p, made, embed)
            start = time.perf_counter()
            found = list(cells(p, made, oversampler, classifiers, remedies, options.steps, seed))
            rows = {"train": p.train, "validation": p.validation, "test": p.test}
            line = {
                "task": task,
                "seed": seed,
                "variant": name,
                "quality": quality,
                "cells": found,
                "rows": {part: len(texts) for part, texts in rows.items()},
                "counts": np.bincount(p.train.labels).tolist(),
                "training": training.to_dict() | {"precision": training.resolved_precision()},
                "losses": record.losses,
                "steps": record.steps,
                "classifier_steps": options.steps,
                "seconds": {
                    "training": record.seconds,
                    "anchors": quality["seconds"],
                    "classifiers": time.perf_counter() - start,
                },
                **machine(),
            }
            write(line, options.output)


if __name__ == "__main__":
    sys.exit(main())
