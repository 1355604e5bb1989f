"""Public tasks with their official splits and scorers, beside published figures.

    OMP_NUM_THREADS=1 python benchmarks/public.py --data_dir DATA --tasks trec6 edos_c --seeds 1

EDOS (SemEval-2023 task 10) A and C by macro-F1; TREC-6, R8 and R52 by accuracy, as they are
published, with macro-F1 beside it. Every arm trains on the training part alone. Where there is no
official validation part, a tenth of the training rows is kept apart for it. Test rows are scored
once, by the likeliest class and, where macro-F1 is the measure, with offsets of the classes that
validation rows chose. MiniLM reads the first `--max_length` tokens.

Arms: words (tf-idf and logistic regression, C chosen on validation rows); the same with rows that
EMCO makes, of words alone; frozen (MiniLM's vectors and logistic regression, C by folds); plain
(MiniLM fine-tuned at one rate); re-embedding (mined contrastive training, then logistic
regression); and averages of standardised scores, calibrated on validation rows, of which "plain +
re-embedding + frozen" is what `hf-oversample reembed --objective contrastive --average` makes, but
that the frozen one's head reads n-grams too there. A run that was stopped goes on
at the arm where it was; `--table` prints what a file has and computes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset
from pooled_table import read
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from hf_oversample.data.demo import demo_encoder_path
from hf_oversample.data.files import read_file
from hf_oversample.data.labeled_texts import Texts
from hf_oversample.hub.tables import markdown_table
from hf_oversample.metrics.decisions import choose_decision
from hf_oversample.oversamplers.emco import EmcoOversampler
from hf_oversample.training.reembedder import Reembedder
from hf_oversample.training.reembedding_arguments import ReembeddingArguments
from hf_oversample.training.reembedding_heads import calibrated_mean, solve_head

DATA = {
    "edos_a": "edos_a",
    "edos_c": "edos_c",
    "trec6": "trec6",
    "r8": "reuters_r8",
    "r52": "reuters_r52",
}
MEASURES = {"edos_a": "macro_f1", "edos_c": "macro_f1"}
"""The others are published by accuracy."""
PUBLISHED = {
    "edos_a": (87.46, "best of 84 teams, Kirk et al. 2023: large models, 2 M further posts"),
    "edos_c": (56.06, "best of the shared task, Kirk et al. 2023"),
    "trec6": (98.07, "Cer et al. 2018, a large sentence encoder fine-tuned; 500 test questions"),
    "r8": (98.2, "RoBERTaGCN, Lin et al. 2021"),
    "r52": (96.6, "BertGCN, Lin et al. 2021"),
}
EPOCHS = {"trec6": 3, "edos_c": 3, "edos_a": 1, "r8": 1, "r52": 1}
RATE = 1e-4
AVERAGES = (("plain", "frozen"), ("plain", "re-embedding", "frozen"))
SINGLE = ("words", "words + EMCO", "frozen", "plain", "re-embedding")
ARMS = (*SINGLE, *(" + ".join(one) for one in AVERAGES))
PENALTIES = (1.0, 10.0, 100.0, 1000.0)

Parts = list[np.ndarray]


class Cell:
    """A task and a seed."""

    def __init__(self, task: str, seed: int, options: argparse.Namespace) -> None:
        self.task, self.seed, self.options = task, seed, options
        folder = options.data_dir / DATA[task]
        train = read_file(folder / "train.parquet")
        self.names = list(train.features["label"].names)
        rows = Texts.of(train)
        self.test = Texts.of(read_file(folder / "test.parquet"))
        if (folder / "validation.parquet").is_file():
            self.train, self.validation = rows, Texts.of(read_file(folder / "validation.parquet"))
        else:
            self.train, self.validation = apart(rows, seed)
        counts = np.bincount(self.train.labels, minlength=len(self.names))
        self.targets = [k for k, n in enumerate(counts) if 1 < n < counts.max()]
        self.scores: dict[str, Parts] = {}
        self._embedded: dict[str, np.ndarray] = {}

    def run(self, done: set[str]) -> None:
        """Every arm that is not done; averages need the scores of their parts."""
        steps = {
            "words": self._words,
            "words + EMCO": self._words_and_emco,
            "frozen": self._frozen,
            "plain": self._plain,
            "re-embedding": self._reembedding,
        }
        averages = {" + ".join(parts) for parts in AVERAGES}
        needed = set(SINGLE) if averages - done else set()
        for arm, step in steps.items():
            if arm in done and (arm.startswith("words") or arm not in needed):
                continue
            if arm not in self.options.arms:
                continue
            start = time.perf_counter()
            scores = self._kept(arm) or step()
            self.scores[arm] = scores
            self._keep(arm, scores)
            if arm not in done:
                self.tell(arm, scores, time.perf_counter() - start)
        for names in AVERAGES:
            arm = " + ".join(names)
            if arm not in done and set(names) <= set(self.scores):
                # one scale for all classes takes their sizes away: validation rows give them back
                scores = (self.scores[name] for name in names)
                self.tell(arm, calibrated_mean(self.validation.labels, *scores), 0.0)

    def _place(self, arm: str) -> Path:
        name = arm.replace(" ", "_")
        return self.options.work_dir / f"{self.task}-{self.seed}-{self.steps}-{name}.npz"

    def _kept(self, arm: str) -> Parts | None:
        """An arm's scores from a run that was stopped after it."""
        if not self._place(arm).is_file():
            return None
        with np.load(self._place(arm), allow_pickle=False) as file:
            return [file["validation"], file["test"]]

    def _keep(self, arm: str, scores: Parts) -> None:
        place = self._place(arm)
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_suffix(".part")
        with part.open("wb") as file:
            np.savez(file, validation=scores[0], test=scores[1])
        part.replace(place)

    @property
    def steps(self) -> int:
        """Updates of fine-tuning."""
        return max(1, EPOCHS[self.task] * len(self.train) // 32)

    def tell(self, arm: str, scores: Parts, seconds: float) -> None:
        """Write what an arm's scores are worth."""
        found: dict[str, Any] = {"task": self.task, "seed": self.seed, "arm": arm}
        likeliest = scores[1].argmax(axis=1)
        found["accuracy"] = float((likeliest == self.test.labels).mean())
        found["macro_f1"] = macro_f1(self.test.labels, likeliest)
        if MEASURES.get(self.task) == "macro_f1":
            chosen = choose_decision(scores[0], self.validation.labels)
            decided = chosen.classes(chosen.probabilities(scores[1]))
            found["macro_f1_with_offsets"] = macro_f1(self.test.labels, decided)
        found |= {
            "seconds": round(seconds, 1),
            "steps": self.steps,
            "rows": [len(self.train), len(self.validation), len(self.test)],
            "max_length": self.options.max_length,
            "threads": int(os.environ.get("OMP_NUM_THREADS", 0)),
            "versions": {
                name: metadata.version(name) for name in ("torch", "transformers", "scikit-learn")
            },
        }
        print(json.dumps(found), flush=True)
        with self.options.output.open("a", encoding="utf-8") as file:
            file.write(json.dumps(found) + "\n")

    def _words(self, extra: Texts | None = None) -> Parts:
        texts, labels = self.train.texts, self.train.labels
        if extra is not None:
            texts, labels = [*texts, *extra.texts], np.concatenate([labels, extra.labels])
        vectorizer = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2))
        rows = vectorizer.fit_transform(texts)
        validation, test = (vectorizer.transform(p.texts) for p in (self.validation, self.test))
        found = []
        for penalty in PENALTIES:
            model = LogisticRegression(C=penalty, class_weight="balanced", max_iter=500)
            model.fit(rows, labels)
            value = macro_f1(self.validation.labels, model.predict(validation))
            found.append((value, -penalty, model))
        best = max(found, key=lambda one: one[:2])[2]
        return [full_scores(best, part, len(self.names)) for part in (validation, test)]

    def _words_and_emco(self) -> Parts:
        """Each class grown to as many rows as the largest; γ = 1, the authors'."""
        names = ClassLabel(names=self.names)
        rows = Dataset.from_dict({"text": self.train.texts, "label": self.train.labels})
        emco = EmcoOversampler(seed=self.seed, sampling_strategy=self._growing())
        made = emco.fit(rows.cast_column("label", names)).children(rows.cast_column("label", names))
        return self._words(Texts.of(made))

    def _growing(self) -> dict[str, int]:
        """The classes that grow, to the size of the largest; one of a single text stays."""
        counts = np.bincount(self.train.labels, minlength=len(self.names))
        return {self.names[k]: int(counts.max()) for k in self.targets}

    def _encoder(self, **changes: Any) -> Reembedder:
        values = {"save_steps": 0, "seed": self.seed, "max_length": self.options.max_length}
        values |= {"objective": "contrastive"}
        return Reembedder(
            demo_encoder_path(),
            class_names=self.names,
            target_classes=self.targets,
            arguments=ReembeddingArguments(**values | changes),  # type: ignore[arg-type]
        )

    def _vectors(self, part: str) -> np.ndarray:
        if part not in self._embedded:
            self._embedded[part] = self._encoder().embed(getattr(self, part).texts)
        return self._embedded[part]

    def _frozen(self) -> Parts:
        head = solve_head(
            self._vectors("train"),
            self.train.labels,
            classes=len(self.names),
            targets=self.targets,
            seed=self.seed,
        )
        return [head.logits(self._vectors(part)) for part in ("validation", "test")]

    def _fitted(self, **changes: Any) -> Parts:
        result = self._encoder(**changes).fit(self.train, embeddings=self._vectors("train"))
        return [result.logits(part.texts) for part in (self.validation, self.test)]

    def _plain(self) -> Parts:
        return self._fitted(objective="classification", steps=self.steps, learning_rate=RATE)

    def _reembedding(self) -> Parts:
        return self._fitted(steps=min(150, self.steps))


def apart(rows: Texts, seed: int) -> tuple[Texts, Texts]:
    """Training rows, and a tenth of each class for validation; of less than ten rows none."""
    rng, chosen = np.random.default_rng(seed), []
    for label in np.unique(rows.labels):
        own = rng.permutation(np.flatnonzero(rows.labels == label))
        chosen.append(own[: len(own) // 10])
    held = np.sort(np.concatenate(chosen))
    left = np.setdiff1d(np.arange(len(rows)), held)
    parts = [Texts([rows.texts[i] for i in part], rows.labels[part]) for part in (left, held)]
    return parts[0], parts[1]


def macro_f1(truth: np.ndarray, predicted: np.ndarray) -> float:
    """The mean F1 of the classes that there are, as scikit-learn has it."""
    return float(f1_score(truth, predicted, average="macro", zero_division=0))


def full_scores(model: LogisticRegression, rows: Any, classes: int) -> np.ndarray:
    """Log-probabilities `[n, classes]`; of a class without training rows, very small."""
    scores = np.full((rows.shape[0], classes), -50.0)
    scores[:, model.classes_] = np.maximum(model.predict_log_proba(rows), -50.0)
    return scores


def table(lines: list[dict[str, Any]]) -> str:
    """An arm a line, a task a column; the last line is what is published."""
    tasks = [task for task in EPOCHS if any(line["task"] == task for line in lines)]

    def cell(task: str, arm: str) -> str:
        own = [line for line in lines if (line["task"], line["arm"]) == (task, arm)]
        if not own:
            return "–"
        if MEASURES.get(task) == "macro_f1":
            return " / ".join(mean(own, name) for name in ("macro_f1", "macro_f1_with_offsets"))
        return " / ".join(mean(own, name) for name in ("accuracy", "macro_f1"))

    def mean(own: list[dict[str, Any]], name: str) -> str:
        values = [100 * line[name] for line in own]
        spread = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
        return f"{np.mean(values):.1f}{spread}"

    heads = []
    for task in tasks:
        seeds = {line["seed"] for line in lines if line["task"] == task}
        kind = "macro-F1 / with offsets" if task in MEASURES else "accuracy / macro-F1"
        heads.append(f"{task} ({len(seeds)}): {kind}")
    rows = [[arm, *(cell(task, arm) for task in tasks)] for arm in ARMS]
    rows.append(["best published", *(f"{PUBLISHED[task][0]:.1f}" for task in tasks)])
    return markdown_table(["arm", *heads], rows)


def main() -> None:
    """Measure, or print what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data_dir", type=Path)
    parser.add_argument("--tasks", nargs="+", choices=list(DATA), default=list(EPOCHS))
    parser.add_argument("--arms", nargs="+", choices=SINGLE, default=list(SINGLE))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--max_length", type=int, default=48, help="tokens of a text")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/public.jsonl"))
    parser.add_argument(
        "--work_dir", type=Path, default=Path("public_scores"), help="scores, for a run to go on"
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
                }
                if not set(ARMS) <= done:
                    Cell(task, seed, options).run(done)
    print(table(read(options.output)))


if __name__ == "__main__":
    main()
