"""What an anchor costs: kept anchors a processor second, drafts by reason, seconds by stage.

    make demo
    python benchmarks/anchors.py --run demo_output --trees before=../before after=. --rounds 3 \\
        --output benchmarks/anchors.jsonl

`--run` is the folder of a run of `recipes/miso.py`: its generator, and its data set with splits.
An oversampler is fitted once; each tree (a checkout of this project; `--trees` names some) then
makes the same children of it in a process of its own, in turn, on one thread. Processor seconds
are those of the making alone, without loading and fitting. `--every 4` makes the children of one
row in four, which are the same texts as in a whole run. `--options` sets attributes of the
fitted oversampler, such as `'{"guidance": 2.0}'`.

Quality is measured on the last round's anchors: copies, diversity, the share that a judge of
words and pairs of words, fitted on the real rows, places with their class, and the average
precision of a logistic regression on frozen embeddings with and without them.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, disable_caching, load_from_disk
from embeddings_measuring import Records, machine
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from hf_oversample.data.demo import demo_encoder_path
from hf_oversample.metrics.texts import text_report
from hf_oversample.oversamplers.base import ORIGINS
from hf_oversample.text.words import Segmenter

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


class Stages:
    """Processor seconds of functions, each without those that it calls and that are timed too."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._inner: list[float] = []

    @contextmanager
    def within(self, stage: str) -> Iterator[None]:
        """Times what is done inside."""
        self._inner.append(0.0)
        start = time.process_time()
        try:
            yield
        finally:
            spent = time.process_time() - start
            self.seconds[stage] += spent - self._inner.pop()
            if self._inner:
                self._inner[-1] += spent

    def time(self, owner: Any, name: str, stage: str) -> None:
        """Times a function of a class or a module from now on."""
        inner = getattr(owner, name)

        def timed(*arguments: Any, **named: Any) -> Any:
            with self.within(stage):
                return inner(*arguments, **named)

        setattr(owner, name, timed)


def watch(stages: Stages, tokens: Counter[str]) -> None:
    """Times the parts of making anchors, and counts the padded tokens that the filler reads."""
    from hf_oversample.models.miso.modeling_miso import MisoForAnchorGeneration
    from hf_oversample.models.miso.realizers import edit
    from hf_oversample.oversamplers.anchors import gate
    from hf_oversample.oversamplers.miso import models, oversampler
    from hf_oversample.text import vocabulary

    read = MisoForAnchorGeneration.fill_states

    def counted(self: Any, input_ids: Any, *arguments: Any, **named: Any) -> Any:
        tokens["filler"] += input_ids.numel()
        return read(self, input_ids, *arguments, **named)

    MisoForAnchorGeneration.fill_states = counted  # type: ignore[method-assign]
    for owner, name, stage in (
        (MisoForAnchorGeneration, "fill_states", "filler passes"),
        (edit.EditRealizer, "_fill", "guidance and drawing"),
        (edit.EditRealizer, "_mask", "choosing words"),
        (edit.EditRealizer, "_write", "splicing"),
        (gate, "surface_reason", "copies and repeats"),
        (vocabulary.KnownWords, "unknown", "unknown words"),
        (models.MisoModels, "embed", "gate embedding"),
        (gate.TextGate, "judged", "judge"),
        (oversampler, "focus_weights", "pulls of words"),
    ):
        stages.time(owner, name, stage)


def make(folder: Path, options: dict[str, Any], every: int, written: Path) -> dict[str, Any]:
    """Makes the children of a fitted oversampler in this process, and says what they cost."""
    import torch

    from hf_oversample.oversamplers.miso.oversampler import MisoOversampler
    from hf_oversample.oversamplers.plan import Plan

    torch.set_num_threads(1)
    disable_caching()  # what an earlier round made would be read from the disk
    oversampler = MisoOversampler.from_pretrained(folder / "fitted")
    dataset = load_from_disk(str(folder / "real"))
    # the fitted one has the options of the code that fitted it; each tree writes as it comes
    oversampler.rounds = inspect.signature(MisoOversampler).parameters["rounds"].default
    for name, value in options.items():
        if not hasattr(oversampler, name):
            raise ValueError(f"--options has {name!r}, which a MisoOversampler does not have.")
        setattr(oversampler, name, value)
    plan = oversampler.fitted_plan()
    chosen = plan.parent % every == 0
    oversampler.plan_ = Plan.build(
        plan.parent[chosen],
        plan.child[chosen],
        plan.label[chosen],
        {name: values[chosen] for name, values in plan.extra.items()},
    )
    oversampler.embed(["a text, so that all is loaded"])
    stages, tokens = Stages(), Counter[str]()
    watch(stages, tokens)
    start, wall = time.process_time(), time.perf_counter()
    with stages.within("other"):
        children = oversampler.all_children(dataset)
    spent, wall = time.process_time() - start, time.perf_counter() - wall
    rejections = dict(oversampler.rejections or {})
    kept = rejections["kept"]
    made = children.select(
        np.flatnonzero(np.asarray(children["origin"][:]) == ORIGINS.index("synthetic"))
    )
    written.write_text(json.dumps({"texts": made["text"][:], "labels": made["label"][:]}))
    drafts = sum(
        n for reason, n in rejections.items() if reason not in ("tries used up", "nothing to edit")
    )
    return {
        "cpu_seconds": spent,
        "seconds": wall,
        "kept": kept,
        "drafts": drafts,
        "kept_per_cpu_second": kept / spent,
        "kept_share_of_drafts": kept / drafts,
        "filler_tokens_per_kept": tokens["filler"] / kept,
        "rejections": rejections,
        "stages": {
            name: round(value, 3)
            for name, value in sorted(stages.seconds.items(), key=lambda item: -item[1])
        },
    }


class Quality:
    """What anchors are worth by judges that are fitted once on the real rows."""

    def __init__(self, train: Dataset, test: Dataset, embeddings: tuple[np.ndarray, np.ndarray]):
        self.train, self.segmenter = train, Segmenter("en")
        self.labels, self.test_labels = np.asarray(train["label"][:]), np.asarray(test["label"][:])
        self.embeddings, self.test_embeddings = embeddings
        self.words = TfidfVectorizer(analyzer=self._grams, sublinear_tf=True)
        self.judge = LogisticRegression(C=10, max_iter=2000, class_weight="balanced")
        self.judge.fit(self.words.fit_transform(train["text"][:]), self.labels)

    def _grams(self, text: str) -> list[str]:
        words = self.segmenter.words(text.casefold())
        return words + [" ".join(pair) for pair in pairwise(words)]

    def _precision(self, embeddings: np.ndarray, labels: np.ndarray) -> float:
        head = LogisticRegression(C=10, max_iter=2000).fit(embeddings, labels)
        rare = int(np.bincount(self.labels).argmin())
        scores = head.predict_proba(self.test_embeddings)[:, rare]
        return float(average_precision_score(self.test_labels == rare, scores))

    def of(
        self, texts: list[str], labels: list[int], embed: Callable[[Sequence[str]], np.ndarray]
    ) -> dict[str, float]:
        """Measures of made texts."""
        own = self.judge.predict(self.words.transform(texts)) == np.asarray(labels)
        embeddings = np.concatenate([self.embeddings, embed(texts)])
        return {
            "judged_by_words_own_class": float(own.mean()),
            "average_precision_without": self._precision(self.embeddings, self.labels),
            "average_precision_with": self._precision(
                embeddings, np.concatenate([self.labels, labels])
            ),
            **text_report(texts, self.train["text"][:]),
        }


def prepared(run: Path, folder: Path) -> tuple[Dataset, Dataset]:
    """A fitted oversampler and its real rows, saved in `folder` unless they are; and the splits."""
    from hf_oversample.oversamplers.miso.oversampler import MisoOversampler

    splits = load_from_disk(str(run / "balanced"))
    real = ORIGINS.index("real")
    train, test = (
        rows.select(np.flatnonzero(np.asarray(rows["origin"][:]) == real)).select_columns(
            ["text", "label"]
        )
        for rows in (splits["train"], splits["test"])
    )
    if not (folder / "fitted").is_dir():
        train.save_to_disk(str(folder / "real"))
        oversampler = MisoOversampler(
            str(run / "generator"), embedder=str(demo_encoder_path()), seed=0
        )
        oversampler.fit(train).save_pretrained(folder / "fitted")
    return train, test


def in_tree(tree: str, a: argparse.Namespace, folder: Path, written: Path) -> dict[str, Any]:
    """One making by the code of a tree, in a process of its own."""
    command = [sys.executable, __file__, "--made_from", str(folder), "--written", str(written)]
    command += ["--every", str(a.every), "--options", json.dumps(a.options)]
    environment = os.environ | ONE_THREAD | {"PYTHONPATH": str(Path(tree).resolve())}
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return dict(json.loads(answer.stdout.splitlines()[-1]))


def main() -> None:
    """Measure, and append to the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, help="folder of a run of recipes/miso.py")
    parser.add_argument("--trees", nargs="+", default=["here=."], metavar="NAME=FOLDER")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--options", type=json.loads, default={})
    parser.add_argument("--kept_in", type=Path, help="where the fitted oversampler is kept")
    parser.add_argument("--output", help="file that the JSON lines are appended to")
    parser.add_argument("--made_from", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--written", type=Path, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.made_from is not None:
        print(json.dumps(make(a.made_from, a.options, a.every, a.written)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        compare(a, a.kept_in or Path(temporary))


def compare(a: argparse.Namespace, folder: Path) -> None:
    """Each tree in turn, and what their anchors are worth."""
    from hf_oversample.transforms.embed import TextEmbedder

    records = Records(a.output)
    trees = dict(tree.split("=", 1) for tree in a.trees)
    folder.mkdir(parents=True, exist_ok=True)
    train, test = prepared(a.run, folder)
    setting = {"every": a.every, "options": a.options}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in trees}
    for number in range(a.rounds):
        names = list(trees) if number % 2 == 0 else list(trees)[::-1]
        for name in names:
            one = in_tree(trees[name], a, folder, folder / f"{name}.json")
            found[name].append(one)
            records.write(benchmark="anchors", **setting, tree=name, round=number, **one)
    embed = TextEmbedder(str(demo_encoder_path()), max_length=64).embed
    saved = folder / "embeddings.npz"
    if not saved.exists():
        np.savez(saved, train=embed(train["text"][:]), test=embed(test["text"][:]))
    known = np.load(saved)
    quality = Quality(train, test, (known["train"], known["test"]))
    rates = {
        name: statistics.median(one["kept_per_cpu_second"] for one in runs)
        for name, runs in found.items()
    }
    for name in trees:
        made = json.loads((folder / f"{name}.json").read_text())
        records.write(
            benchmark="anchors",
            **setting,
            tree=name,
            kept_per_cpu_second=rates[name],
            ratio_to_first=rates[name] / rates[next(iter(trees))],
            quality=quality.of(made["texts"], made["labels"], embed),
            machine=machine(),
        )


if __name__ == "__main__":
    main()
